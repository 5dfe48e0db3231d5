"""Writing: what is written is read back by meshio and by NumPy with the same values, on meshes, grids and in series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import meshio
import numpy as np
import pytest
from sympy import Eq, I, exp, sin, symbols

import pinnsolve as ps
from pinnsolve.cli import main
from pinnsolve.declaration.observations import read_table
from pinnsolve.reference.exact import exact_reference

FOLDER = Path(__file__).parent / "meshes"
x, y, z, t = symbols("x y z t")
u = ps.fields("u", x, y)
w = ps.fields("w", x, y, t)
BOX = ps.Box({x: (0, 2), y: (0, 1)})


def plate() -> ps.Mesh:
    return ps.Mesh.read(FOLDER / "plate_4.1_text.msh", coordinates=(x, y))


def on_plate(known: Callable[..., Any]) -> ps.Solution:
    """u = x^2 y, against x^2 y + x y."""
    mesh = plate()
    problem = ps.Problem(
        domain=mesh,
        equations={"poisson": Eq(ps.laplacian(u, x, y), 0)},
        conditions=ps.on(mesh.boundary, Eq(u, x**2 * y)),
    )
    solution = known(problem, lambda a, b: a * a * b)
    solution.reference = exact_reference(problem, ps.Exact({u: x**2 * y + x * y}), unknowns={})
    return solution


def waves(known: Callable[..., Any], domain: Any) -> ps.Solution:
    problem = ps.Problem(
        domain=domain * ps.Interval(t, 0, 2),
        equations={"heat": Eq(w.diff(t), ps.laplacian(w, x, y))},
        conditions={"start": Eq(w(x, y, 0), x), "walls": ps.on(domain.boundary, Eq(w, x))},
    )
    return known(problem, lambda a, b, c: a * c)


def test_a_mesh_gets_its_values_back(known: Callable[..., Any], tmp_path: Path) -> None:
    solution = on_plate(known)
    mesh = solution.problem.domain
    written = solution.write(tmp_path / "a folder" / "part.vtu")
    back = meshio.read(written)
    np.testing.assert_array_equal(back.points[:, :2], mesh.nodes)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(back.cells_dict["triangle"], mesh.cells["triangle"])  # type: ignore[attr-defined]
    a, b = mesh.nodes.T  # type: ignore[attr-defined]
    expected = {
        "u": a**2 * b,
        "error u": -a * b,
        "u_x": 2 * a * b,
        "u_y": a**2,
        "u_xx": 2 * b,
        "u_yy": 0 * a,
        "residual poisson": 2 * b,
    }
    assert set(back.point_data) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(back.point_data[name], values, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(back.point_data["u"], solution(x=a, y=b))


def test_a_field_of_one_group_is_nan_in_the_others(known: Callable[..., Any], tmp_path: Path) -> None:
    mesh = plate()
    v = ps.fields("v", x, y)
    problem = ps.Problem(
        domain=mesh,
        equations={
            "steel": ps.on(mesh["steel"], Eq(ps.laplacian(u, x, y), 0)),
            "air": ps.on(mesh["air"], Eq(ps.laplacian(v, x, y), 0)),
        },
        conditions={
            "joint": ps.on(mesh.interface("steel", "air"), Eq(u, v), Eq(u.diff(x), v.diff(x))),
            "left": ps.on(mesh.boundary & mesh["steel"], Eq(u, x)),
            "right": ps.on(mesh.boundary & mesh["air"], Eq(v, x)),
        },
    )
    solution = known(problem, lambda a, b: a, lambda a, b: a)
    back = meshio.read(solution.write(tmp_path / "two.vtu"))
    a = back.points[:, 0]
    for name in ("u", "u_x", "residual steel"):
        np.testing.assert_array_equal(np.isfinite(back.point_data[name]), a <= 1)
    np.testing.assert_array_equal(back.point_data["v"], np.where(a >= 1, a, np.nan))


@pytest.mark.parametrize("domain", [plate(), BOX, ps.Disk({x: 0, y: 0}, radius=1)], ids=["mesh", "box", "disk"])
def test_a_series_has_every_instant(domain: Any, known: Callable[..., Any], tmp_path: Path) -> None:
    solution = waves(known, domain)
    path = solution.write(tmp_path / "heat.pvd")
    parts = ElementTree.parse(path).findall("Collection/DataSet")  # noqa: S314
    assert len(parts) == 21
    for part in (parts[0], parts[7], parts[20]):
        back = meshio.read(tmp_path / part.attrib["file"])
        a, b = back.points[:, :2].T
        np.testing.assert_allclose(back.point_data["w"], a * float(part.attrib["timestep"]), rtol=1e-12)
        assert domain.contains(np.stack([a, b], axis=1)).all()
    assert float(parts[-1].attrib["timestep"]) == 2
    last, half = (
        meshio.read(solution.write(tmp_path / f"{n}.vtu", **held)) for n, held in (("a", {}), ("b", {"t": 1}))
    )
    np.testing.assert_array_equal(last.point_data["w"], 2 * last.points[:, 0])
    np.testing.assert_array_equal(half.point_data["w"], half.points[:, 0])


def test_a_box_is_written_as_a_grid(known: Callable[..., Any], tmp_path: Path) -> None:
    problem = ps.Problem(domain=BOX, equations=Eq(ps.laplacian(u, x, y), 0), conditions=ps.on(BOX.boundary, Eq(u, 0)))
    back = meshio.read(known(problem, lambda a, b: a - b).write(tmp_path / "box.vtu"))
    assert back.points.shape == (151 * 76, 3) and back.cells_dict["quad"].shape == (150 * 75, 4)
    corners = back.points[back.cells_dict["quad"]][:, :, :2]
    sizes = ps.Mesh(back.points[:, :2], {"quad": back.cells_dict["quad"]}, (x, y)).measure
    assert sizes == pytest.approx(2, rel=1e-12) and np.ptp(corners[:, :, 0], axis=1).max() < 0.014
    np.testing.assert_array_equal(back.point_data["u"], back.points[:, 0] - back.points[:, 1])


def test_boxes_in_one_and_three_dimensions(known: Callable[..., Any], tmp_path: Path) -> None:
    for axes, kind in (((x,), "line"), ((x, y, z), "hexahedron")):
        field = ps.fields("q", *axes)
        box = ps.Box(dict.fromkeys(axes, (0, 1)) | {axes[-1]: (0, 0.1)})
        problem = ps.Problem(
            domain=box, equations=Eq(ps.laplacian(field, *axes), 0), conditions=ps.on(box.boundary, Eq(field, 0))
        )
        back = meshio.read(known(problem, lambda *c: c[-1] ** 2).write(tmp_path / "box.vtu"))
        np.testing.assert_array_equal(back.point_data["q"], back.points[:, len(axes) - 1] ** 2)
        mesh = ps.Mesh(back.points[:, : len(axes)], {kind: back.cells_dict[kind]}, axes)
        assert mesh.measure == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("ending", ["csv", "npz"])
def test_tables_have_the_same_values(ending: str, known: Callable[..., Any], tmp_path: Path) -> None:
    solution = on_plate(known)
    table = read_table(solution.write(tmp_path / f"part.{ending}"))
    np.testing.assert_array_equal(table["u"], solution(x=table["x"], y=table["y"]))
    assert {"x", "y", "u", "u_x", "u_y", "residual poisson", "error u"} <= set(table)
    series = read_table(waves(known, BOX).write(tmp_path / f"series.{ending}", x=1.0))
    assert len(series["t"]) == 21 * 1001 and (series["x"] == 1).all()
    np.testing.assert_allclose(series["w"], series["t"], rtol=1e-12)


def test_complex_fields_are_written_by_parts(known: Callable[..., Any], tmp_path: Path) -> None:
    psi = ps.fields("psi", x, t)
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations=Eq(I * psi.diff(t) + psi.diff(x, 2), 0),
        conditions=[Eq(psi(x, 0), exp(I * x)), Eq(psi(0, t), 1), Eq(psi(1, t), exp(I))],
    )
    back = meshio.read(known(problem, lambda a, b: a, lambda a, b: b).write(tmp_path / "psi.vtu"))
    np.testing.assert_array_equal(back.point_data["psi_re"], back.points[:, 0])
    np.testing.assert_array_equal(back.point_data["psi_im"], 1)


def test_what_cannot_be_written_is_told(known: Callable[..., Any], tmp_path: Path) -> None:
    solution = on_plate(known)
    for path, held, found in (
        ("a.xyz", {}, "the ending '.xyz'"),
        ("a.pvd", {}, "nothing evolves"),
        ("a.vtu", {"q": 1.0}, "no coordinate q"),
        ("a.vtu", {"x": 7.0}, "x = 7.0, outside"),
    ):
        with pytest.raises(ps.DataError, match=found):
            solution.write(tmp_path / path, **held)
    axes = symbols("a:5")
    field = ps.fields("f", *axes)
    box = ps.Box(dict.fromkeys(axes, (0, 1)))
    problem = ps.Problem(
        domain=box, equations=Eq(ps.laplacian(field, *axes), 0), conditions=ps.on(box.boundary, Eq(field, sin(axes[0])))
    )
    five = known(problem, lambda *c: c[0])
    with pytest.raises(ps.UnsupportedError, match="5 coordinates range"):
        five.write(tmp_path / "five.vtu")
    back = meshio.read(five.write(tmp_path / "five.vtu", a3=0.5, a4=0.5))
    np.testing.assert_array_equal(back.point_data["f"], back.points[:, 0])


def test_the_command_line_writes_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mesh = plate()
    problem = ps.Problem(
        domain=mesh, equations=Eq(ps.laplacian(u, x, y), 0), conditions=ps.on(mesh.boundary, Eq(u, x * y)), hard=False
    )
    training = ps.Training(phases=[ps.Adam(steps=3)])
    solution = ps.solve(
        problem, ps.MLP(width=4, depth=1), training, ps.Exact({u: x * y}), out=tmp_path / "run", plots=False
    )
    for kind in ("vtu", "csv", "npz"):
        assert main(["export", str(tmp_path / "run"), "--to", kind]) == 0
        assert Path(capsys.readouterr().out.strip()) == tmp_path / "run" / f"solution.{kind}"
    back = meshio.read(tmp_path / "run" / "solution.vtu")
    a, b = back.points[:, :2].T
    np.testing.assert_array_equal(back.point_data["u"], solution(x=a, y=b))
    np.testing.assert_allclose(back.point_data["error u"], solution(x=a, y=b) - a * b, rtol=0, atol=1e-14)
    assert main(["export", str(tmp_path / "run"), "--to", "pvd"]) == 4
    assert main(["export", str(tmp_path / "run"), "--to", "vtu", "-o", str(tmp_path / "a.csv")]) == 2
    assert main(["eval", str(tmp_path / "run"), "--grid", "x=0:2:5,y=0:1:3", "-o", str(tmp_path / "grid.vtu")]) == 0
    grid = meshio.read(tmp_path / "grid.vtu")
    assert grid.points.shape == (15, 3) and grid.cells_dict["quad"].shape == (8, 4)
    inside = mesh.contains(grid.points[:, :2])
    np.testing.assert_array_equal(np.isfinite(grid.point_data["u"]), inside)
    assert main(["eval", str(tmp_path / "run"), "--grid", "x=0:2:5", "-o", str(tmp_path / "grid.vtu")]) == 4
    assert main(["eval", str(tmp_path / "run"), "--grid", "x=1,y=0.5", "-o", str(tmp_path / "grid.vtu")]) == 3
    table = str(tmp_path / "run" / "solution.csv")
    assert main(["eval", str(tmp_path / "run"), "--points", table, "-o", str(tmp_path / "points.vtu")]) == 4


def test_an_ordinary_differential_equation_is_a_curve(known: Callable[..., Any], tmp_path: Path) -> None:
    q = ps.fields("q", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 3), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
    )
    solution = known(problem, lambda a: a * a)
    columns = read_table(solution.write(tmp_path / "curve.csv"))
    assert len(columns["t"]) > 100
    np.testing.assert_allclose(columns["q"], columns["t"] ** 2)
    np.testing.assert_allclose(columns["residual decay"], 2 * columns["t"] + columns["t"] ** 2, rtol=1e-9)
    assert len(meshio.read(solution.write(tmp_path / "curve.vtu")).points) == len(columns["t"])

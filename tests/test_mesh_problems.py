"""Problems on meshes: conditions on named parts, groups of cells, interfaces and coefficients; storage, pictures, solutions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from sympy import Eq, Rational, cos, exp, sin, symbols

import pinnsolve as ps
from pinnsolve.archive import ArchiveError, load_problem
from pinnsolve.choices import choose
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.declaration.trees import TreeError
from pinnsolve.description import describe_problem
from pinnsolve.domains.sampling import draw
from pinnsolve.points import term_points, term_region
from pinnsolve.reference.exact import exact_reference

FOLDER = Path(__file__).parent / "meshes"
x, y, z, t = symbols("x y z t")
u, v = ps.fields("u v", x, y)
p, q = ps.fields("p q", x, y)
PLATE = ps.Mesh.read(FOLDER / "plate_4.1_text.msh", coordinates=(x, y))
SQUARE = ps.Mesh.read(FOLDER / "scikit_fem_triangles.vtu", coordinates=(x, y))
NORMAL = PLATE.normal
K = PLATE.where({"steel": 5, "air": Rational(1, 2) + x})


def slope(field: Any) -> Any:
    return ps.grad(field, x, y).dot(NORMAL)


def two(**changes: Any) -> ps.Problem:
    """A field in each group of cells."""
    conditions: dict[str, Any] = {
        "inlet": ps.on(PLATE["inlet"], Eq(u, 1)),
        "outlet": ps.on(PLATE["outlet"], Eq(v, 0)),
        "joint": ps.on(PLATE.interface("steel", "air"), Eq(u, v), Eq(5 * slope(u), slope(v))),
        "near": ps.on(PLATE["walls"] & PLATE["steel"], Eq(slope(u), 0)),
        "far": ps.on((PLATE["walls"] & PLATE["air"]) + PLATE["hole"], Eq(slope(v), 0)),
    }
    conditions |= changes
    return ps.Problem(
        domain=PLATE,
        equations={
            "steel": ps.on(PLATE["steel"], Eq(ps.laplacian(u, x, y), 0)),
            "air": ps.on(PLATE["air"], Eq(ps.laplacian(v, x, y), 0)),
        },
        conditions={name: condition for name, condition in conditions.items() if condition is not None},
    )


def alone() -> ps.Problem:
    """A field with an equation in one group of cells, and conditions around both."""
    equation = ps.on(PLATE["steel"], Eq(ps.laplacian(u, x, y), 0))
    return ps.Problem(domain=PLATE, equations={"steel": equation}, conditions={"rim": ps.on(PLATE.boundary, Eq(u, 0))})


def fluxes(**changes: Any) -> ps.Problem:
    """One field, and its flux as two others."""
    return ps.Problem(
        domain=PLATE,
        equations={
            "along": Eq(p, K * u.diff(x)),
            "across": Eq(q, K * u.diff(y)),
            "balance": Eq(p.diff(x) + q.diff(y), 0),
        },
        conditions={
            "inlet": ps.on(PLATE["inlet"], Eq(u, 1)),
            "outlet": ps.on(PLATE["outlet"], Eq(u, 0)),
            "rest": ps.on(PLATE["walls"] + PLATE["hole"], Eq(p * NORMAL[0] + q * NORMAL[1], 0)),
            **changes,
        },
    )


def test_every_kind_of_condition_stands_on_named_parts() -> None:
    problem = ps.Problem(
        domain=PLATE,
        equations={"poisson": Eq(ps.laplacian(u, x, y), 1)},
        conditions={
            "dirichlet": ps.on(PLATE["inlet"], Eq(u, 0)),
            "neumann": ps.on(PLATE["walls"], Eq(slope(u), x)),
            "robin": ps.on(PLATE["hole"], Eq(-slope(u), 3 * (u - 1))),
            "flux": ps.on(PLATE["outlet"], Eq(K * slope(u), -2)),
        },
    )
    for name, part in {"dirichlet": "inlet", "neumann": "walls", "robin": "hole", "flux": "outlet"}.items():
        points = term_points(problem.term(name), problem, 40)
        assert PLATE[part].contains(points[:, :2]).all()
    flux = term_points(problem.term("flux"), problem, 40)
    assert flux.shape == (40, 6)  # coordinates, normals, and which group
    np.testing.assert_array_equal(flux[:, 2:], [[1, 0, *row] for row in flux[:, 4:]])
    np.testing.assert_array_equal(np.sort(flux[:, 4:], axis=1), [[0, 1]] * 40)


def test_what_is_declared_is_printed() -> None:
    compiled = compile_problem(two())
    text = describe_problem(compiled, choose(compiled), name="two")
    for line in (
        "domain       plate_4.1_text.msh",
        'where in "steel" of plate_4.1_text.msh',
        "where on 'walls' of plate_4.1_text.msh beside 'steel' (n is the outward normal)",
        "the interface between 'steel' and 'air' of plate_4.1_text.msh: joint[0], joint[1]",
        "'hole' of plate_4.1_text.msh: far",
    ):
        assert line in text, text


@pytest.mark.parametrize(
    ("declare", "pieces"),
    [
        (lambda: two(joint=None), ("conditions on the interface", "need 2", "found 0", "continuity of the value")),
        (lambda: two(joint=ps.on(PLATE.interface("steel", "air"), Eq(u, v))), ("need 2", "found 1 (joint)")),
        (
            lambda: two(far=ps.on(PLATE["walls"] & PLATE["air"], Eq(v, 0))),
            ("conditions on 'hole'", "need 1", "found 0"),
        ),
        (alone, ("rim", "1 conditions on", "bear 0")),
        (lambda: two(near=None), ("conditions on 'walls'", "beside 'steel'", "found 0")),
        (lambda: two(more=ps.on(PLATE["hole"], Eq(v, 1))), ("far, more", "2 conditions on 'hole'", "bear 1")),
        (
            lambda: two(far=ps.on((PLATE["walls"] & PLATE["air"]) + PLATE["hole"], Eq(slope(u), 0))),
            ("far", "u on", 'declared in "steel" of plate_4.1_text.msh alone'),
        ),
        (
            lambda: two(inlet=ps.on(PLATE["inlet"], Eq(u, 1)), near=ps.on(PLATE["walls"] & PLATE["steel"], Eq(u, y))),
            ("inlet, near", "y = 0"),
        ),
        (lambda: ps.div(K * ps.grad(u, x, y), x, y), ("jumps along x", "make the flux a field", 'ps.on(mesh["steel"]')),
        (
            lambda: ps.Problem(
                domain=PLATE,
                equations=Eq(K * u.diff(x, 2) + u.diff(y, 2), 0),
                conditions=ps.on(PLATE.boundary, Eq(u, 0)),
            ),
            ("coefficient", "jumps along x", 'ps.on(mesh["steel"]'),
        ),
        (lambda: fluxes(joint=ps.on(PLATE["joint"], Eq(K * u.diff(x), 1))), ("joint", "two values")),
        (lambda: fluxes(pinned=Eq(K * u(x, 0), 1)), ("pinned", "does not range over all of the mesh")),
        (
            lambda: ps.Problem(
                domain=SQUARE, equations=Eq(K * u.diff(x), 1), conditions=ps.on(SQUARE["left"], Eq(u, 0))
            ),
            ("the symbol in[air](x, y) is not declared",),
        ),
        (
            lambda: ps.Problem(
                domain=PLATE,
                equations=Eq(ps.laplacian(u, x, y), 1),
                conditions=ps.on(PLATE.boundary, Eq(u, 0)),
                hard=True,
            ),
            ("hard=True",),
        ),
        (
            lambda: ps.Problem(domain=PLATE, equations=Eq(ps.laplacian(u, x, y), 1), conditions=Eq(u(0, y), 0)),
            ("conditions on", "need 1"),
        ),
        (
            lambda: ps.Problem(
                domain=PLATE,
                equations=Eq(ps.laplacian(u, x, y), 1),
                conditions=[ps.on(PLATE.boundary, Eq(u, 0))],
                data={"inside": ps.Observations(at={x: [0.5, 1.5], y: [0.5, 0.5]}, values={u: [1.0, 2.0]})},
            ),
            ("inside", "row 2 lies outside the domain"),
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(declare: Callable[[], Any], pieces: tuple[str, ...]) -> None:
    with pytest.raises(ps.ProblemError) as caught:
        declare()
    assert all(piece in str(caught.value) for piece in pieces), str(caught.value)


def test_a_coefficient_has_the_value_of_its_group_everywhere(known: Callable[..., Any]) -> None:
    solution = known(fluxes(), lambda a, b: 0 * a + 2, lambda a, b: a * b, lambda a, b: 0 * a)
    a, b = draw(PLATE, 300).coordinates.T
    expected = np.where(a < 1, 5, 0.5 + a)
    np.testing.assert_array_equal(solution.evaluate(K, x=a, y=b), expected)
    np.testing.assert_allclose(
        solution.residual("along", x=a, y=b),
        solution.evaluate(p, x=a, y=b) - expected * solution.evaluate(u.diff(x), x=a, y=b),
        rtol=1e-13,
        atol=1e-13,
    )
    points = term_points(solution.problem.term("along"), solution.problem, 200)
    np.testing.assert_array_equal(points[:, 2:].sum(axis=1), 1)
    with pytest.warns(UserWarning, match="outside the domain"):
        assert np.isnan(solution.evaluate(K, x=1.5, y=0.5))


def test_points_of_terms_stay_in_their_groups() -> None:
    problem = two()
    for name, sign in (("steel", -1), ("air", 1)):
        points = term_points(problem.term(name), problem, 300)
        assert (sign * (points[:, 0] - 1) >= 0).all() and PLATE.contains(points).all()
    joint = term_points(problem.term("joint[1]"), problem, 50)
    np.testing.assert_allclose(joint, [[1, row[1], 1, 0] for row in joint], atol=1e-12)
    lasting = ps.Problem(
        domain=PLATE * ps.Interval(t, 0, 1),
        equations=Eq(ps.fields("w", x, y, t).diff(t), 0),
        conditions=Eq(ps.fields("w", x, y, t)(x, y, 0), 0),
    )
    region = term_region(lasting.terms[0], lasting)
    assert region is not None and region.measure == pytest.approx(1.75)


@pytest.mark.parametrize("make", [two, fluxes], ids=["two fields", "a coefficient by groups"])
def test_problems_on_meshes_are_stored(make: Callable[[], ps.Problem], tmp_path: Path) -> None:
    problem = make()
    arrays: dict[str, Any] = {}
    data = json.loads(json.dumps(problem_to_data(problem, arrays)))
    again = problem_from_data(data, arrays)
    assert repr(again.domain) == repr(problem.domain)
    assert [repr(term.region) for term in again.terms] == [repr(term.region) for term in problem.terms]
    assert [term.residual for term in again.terms] == [term.residual for term in problem.terms]
    solution = ps.solve(problem, ps.MLP(width=4, depth=1), ps.Training(phases=[ps.Adam(steps=2)]), reference=None)
    loaded = ps.load(solution.save(tmp_path / "part"))
    assert repr(load_problem(tmp_path / "part").domain) == repr(problem.domain), "for the report, without the network"
    a, b = draw(PLATE, 50).coordinates.T
    for one, other in zip(solution(x=a, y=b), loaded(x=a, y=b), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in [term.name for term in problem.terms if term.kind == "equation"]:
        here = term_points(problem.term(name), problem, 20)
        np.testing.assert_array_equal(
            solution.residual(name, x=here[:, 0], y=here[:, 1]), loaded.residual(name, x=here[:, 0], y=here[:, 1])
        )


def test_damaged_arrays_of_a_mesh_are_refused(tmp_path: Path) -> None:
    solution = ps.solve(two(), ps.MLP(width=4, depth=1), ps.Training(phases=[ps.Adam(steps=1)]), reference=None)
    folder = solution.save(tmp_path / "part")
    file = folder / "mesh.safetensors"
    with file.open("r+b") as stream:
        stream.seek(-3, 2)
        stream.write(b"abc")
    with pytest.raises(ArchiveError, match=r"mesh.safetensors is not the file that was written"):
        ps.load(folder)
    folder = solution.save(tmp_path / "part")
    description = json.loads((folder / "model.json").read_bytes())
    del description["sha256"]  # as a former version wrote it, so that what reads the arrays is on its own
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
    whole, arrays = file.read_bytes(), safetensors.numpy.load_file(file)
    damaged = {
        "missing": None,
        "truncated": whole[:-100],
        "a huge header": (2**60).to_bytes(8, "little") + whole[8:],
        "a pickle": b"cposix\nsystem\n(S'true'\ntR.",
        "corners that do not exist": safetensors.numpy.save(arrays | {"0 cells 0": arrays["0 cells 0"] + 10**6}),
        "points that are not numbers": safetensors.numpy.save(arrays | {"0 nodes": arrays["0 nodes"] * np.nan}),
        "another kind of numbers": safetensors.numpy.save(arrays | {"0 cells 0": arrays["0 cells 0"].astype(float)}),
        "no groups": safetensors.numpy.save({k: a for k, a in arrays.items() if "group" not in k}),
    }
    for content in damaged.values():
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ArchiveError):
            ps.load(folder)
    file.write_bytes(safetensors.numpy.save(arrays | {"0 blocks": arrays["0 blocks"] + 10**15}))
    assert np.isfinite(ps.load(folder)(x=0.5, y=0.5).u)  # numbers that name nothing may be large
    data = problem_to_data(two(), arrays)
    changes: tuple[dict[str, Any], ...] = (
        {"meshes": []},
        {"meshes": [{**data["meshes"][0], "cells": ["polygon"]}]},
        {"domain": {"mesh": 7, "group": None}},
    )
    for broken in changes:
        with pytest.raises(TreeError):
            problem_from_data({**data, **broken}, arrays)
    with pytest.raises(TreeError, match="without a place for its arrays"):
        problem_to_data(two())


def test_pictures_are_drawn_on_triangles(known: Callable[..., Any]) -> None:
    from pinnsolve.plotting import error_figure, fields_figure, residual_figure

    solution = known(two(), lambda a, b: a**2 * b, lambda a, b: a**3 + b)
    solution.reference = exact_reference(solution.problem, ps.Exact({u: x * y + x**2, v: x}), unknowns={})
    for make, maps in ((fields_figure, 6), (error_figure, 2), (residual_figure, 2)):
        figure = make(solution)
        assert figure is not None
        drawn = [c for axes in figure.axes for c in axes.collections if type(c).__name__ == "TriMesh"]
        assert len(drawn) == maps
        for number, mesh in enumerate(drawn):
            corners = mesh._triangulation  # type: ignore[attr-defined]
            centres = corners.x[corners.triangles].mean(axis=1)
            first = number < 3 if maps == 6 else number == 0
            assert (centres < 1).all() if first else (centres > 1).all()
            assert len(corners.triangles) > 5_000
        figure.canvas.draw()


def test_meshes_in_space_are_drawn_in_slices(known: Callable[..., Any]) -> None:
    from pinnsolve.plotting import fields_figure

    brick = ps.Mesh.read(FOLDER / "brick_prisms.msh", coordinates=(x, y, z))
    w = ps.fields("w", x, y, z)
    problem = ps.Problem(
        domain=brick, equations=Eq(ps.laplacian(w, x, y, z), 0), conditions=ps.on(brick.boundary, Eq(w, x))
    )
    figure = fields_figure(known(problem, lambda a, b, c: a + b * c))
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 3 and all(np.isfinite(np.ma.filled(i.get_array(), np.nan)).all() for i in images)  # type: ignore[arg-type]


def trained(problem: ps.Problem, truth: Any, *, steps: int) -> ps.Solution:
    phases: list[Any] = [ps.Adam(steps=100, lr=5e-3), ps.LevenbergMarquardt(steps=steps, resample=1)]
    counts = {t.name: 300 if t.kind == "equation" else 80 for t in problem.terms}
    return ps.solve(problem, ps.MLP(width=10, depth=2), ps.Training(phases=phases, points=counts), ps.Exact(truth))


def test_a_manufactured_solution_with_every_kind_of_condition() -> None:
    truth = sin(x) * exp(y) + x
    problem = ps.Problem(
        domain=PLATE,
        equations={"poisson": Eq(ps.laplacian(u, x, y), 0)},
        conditions={
            "dirichlet": ps.on(PLATE["inlet"] + PLATE["outlet"], Eq(u, truth)),
            "neumann": ps.on(PLATE["walls"], Eq(slope(u), slope(truth))),
            "robin": ps.on(PLATE["hole"], Eq(slope(u) + 3 * u, slope(truth) + 3 * truth)),
        },
    )
    assert trained(problem, {u: truth}, steps=30).errors["u"]["relative_l2"] < 1e-3


def test_two_materials_in_layers() -> None:
    """The flux q through both is one: q / 2 + q / 8 = 1."""
    problem = ps.Problem(
        domain=SQUARE,
        equations={
            "low": ps.on(SQUARE["low"], Eq(ps.laplacian(u, x, y), 0)),
            "high": ps.on(SQUARE["high"], Eq(ps.laplacian(v, x, y), 0)),
        },
        conditions={
            "joint": ps.on(SQUARE.interface("low", "high"), Eq(u, v), Eq(slope(u), 4 * slope(v))),
            "bottom": Eq(u(x, 0), 0),
            "top": Eq(v(x, 1), 1),
            "left": ps.on(SQUARE["left"] & SQUARE["low"], Eq(slope(u), 0)),
            "left above": ps.on(SQUARE["left"] & SQUARE["high"], Eq(slope(v), 0)),
            "right": ps.on(
                (SQUARE.boundary & ps.HalfSpace(-x <= -1, coordinates=(x, y))) & SQUARE["low"], Eq(slope(u), 0)
            ),
            "right above": ps.on(
                (SQUARE.boundary & ps.HalfSpace(-x <= -1, coordinates=(x, y))) & SQUARE["high"], Eq(slope(v), 0)
            ),
        },
    )
    solution = trained(problem, {u: Rational(8, 5) * y, v: Rational(3, 5) + Rational(2, 5) * y}, steps=15)
    assert solution.errors["u"]["relative_l2"] < 1e-3 and solution.errors["v"]["relative_l2"] < 1e-3
    assert np.isnan(solution(x=0.5, y=0.75).u) and np.isnan(solution(x=0.5, y=0.25).v)
    assert solution(x=0.5, y=0.5).u == pytest.approx(0.8, abs=1e-3)


def test_heat_on_a_mesh_for_some_time() -> None:
    w = ps.fields("w", x, y, t)
    truth = exp(-2 * t) * cos(x) * cos(y)
    problem = ps.Problem(
        domain=SQUARE * ps.Interval(t, 0, 1),
        equations={"heat": Eq(w.diff(t), ps.laplacian(w, x, y))},
        conditions={"start": Eq(w(x, y, 0), truth.subs(t, 0)), "walls": ps.on(SQUARE.boundary, Eq(w, truth))},
    )
    assert trained(problem, {w: truth}, steps=20).errors["w"]["relative_l2"] < 1e-3


def test_a_run_keeps_the_hash_of_its_mesh() -> None:
    from pinnsolve.problem_file import load_problem_file

    file = load_problem_file(FOLDER.parents[1] / "problems" / "bracket.py")
    assert [table.name for table in file.tables] == ["bracket.npz", "bracket.msh"]


@pytest.mark.thorough
def test_a_run_on_a_mesh_is_resumed(tmp_path: Path) -> None:
    training = ps.Training(phases=[ps.Adam(steps=6)], points={"along": 50})
    more: dict[str, Any] = {"reference": None, "plots": False, "compile": "off"}
    whole = ps.solve(fluxes(), ps.MLP(width=4, depth=1), training, out=tmp_path / "whole", **more)
    broken = ps.solve(
        fluxes(), ps.MLP(width=4, depth=1), training, out=tmp_path / "broken", limits=ps.Limits(steps=3), **more
    )
    resumed = ps.resume(tmp_path / "broken", limits=ps.Limits(steps=6), plots=False)
    assert resumed(x=0.5, y=0.5) == whole(x=0.5, y=0.5) != broken(x=0.5, y=0.5)

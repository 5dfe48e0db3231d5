"""Integrals of a solution and the quantities that a problem wants: values, places, storage, the record, and mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from sympy import Eq, I, Matrix, Rational, exp, oo, pi, symbols

import pinnsolve as ps
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.declaration.trees import TreeError
from pinnsolve.description import describe_problem
from pinnsolve.integrals import quantities_of
from pinnsolve.solution import Solution
from pinnsolve.summary import quantity_text, summarise

x, y, t, k = symbols("x y t k")
u, v = ps.fields("u v", x, y)
w = ps.fields("w", x, t)
DISK = ps.Disk({x: 0, y: 0}, radius=1)
BODY = ps.Disk({x: 2, y: 1}, radius=Rational(1, 2))
CHANNEL = ps.Box({x: (0, 4), y: (0, 2)})
NORMAL = DISK.normal
FLUX = ps.grad(u, x, y).dot(NORMAL)
MESH = ps.Mesh.read(Path(__file__).parent / "meshes" / "plate_4.1_text.msh", coordinates=(x, y))


def membrane(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=DISK,
        equations={"load": Eq(ps.laplacian(u, x, y), 4 * x + 4)},
        conditions={"rim": ps.on(DISK.boundary, Eq(u, 0))},
        **more,
    )


@pytest.fixture(scope="module")
def field(known: Callable[..., Any]) -> Solution:
    """The field u = x^2 + y^2 + x^3 on a disk."""
    wanted = {
        "outflow": ps.Quantity(FLUX, over=DISK.boundary, known=4 * pi),
        "mass": ps.Quantity(u, over=DISK, known=1.5),
        "drop": ps.Quantity(u(1, 0) - u(0, 0)),
        "nothing": ps.Quantity(y * u, over=DISK, known=0),
    }
    return known(membrane(quantities=wanted), lambda x, y: x * x + y * y + x**3)


@pytest.fixture(scope="module")
def wave(known: Callable[..., Any]) -> Solution:
    """The field w = x e^(-t)."""
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 2)}),
        equations={"decay": Eq(w.diff(t), k * w.diff(x, 2))},
        conditions={"start": Eq(w(x, 0), x), "left": Eq(w(0, t), 0), "right": Eq(w(1, t), exp(-t))},
        unknowns={k: 3},
    )
    return known(problem, lambda x, t: x * torch.exp(-t))


def test_the_flux_through_a_boundary_is_the_integral_of_the_divergence(field: Solution) -> None:
    inside = field.integral(ps.laplacian(u, x, y), over=DISK)
    assert field.integral(FLUX, over=DISK.boundary) == pytest.approx(inside, rel=1e-6)
    assert inside == pytest.approx(4 * np.pi, rel=1e-6)


def test_a_part_of_a_region_and_of_a_boundary(field: Solution) -> None:
    square = ps.Box({x: (0, Rational(1, 2)), y: (0, Rational(1, 2))})
    assert field.integral(u, over=square) == pytest.approx(1 / 24 + 1 / 128, rel=1e-12)
    assert field.integral(u.diff(x), over=square.face(x, 0.5)) == pytest.approx(7 / 8, rel=1e-12)
    upper = DISK.boundary & ps.HalfSpace(y >= 0, coordinates=(x, y))
    assert field.integral(u * NORMAL[1], over=upper) == pytest.approx(2, rel=1e-9)


def test_coordinates_beside_the_region_are_held_one_by_one_or_many_at_once(wave: Solution) -> None:
    rod = ps.Interval(x, 0, 1)
    times = np.array([[0.0, 0.5], [1.0, 2.0]])
    np.testing.assert_allclose(wave.integral(k * w**2, over=rod, t=times), np.exp(-2 * times), rtol=1e-12)
    assert wave.integral(w, over=rod * ps.Interval(t, 0, 2)) == pytest.approx((1 - np.exp(-2)) / 2, rel=1e-9)
    assert wave.integral(w.subs(t, 1), over=rod) == pytest.approx(np.exp(-1) / 2, rel=1e-12)


def test_the_drag_of_a_closed_flow_is_its_momentum_balance(known: Callable[..., Any]) -> None:
    """A constant pressure acts on no closed body, a linear one as on the volume that it holds: Archimedes."""
    a, b, p = ps.fields("a b p", x, y)
    velocity = Matrix([a, b])
    problem = ps.Problem(
        domain=CHANNEL - BODY,
        equations={"momentum": ps.grad(p, x, y) - ps.laplacian(velocity, x, y), "mass": ps.div(velocity, x, y)},
        conditions={"walls": ps.on((CHANNEL - BODY).boundary, Eq(velocity, Matrix([0, 0])))},
    )
    values: dict[str, Any] = {"a": lambda x, y: 0 * x, "b": lambda x, y: 0 * x, "p": lambda x, y: 3 - 2 * x}
    solution = known(problem, *(values[f.func.__name__] for f in problem.fields))
    buoyancy = [solution.integral(-p * n, over=BODY.boundary) for n in BODY.normal]
    np.testing.assert_allclose(buoyancy, [2 * np.pi / 4, 0], atol=1e-12)
    inwards = (CHANNEL - BODY).boundary & ps.Box({x: (1, 3), y: (Rational(1, 4), Rational(7, 4))})
    assert solution.integral(-p * BODY.normal[0], over=inwards) == pytest.approx(-2 * np.pi / 4)


def test_groups_of_cells_and_sides_of_a_mesh(known: Callable[..., Any]) -> None:
    conductivity = MESH.where({"steel": 5, "air": 2})
    problem = ps.Problem(
        domain=MESH,
        equations={
            "steel": ps.on(MESH["steel"], Eq(ps.laplacian(u, x, y), 0)),
            "air": ps.on(MESH["air"], Eq(ps.laplacian(v, x, y), 0)),
        },
        conditions={
            "rim": ps.on(MESH["steel"].boundary, Eq(u, 0)),
            "other": ps.on(MESH["air"].boundary, Eq(v, 0)),
        },
    )
    solution = known(problem, lambda x, y: x, lambda x, y: y)
    assert solution.integral(u.diff(x), over=MESH["steel"]) == pytest.approx(MESH["steel"].measure)
    assert solution.integral(conductivity, over=MESH) == pytest.approx(
        5 * MESH["steel"].measure + 2 * MESH["air"].measure
    )
    with pytest.raises(ps.ProblemError, match=r"u\(x, y\) · \d+ of \d+ points lie where the solution is not declared"):
        solution.integral(u, over=MESH)


def test_what_a_problem_wants_is_found_beside_what_is_known(field: Solution) -> None:
    found = quantities_of(field)
    assert found["outflow"]["value"] == pytest.approx(4 * np.pi, rel=1e-9)
    assert found["outflow"]["relative_error"] < 1e-9
    assert found["mass"]["relative_error"] == pytest.approx(abs(np.pi / 2 - 1.5) / 1.5, rel=1e-6)
    assert found["drop"] == {"value": pytest.approx(2)}
    assert found["nothing"]["known"] == 0 and found["nothing"]["relative_error"] < 1e-9


def test_a_run_records_them_and_a_loaded_solution_finds_them_again(tmp_path: Path) -> None:
    q = ps.fields("q", t)
    span = ps.Interval(t, 0, 1)
    problem = ps.Problem(
        domain=span,
        equations={"decay": Eq(q.diff(t), -q)},
        conditions={"start": Eq(q(0), 1)},
        quantities={"dose": ps.Quantity(q, over=span, known=1 - exp(-1)), "end": ps.Quantity(q(1))},
    )
    training = ps.Training(points={"decay": 50}, phases=[ps.LevenbergMarquardt(steps=12)])
    solution = ps.solve(problem, ps.MLP(width=4, depth=1), training, plots=False, compile="off", out=tmp_path)
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["quantities"] == solution.quantities
    assert record["quantities"]["dose"]["relative_error"] < 1e-4
    assert record["quantities"]["end"] == {"value": pytest.approx(np.exp(-1), rel=1e-4)}
    assert "quantity   dose = 0.6321" in summarise(record) and "dose = 0.6321" in record["message"]
    loaded = ps.load(tmp_path)
    assert quantities_of(loaded) == solution.quantities == loaded.quantities


def test_they_are_stored_with_their_meshes() -> None:
    problem = ps.Problem(
        domain=MESH,
        equations={"heat": Eq(ps.laplacian(u, x, y), 0)},
        conditions={"rim": ps.on(MESH.boundary, Eq(u, 0))},
        quantities={"flux": ps.Quantity(ps.grad(u, x, y).dot(MESH.normal), over=MESH["inlet"], known=2)},
    )
    arrays: dict[str, Any] = {}
    data = json.loads(json.dumps(problem_to_data(problem, arrays)))
    read = problem_from_data(data, arrays)
    assert read.quantities["flux"].expression == problem.quantities["flux"].expression
    assert read.quantities["flux"].known == 2
    over = read.quantities["flux"].over
    assert over is not None and over.measure == pytest.approx(MESH["inlet"].measure)
    del data["quantities"]
    assert problem_from_data(data, arrays).quantities == {}
    data["quantities"] = {"flux": {"expression": ["pi"], "over": {"ball": [[["Symbol", "q", {}], 0]], "radius": 1}}}
    with pytest.raises(TreeError):
        problem_from_data(data, arrays)


def test_check_prints_them() -> None:
    from pinnsolve.choices import choose
    from pinnsolve.compiler.compile import compile_problem

    wanted = {"outflow": ps.Quantity(FLUX, over=DISK.boundary, known=4), "top": ps.Quantity(u(0, 0))}
    compiled = compile_problem(membrane(quantities=wanted))
    text = describe_problem(compiled, choose(compiled, None, None), name="membrane")
    assert "outflow\n    n[x]*u_x + n[y]*u_y over the circle of radius 1 about (0, 0), known to be 4\n" in text
    assert "top\n    u(0, 0)\n" in text


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        (FLUX, r"wanted · \w+ · give a ps.Quantity"),
        (ps.Quantity(u), r"wanted · it depends on x, y, over which it is not integrated · pin it"),
        (ps.Quantity(u(x, 0)), r"it depends on x, over"),
        (ps.Quantity(FLUX, over=DISK), r"a normal, which only a boundary has"),
        (ps.Quantity(Matrix([u, u]), over=DISK), r"is not one expression"),
        (ps.Quantity("u", over=DISK), r"is not one expression"),
        (ps.Quantity(u, over=cast(Any, (0, 1))), r"over=\(0, 1\) · give a region or a boundary"),
        (ps.Quantity(u, over=ps.Disk({x: 0, y: 0}, radius=2)), r"keep the region inside the domain"),
        (ps.Quantity(k * u, over=DISK), r"k"),
        (ps.Quantity(w, over=DISK), r"the field w\(x, t\) is not declared"),
        (ps.Quantity(I * u, over=DISK), r"it is complex"),
        (ps.Quantity(u, over=DISK, known=oo), r"known=oo · give a finite number"),
        (ps.Quantity(u, over=DISK, known=cast(Any, "3")), r"known='3' · give a finite number"),
    ],
)
def test_mistakes_are_caught_when_the_problem_is_built(quantity: Any, message: str) -> None:
    with pytest.raises(ps.ProblemError, match=message):
        membrane(quantities={"wanted": quantity})
    with pytest.raises(ps.ProblemError, match=r"quantities · list · write quantities="):
        membrane(quantities=[quantity])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s: s.integral(w, over=ps.Interval(x, 0, 1)), r"w\(x, t\) · no value for t · write integral"),
        (lambda s: s.integral(w, over=ps.Interval(x, 0, 1), x=1), r"x is not held · .* are: t"),
        (lambda s: s.integral(w, over=None), r"over=None · give a region"),
        (
            lambda s: s.integral(w, over=s.problem.domain.face(x, 1), t=1),
            r"t = 1 is held, and it is one of the coordinates .* others, such as over=ps.Box\({x: \(0, 1\)}\).face\(x, 1\)$",
        ),
        (lambda s: s.integral(w, over=s.problem.domain, t=1), r"such as over=ps.Box\({x: \(0, 1\)}\)$"),
        (lambda s: s.integral(w, over=ps.Interval(x, 0, 1), t=3), r"\d+ of \d+ points lie where"),
    ],
)
def test_mistakes_in_a_call(wave: Solution, ask: Callable[[Solution], Any], message: str) -> None:
    with pytest.raises(ps.ProblemError, match=message):
        ask(wave)


def test_an_integral_that_no_rule_finds_warns(known: Callable[..., Any]) -> None:
    solution = known(membrane(), lambda x, y: (torch.frac(1e4 * (x + 0.37 * y)) > 0.5).double())
    with pytest.warns(UserWarning, match="two rules differ by"):
        solution.integral(u, over=DISK & ps.HalfSpace(x + y <= 1, coordinates=(x, y)))


def test_numbers_in_words() -> None:
    assert quantity_text({"value": 2.0}) == "2"
    assert quantity_text({"value": 2.0, "known": 1.0, "relative_error": 1.0}) == "2 (known: 1, off by 1e+02 %)"
    assert quantity_text({"value": 0.1, "known": 0.0, "relative_error": 0.1}) == "0.1 (known: 0, off by 0.1)"
    assert quantity_text({"value": None, "known": 1.0, "relative_error": None}) == "not finite (known: 1)"

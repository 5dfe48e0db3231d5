"""Finite elements on plane regions: observed orders, estimated errors, singular corners, fluxes, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convergence import check, errors
from sympy import Eq, Integral, Matrix, Piecewise, Rational, cos, exp, eye, log, sin, symbols

import pinnsolve as ps
from pinnsolve.archive import reference_from_data, reference_to_data
from pinnsolve.cli import main
from pinnsolve.problem_file import load_problem_file
from pinnsolve.reference.result import relative_l2
from pinnsolve.reference.solve import solve_reference

FOLDER = Path(__file__).resolve().parents[1] / "problems"
x, y, z, t = symbols("x y z t")
u, v, p = ps.fields("u v p", x, y)
w = ps.fields("w", x, y, t)
q = ps.fields("q", x, y, z)

DISK = ps.Disk({x: 0, y: 0}, radius=1)
MOON = DISK - ps.Disk({x: Rational(4, 5), y: 0}, radius=Rational(7, 10))
TENT = ps.Polygon([(-2, -2), (2, -2), (0, 3)], coordinates=(x, y), holes=[[(0, 0), (0.5, 0), (0, 0.5)]])
SQUARE = ps.Box({x: (0, 1), y: (0, 1)})
LEFT = ps.HalfSpace(x <= 0, coordinates=(x, y))
WEST = DISK.boundary & LEFT
EAST = DISK.boundary - WEST
TENSOR = Matrix([[2, 1], [1, 3]])
SOLUTION, OTHER = sin(2 * x + 1) * exp(y), cos(x) * sin(3 * y)


def slope(region: Any, value: Any = 0, *, flux: Any = None) -> Eq:
    return Eq((ps.grad(u, x, y) if flux is None else flux).dot(region.normal), value)


def declare(equations: Any, domain: Any, **conditions: Any) -> ps.Problem:
    return ps.Problem(domain=domain, equations=equations, conditions=conditions)


def stress(first: Any, second: Any) -> Matrix:
    strain = Matrix(2, 2, lambda i, j: ((u, v)[i].diff((x, y)[j]) + (u, v)[j].diff((x, y)[i])) / 2)
    return first * strain.trace() * eye(2) + 2 * second * strain


def elastic(first: Any, second: Any) -> ps.Problem:
    tensor = stress(first, second)
    return declare(
        {"x": ps.div(tensor[0, :], x, y), "y": ps.div(tensor[1, :], x, y)},
        DISK,
        clamped=ps.on(WEST, Eq(u, 0), Eq(v, 0)),
        pulled=ps.on(EAST, *(tensor * DISK.normal)),
    )


LAPLACE = ps.laplacian(u, x, y)
SHAPE = (1 + x**2 / 2 + y / 4) * ps.grad(u, x, y)
STEADY: Mapping[str, tuple[Callable[[], ps.Problem], float, float]] = {
    "values on a disk": (lambda: declare(LAPLACE, DISK, rim=ps.on(DISK.boundary, Eq(u, 0))), 0.06, 0.06),
    "slopes on a disk": (lambda: declare(LAPLACE - u, DISK, rim=ps.on(DISK.boundary, slope(DISK))), 0.06, 0.06),
    "slopes alone": (lambda: declare(LAPLACE, DISK, rim=ps.on(DISK.boundary, slope(DISK))), 0.06, 0.06),
    "Robin on a moon": (lambda: declare(LAPLACE, MOON, rim=ps.on(MOON.boundary, slope(MOON, -3 * u))), 0.03, 0.03),
    "a nonlinear term on a moon": (
        lambda: declare(LAPLACE - u**3 - exp(u), MOON, rim=ps.on(MOON.boundary, Eq(u, 0))),
        0.03,
        0.03,
    ),
    "variable coefficients on a polygon with a hole": (
        lambda: declare(
            ps.div(SHAPE, x, y) + 3 * u.diff(x) - u,
            TENT,
            hole=ps.on(TENT.hole(0), slope(TENT, flux=SHAPE)),
            out=ps.on(TENT.boundary - TENT.hole(0), Eq(u, 0)),
        ),
        0.12,
        0.12,
    ),
    "no divergence": (
        lambda: declare(
            (1 + x**2) * u.diff(x, 2) + x * y / 4 * u.diff(x, y) + (2 + y) * u.diff(y, 2),
            DISK,
            rim=ps.on(DISK.boundary, Eq(u, 0)),
        ),
        0.06,
        0.06,
    ),
    "a tensor and its own slope": (
        lambda: declare(
            ps.div(TENSOR * ps.grad(u, x, y), x, y),
            DISK,
            rim=ps.on(DISK.boundary, slope(DISK, -u, flux=TENSOR * ps.grad(u, x, y))),
        ),
        0.04,
        0.04,
    ),
    "a coefficient of the field, mixed": (
        lambda: declare(
            ps.div((1 + u**2) * ps.grad(u, x, y), x, y),
            DISK,
            west=ps.on(WEST, slope(DISK, -u, flux=(1 + u**2) * ps.grad(u, x, y))),
            east=ps.on(EAST, Eq(u, 0)),
        ),
        0.05,
        0.03,
    ),
    "two fields": (
        lambda: declare(
            {"first": LAPLACE - u * v, "second": 2 * ps.laplacian(v, x, y) + u.diff(x) - v},
            DISK,
            rim=ps.on(DISK.boundary, Eq(u, 0)),
            other=ps.on(DISK.boundary, Eq(ps.grad(v, x, y).dot(DISK.normal), u - v)),
        ),
        0.06,
        0.06,
    ),
    "elasticity with traction": (lambda: elastic(2, 1), 0.02, 0.04),
    "a graded material": (lambda: elastic(2 + x, 1 + y**2 / 3), 0.02, 0.04),
}


QUADRATIC = {
    "slopes alone",
    "no divergence",
    "a tensor and its own slope",
    "elasticity with traction",
    "a graded material",
}
"""Cases whose weak form is what is asked, by elements of one order."""


@pytest.mark.parametrize(("name", "order"), [(n, o) for n in STEADY for o in (1, 2) if o == 2 or n not in QUADRATIC])
def test_observed_orders_and_estimates(name: str, order: int) -> None:
    declared, *sizes = STEADY[name]
    problem = declared()
    truth = dict(zip((u, v), (SOLUTION, OTHER), strict=True))
    check(problem, {f: truth[f] for f in problem.fields}, size=sizes[order - 1], order=order)


@pytest.mark.parametrize(("order", "least"), [(1, 1.25), (2, 1.25)])
def test_the_corner_of_an_l_costs_order_and_the_estimate_says_so(order: int, least: float) -> None:
    file = load_problem_file(FOLDER / "lshape.py")
    reference = solve_reference(file.problem, ps.FiniteElements(0.05, order=order), unknowns={})
    found = [row["u"] for row in errors(file.problem, reference, file.reference.fields)]
    assert least < np.log2(found[-2] / found[-1]) < 1.5
    assert 1 / 3 < reference.estimated_relative_l2["u"] / found[-1] < 3


def test_values_are_as_good_between_nodes_and_unknown_outside() -> None:
    truth = sin(3 * x) * exp(y)
    problem = ps.manufactured(declare(LAPLACE, MOON, rim=ps.on(MOON.boundary, Eq(u, 0))), {u: truth})
    reference = solve_reference(problem, ps.FiniteElements(0.05), unknowns={})
    rim = MOON.boundary.points(lambda n, d: np.random.default_rng(0).random((n, d)), 500).coordinates
    values = reference.evaluate(rim)["u"]
    assert np.abs(values - np.sin(3 * rim[:, 0]) * np.exp(rim[:, 1])).max() < 1e-4
    assert np.isnan(reference.evaluate(np.array([[0.8, 0.0], [2.0, 0.0]]))["u"]).all()


def test_a_flux_is_a_field_and_may_jump_or_depend_on_slopes() -> None:
    """u = x on the left and x/5 on the right have the flux 1; q = (1 + |grad v|^2) grad v with v = x^2/2 is (1 + x^2) x."""
    k = Piecewise((1, x < 0), (5, True))
    domain = ps.Box({x: (-1, 1), y: (0, 1)})
    ends = {"left": Eq(p(-1, y), -1), "right": Eq(u(1, y), 1), "rest": [Eq(v(x, 0), 0), Eq(v(x, 1), 0)]}
    laws = {"a": Eq(u, k * p.diff(x)), "b": Eq(v, k * p.diff(y)), "c": Eq(u.diff(x) + v.diff(y), 0)}
    reference = solve_reference(declare(laws, domain, **ends), ps.FiniteElements(0.05), unknowns={})
    true = np.where(reference.points[:, 0] < 0, reference.points[:, 0], reference.points[:, 0] / 5)
    error = relative_l2(reference.values["p"] - true, true, free_constant=False)
    assert error < 1e-2 and 1 / 3 < reference.estimated_relative_l2["p"] / error < 3
    steep = 1 + p.diff(x) ** 2 + p.diff(y) ** 2
    laws = {"a": Eq(u, steep * p.diff(x)), "b": Eq(v, steep * p.diff(y)), "c": Eq(u.diff(x) + v.diff(y), 1 + 3 * x**2)}
    problem = declare(laws, DISK, rim=ps.on(DISK.boundary, Eq(p, x**2 / 2)))
    reference = solve_reference(problem, ps.FiniteElements(0.1), unknowns={})
    assert np.abs(reference.values["p"] - reference.points[:, 0] ** 2 / 2).max() < 1e-4
    assert np.abs(reference.values["u"] - reference.points[:, 0] * (1 + reference.points[:, 0] ** 2)).max() < 2e-2


def test_conditions_may_pin_a_coordinate_and_periods_are_refused() -> None:
    sides = {"left": Eq(u(0, y), 0), "right": Eq(u.diff(x).subs(x, 1), 1), "low": Eq(u(x, 0), x)}
    problem = declare(LAPLACE, SQUARE, **sides, top=Eq(u(x, 1), x))
    reference = solve_reference(problem, ps.FiniteElements(0.2), unknowns={})
    assert np.abs(reference.values["u"] - reference.points[:, 0]).max() < 1e-12


@pytest.mark.parametrize(
    ("declared", "pieces"),
    [
        (
            lambda: declare(ps.laplacian(LAPLACE, x, y) - 1, DISK, rim=ps.on(DISK.boundary, Eq(u, 0), slope(DISK))),
            ("fourth order",),
        ),
        (
            lambda: (
                (ball := ps.Ball({x: 0, y: 0, z: 0}, radius=1))
                and declare(ps.laplacian(q, x, y, z) - 1, ball, rim=ps.on(ball.boundary, Eq(q, 0)))
            ),
            ("three space coordinates",),
        ),
        (
            lambda: declare(LAPLACE - u, DISK, rim=ps.on(DISK.boundary, Eq(u.diff(x) * (2 + DISK.normal[0]), 0))),
            ("rim", "not along"),
        ),
        (
            lambda: declare(
                {"x": LAPLACE, "y": ps.laplacian(v, x, y)},
                DISK,
                rim=ps.on(DISK.boundary, *(stress(2, 1) * DISK.normal)),
            ),
            ("rim", "not along"),
        ),
        (
            lambda: declare(LAPLACE + Integral(u * x, (x, -1, 1)), DISK, rim=ps.on(DISK.boundary, Eq(u, 0))),
            ("the integral",),
        ),
        (lambda: declare(u.diff(x, 2) - u.diff(y, 2), DISK, rim=ps.on(DISK.boundary, Eq(u, 0))), ("not elliptic",)),
        (
            lambda: declare(u.diff(x) + u.diff(y), DISK, rim=ps.on(DISK.boundary & LEFT, Eq(u, 0))),
            ("first derivatives",),
        ),
        (lambda: declare(LAPLACE + u(x / 2, y), DISK, rim=ps.on(DISK.boundary, Eq(u, 0))), ("argument x/2",)),
        (lambda: declare(LAPLACE - 1, DISK, rim=ps.on(DISK.boundary, slope(DISK))), ("do not balance",)),
        (
            lambda: declare(
                ps.div((1 + u.diff(x) ** 2) * ps.grad(u, x, y), x, y) - 1, DISK, rim=ps.on(DISK.boundary, Eq(u, 0))
            ),
            ("depends on slopes", "flux"),
        ),
        (
            lambda: declare(
                LAPLACE,
                SQUARE,
                sides=[Eq(u(0, y), 0), Eq(u(1, y), 0)],
                low=Eq(u(x, 0), u(x, 1)),
                steep=Eq(u.diff(y).subs(y, 0), u.diff(y).subs(y, 1)),
            ),
            ("low", "several places"),
        ),
    ],
)
def test_what_has_no_weak_form_is_refused_with_the_reason(
    declared: Callable[[], ps.Problem], pieces: tuple[str, ...]
) -> None:
    with pytest.raises(ps.UnsupportedError) as caught:
        solve_reference(declared(), ps.FiniteElements(), unknowns={})
    assert all(piece in str(caught.value) for piece in ("no ", "reference", *pieces)), str(caught.value)


def test_logarithms_begin_at_one_and_settings_are_checked() -> None:
    problem = declare(LAPLACE - log(u), DISK, rim=ps.on(DISK.boundary, Eq(u, 2)))
    assert solve_reference(problem, ps.FiniteElements(0.2), unknowns={}).estimated_relative_l2["u"] < 1e-4
    for wrong in ({"size": 0}, {"order": 3}, {"seconds": 0}):
        with pytest.raises(ps.ProblemError, match=next(iter(wrong))):
            ps.FiniteElements(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ps.ProblemError, match="nodes"):
        solve_reference(problem, ps.FiniteElements(1e-5), unknowns={})


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "skfem", None)
    with pytest.raises(ps.UnsupportedError, match=r'pip install "pinnsolve\[fem\]"'):
        solve_reference(declare(LAPLACE, DISK, rim=ps.on(DISK.boundary, Eq(u, 0))), ps.FiniteElements(), unknowns={})


def test_verify_prints_the_table_of_meshes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (FOLDER / "disk.py").read_text(encoding="utf-8")
    file = tmp_path / "membrane.py"
    file.write_text(text[: text.index("reference = ")] + "reference = ps.FiniteElements(0.2)\n", encoding="utf-8")
    assert main(["verify", str(file), "--tol", "1e-4"]) == 0
    output = capsys.readouterr().out
    assert "quadratic finite elements on" in output and "352 triangles" in output
    assert main(["verify", str(file), "--manufactured", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    orders = [row["error_order"] for row in outcome["table"][1:]]
    assert all(2.8 < order < 3.2 for order in orders) and outcome["errors"]["u"]["relative_l2"] < 1e-4


def test_it_is_the_reference_of_a_run_on_a_disk_and_is_stored_with_it() -> None:
    problem = declare(LAPLACE + 1, DISK, rim=ps.on(DISK.boundary, Eq(u, 0)))
    training = ps.Training(points={"equation": 50}, phases=[ps.Adam(steps=2)])
    solution = ps.solve(problem, ps.MLP(width=4, depth=1), training, compile="off", plots=False)
    assert solution.reference is not None and solution.reference.kind == "finite_element"
    assert solution.record["classical"]["method"] == solution.reference.method
    spec = ps.FiniteElements(0.1, order=1, seconds=7)
    assert reference_from_data(json.loads(json.dumps(reference_to_data(spec)))) == spec
    assert reference_from_data(reference_to_data(ps.FiniteElements())) == ps.FiniteElements()

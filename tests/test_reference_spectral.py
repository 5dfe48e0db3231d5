"""Fourier series in space and ETDRK4 in time: exact solutions, the observed order, the honesty of the estimate, and refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from sympy import (
    Abs,
    Eq,
    Expr,
    I,
    Integral,
    Rational,
    Symbol,
    cos,
    cosh,
    exp,
    lambdify,
    pi,
    sin,
    symbols,
)

import pinnsolve as ps
from pinnsolve.archive import ArchiveError, description_sum
from pinnsolve.compiler.trial import build_trial
from pinnsolve.reference.etdrk4 import Semilinear, integrate, phi_functions
from pinnsolve.reference.result import Reference
from pinnsolve.reference.solve import solve_reference
from pinnsolve.reference.spectral import read_periodic
from pinnsolve.reference.waves import Waves

x, t, y = symbols("x t y")
u, v = ps.fields("u v", x, t)
h = ps.fields("h", x, t)
nu = Symbol("nu")
FOREVER = float("inf")


def periodic(field: Any, order: int, ends: tuple[Any, Any]) -> list[Eq]:
    """Return the conditions that a field and its slopes below an order are equal at both ends."""
    sides = [[field.diff(x, k).subs(x, end) if k else field.subs(x, end) for end in ends] for k in range(order)]
    return [Eq(*side) for side in sides]


def evolve(
    equations: Any,
    solution: Mapping[Any, Expr],
    orders: Mapping[Any, int],
    *,
    ends: tuple[Any, Any] = (0, 1),
    span: tuple[Any, Any] = (0, 1),
    rates: bool = False,
    swapped: bool = False,
    **more: Any,
) -> ps.Problem:
    """Declare a problem whose initial values are those of a solution."""
    sides = {t: span, x: ends} if swapped else {x: ends, t: span}
    conditions = [Eq(field.subs(t, span[0]), solution[field].subs(t, span[0])) for field in solution]
    if rates:
        conditions += [Eq(f.diff(t).subs(t, span[0]), solution[f].diff(t).subs(t, span[0])) for f in solution]
    seams = [c for field, order in orders.items() for c in periodic(field, order, ends)]
    return ps.Problem(domain=ps.Box(sides), equations=equations, conditions=[*conditions, *seams], **more)


def true_error(problem: ps.Problem, reference: Reference, solution: Mapping[Any, Expr]) -> float:
    """Return the largest relative L2 error of the fields at the reference's points."""
    errors = []
    for field, form in solution.items():
        values = lambdify(problem.coordinates, form, "scipy")(*reference.points.T)
        difference = reference.values[field.func.__name__] - values
        errors.append(np.linalg.norm(difference) / np.linalg.norm(values))
    return float(max(errors))


def solve(problem: ps.Problem, modes: int, steps: int | None = None, **more: Any) -> Reference:
    return solve_reference(problem, ps.Spectral(modes, steps=steps, **more), unknowns={})


WAVE = 2 * pi
FRONT = exp(sin(WAVE * (x - 3 * t)))
SOLITON = 2 / cosh(x - 4 * t - 1) ** 2
MIXED = sin(WAVE * x - WAVE * t / (1 + WAVE**2)) + 2
TURN = WAVE**2 / 2
FORCED = sin(WAVE * x + t) * exp(-t / 2) + Rational(1, 2)
LINEAR = {
    "advection": (evolve(Eq(u.diff(t), -3 * u.diff(x)), {u: FRONT}, {u: 1}), {u: FRONT}),
    "heat": (
        evolve(
            Eq(u.diff(t), u.diff(x, 2) / 50),
            {
                u: (
                    form := 1
                    + sin(WAVE * x) * exp(-(WAVE**2) * t / 50)
                    + cos(2 * WAVE * x) * exp(-4 * WAVE**2 * t / 50)
                )
            },
            {u: 2},
            swapped=True,
        ),
        {u: form},
    ),
    "a wave over ten periods": (
        evolve(
            Eq(u.diff(t, 2), 4 * u.diff(x, 2)),
            {u: (standing := cos(2 * WAVE * t) * sin(WAVE * x) + t + 1)},
            {u: 2},
            span=(0, 5),
            rates=True,
        ),
        {u: standing},
    ),
    "two real fields of Schroedinger's equation": (
        evolve(
            {"real": Eq(u.diff(t), -v.diff(x, 2) / 2), "imaginary": Eq(v.diff(t), u.diff(x, 2) / 2)},
            {u: (real := cos(WAVE * x - TURN * t)), v: (imaginary := sin(WAVE * x - TURN * t))},
            {u: 2, v: 2},
        ),
        {u: real, v: imaginary},
    ),
    "mixed derivatives, from another start": (
        evolve(Eq(u.diff(t) - u.diff(x, x, t) + u.diff(x), 2 * u - 2 * u), {u: MIXED}, {u: 2}, span=(1, 3)),
        {u: MIXED},
    ),
}
NONLINEAR = {
    "a soliton of Korteweg and de Vries": (
        evolve(Eq(u.diff(t) + 6 * u * u.diff(x) + u.diff(x, 3), 0), {u: SOLITON}, {u: 3}, ends=(-18, 22)),
        {u: SOLITON},
        256,
        1_024,
    ),
    "a forced reaction and diffusion": (
        evolve(
            Eq(u.diff(t), u.diff(x, 2) / 10 - u**3 + (FORCED.diff(t) - FORCED.diff(x, 2) / 10 + FORCED**3)),
            {u: FORCED},
            {u: 2},
        ),
        {u: FORCED},
        64,
        256,
    ),
    "a speed that depends on the place": (
        evolve(
            Eq(u.diff(t) + (2 + cos(WAVE * x)) * u.diff(x), FORCED.diff(t) + (2 + cos(WAVE * x)) * FORCED.diff(x)),
            {u: FORCED},
            {u: 1},
        ),
        {u: FORCED},
        64,
        256,
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_what_is_linear_is_solved_to_rounding(name: str) -> None:
    problem, solution = LINEAR[name]
    reference = solve(problem, 256, 256)
    assert reference.kind == "spectral" and "ETDRK4" in reference.method
    assert true_error(problem, reference, solution) < 1e-10


@pytest.mark.parametrize("name", NONLINEAR)
def test_the_estimated_error_bounds_the_true_one(name: str) -> None:
    problem, solution, modes, steps = NONLINEAR[name]
    for factor in (1, 2):
        reference = solve(problem, factor * modes, factor * steps)
        error = true_error(problem, reference, solution)
        assert error < 1e-6
        assert error < max(reference.estimated_relative_l2.values()) < 1e-4


@pytest.mark.parametrize("name", NONLINEAR)
def test_the_order_in_time_is_four(name: str) -> None:
    problem, solution, modes, steps = NONLINEAR[name]
    read = read_periodic(problem, {})
    span = problem.bounds[t]
    places = read.low + read.length * np.arange(modes) / modes
    truth = lambdify([x, t], solution[u], "scipy")(places, span[1])
    errors = []
    for count in (steps // 4, steps // 2):
        _, states = integrate(read.system(modes), span=span, steps=count, keep=count, deadline=FOREVER)
        errors.append(np.linalg.norm(np.fft.irfft(states[-1, 0], modes, norm="forward") - truth))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.25)


def test_a_complex_field_is_two_real_ones() -> None:
    wave = exp(I * (WAVE * x - (WAVE**2 / 2 - 1) * t))
    problem = evolve(Eq(I * h.diff(t) + h.diff(x, 2) / 2 + Abs(h) ** 2 * h, 0), {h: wave}, {h: 2})
    reference = solve(problem, 64, 512)
    angle = 2 * np.pi * reference.points[:, 0] - (2 * np.pi**2 - 1) * reference.points[:, 1]
    parts = [reference.values[f.func.__name__] for f in problem.fields]
    np.testing.assert_allclose(parts[0] + 1j * parts[1], np.exp(1j * angle), atol=1e-7)


def test_steps_are_chosen_where_they_are_left_out() -> None:
    problem, solution, *_ = NONLINEAR["a forced reaction and diffusion"]
    reference = solve(problem, 64)
    assert true_error(problem, reference, solution) < 1e-9
    assert reference.estimated_relative_l2["u"] < 1e-8


def test_values_whose_slopes_differ_at_the_seam_lose_no_digits() -> None:
    problem = evolve(Eq(u.diff(t), u.diff(x, 2) / 20), {u: x * (1 - x)}, {u: 2})
    reference = solve(problem, 512, 64)
    place, time = reference.points[reference.points[:, 1] > 0].T
    truth = np.full(place.shape, 1 / 6)
    for k in range(1, 80):
        truth -= np.cos(2 * np.pi * k * place) / (np.pi * k) ** 2 * np.exp(-((2 * np.pi * k) ** 2) * time / 20)
    np.testing.assert_allclose(reference.values["u"][reference.points[:, 1] > 0], truth, atol=1e-12)
    first = np.linspace(0, 1, 8)
    np.testing.assert_allclose(
        reference.evaluate(np.stack([first, 0 * first], axis=1))["u"], first * (1 - first), atol=0
    )


def test_finite_differences_of_the_same_declaration_agree() -> None:
    problem = evolve(Eq(u.diff(t) + u * u.diff(x), u.diff(x, 2) / 50), {u: sin(WAVE * x) + t}, {u: 2}, span=(0, 0.5))
    fourier = solve(problem, 256, 1_024)
    differences = solve_reference(problem, ps.FiniteDifferences(cells={x: 512}), unknowns={})
    assert fourier.estimated_relative_l2["u"] < 1e-8
    gap = np.linalg.norm(differences.evaluate(fourier.points)["u"] - fourier.values["u"])
    assert gap < 1e-4 * np.linalg.norm(fourier.values["u"])


def test_where_the_period_begins_does_not_matter() -> None:
    hump = exp(sin(x))
    problems = [
        evolve(
            Eq(u.diff(t) + u * u.diff(x) + u.diff(x, 3) / 10, 0),
            {u: hump},
            {u: 3},
            ends=(low, low + 2 * pi),
            span=(0, 0.5),
        )
        for low in (0, 1)
    ]
    one, other = (solve(problem, 128, 512) for problem in problems)
    points = np.stack([np.linspace(1, 6, 40), np.linspace(0, 0.5, 40)], axis=1)
    np.testing.assert_allclose(one.evaluate(points)["u"], other.evaluate(points)["u"], rtol=1e-9)
    assert np.isnan(one.evaluate(np.array([[7.0, 0.1]]))["u"]).all()


def test_unknowns_are_held_at_what_is_given() -> None:
    form = sin(WAVE * x) * exp(-(WAVE**2) * t / 50)
    problem = evolve(Eq(u.diff(t), nu * u.diff(x, 2)), {u: form}, {u: 2}, unknowns={nu: 1})
    reference = solve(problem, 64, 64, unknowns={nu: 1 / 50})
    assert true_error(problem, reference, {u: form}) < 1e-11


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-2, 1.0, 40.0])
@pytest.mark.parametrize("turn", [-1, 1j, 0.3 - 2j])
def test_the_phi_functions_are_blocks_of_an_exponential(size: float, turn: complex) -> None:
    n = 3
    z = np.asarray(
        size * turn * (np.eye(n) + 0.2 * np.random.default_rng(5).standard_normal((n, n))), dtype=np.complex128
    )
    large = np.zeros((4 * n, 4 * n), dtype=complex)
    large[:n, :n] = z
    for k in range(3):  # exp of this has e^z, phi_1, phi_2, phi_3 of z in its first row of blocks
        large[k * n : (k + 1) * n, (k + 1) * n : (k + 2) * n] = np.eye(n)
    blocks = expm(large)[:n].reshape(n, 4, n).swapaxes(0, 1)
    for found, expected in zip(phi_functions(z[:, :, None]), blocks, strict=True):
        np.testing.assert_allclose(found[:, :, 0], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_a_jordan_block_is_no_special_case() -> None:
    z = np.array([[0, 2.0], [0, 0]], dtype=complex)[:, :, None]
    one = np.eye(2)
    for k, (found, factorial) in enumerate(zip(phi_functions(z), (1, 1, 2, 6), strict=True)):
        np.testing.assert_allclose(found[:, :, 0], one / factorial + z[:, :, 0] / (factorial * (k + 1)), atol=1e-15)


def test_a_scalar_equation_is_integrated_with_order_four() -> None:
    system = Semilinear(
        np.full((1, 1, 1), -2.0 + 0j), lambda c, time: -(c**2) * np.cos(time), np.full((1, 1), 1.0 + 0j)
    )
    ends = [
        integrate(system, span=(0, 2), steps=n, keep=n, deadline=FOREVER)[1][-1, 0, 0] for n in (32, 64, 128, 2_048)
    ]
    errors = np.abs(np.array(ends[:3]) - ends[3])
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 4, atol=0.2)


def test_between_the_kept_states_the_interpolation_is_of_order_eight() -> None:
    def error(count: int) -> float:
        times = np.linspace(0, 1, count + 1)
        states = np.exp(2j * times)[:, None] * np.array([0.0, 0.5])
        waves = Waves.of(states, times, columns=(0, 1), low=0.0, length=1.0, initial=lambda x: np.cos(2 * np.pi * x))
        place, time = np.random.default_rng(3).uniform(size=(2, 200))
        return float(np.abs(waves(np.stack([place, time], axis=1)) - np.cos(2 * np.pi * place + 2 * time)).max())

    assert np.log2(error(8) / error(16)) == pytest.approx(8, abs=1)


def test_scattered_points_and_a_grid_have_the_same_values() -> None:
    problem, _, modes, steps = NONLINEAR["a forced reaction and diffusion"]
    reference = solve(problem, modes, steps)
    some = np.random.default_rng(2).permutation(len(reference.points))[:40]
    np.testing.assert_allclose(reference.evaluate(reference.points[some])["u"], reference.values["u"][some], atol=1e-13)


HEAT = Eq(u.diff(t), u.diff(x, 2))
SEAM = periodic(u, 2, (0, 1))
START = Eq(u(x, 0), sin(WAVE * x))
STRIP = ps.Box({x: (0, 1), t: (0, 1)})
w = ps.fields("w", x, y, t)
k = ps.fields("k", t)


@pytest.mark.parametrize(
    ("domain", "equations", "conditions", "found"),
    [
        (STRIP, HEAT, [START, Eq(u(0, t), 0), Eq(u(1, t), 0)], "nothing declares x periodic"),
        (STRIP, (2 + sin(WAVE * x)) * u.diff(t) - u.diff(x), [START, *SEAM[:1]], "coefficient that is not constant"),
        (
            ps.Box({x: (0, 1), t: (0, 1)}),
            u.diff(x, 2) + u.diff(t, 2) - u,
            [Eq(u(x, 0), 1), Eq(u(x, 1), 1), *SEAM],
            "no coordinate has initial conditions",
        ),
        (STRIP, u.diff(x, t) - u, [START, *SEAM[:1]], "do not determine the rate of every wave"),
        (STRIP, HEAT.lhs - HEAT.rhs - u(0, t) * u, [START, *SEAM], "a field at a fixed place"),
        (ps.Interval(t, 0, 1), k.diff(t) + k, [Eq(k(0), 1)], "not a box of one space coordinate and time"),
        (
            ps.Box({x: (0, 1), y: (0, 1), t: (0, 1)}),
            w.diff(t) - w.diff(x),
            [Eq(w(x, y, 0), 1), Eq(w(0, y, t), w(1, y, t))],
            "not a box of one space coordinate and time",
        ),
        (
            STRIP,
            HEAT.lhs - HEAT.rhs - Integral(u(y, t), (y, 0, 1)),
            [START, *SEAM],
            "no spectral reference: the integral",
        ),
    ],
    ids=["walls", "varying rate", "no evolution", "no mean", "fixed place", "ordinary", "two of space", "integral"],
)
def test_another_kind_of_problem_is_refused(domain: Any, equations: Any, conditions: Any, found: str) -> None:
    problem = ps.Problem(domain=domain, equations=equations, conditions=conditions)
    with pytest.raises(ps.UnsupportedError, match=found):
        solve(problem, 64, 64)


@pytest.mark.parametrize(
    "wrong",
    [{"modes": 100}, {"modes": 56}, {"modes": 64.0}, {"steps": 32}, {"steps": 66}, {"seconds": 0.0}, {"seconds": -1}],
    ids=str,
)
def test_numbers_that_make_no_grids_are_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(ps.ProblemError, match=f"{next(iter(wrong))}="):
        ps.Spectral(**wrong)


def test_steps_that_are_too_long_are_said_to_be() -> None:
    stiff = evolve(Eq(u.diff(t), (1 + u**2) * u.diff(x, 2)), {u: 3 + sin(WAVE * x)}, {u: 2})
    with pytest.raises(ps.UnsupportedError, match=r"no finite values with 64 steps.*steps=\.\.\."):
        solve(stiff, 512, 64)


def test_a_time_limit_that_is_too_short_is_said_to_be() -> None:
    problem, _, modes, _ = NONLINEAR["a soliton of Korteweg and de Vries"]
    with pytest.raises(ps.UnsupportedError, match=r"of 100000 steps.*seconds="):
        solve(problem, modes, 400_000, seconds=0.2)


def test_a_solution_keeps_its_reference(tmp_path: Path) -> None:
    problem, *_ = NONLINEAR["a forced reaction and diffusion"]
    trial = build_trial(problem, ps.MLP(width=4, depth=2), seed=0, dtype=torch.float64, device="cpu")
    for spec in (ps.Spectral(), ps.Spectral(128, steps=256, unknowns={nu: 0.1}, seconds=9.0)):
        solution = ps.Solution(problem, trial, ps.MLP(width=4, depth=2), {}, reference_spec=spec)
        assert ps.load(solution.save(tmp_path / "s")).reference_spec == spec
    description = json.loads((tmp_path / "s" / "model.json").read_bytes())
    description["reference"]["modes"] = 100000000
    description["sha256"]["model.json"] = description_sum(description)
    (tmp_path / "s" / "model.json").write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(ArchiveError, match="more than"):
        ps.load(tmp_path / "s")

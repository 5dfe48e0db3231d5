"""Scales: problems in SI units against their twins in none, covariance under changes of units, and what is left as it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Eq, Expr, cos, exp, pi, sin, symbols
from torch import nn

import pinnsolve as ps
from pinnsolve.choices import choose, meet_conditions
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.declaration.scales import Scales, find_scales
from pinnsolve.declaration.storage import TreeError, problem_from_data, problem_to_data
from pinnsolve.monitoring.adaptation import adapt
from pinnsolve.networks import Windows
from pinnsolve.problem_file import load_problem_file
from pinnsolve.scaling import complete

x, t = symbols("x t")
PROBLEMS = sorted((Path(__file__).resolve().parents[1] / "problems").glob("*.py"))


def bar(
    length: float, time: float, diffusivity: float, low: float, high: float, *, hard: bool | None = None
) -> tuple[ps.Problem, Expr]:
    """Heat in a bar whose ends are held cold."""
    u = ps.fields("u", x, t)
    start = low + (high - low) * sin(pi * x / length)
    problem = ps.Problem(
        domain=ps.Box({x: (0, length), t: (0, time)}),
        equations={"heat": Eq(u.diff(t), diffusivity * u.diff(x, 2))},
        conditions={"start": Eq(u(x, 0), start), "left": Eq(u(0, t), low), "right": Eq(u(length, t), low)},
        hard=hard,
    )
    decay = exp(-diffusivity * pi**2 * t / length**2)
    return problem, low + (high - low) * sin(pi * x / length) * decay


def rod(length: float, modulus: float, force: float) -> tuple[ps.Problem, Expr]:
    """An elastic rod under its own weight, clamped at one end."""
    u = ps.fields("u", x)
    problem = ps.Problem(
        domain=ps.Interval(x, 0, length),
        equations={"balance": Eq(modulus * u.diff(x, 2) + force * (1 + x / length), 0)},
        conditions={"clamped": Eq(u(0), 0), "free": Eq(u.diff(x).subs(x, length), 0)},
        hard=False,
    )
    return problem, force / modulus * (3 * length * x / 2 - x**2 / 2 - x**3 / (6 * length))


def wall(length: float, conductivity: float, transfer: float, source: float, air: float) -> tuple[ps.Problem, Expr]:
    """A heated wall, insulated on one side and cooled by air on the other."""
    u = ps.fields("u", x)
    slope = u.diff(x).subs(x, length)
    problem = ps.Problem(
        domain=ps.Interval(x, 0, length),
        equations={"wall": Eq(conductivity * u.diff(x, 2) + source, 0)},
        conditions={
            "insulated": Eq(u.diff(x).subs(x, 0), 0),
            "cooled": Eq(conductivity * slope + transfer * (u(length) - air), 0),
        },
    )
    return problem, air + source * length / transfer + source / (2 * conductivity) * (length**2 - x**2)


def spring(mass: float, stiffness: float, displaced: float) -> tuple[ps.Problem, Expr]:
    u, frequency = ps.fields("u", t), math.sqrt(stiffness / mass)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 6 / frequency),
        equations={"spring": Eq(mass * u.diff(t, 2) + stiffness * u, 0)},
        conditions={"displaced": Eq(u(0), displaced), "at_rest": Eq(u.diff(t).subs(t, 0), 0)},
        hard=False,
    )
    return problem, displaced * cos(frequency * t)


STEEL = 1.2e-5
TWINS: dict[str, tuple[Callable[[], tuple[ps.Problem, Expr]], Callable[[], tuple[ps.Problem, Expr]]]] = {
    "a steel bar": (lambda: bar(0.5, 5e3, STEEL, 300, 800), lambda: bar(1, 5e3 * STEEL / 0.25, 1, 0, 1)),
    "with conditions in the loss": (
        lambda: bar(0.5, 5e3, STEEL, 300, 800, hard=False),
        lambda: bar(1, 5e3 * STEEL / 0.25, 1, 0, 1, hard=False),
    ),
    "an elastic rod": (lambda: rod(2, 2e11, 7.8e7), lambda: rod(1, 1, 1)),
    "a heated wall": (lambda: wall(0.2, 40, 25, 1e5, 293), lambda: wall(1, 1, 25 * 0.2 / 40, 1, 0)),
    "a spring": (lambda: spring(2e-3, 5e4, 1e-6), lambda: spring(1, 1, 1)),
}


def scales_of(problem: ps.Problem) -> Scales:
    return complete(problem)[0].scales


def error(problem: ps.Problem, exact: Expr, *, seed: int = 0, steps: int = 100, **options: Any) -> float:
    """The root mean square error by that of the solution's variation, which no offset flatters."""
    (field,) = problem.fields
    phases: list[Any] = [ps.Adam(steps=100, lr=5e-3), ps.LevenbergMarquardt(steps=steps, resample=1)]
    met = meet_conditions(problem)[0].exact
    points = {e.name: 300 if len(e.free) > 1 else 60 for e in problem.terms if e.free and e.name not in met}
    training = ps.Training(points=points, phases=phases, **options)
    solution = ps.solve(
        problem, ps.MLP(width=12, depth=2), training, ps.Exact({field: exact}), compile="off", seed=seed
    )
    assert solution.reference is not None
    reference = np.asarray(solution.reference.values["u"])
    return float(solution.errors["u"]["relative_l2"]) * float(np.sqrt((reference**2).mean()) / reference.std())


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_a_problem_in_si_units_trains_as_well_as_its_twin(name: str) -> None:
    ours, twin = (np.median([error(*build(), seed=seed) for seed in range(7)]) for build in TWINS[name])
    print(f"{name}: {ours:.1e}, its twin {twin:.1e}")
    assert ours < 2 * twin


@pytest.mark.parametrize("waves", [1, 20])
def test_velocities_are_reckoned_by_the_frequency_however_long_one_looks(waves: int) -> None:
    u, frequency, amplitude = ps.fields("u", t), 5_000, 1e-6
    problem = ps.Problem(
        domain=ps.Interval(t, 0, waves * 2 * math.pi / frequency),
        equations={"spring": Eq(u.diff(t, 2) + frequency**2 * u, 0)},
        conditions={"displaced": Eq(u(0), amplitude), "at_rest": Eq(u.diff(t).subs(t, 0), 0)},
        hard=False,
    )
    sizes = scales_of(problem).terms
    assert sizes["at_rest"] == pytest.approx(frequency * amplitude)
    assert sizes["spring"] == pytest.approx(2 * frequency**2 * amplitude)


def test_a_rod_of_steel_is_solved_and_would_not_be_without_scales() -> None:
    build, _ = TWINS["an elastic rod"]
    assert error(*build(), steps=30) < 1e-3
    assert error(*build(), steps=30, weights={"free": 1_000.0}) < 1e-3
    assert error(*build(), steps=30, scaling=False) > 1e-2


@pytest.mark.parametrize("path", PROBLEMS, ids=lambda p: p.stem)
def test_problems_in_natural_units_are_left_as_they_are(path: Path) -> None:
    """But for values of 24 to 40 on the faces of a cube in a hundred dimensions, and residuals beside measurements."""
    file = load_problem_file(path)
    scales = complete(file.problem, file.network, file.training)[0].scales
    assert scales.terms == ({"burgers": 2.0, "sensors": 2.0} if path.stem == "burgers_inverse" else {})
    if path.stem == "poisson_100d":
        assert [scale for _, scale in scales.fields.values()] == [pytest.approx(8, rel=0.2)]
    else:
        assert not scales.fields


@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(3, 9))
@settings(max_examples=25, deadline=None)
def test_sizes_follow_the_units(length: float, force: float, modulus: float) -> None:
    """A rod in other units of length, displacement and force: its field is as much larger, and its residual."""
    problem, exact = rod(10**length, 10**modulus, 10**force)
    ((_, size),) = find_scales(
        problem.terms, problem.fields, problem.domain, unknowns={}, ansatz={}
    ).fields.values() or ((0.0, 1.0),)
    largest = float(exact.subs(x, 10**length))
    if not 1e-4 < largest < 1e4:
        assert 0.1 < size / largest < 10


def test_what_the_ansatz_adds_is_in_the_users_units() -> None:
    """With exact conditions the network stands behind a factor whose size counts, too."""
    problem, _ = complete(bar(0.5, 5e3, STEEL, 300, 800)[0])
    (u,) = problem.fields
    centre, size = problem.scales.fields[u]
    assert centre == 0
    factor = problem.ansatz[u].diff(u)
    reach = max(abs(float(factor.subs({x: a, t: b}))) for a in np.linspace(0, 0.5, 9) for b in np.linspace(0, 5e3, 9))
    assert size * reach == pytest.approx(250, rel=0.3)


def test_an_offset_is_taken_off() -> None:
    ((centre, size),) = scales_of(bar(0.5, 5e3, STEEL, 300, 800, hard=False)[0]).fields.values()
    assert (centre, size) == (pytest.approx(550, rel=0.05), pytest.approx(250, rel=0.05))


@pytest.mark.parametrize("transfer", [800.0, 60.0])
def test_the_air_behind_a_wall_is_one_of_the_values(transfer: float) -> None:
    """A bar of steel at 850 degrees that is quenched to 60: the size is their difference, whatever is conducted."""
    r, u = symbols("r"), ps.fields("u", symbols("r"), t)
    problem = ps.Problem(
        domain=ps.Box({r: (0, 0.04), t: (0, 120)}),
        equations={"heat": Eq(u.diff(t), 1.2e-5 * (r * u.diff(r)).diff(r) / r)},
        conditions={
            "start": Eq(u(r, 0), 850),
            "axis": u.diff(r).subs(r, 0),
            "surface": Eq(-45 * u.diff(r).subs(r, 0.04), transfer * (u(0.04, t) - 60)),
        },
        hard=False,
    )
    ((centre, size),) = scales_of(problem).fields.values()
    assert (centre, size) == (pytest.approx(455, rel=0.05), pytest.approx(395, rel=0.05))


def test_sources_are_those_where_the_field_has_its_centre() -> None:
    """A fin that loses heat to air of 295 K from a base of 373 K is at some tens of kelvin from its base, not at hundreds."""
    u = ps.fields("u", x)
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 0.08),
        equations={"fin": Eq(u.diff(x, 2), 148 * (u - 295))},
        conditions={"base": Eq(u(0), 373), "tip": u.diff(x).subs(x, 0.08)},
        hard=False,
    )
    ((centre, size),) = scales_of(problem).fields.values()
    assert centre == pytest.approx(373, rel=0.05) and 8 < size < 80


def decaying(rate: float) -> ps.Observations:
    times = np.linspace(0, 9, 30)
    return ps.Observations(at={t: times}, values={ps.fields("u", t): 4e5 * np.exp(-rate * times)})


def decay() -> ps.Problem:
    """A rate to be found from measurements of some hundred thousands."""
    u, k = ps.fields("u", t), symbols("k", positive=True)
    equations = {"decay": Eq(u.diff(t), -k * u)}
    data = {"sensor": decaying(1.0)}
    return ps.Problem(domain=ps.Interval(t, 0, 9), equations=equations, data=data, unknowns={k: 0.5})


def test_measurements_tell_the_size_of_a_field() -> None:
    problem = decay()
    ((centre, size),) = scales_of(problem).fields.values()
    assert centre == pytest.approx(2e5, rel=0.05)
    assert size == pytest.approx(2e5, rel=0.05)
    solution = ps.solve(problem, training=ps.Training(phases=[ps.LevenbergMarquardt(steps=25)]), compile="off")
    assert solution.unknowns["k"] == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_a_whitened_field_is_scaled_once(kind: Any) -> None:
    solution = ps.solve(
        decay(), ps.MLP(width=8, depth=1, whitening=kind), training=ps.Training(phases=[ps.Adam(steps=1)])
    )
    assert np.abs(solution(t=np.linspace(0, 9, 20))).max() < 4e6


@pytest.mark.parametrize("anew", [False, True])
def test_measurements_that_take_the_place_of_others_count_by_their_size(anew: bool) -> None:
    training = ps.Training(points={"decay": 60}, phases=[ps.LevenbergMarquardt(steps=50)])
    solution = ps.solve(decay(), ps.MLP(width=8, depth=1), training, compile="off")
    adapted = adapt(solution, decaying(1.2), training=training, anew=anew)
    assert adapted.unknowns["k"] == pytest.approx(1.2, rel=1e-3)
    assert adapted.problem.scales.fields == solution.problem.scales.fields


def test_residuals_are_weighed_by_their_sizes_unless_the_user_weighs_all_of_them() -> None:
    problem, _ = rod(2, 2e11, 7.8e7)
    scaled, choices = complete(problem)
    assert [choice.what for choice in choices] == ["scales"]
    weights = choose(compile_problem(scaled)).weights
    assert weights["balance"] == pytest.approx(1 / 7.8e7**2, rel=0.2)
    one_given = ps.Training(weights={"free": 800.0})
    scaled, choices = complete(problem, None, one_given)
    assert [choice.what for choice in choices] == ["scales"]
    assert choose(compile_problem(scaled), None, one_given).weights == {**weights, "free": 8 * weights["free"]}
    given_by_hand = ps.Training(weights={"balance": 1.0, "clamped": 1.0, "free": 1.0})
    by_hand, choices = complete(problem, None, given_by_hand)
    assert [choice.what for choice in choices] == ["residuals", "scales"]
    assert by_hand.scales.fields
    assert not by_hand.scales.terms
    assert complete(problem, None, ps.Training(scaling=False)) == (problem, ())
    with pytest.raises(ps.ProblemError, match="scaling"):
        ps.Training(scaling="no")  # type: ignore[arg-type]


def test_scales_are_stored_and_a_strangers_are_checked(tmp_path: Path) -> None:
    problem, _ = rod(2, 2e11, 7.8e7)
    training = ps.Training(phases=[ps.LevenbergMarquardt(steps=8)])
    solution = ps.solve(problem, ps.MLP(width=5, depth=1), training, out=tmp_path / "rod", compile="off", plots=False)
    again = ps.load(tmp_path / "rod")
    places = np.linspace(0, 2, 5)
    assert np.array_equal(solution(x=places), again(x=places))
    assert again.problem.scales == solution.problem.scales
    data = problem_to_data(solution.problem)
    assert problem_from_data(data).scales == solution.problem.scales
    for size in ("large", 0, -1.0, 1e-300, 1e300):
        with pytest.raises(TreeError):
            problem_from_data({**data, "scales": {**data["scales"], "terms": {"balance": size}}})
        with pytest.raises(TreeError):
            problem_from_data({**data, "scales": {**data["scales"], "fields": [[data["fields"][0], 0.0, size]]}})
    with pytest.raises(TreeError, match="a term that is not there"):
        problem_from_data({**data, "scales": {"fields": [], "terms": {"another": 1.0}}})


def test_what_was_stored_before_there_were_scales_has_none() -> None:
    data = problem_to_data(rod(2, 2e11, 7.8e7)[0])
    del data["scales"]
    assert problem_from_data(data).scales == Scales()


def test_private_measurements_tell_nothing() -> None:
    u = ps.fields("u", t)
    private = ps.Privacy(epsilon=1, delta=1e-5, clip=0.1)
    rows = ps.Observations(at={t: np.linspace(0, 1, 50)}, values={u: np.full(50, 4e6)}, privacy=private)
    problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations={"still": u.diff(t)}, data={"rows": rows})
    assert complete(problem)[0].scales == Scales()


def radial(power: int) -> ps.Problem:
    r, u = symbols("r"), ps.fields("u", symbols("r"))
    return ps.Problem(
        domain=ps.Interval(r, 0, 1),
        equations={"pipe": Eq(u.diff(r, 2) + u.diff(r) / r - u / r**power, -1)},
        conditions={"axis": Eq(u.diff(r).subs(r, 0), 0), "wall": Eq(u(1), 0)},
        hard=False,
    )


@pytest.mark.parametrize("power", [0, 1, 2])
def test_a_coefficient_without_bound_is_counted_by_its_usual_size(power: int) -> None:
    """The largest of 1 / r at some points says how near to the axis these lie; the field is no smaller for it."""
    assert scales_of(radial(power)) == Scales()


def test_a_small_beginning_that_may_grow_is_no_size() -> None:
    s, i = ps.fields("s i", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 20),
        equations={"susceptible": Eq(s.diff(t), -s * i), "infected": Eq(i.diff(t), s * i - i / 3)},
        conditions={"before": Eq(s(0), 0.999), "first": Eq(i(0), 1e-3)},
    )
    assert scales_of(problem) == Scales()


@pytest.mark.thorough
def test_small_walls_do_not_hide_a_source() -> None:
    """The walls of u = sin(3 x) exp(-x) say 0.02, which is 30 times less than it is between them."""
    u, exact = ps.fields("u", x), sin(3 * x) * exp(-x)
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 3),
        equations={"poisson": Eq(u.diff(x, 2), exact.diff(x, 2))},
        conditions={"left": Eq(u(0), 0), "right": Eq(u(3), exact.subs(x, 3).evalf())},
    )
    assert scales_of(problem) == Scales()
    solution = ps.solve(problem, reference=ps.Exact({u: exact}), limits=ps.Limits(steps=600), compile="off")
    assert solution.errors["u"]["relative_l2"] < 1e-4


def test_whole_numbers_that_no_machine_word_holds_are_sizes() -> None:
    u = ps.fields("u", x)
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 1),
        equations={"balance": Eq(10**20 * u.diff(x, 2), -(10**21))},
        conditions={"left": Eq(u(0), 0), "right": Eq(u(1), 0)},
        hard=False,
    )
    assert scales_of(problem).terms["balance"] == pytest.approx(5e20, rel=0.5)


@pytest.mark.thorough
def test_a_power_of_a_long_sum_is_looked_at_as_it_is_written() -> None:
    """Written out it has 1,820 summands, and takes a quarter of a minute."""
    u, v, w = ps.fields("u v w", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations=[Eq(u.diff(t), (u + v + w + t + 1) ** 12), Eq(v.diff(t), u), Eq(w.diff(t), v)],
        conditions=[Eq(u(0), 0), Eq(v(0), 0), Eq(w(0), 1)],
    )
    began = time.perf_counter()
    find_scales(problem.terms, problem.fields, problem.domain, unknowns={}, ansatz={})
    assert time.perf_counter() - began < 3


def counted(noise: Any = None, days: float = 60.0, **unknowns: float) -> ps.Problem:
    """Counts of the ill and the healthy, up to 0.25 and 1, in so many days."""
    healthy, ill = ps.fields("S I", t)
    rate, recovery = symbols("rate recovery")
    seen = ps.Observations(
        at={t: [0.0, days / 2, days]}, values={healthy: [1.0, 0.4, 0.0], ill: [0.01, 0.25, 0.0]}, noise=noise
    )
    return ps.Problem(
        domain=ps.Interval(t, 0, days),
        equations={
            "S": Eq(healthy.diff(t), -rate * healthy * ill),
            "I": Eq(ill.diff(t), rate * healthy * ill - recovery * ill),
        },
        data={"counts": seen},
        unknowns={rate: 30.0, recovery: 20.0}
        | {symbols(name, positive=True): first for name, first in unknowns.items()},
    )


def test_beside_measurements_an_equation_counts_by_what_changes_over_the_range() -> None:
    """What a first guess of an unknown says of the other summands, here 30 per day, does not count."""
    for days in (1.0, 60.0):
        terms = scales_of(counted(days=days)).terms
        sizes = {"S": 1 / days, "I": 0.25 / days, "counts[0]": 1.0, "counts[1]": 0.25}
        assert terms == {name: pytest.approx(size, rel=0.1) for name, size in sizes.items()}


def test_measurements_whose_noise_is_told_count_by_it_alone() -> None:
    terms = scales_of(counted(noise=0.01)).terms
    assert terms["counts[0]"] == terms["counts[1]"]


def test_a_noise_that_is_sought_counts_with_its_measurements() -> None:
    """Else the likelihood would be that of another noise."""
    terms = scales_of(counted(noise=symbols("sigma", positive=True), sigma=0.05)).terms
    counts = {size for name, size in terms.items() if name.startswith("counts")}
    assert sum(name.startswith("counts") for name in terms) == 4 and len(counts) == 1
    assert terms["S"] == pytest.approx(1 / 60, rel=0.1)


def test_beside_measurements_a_reaction_counts_by_a_tenth() -> None:
    """It may stop in a part of the region, where the fields are then held by what is left.

    With w from 0 to 1, w'' changes by 1 over the range and w² by 2 (the values of w) times 1 (the change).
    """
    w = ps.fields("w", x)
    known = ps.Observations(at={x: [0.5]}, values={w: [1.0]})
    for reaction, size in ((1, 1), (1_000, 200)):
        problem = ps.Problem(
            domain=ps.Interval(x, 0, 1),
            equations={"balance": Eq(w.diff(x, 2), reaction * w**2)},
            conditions={"left": Eq(w(0), 0), "right": Eq(w(1), 1)},
            data={"known": known},
        )
        assert scales_of(problem).terms["balance"] == pytest.approx(size, rel=0.1)


def test_a_module_of_the_users_gives_the_fields_themselves() -> None:
    """It may scale them by layers of its own."""
    problem = bar(0.5, 5e3, STEEL, 300, 800, hard=False)[0]
    scaled, _ = complete(problem, nn.Linear(2, 1))
    assert not scaled.scales.fields
    assert scaled.scales.terms["start"] == pytest.approx(500, rel=0.1)


def epidemic(first: int) -> ps.Problem:
    s, i, r = ps.fields("S I R", t)
    return ps.Problem(
        domain=ps.Interval(t, 0, 60),
        equations={
            "healthy": Eq(s.diff(t), -0.4 * s * i / 10**6),
            "ill": Eq(i.diff(t), 0.4 * s * i / 10**6 - 0.1 * i),
            "recovered": Eq(r.diff(t), 0.1 * i),
        },
        conditions=[Eq(s(0), 10**6 - first), Eq(i(0), first), Eq(r(0), 0)],
    )


def test_fields_that_exchange_what_they_count_have_sizes_of_each_other() -> None:
    problem, _ = complete(epidemic(100))
    sizes = {u.func.__name__: size for u, (_, size) in problem.scales.fields.items()}
    assert sizes == pytest.approx({"S": 1e6, "I": 1e4, "R": 1e6}, rel=0.05)


@pytest.mark.parametrize(("first", "windows"), [(100, True), (100_000, False)])
def test_what_rises_from_little_is_solved_in_windows(first: int, windows: bool) -> None:
    problem, _ = complete(epidemic(first))
    assert isinstance(choose(compile_problem(problem)).network, Windows) == windows


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_epidemic_of_a_million_is_found() -> None:
    found = ps.solve(epidemic(100), compile="off", limits=ps.Limits(seconds=90))
    print({name: error["relative_l2"] for name, error in found.errors.items()})
    assert max(error["relative_l2"] for error in found.errors.values()) < 1e-4

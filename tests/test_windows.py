"""Windows: networks for successive times, their continuity, what may be solved so, and that it is solved."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch
from sympy import Eq, cos, exp, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.choices import choose
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.errors import ProblemError
from pinnsolve.jets import derivatives, nested_derivatives, plan_jets
from pinnsolve.networks import MLP, Architecture, Window, Windows, build_windows
from pinnsolve.points import Span, TermPoints
from pinnsolve.training.loop import Progress
from pinnsolve.windows import in_windows, spans, within

x, t = symbols("x t")
u = ps.fields("u", x, t)
DECAY = exp(-t) * sin(pi * x)


def heat(**changes: Any) -> ps.Problem:
    declared: dict[str, Any] = {
        "domain": ps.Box({x: (0, 1), t: (0, 2)}),
        "equations": {"heat": Eq(pi**2 * u.diff(t), u.diff(x, 2))},
        "conditions": {"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
    }
    return ps.Problem(**declared | changes)


def network(order: int, *, count: int = 3, seed: int = 0, sizes: tuple[float, ...] = ()):
    edges = tuple(np.linspace(-1.0, 2.0, count + 1))
    return build_windows(
        Windows(MLP(width=7, depth=2), 1, edges, order, sizes),
        inputs_per_field=[(0, 1), (0, 1)],
        ranges=[(0.0, 1.0), (-1.0, 2.0)],
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )


def test_networks_are_as_much_larger_as_the_factor_of_a_condition_is_smaller_in_the_first_window() -> None:
    a, b = ps.fields("a b", t)
    exact, in_loss = (
        ps.Problem(
            domain=ps.Interval(t, 0, 4),
            equations={"second": Eq(a.diff(t, 2), -sin(a) - b), "first": Eq(b.diff(t), a)},
            conditions=[Eq(a(0), 1), Eq(a.diff(t).subs(t, 0), 0), Eq(b(0), 2)],
            hard=hard,
        )
        for hard in (True, False)
    )
    spec = in_windows(exact, MLP(), {t: 4})
    assert dict(zip(map(str, (f.func for f in exact.fields)), spec.sizes, strict=True)) == {"a": 2.2, "b": 4}
    assert in_windows(in_loss, MLP(), {t: 4}).sizes == (1, 1)
    assert in_windows(heat(hard=True), MLP(), {t: 4}).sizes == ()


def test_sizes_multiply_what_the_networks_give() -> None:
    points = torch.rand(20, 2, dtype=torch.float64) * 3 - torch.tensor([0.0, 1.0])
    plain, scaled = network(2), network(2, sizes=(2.0, 5.0))
    torch.testing.assert_close(scaled(points), plain(points) * torch.tensor([2.0, 5.0]))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_fields_are_continuous_with_the_derivatives_that_the_order_asks_for_and_no_more(order: int, edge: float):
    fields = network(order)
    at = torch.stack([torch.linspace(0.1, 0.9, 5), torch.full((5,), edge)], 1).double()
    plan = plan_jets([(0, k) for k in range(1, order + 1)] + [(2, order - 1)], dimension=2)
    number = round(edge) + 1
    before, after = (derivatives(partial(fields.through, number=k), at, plan) for k in (number - 1, number))
    for index in [(0, k) for k in range(order)] + [(2, order - 1)]:
        torch.testing.assert_close(after[index], before[index], rtol=1e-10, atol=1e-12)
    assert (after[0, order] - before[0, order]).abs().max() > 1e-3


def test_points_in_any_order_are_evaluated_in_their_window():
    fields = network(2)
    points = torch.rand(50, 2, dtype=torch.float64) * 3 - 1
    numbers = (points[:, 1] >= 0).long() + (points[:, 1] >= 1)
    together = fields(points)
    for point, number, row in zip(points, numbers, together, strict=True):
        torch.testing.assert_close(row, fields.through(point[None], int(number))[0])


def test_jets_agree_with_nested_passes_across_windows():
    fields = network(2)
    points = torch.rand(40, 2, dtype=torch.float64) * 3 - 1
    plan = plan_jets([(0, 2), (3, 0), (1, 1)], dimension=2)
    jets, nested = derivatives(fields, points, plan), nested_derivatives(fields, points, plan)
    for which, value in jets.items():
        torch.testing.assert_close(value, nested[which], rtol=1e-9, atol=1e-10)


def test_a_window_changes_its_own_parameters_alone_and_no_earlier_time():
    fields = network(1)
    window = Window(fields, 1)
    early = torch.rand(20, 2, dtype=torch.float64) - torch.tensor([0.0, 1.0])
    before = fields(early)
    with window.alone():
        trained = [p for p in window.parameters() if p.requires_grad]
        assert {id(p) for p in trained} == {id(p) for p in fields.parts[1].parameters()}
        with torch.no_grad():
            for parameter in trained:
                parameter.add_(1.0)
    assert all(p.requires_grad for p in fields.parameters())
    torch.testing.assert_close(fields(early), before, rtol=0, atol=0)


@pytest.mark.parametrize("options", [{}, {"fourier": 2.0}, {"factorised": True}, {"fourier": 1, "factorised": True}])
@pytest.mark.parametrize("architecture", get_args(Architecture))
@pytest.mark.parametrize("periodic", [(), (0,)])
def test_a_window_starts_as_the_continuation_of_the_one_before(
    periodic: tuple[int, ...], architecture: type[Architecture], options: dict[str, Any]
):
    spec = architecture(8, 2, harmonics=2, **options)
    fields = build_windows(
        Windows(spec, 1, (-1.0, 0.0, 1.0, 2.0), 1),
        inputs_per_field=[(0, 1), (1,)],
        ranges=[(0.0, 1.0), (-1.0, 2.0)],
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
        periodic=periodic,
    )
    with torch.no_grad():
        for name, parameter in fields.parts[0].named_parameters():
            if name.endswith("alpha"):
                parameter.fill_(0.4)
    points = torch.rand(20, 2, dtype=torch.float64) * 3 - 1
    before = fields.parts[0](points)
    assert (fields.parts[1](points) - before).abs().max() > 1e-2
    fields.go_on(1)
    fields.go_on(2)
    for part in fields.parts[1:]:
        torch.testing.assert_close(part(points), before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "spec",
    [
        lambda: Windows(MLP(), 0, (0.0, 1.0), 1),
        lambda: Windows(MLP(), 0, (0.0, 1.0, 1.0), 1),
        lambda: Windows(MLP(), 0, (0.0, 1.0, 2.0), 4),
        lambda: Windows(MLP(), 0, (0.0, 1.0, 2.0), 1, (0.0,)),
    ],
)
def test_descriptions_that_describe_nothing_are_refused(spec):
    with pytest.raises(ValueError, match="no windows"):
        spec()


def test_points_are_drawn_in_the_window_and_initial_conditions_hold_in_the_first():
    problem = heat(hard=False)
    compiled = compile_problem(problem)
    first, last = spans(problem, in_windows(problem, MLP(), {t: 2}))
    assert [term.name for term in within(compiled, first).terms] == ["heat", "initial", "left", "right"]
    assert [term.name for term in within(compiled, last).terms] == ["heat", "left", "right"]
    counts = {"heat": 100, "left": 20, "right": 20}
    drawn = TermPoints(within(compiled, last), counts, "sobol", 0, torch.device("cpu"), "rad", last)
    for points in (drawn.training(), drawn.held_out()):
        assert points["heat"][:, 1].min() > 1
        assert points["heat"][:, 1].max() > 1.9
        assert points["left"].min() > 1
        assert 0 < points["heat"][:, 0].min() < 0.1


def test_measurements_are_trained_on_in_the_window_they_were_made_in():
    times = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    table = {x: np.full(5, 0.5), t: times}
    data = ps.Observations(table, {u: np.exp(-times)})
    compiled = compile_problem(heat(data={"probe": data}))
    held = [
        TermPoints(within(compiled, span), {"heat": 9}, "sobol", 0, torch.device("cpu"), "rad", span).training()
        for span in (Span(t, (0, 2), (0, 1)), Span(t, (0, 2), (1, 2)))
    ]
    rows = [points[next(n for n in points if n.startswith("probe"))][:, 1].tolist() for points in held]
    assert rows == [[0.0, 0.5], [1.0, 1.5, 2.0]]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"conditions": {"p": Eq(u(x, 0), u(x, 2)), "l": Eq(u(0, t), 0), "r": Eq(u(1, t), 0)}}, "p reads u at t = 2"),
        ({"equations": {"heat": Eq(u.diff(t), u.diff(x, 2) + u(x, 0))}}, "heat reads u at t = 0"),
        ({"equations": {"heat": Eq(u.diff(t), u.diff(x, 2) + u(x, t / 2))}}, "heat reads u at t = t/2"),
        ({"domain": ps.Box({x: (0, 1), t: (0, 3)}), "conditions": {
            "i": ps.on(ps.Box({x: (0, 1), t: (0, 3)}).face(t, 0), Eq(u, 0)), "l": Eq(u(0, t), 0), "r": Eq(u(1, t), 0)
        }}, "a part of t"),
    ],
)  # fmt: skip
def test_what_is_no_evolution_is_refused(change, found):
    with pytest.raises(ProblemError, match=found):
        in_windows(heat(**change), MLP(), {t: 2})


def test_unknowns_other_coordinates_and_modules_are_refused():
    k = symbols("k", positive=True)
    inverse = heat(equations={"heat": Eq(u.diff(t), k * u.diff(x, 2))}, unknowns={k: 1.0})
    with pytest.raises(ProblemError, match="k belongs to all windows"):
        in_windows(inverse, MLP(), {t: 2})
    with pytest.raises(ProblemError, match="no coordinate"):
        in_windows(heat(), MLP(), {symbols("z"): 2})
    with pytest.raises(ProblemError, match="a module of your own"):
        in_windows(heat(), torch.nn.Linear(2, 1), {t: 2})
    with pytest.raises(ProblemError, match="no number of windows"):
        ps.Training(windows={t: 0})
    with pytest.raises(ProblemError, match="not a mapping"):
        ps.Training(windows=3)  # type: ignore[arg-type]
    assert in_windows(heat(), MLP(), {t: 1}) == MLP()


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_every_architecture_can_be_had_in_windows(architecture: type[Architecture]):
    assert in_windows(heat(), architecture(width=4), {t: 2}).network == architecture(width=4)


@pytest.fixture(scope="module")
def solved():
    seen: list[Progress] = []
    watched: list[Any] = []
    training = ps.Training(
        points={"heat": 300}, phases=[ps.Adam(steps=40), ps.LevenbergMarquardt(steps=40)], windows={t: 3}
    )
    solution = ps.solve(
        heat(), ps.MLP(width=8, depth=2), training, ps.Exact({u: DECAY}), plots=False,
        observers=[seen.append], watch=watched.append,
    )  # fmt: skip
    return solution, seen, watched


def test_an_evolution_is_solved_window_by_window(solved):
    solution, seen, watched = solved
    assert solution.errors["u"]["relative_l2"] < 1e-4
    assert [p.step for p in seen] == list(range(1, 161))
    assert {p.total_steps for p in seen} == {160}
    assert [p.window for p in seen] == [0] * 80 + [1] * 40 + [2] * 40
    assert all(b.seconds > a.seconds for a, b in pairwise(seen))
    assert [r["name"] for r in solution.record["phases"]][:3] == [
        "adam in window 1",
        "levenberg_marquardt in window 1",
        "levenberg_marquardt in window 2",
    ]
    assert [p.step for p in solution.history] == sorted(p.step for p in solution.history)
    assert watched
    assert set(solution.record["loss"]["terms"]) == {"heat"}


def test_the_solution_satisfies_the_initial_condition_and_is_continuous(solved):
    solution, *_ = solved
    places = np.linspace(0, 1, 11)
    np.testing.assert_allclose(solution(x=places, t=0.0), np.sin(np.pi * places), atol=1e-12)
    for edge in (2 / 3, 4 / 3):
        before, after = (solution(x=places, t=edge + shift) for shift in (-1e-9, 1e-9))
        np.testing.assert_allclose(after, before, atol=1e-8)


def test_it_is_stored_and_read_again(solved, tmp_path):
    solution, *_ = solved
    again = ps.load(solution.save(tmp_path / "stored"))
    assert again.network_spec == solution.network_spec
    assert isinstance(again.network_spec, Windows)
    at = {"x": np.linspace(0, 1, 30), "t": np.linspace(0, 2, 30)}
    np.testing.assert_array_equal(again(**at), solution(**at))


def test_limits_are_shared_and_end_the_run():
    training = ps.Training(points={"heat": 100}, phases=[ps.Adam(steps=100)], windows={t: 4})
    limited = ps.solve(heat(), ps.MLP(width=4, depth=1), training, plots=False, limits=ps.Limits(steps=150))
    assert sum(r["steps"] for r in limited.record["phases"]) == 150
    assert len(limited.record["phases"]) == 2
    endless = ps.Training(points={"heat": 100}, phases=[ps.Adam(steps=10**6)], windows={t: 4})
    timed = ps.solve(heat(), ps.MLP(width=4, depth=1), endless, plots=False, limits=ps.Limits(seconds=2.0))
    assert len(timed.record["phases"]) == 4
    assert 1.5 < timed.record["seconds"]["train"] < 4.0


def test_an_equation_of_second_order_in_time_keeps_its_velocity():
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"wave": Eq(u.diff(t, 2), u.diff(x, 2))},
        conditions={
            "initial": Eq(u(x, 0), sin(pi * x)),
            "at_rest": Eq(u.diff(t).subs(t, 0), 0),
            "left": Eq(u(0, t), 0),
            "right": Eq(u(1, t), 0),
        },
    )
    training = ps.Training(
        points={"wave": 400}, phases=[ps.Adam(steps=50), ps.LevenbergMarquardt(steps=50)], windows={t: 2}
    )
    reference = ps.Exact({u: sin(pi * x) * cos(pi * t)})
    solution = ps.solve(problem, ps.MLP(width=10, depth=2), training, reference, plots=False)
    assert solution.network_spec.order == 2
    assert solution.errors["u"]["relative_l2"] < 1e-3
    places = np.linspace(0, 1, 11)
    before, after = (solution.evaluate(u.diff(t), x=places, t=0.5 + shift) for shift in (-1e-9, 1e-9))
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_the_choice_of_phases_counts_the_weights_of_one_window():
    problem = heat()
    plan = choose(compile_problem(problem), None, ps.Training(windows={t: 8}))
    assert isinstance(plan.network, Windows)
    assert isinstance(plan.phases[-1], ps.LevenbergMarquardt)

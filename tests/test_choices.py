"""Choices: what the user gave is kept, the rest is completed with a reason, and names that do not exist are answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from sympy import Eq, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.choice import describe
from pinnsolve.choices import DeviceError, Plan, choose, meet_conditions
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.networks import Windows

x, t = symbols("x t")
u = ps.fields("u", x, t)
q = ps.fields("q", t)


def heat(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": [Eq(u.diff(t), u.diff(x, 2))]},
        conditions={"initial": Eq(u(x, 0), sin(pi * x)), "ends": [Eq(u(0, t), 0), Eq(u(1, t), 0)]},
        **more,
    )


def ode(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}, **more
    )


def plan(problem: ps.Problem, *given: Any, **more: Any) -> Plan:
    return choose(compile_problem(problem), *given, **{"device": "cpu"} | more)


def chosen(plan: Plan) -> set[str]:
    return {choice.what for choice in plan.choices}


def test_nothing_is_chosen_where_everything_is_given() -> None:
    network, phases = ps.MLP(width=5, depth=1), (ps.Adam(steps=3),)
    points = {"heat": 30, "initial": 7, "ends": 8}
    weights = {"ends": 4.0, "initial": 1.0}
    training = ps.Training(points=points, phases=phases, weights=weights, sampling="grid")
    found = plan(heat(), network, training, threads=2)
    assert found.network is network and found.phases == phases and found.choices == () and found.sampling == "grid"
    assert found.counts == {"heat[0]": 30, "initial": 7, "ends[0]": 8, "ends[1]": 8}
    assert found.weights == {"heat[0]": 1.0, "initial": 1.0, "ends[0]": 4.0, "ends[1]": 4.0}
    assert found.dtype == torch.float64 and found.device == torch.device("cpu")


def test_a_weight_that_is_given_leaves_those_of_other_terms_alone() -> None:
    found = plan(heat(), None, ps.Training(weights={"ends": 4.0}))
    assert found.weights == {"heat[0]": 1.0, "initial": 100.0, "ends[0]": 4.0, "ends[1]": 4.0}
    assert "weights: 100 for initial; as given, else 1 (" in "\n".join(describe(found.choices))


def test_a_member_can_be_told_apart_from_its_group() -> None:
    found = plan(heat(), None, ps.Training(points={"ends": 8, "ends[1]": 9}, weights={"ends": 2.0, "ends[0]": 3.0}))
    assert (found.counts["ends[0]"], found.counts["ends[1]"]) == (8, 9)
    assert (found.weights["ends[0]"], found.weights["ends[1]"]) == (3.0, 2.0)


def test_everything_left_out_is_chosen_with_value_reason_and_override() -> None:
    found = plan(heat(), device="auto")
    assert chosen(found) == {"network", "phases", "points", "samples", "weights", "device", "threads"}
    for choice, line in zip(found.choices, describe(found.choices), strict=True):
        assert choice.value and choice.reason and choice.override
        assert line == f"{choice.what}: {choice.value} ({choice.reason}; override: {choice.override})"
    assert isinstance(found.network, ps.MLP)
    assert [phase.name for phase in found.phases] == ["adam", "levenberg_marquardt"]
    assert found.weights == {"heat[0]": 1.0, "initial": 100.0, "ends[0]": 100.0, "ends[1]": 100.0}
    assert found.counts["heat[0]"] > found.counts["initial"] > 0
    lines = "\n".join(describe(found.choices))
    assert f"layers of {found.network.width}" in lines and f"heat[0] {found.counts['heat[0]']}" in lines


@pytest.mark.parametrize(
    ("network", "second"),
    [
        (ps.MLP(width=20, depth=3), "levenberg_marquardt"),
        (ps.MLP(width=30, depth=3), "ssbroyden"),
        (ps.MLP(width=64, depth=3), "lbfgs"),
    ],
)
def test_the_second_phase_follows_the_number_of_parameters(network: ps.MLP, second: str) -> None:
    assert [phase.name for phase in plan(heat(), network).phases] == ["adam", second]


def test_sines_are_chosen_where_nothing_evolves() -> None:
    y = symbols("y")
    w = ps.fields("w", x, y)
    square = ps.Box({x: (0, 1), y: (0, 1)})
    steady = ps.Problem(
        domain=square, equations=[Eq(ps.laplacian(w, x, y), 1)], conditions=[ps.on(square.boundary, Eq(w, 0))]
    )
    assert plan(steady).network.activation == plan(ode()).network.activation == "sine"


@pytest.mark.parametrize(("speed", "activation"), [(u, "tanh"), (1, "sine")])
def test_an_evolution_that_is_only_measured_is_one_all_the_same(speed: Any, activation: str) -> None:
    data = {"probe": ps.Observations(at={x: [0.2, 0.7], t: [0.1, 0.5]}, values={u: [1.0, 2.0]})}
    problem = ps.Problem(
        domain=heat().domain, equations={"burgers": Eq(u.diff(t) + speed * u.diff(x), u.diff(x, 2))}, data=data
    )
    assert plan(problem).network.activation == activation


@pytest.mark.parametrize(
    ("equation", "order", "activation"),
    [
        (Eq(u.diff(t), u.diff(x, 2)), 1, "sine"),
        (Eq(u.diff(t) + (1 + x) * u.diff(x), u.diff(x, 2) + t), 1, "sine"),
        (Eq(u.diff(t) + u * u.diff(x), u.diff(x, 2)), 1, "tanh"),
        (Eq(u.diff(t), u.diff(x, 2) + sin(u)), 1, "tanh"),
        (Eq(u.diff(t, 2), u.diff(x, 2)), 2, "tanh"),
    ],
)
def test_an_evolution_that_keeps_its_form_is_followed_by_sines_and_others_by_tanh(
    equation: Eq, order: int, activation: str
) -> None:
    conditions = [Eq(u(x, 0), sin(pi * x)), Eq(u(0, t), 0), Eq(u(1, t), 0), Eq(u.diff(t).subs(t, 0), 0)]
    evolving = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}), equations=[equation], conditions=conditions[: 2 + order]
    )
    found = plan(evolving)
    assert found.network.activation == activation
    assert any("evolves in t " in line for line in describe(found.choices))


CIRCLE = [Eq(u(0, t), u(1, t)), Eq(u.diff(x).subs(x, 0), u.diff(x).subs(x, 1))]
WALLS = [Eq(u(0, t), 0), Eq(u(1, t), 0)]


@pytest.mark.parametrize(
    ("rate", "ends", "windows"),
    [
        (12 * (u - u**3) + u.diff(x, 2) / 1000, CIRCLE, True),
        (12 * (u - u**3) + u.diff(x, 2) / 1000, WALLS, False),
        (12 * u + u.diff(x, 2) / 1000, CIRCLE, False),
        (-u * u.diff(x) + u.diff(x, 2), CIRCLE, False),
        (12 * (u - u**3), [], False),
    ],
    ids=["growth on a circle", "growth between walls", "linear", "no growth", "no transport"],
)
def test_windows_are_chosen_where_nonlinear_waves_grow_by_far(rate: Any, ends: list[Any], windows: bool) -> None:
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"rate": Eq(u.diff(t), rate)},
        conditions={"initial": Eq(u(x, 0), sin(2 * pi * x)), **{f"end {k}": end for k, end in enumerate(ends)}},
    )
    exact, _ = meet_conditions(problem)
    plan = choose(compile_problem(exact))
    assert isinstance(plan.network, Windows) == windows
    assert ("windows" in {choice.what for choice in plan.choices}) == windows
    if windows:
        assert plan.counts["rate"] == 1_000
        assert [phase.steps for phase in plan.phases] == [200, 200]
        assert choose(compile_problem(exact), seconds=60.0).phases[-1].steps > 10_000
    for training in (ps.Training(windows={t: 1}), ps.Training(phases=[ps.Adam(steps=1)])):
        assert isinstance(choose(compile_problem(exact), None, training).network, ps.MLP)


def test_conditions_are_met_exactly_where_they_can_be_and_nobody_decided() -> None:
    exact, (choice,) = meet_conditions(heat())
    assert exact.exact == {"initial", "ends[0]", "ends[1]"} and choice.value == "ends[0], ends[1], initial"
    for decided in (heat(hard=False), heat(hard=True), heat(ansatz={u: sin(pi * x) + t * u})):
        assert meet_conditions(decided) == (decided, ())
    soft = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations=[Eq(u.diff(t), u.diff(x, 2))],
        conditions=[Eq(u.subs(t, 0), sin(pi * x)), Eq(u.diff(x).subs(x, 0), u.subs(x, 0)), Eq(u(1, t), 0)],
    )
    assert meet_conditions(soft)[0].exact < {term.name for term in soft.terms}


def test_a_module_of_the_users_reads_no_coordinate_as_periodic() -> None:
    around = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations=[Eq(u.diff(t) + u.diff(x), 0)],
        conditions=[Eq(u(x, 0), sin(2 * pi * x)), Eq(u(0, t), u(1, t))],
    )
    assert meet_conditions(around)[0].periods == {x: 1.0}
    assert meet_conditions(around, torch.nn.Linear(2, 1)) == (around, ())


def test_terms_left_out_of_points_get_a_default_and_only_they_are_announced() -> None:
    found = plan(heat(), None, ps.Training(points={"heat": 77}))
    (points,) = (choice for choice in found.choices if choice.what == "points")
    assert found.counts["heat[0]"] == 77 and "heat" not in points.value and "initial" in points.value


def test_several_equations_share_points_where_a_step_costs_by_rows() -> None:
    def counts(equations: int, **more: Any) -> dict[str, int]:
        some = [ps.fields(f"u{k}", x, t) for k in range(equations)]
        problem = ps.Problem(
            domain=ps.Box({x: (0, 1), t: (0, 1)}),
            equations={f"rate {k}": Eq(f.diff(t), f.diff(x, 2)) for k, f in enumerate(some)},
            data={"some": ps.Observations(at={x: [0.5], t: [0.5]}, values={some[0]: [1.0]})},
        )
        return dict(plan(problem, **more).counts)

    for equations in (2, 3, 5):
        found = counts(equations)
        assert (
            len(set(found.values())) == 1 and found["rate 0"] * equations <= 1_500 < (found["rate 0"] + 1) * equations
        )
    assert set(counts(20).values()) == {100}
    assert set(counts(3, network=ps.MLP(width=20, depth=3)).values()) == {833}  # tanh, of what may steepen
    assert set(counts(3, network=ps.MLP(width=64, depth=4)).values()) == {2_500}
    kept = ps.Training(phases=[ps.LevenbergMarquardt(steps=5)])
    assert set(counts(3, training=kept).values()) == {2_500}
    assert set(counts(3, training=ps.Training(points={"rate 2": 70})).values()) == {70, 750}


def test_a_point_term_needs_no_count_and_one_is_accepted() -> None:
    assert "start" not in plan(ode()).counts
    assert "start" not in plan(ode(), None, ps.Training(points={"start": 1})).counts
    with pytest.raises(ps.ProblemError, match="points, start · 5 points for a term at a single point · write 1"):
        plan(ode(), None, ps.Training(points={"start": 5}))


def test_steps_that_are_chosen_go_on_to_a_limit_that_is_given() -> None:
    """But not those of a quick run, nor those that the user chose; a patience of the user's is kept."""
    free, found = plan(heat()), plan(heat(), seconds=60.0)
    assert (found.phases[0], found.counts, free.patience) == (free.phases[0], free.counts, None)
    assert found.phases[-1].steps > 50 * free.phases[-1].steps and found.patience == 500
    assert "steps: as many as the time allows" in "\n".join(describe(found.choices))
    assert plan(heat(), None, ps.Training(patience=40), seconds=60.0).patience == 40
    assert plan(heat(), seconds=60.0, quick=True).phases == plan(heat(), quick=True).phases
    own = ps.Training(phases=[ps.Adam(steps=3)])
    kept = plan(heat(), None, own, seconds=60.0)
    assert (kept.phases, kept.patience) == (own.phases, None)


def test_layers_are_wider_where_there_is_time_for_them_and_something_may_steepen() -> None:
    problem = ps.Problem(
        domain=ps.Box({x: (-1, 1), t: (0, 1)}),
        equations={"burgers": Eq(u.diff(t) + u * u.diff(x), u.diff(x, 2) / 100)},
        conditions={"initial": Eq(u(x, 0), sin(pi * x)), "ends": [Eq(u(-1, t), 0), Eq(u(1, t), 0)]},
    )
    assert [plan(problem, seconds=s).network.width for s in (None, 99.0, 100.0)] == [20, 20, 24]
    assert plan(problem, ps.MLP(width=7, depth=1), seconds=200.0).network.width == 7
    assert plan(ode(), seconds=200.0).network.width == 20


@pytest.mark.thorough
def test_a_solution_at_rounding_level_does_not_wait_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinnsolve.phases._PATIENCE", 60)
    network, points = ps.MLP(width=5, depth=1), ps.Training(points={"decay": 30})
    solution = ps.solve(ode(), network, points, limits=ps.Limits(seconds=600), compile="off", plots=False)
    assert solution.record["phases"][-1]["ended"] == "early" and solution.record["phases"][-1]["steps"] < 3_000
    assert solution.record["loss"]["total"] < 1e-10


def test_samples_grow_where_their_size_was_chosen() -> None:
    found = plan(heat())
    assert found.growing is not None and found.growing.beginning == 350
    assert found.growing.counts(found.counts, 0.4) == {**found.counts, "heat[0]": 2 * found.counts["heat[0]"] // 5}
    own = ps.Training(phases=[ps.Adam(steps=9), ps.LevenbergMarquardt(steps=9, resample=1)])
    assert plan(heat(), None, own).growing == replace(found.growing, beginning=159)
    others = [
        plan(heat(), None, ps.Training(points={"heat": 900})),
        plan(heat(), None, ps.Training(phases=[ps.LevenbergMarquardt(steps=9, resample=2)])),
        plan(heat(), None, ps.Training(windows={t: 2})),
        plan(heat(), ps.MLP(width=80, depth=3)),
        plan(heat(), quick=True),
    ]
    assert all(other.growing is None for other in others)


def test_redrawing_asked_for_reaches_the_phases_that_were_chosen() -> None:
    found = plan(ode(), None, ps.Training(resample=40))
    assert {phase.resample for phase in found.phases} == {40}
    assert "every 40" in next(c.value for c in found.choices if c.what == "phases")


def test_a_quick_run_differs_in_sizes_alone() -> None:
    full, quick = (plan(heat(), quick=quick) for quick in (False, True))
    assert quick.network == full.network and quick.weights == full.weights and quick.sampling == full.sampling
    assert quick.counts == {name: count // 4 for name, count in full.counts.items()}
    assert [p.steps for p in quick.phases] == [p.steps // 10 for p in full.phases]
    assert chosen(quick) - chosen(full) == {"quick"}
    small = plan(heat(), None, ps.Training(points={"heat": 20}, phases=[ps.Adam(steps=3)]), quick=True)
    assert small.counts["heat[0]"] == 16 and small.phases[0].steps == 1


def test_conditions_that_hold_exactly_get_no_points() -> None:
    found = plan(heat(ansatz={u: sin(pi * x) + t * x * (1 - x) * u}))
    assert set(found.counts) == set(found.weights) == {"heat[0]"}


@pytest.mark.parametrize(
    ("given", "more", "message"),
    [
        (
            (None, ps.Training(points={"burgers": 9})),
            {},
            "points, burgers · no term of this name · choose among decay, start",
        ),
        ((None, ps.Training(weights={"burgers": 9})), {}, "weights, burgers · no term of this name"),
        ((None, None), {"dtype": "float16"}, "dtype · 'float16' · write float64 or float32"),
        ((ps.MLP, None), {}, "network · <class .*MLP'> · write ps.MLP"),
        (("MLP", None), {}, "network · 'MLP' · write ps.MLP"),
        ((None, {"points": {}}), {}, r"training · \{'points': \{\}\} · write ps.Training"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(given: Any, more: Any, message: str) -> None:
    with pytest.raises(ps.ProblemError, match=message):
        plan(ode(), *given, **more)


def test_observations_bring_their_own_points() -> None:
    problem = ode(data={"sensor": ps.Observations(at={t: [0.5]}, values={q: [1.0]})})
    assert "sensor" not in plan(problem).counts
    with pytest.raises(ps.ProblemError, match="points, sensor · observations bring their own points"):
        plan(problem, None, ps.Training(points={"sensor": 5}))


def test_a_device_that_is_not_there_is_a_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert plan(ode(), device="auto").device == torch.device("cpu")
    for device in ("cuda", "tpu"):
        with pytest.raises(DeviceError, match="device") as refused:
            plan(ode(), device=device)
        assert refused.value.exit_code == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert plan(ode(), device="auto").device == torch.device("cuda")


def test_a_large_network_is_not_given_a_dense_second_order_method() -> None:
    assert [phase.name for phase in plan(ode(), ps.MLP(width=80, depth=3)).phases] == ["adam", "lbfgs"]

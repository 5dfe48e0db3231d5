"""solve(): the record it leaves, limits and tolerances, seeds, references that wait for unknowns, faults found before training."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, exp, symbols
from torch import nn

import pinnsolve as ps
from pinnsolve.fitting import Limits
from pinnsolve.summary import parts_of_loss, summarise
from pinnsolve.training.loop import Progress
from pinnsolve.training.status import Status

t, k = symbols("t"), symbols("k", positive=True)
q = ps.fields("q", t)
NETWORK = ps.MLP(width=5, depth=1)


def decay(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}, **more
    )


def sought() -> ps.Problem:
    ts = np.linspace(0, 1, 20)
    return ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations={"decay": Eq(q.diff(t), -k * q)},
        conditions={"start": Eq(q(0), 1)},
        unknowns={k: 0.5},
        data={"sensor": ps.Observations(at={t: ts}, values={q: np.exp(-2 * ts)})},
    )


def steps(adam: int, lbfgs: int = 0) -> ps.Training:
    second = [ps.LBFGS(steps=lbfgs)] if lbfgs else []
    return ps.Training(points={"decay": 32}, phases=(ps.Adam(steps=adam), *second))


EXACT = ps.Exact({q: exp(-t)})


def solve(
    problem: ps.Problem | None = None, network: Any = NETWORK, training: Any = None, reference: Any = EXACT, **more: Any
) -> ps.Solution:
    return ps.solve(problem or decay(), network, training or steps(3), reference, **{"device": "cpu"} | more)


def test_an_equation_is_solved_and_the_error_known() -> None:
    solution = solve(training=steps(50, 150))
    error = solution.errors["q"]["relative_l2"]
    assert error < 1e-3
    ts = np.linspace(0, 1, 7)
    assert np.abs(solution(t=ts) - np.exp(-ts)).max() <= solution.errors["q"]["max"] * 1.001
    assert solution.status == "done" and f"q: relative L2 error {error:.1e} (against exact)" in solution.message
    assert {p.phase for p in solution.history} == {"adam", "lbfgs"}
    assert solution.reference.kind == "exact" and solution.reference_spec is EXACT


def test_the_record_says_how_the_run_went() -> None:
    record = solve(decay(hard=False), training=steps(4, 3), seed=5).record
    assert record["schema"] == 1 and record["problem"] == "problem" and record["seed"] == 5
    assert record["points"] == {"decay": 32} and record["parameters"] == 5 + 5 + 5 + 1
    assert [(p["name"], p["steps"], p["ended"]) for p in record["phases"]] == [
        ("adam", 4, "steps"),
        ("lbfgs", 3, "steps"),
    ]
    terms = record["loss"]["terms"]
    assert record["loss"]["total"] == pytest.approx(terms["decay"] + 100 * terms["start"])
    assert set(record["loss"]["terms"]) == {"decay", "start"}
    assert sum(part or 0.0 for part in parts_of_loss(record).values()) == pytest.approx(record["loss"]["total"])
    (line,) = (line for line in summarise(record).splitlines() if line.startswith("loss "))
    total, *parts = (float(number) for number in re.findall(r"\d\.\d\de[+-]\d\d", line))
    assert len(parts) == 2 and sum(parts) == pytest.approx(total, rel=0.02)
    assert record["wall_seconds"] == pytest.approx(sum(record["seconds"].values()))
    assert set(record["seconds"]) == {"setup", "train", "reference", "plots"}
    json.dumps(record, allow_nan=False)


def test_a_seed_repeats_bit_for_bit_and_another_differs() -> None:
    ts = np.linspace(0, 1, 50)
    training = ps.Training(points={"decay": 32}, phases=[ps.Adam(steps=6), ps.LBFGS(steps=6, resample=2)])
    first, again, other = (solve(training=training, seed=seed)(t=ts) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6


def test_weights_change_the_loss_and_not_the_terms_reported() -> None:
    heavy = ps.Training(points={"decay": 32}, phases=[ps.Adam(steps=1)], weights={"start": 100.0})
    loss = solve(decay(hard=False), training=heavy).record["loss"]
    assert loss["total"] == pytest.approx(loss["terms"]["decay"] + 100 * loss["terms"]["start"], rel=1e-12)


def test_training_in_single_precision_hands_over_to_double() -> None:
    assert solve(dtype="float32").record["dtype"] == "float32"
    assert solve(dtype="float32", training=steps(2, 2)).record["dtype"] == "float64"


def test_limits_end_the_run_normally_with_the_best_state() -> None:
    by_steps = solve(training=steps(500), limits=Limits(steps=7))
    assert by_steps.record["phases"][0]["steps"] == 7 and by_steps.record["phases"][0]["ended"] == "limit"
    by_time = solve(training=steps(10**6), limits=Limits(seconds=0.2))
    assert by_time.record["phases"][0]["ended"] == "time" and by_time.record["phases"][0]["seconds"] < 1.0
    assert by_steps.status == by_time.status == "done" and "time limit was reached" in by_time.message


def test_training_stops_at_the_tolerance_and_keeps_the_state_that_met_it() -> None:
    solution = solve(training=steps(300, 2_000), limits=Limits(tolerance=0.02))
    assert solution.record["phases"][-1]["ended"] == "tolerance"
    assert sum(p["steps"] for p in solution.record["phases"]) % 50 == 0
    assert solution.errors["q"]["relative_l2"] < 0.02


def test_the_state_that_met_the_tolerance_is_kept_even_if_its_loss_is_not_the_lowest() -> None:
    """The reference is a field that the equation does not have: the loss prefers other states than the error does."""
    untrue = ps.Exact({q: 2 * exp(-t)})

    class Drift:
        def __call__(self, progress: Progress) -> None:
            if progress.step == 50:
                with torch.no_grad():
                    for parameter in network.parameters():
                        parameter.zero_()
                    network.bias.fill_(2.0)

    network = nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.zero_()
        network.bias.fill_(0.3)  # a lower loss than 2, and a larger error
    training = ps.Training(points={"decay": 32}, phases=[ps.Adam(steps=100, lr=1e-9)])
    limits = Limits(tolerance=0.7)
    solution = solve(
        decay(hard=False), network, training=training, reference=untrue, limits=limits, observers=[Drift()]
    )
    assert solution.record["phases"][-1]["ended"] == "tolerance"
    assert solution.errors["q"]["relative_l2"] < 0.7


def test_a_tolerance_needs_something_to_compare_with() -> None:
    with pytest.raises(ps.ProblemError, match=r"--tol 0\.1 · there is no reference to compare with before training"):
        solve(sought(), reference=ps.FiniteDifferences(), limits=Limits(tolerance=0.1))


def test_measured_references_can_be_watched_although_unknowns_are_sought() -> None:
    ts = np.linspace(0, 1, 30)
    stored = ps.Observations(at={t: ts}, values={q: np.exp(-2 * ts)})
    solution = solve(sought(), reference=stored, training=steps(400, 200), limits=Limits(tolerance=0.05))
    assert solution.record["reference"]["kind"] == "data"
    assert solution.record["reference"]["estimated_relative_l2"] is None
    assert solution.record["phases"][-1]["ended"] == "tolerance"


def test_unknowns_are_found_and_the_reference_uses_what_was_found() -> None:
    solution = solve(sought(), reference=None, training=steps(300, 300))
    assert solution.unknowns["k"] == pytest.approx(2.0, rel=0.02)
    assert solution.record["unknowns"] == solution.unknowns and f"k = {solution.unknowns['k']:.6g}" in solution.message
    assert solution.record["reference"]["kind"] == "finite_difference"
    reference, where = solution.reference, solution.reference.points[:, 0]
    np.testing.assert_allclose(reference.values["q"], np.exp(-solution.unknowns["k"] * where), rtol=1e-6)


def test_an_error_below_the_references_own_is_not_reported_as_known() -> None:
    coarse = ps.Observations(at={t: [0.5]}, values={q: [float(np.exp(-0.5))]})
    solution = solve(reference=coarse)
    assert "relative L2 error" in solution.message  # unknown own error: the number stands for itself
    from pinnsolve.outcome import message_of
    from pinnsolve.training.loop import TrainingResult

    record = solution.record | {"reference": {"kind": "finite_difference", "estimated_relative_l2": 10.0}}
    text = message_of(record, TrainingResult(Status.STEPS, (), (), 0.0, 0))
    assert text.startswith("q: at or below the reference's own error of 1.0e+01 (against finite difference)")


def test_a_problem_without_a_reference_is_solved_all_the_same() -> None:
    lines: list[str] = []
    delayed = ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q(t / 2))}, conditions={"start": Eq(q(0), 1)}
    )
    solution = solve(delayed, reference=None, notify=lines.append)
    assert solution.record["reference"] == {"kind": "none"} and solution.errors == {}
    assert any(line.startswith("no reference: ") for line in lines)
    assert solution.message.startswith("no reference to compare with")


def test_observers_see_every_step_and_may_end_the_run() -> None:
    seen: list[int] = []

    def observe(progress: Progress) -> None:
        seen.append(progress.step)
        if progress.step == 4:
            raise StopIteration

    solution = solve(training=steps(100), observers=[observe])
    assert seen == [1, 2, 3, 4] and solution.record["phases"][0]["ended"] == "stopped" and solution.status == "done"


def test_a_stop_asked_for_is_an_interruption() -> None:
    solution = solve(training=steps(100), limits=Limits(stop=lambda: Status.INTERRUPTED))
    assert solution.status == "interrupted" and solution.record["phases"][0]["steps"] == 0
    assert np.isfinite(solution(t=0.5))


def test_the_error_is_reported_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinnsolve.referee._WATCH_EVERY", 0.0)
    monkeypatch.setattr("pinnsolve.referee._WATCH_COST", math.inf)
    monkeypatch.setattr("pinnsolve.referee._FIRST_REPORT", 0.0)
    errors: list[Any] = []
    solve(watch=errors.append)
    assert len(errors) == 3 and all(set(e) == {"q"} and e["q"] > 0 for e in errors)


def test_what_is_reported_is_the_best_state_by_the_held_out_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinnsolve.referee._WATCH_EVERY", 0.0)
    monkeypatch.setattr("pinnsolve.referee._WATCH_COST", math.inf)
    monkeypatch.setattr("pinnsolve.referee._FIRST_REPORT", 0.0)
    errors: list[float] = []

    class Worse:
        def __call__(self, progress: Progress) -> None:
            if progress.step == 60:
                with torch.no_grad():
                    last.bias.fill_(9.0)

    with torch.random.fork_rng():
        torch.manual_seed(1)
        last = nn.Linear(5, 1).double()
        network = nn.Sequential(nn.Linear(1, 5).double(), nn.Tanh(), last)
    training = ps.Training(points={"decay": 32}, phases=[ps.Adam(steps=70, lr=1e-3)])
    solve(network=network, training=training, observers=[Worse()], watch=lambda e: errors.append(e["q"]))
    assert max(errors[60:]) <= errors[58] < 1


def test_exact_conditions_are_chosen_unless_the_user_decides() -> None:
    told: list[str] = []
    by_default, soft = solve(notify=told.append), solve(decay(hard=False))
    assert by_default(t=0.0) == 1.0 and by_default.problem.exact == {"start"}
    assert soft(t=0.0) != 1.0 and not soft.problem.exact
    assert told[0].startswith("exact conditions: start (") and "hard=False" in told[0]
    assert by_default.record["choices"][0]["what"] == "exact conditions"
    by_hand = decay(ansatz={q: 1 + t**2 * q})
    assert dict(solve(by_hand).problem.ansatz) == dict(by_hand.ansatz)


def test_choices_and_the_reference_are_told(tmp_path: Path) -> None:
    lines: list[str] = []
    solve(training=ps.Training(phases=[ps.Adam(steps=1)]), notify=lines.append, out=tmp_path / "run", plots=False)
    assert any(line.startswith("points: decay") for line in lines) and "reference: closed form" in lines
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert all(line in log for line in lines)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"problem": "burgers"}, r"solve\(...\) · 'burgers' is not a problem"),
        ({"network": "MLP"}, "network · 'MLP'"),
        ({"network": nn.Linear(1, 3)}, r"network · the module gives shape \(2, 3\)"),
        ({"network": nn.Linear(2, 1)}, "network · the module fails at points of shape"),
        ({"training": [ps.Adam(steps=1)]}, "training · "),
        ({"reference": "exact"}, "reference · 'exact' · write ps.FiniteDifferences"),
        ({"reference": ps.Exact({q: k})}, "Exact, q · k is not a coordinate"),
        ({"device": "tpu"}, "device · 'tpu'"),
        ({"dtype": "double"}, "dtype · 'double'"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(given: dict[str, Any], message: str) -> None:
    seen: list[Progress] = []
    arguments: dict[str, Any] = {
        "problem": decay(),
        "network": NETWORK,
        "training": steps(1),
        "reference": EXACT,
    } | given
    with pytest.raises(ps.ProblemError, match=message):
        ps.solve(**arguments, observers=[seen.append])
    assert not seen


def test_a_module_of_the_users_is_trained(known_module: Callable[..., nn.Module]) -> None:
    module = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1))
    solution = solve(network=module, training=steps(30, 60))
    assert solution.network_spec is None and solution.errors["q"]["relative_l2"] < 0.05
    assert next(module.parameters()).dtype == torch.float64


def test_a_run_that_blows_up_says_so() -> None:
    module = nn.Linear(1, 1)
    wild = ps.Training(points={"decay": 8}, phases=[ps.Adam(steps=200, lr=1e30)])
    solution = solve(network=module, training=wild)
    assert solution.status == "diverged" and "Lower the learning rate" in solution.message
    assert solution.record["phases"][-1]["ended"] == "diverged"


def test_threads_are_used_during_the_training_and_given_back() -> None:
    before = torch.get_num_threads()
    seen: set[int] = set()
    problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations=Eq(q.diff(t), -q), conditions=Eq(q(0), 1))
    solution = ps.solve(
        problem,
        ps.MLP(4, 1),
        ps.Training(points={"equation": 8}, phases=[ps.Adam(steps=2)]),
        ps.Exact({q: exp(-t)}),
        threads=2,
        observers=[lambda progress: seen.add(torch.get_num_threads())],
    )
    assert seen == {2} and solution.record["threads"] == 2
    assert torch.get_num_threads() == before

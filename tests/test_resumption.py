"""Resumption: a run that was broken off anywhere and gone on with is, to the last bit, a run that was not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, Function, exp, pi, sin, symbols
from torch import Tensor, nn

import pinnsolve as ps
from pinnsolve import acceleration, stagnation
from pinnsolve.inputs import InputsError
from pinnsolve.lock import LockError
from pinnsolve.training import loop
from pinnsolve.training.checkpoint import CheckpointError
from pinnsolve.training.phase import Phase
from pinnsolve.training.progress import Progress
from pinnsolve.training.status import Status

x, t, k = symbols("x"), symbols("t"), symbols("k", positive=True)
q, u = ps.fields("q", t), ps.fields("u", x, t)
NETWORK = ps.MLP(width=5, depth=1)
EXACT = ps.Exact({q: exp(-t)})


def decay(**more: Any) -> ps.Problem:
    declared: dict[str, Any] = {
        "equations": {"decay": Eq(q.diff(t), -q)},
        "conditions": {"start": Eq(q(0), 1)},
        "hard": False,
    }
    return ps.Problem(domain=ps.Interval(t, 0, 1), **declared | more)


def sought() -> ps.Problem:
    """An inverse problem: how fast does it decay?"""
    ts = np.linspace(0, 1, 9)
    sensor = ps.Observations(at={t: ts}, values={q: np.exp(-2 * ts)}, noise=np.linspace(0.01, 0.02, 9))
    return decay(equations={"decay": Eq(q.diff(t), -k * q)}, unknowns={k: 0.5}, data={"sensor": sensor})


def heat() -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(pi**2 * u.diff(t), u.diff(x, 2))},
        conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
        hard=False,
    )


HEAT_EXACT = ps.Exact({u: exp(-t) * sin(pi * x)})


def parameters(solution: ps.Solution) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in solution.trial.state_dict().values()])


def check(
    tmp_path: Path,
    problem: ps.Problem,
    training: ps.Training,
    *,
    stops: Sequence[int] = (7,),
    network: Any = NETWORK,
    reference: Any = EXACT,
    **more: Any,
) -> ps.Solution:
    """Compare a run with one that is broken off after so many steps, again and again; return the former."""
    settings: dict[str, Any] = {"device": "cpu", "compile": "off", "plots": False} | more
    whole = ps.solve(problem, network() if isinstance(network, type) else network, training, reference, **settings)
    mine = network() if isinstance(network, type) else network
    given = {"network": mine} if isinstance(network, type) else {}
    first, *others = stops
    limits = ps.Limits(steps=first)
    ps.solve(problem, mine, training, reference, out=tmp_path / "run", limits=limits, **settings)
    for stop in (*others, 10**6):
        found = ps.resume(tmp_path / "run", limits=ps.Limits(steps=stop), plots=False, **given)
    assert torch.equal(parameters(found), parameters(whole))
    assert found.unknowns == whole.unknowns and found.errors == whole.errors and found.residuals == whole.residuals
    assert found.record["loss"] == whole.record["loss"] and found.record["points"] == whole.record["points"]
    phases = [{**p, "seconds": 0} for p in found.record["phases"]]
    assert phases == [{**p, "seconds": 0} for p in whole.record["phases"]]
    timeless = {"seconds": 0.0, "steps_per_second": 0.0}
    assert [replace(p, **timeless) for p in found.history] == [replace(p, **timeless) for p in whole.history]
    return whole


STEPPERS: dict[str, Phase] = {
    "adam": ps.Adam(20, 1e-2, decay=ps.Plateau(patience=2), clip=1.0),
    "adamw": ps.AdamW(20, 1e-2),
    "sgd": ps.SGD(20, 1e-2, nesterov=True),
    "adagrad": ps.AdaGrad(20),
    "rmsprop": ps.RMSprop(20, 1e-3, momentum=0.5, decay=ps.Cosine()),
    "soap": ps.SOAP(20, precondition=3),
    "lbfgs": ps.LBFGS(20, history=4),
    "bfgs": ps.BFGS(20),
    "ssbfgs": ps.SSBFGS(20),
    "ssbroyden": ps.SSBroyden(20),
    "levenberg_marquardt": ps.LevenbergMarquardt(9),
    "spring": ps.SPRING(20),
    "gauss_newton_cg": ps.GaussNewtonCG(20, rank=3, iterations=5),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", STEPPERS)
def test_every_algorithm_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    phase = replace(STEPPERS[name], resample=5)  # type: ignore[type-var]
    training = ps.Training(points={"decay": 16}, phases=[phase])
    whole = check(tmp_path, decay(), training, stops=(3, 5, 7))
    assert whole.record["phases"][0]["steps"] > 7


@pytest.mark.parametrize("stop", [9, 10, 11])
def test_around_the_switch_from_phase_to_phase(stop: int, tmp_path: Path) -> None:
    phases: list[Phase] = [ps.Adam(10), ps.SSBroyden(10, resample=4), ps.LevenbergMarquardt(5, resample=1)]
    check(tmp_path, decay(), ps.Training(points={"decay": 16}, phases=phases), stops=(stop,))


@pytest.mark.thorough
@pytest.mark.parametrize("stop", [44, 45, 46, 60])
def test_where_noisy_measurements_weigh_less_in_the_last_phase(stop: int, tmp_path: Path) -> None:
    whole = check(tmp_path, sought(), ps.Training(points={"decay": 16}), stops=(stop,), reference=None, quick=True)
    assert [p["steps"] for p in whole.record["phases"]] == [20, 25, 25]
    assert whole.record["loss"]["weights"]["sensor"] < whole.record["loss"]["weights"]["start"] / 100


@pytest.mark.parametrize("calls", [10, 11, 12, 21, 22, 23])
def test_interrupted_at_the_very_end_of_a_phase(calls: int, tmp_path: Path) -> None:
    """A flag is seen between two steps, also between the last one and the end of a phase, which is looked at all the same."""
    training = ps.Training(points={"decay": 16}, phases=[ps.Adam(10), ps.SSBroyden(10)])
    asked = iter([None] * calls + [Status.INTERRUPTED] * 99)
    limits = ps.Limits(stop=lambda: next(asked))
    settings: dict[str, Any] = {"compile": "off", "plots": False}
    whole = ps.solve(decay(), NETWORK, training, EXACT, **settings)
    ps.solve(decay(), NETWORK, training, EXACT, out=tmp_path / "run", limits=limits, **settings)
    found = ps.resume(tmp_path / "run", plots=False)
    assert torch.equal(parameters(found), parameters(whole))
    assert [p.step for p in found.history] == [p.step for p in whole.history]


def test_from_single_to_double_precision(tmp_path: Path) -> None:
    training = ps.Training(points={"decay": 16}, phases=[ps.Adam(10), ps.LBFGS(10)])
    check(tmp_path, decay(), training, stops=(4, 14), dtype="float32")


@pytest.mark.parametrize("resampling", ["uniform", "rad", "r3"])
def test_points_that_are_redrawn(resampling: str, tmp_path: Path) -> None:
    training = ps.Training(points={"heat": 60}, phases=[ps.Adam(20)], resample=3, resampling=resampling)
    check(tmp_path, heat(), training, stops=(3, 10), reference=HEAT_EXACT)


WEIGHTINGS: dict[str, Any] = {
    "gradient_norm": ps.GradientNorm(every=4),
    "ntk": ps.NTK(every=4),
    "residual_attention": ps.ResidualAttention(every=2),
    "self_adaptive": ps.SelfAdaptive(every=2),
    "causal": ps.Causal(t, every=2, bins=4, threshold=0.01),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weights_that_change(name: str, tmp_path: Path) -> None:
    phases: list[Phase] = [ps.Adam(12, resample=5), ps.LevenbergMarquardt(4, resample=1)]
    training = ps.Training(points={"heat": 60}, phases=phases, weighting=WEIGHTINGS[name], weights={"left": 3.0})
    check(tmp_path, heat(), training, stops=(5, 14), reference=HEAT_EXACT)


def test_unknowns_and_observations(tmp_path: Path) -> None:
    training = ps.Training(points={"decay": 16}, phases=[ps.Adam(10, resample=4), ps.SSBroyden(20, resample=4)])
    whole = check(
        tmp_path, sought(), training, stops=(6, 17), reference=ps.Observations(at={t: [0.5]}, values={q: [0.6]})
    )
    assert whole.unknowns["k"] != 0.5 and whole.record["reference"]["kind"] == "data"


NETWORKS: dict[str, Any] = {
    "thinned": ps.ResNet(8, 2, dropout=0.3, stochastic_depth=0.5),
    "batch": ps.MLP(8, 2, normalization="batch"),
    "whitened": ps.MLP(8, 2, whitening="full"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_change_from_step_to_step_and_doubtful_observations(name: str, tmp_path: Path) -> None:
    ts, noise = np.linspace(0, 1, 24), symbols("noise", positive=True)
    split = [ps.RangeSplit({t: (0.9, 1)}), ps.GroupSplit(np.arange(24) // 4), ps.RandomSplit()]
    sensor = ps.Observations(at={t: ts}, values={q: np.exp(-2 * ts)}, noise=noise, loss=ps.StudentT(), split=split)
    declared = {"equations": {"decay": Eq(q.diff(t), -k * q)}, "unknowns": {k: 0.5, noise: 0.1}}
    phases: list[Phase] = [ps.Adam(12, 1e-2, l2=1e-4, l1=1e-4), ps.SSBroyden(8)]
    training = ps.Training(points={"decay": 16}, phases=phases, patience=9)
    whole = check(tmp_path, decay(**declared, data={"sensor": sensor}), training, stops=(5, 14), network=NETWORKS[name])
    assert ps.load(tmp_path / "run").held_out == whole.held_out and len(whole.held_out["sensor"]) == 4


@pytest.mark.parametrize("stop", [10, 13])
def test_windows(stop: int, tmp_path: Path) -> None:
    training = ps.Training(
        points={"heat": 60}, phases=[ps.Adam(4), ps.LevenbergMarquardt(6, resample=1)], windows={t: 3}
    )
    whole = check(tmp_path, heat(), training, stops=(stop,), reference=HEAT_EXACT)
    assert [p["steps"] for p in whole.record["phases"]] == [4, 6, 6, 6]


def test_pseudo_time(tmp_path: Path) -> None:
    v = ps.fields("v", x)
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 1),
        equations={"steady": Eq(v.diff(x, 2), v**2)},
        conditions={"left": Eq(v(0), 1), "right": Eq(v(1), 0.5)},
    )
    training = ps.Training(points={"steady": 20}, phases=[ps.LevenbergMarquardt(12, resample=1)], pseudo_time=0.1)
    check(tmp_path, problem, training, stops=(5,), reference=None)


@pytest.mark.thorough
@pytest.mark.parametrize("stop", [8, 30, 48])
def test_what_is_begun_again_once_it_is_stuck(stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training is stuck here after a few draws; what it does then must outlive a resumption, before and after."""
    for name, value in (("_DRAWS", 10), ("_SLOW", 0.0), ("_OF_FIRST", 0.0), ("_OF_PARTS", 0.0)):
        monkeypatch.setattr(stagnation, name, value)
    monkeypatch.setattr("pinnsolve.phases._SHORT_ADAM_STEPS", 10)
    monkeypatch.setattr("pinnsolve.phases._GAUSS_NEWTON_STEPS", 60)
    monkeypatch.setattr("pinnsolve.phases._WINDOW_STEPS", 8)
    monkeypatch.setattr("pinnsolve.windows.WINDOWS", 3)
    problem = decay(equations={"decay": Eq(q.diff(t), -(q**2))})
    told: list[str] = []
    training = ps.Training(points={"decay": 16})
    check(tmp_path, problem, training, stops=(stop,), reference=None, notify=told.append)
    assert any("beginning again" in line for line in told)


def test_samples_that_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On fewer points, on all of them, and on more: broken off in each."""
    monkeypatch.setattr("pinnsolve.phases._SHORT_ADAM_STEPS", 10)
    monkeypatch.setattr("pinnsolve.phases._GAUSS_NEWTON_STEPS", 30)
    monkeypatch.setattr("pinnsolve.choices._BEGINNING", 6)
    monkeypatch.setattr("pinnsolve.sample_size._WAIT", 1)
    check(tmp_path, decay(), ps.Training(resampling="r3"), stops=(12, 18, 26, 33))


def test_directions_that_are_drawn(tmp_path: Path) -> None:
    many = symbols("a:6")
    w = Function("w")(*many)
    problem = ps.Problem(
        domain=ps.Box({c: (0, 1) for c in many}),
        equations={"poisson": Eq(sum(w.diff(c, 2) for c in many), 1)},
        conditions=[Eq(w.subs(c, end), 0) for c in many for end in (0, 1)],
    )
    training = ps.Training(points={"poisson": 20}, phases=[ps.Adam(12)], resample=3, directions=2)
    check(
        tmp_path, problem, training, stops=(5,), reference=ps.Observations(at=dict.fromkeys(many, 0.5), values={w: 0.0})
    )


def test_returns_from_divergence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rise of the loss counts as divergence here, so that there are many returns."""
    monkeypatch.setattr(loop, "_DIVERGED", 1.0)
    training = ps.Training(points={"decay": 16}, phases=[ps.Adam(30, 0.5), ps.LBFGS(5)])
    whole = check(tmp_path, decay(), training, stops=(2, 3, 5))
    assert any(progress.event for progress in whole.history)


class Dropping(nn.Module):
    """A network of the user's own that draws from torch's own generator."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(points)


def test_a_module_of_ones_own_that_draws_random_numbers(tmp_path: Path) -> None:
    training = ps.Training(points={"decay": 16}, phases=[ps.Adam(12)])
    found = []
    with torch.random.fork_rng():
        for steps in (12, 5):
            limits = ps.Limits(steps=steps)
            module = Dropping()
            ps.solve(decay(), module, training, EXACT, out=tmp_path / f"{steps}", limits=limits, plots=False)
            found.append(module)
        found.append(Dropping())
        ps.resume(tmp_path / "5", network=found[-1], plots=False, limits=ps.Limits(steps=12))
    whole, part, resumed = (torch.nn.utils.parameters_to_vector(module.parameters()) for module in found)
    assert torch.equal(whole, resumed) and not torch.equal(whole, part)


@pytest.mark.slow
def test_a_compiled_step_is_compiled_again(tmp_path: Path) -> None:
    training = ps.Training(points={"decay": 400}, phases=[ps.Adam(20, resample=5)])
    whole = check(tmp_path, decay(), training, stops=(7,), compile="on")
    assert whole.record["choices"][-1]["value"] == "compiled"


class TestStoring:
    training = ps.Training(points={"decay": 16}, phases=[ps.Adam(10), ps.SSBroyden(10, resample=3)])

    def solve(self, out: Path | None, **more: Any) -> ps.Solution:
        return ps.solve(decay(), NETWORK, self.training, EXACT, out=out, plots=False, compile="off", **more)

    def test_a_checkpoint_after_every_step_changes_nothing(self, tmp_path: Path) -> None:
        without, rarely, always = (
            self.solve(None),
            self.solve(tmp_path / "a"),
            self.solve(tmp_path / "b", save_every=0.0),
        )
        assert torch.equal(parameters(without), parameters(rarely))
        assert torch.equal(parameters(without), parameters(always))
        assert {"000000019", "000000020"} <= {p.name for p in (tmp_path / "b" / "checkpoints").iterdir()}

    def test_one_is_stored_when_it_is_asked_for(self, tmp_path: Path) -> None:
        asked = iter([False] * 4 + [True] + [False] * 99)
        self.solve(tmp_path / "a", save_asked=lambda: next(asked), limits=ps.Limits(steps=6))
        assert [p.name for p in sorted((tmp_path / "a" / "checkpoints").iterdir())] == ["000000005", "000000006"]

    def test_what_was_recorded_after_the_checkpoint_is_recorded_once(self, tmp_path: Path) -> None:
        def fail(progress: Progress) -> None:
            if progress.step == 13:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            self.solve(tmp_path / "a", observers=[fail])
        with (tmp_path / "a" / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write('{"step": 12, "seconds": 9.0}\n{"step": 1')
        seen: list[int] = []
        told: list[str] = []
        solution = ps.resume(
            tmp_path / "a", observers=[lambda p: seen.append(p.step)], notify=told.append, argv=["x"], plots=False
        )
        assert seen == list(range(11, 21)) and "going on from step 10" in told
        steps = [json.loads(line)["step"] for line in (tmp_path / "a" / "metrics.jsonl").read_text().splitlines()]
        assert steps == sorted(set(steps)) and steps[0] == 1 and 12 not in steps
        assert [p["steps"] for p in solution.record["phases"]] == [10, 10]
        assert solution.record == json.loads((tmp_path / "a" / "result.json").read_bytes())
        made = json.loads((tmp_path / "a" / "run.json").read_bytes())
        assert made["resumed"][0]["step"] == 10 and made["resumed"][0]["argv"] == ["x"] and made["argv"] == []

    def test_a_run_that_was_through_is_compared_and_written_again(self, tmp_path: Path) -> None:
        whole = self.solve(tmp_path / "a")
        again = ps.resume(tmp_path / "a", plots=False)
        assert torch.equal(parameters(whole), parameters(again)) and again.message.endswith(whole.message[-40:])

    def test_a_tolerance_that_was_met_stays_met(self, tmp_path: Path) -> None:
        training = ps.Training(points={"decay": 16}, phases=[ps.Adam(2_000, 1e-2)])
        limits = ps.Limits(tolerance=0.2)
        whole = ps.solve(
            decay(), NETWORK, training, EXACT, out=tmp_path / "a", limits=limits, plots=False, compile="off"
        )
        again = ps.resume(tmp_path / "a", plots=False)
        assert whole.record["phases"][-1]["ended"] == again.record["phases"][-1]["ended"] == "tolerance"
        assert torch.equal(parameters(whole), parameters(again))

    def test_time_is_counted_from_the_beginning(self, tmp_path: Path) -> None:
        training = ps.Training(points={"decay": 16}, phases=[ps.Adam(10**6)])
        limits = ps.Limits(seconds=0.3)
        first = ps.solve(decay(), NETWORK, training, EXACT, out=tmp_path / "a", limits=limits, plots=False)
        again = ps.resume(tmp_path / "a", plots=False)
        assert again.record["phases"][0]["steps"] == first.record["phases"][0]["steps"]
        longer = ps.resume(tmp_path / "a", plots=False, limits=ps.Limits(seconds=0.6))
        (phase,) = longer.record["phases"]
        assert phase["ended"] == "time" and 0.6 <= phase["seconds"] < 1.2
        assert phase["steps"] > first.record["phases"][0]["steps"]
        assert longer.record["seconds"]["train"] >= 0.6 and longer.record["wall_seconds"] > first.record["wall_seconds"]

    def test_the_way_to_gradients_is_not_tried_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        training = ps.Training(points={"decay": 1_000}, phases=[ps.Adam(2_000)])
        monkeypatch.setattr(acceleration, "_trial", lambda *_: {"plain": 2e-6, "nested": 1e-6})
        stop = iter([None] * 5 + [Status.INTERRUPTED] * 9)
        ps.solve(
            decay(),
            NETWORK,
            training,
            EXACT,
            out=tmp_path / "a",
            limits=ps.Limits(stop=lambda: next(stop)),
            plots=False,
        )
        monkeypatch.setattr(acceleration, "_trial", None)
        again = ps.resume(tmp_path / "a", plots=False, limits=ps.Limits(steps=9))
        assert again.record["choices"][-1]["value"] == "nested"

    def test_another_process_is_not_disturbed(self, tmp_path: Path) -> None:
        def intrude(progress: Progress) -> None:
            if progress.step == 2:
                with pytest.raises(LockError, match=r"process \d+, begun .* UTC, is at work in it") as refused:
                    ps.resume(tmp_path / "a")
                assert refused.value.exit_code == 8
                raise StopIteration

        assert self.solve(tmp_path / "a", observers=[intrude]).record["phases"][0]["steps"] == 2


class TestRefusals:
    def begun(self, folder: Path, network: Any = NETWORK, training: Any = None, **more: Any) -> Path:
        training = training or ps.Training(points={"decay": 16}, phases=[ps.Adam(5)])
        ps.solve(decay(), network, training, EXACT, out=folder, plots=False, limits=ps.Limits(steps=3), **more)
        return folder

    def test_a_folder_without_a_run(self, tmp_path: Path) -> None:
        with pytest.raises(ps.ProblemError, match=r"there is no run\.json") as refused:
            ps.resume(tmp_path)
        assert refused.value.exit_code == 8

    def test_what_could_not_be_stored_is_asked_for(self, tmp_path: Path) -> None:
        with torch.random.fork_rng():
            run = self.begun(tmp_path / "a", nn.Linear(1, 1))
            with pytest.raises(InputsError, match=r"network \(a module of your own\) · name the problem file"):
                ps.resume(run)
            assert ps.resume(run, network=nn.Linear(1, 1), plots=False).record["phases"][0]["steps"] == 3
            with pytest.raises(CheckpointError, match="its network does not fit"):
                ps.resume(run, network=nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1)))

    def test_a_decay_of_ones_own_is_asked_for(self, tmp_path: Path) -> None:
        def own(done: float) -> float:
            return 1 - done / 2

        training = ps.Training(points={"decay": 16}, phases=[ps.Adam(5, decay=own)])
        run = self.begun(tmp_path / "a", training=training)
        with pytest.raises(InputsError, match=r"training \(function own is of your own making and cannot be stored\)"):
            ps.resume(run)
        assert ps.resume(run, training=training, plots=False, limits=ps.Limits(steps=9)).status == "done"

    def test_what_is_stored_is_not_given_again(self, tmp_path: Path) -> None:
        with pytest.raises(InputsError, match=r"resume\(\.\.\., network=\.\.\.\) · it is stored with the run"):
            ps.resume(self.begun(tmp_path / "a"), network=NETWORK)

    def test_checkpoints_of_another_run(self, tmp_path: Path) -> None:
        one, other = self.begun(tmp_path / "a"), self.begun(tmp_path / "b", seed=1)
        (one / "checkpoints").rename(tmp_path / "spare")
        (other / "checkpoints").rename(one / "checkpoints")
        before = (one / "result.json").read_bytes()
        with pytest.raises(CheckpointError, match="000000003: it belongs to another run"):
            ps.resume(one)
        assert (one / "result.json").read_bytes() == before

    def test_an_edited_declaration(self, tmp_path: Path) -> None:
        run = self.begun(tmp_path / "a")
        path = run / "declaration" / "state.json"
        path.write_bytes(path.read_bytes().replace(b'"seed":0', b'"seed":1'))
        with pytest.raises(InputsError, match=r"state\.json is not as it was written"):
            ps.resume(run)

    def test_other_versions_are_told_of(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = self.begun(tmp_path / "a")
        told: list[str] = []
        monkeypatch.setattr("pinnsolve.__version__", "9.9")
        ps.resume(run, notify=told.append, plots=False)
        assert told[0].startswith("WARNING: pinnsolve ") and "is now 9.9: the last digits may differ" in told[0]

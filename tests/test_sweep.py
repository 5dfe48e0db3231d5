"""Sweeps: what can be varied, what is refused, by what trials are judged, and the whole verb on a small equation."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, symbols

import pinnsolve as ps
from pinnsolve.choices import choose
from pinnsolve.cli import main
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.drawing.sweeps import sweep_figure
from pinnsolve.sweep.campaign import _plan
from pinnsolve.sweep.judgement import Judge, hold_back
from pinnsolve.sweep.ranges import Choices, Span, SweepError, read_ranges
from pinnsolve.sweep.results import Row, as_text, rows_of
from pinnsolve.sweep.runs import Run
from pinnsolve.sweep.settings import Numerics
from pinnsolve.sweep.study import Tried
from pinnsolve.training.phase import Phase

t = symbols("t")
q = ps.fields("q", t)
TIMES = np.linspace(0.0, 2.0, 20)

FILE = """
from sympy import Eq, exp, symbols
import pinnsolve as ps
t = symbols("t")
q = ps.fields("q", t)
problem = ps.Problem(
    domain=ps.Interval(t, 0, 2), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
)
network = ps.MLP(width=6, depth=1)
training = ps.Training(points={"decay": 32}, phases=[ps.Adam(steps=8, lr=1e-2), ps.LevenbergMarquardt(steps=2)])
reference = ps.Exact({q: exp(-t)})
"""


def decay(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Interval(t, 0, 2), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}, **more
    )


def numerics_of(problem: ps.Problem, network: Any = None, training: ps.Training | None = None) -> Numerics:
    return Numerics.of(training, choose(compile_problem(problem), network, training, device="cpu"))


PHASES: list[Phase] = [ps.Adam(steps=8, lr=1e-2), ps.LBFGS(steps=2)]
GIVEN = numerics_of(decay(hard=False), ps.MLP(width=6, depth=1), ps.Training(points={"decay": 32}, phases=PHASES))


def test_settings_are_the_single_values_of_network_training_phases_points_and_weights():
    settings = GIVEN.settings()
    assert settings["network.width"].value == 6 and settings["network.width"].kinds == {int}
    assert settings["training.phases[0].lr"].value == 1e-2 and settings["training.phases[1].history"].kinds == {int}
    assert settings["training.phases[0].clip"].optional and not settings["network.depth"].optional
    assert settings["training.points.decay"].value == 32 and settings["training.weights.start"].value == 100
    assert {name for name in settings if name.endswith((".betas", ".decay", ".phases", ".resample"))} == {
        "training.points.decay",
        "training.weights.decay",
        *(f"training.phases[{k}].resample" for k in (0, 1)),
    }


def test_settings_are_put_in_place_and_nothing_else_changes():
    settings = GIVEN.settings()
    values: dict[Any, Any] = {
        settings["network.width"]: 9,
        settings["training.phases[1].steps"]: 5,
        settings["training.points.decay"]: 64,
        settings["training.patience"]: 100,
    }
    network, training = GIVEN.put(values)
    assert network == ps.MLP(width=9, depth=1)
    assert training == replace(
        GIVEN.training, points={"decay": 64}, patience=100, phases=(PHASES[0], ps.LBFGS(steps=5))
    )
    assert GIVEN.network.width == 6 and GIVEN.put({}) == (GIVEN.network, GIVEN.training)


def test_one_weight_leaves_the_others_what_they_were():
    _, training = GIVEN.put({GIVEN.settings()["training.weights.start"]: 7.0})
    assert training.weights == {"decay": 1.0, "start": 7.0} and GIVEN.training.weights is None


def test_what_a_file_leaves_out_can_be_varied_and_is_chosen_anew_for_every_network():
    chosen = numerics_of(decay())
    _, training = chosen.put({chosen.settings()["network.width"]: 200})
    assert training.phases is None
    phases = chosen.put({chosen.settings()["training.phases[0].lr"]: 0.5})[1].phases
    assert phases is not None and phases[0].lr == 0.5 and phases[1] == chosen.training.phases[1]  # type: ignore[attr-defined,index]


def test_ranges_are_read():
    texts = [
        "network.width=4, 8",
        "network.depth=1..3",
        "training.phases[0].lr=1e-3..1e-1:log",
        "network.fourier=none,2",
    ]
    width, depth, rate, fourier = read_ranges(texts, GIVEN)
    assert isinstance(width, Choices) and width.values == (4, 8)
    assert isinstance(depth, Span) and depth.whole and depth.values == (1, 2, 3)
    assert isinstance(rate, Span) and rate.log and (rate.low, rate.high) == (1e-3, 1e-1) and rate.values == ()
    assert fourier.values == (None, 2.0)
    (scaling,) = read_ranges(["training.scaling=true,false"], GIVEN)
    assert scaling.values == (True, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "network.widht=4",
            r"no setting 'network.widht' · did you mean network.width\? Those there are: .*training.sam",
        ),
        ("network.__class__=4", r"there is no setting"),
        ("training.phases[7].lr=1", r"there is no setting"),
        ("network.width=4.5", r"'4.5' is not a whole number · network.width is 6 now"),
        ("network.width=a..b", r"no range of whole numbers · write LOW..HIGH, such as 20..60"),
        ("network.width=60..20", r"the range from 60 to 20 is empty · write the lower end first"),
        ("network.width=20..20", r"is empty"),
        ("network.width", r"no values · write --vary network.width=20,40,60"),
        ("network.width=", r"no values"),
        ("network.width=4,4", r"the value 4 twice"),
        ("network.width=0,4", r"MLP width: found 0 · write a whole number, at least 1"),
        ("network.width=none", r"'none' is not a whole number"),
        ("network.activation=relu,tanh", r"'relu' is piecewise.* · use one of tanh"),
        ("network.activation=1..2", r"a range, and network.activation is a word · list values"),
        ("network.dropout=0..1.5", r"MLP dropout: found 1.5"),
        ("network.one_per_field=yes", r"'yes' is not true or false"),
        ("training.phases[0].lr=0..1:log", r"the logarithm of 0 · begin above 0"),
        ("training.phases[0].lr=1..2:lin", r":lin behind a range · write :log"),
        ("training.phases[0].lr=nan", r"'nan' is not a number"),
        ("training.phases[0].lr=1..inf", r"is no range of numbers"),
        ("training.weights.start=-1", r'weights\["start"\]: -1.0 · write a positive number'),
    ],
)
def test_what_cannot_be_varied_so_is_refused_before_anything_is_trained(text: str, message: str):
    with pytest.raises(SweepError, match=message) as caught:
        read_ranges([text], GIVEN)
    assert caught.value.exit_code == 2 and str(caught.value).startswith(f"--vary {text}")


def test_a_setting_is_varied_once():
    with pytest.raises(SweepError, match=r"network.width is varied twice"):
        read_ranges(["network.width=4", "network.width=8"], GIVEN)


def test_few_listed_settings_are_a_grid_and_others_are_proposed():
    def planned(*texts: str, sampler: str = "auto", trials: int | None = None) -> tuple[str, int]:
        options: Any = type("", (), {"sampler": sampler, "trials": trials, "seeds": 2})
        plan, _ = _plan(read_ranges(texts, GIVEN), options)
        return plan.sampler, plan.trials

    assert planned() == ("grid", 1)
    assert planned("network.width=4,8", "network.depth=1..3") == ("grid", 6)
    assert planned("network.width=4,8", "network.depth=1..3", trials=5) == ("tpe", 5)
    assert planned("network.width=1..400") == ("tpe", 30)
    assert planned("training.phases[0].lr=1e-3..1") == ("tpe", 30)
    assert planned("network.width=4,8", sampler="random", trials=9) == ("random", 2)
    with pytest.raises(SweepError, match=r"lr is a range of numbers · list its values"):
        planned("training.phases[0].lr=1e-3..1", sampler="grid")
    with pytest.raises(SweepError, match=r"2 settings in the grid, and --trials 1"):
        planned("network.width=4,8", sampler="grid", trials=1)


def test_the_held_out_loss_is_the_weighted_mean_square_of_the_file(known: Callable[..., ps.Solution]):
    """For q = t the residual of q' + q is 1 + t, of mean square 13/3 on [0, 2], and q(0) - 1 = -1."""
    solution = known(decay(hard=False), lambda column: column)
    judge = Judge({"decay": 1.0, "start": 100.0}, ("decay",), "sobol")
    assert judge.loss(solution) == pytest.approx(13 / 3 + 100, rel=1e-4)
    assert Judge({"decay": 3.0}, ("decay",), "sobol").loss(solution) == pytest.approx(13, rel=1e-3)
    assert judge.loss(known(decay(hard=False), lambda column: column / 0)) == math.inf
    assert judge.loss(known(decay(hard=False), lambda column: torch.exp(-column))) < 1e-28


def observed(**more: Any) -> ps.Observations:
    return ps.Observations(at={t: TIMES}, values={q: np.exp(-TIMES)}, **more)


def test_measurements_are_held_out_of_trainings_and_judged_by(known: Callable[..., ps.Solution]):
    problem, told = hold_back(decay(data={"sensor": observed()}, hard=False))
    held = problem.data["sensor"].held_out["random"]
    assert held.sum() == 4 and "a random fifth is held out" in told[0]
    loss = Judge({"sensor": 1.0}, (), "sobol").loss(known(problem, lambda column: 0 * column))
    assert loss == pytest.approx(np.mean(np.exp(-2 * TIMES[held])), rel=1e-12)


def test_splits_that_choose_stay_and_others_are_left_untouched():
    problem = decay(data={"sensor": observed(split=ps.BlockSplit(t))})
    same, told = hold_back(problem)
    assert same is problem and told == []
    problem, _ = hold_back(decay(data={"sensor": observed(split=ps.RangeSplit({t: (1.5, 2)}))}))
    names = list(problem.data["sensor"].held_out)
    assert (
        names == ["t from 1.5 to 2", "random"]
        and not (problem.data["sensor"].held_out["random"] & (TIMES >= 1.5)).any()
    )
    few = decay(data={"sensor": ps.Observations(at={t: [0.5, 1.0]}, values={q: [0.6, 0.4]})})
    problem, told = hold_back(few)
    assert problem is few and "2 measurements are too few" in told[0]


def test_private_measurements_are_refused():
    problem = decay(data={"sensor": observed(privacy=ps.Privacy(epsilon=1, delta=1e-5))})
    with pytest.raises(ps.ProblemError, match=r"sensor · private measurements, and every trial would spend"):
        hold_back(problem)


def run_of(seed: int, held_out: float, error: float | None = None) -> Run:
    return Run(seed, f"0000/s{seed}", "done", held_out, error, 25, 1.0, {"k": 2.0 + seed})


def test_settings_are_ordered_by_the_median_of_the_held_out_losses_whatever_the_errors_are():
    good = [
        Tried(n, {"seed": n, "a.b": 1}, "done", (run_of(n, loss, 0.9),), "") for n, loss in enumerate([1e-3, 9, 2e-3])
    ]
    worse = Tried(5, {"a.b": 2}, "done", (run_of(0, 1e-4, 1e-9), run_of(1, 1.0, 1e-9), run_of(2, 1.0, None)), "")
    dropped = Tried(6, {"a.b": 3}, "dropped", (run_of(0, 0.0),), "")
    refused = Tried(7, {"a.b": 4}, "failed", (), "no")
    rows = rows_of([refused, worse, *good, dropped])
    assert [row.values["a.b"] for row in rows] == [1, 2, 4]
    assert [row.held_out for row in rows] == [2e-3, 1.0, math.inf] and rows[1].error == 1e-9
    assert rows[0].unknowns == {"k": 3.0} and rows[0].best == good[0].runs[0]
    assert "failed" in as_text(rows, ["a.b"]).splitlines()[3]


def test_runs_are_stored_and_read_back():
    for run in (run_of(1, 0.5, 1e-3), run_of(2, math.inf)):
        assert Run.read(json.loads(json.dumps(run.as_data(), allow_nan=False))) == run


def test_the_figure_shows_numbers_words_and_none():
    rows = [
        Row({"n.w": 2 * 4.0**j, "n.a": a, "n.f": f}, (run_of(0, 10.0**-j, 10.0**-j), run_of(1, 1.0, 2.0)), j)
        for j, (a, f) in enumerate([("tanh", None), ("sine", 1.0), ("silu", 2.0)])
    ]
    axes = sweep_figure(rows, ["n.w", "n.a", "n.f"]).axes
    assert [ax.get_xlabel() for ax in axes] == ["n.w", "n.a", "n.f", "held-out loss"]
    assert axes[0].get_xscale() == "log" and axes[3].get_title().startswith("rank correlation")
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["silu", "sine", "tanh"]
    assert len(sweep_figure([Row({}, (run_of(0, 1.0),), 0)], []).axes) == 1


def test_a_sweep_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "decay.py").write_text(FILE)
    command = ["sweep", str(tmp_path / "decay.py"), "--compile", "off", "--out", str(tmp_path / "out"), "--seeds", "2"]
    assert main([*command, "--vary", "network.width=4,8", "--json"]) == 0
    found = capsys.readouterr()
    record = json.loads(found.out)
    assert record == json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert "grid: 2 settings, 2 seeds each: 4 runs" in found.err and "best by the median held-out loss" in found.err
    assert sorted(s["values"]["network.width"] for s in record["settings"]) == [4, 8]
    medians = [s["held_out"] for s in record["settings"]]
    assert medians == sorted(medians) and medians == [
        np.median([r["held_out"] for r in s["runs"]]) for s in record["settings"]
    ]
    lines = list(csv.DictReader((tmp_path / "out" / "sweep.csv").read_text().splitlines()))
    assert len(lines) == 4 and {line["network.width"] for line in lines} == {"4", "8"}
    assert (tmp_path / "out" / "sweep.png").stat().st_size > 10_000
    for line in lines:
        run = tmp_path / "out" / line["run"]
        solution = ps.load(run)
        assert solution.network_spec.width == int(line["network.width"])
        assert float(line["error"]) == pytest.approx(solution.errors["q"]["relative_l2"], rel=1e-12)
        assert float(line["held_out"]) == pytest.approx(
            Judge({"decay": 1.0}, ("decay",), "sobol").loss(solution), rel=1e-9
        )
    assert main(["show", str(run)]) == 0
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("result.json")}
    assert main([*command, "--vary", "network.width=4,8"]) == 0  # nothing is left to do, and nothing is done again
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert capsys.readouterr().out.splitlines()[0].split()[:3] == ["network.width", "held-out", "loss"]
    assert main([*command, "--vary", "network.width=4,9"]) == 8
    assert "it holds a sweep with other vary" in capsys.readouterr().err


def test_settings_that_do_not_go_together_fail_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "decay.py").write_text(FILE)
    command = ["sweep", str(tmp_path / "decay.py"), "--compile", "off", "--seeds", "1"]
    both = ["--vary", "network.width=4,5", "--vary", "network.fourier=2"]
    assert main([*command, *both, "--out", str(tmp_path / "out")]) == 0
    found = capsys.readouterr()
    assert "MLP width · found 5 with fourier=2" in found.err and "failed" in found.out
    assert main([*command, "--vary", "network.width=5", *both[2:], "--out", str(tmp_path / "bad")]) == 3


def test_optuna_is_imported_by_sweeps_alone_and_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    program = "import sys, pinnsolve, pinnsolve.cli, pinnsolve.solver, pinnsolve.sweep.campaign; print('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    (tmp_path / "decay.py").write_text(FILE)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", str(tmp_path / "decay.py"), "--out", str(tmp_path / "out")]) == 3
    assert 'install it by pip install "pinnsolve[sweep]"' in capsys.readouterr().err

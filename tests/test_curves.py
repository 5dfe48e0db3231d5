"""Curves for TensorBoard: what is written is read back, also of a run that is gone on with; what is missing is said."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import Any

import pytest

from pinnsolve.cli import main
from pinnsolve.curves import Curves
from pinnsolve.run_directory import read_result
from pinnsolve.training.progress import Progress

INVERSE = """
import numpy as np
from sympy import Eq, exp, symbols
import pinnsolve as ps

t, k = symbols("t k")
q = ps.fields("q", t)
ts = np.linspace(0, 1, 9)
problem = ps.Problem(
    domain=ps.Interval(t, 0, 1),
    equations={"decay": Eq(q.diff(t), -k * q)},
    conditions={"start": Eq(q(0), 1)},
    unknowns={k: 0.5},
    data={"sensor": ps.Observations(at={t: ts}, values={q: np.exp(-ts)})},
    hard=False,
)
network = ps.MLP(width=4, depth=1)
training = ps.Training(points={"decay": 16}, phases=[ps.Adam(steps=30), ps.LBFGS(steps=5)])
reference = ps.Exact({q: exp(-t)})
"""


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def progress(step: int, *, phase: str = "adam", event: str = "") -> Progress:
    return Progress(
        phase, step, 9, 1 / step, {"heat": 2 / step}, 3 / step, 0.1, step, 10.0, 1e-3, event, 0, {"nu": step}
    )


def test_a_run_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "inverse.py").write_text(INVERSE)
    run = tmp_path / "run"
    assert main(["run", str(tmp_path / "inverse.py"), "--out", str(run), "--tensorboard", "--no-plots", "-q"]) == 0
    assert capsys.readouterr().out
    curves = read(run / "tensorboard")
    terms = {f"mean square/{name}" for name in ("decay", "start", "sensor")}
    tags = set(curves.Tags()["scalars"])
    assert tags >= {"loss/training", "loss/held out", "unknown/k", "rate/adam", "rate/lbfgs", *terms}
    losses = curves.Scalars("loss/training")
    record = read_result(run)
    assert [losses[0].step, losses[-1].step] == [1, sum(phase["steps"] for phase in record["phases"])]
    assert losses[-1].value == pytest.approx(record["phases"][-1]["loss"], rel=1e-6)
    assert curves.Scalars("unknown/k")[0].value == pytest.approx(0.5, abs=0.05)


def test_points_are_apart_but_for_the_first_of_a_phase_the_last_and_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter([0.0, 0.1, 0.2, 0.3, 0.31, 0.32, 0.33, 0.34, 0.35])
    monkeypatch.setattr("pinnsolve.curves.time.monotonic", lambda: next(ticks))
    with Curves(tmp_path) as curves:
        for step in range(1, 7):
            curves.observe(progress(step))
        curves.watch({"u": 0.25})
        curves.observe(progress(7, event="returned"))
        curves.observe(progress(8, phase="lbfgs"))
        curves.observe(progress(9, phase="lbfgs"))
    found = read(tmp_path)
    assert [point.step for point in found.Scalars("loss/training")] == [1, 4, 7, 8, 9]
    assert [point.step for point in found.Scalars("relative L2 error/u")] == [7, 8, 9]
    assert found.Scalars("mean square/heat")[1].value == pytest.approx(0.5)
    assert "events/text_summary" in found.Tags()["tensors"]


def test_what_a_broken_off_run_wrote_of_later_steps_is_dropped(tmp_path: Path) -> None:
    for steps in (range(1, 7), range(4, 10)):
        with Curves(tmp_path) as curves:
            for step in steps:
                curves.observe(progress(step, event="told"))
    assert [point.step for point in read(tmp_path).Scalars("loss/training")] == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_without_tensorboard_it_is_said_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "inverse.py").write_text(INVERSE)
    monkeypatch.setattr(
        "pinnsolve.curves.find_spec", lambda name: None if name == "tensorboard" else util.find_spec(name)
    )
    assert main(["run", str(tmp_path / "inverse.py"), "--out", str(tmp_path / "run"), "--tensorboard"]) == 2
    assert "tensorboard is missing · pip install 'pinnsolve[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()

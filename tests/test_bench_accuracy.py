"""The accuracy benchmark: curves and medians by hand, and that one run of it says what its parts say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pinnsolve.bench.accuracy import LEVELS, Classical, Curve, Result, classical, measure
from pinnsolve.problem_file import load_problem_file

PROBLEM = """
from sympy import Eq, exp, symbols
import pinnsolve as ps
t = symbols("t")
q = ps.fields("q", t)
problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)})
network = ps.MLP(width=6, depth=1)
training = ps.Training(points={"decay": 40}, phases=[ps.Adam(steps=20), ps.LevenbergMarquardt(steps=30, resample=1)])
reference = ps.Exact({q: exp(-t)})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "decay.py").write_text(PROBLEM, encoding="utf-8")
    return tmp_path


def curve(seed: int, *errors: float, total: float = 40.0) -> Curve:
    return Curve(seed, tuple(5.0 * (k + 1) for k in range(len(errors))), errors, errors[-1] / 2, total)


def test_a_curve_tells_the_last_error_before_a_time_and_the_first_time_at_a_level() -> None:
    found = curve(0, 0.3, 0.02, 0.004)
    assert [found.at(s) for s in (4, 5, 12, 39, 40, 600)] == [None, 0.3, 0.02, 0.004, 0.002, 0.002]
    assert [found.time_to(level) for level in (0.5, 0.02, 0.01, 0.003, 1e-3)] == [5, 10, 15, 40, None]


def test_medians_are_over_the_seeds_and_a_seed_that_fails_counts() -> None:
    curves = curve(0, 0.3, 0.004), curve(1, 0.2, 0.1), curve(2, 0.1, 0.006)
    result = Result("decay", 5, 30.0, "closed form", 0.0, curves, None)
    assert result.errors() == {10: 0.006, 30: 0.006} and result.final() == 0.003
    assert result.times()[1e-2] == 10 and result.times()[1e-3] is None
    two_failed = Result(
        "decay", 5, 30.0, "closed form", 0.0, (curve(0, 0.3, 0.004), curve(1, 0.2), curve(2, 0.1)), None
    )
    assert two_failed.times()[1e-2] is None


def test_a_file_is_trained_for_every_seed_and_compared(folder: Path) -> None:
    (result,) = measure([folder / "decay.py"], seeds=2, seconds=20, defaults=False)
    assert (result.problem, result.parameters, len(result.curves)) == ("decay", 6 + 6 + 6 + 1, 2)
    assert [c.seed for c in result.curves] == [0, 1] and result.curves[0].final != result.curves[1].final
    assert all(0 < c.final < 1e-4 and list(c.seconds) == sorted(c.seconds) for c in result.curves)
    assert isinstance(result.classical, Classical) and 0 < result.classical.error < 1e-8


def test_the_defaults_ignore_network_and_training(folder: Path) -> None:
    (result,) = measure([folder / "decay.py"], seeds=1, seconds=1, defaults=True)
    assert result.parameters > 500


def test_a_problem_that_no_classical_solver_reads_has_none() -> None:
    problems = Path(__file__).resolve().parents[1] / "problems"
    assert classical(load_problem_file(problems / "poisson_5d.py")) is None


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["--json", "--markdown", None])
def test_the_command_prints_every_form(folder: Path, form: str | None) -> None:
    command = ["bench", "accuracy", "--folder", str(folder), "--seeds", "1", "--seconds", "20", *filter(None, [form])]
    done = subprocess.run(
        [sys.executable, "-m", "pinnsolve", *command], capture_output=True, text=True, check=True, timeout=120
    )
    if form == "--json":
        found = json.loads(done.stdout)
        assert {"processor", "torch", "date", "seeds", "limit", "settings"} <= set(found["machine"])
        (row,) = found["problems"]
        assert row["problem"] == "decay" and set(row["times"]) == {f"{level:.0e}" for level in LEVELS}
        assert row["curves"][0]["final"] == row["final"] == row["errors"]["10"]
    else:
        assert "seeds 0" in done.stdout and ("| decay | 19 |" if form else "decay: 19 parameters") in done.stdout


def test_a_name_without_a_file_is_answered(folder: Path) -> None:
    command = ["bench", "accuracy", "--folder", str(folder), "--problem", "growth"]
    done = subprocess.run([sys.executable, "-m", "pinnsolve", *command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and "growth: no file" in done.stderr and "choose among decay" in done.stderr

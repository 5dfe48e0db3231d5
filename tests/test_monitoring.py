"""Monitoring: a trained decay watched while its coefficient changes, adaptation by policy, bad rows, exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Eq, symbols

import pinnsolve as ps
from pinnsolve.cli import main
from pinnsolve.monitoring.adaptation import adapt
from pinnsolve.monitoring.streams import rows_of_text

t = symbols("t")
k = symbols("k", positive=True)
u = ps.fields("u", t)
TRAINING = ps.Training(points={"decay": 60}, phases=[ps.Adam(steps=60, lr=1e-2), ps.LevenbergMarquardt(steps=25)])
TIMES = np.linspace(0, 2, 101)
NOISE = 0.01


def rows(count: int, rate: float, *, seed: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    times = rng.uniform(0, 2, count)
    values = np.exp(-rate * times) + NOISE * rng.normal(size=count)
    return [{"t": at, "u": value} for at, value in zip(times.tolist(), values.tolist(), strict=True)]


def error(solution: ps.Solution, rate: float) -> float:
    """Relative L2 error against the true solution for a rate."""
    truth = np.exp(-rate * TIMES)
    return float(np.linalg.norm(solution(t=TIMES) - truth) / np.linalg.norm(truth))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decay of rate 1, found from 200 measurements with 1 % noise, as stored."""
    measured = rows(200, 1.0, seed=0)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 2),
        equations={"decay": Eq(u.diff(t), -k * u)},
        conditions={"start": Eq(u(0), 1)},
        unknowns={k: 0.5},
        data={"sensor": ps.Observations(at={t: [r["t"] for r in measured]}, values={u: [r["u"] for r in measured]})},
    )
    solution = ps.solve(problem, ps.MLP(width=8, depth=2), TRAINING, plots=False, compile="off")
    return solution.save(tmp_path_factory.mktemp("decay") / "run")


@pytest.fixture(scope="module")
def trained(stored: Path) -> ps.Solution:
    return ps.load(stored)


def written(folder: Path, measured: list[dict[str, Any]]) -> Path:
    path = folder / "stream.csv"
    lines = ["t,stamp,u", *(f"{row['t']},noon,{row['u']}" for row in measured)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class TestDetection:
    def test_nothing_is_found_where_nothing_changes(self, trained: ps.Solution) -> None:
        found = ps.monitor(trained, rows(2_000, 1.0, seed=1))
        assert found.sound and not found.findings and found.rows == 2_000
        assert found.usual["u"] == pytest.approx(NOISE, rel=0.25)

    @pytest.mark.parametrize("detector", [ps.PageHinkley(), ps.ADWIN()])
    def test_a_changed_rate_is_noticed_and_placed(self, trained: ps.Solution, detector: Any) -> None:
        found = ps.monitor(trained, [*rows(400, 1.0, seed=2), *rows(300, 1.3, seed=3)], detector=detector)
        (change,) = found.findings
        assert change.watched == "misfit of u" and 400 < change.row < 440 and abs(change.since - 401) <= 16
        assert change.after["u"] > 4 * change.before["u"] and not found.sound

    def test_rows_from_where_the_solution_is_worse_are_noticed_by_the_residual(self, known: Any) -> None:
        import torch

        problem = ps.Problem(
            domain=ps.Interval(t, 0, 2), equations={"decay": Eq(u.diff(t), -u)}, conditions={"start": Eq(u(0), 1)}
        )
        solution = known(problem, lambda x: torch.exp(-x) + 1e-4 * x**4)
        early = [row for row in rows(900, 1.0, seed=4) if row["t"] < 1.2]
        late = [row for row in rows(900, 1.0, seed=5) if row["t"] > 1.8]
        found = ps.monitor(solution, [*early, *late])
        assert found.findings[0].watched == "residual of decay" and len(early) < found.findings[0].row
        good = known(problem, lambda x: torch.exp(-x))
        assert not ps.monitor(good, [*early, *late]).findings, (
            "where the equation holds, no place is worse than another"
        )

    def test_rows_are_read_one_by_one(self, trained: ps.Solution) -> None:
        """No row is asked for before those already there were judged, so that a pipe is answered at once."""
        seen: list[str] = []

        def endless() -> Any:
            yield from rows(110, 1.0, seed=5)
            for number in range(10_000):
                if seen:
                    return
                yield {"t": 1.0, "u": 2.0 + number}
            raise AssertionError("the change was not told while the stream went on")

        assert not ps.monitor(trained, endless(), batch=1, tell=seen.append).sound


class TestAdaptation:
    @pytest.mark.parametrize("policy", ["retrain", "reset"])
    def test_the_error_returns_to_its_former_level(self, trained: ps.Solution, policy: str) -> None:
        before = error(trained, 1.0)
        stream = [*rows(300, 1.0, seed=6), *rows(700, 1.3, seed=7)]
        found = ps.monitor(trained, stream, policy=policy, recent=400, training=TRAINING)
        (change,) = found.findings
        assert found.sound and change.resolved and change.adapted is not None
        assert error(trained, 1.3) > 20 * before
        assert error(found.solution, 1.3) < 1.5 * before
        assert change.unknowns["k"] == pytest.approx(1.3, rel=0.01)
        assert trained.unknowns["k"] == pytest.approx(1.0, rel=0.01), "the solution given must stay as it is"

    def test_two_changes_are_followed_one_after_the_other(self, trained: ps.Solution) -> None:
        stream = [*rows(200, 1.0, seed=8), *rows(500, 1.4, seed=9), *rows(500, 0.8, seed=10)]
        found = ps.monitor(trained, stream, policy="retrain", recent=150, training=TRAINING)
        assert [round(change.unknowns["k"], 1) for change in found.findings] == [1.4, 0.8] and found.sound

    def test_too_few_rows_after_a_change_are_said_to_be_too_few(self, trained: ps.Solution) -> None:
        stream = [*rows(200, 1.0, seed=11), *rows(60, 1.5, seed=12)]
        found = ps.monitor(trained, stream, policy="retrain", recent=150, training=TRAINING)
        assert not found.sound and "waits for 150 rows" in found.findings[0].action

    def test_a_problem_that_nothing_can_change_is_not_adapted(self) -> None:
        problem = ps.Problem(
            domain=ps.Interval(t, 0, 2), equations={"decay": Eq(u.diff(t), -u)}, conditions={"start": Eq(u(0), 1)}
        )
        training = ps.Training(points={"decay": 20}, phases=[ps.Adam(steps=1)])
        solution = ps.solve(problem, ps.MLP(width=4, depth=1), training, plots=False, compile="off")
        with pytest.raises(ps.UnsupportedError, match="unknowns="):
            ps.monitor(solution, rows(10, 1.0, seed=0), policy="retrain")
        with pytest.raises(ps.UnsupportedError, match="nothing for measurements to change"):
            adapt(solution, ps.Observations(at={t: [1.0]}, values={u: [0.3]}))


class TestStreams:
    def test_bad_rows_are_named_with_their_column_and_left_out(self, trained: ps.Solution) -> None:
        stream: list[dict[str, Any]] = list(rows(200, 1.0, seed=13))
        stream[20] = {"t": 0.5, "u": "broken"}
        stream[30] = {"t": 0.5}
        stream[40] = {"t": 7.0, "u": 0.1}
        stream[50] = {"t": "nan", "u": 0.1}
        told: list[str] = []
        found = ps.monitor(trained, stream, tell=told.append)
        assert found.unusable == (
            "row 21, column 'u' holds 'broken', not a finite number",
            "row 31, column 'u' holds nothing, not a finite number",
            "row 41 lies outside the domain (t = 7)",
            "row 51, column 't' holds 'nan', not a finite number",
        )
        assert len(told) == 4 and found.sound

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x,u\n1,2\n", "no column 't'"),
            ("t,v\n1,2\n", "no measured field"),
            ("t,t\n1,2\n", "own name"),
            ("", "header"),
            ("t,u\n" + "1,?\n" * 200, "100 of 100 rows cannot be used"),
            ("t,u\n1,?\n", "1 of 1 rows cannot be used"),
        ],
    )
    def test_a_stream_that_cannot_be_used_is_refused(self, trained: ps.Solution, text: str, message: str) -> None:
        with pytest.raises(ps.DataError, match=message):
            ps.monitor(trained, rows_of_text(io.StringIO(text), "stream"))

    def test_other_separators_comments_and_empty_lines_are_read(self) -> None:
        text = "\ufefft;u\n# a comment\n\n1;2\n3;4\n"
        read = list(rows_of_text(io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8-sig"), "stream"))
        assert read == [{"t": "1", "u": "2"}, {"t": "3", "u": "4"}]


class TestCommandLine:
    def test_no_change_is_exit_0_and_written_down(self, stored: Path, tmp_path: Path, capsys: Any) -> None:
        path = written(tmp_path, rows(300, 1.0, seed=14))
        assert main(["monitor", str(stored), "--stream", str(path), "--out", str(tmp_path / "found")]) == 0
        assert "no change was found" in capsys.readouterr().out
        record = json.loads((tmp_path / "found" / "monitor.json").read_text(encoding="utf-8"))
        assert record["sound"] and record["rows"] == 300 and not record["findings"]

    def test_a_change_that_is_only_reported_is_exit_6(self, stored: Path, tmp_path: Path, capsys: Any) -> None:
        path = written(tmp_path, [*rows(200, 1.0, seed=15), *rows(100, 1.4, seed=16)])
        assert main(["monitor", str(stored), "--stream", str(path), "--out", str(tmp_path), "--json"]) == 6
        record = json.loads(capsys.readouterr().out)
        assert record["findings"][0]["watched"] == "misfit of u" and not record["sound"]

    def test_an_adapted_solution_is_stored_and_is_exit_0(
        self, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        path = written(tmp_path, [*rows(150, 1.0, seed=17), *rows(420, 1.4, seed=18)])
        monkeypatch.setattr("sys.stdin", io.StringIO(path.read_text(encoding="utf-8")))
        call = [
            "monitor",
            str(stored),
            "--stream",
            "-",
            "--policy",
            "retrain",
            "--max-time",
            "2",
            "--out",
            str(tmp_path),
        ]
        assert main(call) == 0
        assert "the last change was adapted to" in capsys.readouterr().out
        assert ps.load(tmp_path / "adapted-1").unknowns["k"] == pytest.approx(1.4, rel=0.02)

    def test_bad_streams_and_runs_have_their_exit_codes(self, stored: Path, tmp_path: Path, capsys: Any) -> None:
        path = written(tmp_path, [{"t": "?", "u": 1}])
        assert main(["monitor", str(stored), "--stream", str(path), "--out", str(tmp_path / "a")]) == 4
        assert (
            main(["monitor", str(stored), "--stream", str(tmp_path / "missing.csv"), "--out", str(tmp_path / "a")]) == 4
        )
        assert main(["monitor", str(tmp_path), "--stream", str(path)]) == 8
        assert main(["monitor", str(stored)]) == 2
        assert "row 1, column 't'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"policy": "ignore"}, "retrain"), ({"detector": ps.ADWIN}, "PageHinkley"), ({"reference": 1}, "reference")],
)
def test_arguments_that_make_no_sense_are_refused(
    trained: ps.Solution, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ps.ProblemError, match=message):
        ps.monitor(trained, [], **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("detector", [ps.PageHinkley(), ps.ADWIN()], ids=["page_hinkley", "adwin"])
def test_a_hundred_streams_of_a_trained_solution(trained: ps.Solution, detector: Any) -> None:
    """The figures of the README: false alarms in 2,000 rows, and the delay when the rate rises by 5 %, 10 % and 30 %."""
    false = sum(
        bool(ps.monitor(trained, rows(2_100, 1.0, seed=1_000 + s), detector=detector).findings) for s in range(100)
    )
    delays = {}
    for rate in (1.05, 1.1, 1.3):
        found = []
        for s in range(100):
            stream = [*rows(400, 1.0, seed=2_000 + s), *rows(600, rate, seed=3_000 + s)]
            changes = ps.monitor(trained, stream, detector=detector).findings
            found.append(changes[0].row - 400 if changes else 10_000)
        delays[rate] = float(np.median(found))
    print(f"\n{detector}: {false} false alarms in 100 streams; median delay in rows {delays}")
    assert false < 5 and delays[1.3] < 30 and delays[1.1] < 100


@pytest.mark.slow
def test_the_error_after_adaptation_over_many_seeds(trained: ps.Solution) -> None:
    before = error(trained, 1.0)
    ratios = []
    for s in range(10):
        stream = [*rows(200, 1.0, seed=4_000 + s), *rows(460, 1.3, seed=5_000 + s)]
        found = ps.monitor(trained, stream, policy="retrain", recent=400, training=TRAINING)
        ratios.append(error(found.solution, 1.3) / before)
    print(f"\nerror after adaptation over the error before: median {np.median(ratios):.2f}, largest {max(ratios):.2f}")
    assert np.median(ratios) < 1.5

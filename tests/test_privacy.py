"""Privacy of a run: refusals, the ledger, what the record says, and that nothing private is left in the run directory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Eq, symbols

import pinnsolve as ps
from pinnsolve.choices import choose
from pinnsolve.cli import main
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.privacy import PrivacyError, open_accounts

t = symbols("t")
k = symbols("k", positive=True)
u = ps.fields("u", t)
COUNT = 300
TRAINING = ps.Training(points={"decay": 30}, phases=[ps.Adam(steps=25, lr=2e-2)])


def measured(privacy: ps.Privacy | None = None, *, seed: int = 0, noise: float = 0.02) -> ps.Observations:
    rng = np.random.default_rng(seed)
    times = rng.uniform(0, 2, COUNT)
    return ps.Observations(at={t: times}, values={u: np.exp(-times) + noise * rng.normal(size=COUNT)}, privacy=privacy)


def problem(**observations: ps.Observations) -> ps.Problem:
    return ps.Problem(
        domain=ps.Interval(t, 0, 2),
        equations={"decay": Eq(u.diff(t), -k * u)},
        conditions={"start": Eq(u(0), 1)},
        unknowns={k: 0.5},
        data=observations,
    )


def solved(declared: ps.Problem, training: ps.Training | None = TRAINING, **more: Any) -> ps.Solution:
    return ps.solve(declared, ps.MLP(width=6, depth=1), training, plots=False, compile="off", **more)


class TestRefusals:
    @pytest.mark.parametrize(
        "phase", [ps.LevenbergMarquardt(steps=2), ps.SSBroyden(steps=2), ps.LBFGS(steps=2), ps.SPRING(steps=2)]
    )
    def test_second_order_phases(self, phase: Any) -> None:
        private = problem(sensor=measured(ps.Privacy(1.0, 1e-5)))
        with pytest.raises(PrivacyError, match=r"first-order phases, such as ps\.Adam"):
            solved(private, ps.Training(phases=[ps.Adam(steps=2), phase]))

    def test_normalization_by_batch(self) -> None:
        network = ps.MLP(width=6, depth=1, normalization="batch")
        with pytest.raises(PrivacyError, match="layer"):
            ps.solve(problem(sensor=measured(ps.Privacy(1.0, 1e-5))), network, TRAINING, plots=False)

    def test_windows_and_a_private_reference(self) -> None:
        private = measured(ps.Privacy(1.0, 1e-5))
        with pytest.raises(PrivacyError, match="windows"):
            solved(problem(sensor=private), ps.Training(windows={t: 3}))
        with pytest.raises(PrivacyError, match="would tell of them"):
            solved(problem(sensor=measured()), reference=private)

    def test_one_table_private_here_and_public_there(self, tmp_path: Path) -> None:
        table = written(tmp_path)
        columns: Any = {"at": {t: "t"}, "values": {u: "u"}}
        private = ps.Observations.read(table, **columns, privacy=ps.Privacy(1.0, 1e-5))
        public = ps.Observations.read(table, **columns)
        with pytest.raises(PrivacyError, match="private in one place and public in another"):
            solved(problem(sensor=private, again=public))
        with pytest.raises(PrivacyError, match="private in one place and public in another"):
            solved(problem(sensor=private), reference=public)

    @pytest.mark.parametrize(
        "arguments", [{"epsilon": 0}, {"delta": 1.0}, {"clip": -1}, {"sample": 2}, {"budget": 0}, {"epsilon": math.inf}]
    )
    def test_numbers_that_make_no_sense(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ps.ProblemError, match=next(iter(arguments))):
            ps.Privacy(**({"epsilon": 1.0, "delta": 1e-5} | arguments))

    def test_an_epsilon_that_cannot_be_reached(self) -> None:
        private = problem(sensor=measured(ps.Privacy(1e-12, 1e-14)))
        with pytest.raises(PrivacyError, match="no noise keeps"):
            solved(private)


def written(folder: Path) -> Path:
    observed = measured()
    table = folder / "sensor.csv"
    rows = zip(observed.at[t].tolist(), observed.values[u].tolist(), strict=True)
    table.write_text("t,u\n" + "".join(f"{time!r},{value!r}\n" for time, value in rows), encoding="utf-8")
    return table


class TestRuns:
    def test_the_default_is_first_order_and_says_why(self) -> None:
        plan = choose(compile_problem(problem(sensor=measured(ps.Privacy(1.0, 1e-5)))))
        assert [type(phase) for phase in plan.phases] == [ps.Adam]
        (choice,) = (choice for choice in plan.choices if choice.what == "phases")
        assert "again and again" in choice.reason

    def test_the_record_says_what_was_spent_and_no_loss_of_what_is_private(self) -> None:
        said: list[str] = []
        solution = solved(problem(sensor=measured(ps.Privacy(2.0, 1e-5, clip=0.1))), notify=said.append)
        spent = solution.record["privacy"]["sensor"]
        assert 1.5 < spent["epsilon"] <= 2.0 and spent["steps"] == 26 and spent["delta"] == 1e-5
        assert any("recorded nowhere" in line for line in said)
        assert set(solution.record["loss"]["terms"]) == {"decay"}
        assert "sensor" not in solution.residuals and not solution.problem.data
        assert all(set(progress.terms) == {"decay"} for progress in solution.history)
        assert "uncertainty" not in solution.record, "the size of the misfits tells of every row"
        assert solution.message.endswith("more steps will lower it further.")

    def test_measurements_are_learnt_from_within_the_budget(self) -> None:
        """The rate moves from 0.5 towards 1 although no row can be told."""
        training = ps.Training(points={"decay": 40}, phases=[ps.Adam(steps=150, lr=2e-2)])
        solution = solved(problem(sensor=measured(ps.Privacy(8.0, 1e-5, clip=0.05))), training)
        assert solution.unknowns["k"] == pytest.approx(1.0, abs=0.15)

    def test_a_noise_that_is_sought_reads_no_row_by_itself(self) -> None:
        noise = symbols("s", positive=True)
        rows = measured(ps.Privacy(8.0, 1e-5, clip=0.05))
        declared = ps.Problem(
            domain=ps.Interval(t, 0, 2),
            equations={"decay": Eq(u.diff(t), -u)},
            conditions={"start": Eq(u(0), 1)},
            unknowns={noise: 0.2},
            data={"sensor": ps.Observations(at=rows.at, values=rows.values, noise=noise, privacy=rows.privacy)},
        )
        solution = solved(declared)
        assert set(solution.record["loss"]["terms"]) == {"decay", "sensor.noise"}
        assert solution.unknowns["s"] != 0.2

    def test_a_limit_on_steps_spends_less(self, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger.json"
        private = problem(sensor=measured(ps.Privacy(2.0, 1e-5, ledger=ledger)))
        stopped: list[int] = []

        def stop() -> Any:
            from pinnsolve.training.status import Status

            stopped.append(1)
            return Status.INTERRUPTED if len(stopped) > 5 else None

        spent = solved(private, limits=ps.Limits(stop=stop)).record["privacy"]["sensor"]
        assert spent["steps"] == 6 and spent["epsilon"] < 1.0
        assert json.loads(ledger.read_text(encoding="utf-8"))["runs"][0]["steps"] == 6


class TestLedger:
    def test_a_second_run_on_a_table_is_refused_unless_the_budget_allows_it(self, tmp_path: Path) -> None:
        table = written(tmp_path)

        def observed(**more: Any) -> ps.Problem:
            privacy = ps.Privacy(1.0, 1e-5, **more)
            return problem(sensor=ps.Observations.read(table, at={t: "t"}, values={u: "u"}, privacy=privacy))

        solved(observed())
        assert (tmp_path / "sensor.csv.privacy.json").exists()
        with pytest.raises(PrivacyError, match="1 earlier runs spent epsilon"):
            solved(observed())
        spent = solved(observed(budget=2.0)).record["privacy"]["sensor"]
        assert 1.0 < spent["with_earlier_runs"] < 2.0, "two runs spend less than twice the epsilon of one"

    def test_two_sets_that_share_a_ledger_add_up_within_a_run(self, tmp_path: Path) -> None:
        privacy = ps.Privacy(1.0, 1e-5, ledger=tmp_path / "ledger.json")
        both = problem(sensor=measured(privacy), again=measured(privacy))
        with pytest.raises(PrivacyError, match="again"):
            open_accounts(both, TRAINING.phases or ())
        runs = json.loads((tmp_path / "ledger.json").read_text(encoding="utf-8"))["runs"]
        assert [run["steps"] for run in runs] == [0], "a run that never began has spent nothing"

    def test_a_run_that_was_killed_has_spent_all_of_its_epsilon(self, tmp_path: Path) -> None:
        private = problem(sensor=measured(ps.Privacy(1.0, 1e-5, ledger=tmp_path / "ledger.json")))

        def kill(progress: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            solved(private, observers=[kill])
        with pytest.raises(PrivacyError, match="earlier runs"):
            solved(private)

    @pytest.mark.parametrize(
        "content", ["{}", "not json", '{"schema": 1, "runs": [{"noise": -1, "sample": 1, "steps": 1}]}']
    )
    def test_a_damaged_ledger_stops_the_run(self, tmp_path: Path, content: str) -> None:
        ledger = tmp_path / "ledger.json"
        ledger.write_text(content, encoding="utf-8")
        with pytest.raises(ps.DataError, match="damaged"):
            solved(problem(sensor=measured(ps.Privacy(1.0, 1e-5, ledger=ledger))))
        assert ledger.read_text(encoding="utf-8") == content

    def test_two_runs_do_not_write_one_ledger_at_once(self, tmp_path: Path) -> None:
        ledger = tmp_path / "ledger.json"
        ledger.with_name("ledger.json.lock").touch()
        with pytest.raises(ps.DataError, match="another run has the ledger open"):
            solved(problem(sensor=measured(ps.Privacy(1.0, 1e-5, ledger=ledger))))


FILE = '''"""A decay from private measurements."""
from sympy import Eq, exp, symbols
import pinnsolve as ps

t, k = symbols("t"), symbols("k", positive=True)
u = ps.fields("u", t)
problem = ps.Problem(
    domain=ps.Interval(t, 0, 2),
    equations={"decay": Eq(u.diff(t), -k * u)},
    conditions={"start": Eq(u(0), 1)},
    unknowns={k: 0.5},
    data={"sensor": ps.Observations.read(
        "sensor.csv", at={t: "t"}, values={u: "u"}, privacy=ps.Privacy(epsilon=2, delta=1e-5)
    )},
)
network = ps.MLP(width=5, depth=1)
training = ps.Training(points={"decay": 24}, phases=[ps.Adam(steps=10)])
reference = ps.Exact({u: exp(-t)})
'''


def test_nothing_of_the_measurements_is_left_in_a_run_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import hashlib

    table = written(tmp_path)
    (tmp_path / "mine.py").write_text(FILE, encoding="utf-8")
    assert main(["check", str(tmp_path / "mine.py")]) == 0
    assert main(["run", str(tmp_path / "mine.py"), "--out", str(tmp_path / "run"), "-q", "--threads", "1"]) == 0
    assert "privacy    sensor: epsilon" in capsys.readouterr().out
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    secrets = [line.split(",")[1][:12] for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    for file in (tmp_path / "run").rglob("*"):
        if file.suffix in {".json", ".jsonl", ".txt"}:
            text = file.read_text(encoding="utf-8")
            assert digest not in text and not any(secret in text for secret in secrets), file.name
            assert '"sensor"' not in text or file.name in {"result.json", "model.json"}, file.name
    record = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert record["privacy"]["sensor"]["steps"] == 11 and "sensor" not in record["residuals"]
    kept = {file.relative_to(tmp_path / "run").as_posix() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    assert not [file for file in kept if file.startswith("checkpoints") or file.endswith((".npz", ".csv"))], kept
    assert main(["resume", str(tmp_path / "run")]) == 8, "what could be resumed would hold the measurements"
    assert main(["run", str(tmp_path / "mine.py"), "--out", str(tmp_path / "again"), "-q"]) == 3
    assert ps.load(tmp_path / "run")(t=1.0) > 0

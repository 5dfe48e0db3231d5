"""The command line: usage, every verb with its flags, streams, exit codes, and folders with spaces and accents."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import pinnsolve as ps
from pinnsolve import cli
from pinnsolve.cli import main

DECAY = '''"""Exponential decay."""
from sympy import Eq, exp, symbols
import pinnsolve as ps

t = symbols("t")
q = ps.fields("q", t)
problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)})
network = ps.MLP(width=5, depth=1)
training = ps.Training(points={"decay": 24}, phases=[ps.Adam(steps=STEPS), ps.LBFGS(steps=STEPS)])
reference = ps.Exact({q: exp(-t)})
'''
DIVERGING = (
    "\nimport torch\nnetwork = torch.nn.Linear(1, 1)\ntraining = ps.Training(phases=[ps.Adam(steps=200, lr=1e30)])\n"
)


def written(folder: Path, *, steps: int = 30, more: str = "", name: str = "decay.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(DECAY.replace("STEPS", str(steps)) + more, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory made by the command line, in a folder with spaces and accents."""
    folder = tmp_path_factory.mktemp("cli") / "Übung no 1"
    path = folder / "ein Lauf"
    code = main(["run", str(written(folder)), "--out", str(path), "--no-plots", "-q", "--threads", "1"])
    assert code == 0
    return path


class TestHelp:
    def test_every_flag_of_run_is_explained(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", "--help"]) == 0
        text = capsys.readouterr().out
        flags = "--out --seed --device --dtype --max-time --max-steps --tol --quick --threads --no-plots --json -q -v"
        for flag in flags.split():
            assert flag in text, flag

    def test_the_templates_named_in_the_help_are_the_choices(self) -> None:
        option = next(p for p in cli.new.params if p.name == "template")
        assert isinstance(option.type, click.Choice) and tuple(option.type.choices) == cli._TEMPLATES


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["solve"],
            ["run"],
            ["run", "nowhere.py"],
            ["check", "."],
            ["run", "decay.py", "--seed", "one"],
            ["run", "decay.py", "--seed", "-1"],
            ["run", "decay.py", "--device", "tpu"],
            ["run", "decay.py", "--max-time", "0"],
            ["run", "decay.py", "--tol", "-1"],
            ["run", "decay.py", "--threads", "0"],
            ["eval", "."],
            ["eval", ".", "--grid", "t=0:1:5", "--points", "decay.py"],
            ["eval", ".", "--grid", "t=zero:1:5"],
            ["eval", ".", "--grid", "t=0:1:0"],
            ["show", "nowhere"],
            ["verify", "decay.py", "--defect"],
            ["new"],
            ["new", "a", "--template", "nothing"],
        ],
        ids=" ".join,
    )
    def test_wrong_usage_is_answered_on_stderr(
        self, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        written(tmp_path)
        monkeypatch.chdir(tmp_path)
        assert main(arguments) == 2
        output = capsys.readouterr()
        assert output.out == "" and "Error" in output.err and "Traceback" not in output.err

    def test_a_grid_is_read_as_ends_and_counts(self) -> None:
        convert = cli.Grid().convert
        assert convert("x=0:1:101,t=-0.5", None, None) == {"x": (0.0, 1.0, 101), "t": (-0.5, -0.5, 1)}
        assert convert("x = 0:2", None, None)["x"][:2] == (0.0, 2.0)

    def test_a_missing_gpu_is_a_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        assert main(["run", str(written(tmp_path)), "--out", str(tmp_path / "r"), "--device", "cuda"]) == 2
        assert "device · cuda was asked for, and torch sees none" in capsys.readouterr().err

    def test_a_folder_that_holds_a_run_is_refused(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        before = (run / "result.json").read_bytes()
        assert main(["run", str(run.parent / "decay.py"), "--out", str(run)]) == 2
        assert "the folder holds a run already" in capsys.readouterr().err
        assert (run / "result.json").read_bytes() == before


class TestRun:
    def test_json_on_stdout_is_the_result_file_to_the_byte(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = written(tmp_path, more='print("a message")\n')
        assert main(["run", str(file), "--out", str(tmp_path / "r"), "--json", "--no-plots"]) == 0
        output = capsys.readouterr()
        assert output.out == (tmp_path / "r" / "result.json").read_text(encoding="utf-8")
        record = json.loads(output.out)
        assert record["problem"] == "decay" and record["status"] == "done"
        assert "a message" in output.err and f"results in {tmp_path / 'r'}" in output.err.replace("\n", "")

    def test_without_json_a_summary_is_printed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", str(written(tmp_path)), "--out", str(tmp_path / "r"), "--no-plots"]) == 0
        output = capsys.readouterr()
        assert "error      q: relative L2" in output.out and "adam step 1/60" in output.err

    def test_quiet_prints_no_progress(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["run", str(written(tmp_path)), "--out", str(tmp_path / "r"), "--no-plots", "-q"]) == 0
        output = capsys.readouterr()
        assert "step" not in output.err and output.err.startswith("results in") and "outcome" in output.out

    def test_the_same_seed_gives_the_same_result_bit_for_bit(self, tmp_path: Path) -> None:
        file, records = written(tmp_path), []
        for name, seed in (("a", "4"), ("b", "4"), ("c", "5")):
            assert main(["run", str(file), "--out", str(tmp_path / name), "--seed", seed, "--no-plots", "-q"]) == 0
            records.append(json.loads((tmp_path / name / "result.json").read_bytes()))
        first, again, other = records
        assert first["errors"] == again["errors"] and first["loss"] == again["loss"]
        weights = [(tmp_path / name / "solution" / "model.safetensors").read_bytes() for name in "abc"]
        assert weights[0] == weights[1] != weights[2]
        assert first["errors"] != other["errors"] and (first["seed"], other["seed"]) == (4, 5)

    def test_limits_end_the_run_normally(self, tmp_path: Path) -> None:
        file = written(tmp_path, steps=10**6)
        assert main(["run", str(file), "--out", str(tmp_path / "a"), "--max-steps", "7", "--no-plots", "-q"]) == 0
        assert main(["run", str(file), "--out", str(tmp_path / "b"), "--max-time", "0.3", "--no-plots", "-q"]) == 0
        by_steps, by_time = (json.loads((tmp_path / n / "result.json").read_bytes()) for n in "ab")
        assert [p["steps"] for p in by_steps["phases"]] == [7]
        assert [p["ended"] for p in by_time["phases"]] == ["share", "time"]
        assert by_time["status"] == "done" and by_time["seconds"]["train"] < 1.5

    def test_a_tolerance_stops_early_or_is_missed(self, tmp_path: Path) -> None:
        file = written(tmp_path, steps=2_000)
        assert main(["run", str(file), "--out", str(tmp_path / "a"), "--tol", "0.05", "--no-plots", "-q"]) == 0
        met = json.loads((tmp_path / "a" / "result.json").read_bytes())
        assert met["errors"]["q"]["relative_l2"] < 0.05 and met["phases"][-1]["ended"] == "tolerance"
        assert sum(p["steps"] for p in met["phases"]) < 4_000
        arguments = [
            "run",
            str(file),
            "--out",
            str(tmp_path / "b"),
            "--tol",
            "1e-9",
            "--max-steps",
            "60",
            "--no-plots",
            "-q",
        ]
        assert main(arguments) == 6
        missed = json.loads((tmp_path / "b" / "result.json").read_bytes())
        assert missed["status"] == "done" and missed["errors"]["q"]["relative_l2"] > 1e-9

    def test_quick_has_fewer_points_and_steps(self, tmp_path: Path) -> None:
        file = written(
            tmp_path, steps=50, more='training = ps.Training(points={"decay": 200}, phases=[ps.Adam(steps=50)])\n'
        )
        assert main(["run", str(file), "--out", str(tmp_path / "r"), "--quick", "--no-plots", "-q"]) == 0
        record = json.loads((tmp_path / "r" / "result.json").read_bytes())
        assert record["points"] == {"decay": 50} and record["phases"][0]["steps"] == 5

    def test_the_precision_asked_for_is_used(self, tmp_path: Path) -> None:
        file = written(tmp_path, more="training = ps.Training(phases=[ps.Adam(steps=3)])\n")
        assert main(["run", str(file), "--out", str(tmp_path / "r"), "--dtype", "float32", "--no-plots", "-q"]) == 0
        assert json.loads((tmp_path / "r" / "result.json").read_bytes())["dtype"] == "float32"
        loaded = ps.load(tmp_path / "r")
        assert next(loaded.trial.parameters()).element_size() == 4

    def test_the_default_folder_is_named_by_problem_time_and_seed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert main(["run", str(written(tmp_path, steps=1)), "--seed", "9", "--no-plots", "-q"]) == 0
        (folder,) = (tmp_path / "runs" / "decay").iterdir()
        assert re.fullmatch(r"\d{8}T\d{6}-s9", folder.name) and (folder / "result.json").is_file()

    def test_the_problem_file_and_its_tables_are_recorded(self, tmp_path: Path) -> None:
        (tmp_path / "field.csv").write_text("t,q\n0.0,1.0\n1.0,0.3678794\n", encoding="utf-8")
        more = 'reference = ps.Observations.read("field.csv", at={t: "t"}, values={q: "q"})\n'
        file = written(tmp_path, steps=2, more=more)
        assert main(["run", str(file), "--out", str(tmp_path / "r"), "--no-plots", "-q"]) == 0
        made = json.loads((tmp_path / "r" / "run.json").read_bytes())
        assert set(made["inputs"]) == {"decay.py", "field.csv"}
        assert (tmp_path / "r" / "problem.py").read_bytes() == file.read_bytes()

    def test_pictures_are_drawn_unless_refused(self, tmp_path: Path) -> None:
        assert main(["run", str(written(tmp_path, steps=2)), "--out", str(tmp_path / "r"), "-q"]) == 0
        pictures = {path.name for path in (tmp_path / "r" / "plots").iterdir()}
        assert {"fields.png", "error.png", "residual.png", "loss.png"} <= pictures
        assert json.loads((tmp_path / "r" / "result.json").read_bytes())["seconds"]["plots"] > 0


class TestOtherVerbs:
    def test_check_prints_the_mathematics_and_trains_nothing(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["check", str(written(tmp_path))]) == 0
        output = capsys.readouterr()
        assert "q_t = -q" in output.out and "where t = 0" in output.out and output.err == ""
        assert [path.name for path in tmp_path.iterdir()] == ["decay.py"]

    def test_show_prints_what_was_done(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["show", str(run)]) == 0
        assert "outcome    q: relative L2 error" in capsys.readouterr().out
        assert main(["show", str(run), "--json"]) == 0
        assert capsys.readouterr().out == (run / "result.json").read_text(encoding="utf-8")

    @pytest.mark.parametrize("content", ["{}", '{"schema": 1}', '{"schema": 1, "seconds": 3, "phases": 7}', "[", "[]"])
    def test_a_damaged_result_is_an_archive_fault(
        self, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "result.json").write_text(content, encoding="utf-8")
        assert main(["show", str(tmp_path)]) == 8
        output = capsys.readouterr()
        assert output.out == "" and "result.json" in output.err and output.err.count("\n") == 1

    def test_verify_of_a_file_prints_the_references_own_convergence(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = written(tmp_path, more="reference = ps.FiniteDifferences()\n")
        assert main(["verify", str(file)]) == 0
        text = capsys.readouterr().out
        assert "difference" in text and "order" in text and "own error of q" in text
        assert "relative L2 error" not in text and "\nerror of" not in text

    def test_verify_of_a_run_compares_it_again(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        error = json.loads((run / "result.json").read_bytes())["errors"]["q"]["relative_l2"]
        assert main(["verify", str(run), "--json", "--tol", str(1.01 * error)]) == 0
        outcome = json.loads(capsys.readouterr().out)
        assert outcome["reference"]["kind"] == "exact" and outcome["errors"]["q"]["relative_l2"] == error
        assert outcome["errors"]["q"]["verdict"] == "against a closed form"
        assert main(["verify", str(run), "--tol", str(0.99 * error)]) == 6
        assert f"error of q: relative L2 {error:.2e}" in capsys.readouterr().out

    def test_verify_tells_places_residuals_and_the_estimate_from_the_defect(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record = json.loads((run / "result.json").read_bytes())
        assert main(["verify", str(run), "--defect", "--json"]) == 0
        outcome = json.loads(capsys.readouterr().out)
        error, defect = outcome["errors"]["q"], outcome["defect"]
        assert error["max_at"] == record["errors"]["q"]["max_at"] and outcome["residuals"] == record["residuals"]
        assert defect["errors"]["q"]["relative_l2"] == pytest.approx(error["relative_l2"], rel=0.05)
        assert defect["errors"]["q"]["max_at"]["t"] == pytest.approx(error["max_at"]["t"], abs=0.05)
        assert defect["linear"] is True and defect["uncertainty"]["q"] < 1e-2 and len(defect["table"]) == 3
        assert main(["verify", str(run), "--defect"]) == 0
        text = capsys.readouterr().out
        assert f"max {error['max']:.2e} at t = {error['max_at']['t']:.4g}: against a closed form" in text
        assert f"  decay: rms {outcome['residuals']['decay']['rms']:.2e}" in text
        assert "estimated error of q: relative L2 " in text and "an estimate, no bound" in " ".join(text.split())

    def test_a_defect_that_cannot_be_solved_for_is_no_failure(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        delayed = DECAY.replace("q.diff(t), -q)", "q.diff(t), -q(t / 2))").replace("STEPS", "2")
        (tmp_path / "delayed.py").write_text(delayed.partition("reference =")[0], encoding="utf-8")
        out = str(tmp_path / "r")
        assert main(["run", str(tmp_path / "delayed.py"), "--out", out, "--no-plots", "-q"]) == 0
        capsys.readouterr()
        assert main(["verify", out, "--defect"]) == 0
        output = capsys.readouterr()
        assert "no estimate from the defect: decay · no finite-difference reference: q(t/2)" in output.err
        assert output.out.startswith("no reference\nresiduals at points that were not trained on\n  decay: rms ")

    def test_verify_of_a_file_holds_the_reference_to_the_tolerance(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = written(tmp_path, more="reference = ps.FiniteDifferences()\n")
        codes = [main(["verify", str(file), "--tol", tolerance]) for tolerance in ("1e-3", "1e-30")]
        assert codes == [0, 6] and "own error of q" in capsys.readouterr().out

    def test_verify_on_a_manufactured_solution_prints_the_true_error(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = written(tmp_path)
        assert main(["verify", str(file), "--manufactured"]) == 0
        text = capsys.readouterr().out
        assert "manufactured solution: q(t) = sin(8*t + 1)" in text and "true error" in text
        assert re.search(r"error of q: relative L2 \S+, max \S+ at t = \S+: estimated \S+ times as large", text)
        assert main(["verify", str(file), "--manufactured", "--json"]) == 0
        outcome = json.loads(capsys.readouterr().out)
        assert outcome["manufactured"] == {"q(t)": "sin(8*t + 1)"}
        error, finest = outcome["errors"]["q"]["relative_l2"], outcome["table"][-1]
        assert finest["error"] == error and finest["error_order"] == pytest.approx(5, abs=0.3)
        assert error / 3 < outcome["reference"]["estimated_relative_l2"]["q"] < 3 * error

    def test_verify_holds_the_true_error_to_the_tolerance(
        self, tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = written(tmp_path)
        codes = [main(["verify", str(file), "--manufactured", "--tol", tol]) for tol in ("1e-6", "1e-30")]
        assert codes == [0, 6]
        assert main(["verify", str(run), "--manufactured"]) == 2
        assert "a run has its solution already" in capsys.readouterr().err

    def test_eval_on_a_grid_gives_a_table(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["eval", str(run), "--grid", "t=0:1:5"]) == 0
        rows = list(csv.reader(capsys.readouterr().out.splitlines()))
        assert rows[0] == ["t", "q"]
        values = np.array(rows[1:], dtype=float)
        np.testing.assert_array_equal(values[:, 0], np.linspace(0, 1, 5))
        np.testing.assert_array_equal(values[:, 1], ps.load(run)(t=np.linspace(0, 1, 5)))

    def test_eval_reads_and_writes_tables(self, run: Path, tmp_path: Path) -> None:
        ts = np.array([0.25, 0.5, 1 / 3])
        (tmp_path / "p.csv").write_text("name,t\n" + "".join(f"7,{t!r}\n" for t in ts.tolist()), encoding="utf-8")
        np.savez(tmp_path / "p.npz", t=ts)
        expected = ps.load(run)(t=ts)
        for source in ("p.csv", "p.npz"):
            for target in ("out.csv", "out.npz"):
                assert main(["eval", str(run), "--points", str(tmp_path / source), "-o", str(tmp_path / target)]) == 0
            with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
                np.testing.assert_array_equal(archive["q"], expected)
            rows = np.genfromtxt(tmp_path / "out.csv", delimiter=",", names=True)
            np.testing.assert_array_equal(rows["q"], expected)
            np.testing.assert_array_equal(rows["t"], ts)

    @pytest.mark.filterwarnings("default")
    def test_points_outside_are_nan_with_one_warning(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["eval", str(run), "--grid", "t=0:2:3"]) == 0
        output = capsys.readouterr()
        assert output.out.splitlines()[-1] == "2.0,nan"
        assert output.err == "warning: 1 of 3 points lie outside the domain; the solution is NaN there\n"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--grid", "x=0:1:5"], "--grid · no values of t · give every coordinate: t"),
            (["--grid", "t=0:1:5,x=0"], "--grid · no coordinate x · the coordinates are t"),
            (["--points", "no_t.csv"], "no_t.csv · no values of t"),
            (["--points", "nan.csv"], "nan.csv · column 't', row 2 holds nan"),
            (["--points", "text.csv"], "text.csv · column 't', row 1 holds 'now'"),
            (["--points", "matrix.npz"], "matrix.npz · column 't' is an array of shape (2, 2)"),
            (["--points", "words.npz"], "words.npz · column 't' is an array of shape (2,) and type <U3"),
            (["--points", "text.xlsx"], "text.xlsx · tables of the kind '.xlsx' are not read"),
            (["--grid", "t=0:1:5", "-o", "out.vtx"], "the ending '.vtx' · use .csv, .npz or, of a grid, .vtu"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_tables_that_cannot_be_used_are_named(
        self,
        run: Path,
        arguments: list[str],
        message: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        texts = {"no_t.csv": "x\n1\n", "nan.csv": "t\n1\nnan\n", "text.csv": "t\nnow\n", "text.xlsx": "t\n1\n"}
        for name, text in texts.items():
            Path(name).write_text(text, encoding="utf-8")
        np.savez("matrix.npz", t=np.zeros((2, 2)))
        np.savez("words.npz", t=np.array(["one", "two"]))
        assert main(["eval", str(run), *arguments]) == 4
        output = capsys.readouterr()
        assert output.out == "" and message in output.err

    def test_plot_draws_the_pictures_of_a_run_again(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["plot", str(run)]) == 0
        printed = capsys.readouterr().out.split("\n")
        assert str(run / "plots" / "fields.png") in printed
        assert all(Path(line).stat().st_size > 1_000 for line in printed if line)

    @pytest.mark.parametrize("verb", [["eval", "--grid", "t=0"], ["verify"], ["plot"]], ids=lambda verb: verb[0])
    def test_a_folder_that_is_no_run_is_an_archive_fault(
        self, verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([verb[0], str(tmp_path), *verb[1:]]) == 8
        assert "there is no model.json" in capsys.readouterr().err


class TestFaults:
    """Faults that need no process of their own."""

    @pytest.mark.parametrize(
        ("error", "code", "words"),
        [
            (MemoryError(), 7, "out of memory"),
            (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 7, "out of memory"),
            (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 7, "out of memory"),
            (OSError(28, "No space left on device", "runs/x"), 7, "runs/x · No space left on device"),
            (ps.ProblemError("u", "found", "write"), 3, "error: u · found · write"),
            (ps.DataError("u", "found", "write"), 4, "error: u · found · write"),
            (ZeroDivisionError("division by zero"), 1, "internal error: ZeroDivisionError: division by zero"),
            (KeyboardInterrupt(), 130, ""),
        ],
        ids=repr,
    )
    def test_every_fault_is_one_sentence_and_a_code(
        self,
        error: BaseException,
        code: int,
        words: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        def fail(*arguments: Any) -> None:
            raise error

        monkeypatch.setattr("pinnsolve.problem_file.load_problem_file", fail)
        assert main(["check", str(written(tmp_path))]) == code
        output = capfd.readouterr().err
        assert words in output and "Traceback" not in output and output.count("\n") <= 1

    def test_a_full_disk_while_writing_is_exit_seven(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "file").write_text("in the way", encoding="utf-8")
        file = written(tmp_path)
        assert main(["run", str(file), "--out", str(tmp_path / "file" / "r")]) == 7
        assert "error: " in capsys.readouterr().err

    def test_a_run_that_diverges_is_exit_five(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = written(tmp_path, more=DIVERGING)
        assert main(["run", str(file), "--out", str(tmp_path / "r"), "--no-plots", "-q"]) == 5
        record = json.loads((tmp_path / "r" / "result.json").read_bytes())
        assert record["status"] == "diverged" and record["message"] in capsys.readouterr().out.replace("\n", " ")

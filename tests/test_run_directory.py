"""The run directory: every file of it, the order in which they appear, and the schema of result.json to the letter."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Eq, exp, symbols

import pinnsolve as ps
from pinnsolve.archive import ArchiveError
from pinnsolve.run_directory import OutputError, RunDirectory, default_path, read_result
from pinnsolve.summary import summarise
from pinnsolve.training.loop import Progress

t, k = symbols("t k")
q = ps.fields("q", t)

SCHEMA: dict[str, Any] = {
    "schema": int,
    "problem": str,
    "status": str,
    "message": str,
    "seed": int,
    "device": str,
    "dtype": str,
    "threads": int,
    "parameters": int,
    "points": {"decay": int},
    "wall_seconds": float,
    "seconds": {"setup": float, "train": float, "reference": float, "plots": float},
    "phases": [{"name": str, "steps": int, "evaluations": int, "seconds": float, "loss": float, "ended": str}],
    "loss": {"total": float, "terms": {"decay": float, "start": float, "sensor": float}},
    "reference": {"kind": str, "estimated_relative_l2": float, "seconds": float},
    "errors": {"q": {"relative_l2": float, "max": float}},
    "unknowns": {"k": float},
}
EXTENSIONS = {
    "choices",
    "method",
    "max_at",
    "residuals",
    "held_out",
    "classical",
    "diagnosis",
    "uncertainty",
    "units",
    "quantities",
    "weights",
}
"""What is added to the promised schema."""

STATES = ("declaration", "checkpoints/000000032", "checkpoints/000000035")
"""Where the run begins, and where its last two phases ended: beside noisy measurements LBFGS runs in two halves."""


def problem() -> ps.Problem:
    return ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations={"decay": Eq(q.diff(t), -k * q)},
        conditions={"start": Eq(q(0), 1)},
        unknowns={k: 0.5},
        data={"sensor": ps.Observations(at={t: [0.5]}, values={q: [0.5]})},
        hard=False,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ps.Solution]:
    """A run written from Python, without pictures."""
    path = tmp_path_factory.mktemp("runs") / "été 1" / "run"
    solution = ps.solve(
        problem(),
        ps.MLP(width=4, depth=1),
        ps.Training(points={"decay": 16}, phases=[ps.Adam(steps=30), ps.LBFGS(steps=5)]),
        ps.FiniteDifferences(),
        out=path,
        plots=False,
        name="decay",
        seed=3,
        argv=["pinnsolve", "run"],
    )
    return path, solution


def check_schema(found: Any, schema: Any, place: str = "result") -> None:
    if isinstance(schema, dict):
        assert set(found) - EXTENSIONS == set(schema), place
        for key, expected in schema.items():
            check_schema(found[key], expected, f"{place}.{key}")
    elif isinstance(schema, list):
        assert found and isinstance(found, list), place
        for entry in found:
            check_schema(entry, schema[0], f"{place}[]")
    else:
        assert type(found) is schema, f"{place} is {found!r}"


def test_the_result_has_the_promised_schema_exactly(run: tuple[Path, ps.Solution]) -> None:
    record = read_result(run[0])
    check_schema(record, SCHEMA)
    assert record["schema"] == 1 and record["status"] in {"done", "interrupted", "diverged"}
    assert record["reference"]["kind"] in {"exact", "finite_difference", "data", "none"}
    assert record["problem"] == "decay" and record["seed"] == 3 and record["device"] in {"cpu", "cuda"}
    assert record == json.loads(json.dumps(run[1].record))


def test_all_files_are_there_and_the_result_came_last(run: tuple[Path, ps.Solution]) -> None:
    path = run[0]
    files = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    written = {
        "result.json",
        "run.json",
        "log.txt",
        "metrics.jsonl",
        "solution/model.json",
        "solution/model.safetensors",
        *(f"{folder}/state.{ending}" for folder in STATES for ending in ("json", "safetensors")),
    }
    assert files == written
    last = max((path / name).stat().st_mtime_ns for name in files - {"result.json"})
    assert (path / "result.json").stat().st_mtime_ns >= last


def test_the_circumstances_are_written_down(run: tuple[Path, ps.Solution]) -> None:
    made = json.loads((run[0] / "run.json").read_bytes())
    assert made["argv"] == ["pinnsolve", "run"] and made["seed"] == 3
    for checkpoint, step in zip(made["checkpoints"], (32, 35), strict=True):
        content = (run[0] / "checkpoints" / f"{step:09d}" / "state.json").read_bytes()
        assert checkpoint == {"step": step, "sha256": hashlib.sha256(content).hexdigest()}
    assert {"pinnsolve", "python", "torch", "numpy", "scipy", "sympy"} <= set(made["versions"])
    assert made["versions"]["numpy"] == np.__version__
    assert {"machine", "system", "gpu"} <= set(made["hardware"]) and made["threads"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made["time"])
    weights = {"weights", "weights in the last phase"}
    assert {choice["what"] for choice in made["choices"]} == {"device", "threads", "gradients", "scales"} | weights


def test_metrics_are_one_object_a_line(run: tuple[Path, ps.Solution]) -> None:
    records = [json.loads(line) for line in (run[0] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert records and records[0]["phase"] == "adam" and records[0]["step"] == 1
    assert set(records[0]) == {
        "phase",
        "phase_number",
        "step",
        "seconds",
        "evaluations",
        "loss",
        "terms",
        "held_out",
        "rate",
        "event",
    }
    assert set(records[0]["terms"]) == {"decay", "start", "sensor"}


def test_the_solution_of_a_run_is_loaded_from_its_directory(run: tuple[Path, ps.Solution]) -> None:
    path, solution = run
    for place in (path, path / "solution"):
        loaded = ps.load(place)
        assert loaded(t=0.3) == solution(t=0.3) and loaded.unknowns == solution.unknowns
    assert loaded.errors == solution.errors


def test_the_summary_says_everything_that_matters(run: tuple[Path, ps.Solution]) -> None:
    record = read_result(run[0])
    text = summarise(record)
    for word in (
        "decay",
        "done",
        "seed 3",
        "adam: 30 steps",
        "lbfgs: 2 steps",
        "lbfgs: 3 steps",
        "sensor",
        "unknown    k = ",
        "own error",
    ):
        assert word in text, word
    assert f"relative L2 {record['errors']['q']['relative_l2']:.2e}" in text and record["message"] in text
    assert "not finite" in summarise(record | {"loss": {"total": None, "terms": {}}})
    assert "reference  none" in summarise(record | {"reference": {"kind": "none"}})


def test_a_folder_that_holds_a_run_is_not_written_into(run: tuple[Path, ps.Solution]) -> None:
    before = (run[0] / "result.json").read_bytes()
    with pytest.raises(OutputError, match="the folder holds a run already · choose another") as refused:
        RunDirectory(run[0])
    assert refused.value.exit_code == 2 and (run[0] / "result.json").read_bytes() == before


def test_a_run_that_was_broken_off_in_training_is_not_written_over(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as directory:
        directory.observe(progress(1))
    with pytest.raises(OutputError):
        RunDirectory(tmp_path / "run")


def test_what_failed_before_the_first_step_is_in_nobodys_way(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as first:
        first.log("a wrong problem")
    with RunDirectory(tmp_path / "run") as second:
        second.log("a right one")
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert "a wrong problem" in log and "a right one" in log


def progress(step: int, *, seconds: float = 0.0, event: str = "", loss: float = 1.0) -> Progress:
    return Progress("adam", step, 10, loss, {"decay": loss}, None, seconds, step, 1.0, 1e-3, event)


def test_metrics_are_kept_once_a_second_and_at_every_event(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    for step in range(30):
        directory.observe(progress(step, seconds=0.1 * step))
    directory.observe(progress(30, seconds=2.91, event="returned to the last good state", loss=float("inf")))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [r["step"] for r in records] == [0, 10, 20, 30]
    assert records[-1]["loss"] is None and records[-1]["event"] == "returned to the last good state"
    assert "step 30: returned" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")


def test_inputs_are_copied_or_hashed(tmp_path: Path) -> None:
    source, table = tmp_path / "burgers.py", tmp_path / "sensors.csv"
    source.write_bytes(b"problem = 1\r\n# \xc3\xa9\n")
    table.write_text("x,u\n1,2\n", encoding="utf-8")
    directory = RunDirectory(tmp_path / "run", problem_file=source, tables=[table])
    solution = ps.solve(
        ps.Problem(domain=ps.Interval(t, 0, 1), equations=Eq(q.diff(t), 0), conditions=Eq(q(0), 1)),
        ps.MLP(width=3, depth=1),
        ps.Training(phases=[ps.Adam(steps=1)]),
        ps.Exact({q: exp(0 * t)}),
        out=directory,
        plots=False,
    )
    assert solution.status == "done"
    assert (tmp_path / "run" / "problem.py").read_bytes() == source.read_bytes()
    made = json.loads((tmp_path / "run" / "run.json").read_bytes())
    hashes = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (source, table)}
    assert made["inputs"] == hashes


def test_a_run_that_fails_leaves_no_result(tmp_path: Path) -> None:
    with pytest.raises(ps.ProblemError):
        ps.solve(problem(), "MLP", out=tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()


def test_default_folders_are_named_by_time_and_seed_and_never_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = default_path("burgers", 7)
    assert re.fullmatch(r"runs/burgers/\d{8}T\d{6}-s7(-\d+)?", first.as_posix())
    taken = []
    for _ in range(3):
        path = default_path("burgers", 7)
        path.mkdir(parents=True)
        taken.append(path)
    assert len(set(taken)) == 3


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"schema": 2}', b"[" * 100_000], ids=repr)
def test_a_result_that_is_not_one_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(ArchiveError) as refused:
        read_result(tmp_path)
    assert refused.value.exit_code == 8

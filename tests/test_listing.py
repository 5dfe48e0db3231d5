"""The verbs that look at several runs, and the one that looks at the machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pinnsolve import doctor
from pinnsolve.cli import main


def run(folder: Path, *, age: int = 0, **changes: Any) -> Path:
    """Write the record of a finished run."""
    record = {
        "schema": 1,
        "problem": "burgers",
        "status": "done",
        "message": "fine",
        "seed": 0,
        "parameters": 881,
        "seconds": {"train": 10.0},
        "errors": {"u": {"relative_l2": 1e-3, "max": 2e-3}},
        "phases": [{"name": "adam", "steps": 100}],
        "loss": {"total": 1e-4},
        "unknowns": {},
    }
    folder.mkdir(parents=True)
    path = folder / "result.json"
    path.write_text(json.dumps(record | changes), encoding="utf-8")
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return folder


def test_runs_are_listed_the_newest_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "a" / "first", age=10)
    run(tmp_path / "b" / "second", problem="heat", unknowns={"nu": 0.0031831}, errors={})
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "result.json").write_text("{")
    assert main(["list", str(tmp_path)]) == 0
    found = capsys.readouterr()
    lines = found.out.splitlines()
    assert lines[0].split() == ["run", "problem", "status", "seed", "parameters", "error", "train", "unknowns"]
    assert lines[1].split()[1:] == ["burgers", "done", "0", "881", "1.0e-03", "10", "s"]
    assert "heat" in lines[2] and "unknown" in lines[2] and lines[2].endswith("nu = 0.0031831") and len(lines) == 3
    assert "damaged" in found.err
    assert main(["list", str(tmp_path), "--json"]) == 0
    assert [row["problem"] for row in json.loads(capsys.readouterr().out)] == ["burgers", "heat"]


def test_a_folder_without_runs_is_said_to_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(tmp_path)]) == 0
    found = capsys.readouterr()
    assert found.out == "" and "no finished runs" in found.err
    assert main(["list", str(tmp_path / "nowhere")]) == 2


def test_two_runs_are_compared_by_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(tmp_path / "first")
    second = run(tmp_path / "second", seed=1, phases=[{"name": "adam", "steps": 300}], seconds={"train": 10.0})
    assert main(["compare", str(first), str(second)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["phases.adam.steps"] == ["100", "300", "3"] and by_name["seed"] == ["0", "1"]
    assert by_name["errors.u.relative_l2"] == ["0.001", "0.001", "1"] and "parameters" not in by_name
    assert rows[0][0] == "problem" and rows[2][0].startswith("errors.")
    other = run(tmp_path / "other", seconds={"train": 10.0, "plots": 3.0}, message="fine, too", seed=2)
    assert main(["compare", str(first), str(other)]) == 0
    found = capsys.readouterr()
    assert "seed" in found.out and "seconds.plots" not in found.out and "message" not in found.out
    assert found.err == "2 more entries of result.json differ: --all\n"
    assert main(["compare", str(first), str(other), "--all"]) == 0
    found = capsys.readouterr()
    assert "seconds.plots" in found.out and "fine, too" in found.out and not found.err
    assert main(["compare", str(first), str(second), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["phases.adam.steps"] == [100, 300]


def test_a_record_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = run(tmp_path / "a", problem="\x1b[2Jgone"), run(tmp_path / "b")
    assert main(["list", str(tmp_path)]) == 0 and main(["compare", str(first), str(second)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_what_is_no_run_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(run(tmp_path / "a")), str(tmp_path)]) == 8
    assert "result.json" in capsys.readouterr().err


def test_the_doctor_finds_what_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok  torch") for line in lines)
    assert any("derivatives and linear systems in double precision are right" in line for line in lines)


def test_the_doctor_says_what_is_bad(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> str:
        raise OSError("no space left")

    monkeypatch.setattr(doctor, "_write_here", fail)
    monkeypatch.setattr(doctor, "_NEEDED", ("torch", "a-package-that-is-not-there"))
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "BAD results" in text and "no space left" in text and "BAD a-package" in text

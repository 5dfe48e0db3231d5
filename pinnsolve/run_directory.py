"""The run directory: everything one run leaves behind, written so that a reader never sees half a file.

`metrics.jsonl` and `log.txt` grow while the run lasts; `result.json` is written last, so that its presence means completeness.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import pinnsolve
from pinnsolve.archive import ArchiveError, finite, save_solution, write_atomically
from pinnsolve.errors import ProblemError
from pinnsolve.solution import Solution
from pinnsolve.training.loop import Progress

_METRICS_EVERY = 1.0
"""Seconds between two records of metrics."""

_PACKAGES = ("torch", "numpy", "scipy", "sympy")


class OutputError(ProblemError):
    """A folder for results that cannot be used."""

    exit_code = 2


class RunDirectory:
    """The folder of one run.

    Args:
        path: Created with its parents; must not hold a run already. What a run left that failed before its first step is in
            nobody's way.
        problem_file: Copied into it, never imported from there.
        tables: Files of observations that the problem file read; their hashes are kept.

    Raises:
        OutputError: The folder holds a run already.
    """

    def __init__(self, path: Path, *, problem_file: Path | None = None, tables: Sequence[Path] = ()) -> None:
        metrics = path / "metrics.jsonl"
        if (path / "result.json").exists() or (metrics.exists() and metrics.stat().st_size > 0):
            raise OutputError(f"--out {path}", "the folder holds a run already", "choose another, or remove it first")
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._began = time.perf_counter()
        self._last_record = -_METRICS_EVERY
        self._append("log.txt", "")
        self._append("metrics.jsonl", "")
        self._inputs = {table.name: hashlib.sha256(table.read_bytes()).hexdigest() for table in tables}
        if problem_file is not None:
            content = problem_file.read_bytes()
            write_atomically(path / "problem.py", content)
            self._inputs[problem_file.name] = hashlib.sha256(content).hexdigest()

    def log(self, line: str) -> None:
        """Append a line to log.txt, stamped with the seconds since the start."""
        self._append("log.txt", f"[{time.perf_counter() - self._began:8.1f} s] {line}\n")

    def observe(self, progress: Progress) -> None:
        """Append a record to metrics.jsonl, at most one a second; events always."""
        if progress.event:
            self.log(f"step {progress.step}: {progress.event}")
        if progress.seconds - self._last_record < _METRICS_EVERY and not progress.event:
            return
        self._last_record = progress.seconds
        record = {
            "phase": progress.phase,
            "step": progress.step,
            "seconds": progress.seconds,
            "evaluations": progress.evaluations,
            "loss": progress.loss,
            "terms": dict(progress.terms),
            "held_out": progress.held_out,
            "rate": progress.rate,
            "event": progress.event,
        }
        self._append("metrics.jsonl", json.dumps(finite(record)) + "\n")

    def write(self, solution: Solution, *, argv: Sequence[str] = ()) -> None:
        """Store solution and how it was made; `finish` completes the run."""
        save_solution(solution, self.path / "solution")
        self._write_json("run.json", _circumstances(solution, argv, self._inputs))

    def finish(self, record: dict[str, Any]) -> None:
        """Write result.json, the sign that the run is complete."""
        self.log(record["message"])
        self._write_json("result.json", record)

    def _append(self, name: str, text: str) -> None:
        with (self.path / name).open("a", encoding="utf-8") as stream:
            stream.write(text)

    def _write_json(self, name: str, data: Any) -> None:
        write_atomically(self.path / name, (json.dumps(finite(data), indent=1, allow_nan=False) + "\n").encode())


def default_path(name: str, seed: int) -> Path:
    """Return runs/<problem>/<UTC time>-s<seed>, with a number where that is taken."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    path = Path("runs") / name / f"{stamp}-s{seed}"
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{stamp}-s{seed}-{number}")
    return path


def read_result(path: Path) -> dict[str, Any]:
    """Read the result.json of a run directory.

    Raises:
        ArchiveError: There is none, or it is damaged.
    """
    try:
        record = json.loads((path / "result.json").read_bytes())
    except FileNotFoundError:
        raise ArchiveError(str(path), "there is no result.json", "give a run directory of a finished run") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArchiveError(str(path), f"result.json is not readable ({error})", "run the problem again") from None
    if not isinstance(record, dict) or record.get("schema") != 1:
        raise ArchiveError(str(path), "result.json has another schema", "use the version of pinnsolve that wrote it")
    return record


def _circumstances(solution: Solution, argv: Sequence[str], inputs: dict[str, str]) -> dict[str, Any]:
    return {
        "schema": 1,
        "argv": list(argv),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": solution.record["seed"],
        "versions": {
            "pinnsolve": pinnsolve.__version__,
            "python": platform.python_version(),
            **{p: version(p) for p in _PACKAGES},
        },
        "hardware": {
            "machine": platform.machine(),
            "processor": platform.processor(),
            "system": platform.system(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "threads": solution.record["threads"],
        "byteorder": sys.byteorder,
        "inputs": inputs,
        "choices": solution.record["choices"],
        "checkpoints": [],
    }

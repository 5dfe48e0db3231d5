"""The run directory: everything one run leaves behind, written so that a reader never sees half a file.

`metrics.jsonl` and `log.txt` grow while the run lasts; `result.json` is written last, so that its presence means completeness.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import pinnsolve
from pinnsolve.archive import ArchiveError, finite, save_solution, write_atomically
from pinnsolve.choice import Choice
from pinnsolve.errors import ProblemError
from pinnsolve.lock import Lock
from pinnsolve.solution import Solution
from pinnsolve.training.loop import Progress

_METRICS_EVERY = 1.0
"""Seconds between two records of metrics."""

_PACKAGES = ("torch", "numpy", "scipy", "sympy")
_PARTS: Mapping[str, type] = {"resumed": list, "inputs": dict}


class OutputError(ProblemError):
    """A folder for results that cannot be used."""

    exit_code = 2


class RunDirectory:
    """The folder of one run, which no other process may work in until it is closed; used as a context.

    Args:
        path: Created with its parents; must not hold a run already. What a run left that failed before its first step is in
            nobody's way.
        problem_file: Copied into it, never imported from there.
        tables: Files of observations that the problem file read; their hashes are kept.
        again: Go on with the run that it holds.

    Raises:
        OutputError: The folder holds a run already.
        LockError: Another process is at work in it.
    """

    def __init__(
        self, path: Path, *, problem_file: Path | None = None, tables: Sequence[Path] = (), again: bool = False
    ) -> None:
        if not again:
            path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._began = time.perf_counter()
        self._last_record = -_METRICS_EVERY
        self._back_to: int | None = None
        self._made = read_circumstances(path) if again else {}
        self._lock = Lock(path, self.log)
        self.hashes: dict[str, str] = dict(self._made.get("inputs", {}))
        """Of the files that the run depends on, by their names."""
        if again:
            return
        metrics = path / "metrics.jsonl"
        recorded = metrics.exists() and metrics.stat().st_size > 0
        if recorded or (path / "result.json").exists() or any(self.checkpoints.glob("[0-9]*")):
            self.close()
            raise OutputError(f"--out {path}", "the folder holds a run already", "choose another, or remove it first")
        for rest in (self.declaration, self.checkpoints):
            shutil.rmtree(rest, ignore_errors=True)
        self._append("log.txt", "")
        self._append("metrics.jsonl", "")
        self.hashes = {table.name: hashlib.sha256(table.read_bytes()).hexdigest() for table in tables}
        if problem_file is not None:
            content = problem_file.read_bytes()
            write_atomically(path / "problem.py", content)
            self.hashes[problem_file.name] = hashlib.sha256(content).hexdigest()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *outcome: object) -> None:
        self.close()

    @property
    def declaration(self) -> Path:
        """Where the inputs of the run are stored as data."""
        return self.path / "declaration"

    @property
    def checkpoints(self) -> Path:
        """Where the states of the run are stored."""
        return self.path / "checkpoints"

    def close(self) -> None:
        """Let other processes work in it."""
        self._lock.release()

    def log(self, line: str) -> None:
        """Append a line to log.txt, stamped with the seconds since the start."""
        self._append("log.txt", f"[{time.perf_counter() - self._began:8.1f} s] {line}\n")

    def observe(self, progress: Progress) -> None:
        """Append a record to metrics.jsonl, at most one a second; events always."""
        self._go_back()
        if progress.event:
            self.log(f"step {progress.step}: {progress.event}")
        if progress.seconds - self._last_record < _METRICS_EVERY and not progress.event:
            return
        self._last_record = progress.seconds
        record = {
            "phase": progress.phase,
            "phase_number": progress.phase_number,
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

    def begin(self, *, seed: int, threads: int, choices: Sequence[Choice], argv: Sequence[str]) -> None:
        """Write down how the run is made, before it is."""
        made = [asdict(choice) for choice in choices]
        self._made = {**_circumstances(argv), "seed": seed, "threads": threads, "inputs": self.hashes, "choices": made}
        self._write_json("run.json", {**self._made, "checkpoints": []})

    def begin_again(self, *, step: int, seconds: float, argv: Sequence[str]) -> None:
        """Go back to a step, once there is something to write in place of what was recorded since.

        Args:
            step: Made when the state was stored.
            seconds: Spent by then.
            argv: The command line.
        """
        self._began -= seconds
        self._made["resumed"] = [*self._made.get("resumed", ()), {"step": step, **_circumstances(argv)}]
        self._back_to = step

    def _go_back(self) -> None:
        """Forget what was recorded after the step that the run goes on from, and its result."""
        step, self._back_to = self._back_to, None
        if step is None:
            return
        (self.path / "result.json").unlink(missing_ok=True)
        kept = []
        for line in (self.path / "metrics.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
                if record["step"] <= step:
                    kept.append(line)
                    self._last_record = float(record["seconds"])
            except (ValueError, TypeError, LookupError):  # the line that a killed process was writing
                continue
        write_atomically(self.path / "metrics.jsonl", "".join(f"{line}\n" for line in kept).encode())
        self._write_json("run.json", self._made)

    def write(self, solution: Solution, *, checkpoints: Sequence[Mapping[str, Any]]) -> None:
        """Store the solution, and with how it was made the checkpoints there are; `finish` completes the run."""
        self._go_back()
        save_solution(solution, self.path / "solution")
        self._made |= {"choices": solution.record["choices"], "checkpoints": list(checkpoints)}
        self._write_json("run.json", self._made)

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


def read_circumstances(path: Path) -> dict[str, Any]:
    """Read the run.json of a run directory.

    Raises:
        ArchiveError: There is none, or it is damaged.
    """
    try:
        made = json.loads((path / "run.json").read_bytes())
        if not isinstance(made, dict) or not all(isinstance(made.get(k, kind()), kind) for k, kind in _PARTS.items()):
            raise ValueError("it is none")
    except FileNotFoundError:
        raise ArchiveError(str(path), "there is no run.json", "give the directory of a run") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArchiveError(str(path), f"run.json is not readable ({error})", "run the problem again") from None
    return made


def versions() -> dict[str, str]:
    """Return the versions of all that digits depend on."""
    own = {"pinnsolve": pinnsolve.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in _PACKAGES}


def _circumstances(argv: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": 1,
        "argv": list(argv),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "hardware": {
            "machine": platform.machine(),
            "processor": platform.processor(),
            "system": platform.system(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "byteorder": sys.byteorder,
    }

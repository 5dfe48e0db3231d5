"""One `pinnsolve run`: a problem file, its run directory, the display, the signals, and the exit code."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
from rich.text import Text

from pinnsolve.display import Display
from pinnsolve.fitting import Limits
from pinnsolve.memory import keep_freed_memory
from pinnsolve.problem_file import load_problem_file
from pinnsolve.run_directory import RunDirectory, default_path
from pinnsolve.solution import Solution
from pinnsolve.solver import solve
from pinnsolve.summary import summarise
from pinnsolve.training.status import Status

_DIVERGED, _MISSED, _SIGNALLED = 5, 6, 128


def run_problem_file(
    path: Path,
    *,
    out: Path | None,
    seed: int,
    device: str,
    dtype: str,
    max_time: float | None,
    max_steps: int | None,
    tol: float | None,
    quick: bool,
    threads: int | None,
    compile: str,
    no_plots: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a problem file and return the exit code; the options are those of the command line."""
    keep_freed_memory()
    file = load_problem_file(path)
    place = out or default_path(file.name, seed)
    directory = RunDirectory(place, problem_file=file.path, tables=file.tables)
    try:
        with Display(quiet=quiet, limit=max_time) as display, _interruption() as interruption:
            solution = solve(
                file.problem,
                file.network,
                file.training,
                file.reference,
                seed=seed,
                device=device,
                dtype=dtype,
                out=directory,
                threads=threads,
                compile=compile,
                quick=quick,
                plots=not no_plots,
                limits=Limits(max_time, max_steps, tol, interruption.status),
                observers=[display.observe],
                watch=display.watch,
                notify=display.note,
                name=file.name,
                argv=sys.argv,
            )
    except BaseException as error:
        directory.log("".join(traceback.format_exception(error)))
        raise
    if as_json:
        click.echo((directory.path / "result.json").read_text(encoding="utf-8"), nl=False)
    else:
        click.echo(summarise(dict(solution.record)))
    display.console.print(Text(f"results in {directory.path}"))
    return interruption.exit_code or _outcome(solution, tol)


def _outcome(solution: Solution, tolerance: float | None) -> int:
    if solution.status == "diverged":
        return _DIVERGED
    if tolerance is None:
        return 0
    errors = [e["relative_l2"] for e in solution.errors.values()]  # None stands for one that is not finite
    return 0 if errors and all(error is not None and error <= tolerance for error in errors) else _MISSED


class _Interruption:
    """Remembers a signal until the step in progress is complete; a second one stops at once."""

    def __init__(self) -> None:
        self.exit_code = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take in a signal."""
        if self.exit_code:
            raise KeyboardInterrupt
        self.exit_code = _SIGNALLED + number

    def status(self) -> Status | None:
        """Return why the run must end, if it must."""
        return Status.INTERRUPTED if self.exit_code else None


@contextmanager
def _interruption() -> Iterator[_Interruption]:
    interruption = _Interruption()
    previous = {number: signal.signal(number, interruption) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

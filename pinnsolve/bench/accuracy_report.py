"""The printed form of the accuracy benchmark: a block for every problem as it is measured, a Markdown table, or JSON."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch

from pinnsolve.bench.accuracy import LEVELS, MARKS, Result, measure
from pinnsolve.bench.machine import machine
from pinnsolve.errors import ProblemError


def report_accuracy(
    names: Sequence[str],
    *,
    folder: Path,
    seeds: int,
    seconds: float,
    defaults: bool,
    device: str,
    form: str,
) -> None:
    """Run the accuracy benchmark and print it.

    Args:
        names: Names of problem files in the folder, or paths; all in the folder when empty.
        folder: Where the problem files lie.
        seeds: Runs for each problem.
        seconds: Limit on the training of each run.
        defaults: Whether to leave out the network and the training that the files name.
        device: "cpu" or "cuda".
        form: "text", "markdown" or "json".

    Raises:
        ProblemError: A file that is not there, or a GPU that is not.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ProblemError("--device", "cuda was asked for, and torch sees none", "use --device cpu")
    paths = [_path(name, folder) for name in names] or sorted(folder.glob("*.py"))
    if not paths:
        raise ProblemError("--folder", f"no problem files in {folder}", "give the folder that holds them")
    about = {
        **{key: str(value) for key, value in machine(device).items()},
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "seeds": ", ".join(map(str, range(seeds))),
        "limit": f"{seconds:g} s of training",
        "settings": "the defaults" if defaults else "those of the files",
    }
    told = ", ".join(f"{key} {value}" for key, value in about.items())
    results = []
    if form != "json":
        click.echo(f"Median of the runs. {told}.\n" if form == "markdown" else told)
    if form == "markdown":
        click.echo(_heading(seconds))
    for result in measure(paths, seeds=seeds, seconds=seconds, defaults=defaults, device=device):
        results.append(_plain(result))
        if form == "markdown":
            click.echo(_row(result))
        elif form == "text":
            click.echo(_block(result))
    if form == "json":
        click.echo(json.dumps({"machine": about, "problems": results}, indent=1))


def _path(name: str, folder: Path) -> Path:
    found = Path(name) if name.endswith(".py") else folder / f"{name}.py"
    if not found.is_file():
        known = ", ".join(sorted(path.stem for path in folder.glob("*.py"))) or "no file"
        raise ProblemError("--problem", f"{name}: no file {found}", f"give a path, or choose among {known}")
    return found


def _marks(seconds: float) -> list[int]:
    return [mark for mark in MARKS if mark <= seconds]


def _block(result: Result) -> str:
    errors = "  ".join(f"{mark} s {_number(error)}" for mark, error in result.errors().items())
    times = "  ".join(f"{level:.0e} {_seconds(time)}" for level, time in result.times().items() if time is not None)
    own = f", own error {_number(result.own_error)}" if result.own_error else ""
    spread = ", ".join(_number(curve.final) for curve in result.curves)
    lines = [
        f"\n{result.problem}: {result.parameters} parameters",
        f"  error      {errors or 'the limit is below ' + str(MARKS[0]) + ' s'}",
        f"  at the end {_number(result.final())} (seeds: {spread})",
        f"  time to    {times or 'above 1e-02'}",
        f"  reference  {result.reference}{own}",
    ]
    if result.classical is not None:
        lines.append(f"  classical  {_classical(result)}, {result.classical.method}")
    return "\n".join(lines)


def _heading(seconds: float) -> str:
    columns = ["problem", "parameters", *(f"{mark} s" for mark in _marks(seconds)), "at the end"]
    columns += ["1e-3 after", "1e-5 after", "classical solver: error, time"]
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def _row(result: Result) -> str:
    times = {f"{level:.0e}": time for level, time in result.times().items()}
    cells = [result.problem, str(result.parameters), *map(_number, result.errors().values()), _number(result.final())]
    cells += [_seconds(times["1e-03"]), _seconds(times["1e-05"]), _classical(result)]
    return f"| {' | '.join(cells)} |"


def _classical(result: Result) -> str:
    found = result.classical
    return "none reads it" if found is None else f"{_number(found.error)}, {found.seconds:.2g} s"


def _number(error: float | None) -> str:
    return "-" if error is None or math.isnan(error) else f"{error:.1e}"


def _seconds(time: float | None) -> str:
    return "-" if time is None else f"{time:.0f} s"


def _plain(result: Result) -> Mapping[str, Any]:
    return {
        **asdict(result),
        "errors": {str(mark): error for mark, error in result.errors().items()},
        "final": result.final(),
        "times": {f"{level:.0e}": time for level, time in zip(LEVELS, result.times().values(), strict=True)},
    }

"""Steps of one process and of several that share the points, timed in whole runs as torchrun begins them, one thread each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

import click

from pinnsolve.bench.machine import machine
from pinnsolve.errors import ProblemError

_TEMPLATE = Path(__file__).parents[1] / "templates" / "burgers.py"

_TRAINING = """
training = ps.Training(
    points={{"burgers": {points}}},
    phases=[ps.LevenbergMarquardt(steps=1), ps.Adam(steps=40), ps.LBFGS(steps=20), ps.LevenbergMarquardt(steps=4)],
)
"""
"""What the template is trained by instead, to be formatted: each kind of exchange, of gradients and of products of Jacobians.

The first phase is not counted: what is touched for the first time, code and memory, takes seconds once, however many ranks."""

_HEADINGS = f"{'phase':20}{'ranks':>7}{'steps':>7}{'ms a step':>12}{'faster':>8}"


@dataclass(frozen=True)
class Row:
    """How long the steps of a phase take.

    Attributes:
        phase: Which.
        ranks: Number of processes.
        steps: How many were made.
        milliseconds: Of one, held-out losses among them.
    """

    phase: str
    ranks: int
    steps: int
    milliseconds: float


def report_ranks(sizes: Sequence[int], points: int, repeats: int, *, compiled: str, as_json: bool) -> None:
    """Train Burgers' equation with so many processes, by turns, and print what a step takes: medians of the runs.

    Args:
        sizes: Numbers of ranks; what is faster is so than the first.
        points: Of the equation.
        repeats: Runs with each of them, which alternate: whatever slows the machine for a minute then slows all.
        compiled: "on" or "off", as for a run; what compilation takes is not counted.
        as_json: Print one JSON object at the end, rather than a table.

    Raises:
        ProblemError: A run failed.
    """
    found = [row for size in list(sizes) * repeats for row in _measured(size, points, compiled)]
    rows = [_middle(found, phase, size) for size in sizes for phase in dict.fromkeys(row.phase for row in found)]
    if as_json:
        click.echo(
            json.dumps(
                {"machine": machine(), "points": points, "compile": compiled, "rows": [asdict(row) for row in rows]},
                indent=1,
            )
        )
        return
    about = ", ".join(f"{key} {value}" for key, value in machine().items())
    click.echo(f"{about}; Burgers' equation, {points} points, --compile {compiled}; medians of {repeats}")
    click.echo(_HEADINGS)
    for row in rows:
        first = next(other for other in rows if other.phase == row.phase)
        faster = f"{first.milliseconds / row.milliseconds:>8.2f}"
        click.echo(f"{row.phase:20}{row.ranks:>7}{row.steps:>7}{row.milliseconds:>12.1f}{faster}")


def _middle(found: Sequence[Row], phase: str, size: int) -> Row:
    """Return the runs of a phase on so many ranks as one row, with the median of their times."""
    runs = [row for row in found if (row.phase, row.ranks) == (phase, size)]
    return replace(runs[0], milliseconds=median(row.milliseconds for row in runs))


def _measured(size: int, points: int, compiled: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        problem, run = Path(folder, "burgers.py"), Path(folder, "run")
        text = _TEMPLATE.read_text(encoding="utf-8") + _TRAINING.format(points=points)
        problem.write_text(text, encoding="utf-8")
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
        options = ["--threads", "1", "--compile", compiled, "--device", "cpu", "--no-plots", "-q", "--out", str(run)]
        command = [sys.executable, *launcher, "-m", "pinnsolve", "run", str(problem), *options]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            remedy = f"see what it told: {done.stderr[-2_000:]}"
            raise ProblemError(f"{size} ranks", f"the run ended with {done.returncode}", remedy)
        record = json.loads((run / "result.json").read_bytes())
    return [Row(p["name"], size, p["steps"], 1e3 * p["seconds"] / max(p["steps"], 1)) for p in record["phases"][1:]]

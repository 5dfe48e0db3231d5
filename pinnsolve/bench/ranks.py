"""Steps of one process and of several that share the points, timed in whole runs as torchrun begins them, one thread each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from pinnsolve.bench.machine import machine
from pinnsolve.errors import ProblemError

_TEMPLATE = Path(__file__).parents[1] / "templates" / "burgers.py"

_TRAINING = """
training = ps.Training(
    points={{"burgers": {points}}}, phases=[ps.Adam(steps=40), ps.LBFGS(steps=20), ps.LevenbergMarquardt(steps=4)]
)
"""
"""What the template is trained by instead, to be formatted: each kind of exchange, of gradients and of products of Jacobians."""

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


def report_ranks(sizes: Sequence[int], points: int, *, as_json: bool) -> None:
    """Train Burgers' equation with so many processes, one after the other, and print what a step takes.

    Args:
        sizes: Numbers of ranks; what is faster is so than the first.
        points: Of the equation.
        as_json: Print one JSON object at the end, rather than lines as they come.

    Raises:
        ProblemError: A run failed.
    """
    about, rows = machine(), list[Row]()
    if not as_json:
        click.echo(f"{', '.join(f'{key} {value}' for key, value in about.items())}; Burgers' equation, {points} points")
        click.echo(_HEADINGS)
    for size in sizes:
        for row in _measured(size, points):
            rows.append(row)
            first = next(other for other in rows if other.phase == row.phase)
            faster = f"{first.milliseconds / row.milliseconds:>8.2f}"
            if not as_json:
                click.echo(f"{row.phase:20}{row.ranks:>7}{row.steps:>7}{row.milliseconds:>12.1f}{faster}")
    if as_json:
        click.echo(json.dumps({"machine": about, "points": points, "rows": [asdict(row) for row in rows]}, indent=1))


def _measured(size: int, points: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        problem, run = Path(folder, "burgers.py"), Path(folder, "run")
        text = _TEMPLATE.read_text(encoding="utf-8") + _TRAINING.format(points=points)
        problem.write_text(text, encoding="utf-8")
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
        options = ["--threads", "1", "--compile", "off", "--device", "cpu", "--no-plots", "-q", "--out", str(run)]
        command = [sys.executable, *launcher, "-m", "pinnsolve", "run", str(problem), *options]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            remedy = f"see what it told: {done.stderr[-2_000:]}"
            raise ProblemError(f"{size} ranks", f"the run ended with {done.returncode}", remedy)
        record = json.loads((run / "result.json").read_bytes())
    return [Row(p["name"], size, p["steps"], 1e3 * p["seconds"] / max(p["steps"], 1)) for p in record["phases"]]

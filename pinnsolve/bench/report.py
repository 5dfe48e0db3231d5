"""The printed form of a benchmark: a table that grows as rows are measured, or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
import torch

from pinnsolve.bench.engine import DTYPES, POINTS, Row, measure, residuals
from pinnsolve.bench.machine import machine
from pinnsolve.errors import ProblemError

_HEADINGS = (
    f"{'residual':22}{'points':>9} {'dtype':8} {'engine':9}{'ms':>10}{'faster':>8}{'peak MB':>9}{'products':>10}"
)


def report_engine(
    names: Sequence[str], points: Sequence[int], dtype: str | None, *, device: str, as_json: bool
) -> None:
    """Run the derivative benchmark and print it.

    Args:
        names: Residuals; all when empty.
        points: Numbers of points; 1,000, 10,000 and 100,000 when empty.
        dtype: One precision, or None for both.
        device: "cpu" or "cuda".
        as_json: Print one JSON object at the end, rather than lines as they come.

    Raises:
        ProblemError: A residual that is not in the benchmark, or a GPU that is not there.
    """
    if unknown := sorted(set(names) - set(residuals())):
        raise ProblemError("--residual", f"{', '.join(unknown)}", f"choose among {', '.join(residuals())}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ProblemError("--device", "cuda was asked for, and torch sees none", "use --device cpu")
    rows: list[Row] = []
    about = machine(device)
    if not as_json:
        click.echo(", ".join(f"{key} {value}" for key, value in about.items()))
        click.echo(_HEADINGS)
    nested: dict[tuple[str, int, str], float | None] = {}
    for row in measure(names or None, points or POINTS, [dtype] if dtype else DTYPES, device=device):
        rows.append(row)
        key = row.residual, row.points, row.dtype
        if row.engine == "nested":
            nested[key] = row.milliseconds
        if not as_json:
            click.echo(_line(row, nested.get(key)))
        elif row.note:
            click.echo(f"{row.residual}, {row.points} points, {row.dtype}, {row.engine}: {row.note}", err=True)
    if as_json:
        click.echo(json.dumps({"machine": about, "rows": [_plain(row) for row in rows]}, indent=1))


def _plain(row: Row) -> dict[str, object]:
    return {key: value for key, value in asdict(row).items() if key != "note"}


def _line(row: Row, nested: float | None) -> str:
    start = f"{row.residual:22}{row.points:9} {row.dtype:8} {row.engine:9}"
    if row.milliseconds is None or row.peak_bytes is None or row.matmul_fraction is None:
        return f"{start}{'-':>10}  {row.note}"
    faster = f"{nested / row.milliseconds:.2f}" if nested else "-"
    return f"{start}{row.milliseconds:10.1f}{faster:>8}{row.peak_bytes / 2**20:9.0f}{row.matmul_fraction:10.2f}"

"""Results: the trials of a sweep put together by their settings, as a table on a terminal, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from pinnsolve.archive import finite
from pinnsolve.listing import table
from pinnsolve.summary import brief, brief_seconds
from pinnsolve.sweep.runs import Run
from pinnsolve.sweep.settings import Value
from pinnsolve.sweep.study import SEED, Tried


@dataclass(frozen=True)
class Row:
    """One setting of what is varied, with all its runs.

    Args:
        values: Of the settings.
        runs: By their seeds.
        number: Of the first trial that made one.
        reason: Why there are none or not all; empty if nothing went wrong.
    """

    values: Mapping[str, Value]
    runs: tuple[Run, ...]
    number: int
    reason: str = ""

    @property
    def held_out(self) -> float:
        """The median of the held-out losses; infinite without any."""
        return median([run.held_out for run in self.runs] or [math.inf])

    @property
    def error(self) -> float | None:
        """The median of the errors against the reference, None counting as more than any number."""
        middle = median([math.inf if run.error is None else run.error for run in self.runs] or [math.inf])
        return middle if math.isfinite(middle) else None

    @property
    def unknowns(self) -> dict[str, float]:
        """The median of every unknown."""
        names = self.runs[0].unknowns if self.runs else {}
        return {name: median(run.unknowns[name] for run in self.runs) for name in names}

    @property
    def best(self) -> Run | None:
        """The run with the least held-out loss."""
        return min(self.runs, key=lambda run: run.held_out, default=None)


def rows_of(tried: Iterable[Tried]) -> list[Row]:
    """Put trials together by their settings; the least median of the held-out loss first, those without any last."""
    groups: dict[str, list[Tried]] = {}
    for trial in tried:
        if trial.state != "dropped" and (trial.runs or trial.state == "failed"):
            groups.setdefault(json.dumps(_settings(trial), sort_keys=True), []).append(trial)
    rows = []
    for trials in groups.values():
        runs = {run.seed: run for trial in trials for run in trial.runs}
        reason = next((trial.reason for trial in trials if trial.reason), "")
        ordered = tuple(runs[seed] for seed in sorted(runs))
        rows.append(Row(_settings(trials[0]), ordered, min(trial.number for trial in trials), reason))
    return sorted(rows, key=lambda row: (not row.runs, row.held_out, row.number))


def as_text(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Return a table for a terminal, the best setting first.

    Args:
        rows: In their order.
        names: Of the settings that are varied.
    """
    unknowns = list(rows[0].unknowns) if rows else []
    lines = [[*map(_short, names), "held-out loss", "least", "most", "error", *unknowns, "seeds", "train", "best run"]]
    for row in rows:
        losses = [run.held_out for run in row.runs]
        cells = [_told(row.values[name]) for name in names]
        if not losses:
            lines.append([*cells, "failed", *[""] * (len(lines[0]) - len(cells) - 2), row.reason[:_LONGEST]])
            continue
        cells += [_number(row.held_out), _number(min(losses)), _number(max(losses))]
        cells.append("unknown" if row.error is None else brief(row.error))
        cells += [f"{row.unknowns[name]:.5g}" for name in unknowns]
        seconds = brief_seconds(median(run.seconds for run in row.runs))
        cells += [str(len(row.runs)), seconds, "" if row.best is None else row.best.folder]
        lines.append(cells)
    return table(lines)


def as_csv(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Return one line for every run, those of the best setting first, with the median of its setting."""
    unknowns = list(rows[0].unknowns) if rows else []
    heading = [
        *names,
        "median_held_out",
        "seed",
        "held_out",
        "error",
        *unknowns,
        "parameters",
        "seconds",
        "status",
        "run",
    ]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heading)
    for row in rows:
        cells: list[Any] = ["none" if row.values[name] is None else row.values[name] for name in names]
        for run in row.runs:
            found = [run.unknowns[name] for name in unknowns]
            error = "" if run.error is None else run.error
            told = [run.parameters, f"{run.seconds:.3f}", run.status, run.folder]
            writer.writerow([*cells, row.held_out, run.seed, run.held_out, error, *found, *told])
        if not row.runs:
            writer.writerow([*cells, *[""] * (len(heading) - len(cells) - 2), f"failed: {row.reason}", ""])
    return stream.getvalue()


def as_record(rows: Sequence[Row], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a sweep as JSON data.

    Args:
        rows: In their order.
        about: What the sweep is.
    """
    settings = [
        {
            "values": dict(row.values),
            "held_out": row.held_out,
            "error": row.error,
            "unknowns": row.unknowns,
            "runs": [run.as_data() for run in row.runs],
            "reason": row.reason,
        }
        for row in rows
    ]
    return dict(finite({"schema": 1, **about, "settings": settings}))


def told(values: Mapping[str, Value]) -> str:
    """Return settings in a few words."""
    return ", ".join(f"{name} = {_told(value)}" for name, value in values.items())


_LONGEST = 80
"""Letters of a reason in the table; all of it is in the CSV."""


def _settings(trial: Tried) -> dict[str, Value]:
    return {name: value for name, value in trial.values.items() if name != SEED}


def _short(name: str) -> str:
    return name.removeprefix("training.")


def _told(value: Value) -> str:
    return "none" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value).lower()


def _number(value: float) -> str:
    return brief(value if math.isfinite(value) else None)

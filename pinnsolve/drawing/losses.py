"""Losses: how a training went, as a figure of its history, and that history read back from a run directory."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinnsolve.domains.regions import Array
from pinnsolve.drawing.labels import plain
from pinnsolve.drawing.panels import COLOURS, Row, compose, round_steps, rule, style
from pinnsolve.training.loop import Progress

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))
_SPIKE = 1e2
"""How far above the 98th percentile of the losses the axis may reach: the spike of a divergence leaves the picture."""

_NEGLIGIBLE = 1e-6
"""How far below the lowest loss the axis may reach: a term that vanishes to rounding leaves the picture."""

_NAMED, _LONGEST_NAME = 12, 24
"""Terms named in the legend, those that are largest in the end, and letters of a name there."""

_NARROW = 0.014
"""Width of a letter, relative to the axis: a phase too short for its name has none."""


def loss_figure(history: Sequence[Progress]) -> Figure | None:
    """Draw the loss, the held-out loss and the mean square of every term against steps; the time is a second axis.

    Args:
        history: Progress, oldest first.

    Returns:
        The figure; None if the history holds no loss that is finite and positive.
    """
    if not any(math.isfinite(p.loss) and p.loss > 0 for p in history):
        return None
    with style():
        return compose([Row(1, lambda axes: _draw_losses(axes[0], history), height=3.2)], width=7.5)


def read_history(path: Path) -> tuple[Progress, ...]:
    """Read the records of a metrics.jsonl, except those that a crash has cut short.

    What is not recorded is filled in: the planned number of steps by the last step, the speed by NaN.

    Returns:
        The history; empty when there is no such file.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    records = [record for record in map(_read_record, lines) if record is not None]
    last = max((record["step"] for record in records), default=0)
    return tuple(Progress(**record, total_steps=last, steps_per_second=math.nan) for record in records)


def _draw_losses(axes: Axes, history: Sequence[Progress]) -> None:
    steps = np.array([p.step for p in history], dtype=float)
    marker = "." if len(history) < 3 else ""
    total, held_out = _positive([p.loss for p in history]), _positive([p.held_out for p in history])
    axes.plot(steps, total, color="black", lw=1.8, marker=marker, zorder=4, label="loss")
    if np.isfinite(held_out).any():
        axes.plot(steps, held_out, "k", ls=(0, (3, 1.5)), lw=1.2, marker=marker, zorder=3, label="held-out loss")
    events = np.array([bool(p.event) for p in history]) & np.isfinite(total)
    if events.any():
        axes.plot(steps[events], total[events], "kv", mfc="white", ms=5, ls="none", zorder=5, label="recovery")
    names = list(dict.fromkeys(name for p in history for name in p.terms))
    curves = {name: _positive([p.terms.get(name) for p in history]) for name in names}
    named = sorted(names, key=lambda name: -np.nan_to_num(curves[name])[-1])[:_NAMED]
    for k, (name, values) in enumerate(curves.items()):
        colour, dash = COLOURS[k % len(COLOURS)], _DASHES[k // len(COLOURS) % len(_DASHES)]
        text = plain(name, longest=_LONGEST_NAME) if name in named else "_"
        axes.plot(steps, values, color=colour, ls=dash, lw=0.9, marker=marker, label=text)
    if len(names) > _NAMED:
        axes.plot([], [], ls="none", label=f"({len(names) - _NAMED} smaller terms)")
    axes.set(yscale="log", ylabel="loss; mean squares, not weighed", xlabel="steps")
    _set_limits(axes, steps, total)
    _draw_phases(axes, history)
    _draw_seconds(axes, history)
    rule(axes)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, handlelength=1.6)


def _set_limits(axes: Axes, steps: Array, total: Array) -> None:
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    finite = drawn[np.isfinite(drawn)]
    low = max(finite.min(), _NEGLIGIBLE * np.nanmin(total))
    high = min(finite.max(), _SPIKE * np.percentile(finite, 98))
    axes.set_ylim(low / 2, 5 * high)  # room for the names of the phases
    axes.set_xlim(min(steps[0], 0.0), max(steps[-1], 1.0))
    axes.xaxis.set_major_locator(round_steps(6, integer=True))


def _draw_phases(axes: Axes, history: Sequence[Progress]) -> None:
    """Rule a line between two phases and name each at the top of its part."""
    turns = [(a.step, b.phase) for a, b in pairwise(history) if (a.phase, a.phase_number) != (b.phase, b.phase_number)]
    ends, phases = [float(step) for step, _ in turns], [history[0].phase, *(phase for _, phase in turns)]
    first, last = axes.get_xlim()
    for end in ends:
        axes.axvline(end, color="0.4", lw=0.7, ls=(0, (1, 1.5)))
    for (start, end), phase in zip(pairwise([first, *ends, last]), phases, strict=True):
        name = plain(phase, longest=_LONGEST_NAME)
        if end - start < _NARROW * (1 + len(name)) * (last - first):
            continue
        axes.annotate(
            name,
            (start, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -3),
            textcoords="offset points",
            va="top",
            color="0.3",
            fontsize=9,
        )


def _draw_seconds(axes: Axes, history: Sequence[Progress]) -> None:
    """Write the time at the top, at the steps at which round numbers of seconds had passed."""
    steps = np.array([0.0, *(p.step for p in history)])
    seconds = np.maximum.accumulate([0.0, *(p.seconds for p in history)])
    if not seconds[-1] > 0:
        return
    ticks = [s for s in round_steps(5).tick_values(0.0, seconds[-1]) if 0 <= s <= seconds[-1]]
    top = axes.secondary_xaxis("top")
    top.set_xticks(np.interp(ticks, seconds, steps), [f"{s:g}" for s in ticks])
    top.set_xlabel("seconds")


def _positive(values: Sequence[float | None]) -> Array:
    """Return the values with NaN for all that a logarithmic axis cannot show."""
    array = np.array([math.nan if v is None else v for v in values], dtype=float)
    return np.where(np.isfinite(array) & (array > 0), array, math.nan)


def _read_record(line: str) -> dict[str, Any] | None:
    """Return one record, or None for a line that is not one."""
    try:
        record = json.loads(line)
        terms = {str(name): math.nan if v is None else float(v) for name, v in record["terms"].items()}
        loss, rate = (math.nan if record[key] is None else float(record[key]) for key in ("loss", "rate"))
        held_out = None if record["held_out"] is None else float(record["held_out"])
        return {
            "phase": str(record["phase"]),
            "phase_number": int(record.get("phase_number", 0)),
            "step": int(record["step"]),
            "loss": loss,
            "terms": terms,
            "held_out": held_out,
            "seconds": float(record["seconds"]),
            "evaluations": int(record["evaluations"]),
            "rate": rate,
            "event": str(record["event"]),
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return None

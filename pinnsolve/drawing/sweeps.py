"""Sweeps: the figure of held-out loss against each setting, and of the error against the held-out loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from pinnsolve.drawing.labels import plain
from pinnsolve.drawing.panels import COLOURS, Row, compose, rule, style, tidy_powers
from pinnsolve.plotting import DOTS_PER_INCH
from pinnsolve.sweep.results import Row as Setting
from pinnsolve.sweep.runs import Run

Draw = Callable[[Axes], None]

_DECADES = 1.0
"""Powers of ten from which on numbers that span them are spread by their logarithm."""

_ACROSS, _HEIGHT = 2, 2.6
_LONGEST_NAME = 40
_TICKS = 8
"""Values up to which each has its own mark on the axis."""

_FEWEST = 4
"""Runs from which on a correlation says something."""


def write_sweep(settings: Sequence[Setting], names: Sequence[str], path: Path) -> Path:
    """Write the figure of a sweep as a `.png`; see `sweep_figure`."""
    sweep_figure(settings, names).savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
    return path


def sweep_figure(settings: Sequence[Setting], names: Sequence[str]) -> Figure:
    """Draw a sweep: a small dot is a run, a large one the median of a setting's seeds, and a ring is around the best setting.

    Args:
        settings: The best first; at least one with a finite held-out loss.
        names: Of what is varied; without any the seeds are drawn.
    """
    drawn = [setting for setting in settings if math.isfinite(setting.held_out)]
    panels: list[Draw] = [partial(_draw_setting, settings=drawn, name=name) for name in names]
    panels = panels or [partial(_draw_seeds, runs=drawn[0].runs)]
    runs = [run for setting in drawn for run in setting.runs if run.error and math.isfinite(run.held_out)]
    if len(runs) > 1:
        panels.append(partial(_draw_errors, settings=drawn))
    lines = [panels[k : k + _ACROSS] for k in range(0, len(panels), _ACROSS)]
    with style():
        return compose([Row(len(line), partial(_fill, panels=line), height=_HEIGHT) for line in lines])


def _fill(axes: Sequence[Axes], panels: Sequence[Draw]) -> None:
    for ax, panel in zip(axes, panels, strict=True):
        panel(ax)


def _draw_setting(axes: Axes, settings: Sequence[Setting], name: str) -> None:
    """Draw the held-out loss against the values of one setting, whatever those of the others."""
    values = [setting.values[name] for setting in settings]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numeric:
        places = np.array(values, dtype=float)
    else:
        kinds = list(dict.fromkeys(sorted(values, key=str)))
        places = np.array([kinds.index(value) for value in values], dtype=float)
        axes.set_xticks(range(len(kinds)), ["none" if kind is None else plain(str(kind)) for kind in kinds])
        axes.set_xlim(-0.5, len(kinds) - 0.5)
    runs = [(place, run.held_out) for place, setting in zip(places, settings, strict=True) for run in setting.runs]
    axes.plot(*zip(*runs, strict=True), ".", color=COLOURS[0], ms=4, alpha=0.4, zorder=2, label="a seed")
    medians = [setting.held_out for setting in settings]
    axes.plot(places, medians, "o", color=COLOURS[0], ms=5, zorder=3, label="median of seeds")
    axes.plot(places[:1], medians[:1], "o", mfc="none", mec=COLOURS[1], ms=11, mew=1.4, zorder=4, label="best setting")
    if numeric and places.min() > 0 and math.log10(places.max() / places.min()) >= _DECADES:
        axes.set_xscale("log")
    elif numeric and len(set(values)) <= _TICKS:
        axes.set_xticks(sorted(set(places)))
    axes.set(yscale="log", xlabel=plain(name.removeprefix("training."), longest=_LONGEST_NAME), ylabel="held-out loss")
    axes.legend(loc="best", fontsize="small")
    rule(axes)


def _draw_seeds(axes: Axes, runs: Sequence[Run]) -> None:
    seeds = [run.seed for run in runs]
    axes.plot(seeds, [run.held_out for run in runs], "o", color=COLOURS[0], ms=5)
    axes.set(yscale="log", xlabel="seed", ylabel="held-out loss", xticks=seeds)
    rule(axes)


def _draw_errors(axes: Axes, settings: Sequence[Setting]) -> None:
    """Draw the error against the held-out loss, run by run: how far the one may be trusted to stand for the other."""
    runs = [run for setting in settings for run in setting.runs if run.error and math.isfinite(run.held_out)]
    losses, errors = [run.held_out for run in runs], [run.error or math.nan for run in runs]
    axes.plot(losses, errors, ".", color=COLOURS[2], ms=6, label="a run")
    best = [(run.held_out, run.error or math.nan) for run in settings[0].runs if run in runs]
    ring: dict[str, Any] = {"mfc": "none", "mec": COLOURS[1], "ms": 11, "mew": 1.4}
    axes.plot(*np.array(best).reshape(-1, 2).T, "o", **ring, label="of the best setting")
    axes.set(xscale="log", yscale="log", xlabel="held-out loss", ylabel="relative L2 error")
    tidy_powers(axes.xaxis, Normalize(min(losses), max(losses)))
    if len(runs) >= _FEWEST and len(set(losses)) > 1 and len(set(errors)) > 1:
        axes.set_title(f"rank correlation {spearmanr(losses, errors).statistic:.2f} of {len(runs)} runs")
    axes.legend(loc="best", fontsize="small")
    rule(axes)

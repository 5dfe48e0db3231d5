"""Errors: the figure that shows where a solution differs from its reference, and by how much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from sympy.core.function import AppliedUndef

from pinnsolve.comparison import compare, estimate
from pinnsolve.domains.regions import Array
from pinnsolve.drawing.labels import axis_label, label, number, place_of, unit_label
from pinnsolve.drawing.panels import (
    COLOURS,
    MAGNITUDE,
    Row,
    compose,
    draw_bar,
    draw_magnitudes,
    draw_place,
    limits,
    log_scale,
    rule,
    say,
    style,
    tidy_powers,
)
from pinnsolve.drawing.views import View, arrange, field_values, reference_values
from pinnsolve.solution import Solution

_COVERED = 60_000.0
"""Area shared by the dots of stored points, in square points (1/72 inch): about that of the axes."""

_KINDS = {
    "exact": "the closed form",
    "finite_difference": "finite differences",
    "finite_element": "finite elements",
    "spectral": "Fourier series",
    "stream_function": "the stream function",
    "data": "stored values",
}


def error_figure(solution: Solution) -> Figure | None:
    """Draw |solution - reference| of every field on a logarithmic scale, with a ring around the place of the greatest.

    Planes through more than two coordinates contain that place. Errors at the stored points are drawn where the reference is
    known at points only.

    Returns:
        The figure; None without a reference.
    """
    reference = solution.reference
    if reference is None:
        return None
    errors = compare(solution, reference)
    with style():
        fields = [f for f in solution.problem.declared_fields if f.func.__name__ in errors]
        if not fields:
            return None
        own = estimate(solution, reference)
        doubt = f" (own relative error {number(own)})" if own > 0 else ""
        title = f"Absolute error against {_KINDS.get(reference.kind, reference.kind)}{doubt}"
        return compose([_row(solution, f, errors[f.func.__name__]) for f in fields], title=title)


def _row(solution: Solution, field: AppliedUndef, errors: Mapping[str, float]) -> Row:
    problem, points = solution.problem, solution.reference.points
    coordinates = [c for c in problem.coordinates if c in field.args]
    name, found = label(field.func.__name__), _magnitudes(solution, field, points)
    if not np.isfinite(found).any():
        return Row(1, lambda axes: say(axes[0], "no finite values"), height=0.6, title=name)
    unit = problem.units.texts.get(field.func.__name__, "")
    worst = dict(zip(problem.coordinates, points[np.nanargmax(found)].tolist(), strict=True))
    views = arrange({c: problem.bounds[c] for c in coordinates}, problem, through=worst)
    scattered = solution.reference.kind == "data"
    greatest = f"{number(errors['max'])} {unit_label(unit)}".rstrip()

    def draw(axes: Sequence[Axes]) -> None:
        if scattered:
            columns = [points[:, problem.coordinates.index(c)] for c in views[0].axes]
            _draw_scattered(axes[0], views[0], columns, found, unit=unit)
        else:
            sheets = [view.shaped(_magnitudes(solution, field, view.points(problem.coordinates))) for view in views]
            draw_magnitudes(axes, views, sheets, unit=unit)
        for ax, view in zip(axes, views, strict=False):
            if all(worst[c] == view.held[c] for c in coordinates if c in view.held):
                place = [worst[c] for c in view.axes]
                draw_place(ax, place[0], place[1] if len(place) > 1 else float(np.nanmax(found)))
            if len(views) > 1 and not scattered:
                ax.set_title(place_of(view, coordinates))

    return Row(
        1 if scattered else len(views),
        draw,
        shape=views[0].shape,
        height=2.5,
        title=f"{name}: relative $L^2$ error {number(errors['relative_l2'])}, greatest {greatest} (ring)",
    )


def _draw_scattered(axes: Axes, view: View, columns: Sequence[Array], found: Array, *, unit: str) -> None:
    """Draw errors at stored points, projected onto a line or plane: as a map if they form its grid, else as dots."""
    scale = log_scale(found)
    if scale is None:
        say(axes, "zero everywhere")
        return
    axes.set(xlim=view.ranges[view.axes[0]], xlabel=axis_label(view, 0))
    if len(view.axes) == 1:
        axes.plot(columns[0], np.where(found > 0, found, np.nan), ".", color=COLOURS[0], ms=3)
        axes.set(yscale="log", ylim=limits(scale))
        tidy_powers(axes.yaxis, scale)
        axes.set_ylabel(unit_label(unit))
        rule(axes)
        return
    axes.set(ylim=view.ranges[view.axes[1]], ylabel=axis_label(view, 1))
    (across, i), (up, j) = (np.unique(column, return_inverse=True) for column in columns)
    drawn: ScalarMappable
    if len(across) * len(up) == len(found):
        sheet = np.full((len(up), len(across)), np.nan)
        sheet[j, i] = found
        drawn = axes.pcolormesh(across, up, np.ma.masked_invalid(sheet), norm=scale, cmap=MAGNITUDE, shading="nearest")
    else:
        order = np.argsort(found)  # the greatest on top
        x, y = (column[order] for column in columns)
        size = float(np.clip(_COVERED / len(found), 1.0, 20.0))
        drawn = axes.scatter(x, y, s=size, c=found[order], norm=scale, cmap=MAGNITUDE, lw=0)
    draw_bar(drawn, axes, found, unit=unit)


def _magnitudes(solution: Solution, field: AppliedUndef, points: Array) -> Array:
    truth = reference_values(solution, field, points)
    return np.full(len(points), np.nan) if truth is None else np.abs(field_values(solution, field, points) - truth)

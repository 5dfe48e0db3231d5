"""Residuals: the figure that shows how well the equations hold, and where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinnsolve.declaration.terms import Term
from pinnsolve.domains.regions import Array, Boundary, Region
from pinnsolve.drawing.labels import number, place_of, plain, unit_label
from pinnsolve.drawing.panels import COLOURS, Row, compose, draw_magnitudes, style
from pinnsolve.drawing.views import View, arrange, residual_values
from pinnsolve.points import term_points, term_region
from pinnsolve.solution import Solution

_MEASURED = 2_048
"""Points over which the size of a residual is measured."""

_DRAWN = 256
"""Points drawn on a map: enough to see how they are spread, few enough to see the map."""


def residual_figure(solution: Solution) -> Figure | None:
    """Draw the residual of every equation on a logarithmic scale, with points spread the way training spreads its first.

    Returns:
        The figure; None if no equation holds in the interior.
    """
    problem = solution.problem
    inner = [t for t in problem.terms if t.kind == "equation" and t.free and not isinstance(t.region, Boundary)]
    with style():
        rows = [_row(solution, t, region) for t in inner if (region := term_region(t, problem)) is not None]
        return compose(rows) if rows else None


def _row(solution: Solution, term: Term, region: Region) -> Row:
    problem = solution.problem
    views = arrange({c: region.bounds[c] for c in term.free}, problem)
    drawn = term_points(term, problem, _MEASURED, seed=int(solution.record.get("seed", 0)))
    points = np.tile([sum(ends) / 2 for ends in problem.bounds.values()], (len(drawn), 1))
    points[:, [problem.coordinates.index(c) for c in term.free]] = drawn[:, : len(term.free)]
    size = float(np.sqrt(np.mean(residual_values(solution, term.name, region, points) ** 2)))

    def draw(axes: Sequence[Axes]) -> None:
        sheets = [v.shaped(residual_values(solution, term.name, region, v.points(problem.coordinates))) for v in views]
        draw_magnitudes(axes, views, [np.abs(sheet) for sheet in sheets], unit=term.unit)
        if len(views) == 1:
            _draw_points(axes[0], views[0], [drawn[:_DRAWN, term.free.index(c)] for c in views[0].axes])
        else:
            for ax, view in zip(axes, views, strict=True):
                ax.set_title(place_of(view, term.free))

    title = f"{plain(term.name)}: residual, root mean square {number(size)} {unit_label(term.unit)}".rstrip()
    return Row(len(views), draw, shape=views[0].shape, height=2.5, title=title)


def _draw_points(axes: Axes, view: View, columns: Sequence[Array]) -> None:
    """Draw points on a map, or as a rug below a curve."""
    if len(view.axes) == 2:
        axes.plot(columns[0], columns[1], "o", color=COLOURS[4], ms=1.5, mew=0)
        return
    bottom = np.zeros(len(columns[0]))
    axes.plot(columns[0], bottom, "|", color="0.4", ms=6, mew=0.4, transform=axes.get_xaxis_transform())

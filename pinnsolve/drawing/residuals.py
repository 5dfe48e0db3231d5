"""Residuals: the figure that shows how well the equations hold, and where."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pinnsolve.declaration.terms import Term
from pinnsolve.domains.regions import Array, Boundary
from pinnsolve.drawing.panels import RESIDUAL, STYLE, Row, compose, draw_dots, draw_magnitudes, number, place_of, plain
from pinnsolve.drawing.views import arrange, ordering_coordinates, residual_values
from pinnsolve.points import term_points, term_region
from pinnsolve.solution import Solution

_MEASURED = 2_048
"""Points over which the size of a residual is measured."""

_DRAWN = 256
"""Points drawn on a map: enough to see how they are spread, few enough to see the map."""


def residual_figure(solution: Solution) -> Figure | None:
    """Draw the residual of every equation on a logarithmic scale, with points spread the way training spreads its own.

    Returns:
        The figure; None if no equation holds in the interior.
    """
    terms = [
        t for t in solution.problem.terms if t.kind == "equation" and t.free and not isinstance(t.region, Boundary)
    ]
    if not terms:
        return None
    with matplotlib.rc_context(dict(STYLE)):
        return compose([_row(solution, term) for term in terms])


def _row(solution: Solution, term: Term) -> Row:
    problem, region = solution.problem, term_region(term, solution.problem)
    views = arrange({c: region.bounds[c] for c in term.free}, problem)
    equal = len(views[0].axes) == 2 and not set(views[0].axes) & set(ordering_coordinates(problem))
    drawn = term_points(term, problem, _MEASURED, seed=int(solution.record.get("seed", 0)))
    middle = np.array([sum(ends) / 2 for ends in problem.bounds.values()])
    points = np.tile(middle, (len(drawn), 1))
    points[:, [problem.coordinates.index(c) for c in term.free]] = drawn
    size = float(np.sqrt(np.mean(residual_values(solution, term.name, region, points) ** 2)))

    def magnitudes(points: Array) -> Array:
        return np.abs(residual_values(solution, term.name, region, points))

    def draw(axes: Sequence[Axes]) -> None:
        sheets = [view.shaped(magnitudes(view.points(problem.coordinates))) for view in views]
        draw_magnitudes(axes, views, sheets, colours=RESIDUAL, equal=equal)
        if len(views) == 1:
            columns = [drawn[:_DRAWN, term.free.index(c)] for c in views[0].axes]
            if len(columns) == 1:
                bottom = np.zeros(len(columns[0]))
                axes[0].plot(
                    columns[0], bottom, "|", color="0.4", ms=6, mew=0.4, transform=axes[0].get_xaxis_transform()
                )
            else:
                axes[0].plot(*columns, ".", color="white", ms=1.5, alpha=0.6, mew=0)
        else:
            for ax, view in zip(axes, views, strict=True):
                ax.set_title(place_of(view, term.free))

    title = f"{plain(term.name)}: |residual|, root mean square {number(size)}"
    return Row(len(views), draw, shape=views[0].shape if equal else None, height=2.5, title=title)

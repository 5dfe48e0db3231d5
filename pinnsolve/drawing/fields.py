"""Fields: the figure that shows a solution, and beside it what it was compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from sympy.core.function import AppliedUndef

from pinnsolve.domains.regions import Array
from pinnsolve.drawing.labels import axis_label, label, number, place_of, unit_label, value_of, with_unit
from pinnsolve.drawing.observations import near, observed
from pinnsolve.drawing.panels import (
    COLOURS,
    DIFFERENCE,
    FIELD,
    Row,
    centred_scale,
    compose,
    draw_bar,
    draw_dots,
    draw_map,
    limits,
    linear_scale,
    rule,
    style,
    tidy,
)
from pinnsolve.drawing.views import Values, View, arrange, field_values, ordering_coordinates, reference_values
from pinnsolve.problem import Problem
from pinnsolve.solution import Solution

_INSTANTS = 5


@dataclass(frozen=True)
class Quantity:
    """A real quantity that is shown: a field, or the modulus or a part of a complex one."""

    field: AppliedUndef
    label: str
    part: Callable[[Values], Values]
    unit: str


def fields_figure(solution: Solution) -> Figure:
    """Draw every field, with its reference if there is one; a complex field by its modulus and parts.

    Observations are drawn as dots. A field fixed only up to a constant is compared with the reference shifted to its mean.
    """
    with style():
        rows = [_row(solution, quantity) for quantity in quantities(solution.problem)]
        units = solution.problem.units.texts
        found = ",  ".join(
            f"{label(name)} = {value:.5g} {unit_label(units.get(name, ''))}".rstrip()
            for name, value in solution.unknowns.items()
        )
        return compose(rows, title=f"Found: {found}" if found else "")


def quantities(problem: Problem) -> list[Quantity]:
    """Return what is shown of every declared field."""
    made = []
    for field in problem.declared_fields:
        name, unit = label(field.func.__name__), problem.units.texts.get(field.func.__name__, "")
        if field.func.__name__ in problem.complex_fields:
            made += [Quantity(field, rf"$|\,${name}$\,|$", np.abs, unit), Quantity(field, f"Re {name}", np.real, unit)]
            made += [Quantity(field, f"Im {name}", np.imag, unit)]
        else:
            made.append(Quantity(field, name, np.real, unit))
    return made


def _row(solution: Solution, quantity: Quantity) -> Row:
    problem = solution.problem
    views = arrange({c: problem.bounds[c] for c in problem.coordinates if c in quantity.field.args}, problem)
    view = views[0]
    errors = solution.errors.get(quantity.field.func.__name__)
    error = f"relative $L^2$ error {number(errors['relative_l2'])}" if errors else ""
    title = f"{quantity.label}: {error}" if error else ""
    if len(views) > 1:
        return Row(
            len(views),
            lambda axes: _draw_slices(axes, solution, quantity, views),
            shape=view.shape,
            height=2.2,
            title=title,
        )
    if len(view.axes) == 1:
        return Row(1, lambda axes: _draw_curve(axes[0], solution, quantity, view), title=title)
    if view.axes[0] in ordering_coordinates(problem):
        return Row(2, lambda axes: _draw_evolution(axes, solution, quantity, view, error), height=2.5)
    values, truth = values_on(solution, quantity, view)
    count = 1 if truth is None else 3
    return Row(
        count, lambda axes: _draw_plane(axes, solution, quantity, view, values, truth), shape=view.shape, title=title
    )


def _draw_curve(axes: Axes, solution: Solution, quantity: Quantity, view: View) -> None:
    """Draw a field of one coordinate, its reference dashed, its observations as dots."""
    values, truth = values_on(solution, quantity, view)
    (nodes,) = view.nodes
    axes.plot(nodes, values, color=COLOURS[0], label="solution")
    if truth is not None:
        axes.plot(nodes, truth, color="black", ls=(0, (4, 2)), lw=1.0, label="reference")
    else:
        _draw_stored(axes, solution, quantity, view)
    _draw_observations(axes, solution, quantity, view, colour=COLOURS[1])
    _finish_curves(axes, view, quantity, linear_scale(values, truth))
    _draw_legend(axes)


def _draw_evolution(axes: Sequence[Axes], solution: Solution, quantity: Quantity, view: View, error: str) -> None:
    """Draw a field of two coordinates, one of which orders a sequence: a map, and curves at several of its values."""
    values, truth = values_on(solution, quantity, view)
    scale = linear_scale(values, truth)
    image = draw_map(axes[0], view, values, norm=scale, colours=FIELD)
    draw_bar(image, axes[0], values, unit=quantity.unit)
    axes[0].set_title(f"{quantity.label}: solution")
    for dots in observed(solution.problem, quantity.field, view):
        draw_dots(axes[0], *dots.places)
    ordering = view.axes[0]
    low, high = view.ranges[ordering]
    colours = matplotlib.colormaps["plasma"](np.linspace(0.0, 0.85, _INSTANTS))
    curves: list[Values] = []
    for place, colour in zip(np.linspace(low, high, _INSTANTS), colours, strict=True):
        line = view.moved({ordering: float(place)})
        found, known = values_on(solution, quantity, line)
        text = value_of(view, ordering, float(place))
        axes[1].plot(line.nodes[0], found, color=colour, label=text)
        if known is not None:
            axes[1].plot(line.nodes[0], known, color="black", ls=(0, (4, 2)), lw=0.8)
        else:
            _draw_stored(axes[1], solution, quantity, line)
        _draw_observations(axes[1], solution, quantity, line, colour=colour)
        if low < place < high:
            axes[0].axvline(place, color="white", lw=0.7, ls=(0, (1, 2)))
        curves += [found]
    _finish_curves(axes[1], line, quantity, linear_scale(np.concatenate([*curves, values.ravel()]), truth))
    axes[1].set_title(", ".join(filter(None, (error, "reference dashed" if truth is not None else ""))))
    _draw_legend(axes[1], loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, handlelength=1.2)


def _draw_plane(
    axes: Sequence[Axes], solution: Solution, quantity: Quantity, view: View, values: Array, truth: Array | None
) -> None:
    """Draw a field of two coordinates of space; with three axes also its reference, and the difference."""
    scale = linear_scale(values, truth)
    draw_bar(draw_map(axes[0], view, values, norm=scale, colours=FIELD), axes[0], values, unit=quantity.unit)
    axes[0].set_title(f"{quantity.label}: solution")
    for dots in observed(solution.problem, quantity.field, view):
        draw_dots(axes[0], *dots.places)
    if truth is not None:
        draw_bar(draw_map(axes[1], view, truth, norm=scale, colours=FIELD), axes[1], truth, unit=quantity.unit)
        axes[1].set_title("reference")
        difference = values - truth
        image = draw_map(axes[2], view, difference, norm=centred_scale(difference), colours=DIFFERENCE)
        draw_bar(image, axes[2], difference, unit=quantity.unit)
        axes[2].set_title("solution $-$ reference")


def _draw_slices(axes: Sequence[Axes], solution: Solution, quantity: Quantity, views: Sequence[View]) -> None:
    """Draw a field of three or more coordinates on several planes with one colour scale."""
    sheets = [values_on(solution, quantity, view) for view in views]
    values = np.stack([found for found, _ in sheets])
    known = [truth for _, truth in sheets if truth is not None]
    scale = linear_scale(values, np.stack(known) if known else None)
    for ax, view, found in zip(axes, views, values, strict=True):
        image = draw_map(ax, view, found, norm=scale, colours=FIELD)
        ax.set_title(f"{quantity.label} at {place_of(view, quantity.field.args)}")
        for dots in observed(solution.problem, quantity.field, view):
            draw_dots(ax, *dots.places)
    draw_bar(image, axes[-1], values, unit=quantity.unit)


def values_on(solution: Solution, quantity: Quantity, view: View) -> tuple[Array, Array | None]:
    """Return solution and reference on the nodes of a view; None for a reference that is known at stored points only."""
    points = view.points(solution.problem.coordinates)
    found = view.shaped(quantity.part(field_values(solution, quantity.field, points)))
    stored = solution.reference is not None and solution.reference.kind == "data"
    truth = None if stored else reference_values(solution, quantity.field, points)
    return found, None if truth is None else view.shaped(quantity.part(truth))


def _draw_stored(axes: Axes, solution: Solution, quantity: Quantity, line: View) -> None:
    """Draw the values of a reference that knows them at some points only, where these lie near a line."""
    if solution.reference is None or solution.reference.kind != "data":
        return
    points = solution.reference.points
    columns = {c: points[:, k] for k, c in enumerate(solution.problem.coordinates) if c in quantity.field.args}
    chosen = points[near(columns, solution.problem, line)]
    truth = reference_values(solution, quantity.field, chosen) if len(chosen) else None
    if truth is not None:
        along = chosen[:, solution.problem.coordinates.index(line.axes[0])]
        axes.plot(along, quantity.part(truth), ".", color="black", ms=2.0, label="reference")


def _draw_observations(axes: Axes, solution: Solution, quantity: Quantity, line: View, *, colour: Any) -> None:
    """Draw the measured values near a line, with their standard deviations if stated."""
    for dots in observed(solution.problem, quantity.field, line):
        if dots.values is not None and len(dots.values):
            values = quantity.part(dots.values)
            axes.errorbar(
                dots.places[0], values, dots.noise, fmt="o", ms=3, color=colour, elinewidth=0.7, label="observations"
            )


def _draw_legend(axes: Axes, **place: Any) -> None:
    """Draw a legend in which every label stands once, those that several curves share last."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    once |= {text: once.pop(text) for text in ("reference", "observations") if text in once}
    axes.legend(once.values(), once.keys(), **place)


def _finish_curves(axes: Axes, view: View, quantity: Quantity, scale: Normalize) -> None:
    axes.set(xlim=view.ranges[view.axes[0]])
    axes.set_xlabel(axis_label(view, 0))
    axes.set_ylabel(with_unit(quantity.label, quantity.unit))
    axes.set_ylim(limits(scale))
    tidy(axes.yaxis)
    rule(axes)

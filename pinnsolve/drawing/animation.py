"""Animation: the fields of a solution from instant to instant, beside what they were compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from sympy import Symbol

from pinnsolve.domains.regions import Array
from pinnsolve.drawing.fields import Quantity, quantities, values_on
from pinnsolve.drawing.labels import axis_label, value_of, with_unit
from pinnsolve.drawing.panels import (
    COLOURS,
    FIELD,
    Row,
    compose,
    draw_bar,
    draw_map,
    limits,
    linear_scale,
    rule,
    style,
    tidy,
)
from pinnsolve.drawing.views import View, arrange, ordering_coordinates
from pinnsolve.errors import DataError
from pinnsolve.solution import Solution

FRAMES, RATE = 40, 10
"""Instants shown, both ends of the time included, and how many of them in a second."""

_DOTS_PER_INCH = 100

Update = Callable[[int], None]
"""Put the values of a frame, by its number, into a picture."""


@dataclass(frozen=True)
class _Film:
    """One quantity at every instant: a line or a plane of space, values (frames, ...) and those of the reference or None."""

    quantity: Quantity
    view: View
    values: Array
    truth: Array | None


def write_animation(solution: Solution, path: Path, held: Mapping[Symbol, float], *, frames: int = FRAMES) -> Path:
    """Write how the fields change in time, or with the first coordinate that orders a sequence of states.

    Args:
        solution: Of a problem with a time, or a parameter, beside coordinates of space.
        path: `.gif`, or `.mp4` where there is ffmpeg.
        held: Values of coordinates that are held; others that do not range are in the middle.
        frames: Number of instants.

    Raises:
        DataError: There is no ffmpeg, or nothing that changes in space along a coordinate.
    """
    writer = _writer(path)
    problem = solution.problem
    ordering = next((c for c in ordering_coordinates(problem) if c not in held), None)
    shown = [q for q in quantities(problem) if ordering in q.field.args and set(q.field.args) - {ordering, *held}]
    if ordering is None or not shown:
        found = "no field that changes in space with a time or a parameter"
        raise DataError(path.name, found, 'draw what stands still: solution.plot("fields")')
    instants = np.linspace(*problem.bounds[ordering], frames)
    with style():
        films = [_film(solution, quantity, held, ordering, instants) for quantity in shown]
        updates: list[Update] = []
        figure = compose([_row(film, updates) for film in films], title=" ")
        _record(figure, writer, path, [value_of(films[0].view, ordering, v) for v in instants.tolist()], updates)
    return path


def _writer(path: Path) -> AbstractMovieWriter:
    if path.suffix == ".gif":
        return PillowWriter(fps=RATE)
    if not FFMpegWriter.isAvailable():
        raise DataError(path.name, "there is no ffmpeg to write .mp4 with", "install ffmpeg, or write .gif")
    return FFMpegWriter(fps=RATE)


def _film(
    solution: Solution, quantity: Quantity, held: Mapping[Symbol, float], ordering: Symbol, instants: Array
) -> _Film:
    problem = solution.problem
    free = [c for c in problem.coordinates if c in quantity.field.args and c != ordering and c not in held]
    first = arrange({c: problem.bounds[c] for c in free}, problem)[0]
    views = [replace(first, held={**first.held, **held, ordering: float(instant)}) for instant in instants]
    found = [values_on(solution, quantity, view) for view in views]
    known = [truth for _, truth in found if truth is not None]
    return _Film(quantity, first, np.stack([v for v, _ in found]), np.stack(known) if known else None)


def _row(film: _Film, updates: list[Update]) -> Row:
    if len(film.view.axes) == 1:
        return Row(1, lambda axes: updates.append(_draw_curve(axes[0], film)))
    count = 1 if film.truth is None else 2
    return Row(count, lambda axes: updates.extend(_draw_planes(axes, film)), shape=film.view.shape)


def _draw_curve(axes: Axes, film: _Film) -> Update:
    (nodes,) = film.view.nodes
    (curve,) = axes.plot(nodes, film.values[0], color=COLOURS[0], label="solution")
    drawn = [(curve, film.values)]
    if film.truth is not None:
        (dashed,) = axes.plot(nodes, film.truth[0], color="black", ls=(0, (4, 2)), lw=1.0, label="reference")
        drawn.append((dashed, film.truth))
    axes.set(xlim=film.view.ranges[film.view.axes[0]], ylim=limits(linear_scale(film.values, film.truth)))
    axes.set_xlabel(axis_label(film.view, 0))
    axes.set_ylabel(with_unit(film.quantity.label, film.quantity.unit))
    axes.legend(loc="upper right")
    tidy(axes.yaxis)
    rule(axes)

    def update(frame: int) -> None:
        for line, values in drawn:
            line.set_ydata(values[frame])

    return update


def _draw_planes(axes: Sequence[Axes], film: _Film) -> list[Update]:
    scale = linear_scale(film.values, film.truth)
    sheets = [("solution", film.values)] + ([] if film.truth is None else [("reference", film.truth)])
    return [
        _draw_plane(ax, film, f"{film.quantity.label}: {name}", values, scale)
        for ax, (name, values) in zip(axes, sheets, strict=True)
    ]


def _draw_plane(axes: Axes, film: _Film, title: str, values: Array, scale: Normalize) -> Update:
    image = draw_map(axes, film.view, values[0], norm=scale, colours=FIELD)
    draw_bar(image, axes, values, unit=film.quantity.unit)
    axes.set_title(title)
    hidden = np.ma.masked_invalid if film.view.triangles is None else np.nan_to_num
    return lambda frame: image.set_array(hidden(values[frame]))


def _record(
    figure: Figure, writer: AbstractMovieWriter, path: Path, titles: Sequence[str], updates: Sequence[Update]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer.saving(figure, str(path), dpi=_DOTS_PER_INCH):
        for frame, title in enumerate(titles):
            figure.suptitle(title, fontsize=10.5)
            for update in updates:
                update(frame)
            writer.grab_frame()

"""Observations and stored values near a line or a plane: what is drawn there as dots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sympy import Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import evaluations, resolve, with_ends_of_integrals
from pinnsolve.domains.regions import Array
from pinnsolve.drawing.views import Values, View
from pinnsolve.problem import Problem

_NEAR = 0.01
"""Greatest distance from a line or plane to what is drawn on it, relative to the range of the coordinate that is held."""

_MOST = 500
"""Most dots of one kind in one panel; more are thinned evenly."""


@dataclass(frozen=True)
class Dots:
    """Measured places near a view, and the values if the field itself was measured.

    Args:
        places: One array (points,) for each coordinate that ranges.
        values: The values there, or None for those of a derived quantity.
        noise: Their standard deviations, if stated as numbers.
    """

    places: tuple[Array, ...]
    values: Values | None
    noise: Array | None


def observed(problem: Problem, field: AppliedUndef, view: View) -> Iterator[Dots]:
    """Yield the observations, of a field or of a quantity with the field in it, that lie near a view."""
    for name, observations in problem.data.items():
        for key, measured in observations.values.items():
            expression = with_ends_of_integrals(resolve(key, name))
            fields = {reading.field for reading in evaluations(expression).values()}
            if field.func.__name__ not in fields or not set(view.axes) <= set(observations.at):
                continue
            columns = {c: observations.at[c] for c in field.args if c in observations.at}
            chosen = np.flatnonzero(near(columns, problem, view))
            chosen = chosen[:: 1 + len(chosen) // _MOST]
            noise = observations.noise[chosen] if isinstance(observations.noise, np.ndarray) else None
            places = tuple(columns[c][chosen] for c in view.axes)
            yield Dots(places, measured[chosen] if key == field else None, noise)


def near(columns: Mapping[Symbol, Array], problem: Problem, view: View) -> NDArray[np.bool_]:
    """Return which points, given by their columns, lie near a line or a plane, and within what it shows."""
    chosen = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for coordinate, values in columns.items():
        if coordinate in view.held:
            low, high = problem.bounds[coordinate]
            chosen &= np.abs(values - view.held[coordinate]) <= _NEAR * (high - low)
    return chosen

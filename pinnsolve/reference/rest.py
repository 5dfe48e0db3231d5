"""What a problem says of the rest of its solution beside a known state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sympy import Symbol

from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.placement import Bounds, is_periodic
from pinnsolve.reference.reading import Reading, read
from pinnsolve.reference.result import comparison_grid
from pinnsolve.reference.state import State, values_at

_PLACES = 9
_PERIODIC = 1e-9
"""Ends that differ by less, relative to the field, are the same to rounding."""


def is_linear(problem: Problem, unknowns: Mapping[Symbol, float]) -> bool:
    """Return whether every equation and condition is linear in the fields."""
    return all(
        not reading.expression.diff(symbol).free_symbols & set(reading.slots.values())
        for reading in read(problem, unknowns)
        for symbol in reading.slots.values()
    )


def check_periods(state: State, readings: Sequence[Reading], *, bounds: Bounds) -> None:
    """Raise where a state does not have the periods of the problem: a grid on a circle knows no difference of two ends.

    Raises:
        UnsupportedError: A periodic condition that the state does not meet.
    """
    for reading in readings:
        if is_periodic(reading, bounds) is None:
            continue
        sides = [np.linspace(*ends, _PLACES if c in reading.runs else 1) for c, ends in enumerate(bounds)]
        points, _ = comparison_grid(sides)
        one, other = (values_at(state, slot, points) for slot in reading.slots)
        gap, size = float(np.abs(one - other).max()), float(np.abs(one).max())
        if gap > _PERIODIC * max(size, 1.0):
            found = f"the solution misses it by {gap:.1e}, and a grid on a circle cannot tell how that spreads"
            raise UnsupportedError(reading.name, found, "train with exact conditions, Problem(..., hard=True)")

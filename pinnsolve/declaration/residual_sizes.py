"""Sizes of residuals: by what a residual is divided where problems are counted in their own sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from sympy import Expr, Symbol

from pinnsolve.declaration.magnitudes import usual
from pinnsolve.declaration.opened import Opened, power_of_length

_STILL = 0.1
"""Part by which summands without derivatives count beside measurements."""

HUGE = 1e100
"""Sizes that are larger, or as small, have squares that no float holds, or come from nothing that is measured."""


def residual_size(
    each: Opened, sizes: Mapping[str, Sequence[float]], lengths: Mapping[str, tuple[float, ...]]
) -> float:
    """Return the largest change of a summand when fields change by twice their sizes over whole ranges."""
    return _within_floats(max(_changes(each, sizes, lengths).values(), default=0.0))


def residual_size_beside_measurements(
    each: Opened,
    sizes: Mapping[str, Sequence[float]],
    within: Mapping[str, tuple[float, ...]],
    *,
    lengths: Mapping[str, tuple[float, ...]],
    unknowns: Mapping[Symbol, float],
) -> float:
    """Return the size of a residual by which its equation holds the fields, however well they follow measurements.

    An error r in u_t = ... is one of r T in u after the time T, and one in a spring's equation of r T / ω: derivatives count over
    whole ranges, in the mean with what they are within the lengths of change. Of unknowns a first guess is all there is, and a
    reaction may stop where the fields are held by derivatives alone: the former count where there are no others, and what has no
    derivative by a part.
    """
    if each.kind != "equation":
        return residual_size(each, sizes, within)
    moving = [s for s, reading in each.readings.items() if any(reading.orders)]
    found = []
    for reach in (within, lengths):
        changes = _changes(each, sizes, reach)
        known = {part: change for part, change in changes.items() if not part.has(*unknowns)}
        moved = {part: change for part, change in changes.items() if part.has(*moving)}
        certain = [change for part, change in moved.items() if part in known]
        still = [_STILL * change for part, change in known.items() if part not in moved]
        whole = [*(certain or moved.values()), *still] if moved else list((known or changes).values())
        found.append(max(whole, default=0.0))
    return _within_floats(math.sqrt(math.prod(found)))


def _changes(
    each: Opened, sizes: Mapping[str, Sequence[float]], lengths: Mapping[str, tuple[float, ...]]
) -> dict[Expr, float]:
    """Return the changes of the summands with fields."""
    changes = {
        s: 2 * sizes[r.field][1] / (2 ** sum(r.orders) * power_of_length(r, lengths)) for s, r in each.readings.items()
    }
    values = {s: np.full(1, change) for s, change in changes.items()}
    for symbol, reading in each.readings.items():
        if not any(reading.orders):
            values[symbol] = np.full(1, sum(map(abs, sizes[reading.field])))
    known = {**each.known, **values}
    return {
        part: sum(usual(part.diff(s), known) * change for s, change in changes.items() if part.has(s))
        for part in each.parts
        if part.has(*changes)
    }


def _within_floats(size: float) -> float:
    return size if 1 / HUGE < size < HUGE else 1.0

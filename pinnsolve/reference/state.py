"""A known state on a grid's rows: what a problem is counted from when the rest is sought, u = v + e with v known.

A slot of u is that of v, a number at every row, plus that of e, which the grid makes from its unknowns. Where f(x, s) = 0 is
a row for u, f(x, s_v + s_e) = 0 is the row for e: nothing is linearised, and f(x, s_v), the residual that v leaves, is its source.

In time the numbers are splines of degree five through samples. A spline is linear in its samples, so that where coefficients do
not depend on time the residual of the splines is the spline of the residual: what cancels in it cancels before it is interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import make_interp_spline

from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.reading import Slot

State = Callable[[Slot, Array], Array]
"""Values of a slot of the known state at points (points, coordinates)."""

_DEGREE = 5


@dataclass(frozen=True)
class Known:
    """A known state as rows of a grid read it.

    Args:
        state: Its slots at any points.
        time: Position of the coordinate of evolution; None for steady problems.
        samples: The times at which it is sampled.
    """

    state: State
    time: int | None = None
    samples: Array = field(default_factory=lambda: np.zeros(0))

    def on(self, slots: Sequence[Slot], columns: Sequence[Array]) -> Callable[[float], Array]:
        """Return the slots at rows (slots, rows), followed by their rates in time, as a function of time.

        Args:
            slots: What is read.
            columns: The coordinates of the rows.
        """
        times = self.samples if self.time is not None and slots else np.zeros(1)
        sampled = np.empty((len(times), len(slots), len(columns[0])))
        for k, slot in enumerate(slots):
            sampled[:, k] = self._sampled(slot, columns, times)
        if self.time is None or not slots:
            still = np.concatenate([sampled[0], np.zeros_like(sampled[0])])
            return lambda _: still
        spline = make_interp_spline(self.samples, sampled, k=_DEGREE)
        rate = spline.derivative()
        return lambda time: np.concatenate([spline(time), rate(time)])

    def _sampled(self, slot: Slot, columns: Sequence[Array], times: Array) -> Array:
        """Return a slot at every time and row (times, rows)."""
        shape = (len(times), len(columns[0]))
        points = np.stack([np.broadcast_to(column, shape) for column in columns], axis=-1)
        if self.time is not None:
            points[..., self.time] = times[:, None]
        return values_at(self.state, slot, points.reshape(-1, len(columns))).reshape(shape)


def values_at(state: State, slot: Slot, points: Array) -> Array:
    """Return a slot at points, of which those coordinates that the slot holds do not matter."""
    held = points.copy()
    for coordinate, value in slot.places:
        held[:, coordinate] = value
    return np.asarray(state(slot, held))

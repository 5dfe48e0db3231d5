"""Corners of a plane flow where the walls' velocities agree and their slopes do not: what no polynomial follows there.

At a corner between the half-lines Y = 0 and X = 0, with the angle a from the first to the second, (X^2 + Y^2) a satisfies the
equation of creeping flow exactly, and the values and normal derivatives that it leaves on the two walls are polynomials. It carries
any jump of psi_XY from one wall to the other, with vorticity that depends on the direction and pressure that grows like the
logarithm of the distance. What is left of the flow is smoother by two orders (for a lid that moves as a whole, Botella and
Peyret do the same: Computers and Fluids 27, 1998, p. 421).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np

from pinnsolve.reference.finite_differences import Array


@dataclass(frozen=True)
class Parts:
    """Of a flow at places: psi_x, psi_y, lap psi, and the pressure at viscosity 1."""

    slope_x: Array
    slope_y: Array
    laplacian: Array
    pressure: Array


@dataclass(frozen=True)
class Corner:
    """The singular part of a flow at one corner.

    Args:
        place: The corner.
        inward: For each coordinate, 1 where it grows into the flow, else -1.
        jump: psi_xy at the corner, along the wall across x less along the wall across y.
    """

    place: tuple[float, float]
    inward: tuple[int, int]
    jump: float

    def __call__(self, x: Array, y: Array) -> Parts:
        """Return the part at places; the pressure at the corner itself, where it is not finite, is NaN."""
        strength, across, up, angle = self._polar(x, y)
        square = across**2 + up**2
        sign_x, sign_y = self.inward
        log = np.log(square, where=square > 0, out=np.full(np.shape(square), np.nan))
        return Parts(
            slope_x=sign_x * strength * (2 * across * angle - up),
            slope_y=sign_y * strength * (2 * up * angle + across),
            laplacian=4 * strength * angle,
            pressure=sign_x * sign_y * 2 * strength * log,
        )

    def stream(self, x: Array, y: Array) -> Array:
        """Return the part of the stream function at places."""
        strength, across, up, angle = self._polar(x, y)
        return np.asarray(strength * (across**2 + up**2) * angle)

    def _polar(self, x: Array, y: Array) -> tuple[float, Array, Array, Array]:
        (sign_x, sign_y), (at_x, at_y) = self.inward, self.place
        across, up = sign_x * (x - at_x), sign_y * (y - at_y)
        return -sign_x * sign_y * self.jump / 2, across, up, np.arctan2(up, across)


def total(corners: Iterable[Corner], x: Array, y: Array) -> Parts:
    """Return the sum of singular parts at places."""
    parts = [np.stack(astuple(corner(x, y))) for corner in corners]
    return Parts(*np.sum(parts, axis=0)) if parts else Parts(*np.zeros((4, *np.shape(x))))

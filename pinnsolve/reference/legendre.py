"""Legendre polynomials on a range, and those combinations of them that vanish at both ends together with their slopes.

The combinations are Shen's (SIAM Journal on Scientific Computing 15, 1994, p. 1489), of the polynomials L_k, L_k+2 and L_k+4.
Their second derivatives over [-1, 1] are the orthonormal sqrt(k + 5/2) L_k+2; the others follow by the integral of L_n,
(L_n+1 - L_n-1) / (2n + 1), which loses no digits where differentiating the combination would cancel most of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import legendre

from pinnsolve.reference.finite_differences import Array

_ROUNDING = 1e-13
"""Coefficients below this part of the largest are rounding, which derivatives would amplify by the fourth power of the degree."""


@dataclass(frozen=True)
class Range:
    """Polynomials of a degree on a range, by their Legendre coefficients.

    Args:
        low: The low end.
        high: The high end.
        degree: The degree, 5 or more.
    """

    low: float
    high: float
    degree: int

    @property
    def half(self) -> float:
        """Half the length."""
        return (self.high - self.low) / 2

    @cached_property
    def gauss(self) -> tuple[Array, Array]:
        """Nodes and weights of Gauss' formula, two a degree: products of three polynomials are integrated exactly.

        The weights are the reciprocals of Christoffel's sums, a hundred times as exact as those of `leggauss` near the ends.
        """
        nodes, _ = legendre.leggauss(2 * self.degree)
        orthonormal = legendre.legvander(nodes, 2 * self.degree - 1) * np.sqrt(np.arange(2 * self.degree) + 0.5)
        return np.asarray(self.low + self.half * (1 + nodes)), np.asarray(self.half / (orthonormal**2).sum(axis=1))

    @cached_property
    def tables(self) -> tuple[Array, ...]:
        """The derivatives of order 0 to 3 of the Legendre polynomials at Gauss' nodes."""
        return tuple(self.table(self.gauss[0], order) for order in range(4))

    @cached_property
    def clamped_tables(self) -> tuple[Array, ...]:
        """The derivatives of order 0 to 3 of the combinations at Gauss' nodes."""
        return tuple(self.clamped(self.gauss[0], order) for order in range(4))

    @cached_property
    def ends(self) -> Array:
        """The rows (4, degree + 1) that give value and slope at the low end, then at the high one."""
        values, slopes = (self.table(np.array([self.low, self.high]), order) for order in (0, 1))
        return np.stack([values[0], slopes[0], values[1], slopes[1]])

    @cached_property
    def cubics(self) -> Array:
        """The coefficients (degree + 1, 4) of the cubics for which one of `ends` is 1 and the others are 0."""
        result = np.zeros((self.degree + 1, 4))
        result[:4] = np.linalg.inv(self.ends[:, :4])
        return result

    def table(self, places: Array, order: int) -> Array:
        """Return a derivative of the Legendre polynomials at places, (places, degree + 1)."""
        derived = legendre.legder(np.eye(self.degree + 1), order)
        values = legendre.legvander((places - self.low) / self.half - 1, self.degree - order)
        return np.asarray(values @ derived / self.half**order)

    def clamped(self, places: Array, order: int) -> Array:
        """Return a derivative, of order 0 to 3, of the combinations at places, (places, degree - 3)."""
        k = np.arange(self.degree - 3)
        values = self.table(places, max(order - 2, 0))
        if order >= 2:
            result = values[:, k + 2] / self.half**2
        elif order == 1:
            result = (values[:, k + 3] - values[:, k + 1]) / (2 * k + 5) / self.half
        else:
            upper, lower = values[:, k + 4] - values[:, k + 2], values[:, k + 2] - values[:, k]
            result = (upper / (2 * k + 7) - lower / (2 * k + 3)) / (2 * k + 5)
        return np.asarray(np.sqrt(k + 2.5) * result)

    def project(self, values: Array) -> Array:
        """Return the coefficients of the nearest polynomial, in the mean, to values at Gauss' nodes."""
        share = (2 * np.arange(self.degree + 1) + 1) / (2 * self.half)
        result = share * (self.tables[0].T @ (self.gauss[1] * values))
        return np.where(np.abs(result) > _ROUNDING * np.abs(result).max(), result, 0.0)

    def integral(self, values: Array) -> Array:
        """Return the coefficients of the integral from the low end, of values at Gauss' nodes."""
        return np.asarray(self.half * legendre.legint(self.project(values)[:-1], lbnd=-1))

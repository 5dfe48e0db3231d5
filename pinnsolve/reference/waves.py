"""A field along one period and in time: a Fourier series whose coefficients are kept at equally spaced times.

Between these, each coefficient is the polynomial of degree seven through the eight nearest, by Lagrange's formula in barycentric
form (Berrut and Trefethen, SIAM Review 46, 2004, eq. 4.2). At the first time the field is its initial value itself: a series cut
off converges slowly to data whose slopes differ at the seam.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import comb

from pinnsolve.reference.finite_differences import Array

_STATES = 8
_NEGLIGIBLE = 1e-18
"""Coefficients below this part of the largest, at all times, are dropped."""

_CHUNK = 1_000


@dataclass(frozen=True)
class Waves:
    """A real field as a function of points (points, coordinates).

    Args:
        coefficients: Of the wavenumbers from zero (times, wavenumbers).
        times: Equally spaced.
        columns: Positions of space and time among the coordinates.
        low: Where the period begins.
        length: The period.
        initial: The field at the first time.
    """

    coefficients: NDArray[np.complex128]
    times: Array
    columns: tuple[int, int]
    low: float
    length: float
    initial: Callable[[Array], Array]

    @classmethod
    def of(
        cls,
        coefficients: NDArray[np.complex128],
        times: Array,
        *,
        columns: tuple[int, int],
        low: float,
        length: float,
        initial: Callable[[Array], Array],
    ) -> Waves:
        """Keep what is not negligible."""
        size = np.abs(coefficients).max(axis=0)
        count = int(np.flatnonzero(size >= _NEGLIGIBLE * size.max())[-1]) + 1
        return cls(coefficients[:, :count].copy(), times, columns, low, length, initial)

    def __call__(self, points: Array) -> Array:
        """Return the values at points."""
        x, t = (np.asarray(points, dtype=np.float64)[:, c] for c in self.columns)
        places, at = np.unique(x, return_inverse=True)
        moments, when = np.unique(t, return_inverse=True)
        if len(places) * len(moments) <= 2 * len(points):  # a grid: every wave and every state once
            values = np.concatenate(
                [self._waves(places[k : k + _CHUNK]) @ self._states(moments).T for k in range(0, len(places), _CHUNK)]
            ).real[at.ravel(), when.ravel()]
        else:
            chunks = [slice(k, k + _CHUNK) for k in range(0, len(points), _CHUNK)]
            parts = [np.einsum("pk,pk->p", self._waves(x[c]), self._states(t[c])).real for c in chunks]
            values = np.concatenate(parts or [np.zeros(0)])
        return np.where(t == self.times[0], self.initial(x), values)

    def _waves(self, x: Array) -> NDArray[np.complex128]:
        """Return e^(i kappa x), twice but for the mean: the coefficients of -kappa are the conjugates."""
        turns = np.mod((x - self.low) / self.length, 1.0)
        numbers = np.arange(self.coefficients.shape[1])
        return np.where(numbers > 0, 2.0, 1.0) * np.exp(2j * np.pi * turns[:, None] * numbers)

    def _states(self, t: Array) -> NDArray[np.complex128]:
        """Return the coefficients at times (times, wavenumbers)."""
        spacing = (self.times[-1] - self.times[0]) / (len(self.times) - 1)
        steps = (t - self.times[0]) / spacing
        first = np.clip(np.floor(steps).astype(int) - _STATES // 2 + 1, 0, len(self.times) - _STATES)
        gaps = (steps - first)[:, None] - np.arange(_STATES)
        on = np.abs(gaps) < 1e-12
        weights = (-1.0) ** np.arange(_STATES) * comb(_STATES - 1, np.arange(_STATES)) / np.where(on, 1.0, gaps)
        weights = np.where(on.any(axis=1, keepdims=True), on, weights / weights.sum(axis=1, keepdims=True))
        result = np.zeros((len(t), self.coefficients.shape[1]), dtype=np.complex128)
        for k in range(_STATES):
            result += weights[:, k : k + 1] * self.coefficients[first + k]
        return result

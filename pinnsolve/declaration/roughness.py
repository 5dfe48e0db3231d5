"""Roughness: how far measured values are from smooth, which is their noise where they are dense enough to tell.

Around a place the values at the nearest others are fitted by a polynomial of second degree; what is left, over the degrees of
freedom, is noise and the third derivatives (Cleveland and Devlin, Locally weighted regression, 1988, section 4). The median over
the places leaves out shocks, and what a field does in few of them.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

_PLACES, _PER_COEFFICIENT = 200, 2
"""Places at most that are looked at, and values that are fitted for each coefficient."""


def roughness(places: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the standard deviation of values around smooth ones, over the range of all values; infinite where they are too few.

    Args:
        places: Where they were measured, shape (values, coordinates).
        values: Shape (values,).
    """
    count, dimension = places.shape
    terms = [term for degree in range(3) for term in combinations_with_replacement(range(dimension), degree)]
    neighbours, spread = _PER_COEFFICIENT * len(terms), float(np.ptp(values))
    if count < neighbours:
        return math.inf
    if spread == 0:
        return 0.0
    ranges = np.ptp(places, axis=0)
    scaled = places / np.where(ranges > 0, ranges, 1.0)
    some = np.unique(np.linspace(0, count - 1, _PLACES).round().astype(int))
    _, nearest = cKDTree(scaled).query(scaled[some], neighbours)
    return float(np.median([_rest(scaled[own], values[own], terms) for own in nearest])) / spread


def _rest(places: NDArray[np.float64], values: NDArray[np.float64], terms: list[tuple[int, ...]]) -> float:
    """Return the standard deviation that is left beside a polynomial; the first place is its centre."""
    distances = places - places[0]
    distances = distances / (np.abs(distances).max() or 1.0)
    columns = np.stack([np.prod(distances[:, term], axis=1) for term in terms], axis=1)
    coefficients, _, rank, _ = np.linalg.lstsq(columns, values, rcond=None)
    return float(np.linalg.norm(values - columns @ coefficients) / math.sqrt(len(values) - rank))

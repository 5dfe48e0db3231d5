"""Quadrature over simplices: collapsed products of Gauss-Jacobi rules, exact for polynomials of any degree that is asked for.

With l_k = r_0 … r_{k-1} (1 - r_k) the integral over a simplex of n dimensions is a product of integrals over r_k in [0, 1] with the
weights r_k^(n-1-k) (Stroud, Approximate Calculation of Multiple Integrals, 1971, chapter 2.4).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.special import roots_jacobi

from pinnsolve.domains.images import Array


def simplex_rule(dimension: int, degree: int) -> tuple[Array, Array]:
    """Return barycentric coordinates (points, n + 1) and weights (points,), which sum to one."""
    count = degree // 2 + 1
    ratios, weights = [], []
    for k in range(dimension):
        power = dimension - 1 - k
        nodes, own = roots_jacobi(count, 0, power)
        ratios.append((1 + nodes) / 2)
        weights.append(own / 2 ** (power + 1))
    points, sizes = [], []
    for places in itertools.product(range(count), repeat=dimension):
        left, shares, size = 1.0, [], float(math.factorial(dimension))
        for k, place in enumerate(places):
            shares.append(left * (1 - ratios[k][place]))
            left *= ratios[k][place]
            size *= weights[k][place]
        points.append([*shares, left])
        sizes.append(size)
    return np.array(points), np.array(sizes)

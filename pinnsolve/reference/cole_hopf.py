"""The Burgers equation u_t + u u_x = nu u_xx on the line with u(x, 0) = -sin(pi x), to rounding.

The substitution u = -2 nu phi_x / phi (Hopf 1950, Cole 1951) leads to the heat equation, whose solution is a Gaussian average:

    u = - E[sin(pi y) f(y)] / E[f(y)],    y = x - sqrt(4 nu t) z,    f(y) = exp(-cos(pi y) / (2 pi nu)),

with E the mean over the weight exp(-z^2), by Gauss-Hermite quadrature (Basdevant et al., Computers and Fluids 14, 1986, eq. 2.5).
The exponents reach 1 / (2 pi nu), so each is taken relative to the largest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import roots_hermite

from pinnsolve.reference.finite_differences import Array

_CHUNK = 20_000


def cole_hopf(x: ArrayLike, t: ArrayLike, *, viscosity: float, nodes: int = 200) -> Array:
    """Return the solution u; it has period 2 in x.

    Args:
        x: Places, broadcast against `t`.
        t: Times, not negative.
        viscosity: The coefficient nu, positive.
        nodes: Number of quadrature nodes.
    """
    return _averages(x, t, viscosity, nodes)[0]


def cole_hopf_slope(x: ArrayLike, t: ArrayLike, *, viscosity: float, nodes: int = 200) -> Array:
    """Return the slope u_x.

    The weights f / E[f] form a probability, and f' = sin(pi y) f / (2 nu), so u_x = -mean(pi cos(pi y)) - var(sin(pi y)) / (2 nu).

    Args:
        x: Places, broadcast against `t`.
        t: Times, not negative.
        viscosity: The coefficient nu, positive.
        nodes: Number of quadrature nodes.
    """
    return _averages(x, t, viscosity, nodes)[1]


def _averages(x: ArrayLike, t: ArrayLike, viscosity: float, nodes: int) -> tuple[Array, Array]:
    places, times = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(t, dtype=np.float64))
    z, weight = roots_hermite(nodes)
    chunks = [slice(k, k + _CHUNK) for k in range(0, places.size, _CHUNK)]
    parts = [_average(places.ravel()[c], times.ravel()[c], viscosity, z, weight) for c in chunks]
    u, slope = (np.concatenate(p).reshape(places.shape) for p in zip(*parts, strict=True))
    return u, slope


def _average(x: Array, t: Array, viscosity: float, z: Array, weight: Array) -> tuple[Array, Array]:
    y = x[:, None] - np.sqrt(4 * viscosity * t)[:, None] * z
    with np.errstate(divide="ignore"):
        exponent = np.log(weight) - np.cos(np.pi * y) / (2 * np.pi * viscosity)
    share = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    sine = np.sin(np.pi * y)
    mean = (sine * share).sum(axis=1)
    variance = ((sine - mean[:, None]) ** 2 * share).sum(axis=1)
    return -mean, -(np.pi * np.cos(np.pi * y) * share).sum(axis=1) - variance / (2 * viscosity)

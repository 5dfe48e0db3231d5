"""The accountant: what a number of noised sums over random parts of some records tells of any one of them.

A step adds up clipped contributions of the records drawn, each with probability q by itself (Poisson sampling), and normal noise
of the standard deviation sigma times the bound on a contribution. Whether a record is there or not, the step's outcomes have Rényi
divergences of at most

    rho(a) = 1 / (a - 1) log E[((1 - q) + q exp((2 z - 1) / (2 sigma²)))^a],    z ~ N(0, sigma²),

for every order a > 1 (Mironov, Talwar and Zhang, Rényi differential privacy of the sampled Gaussian mechanism, 2019, theorems 4
and 5). They add up over steps, and over runs on the same records; and imply (epsilon, delta)-differential privacy with

    epsilon = min over a of  rho(a) + log(1 - 1 / a) - log(a delta) / (a - 1)

(Canonne, Kamath and Steinke, The discrete Gaussian for differential privacy, 2020, proposition 12; Balle et al. 2020, theorem 21).
The expectation is a sum over an equidistant grid, exact to rounding for integrands that are analytic and vanish at both ends. For
large whole a it is the binomial sum over k of (a over k) (1 - q)^(a - k) q^k exp(k (k - 1) / (2 sigma²)).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

ORDERS: NDArray[np.float64] = np.concatenate(
    [1 + np.geomspace(0.01, 31, 120), np.unique(np.rint(np.geomspace(33, 4_000, 80)))]
)
"""Orders among which the best is looked for; neighbours differ by so little that epsilon is within 0.1 % of its minimum."""

_GRID_STEPS = 8.0
"""Steps of the grid in a standard deviation, or in pi sigma², the distance of the integrand's singularities from the real axis."""

_LARGEST_BY_GRID = 32
"""Order up to which the expectation is a sum over a grid."""

_TAIL = 12.0
"""Standard deviations beyond both ends of where the integrand is large, at which it has vanished."""

_LEAST_NOISE, _MOST_NOISE = 0.1, 1e6
"""Noise multipliers between which one is looked for."""

_PRECISION = 1e-4
"""Of the noise multiplier, relative."""


@dataclass(frozen=True)
class Release:
    """Steps of one kind on the same records.

    Attributes:
        noise: Standard deviation of the noise over the bound on a contribution; sigma above.
        sample: Probability with which a record takes part in a step; q above.
        steps: Their number.
    """

    noise: float
    sample: float
    steps: int


def spent(releases: Iterable[Release], *, delta: float) -> float:
    """Return the epsilon that releases on the same records have spent together, at a delta.

    Args:
        releases: Any number; none spend nothing.
        delta: Probability with which the bound may fail.
    """
    total = np.zeros_like(ORDERS)
    for release in releases:
        total += release.steps * divergences(release.noise, release.sample)
    if not total.any():
        return 0.0
    return float(np.min(np.maximum(total + np.log1p(-1 / ORDERS) - np.log(delta * ORDERS) / (ORDERS - 1), 0.0)))


def noise_for(epsilon: float, *, delta: float, sample: float, steps: int) -> float:
    """Return the least noise multiplier with which so many steps spend no more than epsilon, but at least 0.1.

    Raises:
        ValueError: None up to a million is enough.
    """

    def enough(noise: float) -> bool:
        return spent([Release(noise, sample, steps)], delta=delta) <= epsilon

    high = 1.0
    while not enough(high):
        high *= 2
        if high > _MOST_NOISE:
            raise ValueError(f"no noise keeps {steps} steps within epsilon {epsilon:g} at delta {delta:g}")
    low = high / 2
    while low >= _LEAST_NOISE and enough(low):
        low, high = low / 2, low
    while high > low * (1 + _PRECISION):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def divergences(noise: float, sample: float) -> NDArray[np.float64]:
    """Return the bound on the Rényi divergence of one step for each of `ORDERS`."""
    if sample == 0:
        return np.zeros_like(ORDERS)
    if sample == 1:
        return ORDERS / (2 * noise**2)
    small = [_by_grid(float(order), noise, sample) for order in ORDERS[ORDERS <= _LARGEST_BY_GRID]]
    large = [_by_sum(int(order), noise, sample) for order in ORDERS[ORDERS > _LARGEST_BY_GRID]]
    return np.array([*small, *large])


def _by_sum(order: int, noise: float, sample: float) -> float:
    """Return rho(a) of a whole order."""
    k = np.arange(order + 1)
    binomial = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    logarithm = logsumexp(
        binomial + (order - k) * math.log1p(-sample) + k * math.log(sample) + k * (k - 1) / (2 * noise**2)
    )
    return max(float(logarithm), 0.0) / (order - 1)


def _by_grid(order: float, noise: float, sample: float) -> float:
    """Return rho(a): the mass of the integrand lies between 0, where records are not drawn, and a, where they always are."""
    step = min(noise, math.pi * noise**2) / _GRID_STEPS
    z = np.arange(-_TAIL * noise, order + _TAIL * noise, step)
    mixture = np.logaddexp(math.log1p(-sample), math.log(sample) + (2 * z - 1) / (2 * noise**2))
    logarithm = logsumexp(order * mixture - z**2 / (2 * noise**2)) + math.log(step / (noise * math.sqrt(2 * math.pi)))
    return max(logarithm, 0.0) / (order - 1)

"""Points in a region: uniform, Sobol, Latin hypercube, regular grid, and redrawing where the residual is large.

Scrambled Sobol points (Owen 1998) fill a box evenly for every prefix of the sequence, so a count need not be a power of two.
Residual-adaptive redrawing follows Wu, Zhu, Tan, Kartha, Lu, "A comprehensive study of non-adaptive and residual-based adaptive
sampling for physics-informed neural networks", 2023, equation (2): probability proportional to |r|^k / mean |r|^k + c.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from pinnsolve.domains.regions import Array, PointSet, Region, UnitPoints

METHODS = ("sobol", "uniform", "latin", "grid")


def draw(region: Region, count: int, *, method: str = "sobol", seed: int = 0) -> PointSet:
    """Draw points uniform by measure in a region.

    Args:
        region: A box, a boundary, or anything with `points(unit, count)`.
        count: How many, at least 1.
        method: One of `METHODS`. A grid is the smallest regular one of cell centres with at least `count` points, thinned evenly.
        seed: The same seed gives the same points.
    """
    return region.points(_unit_points(method, np.random.default_rng(seed)), count)


def choose_adaptively(
    magnitudes: Array, count: int, *, generator: np.random.Generator, exponent: float = 1.0, floor: float = 1.0
) -> NDArray[np.intp]:
    """Choose candidates by the size of their residual, without repetition.

    Args:
        magnitudes: |r| at each candidate.
        count: How many to choose, fewer than there are candidates.
        generator: The source of randomness.
        exponent: k of equation (2): the greater, the more concentrated.
        floor: c of equation (2): the greater, the more uniform.

    Returns:
        The indices chosen.
    """
    powered = np.where(np.isfinite(magnitudes), magnitudes, 0.0) ** exponent
    mean = powered.mean()
    density = (powered / mean if mean > 0 else np.zeros_like(powered)) + floor
    # Weighted sampling without repetition by exponential keys (Efraimidis and Spirakis 2006).
    keys = generator.exponential(size=len(density)) / density
    return np.argpartition(keys, count - 1)[:count] if count < len(keys) else np.arange(len(keys))


def _unit_points(method: str, generator: np.random.Generator) -> UnitPoints:
    def sobol(count: int, dimension: int) -> Array:
        # A prefix of a power of two: scipy's own warning about balance concerns means over fewer points.
        exponent = max(0, math.ceil(math.log2(count)))
        return np.asarray(qmc.Sobol(dimension, scramble=True, rng=generator).random_base2(exponent)[:count])

    def latin(count: int, dimension: int) -> Array:
        return np.asarray(qmc.LatinHypercube(dimension, rng=generator).random(count))

    def grid(count: int, dimension: int) -> Array:
        side = math.ceil(round(count ** (1 / dimension), 9))
        axes = np.meshgrid(*[(np.arange(side) + 0.5) / side] * dimension, indexing="ij")
        points = np.stack([axis.ravel() for axis in axes], axis=1)
        return points[np.linspace(0, len(points) - 1, count).round().astype(int)]

    def uniform(count: int, dimension: int) -> Array:
        return generator.random((count, dimension))

    return {"sobol": sobol, "uniform": uniform, "latin": latin, "grid": grid}[method]

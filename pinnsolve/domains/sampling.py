"""Points in a region: by all ways of spreading them, graded towards boundaries, and redrawn where the residual is large.

Scrambled Sobol points (Owen 1998) fill a box evenly for every prefix of the sequence, so a count need not be a power of two; so do
scrambled Halton points (Owen 2017). Hammersley's set has one coordinate in equal steps, and Halton's in the others.
Residual-adaptive redrawing follows Wu, Zhu, Tan, Kartha, Lu, "A comprehensive study of non-adaptive and residual-based adaptive
sampling for physics-informed neural networks", 2023, equation (2): probability proportional to |r|^k / mean |r|^k + c.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.images import Array, Image, PointSet, Region, UnitPoints, columns, kept_fraction, spread
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.shapes import Shape, factors_of
from pinnsolve.domains.simplices import along_curve
from pinnsolve.domains.spreading import METHODS, ON_MESHES, Graded
from pinnsolve.errors import ProblemError

__all__ = ["METHODS", "Graded", "choose_adaptively", "draw"]


def draw(region: Region, count: int, *, method: str | Graded = "sobol", seed: int = 0) -> PointSet:
    """Draw points uniform by measure in a region, or graded.

    Args:
        region: A region, or a boundary, on which points are never graded.
        count: How many, at least 1.
        method: One of `METHODS`, or `Graded`. A grid is the smallest regular one of cell centres with at least `count` points,
            thinned evenly; on a ball, the image of one.
        seed: The same seed gives the same points.

    Raises:
        ProblemError: No point of a region that is to be graded lies in the layer.
    """
    name = method.method if isinstance(method, Graded) else method
    if name in ON_MESHES:
        if not isinstance(method, Graded) and any(isinstance(factor, Mesh) for factor in factors_of(region)):
            return PointSet(_on_mesh(region, count, name, seed), region.measure)
        name = "sobol"
    unit = _unit_points(name, np.random.default_rng(seed))
    if not isinstance(method, Graded) or not isinstance(region, Shape):
        return region.points(unit, count)
    layer = _Layer(region, method.thickness, method.towards)
    near = round(method.share * count)
    if layer.towards is not None and not set(layer.towards.coordinates) <= set(region.coordinates):
        near = 0
    parts = [region.points(unit, count - near).coordinates] if near < count else []
    if near:
        if layer.fraction == 0:
            found = f"no point of {region.text} lies within {method.thickness:g} of the boundary"
            raise ProblemError("Graded", found, "write a greater thickness")
        parts.append(spread(layer, unit, near).points)
    return PointSet(np.concatenate(parts), region.measure)


def _on_mesh(region: Region, count: int, method: str, seed: int) -> Array:
    """Return points of a mesh spread evenly over it; of a product with one, together with independent ones of the other factors."""
    parts = []
    for number, factor in enumerate(factors_of(region)):
        if not isinstance(factor, Mesh):
            parts.append(draw(factor, count, seed=seed + number).coordinates)
            continue
        places = factor.corners if method == "nodes" else factor.quadrature_points(count)
        if len(places) < count:
            more = draw(factor, count - len(places), seed=seed).coordinates
            parts.append(np.concatenate([places, more]))
            continue
        offset = np.random.default_rng(seed).random()
        chosen = ((np.arange(count) + offset) * len(places) / count).astype(int)
        parts.append(places[along_curve(places)[chosen]])
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True)
class _Layer:
    """The part of a region within a distance of its boundary, or of another one."""

    region: Shape
    thickness: float
    towards: Boundary | None

    @property
    def dimension(self) -> int:
        return self.region.dimension

    @cached_property
    def fraction(self) -> float:
        return kept_fraction(self, count=2**11) or kept_fraction(self)  # only how many to draw: a rough one will do

    def image(self, cube: Array) -> Image:
        points, kept, _ = self.region.image(cube)
        if self.towards is None:
            return Image(points, kept & ~self.region.inside(points, -self.thickness))
        seen = columns(points, self.region.coordinates, self.towards.coordinates)
        return Image(points, kept & (self.towards.distance(seen) <= self.thickness))


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

    def halton(count: int, dimension: int) -> Array:
        return np.asarray(qmc.Halton(dimension, scramble=True, rng=generator).random(count))

    def hammersley(count: int, dimension: int) -> Array:
        steps = (np.arange(count)[:, None] + 0.5) / count
        return np.concatenate([steps, halton(count, dimension - 1)], axis=1) if dimension > 1 else steps

    ways = {
        "sobol": sobol,
        "uniform": uniform,
        "latin": latin,
        "grid": grid,
        "halton": halton,
        "hammersley": hammersley,
    }
    return ways[method]

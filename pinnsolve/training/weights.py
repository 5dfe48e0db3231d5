"""Weights that change during the training: a factor on every term, and one on every point of a term."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Weights:
    """Factors on the squares of residuals, 1 where none is given; every mean is still over the number of points.

    Attributes:
        terms: A factor for each term.
        points: For each term a factor for every point, shape (points,).
        stage: How many of its tolerances a causal weighting has done with.

    Raises:
        ValueError: A factor that is not finite and positive.
    """

    terms: Mapping[str, float] = field(default_factory=dict)
    points: Mapping[str, Tensor] = field(default_factory=dict)
    stage: int = 0

    def __post_init__(self) -> None:
        for name, factor in self.terms.items():
            if not 0 < factor < math.inf:
                raise ValueError(f"The weight of {name} is {factor!r}, and must be positive.")
        for name, factors in self.points.items():
            if not bool(((factors > 0) & torch.isfinite(factors)).all()):
                raise ValueError(f"The weights of the points of {name} are not all finite and positive.")

    def without_points(self) -> Weights:
        """Return the same for other points, about which nothing is known."""
        return replace(self, points={})

"""Weights that change during the training: a factor on every term, and one on every point of a term."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from scipy.spatial import cKDTree
from torch import Tensor

_LEAST = 1e-9
"""Least weight of a point relative to the mean: what is never heard of can never be heard of again."""


def normalised(factors: Tensor) -> Tensor:
    """Return factors scaled to the mean 1, so that the loss keeps its scale, and bounded away from 0."""
    bounded = (factors / factors.mean()).clamp(min=_LEAST)
    return bounded / bounded.mean()


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

    def moved(self, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Weights:
        """Return the same for other points: each takes over the weight of the nearest point before it, up to their mean.

        Distances are relative to the range of each coordinate.

        Args:
            before: Where the weights of points belong, by the name of their term.
            after: Where they are needed.
        """
        moved: dict[int, Tensor] = {}  # terms that share their weights go on sharing them
        for name, factors in self.points.items():
            if before[name] is not after[name] and id(factors) not in moved:
                moved[id(factors)] = normalised(factors[_nearest(before[name], after[name]).to(factors.device)])
        return replace(self, points={name: moved.get(id(factors), factors) for name, factors in self.points.items()})

    def state(self) -> dict[str, Any]:
        """Return what there is, for a checkpoint; `load` reads it back. Terms that share their weights go on sharing them."""
        return {"stage": self.stage, "terms": dict(self.terms), "points": dict(self.points)}

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Weights:
        """Read what `state` returned."""
        terms = {name: float(factor) for name, factor in state["terms"].items()}
        return cls(terms, dict(state["points"]), int(state["stage"]))


def _nearest(before: Tensor, after: Tensor) -> Tensor:
    """Return for every point after the index of the nearest one before."""
    lowest, highest = before.amin(0), before.amax(0)
    ranges = torch.where(highest > lowest, highest - lowest, torch.ones_like(lowest))
    old, new = ((points / ranges).double().cpu().numpy() for points in (before, after))
    return torch.from_numpy(cKDTree(old).query(new)[1])

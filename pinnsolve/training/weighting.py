"""Weightings: how the weights of terms and of points follow from residuals and gradients during the training.

The loss is sum_k w_k / N_k sum_i v_k,i r_k,i^2. Weights of terms are given by `GradientNorm` and `NTK`, weights of points by
`ResidualAttention`, `SelfAdaptive` and `Causal`. Each is a function from the weights in force and what the objective is where
it stands to new weights, so that the weights are all there is of state. All are scaled to the mean 1, over the terms or over
the points of a term: they say what matters more than what, and leave the scale of the loss, and so of the steps, alone.
Where a residual or gradient is not finite, or all of them vanish, the weights stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pinnsolve.errors import ProblemError
from pinnsolve.training.chunks import sharing
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import require
from pinnsolve.training.weights import Weights, normalised

_LARGEST_RATIO = 1e6
"""Largest weight of a term relative to that of a term which has all of the gradient: one that is met has none."""

_PART_BYTES = 256 * 2**20
"""Bytes of the rows of a Jacobian that are held at a time."""


@dataclass(frozen=True)
class Place:
    """What a weighting may know of a term.

    Attributes:
        kind: "equation", "condition" or "data".
        columns: For each coordinate of its points the column.
    """

    kind: str
    columns: Mapping[Hashable, int]


@runtime_checkable
class Weighting(Protocol):
    """A rule by which weights are updated."""

    @property
    def every(self) -> int:
        """Steps between two updates."""
        ...

    def update(self, objective: Objective, places: Mapping[str, Place]) -> Weights:
        """Return the weights to go on with; those in force, the very object, where there is nothing to go by."""
        ...


@dataclass(frozen=True)
class GradientNorm:
    """Weights of terms that make the gradients of all weighted terms equally long.

    With g_k the gradient of the mean square of term k, (sum_j |g_j|) / |g_k| enters a moving average: Wang, Sankaran, Wang
    and Perdikaris, An expert's guide to training physics-informed neural networks, 2023, eq. (3.8), after Wang, Teng and
    Perdikaris 2021. The first update has nothing to average with. It costs one gradient for each term.

    Attributes:
        every: Steps between two updates.
        momentum: Part of the old weights in the new.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(weighting=ps.GradientNorm(every=50))
    """

    _: KW_ONLY
    every: int = 100
    momentum: float = 0.9

    def __post_init__(self) -> None:
        _check(self, momentum=(0 <= self.momentum < 1, "a number from 0 to 1 such as 0.9"))

    def update(self, objective: Objective, places: Mapping[str, Place]) -> Weights:
        """Return weights of terms by the lengths of their gradients."""
        gradients = objective.gradients()
        lengths = torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients.values()]).tolist()
        return _balance(objective.weights, dict(zip(gradients, lengths, strict=True)), self.momentum)


@dataclass(frozen=True)
class NTK:
    """Weights of terms that make all residuals fall at the same mean rate under gradient descent.

    With J_k the Jacobian of the residuals of term k, K_k = J_k J_k' is its neural tangent kernel, and the mean square falls at
    rates whose mean is w_k tr(K_k) / N_k: the weights are the inverse of these, in proportion to their sum. Wang, Yu and
    Perdikaris, When and why PINNs fail to train: a neural tangent kernel perspective, 2022, algorithm 1; divided by the number
    of points, because the terms of this loss are means.

    Attributes:
        every: Steps between two updates.
        momentum: Part of the old weights in the new.
        points: Points of each term, evenly chosen, at most, whose kernel is evaluated.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(weighting=ps.NTK(points=128))
    """

    _: KW_ONLY
    every: int = 200
    momentum: float = 0.9
    points: int = 256

    def __post_init__(self) -> None:
        _check(
            self,
            momentum=(0 <= self.momentum < 1, "a number from 0 to 1 such as 0.9"),
            points=(self.points >= 1, "a number of points of at least 1"),
        )

    def update(self, objective: Objective, places: Mapping[str, Place]) -> Weights:
        """Return weights of terms by the traces of their kernels."""
        rates = dict.fromkeys(objective.terms, 0.0)
        for names in sharing(objective.points):
            points = objective.points[names[0]]
            points = points[:: -(-len(points) // self.points)]
            row_bytes = len(names) * objective.size * points.element_size()
            for part in points.split(max(1, _PART_BYTES // row_bytes)):
                squares = objective.jacobian(dict.fromkeys(names, part)).rows().square().sum(1)
                sums = squares.view(len(names), -1).sum(1).tolist()
                for name, of_term in zip(names, sums, strict=True):
                    rates[name] += of_term / len(points)
        return _balance(objective.weights, rates, self.momentum)


@dataclass(frozen=True)
class ResidualAttention:
    """Weights of points that remember where the residual was large.

    The factor lambda_i on a residual decays and is fed, lambda_i <- decay lambda_i + (1 - decay) |r_i| / mean |r|, and v_i is
    lambda_i^2: Anagnostopoulos, Toscano, Stergiopulos and Karniadakis, Residual-based attention in physics-informed neural
    networks, 2024, where the residual is relative to its maximum. Relative to its mean, lambda keeps the mean 1. The
    first update remembers nothing, as when lambda is 0 at first. Measured values, whose residuals contain noise, are left alone.

    Attributes:
        every: Steps between two updates.
        decay: Part of the old factors in the new.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(weighting=ps.ResidualAttention(decay=0.99))
    """

    _: KW_ONLY
    every: int = 20
    decay: float = 0.98

    def __post_init__(self) -> None:
        _check(self, decay=(0 <= self.decay < 1, "a number from 0 to 1 such as 0.98"))

    def update(self, objective: Objective, places: Mapping[str, Place]) -> Weights:
        """Return weights of points by a moving average of the sizes of their residuals."""

        def follow(factors: Tensor | None, sizes: Tensor) -> Tensor:
            sizes = sizes / sizes.mean()
            before = sizes if factors is None else factors.sqrt() / factors.sqrt().mean()
            return torch.lerp(sizes, before, self.decay).square()

        return _follow(objective, places, follow)


@dataclass(frozen=True)
class SelfAdaptive:
    """Weights of points that rise along the gradient of the loss while the parameters descend: the search for a saddle.

    With v_i = lambda_i^2, an ascent of lambda by steps proportional to d loss / d lambda_i = 2 lambda_i r_i^2 / N multiplies
    lambda_i by 1 + rate r_i^2 / max r^2: McClenny and Braga-Neto, Self-adaptive physics-informed neural networks, 2023, with the
    quadratic mask, in steps relative to the largest residual. Measured values are left alone.

    Attributes:
        every: Steps between two updates.
        rate: How much the factor on the largest residual grows in an update, relative to itself.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(weighting=ps.SelfAdaptive(rate=0.02))
    """

    _: KW_ONLY
    every: int = 20
    rate: float = 0.05

    def __post_init__(self) -> None:
        _check(self, rate=(0 < self.rate < math.inf, "a small positive number such as 0.05"))

    def update(self, objective: Objective, places: Mapping[str, Place]) -> Weights:
        """Return weights of points after one step of the ascent."""

        def ascend(factors: Tensor | None, sizes: Tensor) -> Tensor:
            growth = (1 + self.rate * sizes.square()).square()
            return growth if factors is None else factors * growth

        return _follow(objective, places, ascend)


@dataclass(frozen=True)
class Causal:
    """Weights of points that let the equations matter at a time when they hold at all earlier ones.

    Time is cut into bins of equal length; with L_b the mean square of the equations' residuals in bin b, summed over the
    equations, the points of bin b get the weight exp(-eps sum_{a<b} L_a). When the least of them exceeds `threshold`, the next
    eps has its turn: Wang, Sankaran and Perdikaris, Respecting causality for training physics-informed neural networks, 2024,
    algorithm 1. The eps are per square of the residuals' unit.

    Attributes:
        time: The coordinate.
        every: Steps between two updates.
        bins: Number of bins.
        tolerances: Values of eps, rising.
        threshold: Least weight, before it is scaled to the mean 1, at which an eps has done its work.

    Raises:
        ProblemError: A number that makes no sense, or (in an update) a time that no equation ranges over.

    Example:
        >>> training = ps.Training(weighting=ps.Causal(t, bins=16))
    """

    time: Any
    _: KW_ONLY
    every: int = 20
    bins: int = 32
    tolerances: Sequence[float] = (1e-2, 1e-1, 1.0, 10.0, 100.0)
    threshold: float = 0.99

    def __post_init__(self) -> None:
        eps = tuple(self.tolerances)
        _check(
            self,
            bins=(self.bins >= 2, "a number of bins of at least 2"),
            tolerances=(
                bool(eps) and all(0 < e < math.inf for e in eps) and list(eps) == sorted(eps),
                "positive numbers that rise, such as (1e-2, 1e-1, 1, 10, 100)",
            ),
            threshold=(0 < self.threshold < 1, "a number between 0 and 1 such as 0.99"),
        )

    def update(self, objective: Objective, places: Mapping[str, Place]) -> Weights:
        """Return weights of points by the residuals at earlier times."""
        before, points = objective.weights, objective.points
        columns = {
            name: place.columns[self.time]
            for name, place in places.items()
            if place.kind == "equation" and self.time in place.columns
        }
        if not columns:
            remedy = "write the coordinate that is the time of an equation"
            raise ProblemError("Causal", f"time={self.time}", remedy)
        vectors = objective.vectors()
        if not all(bool(vectors[name].isfinite().all()) for name in columns):
            return before
        times = {name: points[name][:, column] for name, column in columns.items()}
        start, end = (float(end(torch.cat(list(times.values())))) for end in (torch.min, torch.max))
        losses = vectors[next(iter(columns))].new_zeros(self.bins)
        bins = {}
        for name, t in times.items():
            bins[name] = ((t - start) / ((end - start) or 1.0) * self.bins).long().clamp(max=self.bins - 1)
            counts = torch.bincount(bins[name], minlength=self.bins).clamp(min=1)
            losses += torch.zeros_like(losses).index_add_(0, bins[name], vectors[name].square()) / counts
        earlier = torch.cat([losses.new_zeros(1), losses.cumsum(0)[:-1]])
        factors = torch.exp(-self.tolerances[before.stage] * earlier)
        (least,) = objective.group.numbers(factors[-1:])
        ended = least > self.threshold and before.stage + 1 < len(self.tolerances)
        of_tensor = {id(points[name]): normalised(factors[bins[name]]) for name in columns}
        weights = {name: of_tensor[id(points[name])] for name in columns}
        return replace(before, points={**before.points, **weights}, stage=before.stage + ended)


def _check(weighting: Any, **arguments: tuple[bool, str]) -> None:
    require(weighting, every=(weighting.every >= 1, "a number of steps of at least 1"), **arguments)


def _balance(before: Weights, sizes: Mapping[str, float], momentum: float) -> Weights:
    """Return weights of terms inverse to sizes, averaged with those before."""
    total = sum(sizes.values())
    if not 0 < total < math.inf:
        return before
    inverse = {name: 1 / max(size / total, 1 / _LARGEST_RATIO) for name, size in sizes.items()}
    mean = sum(inverse.values()) / len(inverse)
    terms = {name: value / mean for name, value in inverse.items()}
    if before.terms:
        terms = {name: momentum * before.terms[name] + (1 - momentum) * value for name, value in terms.items()}
    return replace(before, terms=terms)


class _Rule(Protocol):
    """From the weights of points, None at first, and |r| / max |r| to new weights, up to their mean."""

    def __call__(self, factors: Tensor | None, sizes: Tensor) -> Tensor: ...


def _follow(objective: Objective, places: Mapping[str, Place], rule: _Rule) -> Weights:
    """Apply a rule to the points of every equation and condition that has more than one."""
    before = objective.weights
    names = [n for n, place in places.items() if place.kind != "data" and len(objective.points[n]) > 1]
    found: dict[str, Tensor] = {}
    vectors = objective.vectors()
    for name in names:
        sizes = vectors[name].abs()
        largest = float(sizes.max())
        if not math.isfinite(largest):  # the largest of numbers with a NaN among them is NaN
            return before
        if largest > 0:
            factors = before.points.get(name)
            found[name] = normalised(rule(None if factors is None else factors.to(sizes), sizes / largest))
    return replace(before, points={**before.points, **found}) if found else before

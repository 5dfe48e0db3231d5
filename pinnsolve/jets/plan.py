"""Which Taylor coefficients a jet carries, and the index tables of their arithmetic.

A jet truncated to a set A of multi-indices is an element of R[[h_1, …, h_d]] modulo the monomials outside A. The quotient is an
algebra, so that sums, products and compositions of jets are exact, if and only if A is downward closed: α in A and β <= α imply
β in A (Griewank and Walther, Evaluating Derivatives, 2nd ed. 2008, chapter 13). With normalised coefficients c_α = D^α u / α!
the product is (ab)_α = Σ_{β <= α} a_β b_{α-β}, and y = f(z), w = f'(z) obey, for every direction i with α_i > 0,
α_i y_α = Σ_{β <= α, β_i > 0} β_i z_β w_{α-β}, which is the coefficient of h^{α - e_i} in ∂_i y = w ∂_i z.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from pinnsolve.errors import UnsupportedError

MultiIndex = tuple[int, ...]

HIGHEST_ORDER = 12
"""The order to which rules are tested against closed forms; no known equation needs more, and α! grows past 10^9."""


@dataclass(frozen=True)
class JetPlan:
    """A downward-closed set of multi-indices in graded order, with the tables of its arithmetic.

    Positions in the tables are positions in `indices`. In graded order a series of low degree occupies a prefix, which is how
    jets leave out channels that are known to vanish.

    Args:
        dimension: Number of coordinates; the length of every multi-index.
        indices: Multi-indices by increasing order, zero first.

    Raises:
        ValueError: The indices are not graded, not distinct or not downward closed.
    """

    dimension: int
    indices: tuple[MultiIndex, ...]

    def __post_init__(self) -> None:
        orders = [sum(index) for index in self.indices]
        if any(len(index) != self.dimension or min(index, default=0) < 0 for index in self.indices):
            raise ValueError(f"multi-indices must be {self.dimension} counts each: {self.indices}")
        if orders != sorted(orders) or len(self.position) != len(self.indices):
            raise ValueError(f"multi-indices must be distinct and in graded order: {self.indices}")
        if not self.indices or any(below not in self.position for index in self.indices for below in _parents(index)):
            raise ValueError(f"multi-indices must be downward closed: {self.indices}")

    @property
    def order(self) -> int:
        """The highest order of a derivative."""
        return sum(self.indices[-1])

    @property
    def size(self) -> int:
        """The number of Taylor coefficients."""
        return len(self.indices)

    @cached_property
    def position(self) -> dict[MultiIndex, int]:
        """Where each multi-index stands."""
        return {index: k for k, index in enumerate(self.indices)}

    @cached_property
    def factorials(self) -> tuple[float, ...]:
        """α! for each multi-index: what turns a Taylor coefficient into a derivative."""
        return tuple(float(math.prod(map(math.factorial, index))) for index in self.indices)

    @cached_property
    def products(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each α the pairs (β, α - β): the terms of Leibniz's rule, outermost first."""
        return tuple(
            tuple((self.position[below], self.position[_subtract(index, below)]) for below in _below(index))
            for index in self.indices
        )

    @cached_property
    def adjoints(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each γ the pairs (α, α - γ) with α >= γ: the terms of the transposed Leibniz rule."""
        rows: tuple[list[tuple[int, int]], ...] = tuple([] for _ in self.indices)
        for k, pairs in enumerate(self.products):
            for below, rest in pairs:
                rows[below].append((k, rest))
        return tuple(tuple(row) for row in rows)

    @cached_property
    def primitives(self) -> tuple[tuple[tuple[int, int, float], ...], ...]:
        """For each α > 0 the triples (β, α - β, β_i / α_i) of the chain rule, β = α first; empty for α = 0.

        The direction i is the one with the fewest terms, Π_j (α_j + 1) α_i / (α_i + 1): that of the smallest α_i > 0.
        """
        rows: list[tuple[tuple[int, int, float], ...]] = []
        for index, pairs in zip(self.indices, self.products, strict=True):
            i = min((j for j in range(self.dimension) if index[j]), key=index.__getitem__, default=0)
            rows.append(tuple((b, r, self.indices[b][i] / index[i]) for b, r in pairs if self.indices[b][i]))
        return tuple(rows)

    @cached_property
    def interior(self) -> tuple[bool, ...]:
        """Whether a larger multi-index belongs to the plan: only there does the chain rule read the slope."""
        return tuple(len(row) > 1 for row in self.adjoints)

    def channels(self, degree: int) -> int:
        """The number of coefficients up to a degree: the length of the prefix that a polynomial of that degree occupies."""
        return sum(sum(index) <= degree for index in self.indices)

    def degree(self, channels: int) -> int:
        """The degree of a series that occupies the first few coefficients."""
        return sum(self.indices[channels - 1])


def plan_jets(required: Iterable[MultiIndex], *, dimension: int) -> JetPlan:
    """Choose the Taylor coefficients from which every required derivative follows.

    Args:
        required: Multi-indices such as (2, 0) for u_xx.
        dimension: Number of coordinates; the length of every multi-index.

    Returns:
        The downward closure of what is required, and nothing more.

    Raises:
        ValueError: A multi-index has another length than `dimension`, or a negative entry.
        UnsupportedError: An order above `HIGHEST_ORDER`.
    """
    closure = {(0,) * dimension}
    for index in required:
        if len(index) != dimension or min(index, default=0) < 0:
            raise ValueError(f"a multi-index of {dimension} coordinates has {dimension} counts, not {index}")
        if sum(index) > HIGHEST_ORDER:
            raise UnsupportedError(
                f"derivative {index}",
                f"its order is {sum(index)}, the highest supported is {HIGHEST_ORDER}",
                "write the equation as a system of lower order with the intermediate derivatives as fields",
            )
        closure.update(_below(index))
    # Within one order, derivatives of earlier coordinates come first.
    return JetPlan(dimension, tuple(sorted(closure, key=lambda index: (sum(index), tuple(-count for count in index)))))


def _below(index: MultiIndex) -> Iterable[MultiIndex]:
    """All β <= α, α itself first."""
    return product(*(range(count, -1, -1) for count in index))


def _parents(index: MultiIndex) -> Iterable[MultiIndex]:
    """All α - e_i."""
    return ((*index[:i], count - 1, *index[i + 1 :]) for i, count in enumerate(index) if count)


def _subtract(index: MultiIndex, below: MultiIndex) -> MultiIndex:
    return tuple(a - b for a, b in zip(index, below, strict=True))

"""Which Taylor coefficients a jet carries, and the index tables of their arithmetic.

A jet truncated to a set A of multi-indices is an element of R[[h_1, …, h_d]] modulo the monomials outside A. The quotient is an
algebra, so that sums, products and compositions of jets are exact, if and only if A is downward closed: α in A and β <= α imply
β in A (Griewank and Walther, Evaluating Derivatives, 2nd ed. 2008, chapter 13). With normalised coefficients c_α = D^α u / α!
the product is (ab)_α = Σ_{β <= α} a_β b_{α-β}, and y = f(z), w = f'(z) obey, for every direction i with α_i > 0,
α_i y_α = Σ_{β <= α, β_i > 0} β_i z_β w_{α-β}, which is the coefficient of h^{α - e_i} in ∂_i y = w ∂_i z.

An operator such as the Laplacian needs less than its derivatives one by one. It is a linear functional on series, and the largest
ideal inside the kernel of some functionals is what can be divided out without touching them: the quotient is the smallest algebra
through which they factor, and its channels are the functionals themselves and their contractions γ_α -> γ_{α + e_i} (Macaulay's
inverse system; Iarrobino and Kanev, Power Sums, Gorenstein Algebras, and Determinantal Loci, 1999, section 1.1). For Σ_i ∂_i² these
are the value, the gradient and the sum, d + 2 channels in place of 2 d + 1, which is the forward Laplacian (Li, Li, Li et al., A
computational framework for neural network-based variational Monte Carlo with forward Laplacian, 2024); for Δ² in the plane 9 in
place of 13; for u_t + c u_x a derivative along one line. Homogeneous functionals leave the degree, so that Euler's derivation
(deg y)_k = Σ deg(i) z_i w_j takes the place of a single direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product

from pinnsolve.errors import UnsupportedError

MultiIndex = tuple[int, ...]

Operator = frozenset[tuple[MultiIndex, Fraction]]
"""A differential operator with constant coefficients, Σ a_α D^α, all α of one order: pairs of α and a_α, which are not zero."""

Derivative = MultiIndex | Operator
"""What can be asked of a field: D^α, or a sum of such."""

HIGHEST_ORDER = 12
"""The order to which rules are tested against closed forms; no known equation needs more, and α! grows past 10^9."""

_ROUNDING = Fraction(1, 10**12)
"""Entries that elimination leaves below this part of the largest are the rounding of coefficients that were not exact."""


@dataclass(frozen=True)
class JetPlan:
    """The channels of a jet in graded order, with the tables of their arithmetic.

    A channel is a sum of Taylor coefficients, c_α + Σ γ_β c_β: that of its own multi-index α, and of others of the same order,
    which belong to no channel of their own. Positions in the tables are positions in `indices`. In graded order a series of low
    degree occupies a prefix, which is how jets leave out channels that are known to vanish.

    Args:
        dimension: Number of coordinates; the length of every multi-index.
        indices: The multi-index of each channel, by increasing order, zero first.
        sums: For each channel the further pairs (β, γ_β); left out where no channel has any.

    Raises:
        ValueError: The indices are not graded, not distinct or not downward closed.
    """

    dimension: int
    indices: tuple[MultiIndex, ...]
    sums: tuple[tuple[tuple[MultiIndex, float], ...], ...] = ()

    def __post_init__(self) -> None:
        orders = [sum(index) for index in self.indices]
        if any(len(index) != self.dimension or min(index, default=0) < 0 for index in self.indices):
            raise ValueError(f"multi-indices must be {self.dimension} counts each: {self.indices}")
        if orders != sorted(orders) or len(self.position) != len(self.indices):
            raise ValueError(f"multi-indices must be distinct and in graded order: {self.indices}")
        if not self.indices or not all(map(self._closed, range(self.size))):
            raise ValueError(f"multi-indices must be downward closed: {self.indices}")

    @property
    def order(self) -> int:
        """The highest order of a derivative."""
        return sum(self.indices[-1])

    @property
    def size(self) -> int:
        """The number of channels."""
        return len(self.indices)

    @cached_property
    def position(self) -> dict[MultiIndex, int]:
        """Where each multi-index stands."""
        return {index: k for k, index in enumerate(self.indices)}

    @cached_property
    def derivatives(self) -> tuple[MultiIndex, ...]:
        """The multi-indices whose derivatives can be read off one by one."""
        return tuple(index for k, index in enumerate(self.indices) if not self._further(k))

    def reading(self, derivative: Derivative) -> tuple[tuple[int, float], ...]:
        """How to read a derivative: pairs of a channel and the factor on it.

        Raises:
            KeyError: It does not follow from the channels.
        """
        if derivative not in self._readings:
            self._readings[derivative] = self._read(derivative)
        return self._readings[derivative]

    @cached_property
    def _readings(self) -> dict[Derivative, tuple[tuple[int, float], ...]]:
        return {}

    def _read(self, derivative: Derivative) -> tuple[tuple[int, float], ...]:
        wanted = {index: float(a) * _factorial(index) for index, a in _pairs(derivative)}
        read = tuple((self.position[index], factor) for index, factor in wanted.items() if index in self.position)
        # The channels read add what they sum up, which must be all that is wanted and nothing else.
        for k, factor in read:
            for index, gamma in self._further(k):
                wanted[index] = wanted.get(index, 0.0) - factor * gamma
        scale = max(map(abs, (factor for _, factor in read)), default=0.0)
        if any(abs(rest) > 1e-9 * scale for index, rest in wanted.items() if index not in self.position):
            raise KeyError(derivative)
        return read

    @cached_property
    def products(self) -> tuple[tuple[tuple[int, int, float], ...], ...]:
        """For each channel the triples (i, j, γ) of a product, Σ γ a_i b_j: Leibniz's rule, outermost first."""
        return tuple(tuple(self._split(k)) for k in range(self.size))

    @cached_property
    def multiples(self) -> dict[tuple[int, int], tuple[tuple[int, float], ...]]:
        """For each pair of channels those which their product contributes to, with the factor."""
        table: dict[tuple[int, int], list[tuple[int, float]]] = {}
        for k, triples in enumerate(self.products):
            for i, j, gamma in triples:
                table.setdefault((i, j), []).append((k, gamma))
        return {pair: tuple(rows) for pair, rows in table.items()}

    @cached_property
    def adjoints(self) -> tuple[tuple[tuple[int, int, float], ...], ...]:
        """For each channel i the triples (k, j, γ) of the transposed Leibniz rule."""
        rows: tuple[list[tuple[int, int, float]], ...] = tuple([] for _ in self.indices)
        for k, triples in enumerate(self.products):
            for i, j, gamma in triples:
                rows[i].append((k, j, gamma))
        return tuple(map(tuple, rows))

    @cached_property
    def primitives(self) -> tuple[tuple[tuple[int, int, float], ...], ...]:
        """For each channel but the first the triples (i, j, weight) of the chain rule dy = w dz; its own comes first.

        For a single derivative the direction is the one with the fewest terms, Π_j (α_j + 1) α_i / (α_i + 1): that of the
        smallest α_i > 0. For a sum it is Euler's derivation.
        """
        rows: list[tuple[tuple[int, int, float], ...]] = []
        for k, (index, triples) in enumerate(zip(self.indices, self.products, strict=True)):
            if self._further(k):
                order = sum(index)
                weights = [sum(below) / order for below in self.indices]
            else:
                i = min((j for j in range(self.dimension) if index[j]), key=index.__getitem__, default=0)
                weights = [below[i] / index[i] if index[i : i + 1] and index[i] else 0.0 for below in self.indices]
            rows.append(tuple((b, r, weights[b] * gamma) for b, r, gamma in triples if weights[b]))
        return tuple(rows)

    @cached_property
    def interior(self) -> tuple[bool, ...]:
        """Whether a channel of higher order depends on this one: only there does the chain rule read the slope."""
        return tuple(len(row) > 1 for row in self.adjoints)

    @cached_property
    def diagonal(self) -> tuple[float, ...] | None:
        """The factors γ_i on (z_i)² in the only channel of order two, if there is one and it has no other products; else None."""
        lines = self.channels(1)
        if self.order != 2 or self.size != lines + 1:
            return None
        inner = [(i, j, gamma) for i, j, gamma in self.products[-1] if i and j]
        if any(i != j for i, j, _ in inner):
            return None
        factors = {i: gamma for i, _, gamma in inner}
        return tuple(factors.get(i, 0.0) for i in range(1, lines))

    @cached_property
    def directions(self) -> tuple[tuple[float, ...], ...]:
        """For each channel of order one the line along which it differentiates: a vector of one entry a coordinate."""
        rows = []
        for k in range(1, self.channels(1)):
            entries = {self.indices[k]: 1.0, **dict(self._further(k))}
            rows.append(tuple(entries.get(unit, 0.0) for unit in _units(self.dimension)))
        return tuple(rows)

    def channels(self, degree: int) -> int:
        """The number of channels up to a degree: the length of the prefix that a polynomial of that degree occupies."""
        return sum(sum(index) <= degree for index in self.indices)

    def degree(self, channels: int) -> int:
        """The degree of a series that occupies the first few channels."""
        return sum(self.indices[channels - 1])

    def _further(self, k: int) -> tuple[tuple[MultiIndex, float], ...]:
        return self.sums[k] if self.sums else ()

    def _split(self, k: int) -> Iterator[tuple[int, int, float]]:
        """All (i, j, γ) with the multi-indices of i and j adding up to one of the channel's."""
        for index, gamma in ((self.indices[k], 1.0), *self._further(k)):
            for below in _below(index):
                rest = _subtract(index, below)
                if below in self.position and rest in self.position:
                    yield self.position[below], self.position[rest], gamma

    def _closed(self, k: int) -> bool:
        """Whether the contractions of a channel are sums of channels."""
        contractions: dict[int, dict[MultiIndex, float]] = {}
        for index, gamma in ((self.indices[k], 1.0), *self._further(k)):
            for i, below in _parents(index):
                contractions.setdefault(i, {})[below] = gamma
        for rest in contractions.values():
            scale = max(map(abs, rest.values()))
            for below, gamma in list(rest.items()):
                for index, share in self._further(self.position[below]) if below in self.position else ():
                    rest[index] = rest.get(index, 0.0) - gamma * share
            if any(abs(gamma) > 1e-9 * scale for below, gamma in rest.items() if below not in self.position):
                return False
        return True


def plan_jets(required: Iterable[Derivative], *, dimension: int) -> JetPlan:
    """Choose the channels from which everything required follows.

    Args:
        required: Multi-indices such as (2, 0) for u_xx, and operators.
        dimension: Number of coordinates; the length of every multi-index.

    Returns:
        The fewest channels that can be carried forward; for multi-indices alone, their downward closure.

    Raises:
        ValueError: A multi-index has another length than `dimension`, or a negative entry; the orders of an operator differ.
        UnsupportedError: An order above `HIGHEST_ORDER`.
    """
    zero = (0,) * dimension
    spans: dict[int, list[dict[MultiIndex, Fraction]]] = {0: [{zero: Fraction(1)}]}
    for derivative in required:
        pairs = _pairs(derivative)
        for index, _ in pairs:
            _check(index, dimension)
        if len({sum(index) for index, _ in pairs}) != 1:
            raise ValueError(f"the derivatives of an operator must have one order: {sorted(derivative)}")
        functional = {index: a * int(_factorial(index)) for index, a in pairs}
        spans.setdefault(sum(pairs[0][0]), []).append(functional)
    indices: list[MultiIndex] = []
    sums: list[tuple[tuple[MultiIndex, float], ...]] = []
    for order in range(max(spans), -1, -1):
        basis = _reduced(spans.get(order, []))
        if order:
            below = spans.setdefault(order - 1, [])
            below += [contraction for _, functional in basis for contraction in _contractions(functional)]
        # Within one order, derivatives of earlier coordinates come first; the lists are filled from behind.
        for pivot, functional in reversed(basis):
            further = {index: gamma for index, gamma in functional.items() if index != pivot}
            indices.append(pivot)
            sums.append(tuple((index, float(further[index])) for index in sorted(further, key=_rank)))
    return JetPlan(dimension, tuple(reversed(indices)), tuple(reversed(sums)) if any(sums) else ())


def operator(terms: Mapping[MultiIndex, Fraction | float | int]) -> Operator:
    """Return Σ a_α D^α from its coefficients; those that are zero are left out."""
    return frozenset((index, Fraction(a)) for index, a in terms.items() if a)


def _check(index: MultiIndex, dimension: int) -> None:
    if len(index) != dimension or min(index, default=0) < 0:
        raise ValueError(f"a multi-index of {dimension} coordinates has {dimension} counts, not {index}")
    if sum(index) > HIGHEST_ORDER:
        raise UnsupportedError(
            f"derivative {index}",
            f"its order is {sum(index)}, the highest supported is {HIGHEST_ORDER}",
            "write the equation as a system of lower order with the intermediate derivatives as fields",
        )


def _reduced(
    functionals: Sequence[dict[MultiIndex, Fraction]],
) -> list[tuple[MultiIndex, dict[MultiIndex, Fraction]]]:
    """Row-reduce: each functional has 1 at its pivot, where all others have 0; by pivots, first first."""
    basis: dict[MultiIndex, dict[MultiIndex, Fraction]] = {}
    # Those with the fewest entries first, so that single derivatives stay single.
    for functional in sorted(functionals, key=len):
        rest = dict(functional)
        scale = max(map(abs, rest.values()))
        for pivot in [index for index in rest if index in basis]:
            _subtract_multiple(rest, rest[pivot], basis[pivot])
        rest = {index: gamma for index, gamma in rest.items() if abs(gamma) > _ROUNDING * scale}
        if not rest:
            continue
        pivot = min(rest, key=_rank)
        row = {index: gamma / rest[pivot] for index, gamma in rest.items()}
        for other in basis.values():
            if pivot in other:
                _subtract_multiple(other, other[pivot], row)
        basis[pivot] = row
    return sorted(basis.items(), key=lambda item: _rank(item[0]))


def _subtract_multiple(row: dict[MultiIndex, Fraction], factor: Fraction, other: Mapping[MultiIndex, Fraction]) -> None:
    for index, gamma in other.items():
        left = row.get(index, Fraction(0)) - factor * gamma
        if left:
            row[index] = left
        else:
            row.pop(index, None)


def _contractions(functional: Mapping[MultiIndex, Fraction]) -> Iterable[dict[MultiIndex, Fraction]]:
    """γ_α -> γ_{α + e_i}, for every direction in which something is left."""
    found: dict[int, dict[MultiIndex, Fraction]] = {}
    for index, gamma in functional.items():
        for i, below in _parents(index):
            found.setdefault(i, {})[below] = gamma
    return found.values()


def _pairs(derivative: Derivative) -> list[tuple[MultiIndex, Fraction]]:
    return sorted(derivative) if isinstance(derivative, frozenset) else [(derivative, Fraction(1))]


def _factorial(index: MultiIndex) -> float:
    """α!: what turns a Taylor coefficient into a derivative."""
    return float(math.prod(map(math.factorial, index)))


def _rank(index: MultiIndex) -> tuple[int, ...]:
    return tuple(-count for count in index)


def _units(dimension: int) -> Iterable[MultiIndex]:
    return (tuple(int(i == j) for j in range(dimension)) for i in range(dimension))


def _below(index: MultiIndex) -> Iterable[MultiIndex]:
    """All β <= α, α itself first."""
    return product(*(range(count, -1, -1) for count in index))


def _parents(index: MultiIndex) -> Iterable[tuple[int, MultiIndex]]:
    """All i and α - e_i."""
    return ((i, (*index[:i], count - 1, *index[i + 1 :])) for i, count in enumerate(index) if count)


def _subtract(index: MultiIndex, below: MultiIndex) -> MultiIndex:
    return tuple(a - b for a, b in zip(index, below, strict=True))

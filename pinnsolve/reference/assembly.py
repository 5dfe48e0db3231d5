"""Assembly: residual, Jacobian and mass of a weak form on elements, from its expressions and their exact derivatives.

A block integrates expressions f_k(x, t, s), each times a test function or one of its derivatives; s are values and derivatives of
the unknown fields at the points of quadrature. Its Jacobian is the sum over k and slots of (df_k/ds) times both basis functions.
Where a value is given, a row of the system is this condition at the node, in place of the integral.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from sympy import DiracDelta, Expr, Integer, Symbol, lambdify

from pinnsolve.domains.images import Array
from pinnsolve.reference.elements import Quadrature
from pinnsolve.reference.triangulation import Numbers

Part = tuple[int, int]
"""A field and what is taken of it: 0 for the value, 1 and more for derivatives."""


@dataclass(frozen=True)
class Programs:
    """Expressions as functions of coordinates, normals and slots.

    Args:
        value: All expressions.
        slopes: Their derivatives in slots, those that do not vanish.
        rate: Their derivatives in time.
        pairs: For each derivative which expression and which slot.
        slots: What of the unknowns the expressions read.
        still: Whether the derivatives depend on neither time nor slots.
        time: Position of time among the coordinates.
    """

    value: Callable[..., Any]
    slopes: Callable[..., Any]
    rate: Callable[..., Any]
    pairs: tuple[tuple[int, int], ...]
    slots: tuple[Part, ...]
    still: bool
    time: int | None

    def call(
        self,
        function: Callable[..., Any],
        time: Array | float,
        places: Array,
        groups: Array,
        normals: Array,
        slots: Sequence[Array],
    ) -> Array:
        """Return a function's values (outputs, ...) at places (n, ...), with the values by groups of cells."""
        columns: list[Any] = list(places)
        if self.time is not None:
            columns.insert(self.time, time)
        with np.errstate(all="ignore"):  # the solvers test for finite values
            found = function(*columns, *groups, *normals, *slots)
        shape = places.shape[1:]
        return np.array([np.broadcast_to(f, shape) for f in found], dtype=np.float64).reshape(len(found), *shape)


@dataclass(frozen=True)
class Symbols:
    """What expressions are written in: the coordinates, then the groups of cells, the normal, and for each slot its symbol."""

    coordinates: tuple[Symbol, ...]
    normals: tuple[Symbol, ...]
    slots: Mapping[Symbol, Part]
    time: int | None

    def programs(self, expressions: Sequence[Expr]) -> Programs:
        """Return expressions, with their exact derivatives, as functions."""
        within = set().union(*(e.free_symbols for e in expressions)) if expressions else set()
        used = {symbol: part for symbol, part in self.slots.items() if symbol in within}
        slopes = {
            (k, j): slope
            for k, e in enumerate(expressions)
            for j, symbol in enumerate(used)
            if (slope := _slope(e, symbol)) != 0
        }
        clock = None if self.time is None else self.coordinates[self.time]
        rates = [Integer(0) if clock is None else _slope(e, clock) for e in expressions]
        arguments = [*self.coordinates, *self.normals, *used]
        varying = set(used) | ({clock} if clock is not None else set())
        return Programs(
            lambdify(arguments, list(expressions), "scipy", cse=True),
            lambdify(arguments, list(slopes.values()), "scipy", cse=True),
            lambdify(arguments, rates, "scipy", cse=True),
            tuple(slopes),
            tuple(used.values()),
            not any(slope.free_symbols & varying for slope in slopes.values()),
            self.time,
        )


@dataclass(frozen=True)
class Block:
    """Integrals over triangles or edges of expressions times test functions or their derivatives."""

    programs: Programs
    tests: tuple[Part, ...]
    quadrature: Quadrature

    def vector(self, function: Callable[..., Any], time: float, fields: Array) -> Array:
        """Return the integrals for every field and node (fields, nodes) of a function of the programs."""
        values = self._call(function, time, fields)
        result = np.zeros(fields.shape)
        for (field, part), value in zip(self.tests, values, strict=True):
            local = np.einsum("iep,ep->ie", self._basis(part), value * self.quadrature.weights)
            result[field] += np.bincount(self.quadrature.numbers.ravel(), local.ravel(), minlength=fields.shape[1])
        return result

    def entries(self, time: float, fields: Array) -> Array:
        """Return the derivatives of the integrals in the unknowns, flat, as `places` lists them."""
        nodes, elements, _ = self.quadrature.values.shape
        found = {couple: np.zeros((elements, nodes, nodes)) for couple in self.couples}
        values = self._call(self.programs.slopes, time, fields)
        for (output, slot), value in zip(self.programs.pairs, values, strict=True):
            (row, test), (column, part) = self.tests[output], self.programs.slots[slot]
            weighted = (self._basis(test) * (value * self.quadrature.weights)).transpose(1, 0, 2)
            found[row, column] += weighted @ self._basis(part).transpose(1, 2, 0)
        return np.concatenate([np.zeros(0), *(entries.ravel() for entries in found.values())])

    @cached_property
    def couples(self) -> tuple[tuple[int, int], ...]:
        """The pairs of fields, tested and differentiated."""
        pairs = ((self.tests[output][0], self.programs.slots[slot][0]) for output, slot in self.programs.pairs)
        return tuple(dict.fromkeys(pairs))

    def places(self, count: int) -> tuple[Numbers, Numbers]:
        """Return rows and columns of all entries, where every field has so many nodes."""
        numbers = self.quadrature.numbers.T
        rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for row, column in self.couples:
            rows.append(np.repeat((numbers + row * count)[:, :, None], numbers.shape[1], axis=2).ravel())
            columns.append(np.repeat((numbers + column * count)[:, None, :], numbers.shape[1], axis=1).ravel())
        return np.concatenate(rows), np.concatenate(columns)

    def _call(self, function: Callable[..., Any], time: float, fields: Array) -> Array:
        places, numbers = self.quadrature.places, self.quadrature.numbers
        slots = [
            np.einsum("ie,iep->ep", fields[field][numbers], self._basis(part)) for field, part in self.programs.slots
        ]
        normals = np.zeros_like(places) if self.quadrature.normals is None else self.quadrature.normals
        return self.programs.call(function, time, places, self.quadrature.groups, normals, slots)

    def _basis(self, part: int) -> Array:
        return self.quadrature.values if part == 0 else self.quadrature.slopes[:, part - 1]


@dataclass(frozen=True)
class Nodal:
    """An expression that vanishes at nodes, in place of their rows of one field.

    Args:
        programs: The expression.
        field: Whose rows.
        nodes: Their numbers.
        places: Where they are (n, nodes).
        groups: As many zeros as there are groups of cells: what vanishes at nodes does not read them.
    """

    programs: Programs
    field: int
    nodes: Numbers
    places: Array
    groups: Array

    def call(self, function: Callable[..., Any], time: float, fields: Array) -> Array:
        """Return the values (outputs, nodes) of a function of the program."""
        slots = [fields[field][self.nodes] for field, _ in self.programs.slots]
        return self.programs.call(function, time, self.places, self.groups, np.zeros_like(self.places), slots)


@dataclass(frozen=True)
class Assembly:
    """As many rows as unknowns: the residual, its Jacobian and its rate, as functions of unknowns (fields of nodes) and time.

    Args:
        blocks: The integrals.
        nodal: What replaces some rows; of two for the same row the first counts.
        fields: The number of fields.
        count: The number of nodes.
    """

    blocks: tuple[Block, ...]
    nodal: tuple[Nodal, ...]
    fields: int
    count: int

    @property
    def size(self) -> int:
        """The number of unknowns."""
        return self.fields * self.count

    def residual(self, unknowns: Array, time: float = 0.0) -> Array:
        """Return the residual of every row."""
        return self._rows(unknowns, time, lambda programs: programs.value)

    def rate(self, unknowns: Array, time: float = 0.0) -> Array:
        """Return the partial derivative of the residual in time."""
        return self._rows(unknowns, time, lambda programs: programs.rate)

    def jacobian(self, unknowns: Array, time: float = 0.0) -> sparse.csc_array:
        """Return the derivative of the residual in the unknowns."""
        if all(programs.still for programs in [b.programs for b in self.blocks] + [n.programs for n in self.nodal]):
            return self._constant
        return self._jacobian(unknowns, time)

    @cached_property
    def _constant(self) -> sparse.csc_array:
        return self._jacobian(np.zeros(self.size), 0.0)

    def _jacobian(self, unknowns: Array, time: float) -> sparse.csc_array:
        fields = unknowns.reshape(self.fields, self.count)
        entries = [block.entries(time, fields) for block in self.blocks]
        entries += [nodal.call(nodal.programs.slopes, time, fields).ravel() for nodal in self.nodal]
        pattern, position, kept = self._pattern
        data = np.bincount(position, np.concatenate([np.zeros(0), *entries])[kept], minlength=pattern.nnz)
        return sparse.csc_array((data, pattern.indices, pattern.indptr), shape=pattern.shape)

    def _rows(self, unknowns: Array, time: float, choose: Callable[[Programs], Callable[..., Any]]) -> Array:
        fields = unknowns.reshape(self.fields, self.count)
        result = np.zeros(fields.shape)
        for block in self.blocks:
            result += block.vector(choose(block.programs), time, fields)
        for nodal in reversed(self.nodal):
            result[nodal.field, nodal.nodes] = nodal.call(choose(nodal.programs), time, fields)[0]
        return result.ravel()

    @cached_property
    def _pattern(self) -> tuple[sparse.csc_array, Numbers, Numbers]:
        """Return the Jacobian's pattern, where in it each entry belongs, and which entries count."""
        rows, columns, owners = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)], []
        for block in self.blocks:
            row, column = block.places(self.count)
            rows.append(row)
            columns.append(column)
        integrals = sum(map(len, rows))
        owner = np.full(self.size, -1)
        for number, nodal in reversed(list(enumerate(self.nodal))):
            owner[nodal.field * self.count + nodal.nodes] = number
        for number, nodal in enumerate(self.nodal):
            for _, slot in nodal.programs.pairs:
                rows.append(nodal.field * self.count + nodal.nodes)
                columns.append(nodal.programs.slots[slot][0] * self.count + nodal.nodes)
                owners.append(np.full(len(nodal.nodes), number))
        row, column = np.concatenate(rows), np.concatenate(columns)
        kept = np.flatnonzero(owner[row] == np.concatenate([np.full(integrals, -1), *owners]))
        keys, position = np.unique(column[kept] * self.size + row[kept], return_inverse=True)
        pointers = np.searchsorted(keys, np.arange(self.size + 1, dtype=np.int64) * self.size)
        shape = (self.size, self.size)
        return sparse.csc_array((np.ones(len(keys)), keys % self.size, pointers), shape=shape), position, kept


def _slope(expression: Expr, symbol: Symbol) -> Expr:
    # At the jump itself the delta is not a number; away from it, it is zero.
    return expression.diff(symbol).replace(DiracDelta, lambda *_: 0)

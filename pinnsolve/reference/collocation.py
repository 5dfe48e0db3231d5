"""Residuals on grids: many equations in many unknown values, with the exact sparse Jacobian.

With U the vector of all unknown values, a slot is a sparse matrix S_k applied to U, and a block of rows is f(x, S_1 U, ..., S_m U)
evaluated point by point. Its Jacobian is the sum over k of diag(df/ds_k) S_k. The pattern never changes, so the entries are one
fixed sparse matrix applied to the partial derivatives: assembling costs one matrix-vector product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sympy import Add, DiracDelta, Dummy, Expr, Symbol, lambdify

from pinnsolve.reference.finite_differences import Array, Axis, derivative_rows
from pinnsolve.reference.reading import Slot
from pinnsolve.reference.state import Known

Places = Mapping[int, Array]
"""A tensor grid: for each space coordinate its places, one when it is held."""

_SIDESTEP = 1e-9
"""Distance, relative to the range, at which the two sides of a jump are read: on a node both count by one half."""


@dataclass(frozen=True)
class Layout:
    """Where the unknown values of all fields sit, and how they are numbered.

    Args:
        axes: For each field the axis of every space coordinate it reads, by the coordinate's position.
        space: Positions of the space coordinates in order.
        accuracy: Order of the formulas.
    """

    axes: tuple[Mapping[int, Axis], ...]
    space: tuple[int, ...]
    accuracy: int

    @cached_property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each field's values."""
        return tuple(tuple(axis[c].count for c in self.space if c in axis) for axis in self.axes)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The number of the first unknown of each field, and the number of all unknowns."""
        return tuple(np.cumsum([0, *(math.prod(shape) for shape in self.shapes)]).tolist())

    @property
    def size(self) -> int:
        """The number of unknowns."""
        return self.offsets[-1]

    def numbers(self, field: int) -> NDArray[np.int64]:
        """Return the numbers of a field's unknowns in the shape of its grid."""
        return np.arange(self.offsets[field], self.offsets[field + 1]).reshape(self.shapes[field])

    def places(self, field: int) -> dict[int, Array]:
        """Return the grid of a field."""
        return {c: axis.nodes for c, axis in self.axes[field].items()}

    def matrix(self, slot: Slot, places: Places) -> sparse.csr_array:
        """Return the matrix that takes all unknowns to a slot on a tensor grid: the Kronecker product over coordinates."""
        held, axes = dict(slot.places), self.axes[slot.field]
        factors = []
        for c in self.space:
            count = len(places[c]) if c in places else 1
            if c not in axes:
                factors.append(sparse.csr_array(np.ones((count, 1))))
                continue
            at = np.full(count, held[c]) if c in held else places[c]
            factors.append(derivative_rows(axes[c], at, order=slot.orders[c], accuracy=self.accuracy))
        product = reduce(sparse.kron, factors, sparse.csr_array(np.ones((1, 1)))).tocoo()
        shape = (product.shape[0], self.size)
        columns = product.coords[1] + self.offsets[slot.field]
        return sparse.coo_array((product.data, (product.coords[0], columns)), shape=shape).tocsr()


@dataclass(frozen=True)
class Block:
    """Rows with one formula: f(coordinates, slots), its slopes in the slots and its rate in time.

    Args:
        value: Function of coordinates and slots.
        slopes: The same for df/ds_k, a list.
        rate: The same for df/dt.
        coordinates: For each side of a possible jump the coordinates at the rows.
        time: Position of the coordinate that is given at each call.
        matrices: The slots' matrices.
        rows: The number of each row in the system.
        known: For a time, the slots of a known state at the rows, then their rates.
    """

    value: Callable[..., Any]
    slopes: Callable[..., Any]
    rate: Callable[..., Any]
    coordinates: tuple[tuple[Array, ...], ...]
    time: int | None
    matrices: tuple[sparse.csr_array, ...]
    rows: NDArray[np.int64]
    known: Callable[[float], Array]

    def call(self, function: Callable[..., Any], time: float, slots: Array) -> Array:
        """Return a function's values (outputs, rows), the mean of both sides where a coefficient may jump."""
        total: Any = 0.0
        known = self.known(time)
        for side in self.coordinates:
            # NumPy's numbers divide by zero as arrays do, without an exception.
            arguments = [np.float64(time) if c == self.time else x for c, x in enumerate(side)]
            with np.errstate(all="ignore"):  # a branch not taken may divide by zero; the solvers test for finite values
                outputs = function(*arguments, *slots, *known)
            total = total + np.array([np.broadcast_to(o, len(self.rows)) for o in outputs], dtype=np.float64)
        return np.asarray(total / len(self.coordinates)).reshape(-1, len(self.rows))


@dataclass(frozen=True)
class System:
    """As many rows as unknowns: the residual vector, its Jacobian and its rate, as functions of unknowns and time."""

    blocks: tuple[Block, ...]
    size: int

    def residual(self, unknowns: Array, time: float = 0.0) -> Array:
        """Return the residual of every row."""
        return self._rows(unknowns, time, lambda block: block.value)

    def rate(self, unknowns: Array, time: float = 0.0) -> Array:
        """Return the partial derivative of the residual in time."""
        return self._rows(unknowns, time, lambda block: block.rate)

    def jacobian(self, unknowns: Array, time: float = 0.0) -> sparse.csc_array:
        """Return the derivative of the residual in the unknowns."""
        pattern, scatter = self._assembly
        slopes = [block.call(block.slopes, time, slots).ravel() for block, slots in self._slots(unknowns)]
        entries = scatter @ np.concatenate(slopes or [np.zeros(0)])
        return sparse.csc_array((entries, pattern.indices, pattern.indptr), shape=pattern.shape)

    def _rows(self, unknowns: Array, time: float, choose: Callable[[Block], Callable[..., Any]]) -> Array:
        result = np.zeros(self.size)
        for block, slots in self._slots(unknowns):
            result[block.rows] = block.call(choose(block), time, slots)[0]
        return result

    def _slots(self, unknowns: Array) -> list[tuple[Block, Array]]:
        values = self._gather @ unknowns
        result, first = [], 0
        for block in self.blocks:
            count = len(block.matrices) * len(block.rows)
            result.append((block, values[first : first + count].reshape(len(block.matrices), len(block.rows))))
            first += count
        return result

    @cached_property
    def _gather(self) -> sparse.csr_array:
        matrices = [m for block in self.blocks for m in block.matrices]
        return sparse.vstack([*matrices, sparse.csr_array((0, self.size))], format="csr")

    @cached_property
    def _assembly(self) -> tuple[sparse.csc_array, sparse.csr_array]:
        """Return the Jacobian's pattern, and the matrix from all slopes to its entries."""
        entries = self._gather.tocoo()
        slope, column = entries.coords
        row = np.concatenate([np.tile(b.rows, len(b.matrices)) for b in self.blocks] or [np.zeros(0, dtype=int)])[slope]
        keys, position = np.unique(column.astype(np.int64) * self.size + row, return_inverse=True)
        pointers = np.searchsorted(keys, np.arange(self.size + 1, dtype=np.int64) * self.size)
        pattern = sparse.csc_array((np.ones(len(keys)), keys % self.size, pointers), shape=(self.size, self.size))
        scatter = sparse.coo_array((entries.data, (position, slope)), shape=(len(keys), self._gather.shape[0]))
        return pattern, scatter.tocsr()


def collocate(
    expression: Expr,
    slots: Mapping[Slot, Symbol],
    *,
    layout: Layout,
    coordinates: tuple[Symbol, ...],
    places: Places,
    rows: NDArray[np.int64],
    chosen: NDArray[np.bool_] | None = None,
    time: int | None = None,
    sidestep: Mapping[int, float] | None = None,
    given: Mapping[Slot, Symbol] | None = None,
    known: Known | None = None,
) -> Block:
    """Return the rows of one residual on a tensor grid.

    Args:
        expression: The residual in the coordinates' and slots' symbols.
        slots: Symbols of the slots, whose fields are the layout's.
        layout: Where the unknowns are.
        coordinates: The coordinates' symbols.
        places: The grid.
        rows: The number in the system of each chosen grid point.
        chosen: Which points of the grid are used; all when omitted.
        time: Position of the coordinate that is a number given at each call.
        sidestep: Lengths of the coordinates' ranges, when a coefficient may jump at a node.
        given: Symbols of the slots of a known state.
        known: That state.
    """
    grid = np.meshgrid(*(places[c] for c in layout.space if c in places), indexing="ij")
    count = math.prod(len(places[c]) for c in layout.space if c in places)
    chosen = np.ones(count, dtype=bool) if chosen is None else chosen.ravel()
    flat = dict(zip((c for c in layout.space if c in places), (g.ravel()[chosen] for g in grid), strict=True))
    sides = []
    blank = np.zeros(np.size(rows))
    for sign in (-1.0, 1.0) if sidestep else (0.0,):
        shifted = {c: x + sign * _SIDESTEP * (sidestep or {}).get(c, 0.0) for c, x in flat.items()}
        sides.append(tuple(shifted.get(c, blank) for c in range(len(coordinates))))
    used = {slot: symbol for slot, symbol in slots.items() if symbol in expression.free_symbols}
    read = {slot: symbol for slot, symbol in (given or {}).items() if symbol in expression.free_symbols}
    rates = {symbol: Dummy("rate", real=True) for symbol in read.values()}
    arguments = [*coordinates, *used.values(), *rates, *rates.values()]
    clock = 0 if time is None else _slope(expression, coordinates[time])
    clock = Add(clock, *(_slope(expression, symbol) * rate for symbol, rate in rates.items()))
    columns = [flat.get(c, blank) for c in range(len(coordinates))]
    return Block(
        lambdify(arguments, [expression], "scipy", cse=True),
        lambdify(arguments, [_slope(expression, s) for s in used.values()], "scipy", cse=True),
        lambdify(arguments, [clock], "scipy", cse=True),
        tuple(sides),
        time,
        tuple(layout.matrix(slot, places)[chosen] for slot in used),
        np.asarray(rows).ravel(),
        _nothing if known is None else known.on(list(read), columns),
    )


def _nothing(time: float) -> Array:
    return np.zeros((0, 0))


def _slope(expression: Expr, symbol: Symbol) -> Expr:
    # At the jump itself the delta is not a number; away from it, it is zero.
    return expression.diff(symbol).replace(DiracDelta, lambda *_: 0)

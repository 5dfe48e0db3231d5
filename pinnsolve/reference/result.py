"""What a reference is: values at points, a function for any other point, and its own error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import NdBSpline, make_interp_spline

from pinnsolve.reference.finite_differences import Array, Axis

_MOST_POINTS = 50_000
_LEAST_DEGREE = 5


@dataclass(frozen=True)
class GridRow:
    """One row of a convergence table.

    Args:
        cells: The grid, such as "x 512".
        difference: Relative L2 difference to the next coarser grid, the largest over the fields; NaN in the first row.
        order: Observed order from this difference and the one before; NaN in the first two rows.
    """

    cells: str
    difference: float
    order: float


@dataclass(frozen=True)
class Level:
    """The solution on one grid.

    Args:
        label: The grid, for the table.
        cells: Intervals of every space coordinate, by position.
        functions: Each field by name.
        points: Where this grid is compared with finer ones.
        free: The fields that are fixed only up to a constant.
        orders: The orders of fields that are below the order of the others.
        time_error: Relative L2 error of each field that refining the grid does not reduce, where it was measured.
        seconds: What it took.
    """

    label: str
    cells: Mapping[int, int]
    functions: Mapping[str, Callable[[Array], Array]]
    points: Array
    free: frozenset[str] = frozenset()
    orders: Mapping[str, int] = field(default_factory=dict)
    time_error: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class Reference:
    """A solution to compare with, and how far it can be trusted.

    Args:
        kind: "exact", "finite_difference", "finite_element", "spectral", "stream_function" or "data".
        points: Where to compare (points, coordinates), in the domain's order of coordinates.
        values: For each field by name its values there (points,).
        shape: The shape of the grid of points, or None.
        evaluate: Values at other points (points, coordinates), by field name; NaN where the reference knows nothing.
        estimated_relative_l2: The reference's own error by field name; 0 for exact, NaN when unknown.
        seconds: Wall time it took.
        table: Differences and observed orders over the grids.
        method: One sentence that names method and grid.
        levels: The solutions behind the rows of the table, where there are some.
        given: Fields that were taken from a trained solution: the reference is one for them, and says nothing of them.
    """

    kind: str
    points: Array
    values: Mapping[str, Array]
    shape: tuple[int, ...] | None
    evaluate: Callable[[Array], Mapping[str, Array]]
    estimated_relative_l2: Mapping[str, float]
    seconds: float
    table: tuple[GridRow, ...]
    method: str
    levels: tuple[Level, ...] = ()
    given: tuple[str, ...] = ()


@dataclass(frozen=True)
class GridFunction:
    """A field on a tensor grid, extended by splines to all points of the box.

    Args:
        coordinates: Positions of the coordinates that the field reads.
        spline: Function of (points, those coordinates).
        periods: For periodic coordinates, the low end and the length, by position in `coordinates`.
    """

    coordinates: tuple[int, ...]
    spline: Callable[[Array], Array]
    periods: Mapping[int, tuple[float, float]]

    def __call__(self, points: Array) -> Array:
        """Return the values at points (points, all coordinates)."""
        own = np.array(points[:, list(self.coordinates)], dtype=np.float64)
        for column, (low, length) in self.periods.items():
            own[:, column] = low + np.mod(own[:, column] - low, length)
        return np.asarray(self.spline(own))


def interpolate(
    values: Array, axes: Mapping[int, Axis | Array], *, kinked: frozenset[int] = frozenset(), accuracy: int = 4
) -> GridFunction:
    """Return the tensor-product spline through values on a grid.

    Its error is of an order above that of the formulas, so that a reference is as good between nodes as on them.

    Args:
        values: One axis for each coordinate, in the order of `axes`.
        axes: The places for each coordinate; arrays need not be equally spaced.
        kinked: The coordinates along which slopes may jump; there the spline is of degree 1, which does not overshoot.
        accuracy: Order of the formulas that gave the values.
    """
    knots, degrees, periods = [], [], {}
    coefficients: Array = np.asarray(values, dtype=np.float64)
    for column, (coordinate, axis) in enumerate(axes.items()):
        degree = 1 if coordinate in kinked else max(_LEAST_DEGREE, accuracy + 1)
        places = axis.nodes if isinstance(axis, Axis) else np.asarray(axis)
        if isinstance(axis, Axis) and axis.periodic:
            # A few nodes beyond each end make the spline as good there as inside.
            extra = min(2 * degree, axis.count)
            around = np.arange(-extra, axis.count + extra)
            coefficients = np.asarray(coefficients.take(around, axis=column, mode="wrap"), dtype=np.float64)
            places = np.asarray(axis.low + axis.spacing * around, dtype=np.float64)
            periods[column] = (axis.low, axis.spacing * axis.count)
        k = min(degree, len(places) - 1)
        k -= k % 2 == 0 and k > 0  # even degrees need knots between the nodes
        line = make_interp_spline(places, coefficients, k=k, axis=column)
        coefficients = np.asarray(np.moveaxis(line.c, 0, column), dtype=np.float64)
        knots.append(line.t)
        degrees.append(k)
    if not knots:
        constant = float(coefficients)
        return GridFunction((), lambda points: np.full(len(points), constant), {})
    return GridFunction(tuple(axes), NdBSpline(tuple(knots), coefficients, tuple(degrees)), periods)


def comparison_grid(sides: Sequence[Array]) -> tuple[Array, tuple[int, ...]]:
    """Return the points of a tensor grid (points, coordinates) and its shape; the last coordinate varies fastest."""
    mesh = np.meshgrid(*sides, indexing="ij")
    return np.stack([m.ravel() for m in mesh], axis=1), mesh[0].shape


def counts_within(wanted: Sequence[int], *, most: int = _MOST_POINTS) -> list[int]:
    """Return numbers of intervals that divide the wanted ones by powers of two until the grid has at most so many points."""
    counts = list(wanted)
    while np.prod([n + 1 for n in counts]) > most and max(counts) > 1:
        largest = int(np.argmax(counts))
        counts[largest] = counts[largest] // 2
    return counts


def relative_l2(difference: Array, values: Array, *, free_constant: bool) -> float:
    """Return |difference| / |values| in the root-mean-square sense, without the means of a field fixed up to a constant."""
    if free_constant:
        difference, values = difference - difference.mean(), values - values.mean()
    size = float(np.sqrt(np.mean(values**2)))
    error = float(np.sqrt(np.mean(difference**2)))
    return error / size if size > 0 else error

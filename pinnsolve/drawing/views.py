"""Views: the lines and planes of the domain on which fields are shown, and values on them.

A coordinate that the equations do not differentiate (a parameter), or that carries conditions at one end only (time), orders a
sequence of states; the others span the states themselves. Lines and planes are laid through the latter, at several places of
the former.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.comparison import thinned
from pinnsolve.declaration.counting import orders, planes
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.regions import ROUNDING, Array, Region
from pinnsolve.domains.shapes import factors_of
from pinnsolve.problem import Problem
from pinnsolve.solution import Solution

Values = NDArray[Any]
"""Real or complex values (points,), NaN where there are none."""

Triangles = tuple[Array, NDArray[np.int64]]

_FEWEST_TRIANGLES = 20_000
"""Of the picture of a mesh, whose own are coarser than what is smooth in them."""

_LINE_NODES, _PLANE_NODES = 1001, 201
"""Nodes along each coordinate of a line, and of a plane."""

_LONGEST = 12.0
"""Length over breadth of a region above which its picture is not true to scale."""

_INSTANTS = (0.0, 0.5, 1.0)
"""Where planes are laid along an ordering coordinate, as shares of its range."""

_TIME_NAMES = frozenset({"t", "tau", "time"})
_GAUGE_POINTS = 16_384
_FEWEST_GAUGE_POINTS = 256


@dataclass(frozen=True)
class View:
    """A line or a plane through the domain.

    Args:
        ranges: The one or two coordinates that range, the horizontal one first.
        held: Values of all the others.
        equal: Whether a length is drawn alike in both directions, as between two coordinates of space.
        triangles: Of a plane that a mesh covers: its points (nodes, 2), and their numbers at the corners (triangles, 3).
        units: What is written behind the numbers of coordinates that have a unit, by name.
    """

    ranges: Mapping[Symbol, tuple[float, float]]
    held: Mapping[Symbol, float]
    equal: bool = False
    triangles: Triangles | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def axes(self) -> tuple[Symbol, ...]:
        """The coordinates that range."""
        return tuple(self.ranges)

    @property
    def shape(self) -> float | None:
        """Height over width of the picture of a plane, or None where it may have any."""
        if not self.equal:
            return None
        (left, right), (low, high) = self.ranges.values()
        return (high - low) / (right - left)

    @property
    def nodes(self) -> tuple[Array, ...]:
        """Equally spaced values of each coordinate that ranges, both ends included."""
        count = _LINE_NODES if len(self.ranges) == 1 else _PLANE_NODES
        return tuple(np.linspace(*ends, count) for ends in self.ranges.values())

    def points(self, coordinates: tuple[Symbol, ...]) -> Array:
        """Return the grid of nodes, or those of triangles, as points (nodes, coordinates); the horizontal one varies fastest."""
        mesh = np.meshgrid(*self.nodes) if self.triangles is None else list(self.triangles[0].T)
        columns = {c: m.ravel() for c, m in zip(self.axes, mesh, strict=True)}
        chosen = [columns[c] if c in columns else np.full(mesh[0].size, self.held[c]) for c in coordinates]
        return np.stack(chosen, axis=1)

    def shaped(self, values: Values) -> Values:
        """Return values at `points` as they lie in the picture: (nodes,), or (vertical, horizontal) on the grid of a plane."""
        if self.triangles is not None:
            return values
        return values.reshape([len(nodes) for nodes in reversed(self.nodes)])

    def moved(self, held: Mapping[Symbol, float]) -> View:
        """Return the line or plane of the same directions with some coordinates held elsewhere."""
        ranges = {c: ends for c, ends in self.ranges.items() if c not in held}
        triangles = self.triangles if len(ranges) == 2 else None
        return View(ranges, {**self.held, **held}, self.equal and len(ranges) == 2, triangles, self.units)


def ordering_coordinates(problem: Problem) -> tuple[Symbol, ...]:
    """Return the coordinates that order a sequence of states: time, if there is one, then parameters.

    Time is differentiated and carries conditions at one end only. Where several coordinates do, as with a wave that enters at
    an inlet, or none does, as in an inverse problem, its name decides.
    """
    highest = orders(problem.terms, problem.fields)
    order = {c: max(highest.get((f.func.__name__, c), 0) for f in problem.fields) for c in problem.coordinates}
    slots = {f.func.__name__: f.args for f in problem.fields}
    stands = [p for t in problem.terms if t.kind == "condition" for p in planes(t, slots, problem.bounds)]
    moving = [c for c in problem.coordinates if order[c]]
    alone = [c for c in moving if c in problem.domain.intervals]
    pinned = [c for c in alone if _at_one_end({p.value for p in stands if p.coordinate == c}, problem.bounds[c])]
    named = [c for c in pinned or alone if c.name in _TIME_NAMES]
    time = named[:1] or sorted(pinned, key=lambda c: order[c])[:1]
    return (*time, *(c for c in problem.coordinates if not order[c]))


def arrange(
    ranges: Mapping[Symbol, tuple[float, float]], problem: Problem, *, through: Mapping[Symbol, float] | None = None
) -> tuple[View, ...]:
    """Choose the line, the plane, or the three planes on which a function of some coordinates is shown.

    Args:
        ranges: The coordinates of the function, with the ends of what is shown.
        problem: Gives the other coordinates, held in the middle, and which of them order a sequence.
        through: A point that planes through more than two coordinates shall contain; the middle when left out.

    Returns:
        One view for up to two coordinates. Three otherwise: planes at several instants, or three planes through one point.
    """
    whole = {**problem.bounds, **ranges}
    centre = {c: (low + high) / 2 for c, (low, high) in whole.items()} | dict(through or {})
    ordering = [c for c in ordering_coordinates(problem) if c in ranges]
    space = [c for c in ranges if c not in ordering]
    units = problem.units.texts

    def view(*axes: Symbol) -> View:
        lengths = [whole[c][1] - whole[c][0] for c in axes]
        alike = len({units.get(c.name) for c in axes}) == 1
        equal = len(axes) == 2 and set(axes) <= set(space) and alike and max(lengths) <= _LONGEST * min(lengths)
        held = {c: v for c, v in centre.items() if c not in axes}
        return View({c: whole[c] for c in axes}, held, equal, _triangles(axes, ranges, problem), units)

    if len(ranges) == 1:
        return (view(*ranges),)
    if len(ranges) == 2:
        return (view(*ordering[:1], *space, *ordering[1:]),)
    if not ordering:
        x, y, z = space[:3]
        return view(x, y), view(x, z), view(y, z)
    plane = space[:2] if len(space) > 1 else [*ordering, *space][:1] + [*space, *ordering[1:]][:1]
    swept = next(c for c in ordering if c not in plane)
    return tuple(view(*plane).moved({swept: v}) for v in _places(whole[swept], (through or {}).get(swept)))


def _triangles(
    axes: Sequence[Symbol], ranges: Mapping[Symbol, tuple[float, float]], problem: Problem
) -> Triangles | None:
    """Return the triangles of a mesh that covers a plane, divided until they are many."""
    for factor in factors_of(problem.domain):
        if isinstance(factor, Mesh) and set(factor.coordinates) == set(axes) and len(axes) == 2:
            nodes, rows = factor.nodes[:, [factor.coordinates.index(c) for c in axes]], factor.simplices
            while len(rows) < _FEWEST_TRIANGLES:
                nodes, rows = _divided(nodes, rows)
            low, high = np.array([ranges[c] for c in axes]).T
            spare = ROUNDING * (high - low)
            shown = ((nodes >= low - spare) & (nodes <= high + spare)).all(axis=1)
            return nodes, rows[shown[rows].all(axis=1)]
    return None


def _divided(nodes: Array, rows: NDArray[np.int64]) -> Triangles:
    """Divide each triangle into four."""
    sides = np.sort(np.concatenate([rows[:, [0, 1]], rows[:, [1, 2]], rows[:, [2, 0]]]), axis=1)
    unique, which = np.unique(sides, axis=0, return_inverse=True)
    ab, bc, ca = len(nodes) + which.ravel().reshape(3, -1)
    a, b, c = rows.T
    quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return np.concatenate([nodes, nodes[unique].mean(axis=1)]), np.concatenate([np.stack(q, axis=1) for q in quarters])


def field_values(solution: Solution, field: AppliedUndef, points: Array) -> Values:
    """Return a field at points (points, all coordinates), NaN outside the domain."""
    inside = solution.problem.domain.contains(points)
    columns = _columns(solution.problem, points[inside])
    return _spread(solution.evaluate(field, **columns), inside)


def residual_values(solution: Solution, name: str, region: Region, points: Array) -> Values:
    """Return the residual of a term at points (points, all coordinates), NaN outside the region where it holds."""
    problem = solution.problem
    inside = problem.domain.contains(points)
    inside &= region.contains(points[:, [problem.coordinates.index(c) for c in region.coordinates]])
    return _spread(solution.residual(name, **_columns(problem, points[inside])), inside)


def reference_values(solution: Solution, field: AppliedUndef, points: Array) -> Values | None:
    """Return the reference of a field at points (points, all coordinates), or None where there is none.

    A field that is fixed only up to a constant, or to a function of some coordinates, is shifted to the mean of the solution.
    """
    problem, reference, name = solution.problem, solution.reference, field.func.__name__
    if reference is None:
        return None
    truth = _truth(solution, field, points)
    if truth is not None and name in problem.homes:
        at_home = [
            r.contains(points[:, [problem.coordinates.index(c) for c in r.coordinates]]) for r in problem.homes[name]
        ]
        truth = np.where(np.any(at_home, axis=0), truth, np.nan)
    gauge = problem.gauges.get(name)
    if truth is None or gauge is None:
        return truth
    columns = [problem.coordinates.index(c) for c in gauge]
    places, group = np.zeros((1, 0)), np.zeros(len(points), dtype=int)
    if columns:
        places, group = np.unique(points[:, columns], axis=0, return_inverse=True)
    sample = thinned(reference, max(_FEWEST_GAUGE_POINTS, _GAUGE_POINTS // len(places))).points
    moved = np.tile(sample, (len(places), 1))
    moved[:, columns] = np.repeat(places, len(sample), axis=0)
    shifts = (field_values(solution, field, moved) - _truth(solution, field, moved)).reshape(len(places), len(sample))
    finite = np.isfinite(shifts)
    totals = np.where(finite, shifts, 0.0).sum(axis=1)
    means = np.divide(totals, finite.sum(axis=1), where=finite.any(axis=1), out=np.full_like(totals, np.nan))
    return truth + means[group.ravel()]


def _truth(solution: Solution, field: AppliedUndef, points: Array) -> Any:
    values = solution.reference.evaluate(points)
    name = field.func.__name__
    parts = solution.problem.complex_fields.get(name)
    if parts is None:
        return values.get(name)
    real, imaginary = (values.get(p.func.__name__) for p in (parts.real, parts.imaginary))
    return None if real is None or imaginary is None else real + 1j * imaginary


def _columns(problem: Problem, points: Array) -> dict[str, Array]:
    return {c.name: points[:, k] for k, c in enumerate(problem.coordinates)}


def _spread(values: Values, inside: NDArray[np.bool_]) -> Values:
    """Return the values of the inner points, widened to double precision, among NaN for the others."""
    spread = np.full(len(inside), np.nan, dtype=np.result_type(values, np.float64))
    spread[inside] = values
    return spread


def _places(ends: tuple[float, float], wanted: float | None) -> list[float]:
    """Return where planes are laid between two ends: in even steps, the nearest moved to the wanted place."""
    low, high = ends
    places = [low + share * (high - low) for share in _INSTANTS]
    if wanted is not None:
        nearest = min(range(len(places)), key=lambda k: abs(places[k] - wanted))
        places[nearest] = wanted
    return places


def _at_one_end(values: set[float | None], ends: tuple[float, float]) -> bool:
    """Tell whether conditions stand at one end, and nowhere else."""
    slack = ROUNDING * (ends[1] - ends[0])
    return any(values and all(v is not None and abs(v - end) <= slack for v in values) for end in ends)

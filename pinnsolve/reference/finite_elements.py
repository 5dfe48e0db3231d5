"""Finite elements on plane regions of any shape, as a reference that knows its own error."""

from __future__ import annotations

import functools
import time as clock
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np
from sympy import Symbol

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.images import Array
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem
from pinnsolve.reference.discretisation import Discretisation, discretise, evolution_level, steady_level
from pinnsolve.reference.elements import Elements, require_scikit_fem
from pinnsolve.reference.exact import places_of_comparison
from pinnsolve.reference.natural_conditions import Stretch, check_elliptic, impose
from pinnsolve.reference.outlines import Outline, trace
from pinnsolve.reference.refinement import Refinement, refine
from pinnsolve.reference.regional import Regional, read_regional, refusal
from pinnsolve.reference.result import Level, Reference
from pinnsolve.reference.rosenbrock import OutOfTimeError
from pinnsolve.reference.triangulation import Numbers, Triangulation, triangulate
from pinnsolve.reference.weak_form import read_weak_form

_ORDERS, _USUAL_ORDER = (1, 2), 2
_FIRST_TRIANGLES, _FIRST_IN_TIME = 100, 40
_MOST_NODES = 250_000
"""Unknowns beyond which the sparse LU of a mesh no longer fits a minute and a few gigabytes."""

_GROWTH = 5.0
"""Factor in the cost of a solution when edges are halved: between 4, of assembly, and 8, of a sparse LU in the plane, n^(3/2)."""

_GROWTH_IN_TIME = 2.5
"""Less, since the steps of a coarse mesh cost much the same whatever its size; their number ends at the time limit anyway."""

_LEAST_HALVINGS = 2
_MOST_COORDINATES = 4
_ATTEMPTS = 5
_COMPARED = 20_000
"""Places at which two meshes are compared."""

_TOLERANCE, _FEWEST_STEPS = 1e-9, 64
_LOOKS = 5
"""Places on each curve at which conditions are tried."""


@dataclass(frozen=True)
class FiniteElements:
    """Solve the problem by finite elements whose weak form follows from the same declaration.

    Args:
        size: Length of edges on the finest of three or more triangulations; chosen, and refined until the estimated error is
            about 1e-5 or less, when omitted.
        order: Of the elements, 1 or 2; curved boundaries are approximated to the same order.
        unknowns: Values at which unknown parameters are held; the values given to `solve` otherwise.
        seconds: Time limit.

    Raises:
        ProblemError: A size or a time limit that is not positive, or another order.
    """

    size: float | None = None
    _: KW_ONLY
    order: int = _USUAL_ORDER
    unknowns: Mapping[Symbol, float] | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.size is not None and not (isinstance(self.size, int | float | np.number) and 0 < self.size < np.inf):
            raise ProblemError("FiniteElements", f"size={self.size!r}", "give a positive length, or leave it out")
        if not isinstance(self.order, int | np.integer) or self.order not in _ORDERS:
            raise ProblemError("FiniteElements", f"order={self.order!r}", "give 1 or 2, or leave it out")
        if not self.seconds > 0:
            raise ProblemError("FiniteElements", f"seconds={self.seconds!r}", "give a positive number of seconds")


def finite_element_reference(problem: Problem, spec: FiniteElements, *, unknowns: Mapping[Symbol, float]) -> Reference:
    """Return the solution by finite elements on finer and finer triangulations.

    Raises:
        UnsupportedError: The problem has no weak form that these elements solve, with the reason.
    """
    began = clock.monotonic()
    require_scikit_fem()
    if len(problem.coordinates) > _MOST_COORDINATES:  # before reading, which takes minutes in a hundred dimensions
        raise refusal("domain", f"{len(problem.coordinates)} coordinates, and triangles fill planes, for some time")
    regional = read_regional(problem, unknowns)
    outline = _outline(problem, regional)
    coarsest = _coarsest(outline, regional, spec)
    discretisation, kinds = _discretisation(problem, regional, outline, coarsest)
    points, shape = places_of_comparison(problem)
    chosen = np.random.default_rng(0).permutation(len(points))[:_COMPARED]
    try:
        refinement = _refine(discretisation, kinds, coarsest, spec, points[chosen], began + spec.seconds)
    except OutOfTimeError as error:
        raise refusal("equations", str(error), "give FiniteElements(seconds=...) more time") from error
    finest = refinement.levels[-1]

    def evaluate(places: Array) -> dict[str, Array]:
        places = np.asarray(places, dtype=np.float64)
        inside = problem.domain.contains(places)
        found = {name: np.full(len(places), np.nan) for name in finest.functions}
        for name, function in finest.functions.items():
            found[name][inside] = function(places[inside])
        return found

    words = {1: "linear", 2: "quadratic"}
    in_time = "" if regional.time is None else ", Rodas5P in time,"
    return Reference(
        kind="finite_element",
        points=points,
        values=evaluate(points),
        shape=shape,
        evaluate=evaluate,
        estimated_relative_l2=refinement.error,
        seconds=clock.monotonic() - began,
        table=refinement.table,
        method=f"{words[spec.order]} finite elements{in_time} on {finest.label}",
        levels=refinement.levels,
    )


def _outline(problem: Problem, regional: Regional) -> Outline:
    conditions = [placed for placed in regional.terms if placed.on_boundary]
    boundaries = [placed.region for placed in conditions if isinstance(placed.region, Boundary)]

    def marks(places: Array) -> Array:
        points = _with_time(problem, regional, places)
        held = [p.holds(points, problem.coordinates, size=regional.shape.size) for p in conditions]
        return np.column_stack([np.zeros((len(places), 0), dtype=bool), *held])

    return trace(regional.shape, boundaries, marks)


def _with_time(problem: Problem, regional: Regional, places: Array) -> Array:
    """Return places (places, 2) as points of all coordinates, in the middle of the time."""
    points = np.empty((len(places), len(problem.coordinates)))
    for k, c in enumerate(problem.coordinates):
        own = k != regional.time
        points[:, k] = places[:, regional.shape.coordinates.index(c)] if own else np.mean(problem.bounds[c])
    return points


def _coarsest(outline: Outline, regional: Regional, spec: FiniteElements) -> Triangulation:
    """Return the first triangulation, fine enough for its curved triangles not to be turned over."""
    area = regional.shape.measure
    size = _edge_of(area / (_FIRST_TRIANGLES if regional.time is None else _FIRST_IN_TIME))
    if spec.size is not None:
        wanted = float(spec.size)
        size = min(wanted * 2 ** max(_LEAST_HALVINGS, int(np.log2(size / wanted))), outline.size)
        nodes = (spec.order / wanted) * (spec.order / wanted * area + sum(c.length for c in outline.curves))
        if nodes > _MOST_NODES:
            asked = f"size={spec.size!r} asks for about {nodes:,.0f} nodes"
            raise ProblemError("FiniteElements", asked, f"give a size for fewer than {_MOST_NODES:,}")
    for _ in range(_ATTEMPTS):
        found = triangulate(outline, size)
        if not Elements(found, spec.order).is_turned_over:
            return found
        size /= 2
    raise refusal("domain", "its boundary is too curved for triangles of this size")


def _edge_of(area: float) -> float:
    """Return the edge of an equilateral triangle."""
    return float(np.sqrt(4 * area / np.sqrt(3)))


def _discretisation(
    problem: Problem, regional: Regional, outline: Outline, coarsest: Triangulation
) -> tuple[Discretisation, Numbers]:
    """Return the weak form, compiled, and for every curve which kind of wall it is."""
    form = read_weak_form(regional, problem.coordinates, names=[f.func.__name__ for f in problem.fields])
    centres = coarsest.points[coarsest.cells].mean(axis=1)
    check_elliptic(form, _with_time(problem, regional, centres))
    conditions = [placed.reading for placed in regional.terms if placed.on_boundary]
    every, kinds = np.unique(outline.marks, axis=0, return_inverse=True)
    looks = (np.arange(_LOOKS) + 0.5) / _LOOKS
    stretches = []
    for kind, marks in enumerate(every):
        own = [curve for curve, k in zip(outline.curves, kinds.ravel(), strict=True) if k == kind]
        places = np.concatenate([curve.at(looks) for curve in own])
        normals = regional.shape.boundary.normals_at(places)
        numbers = tuple(int(k) for k in np.flatnonzero(marks))
        stretches.append(Stretch(numbers, _with_time(problem, regional, places), normals))
    form, walls = impose(form, conditions, stretches, normals=regional.normals)
    time = regional.time
    span = (0.0, 1.0) if time is None else problem.bounds[problem.coordinates[time]]
    return discretise(form, walls, regional.initial, normals=regional.normals, span=span), kinds.ravel()


def _refine(
    discretisation: Discretisation,
    kinds: Numbers,
    coarsest: Triangulation,
    spec: FiniteElements,
    points: Array,
    deadline: float,
) -> Refinement:
    solve = functools.partial(_level, discretisation, kinds, points=points, deadline=deadline)
    return refine(
        solve,
        _meshes(coarsest, spec, len(discretisation.form.unknowns.fields)),
        accuracy=spec.order + 1,
        all_grids=spec.size is not None,
        growth=_GROWTH if discretisation.form.time is None else _GROWTH_IN_TIME,
        deadline=deadline,
    )


def _level(
    discretisation: Discretisation,
    kinds: Numbers,
    elements: Elements,
    previous: Level | None,
    *,
    points: Array,
    deadline: float,
) -> Level:
    if discretisation.form.time is None:
        return steady_level(discretisation, elements, kinds, previous=previous, points=points)
    return evolution_level(
        discretisation,
        elements,
        kinds,
        points=points,
        tolerance=_TOLERANCE,
        steps=_FEWEST_STEPS,
        deadline=deadline,
        first=previous is None,
    )


def _meshes(coarsest: Triangulation, spec: FiniteElements, fields: int) -> Iterator[Elements]:
    """Yield elements on finer and finer triangulations: down to the size where it is given, else as many as memory allows."""
    current, halvings = coarsest, 0
    last = None if spec.size is None else max(_LEAST_HALVINGS, round(np.log2(coarsest.wanted / float(spec.size))))
    while halvings <= last if last is not None else fields * spec.order**2 * len(current.points) <= _MOST_NODES:
        yield Elements(current, spec.order)
        current, halvings = current.refined(), halvings + 1

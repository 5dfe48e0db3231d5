"""Finite elements on plane regions of any shape, as a reference that knows its own error."""

from __future__ import annotations

import functools
import time as clock
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np
from sympy import Symbol, solve

from pinnsolve.domains.images import Array
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem
from pinnsolve.reference.covering import LEAST_HALVINGS, Covering, cover
from pinnsolve.reference.discretisation import Discretisation, Pin, discretise, evolution_level, steady_level
from pinnsolve.reference.elements import Elements, require_scikit_fem
from pinnsolve.reference.exact import places_of_comparison
from pinnsolve.reference.natural_conditions import check_elliptic, impose
from pinnsolve.reference.pressures import check_saddle
from pinnsolve.reference.refinement import Refinement, refine
from pinnsolve.reference.regional import Regional, read_regional, refusal
from pinnsolve.reference.result import Level, Reference
from pinnsolve.reference.rosenbrock import OutOfTimeError
from pinnsolve.reference.triangulation import Numbers
from pinnsolve.reference.weak_form import WeakForm, read_weak_form

_ORDERS, _USUAL_ORDER = (1, 2), 2
_MOST_NODES = {2: 250_000, 3: 60_000}
"""Unknowns beyond which the sparse LU of a mesh no longer fits a minute and a few gigabytes, by dimension."""

_GROWTH = {2: 5.0, 3: 30.0}
"""Factor in the cost of a solution when edges are halved: in the plane between 4, of assembly, and 8, of a sparse LU, n^(3/2);
in space between 8 and 64, n^2, and 26 from 4,400 to 33,000 unknowns."""

_GROWTH_OF_FLOWS = 9.0
"""With a pressure the LU must pivot, and is nearly all of the cost: 8, and a little for cache misses."""

_GROWTH_IN_TIME = 2.5
"""Less, since the steps of a coarse mesh cost much the same whatever its size; their number ends at the time limit anyway."""

_MOST_COORDINATES = 4
_COMPARED = 20_000
"""Places at which two meshes are compared."""

_TOLERANCE, _FEWEST_STEPS = 1e-9, 64


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

    Example:
        >>> reference = ps.FiniteElements(size=0.05, order=1)
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
    covering = cover(problem, regional, order=spec.order, size=spec.size)
    discretisation = _discretisation(problem, regional, covering, spec)
    points, shape = places_of_comparison(problem)
    chosen = np.random.default_rng(0).permutation(len(points))[:_COMPARED]
    try:
        refinement = _refine(discretisation, covering, spec, points[chosen], began + spec.seconds)
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
    word = words[spec.order] if discretisation.form.pressure is None else "Taylor-Hood"
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
        method=f"{word} finite elements{in_time} on {finest.label}",
        levels=refinement.levels,
    )


def _discretisation(problem: Problem, regional: Regional, covering: Covering, spec: FiniteElements) -> Discretisation:
    """Return the weak form, compiled."""
    form = read_weak_form(regional, problem.coordinates, names=[f.func.__name__ for f in problem.fields])
    if form.pressure is not None:
        _check_flow(form, spec)
    check_elliptic(form, covering.inner)
    check_saddle(form, covering.inner)
    conditions = [placed.reading for placed in regional.terms if placed.on_boundary]
    form, walls = impose(form, conditions, covering.stretches, normals=regional.normals)
    time = regional.time
    span = (0.0, 1.0) if time is None else problem.bounds[problem.coordinates[time]]
    discretised = discretise(form, walls, regional.initial, normals=regional.normals, span=span)
    return replace(discretised, pin=_pin(form, regional, len(problem.coordinates)))


def _pin(form: WeakForm, regional: Regional, coordinates: int) -> Pin | None:
    """Return the value of a pressure at a point, if one is given.

    Raises:
        UnsupportedError: Another condition at a point.
    """
    found: Pin | None = None
    for placed in regional.terms:
        if placed.point is None:
            continue
        expression, name = form.canonical(placed.reading), placed.reading.name
        own = None if form.pressure is None else form.unknowns.values[form.pressure]
        value = None if own is None or expression.free_symbols != {own} else solve(expression, own)
        if found is not None or value is None or len(value) != 1:
            raise refusal(name, "it holds at a point, where only a pressure can be given, once")
        place = np.zeros((1, coordinates))
        place[0, list(placed.point)] = list(placed.point.values())
        found = Pin(name, place, float(value[0]))
    return found


def _check_flow(form: WeakForm, spec: FiniteElements) -> None:
    """Raise where a pressure asks for other elements, or for another method in time.

    In space every tetrahedron would need a vertex that is not on the boundary (Boffi, SIAM J. Numer. Anal. 34, 1997).

    Raises:
        UnsupportedError: Linear elements, an evolution, or a flow in space.
    """
    name = form.names[form.unknowns.fields[form.pressure or 0][0]]
    if form.time is not None or len(form.space) > 2:
        found = f"{name} is a pressure, and flows are solved where they are plane and steady only"
        raise refusal(form.rows[form.pressure or 0].name, found)
    if spec.order == 1:
        found = f"{name} is a pressure, which needs velocities of order 2"
        raise refusal("FiniteElements", found, "give order=2, or leave it out")


def _refine(
    discretisation: Discretisation, covering: Covering, spec: FiniteElements, points: Array, deadline: float
) -> Refinement:
    on_mesh = functools.partial(_level, discretisation, covering.kinds, points=points, deadline=deadline)
    return refine(
        on_mesh,
        _meshes(covering, spec, len(discretisation.form.unknowns.fields)),
        accuracy=spec.order + 1,
        all_grids=spec.size is not None,
        growth=_growth(discretisation.form),
        deadline=deadline,
    )


def _growth(form: WeakForm) -> float:
    """Return the factor in the cost of a solution when edges are halved."""
    if form.time is not None:
        return _GROWTH_IN_TIME
    return _GROWTH[len(form.space)] if form.pressure is None else _GROWTH_OF_FLOWS


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


def _meshes(covering: Covering, spec: FiniteElements, fields: int) -> Iterator[Elements]:
    """Yield elements on finer and finer triangulations: down to the size where it is given, else as many as memory allows."""
    current, halvings = covering.coarsest, 0
    last = None if spec.size is None else max(LEAST_HALVINGS, round(np.log2(current.wanted / float(spec.size))))
    dimension = current.points.shape[1]
    most = _MOST_NODES[dimension]
    while halvings <= last if last is not None else fields * spec.order**dimension * len(current.points) <= most:
        yield Elements(current, spec.order, covering.groups)
        current, halvings = current.refined(), halvings + 1

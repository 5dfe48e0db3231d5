"""Steady plane incompressible flow in a rectangle: one equation of fourth order for the stream function, solved by polynomials.

Polynomials of a quarter, half and all of the degree give the error. Between walls at rest that meet at a right angle the stream
function is of order r^3.74 (Moffatt, Journal of Fluid Mechanics 18, 1964, p. 1), of which polynomials of degree N leave about
N^-6.5 of the velocity and N^-5.5 of the pressure in the mean. A smooth flow converges faster than any power, and better than said.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np
from sympy import Symbol

from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.galerkin import Galerkin, Motion
from pinnsolve.reference.plane_flow import read_plane_flow
from pinnsolve.reference.refinement import refine
from pinnsolve.reference.result import Level, Reference, comparison_grid
from pinnsolve.reference.rosenbrock import OutOfTimeError

_FEWEST, _MOST = 24, 128
_BELIEVED = 5
"""Order that the estimated error counts on, that of the pressure beside corners."""

_ROUNDING = 5e-11
"""No error is estimated below this: what the slopes of a solution of fourth order lose to rounding at degrees of 50 to 100."""

_GROWTH = 16.0
_SIDE = 128
"""Places of comparison along x and y, in the middle of so many equal intervals: the pressure may be infinite at a corner."""

_AT_ONCE = 10_000


@dataclass(frozen=True)
class StreamFunction:
    """Solve a steady plane flow between four walls by polynomials for its stream function.

    Args:
        cells: Degree of the polynomials in each coordinate, a multiple of 4; those of half and a quarter give the error.
        unknowns: Values at which unknown parameters are held; the values given to `solve` otherwise.
        seconds: Time limit.

    Raises:
        ProblemError: A degree that is too small or too large, or a time limit that is not positive.

    Example:
        >>> reference = ps.StreamFunction(cells=48)
    """

    cells: int = 64
    _: KW_ONLY
    unknowns: Mapping[Symbol, float] | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        cells = self.cells
        if not isinstance(cells, int | np.integer) or not _FEWEST <= cells <= _MOST or cells % 4:
            raise ProblemError("StreamFunction", f"cells={cells!r}", f"give a multiple of 4 from {_FEWEST} to {_MOST}")
        if not self.seconds > 0:
            raise ProblemError("StreamFunction", f"seconds={self.seconds!r}", "give a positive number of seconds")


def stream_function_reference(problem: Problem, spec: StreamFunction, *, unknowns: Mapping[Symbol, float]) -> Reference:
    """Return the solution of a steady plane flow.

    The velocity is finite everywhere. The pressure, compared without its mean, is NaN at a corner where it is infinite: where the
    slopes of the walls' velocities leave a divergence.

    Raises:
        UnsupportedError: Another kind of problem, with what is in the way.
    """
    began = clock.monotonic()
    deadline = began + spec.seconds
    flow, roles = read_plane_flow(problem, unknowns)
    names = tuple(problem.fields[k].func.__name__ for k in (*roles.velocity, roles.pressure))
    points, shape = comparison_grid(
        [low + (high - low) * (np.arange(_SIDE) + 0.5) / _SIDE for low, high in flow.bounds]
    )
    motions: list[Motion] = []

    def solve(degree: int, _: Level | None) -> Level:
        motions.append(Galerkin(flow, degree).solve(motions[-1] if motions else None, deadline=deadline))
        label = ", ".join(f"{coordinate} {degree}" for coordinate in problem.coordinates)
        functions = {name: _component(motions[-1], k) for k, name in enumerate(names)}
        return Level(label, {0: degree, 1: degree}, functions, points, free=frozenset(names[2:]))

    try:
        refinement = refine(
            solve,
            (spec.cells // 4, spec.cells // 2, spec.cells),
            accuracy=_BELIEVED,
            all_grids=True,
            growth=_GROWTH,
            deadline=deadline,
            rounding=_ROUNDING,
        )
    except OutOfTimeError as error:
        found = f"no stream-function reference: {error}"
        raise UnsupportedError("equations", found, "give ps.StreamFunction(seconds=...) more time") from error
    if len(refinement.levels) < 2:
        found = (
            f"no stream-function reference: degree {refinement.levels[-1].label} alone has a solution, of unknown error"
        )
        raise UnsupportedError("equations", found, "give ps.StreamFunction(...) more cells or seconds")

    def evaluate(places: Array) -> dict[str, Array]:
        places = np.asarray(places, dtype=np.float64)
        inside = problem.domain.contains(places)
        values = zip(names, _values(motions[-1], places), strict=True)
        return {name: np.where(inside, column, np.nan) for name, column in values}

    return Reference(
        kind="stream_function",
        points=points,
        values=evaluate(points),
        shape=shape,
        evaluate=evaluate,
        estimated_relative_l2=refinement.error,
        seconds=clock.monotonic() - began,
        table=refinement.table,
        method=f"stream function by Legendre polynomials of degree {refinement.levels[-1].label}",
        levels=refinement.levels,
    )


def _component(motion: Motion, number: int) -> Callable[[Array], Array]:
    return lambda points: _values(motion, points)[number]


def _values(motion: Motion, points: Array) -> tuple[Array, Array, Array]:
    """Return u, v and p at points, a few thousand at once: polynomials of every degree are tabulated at each."""
    pieces = [motion(*points[start : start + _AT_ONCE].T) for start in range(0, max(len(points), 1), _AT_ONCE)]
    u, v, p = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return u, v, p

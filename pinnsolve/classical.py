"""A classical solver beside the network: how well and how fast the same declaration is solved without one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sympy import Symbol

from pinnsolve.domains.regions import Box
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.exact import Exact
from pinnsolve.reference.finite_elements import FiniteElements
from pinnsolve.reference.result import Reference, relative_l2
from pinnsolve.reference.solve import FiniteDifferences, solve_reference
from pinnsolve.reference.spectral import Spectral
from pinnsolve.reference.state import State
from pinnsolve.reference.stream_function import StreamFunction

Solver = FiniteDifferences | FiniteElements | Spectral | StreamFunction

COMPUTED = (FiniteDifferences, FiniteElements, Spectral, StreamFunction)


@dataclass(frozen=True)
class Classical:
    """What a classical solver does on the same declaration.

    Args:
        method: Which, and on how fine a grid.
        seconds: Its time.
        error: Its largest relative L2 error: against a closed form where there is one, else its own estimate.
    """

    method: str
    seconds: float
    error: float


def automatic(problem: Problem) -> tuple[Solver, ...]:
    """Return what is tried in turn where a problem names no reference: on boxes grids first, triangles elsewhere."""
    on_boxes = (FiniteDifferences(), StreamFunction()) if isinstance(problem.domain, Box) else ()
    return (*on_boxes, FiniteElements())


def solve_first(
    problem: Problem, specs: Iterable[Solver], *, unknowns: Mapping[Symbol, float], state: State | None = None
) -> tuple[Reference, Solver]:
    """Return the solution of the first solver that reads a problem, and this.

    Raises:
        UnsupportedError: None does; the reason is that of the first.
    """
    refusals = []
    for spec in specs:
        try:
            return solve_reference(problem, spec, unknowns=unknowns, state=state), spec
        except UnsupportedError as error:
            refusals.append(error)
    raise refusals[0]


def solve_beside(
    problem: Problem,
    spec: Any,
    truth: Reference | None,
    *,
    unknowns: Mapping[Symbol, float],
    seconds: float | None = None,
) -> Classical | None:
    """Return time and error of the classical solver that a problem names as its reference, or else of the first that reads it.

    Args:
        problem: The declaration.
        spec: Its reference, which decides what is tried.
        truth: The solution of the reference, where it is known; one that a classical solver found is not solved again.
        unknowns: Values of unknown parameters.
        seconds: Time limit; the solvers' own when omitted.
    """
    if isinstance(spec, COMPUTED) and truth is not None:
        # For fields taken from the network it has solved another, easier problem.
        return None if truth.given else Classical(truth.method, truth.seconds, _own(truth))
    held = {**unknowns, **(getattr(spec, "unknowns", None) or {})}
    specs: tuple[Solver, ...] = (spec,) if isinstance(spec, COMPUTED) else automatic(problem)
    if seconds is not None:
        specs = tuple(replace(s, seconds=seconds) for s in specs)
    try:
        found, _ = solve_first(problem, specs, unknowns=held)
    except ProblemError:  # whatever it is, what it stands beside is there without it
        return None
    error = _true_error(problem, found, truth) if isinstance(spec, Exact) and truth is not None else _own(found)
    return Classical(found.method, found.seconds, error)


def _own(found: Reference) -> float:
    return float(np.max(list(found.estimated_relative_l2.values()), initial=-math.inf))


def _true_error(problem: Problem, found: Reference, truth: Reference) -> float:
    values = found.evaluate(truth.points)
    return max(
        relative_l2((values[name] - column)[known], column[known], free_constant=name in problem.gauges)
        for name, column in truth.values.items()
        for known in [np.isfinite(values[name]) & np.isfinite(column)]
    )

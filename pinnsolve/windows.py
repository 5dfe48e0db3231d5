"""Windows of a problem: whether it can be solved in successive ranges of a coordinate, and what remains of it in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sympy import Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.declaration.counting import orders
from pinnsolve.declaration.scales import places_of, reach_of_network
from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals
from pinnsolve.domains.regions import ROUNDING, Boundary
from pinnsolve.errors import ProblemError
from pinnsolve.networks.architectures import Architecture
from pinnsolve.networks.windows import Windows
from pinnsolve.points import Span
from pinnsolve.problem import Problem

_HIGHEST_ORDER = 3

WINDOWS, _FEW_WINDOWS, _SHORT = 8, 4, 40.0
"""How many a run chooses by itself, and how many where it has fewer seconds than these: each needs some dozens of steps."""


def in_windows(problem: Problem, network: Any, counts: Mapping[Any, int]) -> Any:
    """Return the description of a network for each window; the network itself where there is one window.

    Args:
        problem: The declaration.
        network: The description of one network.
        counts: The number of windows of one coordinate.

    Raises:
        ProblemError: The declaration is no evolution in this coordinate, or joins one of its values with others.
    """
    coordinate, count = next(iter(counts.items()), (None, 1))
    if count == 1:
        return network
    where = f"windows={{{coordinate}: {count}}}"
    if coordinate not in problem.coordinates:
        found = f"{coordinate!r} is no coordinate"
        raise ProblemError(where, found, f"use one of {', '.join(map(str, problem.coordinates))}")
    if not isinstance(network, Architecture):
        raise ProblemError(where, "a module of your own is one network", "write ps.MLP(...) or another architecture")
    if problem.unknowns:
        found = f"the unknown {next(iter(problem.unknowns))} belongs to all windows at once"
        raise ProblemError(where, found, "leave the windows out")
    for field in problem.fields:
        if coordinate not in field.args:
            raise ProblemError(where, f"{field} does not depend on {coordinate}", "leave the windows out")
    for term in problem.terms:
        _check_term(where, term, problem, coordinate)
    highest = orders(problem.terms, problem.fields)
    order = max(highest[f.func.__name__, coordinate] for f in problem.fields)
    if not 1 <= order <= _HIGHEST_ORDER:
        found = f"the equations have the order {order} in {coordinate}, and windows serve 1 to {_HIGHEST_ORDER}"
        raise ProblemError(where, found, "leave the windows out")
    edges = np.linspace(*problem.bounds[coordinate], count + 1).tolist()
    # Of ordinary differential equations alone, which need it: what is said of others was measured with networks as they are.
    ordinary = len(problem.coordinates) == 1
    sizes = tuple(_size(problem, field, coordinate, count) for field in problem.fields) if ordinary else ()
    return Windows(network, problem.coordinates.index(coordinate), tuple(edges), order, sizes)


def count_within(seconds: float | None) -> int:
    """Return how many windows a run of so many seconds chooses."""
    return WINDOWS if seconds is None or seconds >= _SHORT else _FEW_WINDOWS


def can_be_cut(problem: Problem, network: Any, coordinate: Symbol) -> bool:
    """Return whether a problem can be solved in the windows of a coordinate that a run chooses by itself."""
    try:
        return in_windows(problem, network, {coordinate: WINDOWS}) is not network
    except ProblemError:
        return False


def _size(problem: Problem, field: AppliedUndef, coordinate: Symbol, count: int) -> float:
    """Return how much larger the network of a field must be for it to change in the first window by as much as in the whole range.

    With u = u_0 + t N / T it is T over the length of the window.
    """
    if field not in problem.ansatz:
        return 1.0
    places, low = places_of(problem.domain), problem.bounds[coordinate][0]
    first = places | {coordinate: low + (places[coordinate] - low) / count}
    whole, part = (reach_of_network(field, problem.ansatz[field], known) for known in (places, first))
    return float(f"{whole / part:.2g}") if 0 < part < whole else 1.0


def spans(problem: Problem, spec: Windows) -> list[Span]:
    """Return the range of every window."""
    coordinate = problem.coordinates[spec.coordinate]
    pairs = zip(spec.edges, spec.edges[1:], strict=False)
    return [Span(coordinate, problem.bounds[coordinate], pair) for pair in pairs]


def within(compiled: CompiledProblem, span: Span) -> CompiledProblem:
    """Return the terms that ask something of the fields in a window: initial conditions only of the first."""
    kept = tuple(t for t in compiled.terms if _asks(compiled.problem.term(t.name), span))
    return replace(compiled, terms=kept)


def _asks(term: Term, span: Span) -> bool:
    if term.columns:
        return span.coordinate not in term.columns or bool(span.holds(term.columns[span.coordinate]).any())
    return span.coordinate in term.free or span.part[0] == span.whole[0]


def _check_term(where: str, term: Term, problem: Problem, coordinate: Symbol) -> None:
    """Raise unless a term holds at one value of the coordinate at a time: its lowest one, or every one alike."""
    low, high = problem.bounds[coordinate]
    slots = {f.func.__name__: f.args for f in problem.fields}
    for reading in evaluations(with_ends_of_integrals(term.residual)).values():
        at = reading.location[slots[reading.field].index(coordinate)]
        first = at.is_number and abs(float(at) - low) <= ROUNDING * (high - low)
        moves = coordinate in term.free or coordinate in term.columns
        if at != coordinate if moves else not first:
            found = f"{term.name} reads {reading.field} at {coordinate} = {at}"
            raise ProblemError(where, found, f"leave the windows out: they are solved in the order of {coordinate}")
    if term.region is not None and coordinate in term.region.coordinates:
        pieces = term.region.pieces if isinstance(term.region, Boundary) else ()
        ranges = [piece.hull for piece in pieces] or [term.region.bounds]
        if any(tuple(some.get(coordinate, ())) != (low, high) for some in ranges):
            found = f"{term.name} holds on {term.region.text}, a part of {coordinate}"
            raise ProblemError(where, found, f"write conditions at one {coordinate} as Eq(u(x, 0), ...)")

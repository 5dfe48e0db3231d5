"""Numbers of points: how many each term is evaluated at in a step, where the user does not say."""

from __future__ import annotations

from collections.abc import Mapping

from pinnsolve.balance import require_terms
from pinnsolve.choice import Choice
from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.declaration.terms import Term
from pinnsolve.errors import ProblemError

_BY_COORDINATES = {
    "equation": {0: 1, 1: 500, 2: 2_500, 3: 4_000},
    "condition": {0: 1, 1: 200, 2: 600, 3: 1_000},
}
"""Points of a term by the number of coordinates that range."""

_MANY = {"equation": 5_000, "condition": 1_000}
"""Points where more of them range."""

_SMOOTH, _MANY_SMOOTH = {2: 1_500, 3: 2_500}, 3_000
"""Points of all equations together, by the number of coordinates that range and where more do, for smooth solutions whose points
are redrawn at every step. A Gauss-Newton step costs by its rows, one for each equation at each point, so the fewer the more steps:
in the same time Helmholtz' equation ends 3 times, Kovasznay's flow 8 times nearer by these than by as many as above for each
equation. What may steepen needs as many in all as above for one: by 1,500 rows to 900 parameters networks learn the points of
a draw by heart, and the error of Burgers' equation rises again, from 4e-5 to 1.5e-4."""

_FEWEST = 100
"""Points that a term keeps, however many there are."""

_OF_A_WINDOW = 1_000
"""Most points in a window of an evolution."""


def count_points(
    compiled: CompiledProblem,
    given: Mapping[str, int],
    choices: list[Choice],
    *,
    windowed: bool,
    by_rows: bool,
    smooth: bool,
) -> dict[str, int]:
    """Return the number of points for each term that ranges.

    Args:
        compiled: The terms that are trained.
        given: Numbers by name of a term or of its group.
        choices: Gets what was chosen.
        windowed: The evolution is solved in windows.
        by_rows: The last phase redraws points at every step, and costs by rows of a Jacobian: terms of a kind share them.
        smooth: The solution is taken to be smooth.

    Raises:
        ProblemError: A name that no term has, or a number for a term that has its own points.
    """
    problem = compiled.problem
    require_terms("points", given, problem)
    counts: dict[str, int] = {}
    left: list[Term] = []
    for term in (problem.term(each.name) for each in compiled.terms):
        told = given.get(term.name, given.get(term.group))
        if term.columns:
            if told is not None:
                raise ProblemError(f"points, {term.name}", "observations bring their own points", "leave the name out")
        elif not term.free:
            if told not in (None, 1):
                raise ProblemError(
                    f"points, {term.name}", f"{told} points for a term at a single point", "write 1, or leave it out"
                )
        elif told is None:
            left.append(term)
            counts[term.name] = 0
        else:
            counts[term.name] = told
    for term in left:
        alike = sum(other.kind == term.kind for other in left)
        count = _shared(term, alike, smooth=smooth) if by_rows else _usual(term)
        counts[term.name] = min(count, _OF_A_WINDOW) if windowed else count
    if left:
        listed = ", ".join(f"{term.name} {counts[term.name]}" for term in left)
        reason = "by the number of coordinates that range"
        if by_rows:
            reason += ", shared among terms of a kind: rows are what a step costs"
        choices.append(Choice("points", listed, reason, "training = ps.Training(points={...})"))
    return counts


def _usual(term: Term) -> int:
    return _BY_COORDINATES[term.kind].get(len(term.free), _MANY[term.kind])


def _shared(term: Term, alike: int, *, smooth: bool) -> int:
    """Return the points of a term, one of so many of its kind: two conditions have as many as one, and equations share them."""
    ranging, count = len(term.free), _usual(term)
    if term.kind == "condition":
        return min(count, max(_FEWEST, 2 * count // alike))
    rows = _SMOOTH.get(ranging, _MANY_SMOOTH) if smooth and ranging > 1 else count
    return max(_FEWEST, rows // alike)

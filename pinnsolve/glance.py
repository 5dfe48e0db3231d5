"""A glance at a reference: which one a run would have, found in a few seconds, and whether closed forms satisfy a declaration."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pinnsolve.classical import COMPUTED, automatic, solve_first
from pinnsolve.closed_forms import contradictions
from pinnsolve.declaration.observations import Observations
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.exact import Exact

_SECONDS = 2.0
"""For a solver, which then has a coarse solution or says why it has none."""


def describe_reference(problem: Problem, spec: Any) -> list[str]:
    """Return in words what a run would be compared with.

    Args:
        problem: The declaration.
        spec: The reference that is named; None for the first solver that reads the problem.

    Raises:
        ProblemError: A reference that does not fit the problem.
    """
    if isinstance(spec, Exact):
        found = [str(each) for each in contradictions(problem, spec)]
        return _labelled(["closed form", *(found or ["it satisfies every statement that it was put into"])])
    if isinstance(spec, Observations):
        return _labelled(["measured values"])
    specs = (spec,) if isinstance(spec, COMPUTED) else automatic(problem)
    quick = [replace(each, seconds=min(each.seconds, _SECONDS)) for each in specs]
    try:
        solved, _ = solve_first(problem, quick, unknowns=dict(problem.unknowns))
    except UnsupportedError as error:
        return _labelled([f"none in {_SECONDS:g} s: {error}"])
    except ProblemError:
        if spec is not None:
            raise
        return _labelled([f"none in {_SECONDS:g} s"])
    own = max(solved.estimated_relative_l2.values(), default=math.nan)
    so_far = "too few to tell its error" if math.isnan(own) else f"own error {own:.0e}"
    return _labelled(
        [f"{solved.method}: {so_far} after {solved.seconds:.1g} s of at most {specs[0].seconds:g} s in a run"]
    )


def _labelled(lines: list[str]) -> list[str]:
    return [f"{'reference' if not number else '':13}{line}" for number, line in enumerate(lines)]

"""Findings: what a finished training tells beyond its errors: where these sit, numbers that are wanted, certainty of unknowns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pinnsolve.archive import finite
from pinnsolve.choices import Plan
from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.diagnosis import find_diagnosis
from pinnsolve.errors import ProblemError
from pinnsolve.fitting import Fitted
from pinnsolve.integrals import quantities_of
from pinnsolve.privacy import private_observations
from pinnsolve.solution import Solution
from pinnsolve.uncertainty import find_uncertainty

_FAULTS = (ProblemError, RuntimeError, ValueError, ArithmeticError, LookupError)
"""What a state that is not finite, or a decomposition that does not converge, may raise; it must not lose the run."""


def findings_of(
    compiled: CompiledProblem,
    solution: Solution,
    plan: Plan,
    fitted: Fitted,
    *,
    seed: int,
    tell: Callable[[str], object],
) -> dict[str, Any]:
    """Return diagnosis, quantities and uncertainty in the form of `result.json`, those that can be found.

    Args:
        compiled: The terms.
        solution: With errors, residuals and reference.
        plan: The numerics.
        fitted: What came of the training.
        seed: Of the points.
        tell: Called with one line of text for what cannot be found.
    """
    record: dict[str, Any] = {}
    settled = True
    if not private_observations(compiled.problem):  # their misfits would tell of them beyond what the budget allows
        try:
            uncertainty = find_uncertainty(compiled, solution.trial, plan, seed=seed)
            if uncertainty is not None:
                record["uncertainty"], settled = finite(uncertainty.as_record()), uncertainty.settled
        except _FAULTS as error:
            tell(f"no uncertainty of the unknowns: {error}")
    history, loss = fitted.result.history, fitted.value.loss
    try:
        diagnosis = find_diagnosis(solution, loss=loss, weights=plan.weights, history=history, settled=settled)
        record["diagnosis"] = finite(diagnosis.as_record())
    except _FAULTS as error:
        tell(f"no diagnosis: {error}")
    try:
        record["quantities"] = finite(quantities_of(solution))
    except _FAULTS as error:
        tell(f"no quantities: {error}")
    return record

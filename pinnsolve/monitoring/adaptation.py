"""Adaptation: a trained solution trained further, or anew, on recent measurements in place of those that it was made from.

The equations and conditions stay. What can follow a change are the unknowns, parameters or fields: a problem that determines its
solution without measurements has nothing to adapt, and is refused.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from pinnsolve.archive import finite
from pinnsolve.choices import choose
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.declaration.observations import Observations
from pinnsolve.errors import UnsupportedError
from pinnsolve.fitting import Limits
from pinnsolve.networks.windows import Windows
from pinnsolve.problem import Problem
from pinnsolve.residuals import held_out_residuals
from pinnsolve.scaling import count_anew
from pinnsolve.solution import Solution
from pinnsolve.succession import fit
from pinnsolve.training.schedule import Training
from pinnsolve.training.status import Status

RECENT = "recent"
"""Name of the observations in an adapted problem."""


def check_adaptable(solution: Solution) -> None:
    """Raise when nothing in a solution can follow a change.

    Raises:
        UnsupportedError: Without unknowns and observations, with windows, or with a module of the user's for a network.
    """
    problem = solution.problem
    if not problem.unknowns and not any(term.kind == "data" for term in problem.terms):
        found = "equations and conditions leave nothing for measurements to change"
        raise UnsupportedError("policy", found, "declare what may change in unknowns=, or write policy report")
    if isinstance(solution.network_spec, Windows):
        raise UnsupportedError("policy", "the solution is one of windows", "run the problem with windows={t: 1}")
    if solution.network_spec is None:
        found = "the network is a module of the user's"
        raise UnsupportedError("policy", found, "use one of pinnsolve's networks, or write policy report")


def adapt(
    solution: Solution,
    observations: Observations,
    *,
    anew: bool = False,
    training: Training | None = None,
    limits: Limits | None = None,
    seed: int = 0,
) -> Solution:
    """Train a solution on other observations.

    Args:
        solution: Where to start; it stays as it is.
        observations: Take the place of those of the problem.
        anew: Start with new weights and the declared values of the unknowns, by all phases; else from the present state, by the
            last phase alone, since what is good for a start would only spoil it.
        training: As for `solve`.
        limits: When to stop.
        seed: Of the points, and of new weights.

    Raises:
        UnsupportedError: See `check_adaptable`.
    """
    check_adaptable(solution)
    problem = count_anew(solution.problem.observing({RECENT: observations}))
    spec: Any = solution.network_spec
    compiled, training = compile_problem(problem), training or Training()
    plan = choose(compiled, spec, _known_terms(training, problem), device="cpu")
    trial = build_trial(problem, spec, seed=seed, dtype=plan.dtype, device=plan.device)
    if not anew:
        trial.load_state_dict(solution.trial.state_dict())
        plan = replace(plan, phases=plan.phases[-1:])
    fitted = fit(
        compiled,
        plan,
        trial,
        training,
        limits=limits or Limits(),
        observers=(),
        seed=seed,
        compile="off",
        tell=_say_nothing,
    )
    status = fitted.result.status
    adapted = Solution(problem, trial, spec, {}, fitted.result.history)
    adapted.record = finite(
        {
            "schema": 1,
            "problem": solution.record.get("problem", "problem"),
            "status": "diverged" if status is Status.DIVERGED else "done",
            "message": f"adapted to {observations.count} measurements. {status.sentence}",
            "seed": seed,
            "phases": [asdict(phase) for phase in fitted.result.phases],
            "loss": {"total": fitted.value.loss, "terms": dict(fitted.value.terms)},
            "residuals": held_out_residuals(adapted, seed=seed),
            "unknowns": dict(adapted.unknowns),
        }
    )
    return adapted


def _known_terms(training: Training, problem: Problem) -> Training:
    """Leave out points and weights of terms that are gone: those of the former observations."""
    names = {t.name for t in problem.terms} | {t.group for t in problem.terms}
    points = {name: count for name, count in (training.points or {}).items() if name in names}
    weights = {name: weight for name, weight in (training.weights or {}).items() if name in names}
    return replace(training, points=points or None, weights=weights or None)


def _say_nothing(*lines: str) -> None:
    """Tell nobody."""

"""Balance: what every term of the loss weighs, by its kind, by its size and by what the user says of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from sympy import Symbol

from pinnsolve.choice import Choice
from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.declaration.roughness import roughness
from pinnsolve.declaration.terms import Term
from pinnsolve.domains.regions import Array
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem

_CONDITION_WEIGHT = 100.0
"""Of conditions and measurements. An error there reaches the solution whole, one in an equation divided by the operator's lowest
eigenvalue. With it the viscosity in Burgers' equation, from 2,000 measurements with noise of 1 %, is within 0.3 %, not 8 %."""

_CLOSING_WEIGHT = 0.1
"""Of measurements in the last phase. Fields that follow measurements closely show the way to the unknowns; those that follow their
noise to the end do not obey the equations, so that unknowns are off and their intervals too narrow."""

_EXACT = 1e-4
"""Noise over the range of what was measured up to which it counts as exact, and weighs as much to the end."""

_OVERRIDE = "training = ps.Training(weights={...})"


def balance(compiled: CompiledProblem, given: Mapping[str, float] | None, choices: list[Choice]) -> dict[str, float]:
    """Return the factor on the mean square of every term: its weight over the square of the size its residual is counted by.

    A weight that is given takes the place of that term's own, and of no other.

    Args:
        compiled: The terms that are trained.
        given: Weights by name of a term or of its group.
        choices: Gets what was chosen.

    Raises:
        ProblemError: A name that no term has.
    """
    problem, given = compiled.problem, given or {}
    require_terms("weights", given, problem)
    terms = [problem.term(t.name) for t in compiled.terms]
    weights = {t.name: given.get(t.name, given.get(t.group, _usual(t))) for t in terms}
    left = [t for t in terms if not _is_named(t, given)]
    heavy = ", ".join(t.name for t in left if _usual(t) != 1)
    if heavy:
        rest = "as given, else 1" if given else "else 1"
        reason = "an error there reaches the solution whole"
        choices.append(Choice("weights", f"{_CONDITION_WEIGHT:g} for {heavy}; {rest}", reason, _OVERRIDE))
    elif not given:
        choices.append(Choice("weights", "1 for every term", "no condition is left to the loss", _OVERRIDE))
    return {name: weight / problem.scales.terms.get(name, 1.0) ** 2 for name, weight in weights.items()}


def noisy(problem: Problem, given: Mapping[str, float] | None) -> tuple[str, ...]:
    """Return the names of the terms of noisy measurements for which, or for whose group, no weight is given."""
    terms = (t for t in problem.terms if t.kind == "data" and not _is_named(t, given or {}))
    return tuple(t.name for t in terms if noise_of(t, problem) > _EXACT)


def noise_of(term: Term, problem: Problem) -> float:
    """Return the noise of measurements over their range, as it is stated or as they show; infinite where neither tells.

    Args:
        term: Of the measurements of one field.
        problem: Which has them.
    """
    noise, values = problem.data[term.group].noise, term.columns.get(Symbol(f"value[{term.name}]"))
    if values is None or isinstance(noise, Symbol):
        return math.inf
    if noise is not None:
        return float(np.median(noise)) / range_of(values)
    places = [column for symbol, column in term.columns.items() if symbol in problem.coordinates]
    return roughness(np.stack(places, axis=1), values)


def range_of(values: Array) -> float:
    """Return the range of measured values, or the size of what does not vary."""
    return float(np.ptp(values)) or float(np.abs(values).max()) or 1.0


def close(weights: Mapping[str, float], names: Sequence[str], choices: list[Choice]) -> dict[str, float]:
    """Return the factors on mean squares in the last phase, from those before.

    Args:
        weights: The factors before.
        names: Of the terms of noisy measurements, which weigh less then.
        choices: Gets what was chosen.
    """
    if not names:
        return dict(weights)
    text = f"{_CLOSING_WEIGHT:g} for {', '.join(names)}"
    reason = "fields that followed noise to the end would not obey the equations, and unknowns would be off"
    choices.append(Choice("weights in the last phase", text, reason, _OVERRIDE))
    lighter = dict.fromkeys(names, _CLOSING_WEIGHT / _CONDITION_WEIGHT)
    return {name: weight * lighter.get(name, 1.0) for name, weight in weights.items()}


def names_every_term(problem: Problem, given: Mapping[str, float]) -> bool:
    """Return whether weights are given for all terms that are trained."""
    return all(_is_named(term, given) for term in problem.terms if term.name not in problem.exact)


def require_terms(what: str, given: Iterable[str], problem: Problem) -> None:
    """Require that names be those of terms or of their groups.

    Raises:
        ProblemError: One that is not, with those that are.
    """
    names = {t.name for t in problem.terms} | {t.group for t in problem.terms}
    for name in given:
        if name not in names:
            raise ProblemError(f"{what}, {name}", "no term of this name", f"choose among {', '.join(sorted(names))}")


def _is_named(term: Term, given: Mapping[str, float]) -> bool:
    return term.name in given or term.group in given


def _usual(term: Term) -> float:
    return 1.0 if term.kind == "equation" else _CONDITION_WEIGHT

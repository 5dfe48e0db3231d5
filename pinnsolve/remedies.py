"""Remedies: what a run does about minima of the residual that solve nothing, by choice or once it is stuck in one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sympy import Dummy, Symbol

from pinnsolve.choice import Choice
from pinnsolve.declaration.counting import marching
from pinnsolve.declaration.pseudo_time import find_march
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem
from pinnsolve.pseudo_time import Marching
from pinnsolve.training.gauss_newton import LevenbergMarquardt
from pinnsolve.training.phase import Phase
from pinnsolve.training.schedule import Training
from pinnsolve.windows import can_be_cut, count_within

_PSEUDO_STEP = 0.3
"""First step in pseudo-time, times the rate of long waves. Where r = 0 is found at once, it would only cost time."""


@dataclass(frozen=True)
class Remedy:
    """What is done about minima that solve nothing.

    Attributes:
        marching: How equations are solved in pseudo-time, or None.
        causal: The coordinate in which a training that is stuck is begun again causally, or None.
        windows: Into how many windows of which coordinate such a training is cut, or none.
    """

    marching: Marching | None = None
    causal: Symbol | None = None
    windows: Mapping[Symbol, int] = field(default_factory=dict)


def choose_remedy(
    problem: Problem,
    network: Any,
    training: Training,
    phases: Sequence[Phase],
    choices: list[Choice],
    *,
    seconds: float | None,
) -> Remedy:
    """Choose how nonlinear equations are solved once their training is stuck, or what the user asks of pseudo-time."""
    if training.pseudo_time is not None:
        return Remedy(_march(problem, training.pseudo_time, phases, choices))
    equations = [term for term in problem.terms if term.kind == "equation"]
    by_gauss_newton = training.phases is None and isinstance(phases[-1], LevenbergMarquardt)
    if not by_gauss_newton or training.weighting is not None or all(is_linear(term) for term in equations):
        return Remedy()
    times = marching(problem.terms, problem.fields, problem.domain)
    what, reason = "if training is stuck", "nonlinear equations have minima of the residual that solve nothing"
    ordinary = len(problem.coordinates) == 1  # with more coordinates windows take far longer
    if ordinary and times and training.windows is None and can_be_cut(problem, network, times[0]):
        override = f"training = ps.Training(windows={{{times[0]}: ...}})"
        count = count_within(seconds)
        choices.append(Choice(what, f"begin again in {count} windows of {times[0]}", reason, override))
        return Remedy(windows={times[0]: count})
    if len(times) == 1:
        override = "training = ps.Training(weighting=ps.Causal(...)), or pseudo_time=math.inf for neither"
        choices.append(Choice(what, f"begin again, causal in {times[0]}", reason, override))
        return Remedy(causal=times[0])
    try:
        march = _march(problem, None, phases, choices)
    except ProblemError:
        return Remedy()
    choices.append(
        Choice(what, "begin again in pseudo-time", reason, "ps.Training(pseudo_time=...), math.inf for never")
    )
    return Remedy(march)


def _march(problem: Problem, step: float | None, phases: Sequence[Phase], choices: list[Choice]) -> Marching | None:
    """Choose what moves in pseudo-time, and where it is not given the first step."""
    if step == math.inf:
        return None
    if not phases[-1].resample:
        found = f"{type(phases[-1]).__name__} keeps its points, and a step in pseudo-time lasts from draw to draw"
        raise ProblemError("pseudo_time", found, "write resample=1 for LevenbergMarquardt, 100 for other phases")
    march = find_march(problem.terms, problem.fields, problem.domain, problem.unknowns)
    marching = Marching(march.drives, _PSEUDO_STEP / march.rate if step is None else step, waits=step is None)
    moved = ", ".join(f"{d.equation} moves {d.moved}, {'+' if d.sign > 0 else '-'}" for d in march.drives)
    text, reason = f"first step {marching.step:.2g}; {moved}", "short waves do not grow with these signs"
    choices.append(Choice("pseudo-time", text, reason, "training = ps.Training(pseudo_time=...)"))
    return marching


def is_linear(term: Term) -> bool:
    """Return whether a term is linear in the fields, whatever it does with unknowns."""
    values = {place: Dummy() for place in evaluations(term.residual)}
    opened = term.residual.xreplace(values)
    return all(not opened.diff(value).has(*values.values()) for value in values.values())

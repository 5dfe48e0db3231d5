"""Scaling: the declaration as it is trained, with what can be met exactly built in and everything counted in its own size."""

from __future__ import annotations

from copy import copy
from typing import Any

from torch import nn

from pinnsolve.balance import names_every_term
from pinnsolve.choice import Choice
from pinnsolve.choices import meet_conditions
from pinnsolve.declaration.scales import Scales, find_scales
from pinnsolve.problem import Problem
from pinnsolve.training.schedule import Training


def complete(
    problem: Problem, network: Any = None, training: Training | None = None
) -> tuple[Problem, tuple[Choice, ...]]:
    """Return the problem as it is trained, and what was chosen for it.

    Args:
        problem: The declaration.
        network: What stands for the fields; those that a module of the user's gives are not scaled.
        training: What the user said of it: where all weights are the user's residuals are not counted by their sizes, and
            without `scaling` nothing is.
    """
    problem, exactness = meet_conditions(problem, network)
    training = training if isinstance(training, Training) else Training()  # what it is, is checked later
    if not training.scaling or any(o.privacy is not None for o in problem.data.values()):
        return problem, exactness
    scales = _found(problem)
    if scales.terms and training.weights is not None and names_every_term(problem, training.weights):
        scales = Scales(scales.fields)
        exactness = (*exactness, _AS_WRITTEN)
    if isinstance(network, nn.Module):  # which gives the fields themselves, perhaps scaled by its own layers
        scales = Scales(terms=scales.terms)
    if not scales.fields and not scales.terms:
        return problem, exactness
    return _with(problem, scales), (*exactness, _choice(scales))


def count_anew(problem: Problem) -> Problem:
    """Return a problem that was given other observations with its residuals counted by their sizes, if they were before.

    Its fields stay scaled as they are: that is what a network was trained for.
    """
    if not problem.scales.terms:
        return problem
    return _with(problem, Scales(problem.scales.fields, _found(problem).terms))


def _found(problem: Problem) -> Scales:
    told = {name for name, observed in problem.data.items() if observed.noise is not None}
    return find_scales(
        problem.terms,
        problem.fields,
        problem.domain,
        unknowns=problem.unknowns,
        ansatz=problem.ansatz,
        alike=frozenset(t.name for t in problem.terms if t.group in told),
    )


def _with(problem: Problem, scales: Scales) -> Problem:
    scaled = copy(problem)
    object.__setattr__(scaled, "scales", scales)
    return scaled


_AS_WRITTEN = Choice(
    "residuals",
    "as they are written, not divided by their sizes",
    "a weight is given for every term, so that the balance is yours",
    "leave out the weight of one term",
)


def _choice(scales: Scales) -> Choice:
    fields = [
        f"{u.func.__name__} = {f'{centre:g} + ' if centre else ''}{size:g} times the network"
        for u, (centre, size) in scales.fields.items()
    ]
    terms = [f"{name} by {size:g}" for name, size in scales.terms.items()]
    text = "; ".join([*fields, *(["residuals divided: " + ", ".join(terms)] if terms else [])])
    reason = (
        "networks and weights are made for numbers of size one, and conditions and sources say what size these have"
    )
    return Choice("scales", text, reason, "training = ps.Training(scaling=False)")

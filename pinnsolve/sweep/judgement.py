"""Judgement: the held-out loss by which the trials of a sweep are compared.

It is the loss of the problem file, sum_k w_k mean r_k², with the weights w_k of the file whatever a trial was trained with, at
points that no trial was trained on and that no trial chose its state by: the same for all. Measurements count by rows that were
held out of all trainings. The training loss would reward what over-fits its points, few of them most of all; the error against
the truth is not there where a sweep is needed. It is told beside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from pinnsolve.compiler.compile import compile_problem
from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.splits import RandomSplit
from pinnsolve.domains.spreading import Graded
from pinnsolve.errors import ProblemError
from pinnsolve.points import HELD_OUT_SHARE, TermPoints
from pinnsolve.problem import Problem
from pinnsolve.solution import Solution
from pinnsolve.training.losses import as_residual

_POINTS = 2_048
_SEED = 2**31 - 1
"""Of the points: that of no trial, so that none was trained on them or chose its state by them."""

_FEWEST = 5
"""Measurements from which on a fifth of them is held out."""


@dataclass(frozen=True)
class Judge:
    """What a solution is judged by.

    Args:
        weights: Factor on the mean square of every term that is trained.
        ranging: The terms that points are drawn for.
        sampling: How they are spread.
    """

    weights: Mapping[str, float]
    ranging: tuple[str, ...]
    sampling: str | Graded

    def loss(self, solution: Solution) -> float:
        """Return the held-out loss of a solution; infinite where it is not finite."""
        problem = solution.problem
        losses = {t.name: as_residual(t.loss, deviation=t.deviation) for t in problem.terms if t.loss is not None}
        compiled = replace(compile_problem(problem), losses=losses)
        like = next(solution.trial.parameters())
        counts = dict.fromkeys(self.ranging, int(_POINTS / HELD_OUT_SHARE))
        points = TermPoints(compiled, counts, self.sampling, _SEED, like.device).held_out()
        with torch.no_grad():
            found = compiled.residuals(solution.trial, {name: tensor.to(like) for name, tensor in points.items()})
        total = sum(weight * float(found[name].double().square().mean()) for name, weight in self.weights.items())
        return total if math.isfinite(total) else math.inf


def hold_back(problem: Problem) -> tuple[Problem, list[str]]:
    """Return a problem of whose measurements some are held out of every training, and what was done for it in words.

    Args:
        problem: As declared; sets of measurements that hold out rows which help to choose the state stay as they are.

    Raises:
        ProblemError: Private measurements, at which every trial would look again.
    """
    changed: dict[str, Observations] = {}
    told: list[str] = []
    for name, observations in problem.data.items():
        if observations.privacy is not None:
            found = "private measurements, and every trial would spend their budget again"
            raise ProblemError(name, found, "sweep on measurements that are public, or made up")
        if any(split.chooses for split in observations.split):
            continue
        if observations.count < _FEWEST:
            told.append(
                f"{name}: {observations.count} measurements are too few to hold some out; all are trained on and judged by"
            )
            continue
        changed[name] = replace(observations, split=[*observations.split, RandomSplit()])
        told.append(f"{name}: a random fifth is held out of every trial, to judge it by (override: split=...)")
    return (replace(problem, data={**problem.data, **changed}) if changed else problem), told

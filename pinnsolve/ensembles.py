"""Ensembles: a problem solved from several seeds, or by one network with units left out, and how far the solutions lie apart.

Lakshminarayanan, Pritzel, Blundell, Simple and scalable predictive uncertainty estimation using deep ensembles, 2017; Gal and
Ghahramani, Dropout as a Bayesian approximation, 2016. Every member is one network, also where units are left out of it, so that
derivatives of members are those of one function. Members differ by where they began and by their points: their spread stands for
what a training leaves undone, and says nothing of what is wrong in all of them alike, such as a network that is too small.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, cast

import numpy as np
import torch
from sympy import Expr

from pinnsolve.bands import Draw, find_band
from pinnsolve.comparison import compare
from pinnsolve.declaration.observations import Observations
from pinnsolve.display import print_aside
from pinnsolve.errors import ProblemError
from pinnsolve.networks.regularization import random_layers, thinned
from pinnsolve.problem import Problem
from pinnsolve.solution import Solution
from pinnsolve.solver import solve
from pinnsolve.summary import brief, brief_seconds
from pinnsolve.training.schedule import Training

_DIVERGED = "diverged"


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Solutions of one problem from several seeds, evaluated together.

    Args:
        members: The solutions, two at least; also those of runs, `ps.Ensemble([ps.load(run) for run in runs])`.

    Raises:
        ProblemError: Fewer than two, or solutions of different fields or coordinates.

    Example:
        >>> other = ps.solve(decay, ps.MLP(width=8, depth=1), training, compile="off", seed=1)
        >>> band = ps.Ensemble([solution, other]).band(q.diff(t), t=0.5)
        >>> bool(band.low <= band.mean <= band.high)
        True
    """

    members: Sequence[Solution]

    def __post_init__(self) -> None:
        members = tuple(self.members)
        object.__setattr__(self, "members", members)
        if len(members) < 2:
            raise ProblemError("Ensemble(...)", f"{len(members)} solutions", "give two or more, five are usual")
        first = members[0].problem
        for other in members[1:]:
            if (other.problem.declared_fields, other.problem.coordinates) != (first.declared_fields, first.coordinates):
                fields = ", ".join(map(str, other.problem.declared_fields))
                raise ProblemError("Ensemble(...)", f"a solution of another problem, {fields}", "leave it out")

    @property
    def problem(self) -> Problem:
        """What was solved."""
        return self.members[0].problem

    @property
    def unknowns(self) -> dict[str, dict[str, float]]:
        """Mean and standard deviation over the members of every unknown parameter, `{"nu": {"mean": ..., "deviation": ...}}`."""
        found = {name: [m.unknowns[name] for m in self.members] for name in self.members[0].unknowns}
        return {name: {"mean": fmean(values), "deviation": stdev(values)} for name, values in found.items()}

    @property
    def errors(self) -> dict[str, dict[str, Any]]:
        """Errors of the mean against the reference of the members, in the form of `Solution.errors`; empty without one."""
        reference = next((m.reference for m in self.members if m.reference is not None), None)
        return {} if reference is None else compare(cast(Solution, self), reference)

    def __call__(self, **coordinates: Any) -> Any:
        """Evaluate the mean of the fields, in the form of a call of a solution."""
        return _mean([member(**coordinates) for member in self.members])

    def evaluate(self, expression: Expr, **coordinates: Any) -> Any:
        """Evaluate the mean over the members of a SymPy expression of fields, coordinates and unknowns, `u.diff(x)`."""
        return _mean([member.evaluate(expression, **coordinates) for member in self.members])

    def band(
        self,
        expression: Expr | None = None,
        /,
        *,
        level: float = 0.9,
        calibrated_on: Observations | None = None,
        **coordinates: Any,
    ) -> Any:
        """Return mean, standard deviation and interval of an expression over the members, or of all fields.

        Args:
            expression: Any expression that a solution evaluates, `u.diff(x)`; the fields when left out.
            level: Probability with which the solution from a further seed lies in the interval.
            calibrated_on: Measurements that no member was trained on: the interval is then one of further measurements.
            **coordinates: As for a call.

        Returns:
            A `Band`; for several fields a named tuple of them.

        Raises:
            ProblemError: A level that is no probability, or complex values.
            DataError: Measurements of something else, or too few of them.
        """
        return find_band(
            partial(_drawn_from, self.members),
            expression,
            level=level,
            calibrated_on=calibrated_on,
            coordinates=coordinates,
            names=_names(self.problem),
        )


def solve_ensemble(
    problem: Problem,
    network: Any = None,
    training: Training | None = None,
    reference: Any = None,
    *,
    seeds: Iterable[int] = range(5),
    out: str | Path | None = None,
    tell: Callable[[str], object] | None = print_aside,
    **options: Any,
) -> Ensemble:
    """Solve a problem from several seeds, one after the other.

    Args:
        problem: As for `solve`, like network, training and reference.
        network: A description; a module of the user's begins every time as it is, so that only points would differ.
        training: The numerics.
        reference: What to compare with.
        seeds: Two or more.
        out: Folder for the run directories `s0`, `s1`, ...
        tell: Called with one line of text after every member; prints it on stderr when left out, None for silence.
        **options: Further arguments of `solve`.

    Returns:
        The ensemble of those that did not diverge; a warning names the others.

    Raises:
        ProblemError: Fewer than two seeds, the same one twice, a module as network, or fewer than two solutions.

    Example:
        >>> network = ps.MLP(width=8, depth=1)
        >>> ensemble = ps.solve_ensemble(decay, network, training, seeds=[0, 1], tell=None, compile="off")
        >>> bool(ensemble.band(t=1.0).deviation < 1e-2)
        True
    """
    chosen = list(seeds)
    if len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise ProblemError("seeds", f"{chosen}", "write two or more different ones, such as range(5)")
    if isinstance(network, torch.nn.Module):
        found = "a module, whose weights are the same for every seed"
        raise ProblemError("network", found, "solve it several times with new modules and write ps.Ensemble(solutions)")
    members = []
    for number, seed in enumerate(chosen, start=1):
        place = None if out is None else Path(out) / f"s{seed}"
        solution = solve(problem, network, training, reference, seed=seed, out=place, **options)
        if tell is not None:
            tell(f"member {number} of {len(chosen)}, seed {seed}: {_outcome(solution)}")
        if solution.status == _DIVERGED:
            warnings.warn(f"seed {seed} diverged and is left out of the ensemble", stacklevel=2)
        else:
            members.append(solution)
    return Ensemble(members)


def _outcome(solution: Solution) -> str:
    """Return how a member went in a few words."""
    errors = [f"{name} {brief(error['relative_l2'])}" for name, error in solution.errors.items()]
    found = f"relative L2 error {', '.join(errors)}" if errors else f"loss {brief(solution.record['loss']['total'])}"
    return f"{solution.status}, {found} after {brief_seconds(solution.record['seconds']['train'])} of training"


def thinned_band(
    solution: Solution,
    expression: Expr | None,
    *,
    level: float,
    samples: int,
    seed: int,
    calibrated_on: Observations | None,
    coordinates: Mapping[str, Any],
) -> Any:
    """Return the band over thinned networks; see `Solution.band`."""
    return find_band(
        _thinned_draw(solution, samples, seed, "band"),
        expression,
        level=level,
        calibrated_on=calibrated_on,
        coordinates=coordinates,
        names=_names(solution.problem),
    )


def spread_of(solution: Solution, samples: int, *, seed: int, coordinates: Mapping[str, Any]) -> Any:
    """Return the standard deviation of the fields over thinned networks; see `Solution.spread`."""
    return _deviation(_thinned_draw(solution, samples, seed, "spread")(None, coordinates))


def _thinned_draw(solution: Solution, samples: int, seed: int, where: str) -> Draw:
    """Return what evaluates the same thinned networks at every call: what is left out depends on the seed alone."""
    if not random_layers(solution.trial):
        remedy = "train ps.MLP(dropout=0.1) or ps.ResNet(stochastic_depth=0.2), or write ps.solve_ensemble(...)"
        raise ProblemError(f"solution.{where}(...)", "a network of which nothing is left out", remedy)
    if samples < 2:
        raise ProblemError(f"solution.{where}(...)", f"{samples!r} samples", "write at least 2")

    def draw(expression: Expr | None, coordinates: Mapping[str, Any]) -> list[Any]:
        generator = torch.Generator().manual_seed(seed)
        drawn = []
        for _ in range(samples):
            with thinned(solution.trial, generator):
                drawn += _drawn_from([solution], expression, coordinates)
        return drawn

    return draw


def _drawn_from(members: Sequence[Solution], expression: Expr | None, coordinates: Mapping[str, Any]) -> list[Any]:
    if expression is None:
        return [member(**coordinates) for member in members]
    return [member.evaluate(expression, **coordinates) for member in members]


def _names(problem: Problem) -> list[str]:
    return [f.func.__name__ for f in problem.declared_fields]


def _mean(values: list[Any]) -> Any:
    """Return the mean of arrays or tensors, or of the entries of named tuples of them."""
    first = values[0]
    if isinstance(first, tuple):
        return type(first)(*(_mean(list(entries)) for entries in zip(*values, strict=True)))
    return torch.stack(values).mean(0) if isinstance(first, torch.Tensor) else np.mean(values, axis=0)


def _deviation(values: list[Any]) -> Any:
    """Return the unbiased standard deviation of arrays or tensors, or of the entries of named tuples of them."""
    first = values[0]
    if isinstance(first, tuple):
        return type(first)(*(_deviation(list(entries)) for entries in zip(*values, strict=True)))
    if isinstance(first, torch.Tensor):
        return torch.stack(values).std(0)
    return np.std(values, axis=0, ddof=1)

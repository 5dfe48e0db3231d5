"""Pseudo-time: equations r = 0 solved as the steady state of S u_tau + r(u) = 0, by implicit steps from what is held of the fields.

Minimising |r|^2 may end in a minimum that solves nothing. The march does not stop there, since S u_tau = -r moves on wherever r
is not 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from sympy import Dummy, Expr
from torch import Tensor

from pinnsolve.compiler.compile import CompiledProblem, CompiledTerm, compile_expression, term_inputs
from pinnsolve.compiler.trial import Trial
from pinnsolve.declaration.pseudo_time import Drive
from pinnsolve.stagnation import Stagnation
from pinnsolve.training.chunks import sharing
from pinnsolve.training.distributed import ALONE, Group, evaluated_in_shares

_GROWTH = 2
"""Power of the fall of the residual by which steps grow."""


@dataclass(frozen=True)
class Marching:
    """How equations are solved in pseudo-time.

    Args:
        drives: For every equation what it moves, and a sign.
        step: The first step.
        waits: Solve r = 0 at once until the training is stuck, and begin again in pseudo-time only then.
    """

    drives: tuple[Drive, ...]
    step: float
    waits: bool


class PseudoTime:
    """Equations with an implicit step in pseudo-time: r + s (u - u_before) / step, and how the steps follow each other.

    The fields before, and 1 / step, are columns of the equations' points, so that nothing else knows of them. A step is made by
    whatever training happens until the points are drawn the next time: Cao and Zhang, TSONN: time-stepping-oriented neural
    network for solving partial differential equations, 2023. Steps grow as the residual falls, step = first (max |r| / |r|)^2:
    switched evolution relaxation (Mulder and van Leer 1985; Kelley and Keyes, Convergence analysis of pseudo-transient
    continuation, 1998), here with a square, so that the end is soon a plain Newton method.

    Args:
        compiled: The terms as declared.
        trial: What is trained.
        marching: What moves, and how.
        stagnation: Says when a march begins that waits.
        group: Ranks that evaluate residuals together.
    """

    def __init__(
        self,
        compiled: CompiledProblem,
        trial: Trial,
        marching: Marching,
        stagnation: Stagnation | None,
        group: Group = ALONE,
    ) -> None:
        self._trial, self._marching, self._stagnation, self._group = trial, marching, stagnation, group
        self._largest = 0.0
        self._plain = compiled
        self._drives = {drive.equation: drive for drive in marching.drives}
        self._equations = tuple(term for term in compiled.terms if term.name in self._drives)
        self._probes: list[CompiledTerm] = []
        self._columns: dict[str, list[str]] = {}
        rate, before = Dummy("rate"), {drive.moved: Dummy(f"{drive.moved}_before") for drive in marching.drives}
        moved = {term.name: self._moved(term.name, rate, before) for term in self._equations}
        self.compiled = replace(compiled, terms=tuple(moved.get(t.name, t) for t in compiled.terms))
        """The terms to train on, those of equations in pseudo-time; they read what `advance` returns."""

    def advance(self, points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Begin the next step: return the points with what their terms read of the fields where they are now.

        Args:
            points: Points of every term, as the declared terms read them.
        """
        extended = dict(points)
        begun = self._stagnation is None or self._stagnation.stuck_at is not None
        found = self._probe(points) if begun else {}
        rate = self._rate([found[term.name] for term in self._equations]) if begun else 0.0
        for names in sharing({t.name: points[t.name] for t in self._equations}):
            given, probes = points[names[0]], self._columns[names[0]]
            columns = given.new_full((len(given), 1 + len(probes)), rate)
            for k, probe in enumerate(probes):
                columns[:, 1 + k] = found.get(probe, 0.0)
            extended |= dict.fromkeys(names, torch.cat([given, columns], dim=1))
        return extended

    def state(self) -> dict[str, float]:
        """Return the largest residual so far, for a checkpoint; the step in progress is in the points."""
        return {"largest": self._largest}

    def load(self, state: Mapping[str, float]) -> None:
        """Go on from what `state` returned."""
        self._largest = float(state["largest"])

    def _probe(self, points: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Evaluate the equations as declared, and what moves, at the points of the equations."""
        dtype = next(self._trial.parameters()).dtype
        cast = {id(points[t.name]): points[t.name].to(dtype) for t in self._equations}
        read = {t.name: cast[id(points[t.name])] for t in self._equations}
        read |= {probe: read[name] for name, probes in self._columns.items() for probe in probes}
        terms = replace(self._plain, terms=(*self._equations, *self._probes))
        with torch.no_grad():
            return evaluated_in_shares(partial(terms.residuals, self._trial), read, self._group)

    def _rate(self, residuals: Sequence[Tensor]) -> float:
        """Return 1 / step."""
        means = self._group.numbers(torch.stack([residual.square().mean() for residual in residuals]))
        size = math.sqrt(sum(means))
        if size > self._largest:  # never true for NaN
            self._largest = size
        ratio = size / self._largest if self._largest > 0 and math.isfinite(size) else 1.0
        return ratio**_GROWTH / self._marching.step

    def _moved(self, name: str, rate: Dummy, before: Mapping[Expr, Dummy]) -> CompiledTerm:
        """Compile an equation in pseudo-time, and what it reads of the fields before.

        Equations with the same inputs read the same columns, all that moves there, so that they go on sharing points and networks.
        """
        problem, drive = self._plain.problem, self._drives[name]
        term = problem.term(name)
        inputs = term_inputs(term, problem)
        here = [moved for moved in before if moved.free_symbols <= set(inputs)]
        self._columns[name] = [f"{name}, its {moved}" for moved in here]
        for moved, probe in zip(here, self._columns[name], strict=True):
            self._probes.append(compile_expression(probe, moved, inputs, problem=problem))
        residual = term.residual + drive.sign * rate * (drive.moved - before[drive.moved])
        return compile_expression(name, residual, (*inputs, rate, *(before[m] for m in here)), problem=problem)

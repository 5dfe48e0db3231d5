"""Pseudo-time: equations r = 0 solved as the steady state of S u_tau + r(u) = 0, by implicit steps from fields that are held."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from sympy import Dummy, Expr
from torch import Tensor

from pinnsolve.compiler.compile import CompiledProblem, CompiledTerm, compile_expression, term_inputs
from pinnsolve.compiler.trial import Trial
from pinnsolve.declaration.pseudo_time import Drive
from pinnsolve.training.chunks import sharing


class PseudoTime:
    """Equations with an implicit step in pseudo-time: r + s (u - u_before) / step, and how the steps follow each other.

    The fields before, and 1 / step, are columns of the equations' points, so that nothing else knows of them. A step is made by
    whatever training happens until the points are drawn the next time: Cao and Zhang, TSONN: time-stepping-oriented neural
    network for solving partial differential equations, 2023. Steps grow as the residual falls, step = first max |r| / |r|:
    switched evolution relaxation (Mulder and van Leer 1985; Kelley and Keyes, Convergence analysis of pseudo-transient
    continuation, 1998), so that the end is a plain Newton method.

    Args:
        compiled: The terms as declared.
        trial: What is trained.
        drives: For every equation its field and sign.
        step: The first step.
    """

    def __init__(self, compiled: CompiledProblem, trial: Trial, drives: Sequence[Drive], step: float) -> None:
        self._trial, self._step, self._largest = trial, step, 0.0
        self._drives = {drive.equation: drive for drive in drives}
        self._equations = tuple(term for term in compiled.terms if term.name in self._drives)
        self._probes: list[CompiledTerm] = []
        rate, before = Dummy("rate"), {drive.moved: Dummy(f"{drive.moved}_before") for drive in drives}
        self._plain = compiled
        self._columns: dict[str, list[str]] = {}
        moved = {term.name: self._moved(term.name, rate, before) for term in self._equations}
        self.compiled = replace(compiled, terms=tuple(moved.get(t.name, t) for t in compiled.terms))
        """The terms to train on, those of equations in pseudo-time; they read what `advance` returns."""

    def advance(self, points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Begin the next step: return the points with what their terms read of the fields where they are now.

        Args:
            points: Points of every term, as the declared terms read them.
        """
        dtype = next(self._trial.parameters()).dtype
        cast = {id(tensor): tensor.to(dtype) for tensor in points.values()}
        read = {t.name: cast[id(points[t.name])] for t in self._equations}
        read |= {probe: read[name] for name, probes in self._columns.items() for probe in probes}
        probed = replace(self._plain, terms=(*self._equations, *self._probes))
        with torch.no_grad():
            found = probed.residuals(self._trial, read)
        size = math.sqrt(sum(float(found[t.name].square().mean()) for t in self._equations))
        if size > self._largest:  # never true for NaN
            self._largest = size
        rate = 1 / self._step
        if math.isfinite(size) and self._largest > 0:
            rate *= size / self._largest
        extended = dict(points)
        for names in sharing({t.name: points[t.name] for t in self._equations}):
            given = points[names[0]]
            values = [found[probe].to(given.dtype) for probe in self._columns[names[0]]]
            columns = torch.stack([given.new_full((len(given),), rate), *values], dim=1)
            extended |= dict.fromkeys(names, torch.cat([given, columns], dim=1))
        return extended

    def _moved(self, name: str, rate: Dummy, before: Mapping[Expr, Dummy]) -> CompiledTerm:
        """Compile an equation in pseudo-time, and what it reads of the fields before.

        Equations with the same inputs read the same columns, all that moves there, so that they go on sharing points and networks.
        """
        problem, drive = self._plain.problem, self._drives[name]
        term = problem.term(name)
        inputs = term_inputs(term, problem)
        here = [moved for moved in before if moved.free_symbols <= set(inputs)]
        self._columns[name] = [f"{name}, {moved}" for moved in here]
        for moved, probe in zip(here, self._columns[name], strict=True):
            self._probes.append(compile_expression(probe, moved, inputs, problem=problem))
        residual = term.residual + drive.sign * rate * (drive.moved - before[drive.moved])
        return compile_expression(name, residual, (*inputs, rate, *(before[m] for m in here)), problem=problem)

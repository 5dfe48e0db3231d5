"""Pseudo-time: equations r = 0 solved as the steady state of S u_tau + r(u) = 0, by implicit steps from what is held of the fields.

Minimising |r|^2 may end in a minimum that solves nothing, near a solution that other conditions would have. The march does not stop
there, since S u_tau = -r moves on wherever r is not 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from sympy import Abs, Add, Dummy, Expr
from torch import Tensor

from pinnsolve.compiler.compile import CompiledProblem, CompiledTerm, compile_expression, term_inputs
from pinnsolve.compiler.trial import Trial
from pinnsolve.declaration.pseudo_time import Drive
from pinnsolve.training.chunks import sharing

_DRAWS = 25
"""Draws over which residuals are compared."""

_SLOW, _UNSOLVED = 0.9, 0.02
"""A residual that falls by less than the first factor over so many draws is stuck where nothing is solved if it is more than the
second part of what it was at first, or of the sizes of the terms that it is made of."""

_GROWTH = 2
"""Power of the fall of the residual by which steps grow."""


@dataclass(frozen=True)
class Marching:
    """How equations are solved in pseudo-time.

    Args:
        drives: For every equation what it moves, and a sign.
        step: The first step.
        waits: Solve r = 0 at once until the residual stops falling, and begin again in pseudo-time only then.
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
        trial: What is trained; it is set back to where it is now when a march that waited begins.
        marching: What moves, and how.
        tell: Called with one line when such a march begins.
    """

    def __init__(
        self, compiled: CompiledProblem, trial: Trial, marching: Marching, tell: Callable[[str], object]
    ) -> None:
        self._trial, self._marching, self._tell = trial, marching, tell
        self._begun = not marching.waits
        self._start = {name: tensor.clone() for name, tensor in trial.state_dict().items()}
        self._sizes: list[float] = []
        self._plain = compiled
        self._drives = {drive.equation: drive for drive in marching.drives}
        self._equations = tuple(term for term in compiled.terms if term.name in self._drives)
        self._sums = tuple(self._sum(term.name) for term in self._equations)
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
        found = self._probe(points, (*self._equations, *self._probes))
        self._sizes.append(self._size(found, [term.name for term in self._equations]))
        if not self._begun and self._is_stuck(points):
            steps = len(self._sizes) - 1
            self._tell(
                f"the residual has stopped falling after {steps} draws of the points: beginning again in pseudo-time"
            )
            self._begun, self._sizes = True, []
            self._trial.load_state_dict(self._start)
            return self.advance(points)
        extended = dict(points)
        for names in sharing({t.name: points[t.name] for t in self._equations}):
            given = points[names[0]]
            values = [found[probe].to(given.dtype) for probe in self._columns[names[0]]]
            columns = torch.stack([given.new_full((len(given),), self._rate()), *values], dim=1)
            extended |= dict.fromkeys(names, torch.cat([given, columns], dim=1))
        return extended

    def _rate(self) -> float:
        """Return 1 / step."""
        if not self._begun:
            return 0.0
        largest, size = max((s for s in self._sizes if math.isfinite(s)), default=0.0), self._sizes[-1]
        ratio = size / largest if largest > 0 and math.isfinite(size) else 1.0
        return ratio**_GROWTH / self._marching.step

    def _is_stuck(self, points: Mapping[str, Tensor]) -> bool:
        if len(self._sizes) <= 2 * _DRAWS:
            return False
        recent = median(self._sizes[-_DRAWS:])
        if recent <= _SLOW * median(self._sizes[-2 * _DRAWS : -_DRAWS]):
            return False
        sums = self._size(self._probe(points, self._sums), [term.name for term in self._sums])
        return recent > _UNSOLVED * min(self._sizes[0], sums)

    def _probe(self, points: Mapping[str, Tensor], terms: Sequence[CompiledTerm]) -> dict[str, Tensor]:
        """Evaluate terms at the points of the equations that they belong to."""
        dtype = next(self._trial.parameters()).dtype
        cast = {id(tensor): tensor.to(dtype) for tensor in points.values()}
        read = {t.name: cast[id(points[t.name.partition(_OF)[0]])] for t in terms}
        with torch.no_grad():
            return replace(self._plain, terms=tuple(terms)).residuals(self._trial, read)

    @staticmethod
    def _size(values: Mapping[str, Tensor], names: Sequence[str]) -> float:
        return math.sqrt(sum(float(values[name].square().mean()) for name in names))

    def _sum(self, name: str) -> CompiledTerm:
        """Compile the sum of the sizes of an equation's terms."""
        problem = self._plain.problem
        term = problem.term(name)
        sizes = Add(*(Abs(part) for part in Add.make_args(term.residual.expand())))
        return compile_expression(f"{name}{_OF}sizes", sizes, term_inputs(term, problem), problem=problem)

    def _moved(self, name: str, rate: Dummy, before: Mapping[Expr, Dummy]) -> CompiledTerm:
        """Compile an equation in pseudo-time, and what it reads of the fields before.

        Equations with the same inputs read the same columns, all that moves there, so that they go on sharing points and networks.
        """
        problem, drive = self._plain.problem, self._drives[name]
        term = problem.term(name)
        inputs = term_inputs(term, problem)
        here = [moved for moved in before if moved.free_symbols <= set(inputs)]
        self._columns[name] = [f"{name}{_OF}{moved}" for moved in here]
        for moved, probe in zip(here, self._columns[name], strict=True):
            self._probes.append(compile_expression(probe, moved, inputs, problem=problem))
        residual = term.residual + drive.sign * rate * (drive.moved - before[drive.moved])
        return compile_expression(name, residual, (*inputs, rate, *(before[m] for m in here)), problem=problem)


_OF = ", its "
"""Between the name of an equation and what is evaluated at its points."""

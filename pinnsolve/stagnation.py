"""Stagnation: noticing that a training is stuck where nothing is solved, and beginning it again in another way.

Minimising |r|^2 may end in a minimum that solves nothing, near a solution that other conditions would have: van der Pol's
oscillator at rest in its unstable point but for a short time, say. Residuals then stop falling while they are still large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from statistics import median
from typing import Any

import torch
from sympy import Abs, Add
from torch import Tensor

from pinnsolve.compiler.compile import CompiledProblem, CompiledTerm, compile_expression, term_inputs
from pinnsolve.compiler.trial import Trial
from pinnsolve.training.distributed import ALONE, Group, evaluated_in_shares
from pinnsolve.training.objective import Objective
from pinnsolve.training.weighting import Causal, Place
from pinnsolve.training.weights import Weights

_DRAWS = 25
"""Draws of the points over which residuals are compared."""

_SLOW = 0.9
"""A residual that falls by less than this factor over so many draws has stopped falling."""

_OF_FIRST, _OF_PARTS = 0.02, 1e-3
"""Nothing is solved where the residual is more than the first part of what it was at the start, and more than the second part of
the sizes of the terms that it is made of."""

_CAUSAL = 4.0
"""Tolerance of causal weights, times the mean square of the residual that is stuck: strict enough that it could not stay."""


class Stagnation:
    """Watches the residuals of equations from draw to draw of their points.

    Args:
        compiled: The terms as declared.
        trial: What is trained; it is set back to where it is now once it is stuck.
        tell: Called with one line then.
        group: Ranks that evaluate residuals together.
    """

    def __init__(
        self, compiled: CompiledProblem, trial: Trial, tell: Callable[[str], object], group: Group = ALONE
    ) -> None:
        problem = compiled.problem
        self._compiled, self._trial, self._tell, self._group = compiled, trial, tell, group
        self._names = [t.name for t in compiled.terms if problem.term(t.name).kind == "equation"]
        self._start = {name: tensor.clone() for name, tensor in trial.state_dict().items()}
        self._sizes: list[float] = []
        self.stuck_at: float | None = None
        """Root mean square of the residual where the training was stuck; None until then."""

    def watch(self, points: Mapping[str, Tensor]) -> None:
        """Look at the residual on new points, and once it is stuck set the trial back to its start."""
        if self.stuck_at is not None:
            return
        self._sizes.append(self._size(self._compiled, points))
        if len(self._sizes) <= 2 * _DRAWS:
            return
        recent = median(self._sizes[-_DRAWS:])
        if recent <= _SLOW * median(self._sizes[-2 * _DRAWS : -_DRAWS]):
            return
        if recent > _OF_FIRST * self._sizes[0] and recent > _OF_PARTS * self._size(self._parts, points):
            self.stuck_at = recent
            self._trial.load_state_dict(self._start)
            draws = len(self._sizes) - 1
            self._tell(
                f"the residual has stopped falling after {draws} draws of the points, at {recent:.2g}: beginning again"
            )

    def state(self) -> dict[str, Any]:
        """Return where the training began and the sizes of its residuals so far, for a checkpoint."""
        return {"start": self._start, "sizes": self._sizes, "stuck_at": self.stuck_at}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self._start, self._sizes = dict(state["start"]), [float(size) for size in state["sizes"]]
        self.stuck_at = None if state["stuck_at"] is None else float(state["stuck_at"])

    def _size(self, terms: CompiledProblem, points: Mapping[str, Tensor]) -> float:
        """Return the root of the sum of the equations' mean squares."""
        dtype = next(self._trial.parameters()).dtype
        cast = {id(points[name]): points[name].to(dtype) for name in self._names}
        with torch.no_grad():
            given = {name: cast[id(points[name])] for name in self._names}
            found = evaluated_in_shares(partial(terms.residuals, self._trial), given, self._group)
        means = self._group.numbers(torch.stack([values.square().mean() for values in found.values()]))
        return math.sqrt(sum(means))

    @cached_property
    def _parts(self) -> CompiledProblem:
        """The sizes of what the equations are made of; compiling them takes seconds, and most trainings never ask."""
        return CompiledProblem(self._compiled.problem, tuple(self._sizes_of_parts(name) for name in self._names))

    def _sizes_of_parts(self, name: str) -> CompiledTerm:
        """Compile the sum of the sizes of the terms that an equation is made of."""
        problem = self._compiled.problem
        term = problem.term(name)
        sizes = Add(*(Abs(part) for part in Add.make_args(term.residual.expand())))
        return compile_expression(name, sizes, term_inputs(term, problem), problem=problem)


@dataclass(frozen=True)
class CausalOnceStuck:
    """Causal weights from the moment on at which a training was stuck; none before.

    Attributes:
        time: The coordinate of evolution.
        stagnation: Knows when, and how large the residual was.
        every: Steps between two updates.
    """

    time: Hashable
    stagnation: Stagnation
    every: int = 1

    def update(self, objective: Objective, places: Mapping[str, Place]) -> Weights:
        """Return weights of points by the residuals at earlier times."""
        size = self.stagnation.stuck_at
        if size is None:
            return objective.weights
        return Causal(self.time, tolerances=(_CAUSAL / size**2,)).update(objective, places)

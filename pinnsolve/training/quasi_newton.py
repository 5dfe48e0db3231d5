"""Quasi-Newton methods: line searches along -H g, where H is learned from the gradients met on the way.

One step from theta with gradient g, for any approximation H of the inverse Hessian:

    d = -H g,    theta+ = theta + t d  with t from the strong Wolfe conditions,    H updated with
    s = theta+ - theta  and  y = g+ - g  unless s.y drowns in rounding      (Nocedal & Wright, algorithm 6.1).
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pinnsolve.training.inverse_hessian import InverseHessian, LimitedMemory
from pinnsolve.training.line_search import SearchResult, strong_wolfe
from pinnsolve.training.objective import Evaluation, Objective
from pinnsolve.training.phase import PRECISIONS, Expired, State, Step, never, require
from pinnsolve.training.status import Status

_FLAT = 1e3
"""Multiple of the machine epsilon below which two losses are equal: residuals are differences of larger numbers."""

_LAST_DIGITS = 4
"""Multiple of the machine epsilon by which a lower loss must be lower to count as progress."""


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS with a strong Wolfe line search.

    Attributes:
        steps: Number of steps; one takes little more than one evaluation on average.
        history: Number of pairs (s, y) remembered; memory is twice as many vectors.
        tolerance_gradient: Length of the gradient at which to end; 0 goes on to rounding level.
        c1: Least decrease of the line search.
        c2: Largest remaining slope of the line search.
        resample: Steps between two draws of the points; 0 keeps them. The memory is carried over.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.
    """

    name: ClassVar[str] = "lbfgs"

    steps: int
    history: int = 100
    _: KW_ONLY
    tolerance_gradient: float = 0.0
    c1: float = 1e-4
    c2: float = 0.9
    resample: int = 0
    dtype: str | None = "float64"

    def __post_init__(self) -> None:
        require(
            self,
            steps=(self.steps >= 1, "a number of steps of at least 1"),
            history=(self.history >= 1, "a number of pairs of at least 1, such as 100"),
            tolerance_gradient=(self.tolerance_gradient >= 0, "a length, or 0 for none"),
            c1=(0 < self.c1 < self.c2, "a number between 0 and c2, such as 1e-4"),
            c2=(self.c2 < 1, "a number between c1 and 1, such as 0.9"),
            resample=(self.resample >= 0, "a number of steps, or 0 to keep the points"),
            dtype=(self.dtype is None or self.dtype in PRECISIONS, f"one of {list(PRECISIONS)}, or None"),
        )

    def start(self, objective: Objective) -> QuasiNewtonStepper:
        """Begin with an empty memory."""
        return QuasiNewtonStepper(self, LimitedMemory(torch.zeros_like(objective.vector), self.history))


class QuasiNewtonStepper:
    """The moving parts of a quasi-Newton method: the inverse Hessian, and loss and gradient where it stands.

    Args:
        phase: Tolerance and constants of the line search.
        inverse: The inverse Hessian, empty.
    """

    def __init__(self, phase: LBFGS, inverse: InverseHessian) -> None:
        self._phase = phase
        self._inverse = inverse
        self._scale = 1.0
        self._current: Evaluation | None = None
        self._lowest = self._shortest = math.inf  # loss and gradient, since the points changed

    def step(self, objective: Objective, *, expired: Expired = never) -> Step:
        """Search along -H g; when nothing lower lies there, forget H and search along -g; then give up, saying why."""
        count = 0
        if self._current is None:
            self._current = objective.evaluate()
            count = 1
        current = self._current
        if not current.finite:
            return Step(math.nan, current.terms, count, 0.0)
        if current.loss == 0 or current.gradient_norm <= self._phase.tolerance_gradient:
            return Step(current.loss, current.terms, count, 0.0, Status.CONVERGED)
        start = objective.vector
        while True:
            direction, slope, length = self._direction(current)
            steepest = self._inverse.empty
            result = self._search(objective, start, current.loss, direction, slope, expired)
            count += result.evaluations
            if result.evaluation is not None or steepest or expired():
                break
            self._inverse.reset()
        if result.evaluation is None:
            status = None if expired() else _explain(objective, start, current.loss, direction, slope)
            objective.vector = start
            return Step(current.loss, current.terms, count, 0.0, status)
        end = torch.add(start, direction, alpha=result.step)
        objective.vector = end
        status = None if self._progressed(result.evaluation, start.dtype) else Status.CONVERGED
        self._learn(end - start, current.gradient, result.evaluation.gradient, length * result.step)
        self._current = result.evaluation
        return Step(result.evaluation.loss, result.evaluation.terms, count, result.step, status)

    def restart(self, objective: Objective) -> None:
        """Keep the inverse Hessian: on other points of the same domain it changes little."""
        self._current = None
        self._lowest = self._shortest = math.inf

    def damp(self, objective: Objective, factor: float) -> None:
        """Forget the inverse Hessian and shorten the first step of a new one."""
        self._scale *= factor
        self._inverse.reset()
        self.restart(objective)

    def state(self) -> State:
        """Return the inverse Hessian, and loss and gradient at the present parameters."""
        numbers = {"damping": self._scale, "lowest": self._lowest, "shortest": self._shortest}
        return {**numbers, **self._inverse.state(), **(self._current.state() if self._current else {})}

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._scale = float(state["damping"])
        self._lowest, self._shortest = float(state["lowest"]), float(state["shortest"])
        self._inverse.load(state)
        self._current = Evaluation.load(state)

    def _direction(self, current: Evaluation) -> tuple[Tensor, float, float]:
        """Return a descent direction d = -l H g, the slope along it, and l: 1 as soon as H knows the scale.

        Without one, and where rounding has spoilt H, it is the gradient, moving the parameters by at most 1 in all.
        """
        if not self._inverse.empty:
            direction = -self._inverse.apply(current.gradient)
            slope = float(direction.dot(current.gradient))
            if -math.inf < slope < 0:
                return direction, slope, 1.0
            self._inverse.reset()
        length = self._scale * min(1.0, 1.0 / float(current.gradient.abs().sum()))
        return current.gradient * -length, -length * current.gradient_norm * current.gradient_norm, length

    def _search(
        self, objective: Objective, start: Tensor, loss: float, direction: Tensor, slope: float, expired: Expired
    ) -> SearchResult:
        def evaluate(step: float) -> tuple[Evaluation, float]:
            evaluation = objective.evaluate(torch.add(start, direction, alpha=step))
            return evaluation, float(direction.dot(evaluation.gradient))

        return strong_wolfe(
            evaluate,
            loss,
            slope,
            c1=self._phase.c1,
            c2=self._phase.c2,
            rounding=_FLAT * torch.finfo(start.dtype).eps,
            expired=expired,
        )

    def _progressed(self, evaluation: Evaluation, dtype: torch.dtype) -> bool:
        """Tell whether loss or gradient are smaller than ever before, the loss by more than its last digits.

        Steps accepted by their slope alone may raise the loss by rounding: without this they would go round in circles.
        """
        lower = evaluation.loss < self._lowest * (1 - _LAST_DIGITS * torch.finfo(dtype).eps)
        shorter = evaluation.gradient_norm < self._shortest
        self._lowest = min(self._lowest, evaluation.loss)
        self._shortest = min(self._shortest, evaluation.gradient_norm)
        return lower or shorter

    def _learn(self, displacement: Tensor, before: Tensor, after: Tensor, step: float) -> None:
        """Update the inverse Hessian unless the curvature met along the way is at rounding level."""
        change = after - before
        products = torch.stack([displacement.dot(change), displacement.dot(displacement), change.dot(change)])
        curvature, length, turn = products.tolist()
        if curvature > torch.finfo(change.dtype).eps * math.sqrt(length * turn):
            self._inverse.update(displacement, change, gradient=before, step=step)


def _explain(objective: Objective, start: Tensor, loss: float, direction: Tensor, slope: float) -> Status:
    """Say why not even the gradient leads downhill, by one more look at the loss a measurable distance ahead.

    The distance is where the slope promises a change of sqrt(epsilon) relative to the loss: far above its rounding,
    yet so close that a smooth loss is still straight.
    """
    epsilon = torch.finfo(start.dtype).eps
    if -slope <= _FLAT * epsilon * loss:
        return Status.CONVERGED
    distance = math.sqrt(epsilon) * loss / -slope
    rise = objective.evaluate(torch.add(start, direction, alpha=distance)).loss - loss
    return Status.NO_DESCENT if rise > -0.1 * distance * slope else Status.STALLED

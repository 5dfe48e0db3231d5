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

from pinnsolve.training.inverse_hessian import (
    BroydenFamily,
    InverseHessian,
    LimitedMemory,
    Member,
    bfgs,
    self_scaled_bfgs,
    self_scaling,
)
from pinnsolve.training.line_search import SearchResult, strong_wolfe
from pinnsolve.training.objective import Evaluation, Objective
from pinnsolve.training.phase import PRECISIONS, Expired, State, Step, never, require
from pinnsolve.training.status import Status

_FLAT = 1e3
"""Multiple of the machine epsilon below which two losses are equal: residuals are differences of larger numbers."""

_LAST_DIGITS = 4
"""Multiple of the machine epsilon by which a lower loss must be lower to count as progress."""

_SHORTEST_TRIAL = 0.1
"""Least first trial along -H g: one step that was cut short must not make all that follow it short."""


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

    Example:
        >>> training = ps.Training(phases=[ps.Adam(steps=500), ps.LBFGS(steps=5_000, resample=300)])
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
        require(self, history=(self.history >= 1, "a number of pairs of at least 1, such as 100"))
        _check(self)

    def start(self, objective: Objective) -> QuasiNewtonStepper:
        """Begin with an empty memory."""
        return QuasiNewtonStepper(self, LimitedMemory(torch.zeros_like(objective.vector), self.history))


@dataclass(frozen=True)
class _Dense:
    """What the methods with a dense inverse Hessian have in common: all but the member of Broyden's family."""

    name: ClassVar[str]
    _member: ClassVar[Member]

    steps: int
    _: KW_ONLY
    tolerance_gradient: float = 0.0
    c1: float = 1e-4
    c2: float = 0.9
    resample: int = 0
    dtype: str | None = "float64"

    def __post_init__(self) -> None:
        _check(self)

    def start(self, objective: Objective) -> QuasiNewtonStepper:
        """Begin without knowledge of the curvature."""
        return QuasiNewtonStepper(self, BroydenFamily(torch.zeros_like(objective.vector), self._member))


@dataclass(frozen=True)
class BFGS(_Dense):
    """BFGS with a dense inverse Hessian (Nocedal & Wright, algorithm 6.1): for up to a few thousand parameters.

    H+ = V^T H V + s s^T / s.y with V = 1 - y s^T / s.y, the member tau = phi = 1 of Broyden's family: the classical method, and
    what the self-scaled ones are to be measured against.

    Attributes:
        steps: Number of steps; one takes little more than one evaluation on average.
        tolerance_gradient: Length of the gradient at which to end; 0 goes on to rounding level.
        c1: Least decrease of the line search.
        c2: Largest remaining slope of the line search.
        resample: Steps between two draws of the points; 0 keeps them. The matrix is carried over.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.Adam(steps=500), ps.BFGS(steps=1_000)])
    """

    name: ClassVar[str] = "bfgs"
    _member: ClassVar[Member] = staticmethod(bfgs)


@dataclass(frozen=True)
class SSBFGS(_Dense):
    """Self-scaled BFGS with a dense inverse Hessian (Al-Baali 1998, Comput. Optim. Appl. 9): for up to a few thousand parameters.

    BFGS of H / tau, tau = min(1, s.y / s.B s) with B = 1 / H: where B promises more curvature along a step than is met, H is scaled
    up before the update; it is never scaled down. Large eigenvalues of B, which BFGS is slow to correct, shrink at once.

    Attributes:
        steps: Number of steps; one takes little more than one evaluation on average.
        tolerance_gradient: Length of the gradient at which to end; 0 goes on to rounding level.
        c1: Least decrease of the line search.
        c2: Largest remaining slope of the line search.
        resample: Steps between two draws of the points; 0 keeps them. The matrix is carried over.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.Adam(steps=500), ps.SSBFGS(steps=1_000)])
    """

    name: ClassVar[str] = "ssbfgs"
    _member: ClassVar[Member] = staticmethod(self_scaled_bfgs)


@dataclass(frozen=True)
class SSBroyden(_Dense):
    """The self-scaled Broyden method with a dense inverse Hessian: for up to a few thousand parameters.

    A step costs two matrix-vector products and one pass over the matrix on top of the evaluation, and takes steps so much
    better than those of L-BFGS on the ill-conditioned losses of differential equations that it usually repays them. The member
    of the family is that of Urbán, Stefanou & Pons (2025), J. Comput. Phys. 523, sec. 2.3.

    Attributes:
        steps: Number of steps; one takes little more than one evaluation on average.
        tolerance_gradient: Length of the gradient at which to end; 0 goes on to rounding level.
        c1: Least decrease of the line search.
        c2: Largest remaining slope of the line search.
        resample: Steps between two draws of the points; 0 keeps them. The matrix is carried over.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.Adam(steps=500), ps.SSBroyden(steps=3_000, resample=300)])
    """

    name: ClassVar[str] = "ssbroyden"
    _member: ClassVar[Member] = staticmethod(self_scaling)


@dataclass(frozen=True, eq=False)
class _Line:
    """Where a step searches: from `start` with `loss`, along `direction` with `slope`, trying the step `first` first."""

    start: Tensor
    loss: float
    direction: Tensor
    slope: float
    first: float

    def at(self, step: float) -> Tensor:
        return torch.add(self.start, self.direction, alpha=step)


class QuasiNewtonStepper:
    """The moving parts of a quasi-Newton method: the inverse Hessian, and loss and gradient where it stands.

    Args:
        phase: Tolerance and constants of the line search.
        inverse: The inverse Hessian, empty.
    """

    def __init__(self, phase: LBFGS | _Dense, inverse: InverseHessian) -> None:
        self._phase = phase
        self._inverse = inverse
        self._scale = 1.0
        self._current: Evaluation | None = None
        self._lowest = self._shortest = math.inf  # loss and gradient, since the points changed
        self._decrease = math.inf  # of the loss, in the last step
        self._first = math.nan  # loss where the phase began

    def step(self, objective: Objective, *, expired: Expired = never) -> Step:
        """Search along -H g; when nothing lower lies there, forget H and search along -g; then give up, saying why."""
        count = 0
        if self._current is None:
            self._current = objective.evaluate()
            count = 1
        current = self._current
        if math.isnan(self._first):
            self._first = current.loss
        if not current.finite:
            return Step(math.nan, current.terms, count, 0.0)
        if current.loss == 0 or current.gradient_norm <= self._phase.tolerance_gradient:
            return Step(current.loss, current.terms, count, 0.0, Status.CONVERGED)
        line = self._line(objective, objective.vector, current)
        result = self._search(objective, line, expired)
        count += result.evaluations
        if result.evaluation is None and not self._inverse.empty and not expired():
            self._inverse.reset()
            line = self._line(objective, line.start, current)
            result = self._search(objective, line, expired)
            count += result.evaluations
        if result.evaluation is None:
            status = None if expired() else _explain(objective, line, self._first)
            objective.vector = line.start
            return Step(current.loss, current.terms, count, 0.0, status)
        end = line.at(result.step)
        objective.vector = end
        self._learn(objective, end - line.start, before=current, after=result.evaluation, step=result.step)
        self._current = result.evaluation
        self._decrease = current.loss - result.evaluation.loss
        status = None if self._progressed(result.evaluation, end.dtype) else Status.CONVERGED
        return Step(result.evaluation.loss, result.evaluation.terms, count, result.step, status)

    def restart(self, objective: Objective) -> None:
        """Keep the inverse Hessian: on other points of the same domain it changes little."""
        self._current = None
        self._lowest = self._shortest = self._decrease = math.inf

    def damp(self, objective: Objective, factor: float) -> None:
        """Forget the inverse Hessian and shorten the first step of a new one."""
        self._scale *= factor
        self._inverse.reset()
        self.restart(objective)

    def state(self) -> State:
        """Return the inverse Hessian, and loss and gradient at the present parameters."""
        numbers = {"damping": self._scale, "decrease": self._decrease, "first": self._first}
        records = {"lowest": self._lowest, "shortest": self._shortest}
        return {**numbers, **records, **self._inverse.state(), **(self._current.state() if self._current else {})}

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._scale, self._decrease = float(state["damping"]), float(state["decrease"])
        self._lowest, self._shortest = float(state["lowest"]), float(state["shortest"])
        self._first = float(state["first"])
        self._inverse.load(state)
        self._current = Evaluation.load(state)

    def _line(self, objective: Objective, start: Tensor, current: Evaluation) -> _Line:
        """Lay a line along -H g, or along -g where H is empty or rounding has spoilt it."""
        if not self._inverse.empty:
            direction = -self._inverse.apply(current.gradient)
            (slope,) = objective.group.numbers(direction.dot(current.gradient)[None])
            if -math.inf < slope < 0:
                return _Line(start, current.loss, direction, slope, self._first_trial(slope))
            self._inverse.reset()
        length = self._scale * min(1.0, 1.0 / float(current.gradient.abs().sum()))
        slope = -length * current.gradient_norm * current.gradient_norm
        return _Line(start, current.loss, current.gradient * -length, slope, 1.0)

    def _first_trial(self, slope: float) -> float:
        """Expect the loss to fall as far as in the last step: a parabola then has its minimum at 2 decrease / |slope|.

        The factor 1.01 lets the full step through in the end (Nocedal & Wright, eq. 3.60). Where H is systematically too
        large, as after self-scaling, this saves a third of the evaluations.
        """
        expected = 1.01 * 2 * self._decrease / -slope
        return min(max(expected, _SHORTEST_TRIAL), 1.0) if expected > 0 else 1.0

    def _search(self, objective: Objective, line: _Line, expired: Expired) -> SearchResult:
        def evaluate(step: float) -> tuple[Evaluation, float]:
            evaluation = objective.evaluate(line.at(step))
            return evaluation, objective.group.numbers(line.direction.dot(evaluation.gradient)[None])[0]

        return strong_wolfe(
            evaluate,
            line.loss,
            line.slope,
            step=line.first,
            c1=self._phase.c1,
            c2=self._phase.c2,
            rounding=_FLAT * torch.finfo(line.start.dtype).eps,
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

    def _learn(
        self, objective: Objective, displacement: Tensor, *, before: Evaluation, after: Evaluation, step: float
    ) -> None:
        """Update the inverse Hessian unless the change of the gradient along the way is no more than its rounding."""
        change = after.gradient - before.gradient
        products = torch.stack([displacement.dot(change), displacement.dot(displacement)])
        curvature, length = objective.group.numbers(products)
        if curvature > torch.finfo(change.dtype).eps * math.sqrt(length) * before.gradient_norm:
            self._inverse.update(displacement, before=before.gradient, after=after.gradient, step=step)


def _check(phase: LBFGS | _Dense) -> None:
    """Check what the two have in common."""
    require(
        phase,
        steps=(phase.steps >= 1, "a number of steps of at least 1"),
        tolerance_gradient=(phase.tolerance_gradient >= 0, "a length, or 0 for none"),
        c1=(0 < phase.c1 < phase.c2, "a number between 0 and c2, such as 1e-4"),
        c2=(phase.c2 < 1, "a number between c1 and 1, such as 0.9"),
        resample=(phase.resample >= 0, "a number of steps, or 0 to keep the points"),
        dtype=(phase.dtype is None or phase.dtype in PRECISIONS, f"one of {list(PRECISIONS)}, or None"),
    )


def _explain(objective: Objective, line: _Line, first: float) -> Status:
    """Say why not even the gradient leads downhill, by one more look at the loss a measurable distance ahead.

    A loss that has come down to rounding of where the phase began consists of rounding in the residuals, each a difference
    of larger numbers, and its gradient with it. Otherwise the distance is where the slope promises a change of sqrt(epsilon)
    relative to the loss: far above its rounding, yet so close that a smooth loss is still straight.
    """
    epsilon = torch.finfo(line.start.dtype).eps
    if -line.slope <= _FLAT * epsilon * line.loss or line.loss <= _FLAT * epsilon * first:
        return Status.CONVERGED
    promised = math.sqrt(epsilon) * line.loss
    rise = objective.evaluate(line.at(promised / -line.slope)).loss - line.loss
    return Status.NO_DESCENT if rise > 0.1 * promised else Status.STALLED

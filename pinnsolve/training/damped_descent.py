"""Damped descent: steps of a linear model of the residuals, damped as far as the model of the loss can be trusted.

With rho the residuals scaled so that the loss is |rho|^2 and R their Jacobian, a step d comes from a damping lambda, and is the
shorter the larger lambda is. The model promises that the loss falls along it by

    m(t) = |rho|^2 - |rho + t R d|^2 = -2 t rho'R d - t^2 |R d|^2.

The damping follows from the ratio of achieved to promised fall (Nielsen, Damping parameter in Marquardt's method, 1999, eq. 2.5):
after a success lambda <- lambda max(1/3, 1 - (2 ratio - 1)^3), after failures in a row lambda <- 2 lambda, 4 lambda, 8 lambda ...
What the steps are is the matter of a method: Levenberg-Marquardt, natural gradient with momentum, conjugate gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pinnsolve.training.objective import Objective, Value
from pinnsolve.training.phase import PRECISIONS, Expired, Phase, State, Step, never, require
from pinnsolve.training.status import Status

_MOST_DAMPING = 1e12
"""Damping, relative to the largest diagonal entry of R'R, beyond which steps are lost in rounding."""

_BACKTRACKING = (0.1, 0.5)
"""Bounds on the next shorter trial along a step, relative to the last (Nocedal & Wright, section 3.5)."""


FEW_ROWS_DAMPING = 1e-6
"""Least damping, relative to the largest diagonal entry of R'R, by fewer rows than parameters. Those can always be satisfied: the
loss on them falls as promised however small the damping, down to steps that learn a draw of the points by heart. On Poisson's and
Burgers' equation with 8,600 parameters the error after a number of steps is two to five times smaller with this bound."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A step d and what the linear model promises along it.

    Attributes:
        step: d, shape (parameters,).
        slope: -2 rho'R d.
        bend: |R d|^2.
    """

    step: Tensor
    slope: float
    bend: float

    def promised(self, length: float) -> float:
        """Return m(t), the fall of the loss."""
        return length * (self.slope - length * self.bend)


class Linearised(Protocol):
    """The residuals, linear in the parameters, where a step begins.

    Attributes:
        residual: rho.
        gradient: R'rho, half the gradient of the loss.
        largest: Largest diagonal entry of R'R, or what is of its size: the unit of the damping.
        least: Least damping in this unit; rounding may ask for more.
    """

    @property
    def residual(self) -> Tensor:
        """Return rho."""
        ...

    @property
    def gradient(self) -> Tensor:
        """Return R'rho."""
        ...

    @property
    def largest(self) -> float:
        """Return the unit of the damping."""
        ...

    @property
    def least(self) -> float:
        """Return the least damping in its unit."""
        ...

    def propose(self, damping: float) -> Proposal | None:
        """Return a step, None where there is none for this damping; the parameters are, and are left, where it begins."""
        ...


class Method(Protocol):
    """How steps come from a damping, and what is carried over from one to the next."""

    @property
    def shortest(self) -> float:
        """Part of a step that is tried at least before the damping is raised; 1 tries whole steps alone."""
        ...

    def linearise(self, objective: Objective, expired: Expired) -> Linearised:
        """Linearise where the parameters are."""
        ...

    def accept(self, proposal: Proposal) -> None:
        """Learn that a proposal has lowered the loss."""
        ...

    def forget(self) -> None:
        """Learn that steps led astray and were undone."""
        ...

    def state(self) -> State:
        """Return copies of what is carried over."""
        ...

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        ...


class DampedStepper:
    """The moving parts: the damping, the factor by which it grows at the next failure, and those of the method.

    Args:
        damping: First damping, relative to `Linearised.largest`.
        method: Whose steps are taken.
    """

    def __init__(self, damping: float, method: Method) -> None:
        self._first = damping
        self._method = method
        self._damping = math.nan
        self._growth = 2.0

    def step(self, objective: Objective, *, expired: Expired = never) -> Step:
        """Linearise once, then raise the damping until the loss falls."""
        start, value = objective.vector, objective.value()
        if not math.isfinite(value.loss):
            return Step(math.nan, value.terms, 1, 0.0)
        if value.loss == 0:
            return Step(0.0, value.terms, 1, 0.0, Status.CONVERGED)
        model = self._method.linearise(objective, expired)
        sound = math.isfinite(model.largest) and bool(model.residual.isfinite().all() & model.gradient.isfinite().all())
        if objective.group.any(not sound):
            return Step(math.nan, value.terms, 1, 0.0)
        if torch.finfo(start.dtype).eps * model.largest == 0:  # no damping would ever be large beside it
            return Step(value.loss, value.terms, 1, 0.0, _explain(model, value.loss))
        if math.isnan(self._damping):
            self._damping = self._first * model.largest
        found, tries = self._descend(objective, model, value.loss, expired)
        if found is not None:
            return Step(found.loss, found.terms, tries + 1, self._damping)
        objective.vector = start
        status = None if expired() else _explain(model, value.loss)
        return Step(value.loss, value.terms, tries + 1, 0.0, status)

    def restart(self, objective: Objective) -> None:
        """Keep the damping: it belongs to the parameters more than to the points."""

    def damp(self, objective: Objective, factor: float) -> None:
        """Raise the damping, which shortens the steps, and forget where they went."""
        self._damping /= factor
        self._method.forget()

    def state(self) -> State:
        """Return the damping, its growth, and what the method carries over."""
        return {"damping": self._damping, "growth": self._growth, **self._method.state()}

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._damping, self._growth = float(state["damping"]), float(state["growth"])
        self._method.load(state)

    def _descend(
        self, objective: Objective, model: Linearised, loss: float, expired: Expired
    ) -> tuple[Value | None, int]:
        """Try dampings until one lowers the loss; the parameters are then where it led."""
        start = objective.vector
        least = max(torch.finfo(start.dtype).eps, model.least) * model.largest
        tries, most = 0, _MOST_DAMPING * model.largest
        while tries == 0 or (self._damping <= most and not expired()):
            tries += 1
            self._damping = max(self._damping, least)
            proposal = model.propose(self._damping)
            unusable = proposal is None or not bool(proposal.step.isfinite().all())
            if not objective.group.any(unusable) and proposal is not None:
                objective.group.same(proposal.step)
                value, length, more = self._backtrack(objective, proposal, loss, expired)
                tries += more - 1
                if value is not None:
                    promised = proposal.promised(length)
                    # Residuals below the root of the least number promise a fall of nothing.
                    self._relax((loss - value.loss) / promised if promised > 0 else 0.0, length)
                    self._method.accept(proposal)
                    return value, tries
                objective.vector = start
            self._damping *= self._growth
            self._growth *= 2
        self._damping = min(self._damping, most)
        return None, tries

    def _backtrack(
        self, objective: Objective, proposal: Proposal, loss: float, expired: Expired
    ) -> tuple[Value | None, float, int]:
        """Shorten the step until the loss falls, to the minimum of the parabola with the model's slope."""
        start, length, tries = objective.vector, 1.0, 0
        while True:
            objective.vector = start + length * proposal.step
            value = objective.value()
            tries += 1
            if value.loss < loss:
                return value, length, tries
            rise = value.loss - loss + length * proposal.slope
            part = length * proposal.slope / (2 * rise) if 0 < rise < math.inf else _BACKTRACKING[0]
            length *= min(max(part, _BACKTRACKING[0]), _BACKTRACKING[1])
            if not length >= self._method.shortest or not proposal.slope > 0 or expired():
                return None, 0.0, tries

    def _relax(self, ratio: float, length: float) -> None:
        """Lower the damping after a success, the more the better the loss was predicted; a step cut short raises it."""
        trust = min(max(ratio, 0.0), 1.0) if length == 1 else 0.0
        self._damping *= max(1 / 3, 1 - (2 * trust - 1) ** 3)
        self._growth = 2.0


class DampedPhase(Phase, Protocol):
    """A phase that begins with a damping."""

    @property
    def damping(self) -> float:
        """First damping, relative to the largest diagonal entry of R'R."""
        ...


def require_damped(phase: DampedPhase) -> None:
    """Check what all phases of this kind have in common.

    Raises:
        ProblemError: A number that makes no sense.
    """
    require(
        phase,
        steps=(phase.steps >= 1, "a number of steps of at least 1"),
        damping=(0 < phase.damping < math.inf, "a small positive number such as 1e-3"),
        resample=(phase.resample >= 0, "a number of steps, or 0 to keep the points"),
        dtype=(phase.dtype is None or phase.dtype in PRECISIONS, f"one of {list(PRECISIONS)}, or None"),
    )


def _explain(model: Linearised, loss: float) -> Status:
    """Say why no damping lowers the loss: nothing is left to gain, or the model is wrong even for the shortest steps."""
    length = float(torch.linalg.vector_norm(model.gradient))
    flat = length * length <= 1e3 * torch.finfo(model.gradient.dtype).eps * loss * model.largest
    return Status.CONVERGED if flat else Status.STALLED

"""Natural gradient with momentum: each step solves its own rows as near as can be to where the last steps went.

With rho the scaled residuals at the points of a step, R their Jacobian and mu the momentum,

    phi_k = argmin |R phi + rho|^2 + lambda |phi - mu phi_(k-1)|^2
          = mu phi_(k-1) - R'(R R' + lambda I)^-1 (rho + mu R phi_(k-1))

(Goldshlager, Abrahamsen and Lin, A Kaczmarz-inspired approach to accelerate the optimization of neural network wavefunctions,
2024, the update of SPRING; for differential equations Guzmán-Cordero, Dangel, Goldshlager and Zeinhofer, Improving energy natural
gradient descent through Woodbury, momentum, and randomization, 2025). Few rows say nothing of most directions in the space of
many parameters: in those the step goes on as before, as in Kaczmarz's method, and what many draws of the points say is added up.
Without momentum it is a step of Levenberg and Marquardt.

The parameters move by a share of phi, as of any sum with decaying weights, theta <- theta + t (1 - mu) / (1 - mu^k) phi_k: on
linear residuals with one solution, of whose unknowns every draw tells a small part, the mean square error falls for t < 2, and
fastest for t = 1, whatever mu; whole steps would let it grow for mu > 1/2. A search on the same points finds t <= 1.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pinnsolve.training.damped_descent import FEW_ROWS_DAMPING, DampedStepper, Proposal, require_damped
from pinnsolve.training.distributed import Group
from pinnsolve.training.normal_equations import System, scaled_jacobian, smaller_system
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import Expired, State, require

_SHORTEST = 1e-2
"""Part of a step below which a larger damping is the better way to a shorter one."""


@dataclass(frozen=True)
class SPRING:
    """Natural gradient with momentum (SPRING): for ten thousand to a million parameters and some hundreds to thousands of points.

    A step forms and factorises the matrix R R' of rows by rows, in parts of the parameters where R is too large to be kept, so that
    it costs rows^2 x parameters and memory does not grow with the parameters but for a few vectors. Points are to be redrawn
    at every step: with few of them kept the network would learn them by heart.

    Attributes:
        steps: Number of steps.
        damping: First damping lambda relative to the largest diagonal entry of R'R; it follows the achieved falls of the loss.
        momentum: mu, the part of the last step that is kept where the rows say nothing; 0 is a step of Levenberg and Marquardt.
        resample: Steps between two draws of the points; 0 keeps them.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.SPRING(steps=1_000)])
    """

    name: ClassVar[str] = "spring"

    steps: int
    _: KW_ONLY
    damping: float = 1e-3
    momentum: float = 0.5
    resample: int = 1
    dtype: str | None = "float64"

    def __post_init__(self) -> None:
        require_damped(self)
        require(self, momentum=(0 <= self.momentum < 1, "a number from 0 up to but not including 1, such as 0.5"))

    def start(self, objective: Objective) -> DampedStepper:
        """Begin at rest."""
        return DampedStepper(self.damping, _Momentum(self.momentum))


class _Momentum:
    """Steps from the last one, phi.

    Args:
        momentum: mu.
    """

    shortest = _SHORTEST

    def __init__(self, momentum: float) -> None:
        self._momentum = momentum
        self._last: Tensor | None = None
        self._count = 0  # k, of the steps since it was at rest

    def linearise(self, objective: Objective, expired: Expired) -> _Projection:
        """Form the smaller system."""
        rows = scaled_jacobian(objective)
        residual = rows.residual()
        system = smaller_system(rows, residual, size=objective.size)
        last = None if self._last is None else self._last.to(residual)
        self._model = _Projection(objective.group, system, residual, last, self._momentum, self._count)
        return self._model

    def accept(self, proposal: Proposal) -> None:
        """Go on in this direction, however far the step went."""
        self._last, self._count = proposal.step / self._model.share, self._model.count

    def forget(self) -> None:
        """Come to rest."""
        self._last, self._count = None, 0

    def state(self) -> State:
        """Return phi and k."""
        return {} if self._last is None else {"momentum": self._last.clone(), "count": self._count}

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.forget()
        if "momentum" in state:
            self._last, self._count = torch.as_tensor(state["momentum"]).clone(), int(state["count"])


class _Projection:
    """The damped projection of mu phi onto what the rows ask for.

    Args:
        group: The ranks.
        system: Of the rows.
        residual: rho.
        last: phi of the step before, None at rest.
        momentum: mu.
        count: Number of steps that phi sums up.
    """

    def __init__(
        self, group: Group, system: System, residual: Tensor, last: Tensor | None, momentum: float, count: int
    ) -> None:
        self._group, self._system, self._momentum = group, system, momentum
        self._kept = momentum * last if last is not None and momentum else None
        self.count = count
        self.share = 1.0
        self.least = FEW_ROWS_DAMPING if len(residual) < len(system.gradient) else 0.0
        self.residual, self.gradient, self.largest = residual, system.gradient, system.largest

    def propose(self, damping: float) -> Proposal | None:
        """Return the share of phi; a momentum that led nowhere is not tried twice."""
        kept, self._kept = self._kept, None
        self.count = 1 if kept is None else self.count + 1
        self.share = (1 - self._momentum) / (1 - self._momentum**self.count)
        if not self._system.damp(damping):
            return None
        right = self.residual if kept is None else self.residual + self._system.times(kept)
        step = -self._system.solve(right)
        if kept is not None:
            step += kept
        step *= self.share
        image = self._system.times(step)
        slope, bend = self._group.numbers(torch.stack([-2 * self.residual.dot(image), image.dot(image)]))
        return Proposal(step, slope, bend)

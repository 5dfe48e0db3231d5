"""First-order optimizers: Adam on the flat vector, with a learning rate that warms up and decays.

With gradient g_k and element-wise products (Kingma & Ba 2015, algorithm 1),

    m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g g,
    theta <- theta - lr_k m / (1 - b1^k) / (sqrt(v / (1 - b2^k)) + eps).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pinnsolve.training.objective import Evaluation, Objective
from pinnsolve.training.phase import PRECISIONS, Expired, State, Step, never, require

Decay = Callable[[float], float]
"""From the part of the phase that is done, in [0, 1], to the factor on the learning rate."""


def constant(done: float) -> float:
    """Keep the learning rate."""
    return 1.0


def warm_stable_decay(done: float) -> float:
    """Rise linearly over the first 2 %, stay, and fall to 1/100 along half a cosine over the last 30 %.

    Hu et al. (2024), MiniCPM, sec. 4. On Burgers' equation it reached lower held-out losses than a cosine over the whole
    phase at equal steps and rates, and a phase that is cut short has lost nothing.
    """
    warm, decay, floor = 0.02, 0.3, 0.01
    if done < warm:
        return floor + (1 - floor) * done / warm
    late = min(max((done - (1 - decay)) / decay, 0.0), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * late))


@dataclass(frozen=True)
class Adam:
    """Adam for a number of steps.

    Attributes:
        steps: Number of steps.
        lr: Largest learning rate.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the root of the averaged square.
        decay: Factor on the learning rate, from the part of the steps done.
        clip: Longest gradient; longer ones are shortened to it. None: no limit.
        resample: Steps between two draws of the points; 0 keeps them. Every draw costs one further evaluation.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.
    """

    name: ClassVar[str] = "adam"

    steps: int
    lr: float = 1e-3
    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decay: Decay = warm_stable_decay
    clip: float | None = None
    resample: int = 0
    dtype: str | None = None

    def __post_init__(self) -> None:
        require(
            self,
            steps=(self.steps >= 1, "a number of steps of at least 1"),
            lr=(0 < self.lr < math.inf, "a positive learning rate such as 1e-3"),
            betas=(all(0 <= beta < 1 for beta in self.betas), "two numbers from 0 to 1 such as (0.9, 0.999)"),
            eps=(self.eps > 0, "a small positive number such as 1e-8"),
            clip=(self.clip is None or self.clip > 0, "a positive length, or None"),
            resample=(self.resample >= 0, "a number of steps, or 0 to keep the points"),
            dtype=(self.dtype is None or self.dtype in PRECISIONS, f"one of {list(PRECISIONS)}, or None"),
        )

    def start(self, objective: Objective) -> AdamStepper:
        """Begin with both averages at zero."""
        return AdamStepper(self, torch.zeros_like(objective.vector))


class AdamStepper:
    """The moving parts of Adam: two averages, the number of steps, and the damping after divergences.

    Args:
        phase: The description.
        zero: A zero vector of the objective's size, precision and device.
    """

    def __init__(self, phase: Adam, zero: Tensor) -> None:
        self._phase = phase
        self._mean, self._square = zero.clone(), zero.clone()
        self._steps = 0
        self._scale = 1.0
        self._current: Evaluation | None = None

    def step(self, objective: Objective, *, expired: Expired = never) -> Step:
        """Move the parameters once, then evaluate there; the next step needs that gradient anyway."""
        evaluations = 1
        if self._current is None:
            self._current = objective.evaluate()
            evaluations += 1
        if not self._current.finite:
            return Step(math.nan, self._current.terms, evaluations - 1, 0.0)
        rate = self._phase.lr * self._scale * self._phase.decay(self._steps / self._phase.steps)
        self._current = objective.evaluate(self._update(objective.vector, self._current, rate))
        loss = self._current.loss if self._current.finite else math.nan
        return Step(loss, self._current.terms, evaluations, rate)

    def restart(self, objective: Objective) -> None:
        """Keep the averages: they smooth over draws of the points as over steps."""
        self._current = None

    def damp(self, objective: Objective, factor: float) -> None:
        """Lower the learning rate and forget the momentum.

        The averaged squares stay: they remember the large gradients of the divergence and shorten the next steps.
        """
        self._scale *= factor
        self._mean.zero_()
        self._current = None

    def state(self) -> State:
        """Return both averages, the counters, and the gradient of the next step."""
        state: dict[str, Tensor | float] = {
            "mean": self._mean.clone(),
            "square": self._square.clone(),
            "steps": self._steps,
            "scale": self._scale,
        }
        return state | ({} if self._current is None else self._current.state())

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._mean.copy_(torch.as_tensor(state["mean"]))
        self._square.copy_(torch.as_tensor(state["square"]))
        self._steps = int(state["steps"])
        self._scale = float(state["scale"])
        self._current = Evaluation.load(state)

    def _update(self, vector: Tensor, current: Evaluation, rate: float) -> Tensor:
        self._steps += 1
        gradient = current.gradient
        if self._phase.clip is not None and current.gradient_norm > self._phase.clip:
            gradient = gradient * (self._phase.clip / current.gradient_norm)
        beta1, beta2 = self._phase.betas
        self._mean.lerp_(gradient, 1 - beta1)
        self._square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (self._square.sqrt() / math.sqrt(1 - beta2**self._steps)).add_(self._phase.eps)
        return vector.addcdiv_(self._mean, root, value=-rate / (1 - beta1**self._steps))

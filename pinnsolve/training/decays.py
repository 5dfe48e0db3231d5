"""Decays: how the learning rate of a phase changes, by the part of the phase that is done or by the losses met.

Most are functions of the part done, so that more steps stretch them. `Plateau` follows the loss instead: it is a rule from where
the descent stands to where it stands one loss later, which leaves the memory to whoever steps and stores.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pinnsolve.errors import ProblemError

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
        return _rise(done, warm, floor)
    return _half_cosine((done - (1 - decay)) / decay, floor)


@dataclass(frozen=True)
class Cosine:
    """Rise linearly to 1, then fall along half a cosine: Loshchilov & Hutter (2017), SGDR, eq. (5), without restarts.

    Attributes:
        warm: Part of the phase that the rise takes.
        floor: Factor at the start of the rise and at the end.

    Raises:
        ProblemError: A number outside [0, 1).

    Example:
        >>> rate = ps.Cosine(warm=0.1, floor=0.01)
        >>> [round(rate(part), 3) for part in (0.0, 0.1, 0.5, 1.0)]
        [0.01, 1.0, 0.591, 0.01]
    """

    warm: float = 0.02
    floor: float = 0.01

    def __post_init__(self) -> None:
        _require_parts(self, warm=self.warm, floor=self.floor)

    def __call__(self, done: float) -> float:
        """Return the factor at the part that is done."""
        if done < self.warm:
            return _rise(done, self.warm, self.floor)
        return _half_cosine((done - self.warm) / (1 - self.warm), self.floor)


@dataclass(frozen=True)
class Exponential:
    """Rise linearly to 1, then fall by equal factors in equal numbers of steps.

    Attributes:
        floor: Factor at the start of the rise and at the end; 0.01 halves the learning rate every 15 % of the phase.
        warm: Part of the phase that the rise takes.

    Raises:
        ProblemError: A number outside [0, 1), or no floor.

    Example:
        >>> rate = ps.Exponential(floor=0.01)
        >>> [round(rate(part), 3) for part in (0.02, 0.5, 1.0)]
        [1.0, 0.105, 0.01]
    """

    floor: float = 0.01
    warm: float = 0.02

    def __post_init__(self) -> None:
        _require_parts(self, floor=self.floor, warm=self.warm)
        if self.floor == 0:
            raise ProblemError("Exponential", f"floor={self.floor!r}", "write a positive number such as 0.01")

    def __call__(self, done: float) -> float:
        """Return the factor at the part that is done."""
        if done < self.warm:
            return _rise(done, self.warm, self.floor)
        return float(self.floor ** ((done - self.warm) / (1 - self.warm)))


@dataclass(frozen=True)
class Descent:
    """Where a descent stands.

    Attributes:
        factor: On the learning rate.
        lowest: The lowest loss, to within the threshold.
        since: Steps made since then, or since the factor changed.
    """

    factor: float = 1.0
    lowest: float = math.inf
    since: int = 0


@dataclass(frozen=True)
class Plateau:
    """Lower the learning rate whenever the loss has stopped falling.

    Losses on redrawn points are compared with those before; a patience of several draws averages over their luck.

    Attributes:
        factor: By which the learning rate is multiplied each time.
        patience: Steps without a lower loss that are put up with.
        threshold: By which part a loss must be lower to count.
        floor: Least product of all the factors.

    Raises:
        ProblemError: A number outside [0, 1), a factor of 0, or a negative patience.

    Example:
        >>> training = ps.Training(phases=[ps.Adam(steps=2_000, lr=1e-2, decay=ps.Plateau(factor=0.5, patience=100))])
    """

    factor: float = 0.5
    patience: int = 200
    threshold: float = 1e-3
    floor: float = 1e-3

    def __post_init__(self) -> None:
        _require_parts(self, factor=self.factor, threshold=self.threshold, floor=self.floor)
        if self.factor == 0:
            raise ProblemError("Plateau", f"factor={self.factor!r}", "write a positive number such as 0.5")
        if self.patience < 0:
            raise ProblemError("Plateau", f"patience={self.patience!r}", "write a number of steps such as 200")

    def after(self, descent: Descent, loss: float) -> Descent:
        """Return where the descent stands once this loss is known."""
        if loss < descent.lowest * (1 - self.threshold):
            return Descent(descent.factor, loss, 0)
        if descent.since < self.patience:
            return Descent(descent.factor, descent.lowest, descent.since + 1)
        return Descent(max(descent.factor * self.factor, self.floor), descent.lowest, 0)


def _rise(done: float, warm: float, floor: float) -> float:
    return floor + (1 - floor) * done / warm


def _half_cosine(late: float, floor: float) -> float:
    """Fall from 1 to the floor while `late` goes from 0 to 1; flat outside."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(max(late, 0.0), 1.0)))


def _require_parts(decay: object, **parts: float) -> None:
    for argument, value in parts.items():
        if not 0 <= value < 1:
            found, remedy = f"{argument}={value!r}", "write a number of at least 0 and less than 1"
            raise ProblemError(type(decay).__name__, found, remedy)

"""Phases and steppers: what the training loop asks of an algorithm, and all it knows of one.

A phase is a frozen description; its moving parts live in the stepper it starts. Between two calls of `step` the
parameters of the objective are the state that the last returned loss belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from pinnsolve.errors import ProblemError
from pinnsolve.training.objective import Objective
from pinnsolve.training.status import Status

State = Mapping[str, Tensor | float]
"""What a checkpoint stores of a stepper: tensors and numbers by name."""

Expired = Callable[[], bool]
"""Whether the time is up: asked between the evaluations of one step."""


PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
"""What a phase may ask for."""


def never() -> bool:
    """No time limit."""
    return False


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes:
        loss: The loss where the parameters now are; not finite when the step could not be made.
        terms: The unweighted mean squares there.
        evaluations: Losses with gradients computed since the last step.
        rate: The learning rate, or the length of the step relative to its direction.
        status: Why there is no use in another step; None to go on.
    """

    loss: float
    terms: dict[str, float]
    evaluations: int
    rate: float
    status: Status | None = None


class Stepper(Protocol):
    """The moving parts of one phase."""

    def step(self, objective: Objective, *, expired: Expired = never) -> Step:
        """Move the parameters of the objective once; they stay finite whatever the loss does."""
        ...

    def restart(self, objective: Objective) -> None:
        """Learn that points or parameters were changed from outside: what was evaluated last is stale."""
        ...

    def damp(self, objective: Objective, factor: float) -> None:
        """Learn that the steps led astray and were undone: take them smaller by this factor."""
        ...

    def state(self) -> State:
        """Return copies of all that is needed to continue bit for bit, given the parameters and the points."""
        ...

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        ...


@runtime_checkable
class Phase(Protocol):
    """A part of the training with one algorithm."""

    @property
    def name(self) -> str:
        """Short name of the algorithm."""
        ...

    @property
    def steps(self) -> int:
        """Number of steps at most."""
        ...

    @property
    def resample(self) -> int:
        """Steps between two draws of the points; 0 keeps them."""
        ...

    @property
    def dtype(self) -> str | None:
        """Precision to change to at the start; None keeps the one in force."""
        ...

    def start(self, objective: Objective) -> Stepper:
        """Begin at the parameters the objective has now."""
        ...


def require(phase: Phase, **arguments: tuple[bool, str]) -> None:
    """Check the arguments of a phase when it is written.

    Args:
        phase: The phase under construction.
        **arguments: By name: whether the value makes sense, and what does.

    Raises:
        ProblemError: The first argument that does not.
    """
    for argument, (sound, remedy) in arguments.items():
        if not sound:
            raise ProblemError(type(phase).__name__, f"{argument}={getattr(phase, argument)!r}", f"write {remedy}")

"""Progress: where a training is, what became of its phases, how it ended; and the same as plain mappings, for checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pinnsolve.training.state import State
from pinnsolve.training.status import Status


@dataclass(frozen=True)
class Progress:
    """Where the run is: what observers see after every step, and the history keeps of some.

    Attributes:
        phase: Name of the phase.
        step: Steps made so far, over all phases.
        total_steps: Steps planned, over all phases.
        loss: Training loss.
        terms: Mean square of every term.
        held_out: Last held-out loss; None without held-out points.
        seconds: Time since the start.
        evaluations: Losses with gradients computed so far, over all phases.
        steps_per_second: In this phase.
        rate: Learning rate or step length.
        event: What happened out of the ordinary; else empty.
        window: Number of the window that is trained, where there are several; losses in two of them do not compare.
        unknowns: Values of unknown parameters, for observers; the history does without.
        phase_number: Of the phase, from 0: two that follow each other may have one name.
    """

    phase: str
    step: int
    total_steps: int
    loss: float
    terms: Mapping[str, float]
    held_out: float | None
    seconds: float
    evaluations: int
    steps_per_second: float
    rate: float
    event: str = ""
    window: int = 0
    unknowns: Mapping[str, float] = field(default_factory=dict)
    phase_number: int = 0


@dataclass(frozen=True)
class PhaseRecord:
    """What became of one phase; `ended` is the value of its status."""

    name: str
    steps: int
    evaluations: int
    seconds: float
    loss: float
    ended: str


@dataclass(frozen=True)
class TrainingResult:
    """How the training went; the objective is left at its best state, or where an observer found it good enough.

    Attributes:
        status: Why it ended.
        phases: One record for every phase that was begun.
        history: Progress at every check, and at every event.
        best_loss: Lowest held-out loss, or lowest training loss without held-out points; infinite when none was finite.
        best_step: The step it belongs to, over all phases; 0 is the start.
    """

    status: Status
    phases: tuple[PhaseRecord, ...]
    history: tuple[Progress, ...]
    best_loss: float
    best_step: int

    def state(self) -> dict[str, Any]:
        """Return it for a checkpoint; `load` reads it back."""
        phases, history = [dict(vars(record)) for record in self.phases], [dict(vars(p)) for p in self.history]
        return {**vars(self), "status": self.status.value, "phases": phases, "history": history}

    @staticmethod
    def load(state: State) -> TrainingResult:
        """Read what `state` returned."""
        phases = tuple(PhaseRecord(**record) for record in state["phases"])
        history = tuple(Progress(**progress) for progress in state["history"])
        return TrainingResult(
            Status(state["status"]), phases, history, float(state["best_loss"]), int(state["best_step"])
        )

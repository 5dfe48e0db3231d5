"""The best state met: parameters and running averages of a module where the loss that tells was lowest."""

from __future__ import annotations

import math
from typing import Any

from pinnsolve.training.modes import averages, restore_averages
from pinnsolve.training.objective import Objective
from pinnsolve.training.state import State


class Best:
    """The best state so far; at first that in which an objective is, whose loss is not known.

    Args:
        objective: Its module is what is in a state.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.vector, self.averages = objective.vector, averages(objective.module)
        self.loss, self.step = math.inf, 0

    def consider(self, loss: float, step: int) -> None:
        """Keep the present state if its loss is the lowest so far.

        Args:
            loss: Of the present state.
            step: How many were made.
        """
        if loss < self.loss:  # never true for NaN
            self.vector, self.averages = self._objective.vector, averages(self._objective.module)
            self.loss, self.step = loss, step

    def restore(self) -> None:
        """Go back to it."""
        self._objective.vector = self.vector
        restore_averages(self._objective.module, self.averages)

    def state(self) -> dict[str, Any]:
        """Return what `load` reads back."""
        return {"best": self.vector, "averages": self.averages, "best_loss": self.loss, "best_step": self.step}

    def load(self, state: State) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: Its vector is of another length.
        """
        if state["best"].shape != self.vector.shape:
            raise ValueError(f"a vector of the shape {tuple(state['best'].shape)}, not {tuple(self.vector.shape)}")
        self.vector, self.averages = state["best"], state["averages"]
        self.loss, self.step = float(state["best_loss"]), int(state["best_step"])

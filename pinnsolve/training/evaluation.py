"""Evaluations: what an objective is at one parameter vector, with its gradient or without."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The loss and its gradient at one parameter vector.

    Attributes:
        loss: The weighted sum over the terms.
        gradient: Its derivative with respect to the flat vector.
        gradient_norm: The Euclidean norm of `gradient`; not finite when any entry is not.
        terms: The unweighted mean square of every term.
    """

    loss: float
    gradient: Float[Tensor, " parameters"]
    gradient_norm: float
    terms: dict[str, float]

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are usable."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)

    def state(self) -> dict[str, Tensor | float]:
        """Return tensors and numbers by name, for a checkpoint; `load` reads them back."""
        terms = {f"term/{name}": value for name, value in self.terms.items()}
        return {"loss": self.loss, "gradient": self.gradient.clone(), "gradient_norm": self.gradient_norm, **terms}

    @classmethod
    def load(cls, state: Mapping[str, Tensor | float]) -> Evaluation | None:
        """Read what `state` returned out of a larger mapping; None when nothing is there."""
        if "gradient" not in state:
            return None
        terms = {key.removeprefix("term/"): float(value) for key, value in state.items() if key.startswith("term/")}
        gradient = torch.as_tensor(state["gradient"]).clone()
        return cls(float(state["loss"]), gradient, float(state["gradient_norm"]), terms)


@dataclass(frozen=True)
class Value:
    """The loss without its gradient.

    Attributes:
        loss: The weighted sum over the terms.
        terms: The unweighted mean square of every term.
    """

    loss: float
    terms: dict[str, float]

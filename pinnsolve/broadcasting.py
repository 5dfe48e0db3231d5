"""Broadcasting: coordinates as a caller gives them, flattened to columns, and values put back in the caller's shape and kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sympy import Symbol
from torch import Tensor

from pinnsolve.errors import ProblemError


@dataclass(frozen=True)
class Columns:
    """Coordinates of a call, broadcast and flattened.

    Attributes:
        flat: A column (points,) for each coordinate, and for whatever else is read there.
        shape: What they broadcast to.
        count: The number of points.
        outside: Which points lie outside the domain (points,).
        like: A tensor of the weights' kind.
        tensors: Whether the caller gave tensors.
    """

    flat: dict[Symbol, Tensor]
    shape: tuple[int, ...]
    count: int
    outside: np.ndarray
    like: Tensor
    tensors: bool

    def zeros(self) -> Tensor:
        """Return one zero for each point."""
        return self.like.new_zeros(self.count)

    def restore(self, values: Tensor) -> Any:
        """Return the values with NaN outside the domain, in the broadcast shape, as array or tensor."""
        mask = torch.as_tensor(self.outside, device=values.device)
        values = torch.where(mask, float("nan"), values).reshape(self.shape)
        return values if self.tensors else values.detach().cpu().numpy()[()]


def numbers(name: str, value: Any, like: Tensor) -> Tensor:
    """Return a coordinate as a tensor like the weights; through float64, so that 0.1 is not rounded to single precision.

    Raises:
        ProblemError: It is no number, and no array or tensor of them.
    """
    if isinstance(value, Tensor):
        return value.to(like)
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        found = f"{name} is {str(value)[:60]!r}, a {type(value).__name__}"
        raise ProblemError("solution(...)", found, "give a number, an array of numbers or a tensor") from None
    return torch.from_numpy(array).to(like)

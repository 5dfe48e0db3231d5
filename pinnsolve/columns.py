"""Columns: the coordinates that a solution is called with, as tensors of one length, and its values in the caller's form."""

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
    """Coordinates of a call, broadcast and flattened, and how to give the result back in the caller's shape and kind.

    Args:
        flat: A tensor (points,) for each coordinate that was given.
        shape: The broadcast shape.
        count: Number of points.
        outside: Which of them lie outside the domain, shape (points,).
        like: A tensor of the precision and on the device of the weights.
        tensors: Whether tensors are given back.
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


def read_numbers(name: str, value: Any, like: Tensor) -> Tensor:
    """Return a coordinate as a tensor like the weights; through float64, so that 0.1 is not rounded to single precision."""
    if isinstance(value, Tensor):
        return value.to(like)
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        found = f"{name} is {str(value)[:60]!r}, a {type(value).__name__}"
        raise ProblemError("solution(...)", found, "give a number, an array of numbers or a tensor") from None
    return torch.from_numpy(array).to(like)

"""Columns: the coordinates that a solution is called with, as tensors of one length, and its values in the caller's form."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sympy import Symbol
from torch import Tensor

from pinnsolve.domains.shapes import lies_in
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem


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


def read_columns(problem: Problem, needed: set[Symbol], coordinates: Mapping[str, Any], *, like: Tensor) -> Columns:
    """Return the coordinates of a call, broadcast against each other, with a warning where points lie outside the domain.

    Args:
        problem: Gives coordinates and domain.
        needed: Symbols that must be given, if they are coordinates.
        coordinates: Numbers, arrays or tensors by name.
        like: A tensor of the precision and on the device of the weights.

    Raises:
        ProblemError: A coordinate that is missing or does not exist, or shapes that do not broadcast.
    """
    names = {c.name: c for c in problem.coordinates}
    for name in coordinates:
        if name not in names:
            found = f"there is no coordinate {name}"
            raise ProblemError("solution(...)", found, f"the coordinates are {', '.join(names)}")
    missing = [c.name for c in problem.coordinates if c in needed and c.name not in coordinates]
    if missing:
        raise ProblemError(
            "solution(...)", f"no value for {', '.join(missing)}", f"write solution({missing[0]}=..., ...)"
        )
    given = {names[name]: read_numbers(name, value, like) for name, value in coordinates.items()}
    try:
        shape = torch.broadcast_shapes(*(value.shape for value in given.values()))
    except RuntimeError:
        shapes = ", ".join(f"{c} {tuple(value.shape)}" for c, value in given.items())
        raise ProblemError("solution(...)", f"shapes that do not broadcast: {shapes}", "give one shape") from None
    flat = {symbol: value.expand(shape).reshape(-1) for symbol, value in given.items()}
    count = math.prod(shape)
    arrays = {symbol: value.detach().double().cpu().numpy() for symbol, value in flat.items()}
    outside = ~lies_in(problem.domain, arrays) if arrays else np.zeros(count, dtype=bool)
    if outside.any():
        found = f"{int(outside.sum())} of {count} points lie outside the domain; the solution is NaN there"
        warnings.warn(found, stacklevel=4)
    return Columns(flat, shape, count, outside, like, any(isinstance(v, Tensor) for v in coordinates.values()))


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

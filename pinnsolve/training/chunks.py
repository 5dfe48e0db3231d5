"""Chunks: point sets cut into equal parts, so that memory is bounded whatever the number of points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Chunk:
    """A part of every point set.

    Attributes:
        points: Tensors by the name of their set.
        masks: For each set 1 where a row counts and 0 where it only fills up; None where all rows count.
        weights: For each term whose points differ in weight a factor for every row; they are named as their sets.
    """

    points: Mapping[str, Tensor]
    masks: Mapping[str, Tensor] | None
    weights: Mapping[str, Tensor] = field(default_factory=dict)


def sharing(points: Mapping[str, Tensor]) -> list[list[str]]:
    """Return the names of sets that share a tensor, together."""
    groups: dict[int, list[str]] = {}
    for name, tensor in points.items():
        groups.setdefault(id(tensor), []).append(name)
    return list(groups.values())


def split(points: Mapping[str, Tensor], count: int, *, weights: Mapping[str, Tensor] | None = None) -> list[Chunk]:
    """Cut every set, and the weights of its rows, into so many parts of equal length, the last rows repeated to fill up.

    Equal lengths are what a compiled step asks for. Sets that share a tensor share its parts.

    Args:
        points: Tensors by name, each of at least one row.
        count: Number of chunks.
        weights: A factor for every row, by the name of a set; 1 where none is given.
    """
    weights = weights or {}
    if count == 1:
        return [Chunk(points, None, weights)]
    parts: dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = {}
    for tensor in points.values():
        if id(tensor) not in parts:
            length = -(-len(tensor) // count)
            counted = torch.arange(length * count, device=tensor.device) < len(tensor)
            parts[id(tensor)] = _cut(tensor, count), counted.to(tensor.dtype).split(length)
    cut = {id(tensor): _cut(tensor, count) for tensor in weights.values()}
    padded = any(len(tensor) % count for tensor in points.values())
    return [
        Chunk(
            {name: parts[id(tensor)][0][k] for name, tensor in points.items()},
            {name: parts[id(tensor)][1][k] for name, tensor in points.items()} if padded else None,
            {name: cut[id(tensor)][k] for name, tensor in weights.items()},
        )
        for k in range(count)
    ]


def _cut(tensor: Tensor, count: int) -> tuple[Tensor, ...]:
    length = -(-len(tensor) // count)
    rows = torch.arange(length * count, device=tensor.device)
    filled = tensor if len(rows) == len(tensor) else tensor[rows.clamp(max=len(tensor) - 1)]
    return filled.split(length)

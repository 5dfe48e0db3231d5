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


def split(
    points: Mapping[str, Tensor],
    count: int,
    *,
    weights: Mapping[str, Tensor] | None = None,
    counted: Mapping[str, int] | None = None,
) -> list[Chunk]:
    """Cut every set, and the weights of its rows, into so many parts of equal length, the last rows repeated to fill up.

    Equal lengths are what a compiled step asks for. Sets that share a tensor share its parts.

    Args:
        points: Tensors by name, each of at least one row.
        count: Number of chunks.
        weights: A factor for every row, by the name of a set; 1 where none is given.
        counted: How many of the first rows of every set count; all where None.
    """
    weights = weights or {}
    real = {name: len(tensor) for name, tensor in points.items()} if counted is None else counted
    padded = any(len(tensor) % count or real[name] < len(tensor) for name, tensor in points.items())
    if count == 1 and not padded:
        return [Chunk(points, None, weights)]
    parts: dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = {}
    for name, tensor in points.items():
        if id(tensor) not in parts:
            length = -(-len(tensor) // count)
            counts = torch.arange(length * count, device=tensor.device) < real[name]
            parts[id(tensor)] = _cut(tensor, count), counts.to(tensor.dtype).split(length)
    cut = {id(tensor): _cut(tensor, count) for tensor in weights.values()}
    return [
        Chunk(
            {name: parts[id(tensor)][0][k] for name, tensor in points.items()},
            {name: parts[id(tensor)][1][k] for name, tensor in points.items()} if padded else None,
            {name: cut[id(tensor)][k] for name, tensor in weights.items()},
        )
        for k in range(count)
    ]


def rows_of(count: int, part: int, parts: int) -> range:
    """Return which of so many rows are in one of so many parts; they are equally long but the last, some of which may be empty."""
    length = -(-count // parts)
    return range(min(part * length, count), min((part + 1) * length, count))


def part_of(tensors: Mapping[str, Tensor], part: int, parts: int) -> dict[str, Tensor]:
    """Return one of so many parts of every tensor, of equal length, the last rows repeated to fill up.

    Tensors that are one object have parts that are one.
    """
    cut = {id(tensor): _cut(tensor, parts)[part] for tensor in tensors.values()}
    return {name: cut[id(tensor)] for name, tensor in tensors.items()}


def _cut(tensor: Tensor, count: int) -> tuple[Tensor, ...]:
    length = -(-len(tensor) // count)
    rows = torch.arange(length * count, device=tensor.device)
    filled = tensor if len(rows) == len(tensor) else tensor[rows.clamp(max=len(tensor) - 1)]
    return filled.split(length)

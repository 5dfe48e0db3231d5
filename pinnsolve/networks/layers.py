"""Layers that torch does not have: input scaling, periodic inputs, selection of columns, the sine, residual blocks.

All are written in operations that jets know, so that they run on tensors and on jets.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn


class Scaling(nn.Module):
    """Map each coordinate from its range to [-1, 1]: ξ = (x - centre) / half-width.

    A network then sees no units, and one initialisation fits all problems. A range of width zero keeps its scale.

    Args:
        ranges: Lowest and highest value of each coordinate.
        dtype: Of the buffers.
        device: Of the buffers.
    """

    centre: Tensor
    rate: Tensor

    def __init__(
        self, ranges: Sequence[tuple[float, float]], *, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        # Formed in float64: a time range such as (1e6, 1e6 + 1) has no half-width in float32.
        bounds = torch.tensor(ranges, dtype=torch.float64).reshape(-1, 2)
        half = (bounds[:, 1] - bounds[:, 0]) / 2
        rate = torch.where(half > 0, 1 / half, 1.0)
        self.register_buffer("centre", bounds.mean(1).to(device, dtype))
        self.register_buffer("rate", rate.to(device, dtype))

    def forward(self, points: Tensor) -> Tensor:
        """Scale points of shape (points, coordinates)."""
        return (points - self.centre) * self.rate


class Columns(nn.Module):
    """Select columns of points or fields, in the order given.

    Args:
        columns: Their numbers.
        available: How many there are to choose from; selecting all of them in order copies nothing.
        device: Of the numbers.
    """

    columns: Tensor

    def __init__(self, columns: Sequence[int], *, available: int, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.all_in_order = tuple(columns) == tuple(range(available))
        # Follows from the problem, so it has no place in a saved state.
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.long, device=device), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """Select from shape (points, available)."""
        return points if self.all_in_order else points.index_select(1, self.columns)


class Periodic(nn.Module):
    """Read periodic coordinates as points of a circle: of a scaled ξ in [-1, 1] remain cos kπξ and sin kπξ, k = 1, 2, ...

    Every network of these is periodic with all its derivatives: Dong and Ni, Journal of Computational Physics 435, 2021, eq. 2.5.

    Args:
        columns: The periodic coordinates.
        available: How many coordinates there are.
        harmonics: The largest k.
        device: Of the numbers.
    """

    def __init__(
        self, columns: Collection[int], *, available: int, harmonics: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        others = [column for column in range(available) if column not in columns]
        self.others = Columns(others, available=available, device=device) if others else None
        self.turning = Columns(sorted(columns), available=available, device=device)
        self.harmonics = harmonics
        self.features = len(others) + 2 * len(columns) * harmonics

    def forward(self, scaled: Tensor) -> Tensor:
        """Return shape (points, features), the others first, then the cosines and sines of one k after the other."""
        turning = self.turning(scaled)
        angles = [math.pi * k * turning for k in range(1, self.harmonics + 1)]
        circle = [wave(angle) for angle in angles for wave in (torch.cos, torch.sin)]
        return torch.cat(circle if self.others is None else [self.others(scaled), *circle], 1)


class Sine(nn.Module):
    """sin z: Sitzmann, Martel, Bergman, Lindell, Wetzstein, Implicit neural representations, 2020."""

    def forward(self, z: Tensor) -> Tensor:
        """Apply to every entry."""
        return torch.sin(z)


class ResidualBlock(nn.Module):
    """h + W_2 σ(W_1 σ(h) + b_1) + b_2: He, Zhang, Ren, Sun, Identity mappings in deep residual networks, 2016, figure 4(e).

    Args:
        first: W_1 and b_1.
        second: W_2 and b_2.
        activation: σ.
    """

    def __init__(self, first: nn.Module, second: nn.Module, *, activation: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(activation, first, activation, second)

    def forward(self, h: Tensor) -> Tensor:
        """Add the branch to its input, of shape (points, width)."""
        return h + self.branch(h)

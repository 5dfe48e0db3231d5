"""Normalization layers: units standardised by the statistics of their point, or of all points of a step.

    group   z -> γ (z - mean) / sqrt(variance + ε) + β,  mean and variance over the units of a group, at each point
    layer   the same with one group
    batch   the same with mean and variance of each unit over the points

Ba, Kiros, Hinton, Layer normalization, 2016; Wu and He, Group normalization, 2018; Ioffe and Szegedy, Batch normalization, 2015.

The statistics of a group are functions of the point, and have derivatives. Those over the points couple all points with each other:
differentiated as they are, ∂u/∂x at one point would be the sum of the effects on all. Here they are constants of a step. One
evaluation at all points of the step fixes them, whatever terms the points belong to, and then the network is one function whose
layers are affine maps: it has derivatives at a point. They remain functions of the parameters, and the gradient follows them. In
evaluation they are averages over the steps. Of few points they are mostly noise, which group normalization does not see.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-5
"""Added to variances, as in the papers."""

MOMENTUM = 0.1
"""Part that one step has in the averages used in evaluation."""

Statistics = tuple[Tensor, Tensor]
"""Mean and variance of every unit."""


class GroupNormalization(nn.Module):
    """Standardise the units of each group at each point, then scale and shift each unit.

    Args:
        width: Number of units.
        groups: Number of groups, a divisor of the width; 1 for layer normalization.
        dtype: Of the parameters.
        device: Of the parameters.
    """

    def __init__(self, width: int, *, groups: int, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.groups, self.width = groups, width
        self.scale = nn.Parameter(torch.ones(width, dtype=dtype, device=device))
        self.shift = nn.Parameter(torch.zeros(width, dtype=dtype, device=device))

    def forward(self, z: Tensor) -> Tensor:
        """Normalise shape (points, width), a tensor or a jet."""
        # Written out: nested reverse passes through torch's own are wrong from the third derivative on (torch 2.13).
        grouped = z.reshape(len(z), self.groups, self.width // self.groups)
        centred = grouped - grouped.mean(-1, keepdim=True)
        variance = (centred * centred).mean(-1, keepdim=True)
        standard = (centred * (variance + EPSILON).rsqrt()).reshape(len(z), self.width)
        return standard * self.scale + self.shift


class BatchNormalization(nn.Module):
    """Standardise each unit over the points of a step, then scale and shift it; in evaluation by running averages.

    Args:
        width: Number of units.
        dtype: Of parameters and averages.
        device: Of parameters and averages.

    Attributes:
        keeping: Whether the statistics of the next points are kept; see `jets.fixed_statistics`.
        kept: Those of the step; None outside one, where each call has the statistics of its own points.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width, dtype=dtype, device=device))
        self.shift = nn.Parameter(torch.zeros(width, dtype=dtype, device=device))
        self.register_buffer("mean", torch.zeros(width, dtype=dtype, device=device))
        self.register_buffer("variance", torch.ones(width, dtype=dtype, device=device))
        self.keeping = False
        self.kept: Statistics | None = None

    def forward(self, z: Tensor) -> Tensor:
        """Normalise shape (points, width), a tensor or a jet."""
        mean, variance = self._statistics(z) if self.training else (self.mean, self.variance)
        return (z - mean) * (self.scale * (variance + EPSILON).rsqrt()) + self.shift

    def _statistics(self, z: Tensor) -> Statistics:
        if self.kept is not None and not self.keeping:
            return self.kept
        values = z if isinstance(z, Tensor) else z.value
        found = values.mean(0), values.var(0, correction=0)
        with torch.no_grad():
            count = len(values)
            self.mean.lerp_(found[0], MOMENTUM)
            self.variance.lerp_(found[1] * (count / max(count - 1, 1)), MOMENTUM)  # the unbiased estimate
        if self.keeping:
            self.kept = found
        return found

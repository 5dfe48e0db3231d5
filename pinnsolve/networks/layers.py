"""Layers that torch does not have: input scaling, periodic inputs, random waves, factorised weights, the sine, gated blocks.

All are written in operations that jets know, so that they run on tensors and on jets.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pinnsolve.jets.fusion import transformed


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
    """h + b(h): He, Zhang, Ren, Sun, Identity mappings in deep residual networks, 2016, figure 4(e).

    Args:
        branch: b.
    """

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, h: Tensor) -> Tensor:
        """Add the branch to its input, of shape (points, width)."""
        return h + self.branch(h)


class Checkpoint(nn.Module):
    """A block of which only the input is kept for the reverse pass, where the block is evaluated again.

    Chen, Xu, Zhang, Guestrin, Training deep nets with sublinear memory cost, 2016. The block draws nothing while it is evaluated.
    Rows of a Jacobian and compiled steps keep everything: torch's transformations do not follow it there.

    Args:
        block: The block.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, h: Tensor) -> Tensor:
        """Evaluate the block at a tensor or a jet."""
        if not torch.is_grad_enabled() or transformed():
            return self.block(h)
        return checkpoint(self.block, h, use_reentrant=False, preserve_rng_state=False)


class FourierFeatures(nn.Module):
    """cos(B x + φ) and sin(B x + φ): Tancik et al., Fourier features let networks learn high frequency functions, 2020, eq. 5.

    Neither B nor φ is trained; both are stored with the weights.

    Args:
        frequencies: B, shape (waves, inputs).
        dtype: Of the buffers.
        device: Of the buffers.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, frequencies: Tensor, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.register_buffer("frequencies", frequencies.to(device, dtype))
        self.register_buffer("phases", torch.zeros(len(frequencies), dtype=dtype, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Return shape (points, 2 waves), all cosines first."""
        angles = nn.functional.linear(x, self.frequencies, self.phases)
        return torch.cat([torch.cos(angles), torch.sin(angles)], 1)


class FactorisedLinear(nn.Module):
    """A dense layer of weights W = diag(exp s) V, of which s and V are trained.

    Wang, Wang, Seidman, Perdikaris, Random weight factorization improves the training of continuous neural representations, 2022:
    a step then moves a unit by as much more as its factor exp s is large.

    Args:
        weight: W to start from, shape (outputs, inputs).
        bias: Shape (outputs,).
        exponents: s to start from, shape (outputs,).
        dtype: Of the parameters.
        device: Of the parameters.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, exponents: Tensor, *, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        directions = weight / torch.exp(exponents)[:, None]
        self.exponents, self.directions, self.bias = (
            nn.Parameter(each.to(device, dtype)) for each in (exponents, directions, bias)
        )

    @property
    def weight(self) -> Tensor:
        """W, shape (outputs, inputs)."""
        return torch.exp(self.exponents)[:, None] * self.directions

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (points, inputs) to (points, outputs)."""
        return nn.functional.linear(x, self.weight, self.bias)


class GatedLayers(nn.Module):
    """Layers h_k = (1 - z_k) U + z_k V with z_k = σ(D_k h_(k-1)), h_0 = x, and U, V = σ of two dense layers of x.

    Wang, Teng, Perdikaris, Understanding and mitigating gradient flow pathologies in physics-informed neural networks, 2021.

    Args:
        encoders: The dense layers of U and V.
        layers: D_1, D_2, ...
        activation: σ.
    """

    def __init__(
        self, encoders: tuple[nn.Module, nn.Module], layers: Sequence[nn.Module], *, activation: nn.Module
    ) -> None:
        super().__init__()
        self.encoders, self.layers, self.activation = nn.ModuleList(encoders), nn.ModuleList(layers), activation

    def forward(self, x: Tensor) -> Tensor:
        """Return the last h, shape (points, width)."""
        u, v = (self.activation(encoder(x)) for encoder in self.encoders)
        difference, h = v - u, x
        for layer in self.layers:
            h = u + self.activation(layer(h)) * difference
        return h

    @property
    def readers(self) -> list[nn.Module]:
        """The dense layers of x."""
        return [*self.encoders, self.layers[0]]


class AdaptiveBlock(nn.Module):
    """(1 - α) h + α σ(D_3 g_2) with g_k = f_k U + (1 - f_k) V, f_k = σ(D_k g_(k-1)), g_0 = h, and α = 0 to start from.

    Wang, Li, Chen, Perdikaris, PirateNets: Physics-informed deep learning with residual adaptive networks, 2024, section 4.

    Args:
        layers: D_1, D_2, D_3.
        activation: σ.
    """

    def __init__(self, layers: Sequence[nn.Module], *, activation: nn.Module) -> None:
        super().__init__()
        self.layers, self.activation = nn.ModuleList(layers), activation
        self.alpha = nn.Parameter(next(self.layers.parameters()).new_zeros(1))

    def forward(self, h: Tensor, v: Tensor, difference: Tensor) -> Tensor:
        """Return shape (points, width), given as much of h, V and U - V."""
        *gates, third = self.layers
        g = h
        for gate in gates:
            g = v + self.activation(gate(g)) * difference
        return h + (self.activation(third(g)) - h) * self.alpha


class AdaptiveBlocks(nn.Module):
    """Blocks of a PirateNet, one after the other, with U, V = σ of two dense layers of the input of the first.

    Args:
        encoders: The dense layers of U and V.
        blocks: The blocks.
        activation: σ.
    """

    def __init__(
        self, encoders: tuple[nn.Module, nn.Module], blocks: Sequence[AdaptiveBlock], *, activation: nn.Module
    ) -> None:
        super().__init__()
        self.encoders, self.blocks, self.activation = nn.ModuleList(encoders), nn.ModuleList(blocks), activation

    def forward(self, x: Tensor) -> Tensor:
        """Return shape (points, width) as it was given."""
        u, v = (self.activation(encoder(x)) for encoder in self.encoders)
        difference, h = u - v, x
        for block in self.blocks:
            h = block(h, v, difference)
        return h

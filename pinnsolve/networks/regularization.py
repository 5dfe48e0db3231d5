"""Regularization layers: units and branches left out at random, the same ones at all points of a step.

In training a unit is kept with probability q = 1 - p and then divided by q; in evaluation all are kept, which is the mean network.
Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, Dropout: a simple way to prevent neural networks from overfitting, 2014;
Huang, Sun, Liu, Sedra, Weinberger, Deep networks with stochastic depth, 2016, whose branches are left out whole.

A mask of its own at every point, as these have it, would make a field that jumps from point to point, so that its derivatives
would say nothing about it. Here all points of a step have one mask: what is differentiated is one network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """m z / (1 - p) with a mask m of zeros and ones, one for each unit.

    Args:
        width: Number of units.
        share: p, the probability with which a unit is left out.
        dtype: Of the mask.
        device: Of the mask.
    """

    mask: Tensor

    def __init__(self, width: int, *, share: float, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.share = share
        # Drawn anew in every step, so it has no place in a saved state.
        self.register_buffer("mask", torch.ones(width, dtype=dtype, device=device), persistent=False)

    def redraw(self, generator: torch.Generator) -> None:
        """Choose which units are left out in training from now on."""
        kept = torch.rand(len(self.mask), generator=generator, dtype=torch.float64) >= self.share
        self.mask.copy_(kept.double() / (1 - self.share))

    def forward(self, z: Tensor) -> Tensor:
        """Leave units out of shape (points, width), a tensor or a jet."""
        return z * self.mask if self.training else z


class StochasticDepth(nn.Module):
    """A branch b(h) / (1 - p), or nothing with probability p, beside its input h.

    Args:
        branch: b.
        share: p.
    """

    def __init__(self, branch: nn.Module, *, share: float) -> None:
        super().__init__()
        self.branch, self.share = branch, share
        self.factor = 1.0

    def redraw(self, generator: torch.Generator) -> None:
        """Choose whether the branch is left out in training from now on."""
        kept = bool(torch.rand((), generator=generator, dtype=torch.float64) >= self.share)
        self.factor = kept / (1 - self.share)

    def forward(self, h: Tensor) -> Tensor:
        """Add the branch to its input, of shape (points, width)."""
        if not self.training:
            return h + self.branch(h)
        return h + self.branch(h) * self.factor if self.factor else h


Random = Dropout | StochasticDepth


def random_layers(module: nn.Module) -> list[Random]:
    """Return the layers that leave something out."""
    return [layer for layer in module.modules() if isinstance(layer, Random)]


@contextmanager
def thinned(module: nn.Module, generator: torch.Generator) -> Iterator[None]:
    """Inside, a module is one of its thinned networks: masks are drawn, and only the layers that have one are in training.

    Args:
        module: In evaluation.
        generator: Of the masks, on the CPU.
    """
    layers = random_layers(module)
    try:
        for layer in layers:
            layer.training = True
            layer.redraw(generator)
        yield
    finally:
        for layer in layers:
            layer.training = False

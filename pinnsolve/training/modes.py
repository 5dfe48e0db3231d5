"""Modes: a module is one thinned network while a first-order step is made, and the mean network at all other times.

What is left out at random, and statistics over the points, change from step to step. Gradients averaged over steps take that as
noise; a line search, an inverse Hessian or a Jacobian would take it for curvature. So only first-order phases see it. Held-out
losses, redrawn points, weights, comparisons and the solution are those of the module in evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from pinnsolve.networks.normalization import BatchNormalization
from pinnsolve.networks.regularization import random_layers

_STREAM = 4
"""Of random numbers: those that points are drawn from are others."""


def changes(module: nn.Module) -> bool:
    """Whether a module of this package is another function in every step of a first-order phase."""
    return bool(random_layers(module) or _batches(module))


def averages(module: nn.Module) -> Tensor:
    """Return a copy of the averages over steps by which batch normalization evaluates, one after the other."""
    parts = [part for layer in _batches(module) for part in (layer.mean, layer.variance)]
    return torch.cat([part.double() for part in parts]) if parts else torch.zeros(0, dtype=torch.float64)


def restore_averages(module: nn.Module, found: Tensor) -> None:
    """Put back what `averages` returned.

    Raises:
        ValueError: They are those of another module.
    """
    parts = [part for layer in _batches(module) for part in (layer.mean, layer.variance)]
    for part, values in zip(parts, found.split([len(part) for part in parts]), strict=True):
        part.copy_(values)


def _batches(module: nn.Module) -> list[BatchNormalization]:
    return [layer for layer in module.modules() if isinstance(layer, BatchNormalization)]


@contextmanager
def in_training(module: nn.Module, *, seed: int, step: int) -> Iterator[None]:
    """Put a module into training for one step, with the masks that follow from seed and step, and back into evaluation.

    Args:
        module: What is trained.
        seed: Of the run.
        step: Number of the step over all phases, so that a resumed run draws what an uninterrupted one would.
    """
    layers = random_layers(module)
    if layers:
        generator = torch.Generator().manual_seed(
            int(np.random.SeedSequence((seed, _STREAM, step)).generate_state(1)[0])
        )
        for layer in layers:
            layer.redraw(generator)
    module.train()
    try:
        yield
    finally:
        module.eval()

"""Symmetry: units of a layer that start identical, compute the same for ever, and are as good as one.

Two units with the same weights in and the same weights out have the same gradients, and so the same weights after every step of
every method. Same weights in alone do no harm: what leads on from them tells them apart in the first step, as does a loss that
reads each output of a last layer by itself. So units count as identical where their weights and their gradients are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pinnsolve.errors import ProblemError

_POINTS = 16
_SAME = 1e-9
"""Difference of two gradients, relative to the largest of the layer, that rounding explains."""


def require_different_units(module: nn.Module, *, ranges: Sequence[tuple[float, float]]) -> None:
    """Raise when units of a layer start identical.

    Args:
        module: From points to fields, each row of the result from its row alone; it is left as it is.
        ranges: Lowest and highest value of every coordinate.

    Raises:
        ProblemError: Units that are identical, with the name of their layer.
    """
    generator = torch.Generator().manual_seed(0)
    like = next((p for p in module.parameters() if p.requires_grad), None)
    if like is None:
        return
    low, high = torch.tensor(ranges, dtype=torch.float64).T
    points = low + (high - low) * torch.rand(_POINTS, len(ranges), generator=generator, dtype=torch.float64)
    layers = [(name, layer) for name, layer in _layers(module) if _repeated(_rows(layer)).any()]
    if not layers:
        return
    with torch.enable_grad():
        out = module(points.to(like))
        factors = torch.randn(out.shape, generator=generator, dtype=torch.float64)
        weights = [layer.weight for _, layer in layers]
        slopes = torch.autograd.grad((out * factors.to(out)).sum(), weights, allow_unused=True, materialize_grads=True)
    for (name, layer), slope in zip(layers, slopes, strict=True):
        pair = _alike(_rows(layer), slope)
        if pair is not None:
            raise ProblemError(
                f"network, {name}",
                f"units {pair[0]} and {pair[1]} start identical, and would stay so whatever the training",
                "draw its weights at random, or write ps.break_symmetry(network)",
            )


def break_symmetry(module: nn.Module, *, seed: int = 0) -> nn.Module:
    """Draw the weights of units that repeat another one of their layer anew, as Glorot and Bengio (2010) do, and return the module.

    Args:
        module: Whose dense layers to look at; all other weights stay as they are.
        seed: Of the weights.

    Example:
        >>> module = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1))
        >>> _ = [torch.nn.init.constant_(parameter, 0.5) for parameter in module.parameters()]
        >>> first, second = ps.break_symmetry(module)[0].weight
        >>> bool(first != second)
        True
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer in _layers(module):
            repeated = _repeated(_rows(layer))
            drawn = torch.rand(layer.weight.shape, generator=generator, dtype=torch.float64)
            bound = (6.0 / sum(layer.weight.shape)) ** 0.5
            layer.weight[repeated] = ((2 * drawn - 1) * bound).to(layer.weight)[repeated]
    return module


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Return the dense layers of several units by their names."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear) and layer.out_features > 1:
            yield name or "its only layer", layer


def _rows(layer: nn.Linear) -> Tensor:
    """Return all that comes into each unit, shape (units, inputs)."""
    bias = torch.zeros(layer.out_features, 1).to(layer.weight) if layer.bias is None else layer.bias[:, None]
    return torch.cat([layer.weight, bias], 1).detach()


def _repeated(rows: Tensor) -> Tensor:
    """Return which rows are equal to an earlier one."""
    _, group = torch.unique(rows, dim=0, return_inverse=True)
    first = torch.full((int(group.max()) + 1,), len(rows), device=rows.device)
    first.scatter_reduce_(0, group, torch.arange(len(rows), device=rows.device), "amin")
    return first[group] != torch.arange(len(rows), device=rows.device)


def _alike(rows: Tensor, slopes: Tensor) -> tuple[int, int] | None:
    """Return two units with the same weights and gradients."""
    largest = slopes.abs().max()
    for second in _repeated(rows).nonzero()[:, 0].tolist():
        for first in (rows[:second] == rows[second]).all(1).nonzero()[:, 0].tolist():
            if bool((slopes[first] - slopes[second]).abs().max() <= _SAME * largest):
                return first, second
    return None

"""Overlap: how much two shapes, given as numbers from 0 to 1 at points, are the same; and losses that lower the rest.

With p the shape found and q the one sought, sums over the points,

    IoU(p, q)  = sum p q / (sum p² + sum q² - sum p q)          Jaccard's index, of sets the intersection over the union
    Dice(p, q) = 2 sum p q / (sum p² + sum q²)                  Milletari, Navab and Ahmadi, V-Net, 2016, equation 1

count what is inside, and not how much is outside: a shape that fills a hundredth of the points weighs as much as a large one, where
a mean square is already small for an empty shape. Both are one less a sum of squares over a positive number D,

    1 - IoU = sum (p - q)² / D,   D = sum p² + sum q² - sum p q;         1 - Dice = sum (p - q)² / D,   D = sum p² + sum q²,

so that they are residual vectors like any other, (p - q) sqrt(N / D), whose mean square is the loss. A residual at one point then
depends on all: phases that ask for Jacobians row by row, and chunks of points, do not see that.
"""

from __future__ import annotations

import torch
from torch import Tensor

MEASURES = ("iou", "dice")


def soft_iou(found: Tensor, sought: Tensor) -> Tensor:
    """Return the intersection over the union of two shapes, from 0 to 1; 1 for two empty ones.

    Args:
        found: Numbers from 0 to 1, of any shape.
        sought: The same of the other shape.

    Example:
        >>> found, sought = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.0, 0.0, 1.0])
        >>> round(ps.soft_iou(found, sought).square().sum().item(), 4)
        0.25
    """
    return 1 - _rest(found, sought, "iou")


def soft_dice(found: Tensor, sought: Tensor) -> Tensor:
    """Return Dice's coefficient of two shapes, from 0 to 1; 1 for two empty ones.

    Args:
        found: Numbers from 0 to 1, of any shape.
        sought: The same of the other shape.

    Example:
        >>> found, sought = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.0, 0.0, 1.0])
        >>> round(ps.soft_dice(found, sought).square().sum().item(), 4)
        0.4444
    """
    return 1 - _rest(found, sought, "dice")


def overlap_residual(found: Tensor, sought: Tensor, *, measure: str = "iou") -> Tensor:
    """Return the residual vector whose mean square is one less the overlap, for an `Objective`.

    Args:
        found: Numbers from 0 to 1, shape (points,).
        sought: The same of the other shape.
        measure: "iou" or "dice".

    Raises:
        ValueError: Another measure.
    """
    difference = found - sought
    return difference * (difference.numel() / _size(found, sought, measure)).sqrt()


def _rest(found: Tensor, sought: Tensor, measure: str) -> Tensor:
    return (found - sought).square().sum() / _size(found, sought, measure)


def _size(found: Tensor, sought: Tensor, measure: str) -> Tensor:
    """Return D, and where both shapes are empty a positive number in its place."""
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r}; write one of {', '.join(MEASURES)}")
    both = (found * sought).sum() if measure == "iou" else 0.0
    return (found.square().sum() + sought.square().sum() - both).clamp(min=torch.finfo(found.dtype).tiny)

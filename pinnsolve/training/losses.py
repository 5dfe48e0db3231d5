"""Losses other than squares, as residual vectors: the square of what replaces a residual is its loss.

Second-order phases need residuals, not a loss: R with R² = ρ(r) and the sign of r has the loss of ρ and its exact gradient, and its
Jacobian (dR/dr) J weighs down the rows of outliers (Triggs, McLauchlan, Hartley, Fitzgibbon, Bundle adjustment: a modern synthesis,
2000, section 4.3; scipy's `least_squares` has the same losses). All are smooth in r, through 0 as well.

    Huber(δ)      R = r sqrt(c (2 a - c)) / a,  a = max(|r|, c),  c = δ s
    StudentT(ν)   R = r sqrt((ν + 1)/ν) sqrt(log(1 + q)/q),  q = r²/(ν s²)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pinnsolve.declaration.losses import Huber, Loss, StudentT

_SMALL = 1e-5
"""Of q, below which log(1 + q)/q is its series to third order, correct to rounding."""


def as_residual(loss: Loss, *, deviation: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Return the function from a residual vector to one whose squares are the loss.

    Args:
        loss: Which.
        deviation: s, the standard deviation of a residual that is no outlier.
    """
    match loss:
        case Huber(threshold):
            limit = threshold * deviation

            def huber(residual: Tensor) -> Tensor:
                size = residual.abs().clamp(min=limit)
                return residual * (limit * (2 * size - limit)).sqrt() / size

            return huber
        case StudentT(freedom):
            scale = 1 / (freedom * deviation**2)

            def student(residual: Tensor) -> Tensor:
                square = scale * residual * residual
                far = square.clamp(min=_SMALL)
                series = 1 - square * (1 / 2 - square * (1 / 3 - square / 4))
                ratio = torch.where(square < _SMALL, series, torch.log1p(far) / far)
                return residual * math.sqrt((freedom + 1) / freedom) * ratio.sqrt()

            return student

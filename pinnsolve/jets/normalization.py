"""Rules for layers that normalise: by the statistics of one point, or by stored ones.

A normalised value is (z - mean) / √(variance + ε), so its rule is written in jets. Statistics over the points of a batch make the
field at one point depend on all others; what comes out has no derivative at a point, so such a layer has a rule only in evaluation.

Nested reverse passes through torch's own `layer_norm` are wrong from the third derivative on (torch 2.13, measured on a CPU); the
rules here are tested against the formula.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pinnsolve.jets.jet import Jet, MixedPointsError, rule


@rule(F.layer_norm)
def _(
    input: Jet,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Jet:
    return _scaled(_standardised(input, len(normalized_shape), eps), weight, bias)


@rule(F.rms_norm)
def _(input: Jet, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Jet:
    floor = torch.finfo(input.dtype).eps if eps is None else eps
    squares = (input * input).mean(_last(len(normalized_shape)), keepdim=True)
    return _scaled(input * (squares + floor).rsqrt(), weight, None)


@rule(F.group_norm)
def _(input: Jet, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5) -> Jet:
    groups = input.reshape(len(input), num_groups, -1)
    out = _standardised(groups, 1, eps).reshape(input.shape)
    features = (-1, *[1] * (input.ndim - 2))
    return _scaled(out, *(None if x is None else x.reshape(features) for x in (weight, bias)))


@rule(F.batch_norm)
def _(
    input: Jet,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Jet:
    if training or running_mean is None or running_var is None:
        raise MixedPointsError("torch.nn.functional.batch_norm in training")
    features = (-1, *[1] * (input.ndim - 2))
    out = (input - running_mean.reshape(features)) / torch.sqrt(running_var + eps).reshape(features)
    return _scaled(out, *(None if x is None else x.reshape(features) for x in (weight, bias)))


def _standardised(z: Jet, dimensions: int, eps: float) -> Jet:
    """Mean 0 and variance 1 over the last few dimensions."""
    centred = z - z.mean(_last(dimensions), keepdim=True)
    variance = (centred * centred).mean(_last(dimensions), keepdim=True)
    return centred * (variance + eps).rsqrt()


def _scaled(z: Jet, weight: Tensor | None, bias: Tensor | None) -> Jet:
    z = z if weight is None else z * weight
    return z if bias is None else z + bias


def _last(dimensions: int) -> list[int]:
    return list(range(-dimensions, 0))

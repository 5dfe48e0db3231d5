"""Rules for the activations of networks that are not elementary functions.

The smooth ones are fused like those of `elementary`. Piecewise ones have the derivatives that torch gives them: those of the
piece, one of the two at a kink.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pinnsolve.jets.elementary import SIGMOID, composed
from pinnsolve.jets.jet import Jet, MissingRuleError, rule
from pinnsolve.jets.plan import JetPlan
from pinnsolve.jets.series import Riccati, Series, Target, integrate, multiply, multiply_channel, unfilled

SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717
"""Klambauer, Unterthiner, Mayr, Hochreiter, Self-normalizing neural networks, 2017, equation (14)."""


@rule(F.silu)
def _(z: Jet, inplace: bool = False) -> Jet:
    """Multiply z by the sigmoid s: y' = s + z s (1 - s) = s + y - y s."""
    _refuse(inplace)

    def solve(z: Series, y: Target, w: Target, plan: JetPlan) -> None:
        s, allocated = unfilled(y), w[0] is not None
        SIGMOID.solve(z, s, w if allocated else unfilled(w), plan)
        multiply(y, z, s, plan)
        multiply(w, y, s, plan)
        for k in range(plan.size):
            w[k] = torch.sub(y[k], w[k], out=w[k] if allocated else None).add_(s[k])

    return composed(z, F.silu, solve)


@rule(F.gelu)
def _(z: Jet, approximate: str = "none") -> Jet:
    """Multiply z by the normal distribution Φ: Φ' = φ and φ' = v = -z φ, so y' = Φ + z φ = Φ - v."""
    if approximate == "tanh":
        return 0.5 * z * (1.0 + (math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)).tanh())

    def solve(z: Series, y: Target, w: Target, plan: JetPlan) -> None:
        density, v, allocated = unfilled(y), unfilled(y), w[0] is not None
        w[0] = torch.special.ndtr(z[0], out=w[0])
        density[0] = torch.exp(-0.5 * z[0] * z[0]) * (1.0 / math.sqrt(2.0 * math.pi))
        multiply_channel(v, z, density, 0, plan, sign=-1.0)
        for k in range(1, plan.size):
            integrate(density, z, v, k, plan)
            integrate(w, z, density, k, plan)
            multiply_channel(v, z, density, k, plan, sign=-1.0)
        multiply(y, z, w, plan)
        for k in range(plan.size):
            w[k] = torch.sub(w[k], v[k], out=w[k] if allocated else None)

    return composed(z, F.gelu, solve)


@rule(F.softplus)
def _softplus(z: Jet, beta: float = 1.0, threshold: float = 20.0) -> Jet:
    """Solve y' = s, s' = β (s - s²) with s = sigmoid(β z); y = z where β z exceeds the threshold, as in torch."""

    def logistic(z: Tensor, *, out: Tensor | None) -> Tensor:
        scaled = z * beta
        value = torch.sigmoid(scaled).masked_fill(scaled > threshold, 1.0)
        return value if out is None else out.copy_(value)

    slope = Riccati(logistic, 0.0, beta, -beta)

    def solve(z: Series, y: Target, w: Target, plan: JetPlan) -> None:
        slope.solve(z, w, unfilled(y), plan)
        value = F.softplus(z[0], beta, threshold)
        y[0] = value if y[0] is None else y[0].copy_(value)
        for k in range(1, plan.size):
            integrate(y, z, w, k, plan)

    return composed(z, lambda value: F.softplus(value, beta, threshold), solve)


@rule(F.mish)
def _(z: Jet, inplace: bool = False) -> Jet:
    _refuse(inplace)
    return z * _softplus(z).tanh()


@rule(F.logsigmoid)
def _(z: Jet) -> Jet:
    return -_softplus(-z)


@rule(F.tanhshrink)
def _(z: Jet) -> Jet:
    return z - z.tanh()


@rule(F.softsign)
def _(z: Jet) -> Jet:
    return z / (1.0 + abs(z))


@rule(F.softmax, torch.softmax)
def _(z: Jet, dim: int, _stacklevel: int = 3, dtype: None = None) -> Jet:
    if dtype is not None:
        raise MissingRuleError("torch.softmax in another dtype")
    # A shift changes nothing but the range of the exponentials, so it may count as constant.
    weights = (z - z.value.detach().amax(dim, keepdim=True)).exp()
    return weights / weights.sum(dim, keepdim=True)


@rule(torch.abs, torch.absolute)
def _(z: Jet) -> Jet:
    return Jet(z.coefficients * torch.sign(z.value), z.plan)


@rule(torch.clamp, torch.clip)
def _(z: Jet, min: Any = None, max: Any = None) -> Jet:
    inside = torch.ones_like(z.value, dtype=torch.bool)
    inside = inside if min is None else inside & (z.value >= min)
    inside = inside if max is None else inside & (z.value <= max)
    return Jet(torch.cat([z.value.clamp(min, max).unsqueeze(0), z.coefficients[1:] * inside]), z.plan)


@rule(F.relu, torch.relu)
def _(z: Jet, inplace: bool = False) -> Jet:
    _refuse(inplace)
    return Jet(z.coefficients * (z.value > 0), z.plan)


@rule(F.leaky_relu)
def _(z: Jet, negative_slope: float = 0.01, inplace: bool = False) -> Jet:
    _refuse(inplace)
    return Jet(torch.where(z.value > 0, z.coefficients, negative_slope * z.coefficients), z.plan)


@rule(F.prelu, torch.prelu)
def _(z: Jet, weight: Tensor) -> Jet:
    slopes = weight.reshape(-1, *[1] * (z.ndim - 2))
    return Jet(torch.where(z.value > 0, z.coefficients, slopes * z.coefficients), z.plan)


@rule(F.hardtanh)
def _(z: Jet, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Jet:
    _refuse(inplace)
    return z.clamp(min_val, max_val)


@rule(F.relu6)
def _(z: Jet, inplace: bool = False) -> Jet:
    _refuse(inplace)
    return z.clamp(0.0, 6.0)


@rule(F.elu)
def _elu(z: Jet, alpha: float = 1.0, inplace: bool = False) -> Jet:
    # The exponential sees only the negative part, so that neither it nor its gradient overflows for large z.
    _refuse(inplace)
    return z.relu() + alpha * z.clamp(max=0.0).expm1()


@rule(F.celu, torch.celu)
def _(z: Jet, alpha: float = 1.0, inplace: bool = False) -> Jet:
    _refuse(inplace)
    return z.relu() + alpha * (z.clamp(max=0.0) / alpha).expm1()


@rule(F.selu, torch.selu)
def _(z: Jet, inplace: bool = False) -> Jet:
    _refuse(inplace)
    return SELU_SCALE * _elu(z, SELU_ALPHA)


def _refuse(inplace: bool) -> None:
    """Refuse what overwrites its argument: other names of the jet would not follow."""
    if inplace:
        raise MissingRuleError("an in-place activation")

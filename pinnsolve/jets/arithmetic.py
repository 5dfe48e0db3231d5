"""Rules for sums, products and choices of jets, tensors and numbers, with broadcasting.

A number or tensor is a series of one coefficient. Sums act on coefficients; products are Leibniz's rule
(ab)_α = Σ_{β <= α} a_β b_{α-β}, and a quotient is the product with the reciprocal.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from pinnsolve.jets.fusion import convolve
from pinnsolve.jets.jet import AffineJet, Jet, MissingRuleError, rule

Number = int | float


@rule(torch.add)
def _(a: Any, b: Any, *, alpha: Number = 1) -> Jet:
    return _sum(a, b if alpha == 1 else b * alpha)


@rule(torch.sub, torch.subtract)
def _(a: Any, b: Any, *, alpha: Number = 1) -> Jet:
    return _sum(a, b * -alpha)


@rule(torch.rsub)
def _(a: Any, b: Any) -> Jet:
    return _sum(b, -a)


@rule(torch.neg, torch.negative)
def _(z: Jet) -> Jet:
    return Jet(-z.coefficients, z.plan)


@rule(torch.mul, torch.multiply)
def _(a: Any, b: Any) -> Jet:
    if isinstance(a, Number):
        a, b = b, a
    if isinstance(a, AffineJet) and _per_feature(b, a):
        return AffineJet(a.value * b, a.tails * b, a.plan)
    if isinstance(b, Number):
        return Jet(a.coefficients * b, a.plan)
    a, b = align(a, b)
    x, y = a.coefficients, b.coefficients
    if len(x) == 1 or len(y) == 1:
        return Jet(x * y, a.plan)
    shape, dtype = torch.broadcast_shapes(a.shape, b.shape), torch.promote_types(a.dtype, b.dtype)
    return Jet(convolve(x.to(dtype).expand(-1, *shape), y.to(dtype).expand(-1, *shape), a.plan), a.plan)


@rule(torch.div, torch.divide, torch.true_divide)
def _(a: Any, b: Any, *, rounding_mode: None = None) -> Jet:
    if rounding_mode is not None:
        raise MissingRuleError("torch.div with rounding")
    if isinstance(b, Jet):
        return b.reciprocal() * a
    if isinstance(a, AffineJet) and _per_feature(b, a):
        return AffineJet(a.value / b, a.tails / b, a.plan)
    if isinstance(b, Number):
        return Jet(a.coefficients / b, a.plan)
    a, b = align(a, b)
    return Jet(a.coefficients / b.coefficients, a.plan)


@rule(torch.addcmul)
def _(total: Any, a: Any, b: Any, *, value: Number = 1) -> Jet:
    return total + a * b * value


@rule(torch.lerp)
def _(start: Any, end: Any, weight: Any) -> Jet:
    return start + weight * (end - start)


@rule(torch.where)
def _where(condition: Tensor, a: Any, b: Any) -> Jet:
    """Take the derivatives of the side chosen: the condition counts as constant."""
    reference = a if isinstance(a, Jet) else b
    a, b = (
        torch.as_tensor(x, dtype=reference.dtype, device=reference.device) if isinstance(x, Number) else x
        for x in (a, b)
    )
    a, b = align(a, b)
    shape = torch.broadcast_shapes(condition.shape, a.shape, b.shape)
    a, b = a.expand(shape), b.expand(shape)  # else a condition of more dimensions would meet the channels
    channels = max(len(a.coefficients), len(b.coefficients))
    return Jet(torch.where(condition, padded(a, channels), padded(b, channels)), a.plan)


@rule(torch.maximum)
def _(a: Any, b: Any) -> Jet:
    a, b = align(a, b)
    return _where(a.value >= b.value, a, b)


@rule(torch.minimum)
def _(a: Any, b: Any) -> Jet:
    a, b = align(a, b)
    return _where(a.value <= b.value, a, b)


def align(a: Jet | Tensor, b: Jet | Tensor) -> tuple[Jet, Jet]:
    """Two factors or terms as jets whose values have equally many dimensions, so that coefficients broadcast as values do.

    Raises:
        ValueError: Two jets of different plans.
    """
    reference = cast(Jet, a if isinstance(a, Jet) else b)
    jets = [x if isinstance(x, Jet) else reference.lift(x) for x in (a, b)]
    if jets[0].plan is not jets[1].plan and jets[0].plan != jets[1].plan:
        raise ValueError(f"jets of different plans: {jets[0].plan.indices} and {jets[1].plan.indices}")
    ndim = max(jet.ndim for jet in jets)
    first, second = (
        Jet(jet.coefficients.reshape(len(jet.coefficients), *[1] * (ndim - jet.ndim), *jet.shape), jet.plan)
        for jet in jets
    )
    return first, second


def _per_feature(factor: Any, z: AffineJet) -> bool:
    """Whether something is a number, or a tensor with one entry for all features or for each, the same at every point."""
    if isinstance(factor, Number):
        return True
    return isinstance(factor, Tensor) and factor.ndim <= 1 and factor.numel() in (1, z.shape[1])


def padded(z: Jet, channels: int) -> Tensor:
    """Coefficients with vanishing ones written out, up to a number of channels."""
    missing = channels - len(z.coefficients)
    if not missing:
        return z.coefficients
    return torch.cat([z.coefficients, z.coefficients.new_zeros((missing, *z.shape))])


def _sum(a: Any, b: Any) -> Jet:
    """Terms of different degree: what the longer series has beyond the shorter is copied."""
    if isinstance(a, Number):
        a, b = b, a
    if isinstance(a, AffineJet) and _per_feature(b, a):
        return AffineJet(a.value + b, a.tails, a.plan)
    if isinstance(b, AffineJet) and _per_feature(a, b):
        return AffineJet(a + b.value, b.tails, b.plan)
    if isinstance(b, Number):
        return Jet(torch.cat([a.coefficients[:1] + b, a.coefficients[1:]]), a.plan)
    a, b = align(a, b)
    x, y = sorted((a.coefficients, b.coefficients), key=len)
    common = x + y[: len(x)]
    if len(x) == len(y):
        return Jet(common, a.plan)
    rest = y[len(x) :].to(common.dtype)
    return Jet(torch.cat([common, rest.expand(-1, *common.shape[1:])]), a.plan)

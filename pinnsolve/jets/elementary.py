"""Rules for the elementary functions of calculus.

Each states the differential equation its function solves. Those of networks are fused; the rest is the table of derivatives,
y = ∫ w dz with w = f'(z) written in jets. A power is its Taylor series y = Σ_k binom(p, k) z_0^(p-k) (z - z_0)^k, which stays
finite at z_0 = 0 for as many orders as the power itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pinnsolve.jets.arithmetic import align
from pinnsolve.jets.fusion import Slope, compose, traced
from pinnsolve.jets.jet import AffineJet, Jet, ShiftedJet, rule
from pinnsolve.jets.series import Riccati, Solve, oscillation


def _tanh(z: Tensor, *, out: Tensor | None) -> Tensor:
    """Tanh z; for a compiler 1 - 2 / (exp 2z + 1), exact to rounding of 1, whose exponential takes a third of its time."""
    if traced() and out is None:
        return 1.0 - 2.0 / (torch.exp(2.0 * z) + 1.0)
    return torch.tanh(z, out=out)


EXP = Riccati(torch.exp, 0.0, 1.0, 0.0)
TANH = Riccati(_tanh, 1.0, 0.0, -1.0)
SIGMOID = Riccati(torch.sigmoid, 0.0, 1.0, -1.0)
TAN = Riccati(torch.tan, 1.0, 0.0, 1.0)
RECIPROCAL = Riccati(torch.reciprocal, 0.0, 0.0, -1.0)

LARGEST_REPEATED_PRODUCT = 4
"""Whole powers up to here are products; a Taylor series costs as many products as the order of the plan."""


def composed(z: Jet, function: Callable[[Tensor], Tensor], solve: Solve, *, slope: Slope | None = None) -> Jet:
    """Apply a function that a rule of `fusion.compose` describes.

    Args:
        z: The argument.
        function: The same on tensors, for arguments that do not vary.
        solve: As for `compose`.
        slope: As for `compose`.
    """
    if isinstance(z, AffineJet) and len(z.tails):
        return Jet(compose(z.value.unsqueeze(0), z.plan, solve, slope=slope, tails=z.tails), z.plan)
    if isinstance(z, ShiftedJet) and len(z.unshifted) > 1:
        return Jet(compose(z.unshifted, z.plan, solve, slope=slope, shift=z.shift), z.plan)
    if len(z.coefficients) == 1:
        return Jet(function(z.coefficients), z.plan)
    return Jet(compose(z.coefficients, z.plan, solve, slope=slope), z.plan)


@rule(torch.exp)
def _(z: Jet) -> Jet:
    """Solve y' = y."""
    return composed(z, torch.exp, EXP.solve, slope=EXP.slope)


@rule(torch.tanh)
def _(z: Jet) -> Jet:
    """Solve y' = 1 - y²."""
    return composed(z, torch.tanh, TANH.solve, slope=TANH.slope)


@rule(torch.sigmoid, torch.special.expit)
def _(z: Jet) -> Jet:
    """Solve y' = y - y²."""
    return composed(z, torch.sigmoid, SIGMOID.solve, slope=SIGMOID.slope)


@rule(torch.tan)
def _(z: Jet) -> Jet:
    """Solve y' = 1 + y²."""
    return composed(z, torch.tan, TAN.solve, slope=TAN.slope)


@rule(torch.reciprocal)
def _(z: Jet) -> Jet:
    """Solve y' = -y²."""
    return composed(z, torch.reciprocal, RECIPROCAL.solve, slope=RECIPROCAL.slope)


@rule(torch.sin)
def _(z: Jet) -> Jet:
    """Solve y' = cos z, y'' = -y."""
    return composed(z, torch.sin, oscillation(torch.sin, torch.cos, -1.0))


@rule(torch.cos)
def _(z: Jet) -> Jet:
    """Solve y' = -sin z, y'' = -y."""

    def minus_sin(z: Tensor, *, out: Tensor | None) -> Tensor:
        return torch.neg(torch.sin(z, out=out), out=out)

    return composed(z, torch.cos, oscillation(torch.cos, minus_sin, -1.0))


@rule(torch.sinh)
def _(z: Jet) -> Jet:
    """Solve y' = cosh z, y'' = y."""
    return composed(z, torch.sinh, oscillation(torch.sinh, torch.cosh, 1.0))


@rule(torch.cosh)
def _(z: Jet) -> Jet:
    """Solve y' = sinh z, y'' = y."""
    return composed(z, torch.cosh, oscillation(torch.cosh, torch.sinh, 1.0))


@rule(torch.expm1)
def _(z: Jet) -> Jet:
    """Solve y' = exp z."""
    return _primitive(torch.expm1(z.value), (z.exp(), z))


@rule(torch.log)
def _(z: Jet) -> Jet:
    """Solve y' = 1 / z."""
    return _primitive(torch.log(z.value), (1.0 / z, z))


@rule(torch.log2)
def _(z: Jet) -> Jet:
    return z.log() / math.log(2.0)


@rule(torch.log10)
def _(z: Jet) -> Jet:
    return z.log() / math.log(10.0)


@rule(torch.log1p)
def _(z: Jet) -> Jet:
    """Solve y' = 1 / (1 + z)."""
    return _primitive(torch.log1p(z.value), (1.0 / (1.0 + z), z))


@rule(torch.asin, torch.arcsin)
def _(z: Jet) -> Jet:
    """Solve y' = 1 / √(1 - z²)."""
    return _primitive(torch.asin(z.value), ((1.0 - z * z).rsqrt(), z))


@rule(torch.acos, torch.arccos)
def _(z: Jet) -> Jet:
    """Solve y' = -1 / √(1 - z²)."""
    return _primitive(torch.acos(z.value), (-(1.0 - z * z).rsqrt(), z))


@rule(torch.atan, torch.arctan)
def _(z: Jet) -> Jet:
    """Solve y' = 1 / (1 + z²)."""
    return _primitive(torch.atan(z.value), (1.0 / (1.0 + z * z), z))


@rule(torch.asinh, torch.arcsinh)
def _(z: Jet) -> Jet:
    """Solve y' = 1 / √(1 + z²)."""
    return _primitive(torch.asinh(z.value), ((1.0 + z * z).rsqrt(), z))


@rule(torch.acosh, torch.arccosh)
def _(z: Jet) -> Jet:
    """Solve y' = 1 / √(z² - 1)."""
    return _primitive(torch.acosh(z.value), ((z * z - 1.0).rsqrt(), z))


@rule(torch.atanh, torch.arctanh)
def _(z: Jet) -> Jet:
    """Solve y' = 1 / (1 - z²)."""
    return _primitive(torch.atanh(z.value), (1.0 / (1.0 - z * z), z))


@rule(torch.erf, torch.special.erf)
def _(z: Jet) -> Jet:
    """Solve y' = 2 / √π exp(-z²)."""
    return _primitive(torch.erf(z.value), (2.0 / math.sqrt(math.pi) * (-z * z).exp(), z))


@rule(torch.erfc, torch.special.erfc)
def _(z: Jet) -> Jet:
    """Solve y' = -2 / √π exp(-z²)."""
    return _primitive(torch.erfc(z.value), (-2.0 / math.sqrt(math.pi) * (-z * z).exp(), z))


@rule(torch.atan2, torch.arctan2)
def _(y: Jet | Tensor, x: Jet | Tensor) -> Jet:
    """Solve dθ = (x dy - y dx) / (x² + y²)."""
    y, x = align(y, x)
    weight = 1.0 / (x * x + y * y)
    return _primitive(torch.atan2(y.value, x.value), (x * weight, y), (-y * weight, x))


@rule(torch.remainder)
def _(a: Jet | Tensor, b: Jet | Tensor) -> Jet:
    """Subtract whole steps of b, whose number is constant nearby; the value is exact however large that number is."""
    a, b = align(a, b)
    left = a - torch.floor(a.value / b.value) * b
    return Jet(torch.cat([torch.remainder(a.value, b.value).unsqueeze(0), left.coefficients[1:]]), left.plan)


@rule(torch.hypot)
def _(x: Jet | Tensor, y: Jet | Tensor) -> Jet:
    x, y = align(x, y)
    return (x * x + y * y).sqrt()


@rule(torch.sqrt)
def _(z: Jet) -> Jet:
    return _power(z, 0.5)


@rule(torch.rsqrt)
def _(z: Jet) -> Jet:
    return _power(z, -0.5)


@rule(torch.square)
def _(z: Jet) -> Jet:
    return z * z


@rule(torch.pow, torch.Tensor.__pow__)
def _(base: Any, exponent: Any) -> Jet:
    """Raise to a number or tensor; z^p = exp(p log z) for an exponent that is itself a jet."""
    if not isinstance(exponent, Jet):
        return _power(base, exponent)
    return (exponent * (math.log(base) if isinstance(base, int | float) else base.log())).exp()


def _power(z: Jet, exponent: float | Tensor) -> Jet:
    """Sum z^p = Σ_k binom(p, k) z_0^(p-k) (z - z_0)^k, by Horner's scheme; a term whose binomial vanishes is 0 even at z_0 = 0."""
    if isinstance(exponent, int | float) and exponent in range(1, LARGEST_REPEATED_PRODUCT + 1):
        return math.prod([z] * (int(exponent) - 1), start=z)
    value, p = z.value, torch.as_tensor(exponent, dtype=z.dtype, device=z.device)
    terms, binomial = [], torch.ones_like(p)
    for k in range(z.plan.order + 1):
        safe = torch.where(binomial == 0, 1.0, p - k)
        terms.append(binomial * value**safe)
        binomial = binomial * (p - k) / (k + 1)
    nilpotent = Jet(torch.cat([torch.zeros_like(z.coefficients[:1]), z.coefficients[1:]]), z.plan)
    total = z.lift(terms.pop())
    while terms:
        total = total * nilpotent + terms.pop()
    return total


def _primitive(value: Tensor, *forms: tuple[Jet, Jet]) -> Jet:
    """Solve y with dy = Σ w dz over the pairs (w, z), from its value."""
    plan = forms[0][1].plan
    sides = [(w.coefficients.unbind(0), z.coefficients.unbind(0)) for w, z in forms]
    channels = [value]
    for triples in plan.primitives[1 : plan.size if any(len(zs) > 1 for _, zs in sides) else 1]:
        terms = [ws[j] * zs[i] * weight for ws, zs in sides for i, j, weight in triples if i < len(zs) and j < len(ws)]
        channels.append(sum(terms, start=torch.zeros_like(value)))
    return Jet(torch.stack(channels), plan)


def _locally_constant(function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """What depends on the value alone, because its derivative vanishes wherever it exists."""
    return function(*(arg.value if isinstance(arg, Jet) else arg for arg in args), **kwargs)


for _function in (
    *(torch.gt, torch.ge, torch.lt, torch.le, torch.eq, torch.ne, torch.isnan, torch.isinf, torch.isfinite),
    *(torch.sign, torch.floor, torch.ceil, torch.round, torch.trunc),
    *(torch.zeros_like, torch.ones_like, torch.full_like),
):
    rule(_function)(partial(_locally_constant, _function))

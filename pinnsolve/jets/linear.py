"""Rules for linear and multilinear maps: dense layers, matrix products, contractions, dropout.

A linear map with constant weights acts on every Taylor coefficient alike, so a layer is one matrix product over channels and
points. A multilinear map of several jets obeys Leibniz's rule, (B(a, b))_α = Σ_{β <= α} B(a_β, b_{α-β}).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pinnsolve.jets.fusion import linear
from pinnsolve.jets.jet import AffineJet, Jet, MissingRuleError, ShiftedJet, rule
from pinnsolve.jets.plan import JetPlan


@rule(F.linear)
def _(input: Jet, weight: Tensor, bias: Tensor | None = None) -> Jet:
    if isinstance(weight, Jet) or isinstance(bias, Jet):
        out = input @ weight.transpose(0, 1)
        return out if bias is None else out + bias
    if isinstance(input, AffineJet):
        return AffineJet(F.linear(input.value, weight, bias), input.tails @ weight.t(), input.plan)
    out = linear(input.coefficients, weight)
    return Jet(out, input.plan) if bias is None else ShiftedJet(out, bias, input.plan)


@rule(torch.addmm)
def _(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Jet:
    return input * beta + torch.matmul(mat1, mat2) * alpha


@rule(torch.matmul, torch.mm, torch.bmm, torch.mv, torch.Tensor.__matmul__)
def _(a: Any, b: Any) -> Jet:
    if isinstance(a, AffineJet) and not isinstance(b, Jet) and b.ndim == 2:
        return AffineJet(a.value @ b, a.tails @ b, a.plan)
    if not isinstance(b, Jet) and b.ndim <= 2 <= a.ndim:
        return Jet(a.coefficients @ b, a.plan)
    return _multilinear(torch.matmul, a, b)


@rule(torch.einsum)
def _(equation: str, *operands: Any) -> Jet:
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    return _multilinear(lambda *factors: torch.einsum(equation, *factors), *operands)


@rule(F.bilinear)
def _(input1: Any, input2: Any, weight: Tensor, bias: Tensor | None = None) -> Jet:
    out = _multilinear(lambda a, b: F.bilinear(a, b, weight), input1, input2)
    return out if bias is None else out + bias


@rule(F.dropout)
def _(z: Jet, p: float = 0.5, training: bool = True, inplace: bool = False) -> Jet:
    """Every coefficient of a unit is kept or dropped together."""
    if inplace:
        raise MissingRuleError("an in-place dropout")
    return z * F.dropout(torch.ones_like(z.value), p) if training else z


def _multilinear(function: Callable[..., Tensor], *factors: Any) -> Jet:
    """Apply a function that is linear in each of its arguments."""
    plan: JetPlan = next(factor.plan for factor in factors if isinstance(factor, Jet))
    # Partial choices of one channel of every factor, by the position of the product they contribute to, with their weight.
    choices: list[tuple[int, float, tuple[Tensor, ...]]] = [(0, 1.0, ())]
    for factor in factors:
        channels = factor.coefficients.unbind(0) if isinstance(factor, Jet) else (factor,)
        choices = [
            (total, weight * gamma, (*chosen, channel))
            for k, weight, chosen in choices
            for j, channel in enumerate(channels)
            for total, gamma in plan.multiples.get((k, j), ())
        ]
    sums: dict[int, Tensor] = {}
    for k, weight, chosen in choices:
        term = function(*chosen)
        term = term if weight == 1.0 else term * weight
        sums[k] = sums[k] + term if k in sums else term
    zero = torch.zeros_like(sums[0])
    return Jet(torch.stack([sums.get(k, zero) for k in range(max(sums) + 1)]), plan)

"""Functions that SymPy and torch share: what each is called in torch, and what torch has no name for.

Gradients are finite wherever values are: what is singular in a branch that was not taken is sheltered.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import sympy
import torch
from sympy import Expr
from torch import Tensor


class _FiniteGradient(torch.autograd.Function):
    """The identity, whose gradient is zero where it would not be finite."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    setup_context = staticmethod(lambda ctx, inputs, output: None)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        return torch.where(torch.isfinite(gradient), gradient, 0.0)

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return tangents[0].view_as(tangents[0])


def finite_gradient(x: Tensor) -> Tensor:
    """Return x; in the reverse pass, zero where the gradient is not finite."""
    return _FiniteGradient.apply(x)


def sheltered(x: Tensor, like: Tensor) -> Tensor:
    """Return x, one for each point, with `finite_gradient`: a fault at one point must not cost a parameter its whole gradient."""
    return finite_gradient(x.expand_as(like) if x.ndim == 0 else x)


def scaled_sum(total: Tensor, term: Tensor, factor: float) -> Tensor:
    """Return total + factor · term."""
    return torch.add(total, term, alpha=factor)


def heaviside(x: Tensor, at_zero: float = 0.5) -> Tensor:
    """Return the step function, NaN where there is no number."""
    step = torch.where(x > 0, 1.0, torch.where(x < 0, 0.0, at_zero)).to(x.dtype)
    return torch.where(torch.isnan(x), torch.nan, step)


def sign(x: Tensor) -> Tensor:
    """Return the sign, NaN where there is no number, of which torch.sign makes 0."""
    return torch.where(torch.isnan(x), torch.nan, torch.sign(x))


def logical_not(x: Any) -> Any:
    """Return the negation of a mask or of a truth value."""
    return ~x if isinstance(x, Tensor) else not x


def select(condition: Any, taken: Any, other: Any, like: Tensor) -> Any:
    """Return `taken` where the condition holds, else `other`; numbers take the precision of `like`."""
    if not isinstance(condition, Tensor):
        return taken if condition else other
    taken, other = (
        v if isinstance(v, Tensor) else torch.full((), v, dtype=like.dtype, device=like.device) for v in (taken, other)
    )
    return torch.where(condition, taken, other)


def log_gamma(x: Tensor) -> Tensor:
    """Return log Γ, which is not real left of 0, where torch.lgamma is log|Γ|."""
    return torch.where(x < 0, torch.nan, torch.lgamma(x))


def extreme(which: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Any]:
    """Return torch.maximum or torch.minimum for operands of which one may be a number."""

    def apply(a: Any, b: Any) -> Any:
        like = a if isinstance(a, Tensor) else b
        first, second = (torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in (a, b))
        return which(first, second)

    apply.__name__ = which.__name__
    return apply


FUNCTIONS: dict[type, Callable[..., Any]] = {
    sympy.exp: torch.exp,
    sympy.sin: torch.sin,
    sympy.cos: torch.cos,
    sympy.tan: torch.tan,
    sympy.sinh: torch.sinh,
    sympy.cosh: torch.cosh,
    sympy.tanh: torch.tanh,
    sympy.atan: torch.atan,
    sympy.asinh: torch.asinh,
    sympy.erf: torch.erf,
    sympy.erfc: torch.erfc,
    sympy.Abs: torch.abs,
    sympy.sign: sign,
    sympy.floor: torch.floor,
    sympy.ceiling: torch.ceil,
    sympy.Heaviside: heaviside,
    sympy.loggamma: log_gamma,
    sympy.atan2: torch.atan2,
    sympy.Mod: torch.remainder,
}
"""Functions with bounded derivatives, or whose singularities are poles of the value itself."""

SINGULAR: dict[type, Callable[..., Any]] = {
    sympy.log: torch.log,
    sympy.asin: torch.asin,
    sympy.acos: torch.acos,
    sympy.acosh: torch.acosh,
    sympy.atanh: torch.atanh,
}
"""Functions whose derivative is singular where a branch may not be taken."""

REWRITES: dict[type, Callable[..., Expr]] = {
    sympy.sec: lambda z: 1 / sympy.cos(z),
    sympy.csc: lambda z: 1 / sympy.sin(z),
    sympy.cot: lambda z: sympy.cos(z) / sympy.sin(z),
    sympy.sech: lambda z: 1 / sympy.cosh(z),
    sympy.csch: lambda z: 1 / sympy.sinh(z),
    sympy.coth: lambda z: 1 / sympy.tanh(z),
    sympy.acot: lambda z: sympy.atan(1 / z),
    sympy.sinc: lambda z: sympy.Piecewise((1, sympy.Eq(z, 0)), (sympy.sin(z) / z, True)),
    # Left of 0 by the reflection Γ(z) Γ(1 - z) = π / sin(π z).
    sympy.gamma: lambda z: sympy.Piecewise(
        (sympy.exp(sympy.loggamma(z)), z > 0),
        (sympy.pi / (sympy.sin(sympy.pi * z) * sympy.exp(sympy.loggamma(1 - z))), True),
    ),
    sympy.re: lambda z: z,  # everything is real by now
    sympy.conjugate: lambda z: z,
    sympy.im: lambda z: sympy.S.Zero,
}
"""Functions written by others."""

RELATIONS: dict[type, Callable[..., Any]] = {
    sympy.StrictLessThan: operator.lt,
    sympy.LessThan: operator.le,
    sympy.StrictGreaterThan: operator.gt,
    sympy.GreaterThan: operator.ge,
    sympy.Equality: operator.eq,
    sympy.Unequality: operator.ne,
    sympy.And: operator.and_,
    sympy.Or: operator.or_,
}
"""Conditions of a Piecewise."""

"""Arithmetic of truncated Taylor series, channel by channel.

A series is the sequence of its channels in the graded order of a plan, normalised coefficients c_α = D^α u / α! or sums of them;
channels beyond its end vanish. Results go into channels that the caller has allocated, because at the sizes of a training step the
temporaries cost more than the arithmetic, or, where the caller left None, into new ones, for what is traced or differentiated
further. The formulas are those of Griewank and Walther, Evaluating Derivatives, 2nd ed. 2008, chapter 13: a function that solves a
differential equation has the Taylor coefficients that solve it order by order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pinnsolve.jets.plan import JetPlan

Series = Sequence[Tensor]
"""Channels in graded order; those beyond its end are zero."""

Target = list[Any]
"""Channels to be filled: a tensor to write into, or None, for each."""

Solve = Callable[[Series, Target, Target, JetPlan], None]
"""Given z, fill y = f(z) and w = f'(z): arguments z, y, w, plan."""


def multiply(out: Target, a: Series, b: Series, plan: JetPlan, *, sign: float = 1.0) -> None:
    """Fill out_α = ± Σ_{β <= α} a_β b_{α-β}."""
    for k in range(len(out)):
        multiply_channel(out, a, b, k, plan, sign=sign)


def multiply_channel(out: Target, a: Series, b: Series, k: int, plan: JetPlan, *, sign: float = 1.0) -> None:
    """Fill one channel of a product, that at position k."""
    triples = plan.products[k]
    out[k] = _total(out[k], ((a[i], b[j], sign * gamma) for i, j, gamma in triples if i < len(a) and j < len(b)), a[0])


def multiply_transposed(out: Target, upstream: Series, a: Series, plan: JetPlan) -> None:
    """Fill out_γ = Σ_{α >= γ} upstream_α a_{α-γ}, the adjoint of multiplication by a."""
    for i in range(len(out)):
        triples = plan.adjoints[i]
        terms = ((upstream[k], a[j], gamma) for k, j, gamma in triples if k < len(upstream) and j < len(a))
        out[i] = _total(out[i], terms, upstream[0])


def integrate(out: Target, z: Series, w: Series, k: int, plan: JetPlan, *, sign: float = 1.0) -> None:
    """Fill the channel at position k > 0 of y, where dy = ± w dz: only channels of w below it are read."""
    out[k] = _total(out[k], ((w[j], z[i], sign * weight) for i, j, weight in plan.primitives[k] if i < len(z)), w[0])


def unfilled(series: Target) -> Target:
    """As many channels, none of them allocated."""
    return [None] * len(series)


@dataclass(frozen=True)
class Riccati:
    """y = f(z) with f' = a + b f + c f²: exp, tanh, sigmoid, tan and 1/z.

    The slope w = a + b y + c y² follows from y alone, w_α = (b + 2 c y_0) y_α + c Σ_{0 < β < α} y_β y_{α-β}, so that y is all that
    a backward pass has to remember.

    Args:
        value: f on tensors, with an argument `out`.
        constant: a.
        linear: b.
        quadratic: c.
    """

    value: Callable[..., Tensor]
    constant: float
    linear: float
    quadratic: float

    def solve(self, z: Series, y: Target, w: Target, plan: JetPlan) -> None:
        """Fill y, and those channels of w that y depends on."""
        y[0] = self.value(z[0], out=y[0])
        if plan.size == 1:
            return
        gain = self._start(y, w)
        for k in range(1, plan.size):
            integrate(y, z, w, k, plan)
            if plan.interior[k]:
                self._extend(y, w, gain, k, plan)

    def slope(self, y: Series, w: Target, plan: JetPlan) -> None:
        """Fill w, given y."""
        gain = self._start(y, w)
        for k in range(1, plan.size):
            self._extend(y, w, gain, k, plan)

    def _start(self, y: Series, w: Target) -> Tensor:
        """Fill w_0 = a + y_0 (b + c y_0) and return gain = b + 2 c y_0, in one pass each."""
        constant, linear = (
            torch.full((), value, dtype=y[0].dtype, device=y[0].device) for value in (self.constant, self.linear)
        )
        gain = torch.add(linear, y[0], alpha=2 * self.quadratic)
        w[0] = torch.addcmul(constant, y[0], gain, value=0.5, out=w[0])
        if self.linear:
            w[0].add_(y[0], alpha=0.5 * self.linear)
        return gain

    def _extend(self, y: Series, w: Target, gain: Tensor, k: int, plan: JetPlan) -> None:
        # Each unordered pair once: the sum is symmetric and i = 0 or j = 0 is in the gain.
        pairs = ((i, j, gamma if i == j else 2 * gamma) for i, j, gamma in plan.products[k] if 0 < i <= j)
        terms = ((y[i], y[j], self.quadratic * gamma) for i, j, gamma in pairs) if self.quadratic else ()
        w[k] = _total(w[k], ((gain, y[k], 1.0), *terms), y[0])


def oscillation(value: Callable[..., Tensor], slope: Callable[..., Tensor], sign: float) -> Solve:
    """Describe y' = w, w' = ± y: sine and cosine, hyperbolic with the upper sign.

    Args:
        value: f on tensors, with an argument `out`.
        slope: f' on tensors, with an argument `out`.
        sign: That of f'' = ± f.
    """

    def solve(z: Series, y: Target, w: Target, plan: JetPlan) -> None:
        y[0] = value(z[0], out=y[0])
        w[0] = slope(z[0], out=w[0])
        for k in range(1, plan.size):
            integrate(y, z, w, k, plan)
            integrate(w, z, y, k, plan, sign=sign)

    return solve


def _total(out: Tensor | None, terms: Iterable[tuple[Tensor, Tensor, float]], like: Tensor) -> Tensor:
    """Return Σ weight · a · b, in `out` where that is a tensor; the first product has the shape of the result."""
    total: Tensor | None = None
    for a, b, weight in terms:
        if total is None:
            total = torch.mul(a, b, out=out)
            if weight != 1.0:
                total.mul_(weight)
        elif out is None:
            total = torch.add(total, a * b, alpha=weight)
        else:
            total.addcmul_(a, b, value=weight)
    if total is None:
        return torch.zeros_like(like) if out is None else out.zero_()
    return total

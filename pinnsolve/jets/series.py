"""Arithmetic of truncated Taylor series in place, channel by channel, without a gradient.

A series is the sequence of its normalised coefficients c_α = D^α u / α! in the graded order of a plan; coefficients beyond its end
vanish. Everything here writes into channels that the caller has allocated, because at the sizes of a training step the temporaries
cost more than the arithmetic. The formulas are those of Griewank and Walther, Evaluating Derivatives, 2nd ed. 2008, chapter 13:
a function that solves a differential equation has the Taylor coefficients that solve it order by order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pinnsolve.jets.plan import JetPlan

Series = Sequence[Tensor]
"""Coefficients in graded order; those beyond its end are zero."""

Solve = Callable[[Series, Series, Series, JetPlan], None]
"""Given z, fill y = f(z) and w = f'(z): arguments z, y, w, plan."""


def multiply(out: Series, a: Series, b: Series, plan: JetPlan, *, sign: float = 1.0) -> None:
    """Fill out_α = ± Σ_{β <= α} a_β b_{α-β}."""
    for k in range(len(out)):
        multiply_coefficient(out[k], a, b, k, plan, sign=sign)


def multiply_coefficient(out: Tensor, a: Series, b: Series, k: int, plan: JetPlan, *, sign: float = 1.0) -> None:
    """Fill one coefficient of a product, that at position k."""
    _accumulate(out, ((a[i], b[j], sign) for i, j in plan.products[k] if i < len(a) and j < len(b)))


def multiply_transposed(out: Series, upstream: Series, a: Series, plan: JetPlan) -> None:
    """Fill out_γ = Σ_{α >= γ} upstream_α a_{α-γ}, the adjoint of multiplication by a."""
    for coefficient, pairs in zip(out, plan.adjoints, strict=False):
        _accumulate(coefficient, ((upstream[k], a[j], 1.0) for k, j in pairs if k < len(upstream) and j < len(a)))


def integrate(out: Tensor, z: Series, w: Series, k: int, plan: JetPlan, *, sign: float = 1.0) -> None:
    """Fill the coefficient at position k > 0 of y, where dy = ± w dz: only coefficients of w below it are read."""
    _accumulate(out, ((z[i], w[j], sign * weight) for i, j, weight in plan.primitives[k] if i < len(z)))


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

    def solve(self, z: Series, y: Series, w: Series, plan: JetPlan) -> None:
        """Fill y, and those coefficients of w that y depends on."""
        self.value(z[0], out=y[0])
        gain = self._start(y, w)
        for k in range(1, plan.size):
            integrate(y[k], z, w, k, plan)
            if plan.interior[k]:
                self._extend(y, w, gain, k, plan)

    def slope(self, y: Series, w: Series, plan: JetPlan) -> None:
        """Fill w, given y."""
        gain = self._start(y, w)
        for k in range(1, plan.size):
            self._extend(y, w, gain, k, plan)

    def _start(self, y: Series, w: Series) -> Tensor:
        """Fill w_0 = a + y_0 (b + gain) / 2 and return gain = b + 2 c y_0."""
        gain = torch.add(y[0].new_tensor(self.linear), y[0], alpha=2 * self.quadratic)
        torch.addcmul(y[0].new_tensor(self.constant), y[0], gain, value=0.5, out=w[0])
        if self.linear:
            w[0].add_(y[0], alpha=0.5 * self.linear)
        return gain

    def _extend(self, y: Series, w: Series, gain: Tensor, k: int, plan: JetPlan) -> None:
        torch.mul(gain, y[k], out=w[k])
        if self.quadratic:
            for i, j in plan.products[k]:
                # Each unordered pair once: the sum is symmetric and i = 0 or j = 0 is in the gain.
                if 0 < i <= j:
                    w[k].addcmul_(y[i], y[j], value=self.quadratic * (1 if i == j else 2))


def oscillation(value: Callable[..., Tensor], slope: Callable[..., Tensor], sign: float) -> Solve:
    """Describe y' = w, w' = ± y: sine and cosine, hyperbolic with the upper sign.

    Args:
        value: f on tensors, with an argument `out`.
        slope: f' on tensors, with an argument `out`.
        sign: That of f'' = ± f.
    """

    def solve(z: Series, y: Series, w: Series, plan: JetPlan) -> None:
        value(z[0], out=y[0])
        slope(z[0], out=w[0])
        for k in range(1, plan.size):
            integrate(y[k], z, w, k, plan)
            integrate(w[k], z, y, k, plan, sign=sign)

    return solve


def _accumulate(out: Tensor, terms: Iterable[tuple[Tensor, Tensor, float]]) -> None:
    """Fill out = Σ weight · a · b."""
    empty = True
    for a, b, weight in terms:
        if not empty:
            out.addcmul_(a, b, value=weight)
            continue
        torch.mul(a, b, out=out)
        if weight != 1.0:
            out.mul_(weight)
        empty = False
    if empty:
        out.zero_()

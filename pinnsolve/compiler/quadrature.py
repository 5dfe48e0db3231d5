"""Integrals in a residual, replaced by Gauss-Legendre sums.

An integral over [a, b] of f becomes (b - a)/2 · sum_k w_k f(a + (b - a)(1 + xi_k)/2): exact for polynomials of degree 2n - 1. The
limits may depend on coordinates (a Volterra equation), and the integrand may contain the fields, which are then evaluated at the
nodes like anywhere else.
"""

from __future__ import annotations

import numpy as np
from sympy import Expr, Float, Integral

NODES = 24
"""Exact to degree 47; a smooth network is integrated to rounding."""


def expand_integrals(expression: Expr, *, nodes: int = NODES) -> Expr:
    """Return the expression with every definite integral, also a nested one, written as a sum over nodes."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    while integrals := sorted(expression.atoms(Integral), key=lambda integral: len(integral.atoms(Integral))):
        innermost = integrals[0]
        variable, low, high = innermost.limits[0]
        half = (high - low) / 2
        total = half * sum(
            Float(float(w)) * innermost.function.subs(variable, low + half * Float(1 + float(p)))
            for p, w in zip(places, weights, strict=True)
        )
        rest = innermost.limits[1:]
        expression = expression.xreplace({innermost: Integral(total, *rest) if rest else total})
    return expression

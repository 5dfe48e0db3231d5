"""Coefficients that jump: caught in equations where SymPy has already dropped the delta.

(k u_x)_x with a k that jumps is turned by SymPy into k u_xx without a word, because the derivative of each branch is zero. An
equation with such a coefficient on a second or higher derivative along its own jump is therefore refused: as a conservation
law it is wrong, and if k u_xx is really meant, dividing by k says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from sympy import Dummy

from pinnsolve.declaration.discontinuities import advice, jumps
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.errors import ProblemError


def check_coefficients(equations: Sequence[Term]) -> None:
    """Raise when a derivative of order two or more has a coefficient that jumps along the same coordinate.

    Raises:
        ProblemError: Names the equation, the derivative and the coefficient.
    """
    for term in equations:
        readings = evaluations(term.residual)
        stand_ins = {place: Dummy() for place in readings}
        opened = term.residual.xreplace(stand_ins)
        for place, reading in readings.items():
            if max(reading.orders, default=0) < 2:
                continue
            coefficient = opened.diff(stand_ins[place])
            for coordinate, order in zip(reading.location, reading.orders, strict=True):
                if order < 2 or not coordinate.is_Symbol:
                    continue
                for jump in jumps(coefficient, coordinate):
                    raise ProblemError(
                        term.name,
                        f"the coefficient {jump} of {place} jumps along {coordinate}; the derivative of a discontinuous "
                        "coefficient contains a delta, which SymPy drops",
                        f"{advice(jump)} (or divide by the coefficient if k*{place} is really meant)",
                    )

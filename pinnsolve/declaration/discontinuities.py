"""Jumps in coefficients: where they are, and why they must not be differentiated.

The derivative of a discontinuous coefficient contains a Dirac delta that no point of a residual ever sees, and SymPy drops it
in silence: d/dx Piecewise((1, x < 0), (2, True)) is 0. In conservation form, (k u_x)_x = f, the flux k u_x is continuous;
declaring it as a field of its own keeps every term finite.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from sympy import DiracDelta, Expr, Heaviside, Piecewise, Symbol, ceiling, floor, sign
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

from pinnsolve.declaration.evaluation import number_at
from pinnsolve.domains.images import indicates
from pinnsolve.errors import ProblemError

ADVICE = "make the flux a field of its own: q = k*u.diff(x) as one equation, q.diff(x) = f as another"
_ADVICE_FOR_GROUPS = ', or state the equation for each group: ps.on(mesh["steel"], Eq(...))'
_OFFSET = 1e-7
"""How far to either side of a break the branches are compared, relative to the break's size."""

_ROUNDING = 1e-10
"""Differences below this, relative to the values, are rounding."""


def refuse_derivative_of_jump(expression: Expr, coordinate: Symbol) -> None:
    """Raise when an expression about to be differentiated jumps along the coordinate.

    Raises:
        ProblemError: The expression contains a factor that jumps; advises to make the flux a field.
    """
    for jump in jumps(expression, coordinate):
        raise ProblemError(
            f"the derivative of {expression} with respect to {coordinate}",
            f"{jump} jumps along {coordinate}, and its derivative is a delta that no point sees",
            advice(jump),
        )


def jumps(expression: Expr, coordinate: Symbol) -> Iterator[Expr]:
    """Yield the parts of an expression that are discontinuous along a coordinate (found at the breaks of each condition)."""
    for symbol in sorted(expression.free_symbols, key=str):
        if indicates(symbol, coordinate):
            yield symbol
    for part in expression.atoms(Heaviside, sign, floor, ceiling):
        if coordinate in part.free_symbols and not part.has(AppliedUndef):
            yield part
    for part in expression.atoms(Piecewise):
        if coordinate in part.free_symbols and not part.has(AppliedUndef) and _piecewise_jumps(part, coordinate):
            yield part


def advice(jump: Expr) -> str:
    """Return what to write instead of the derivative of a jump."""
    return ADVICE + (_ADVICE_FOR_GROUPS if isinstance(jump, Symbol) else "")


def has_delta(expression: Expr) -> bool:
    """Return whether a Dirac delta is left in the expression, the trace of a differentiated jump."""
    return bool(expression.has(DiracDelta))


def breaks(part: Expr, coordinate: Symbol) -> list[Expr]:
    """Return the values of a coordinate at which the conditions of a Piecewise change, where they can be solved for."""
    from sympy import solve

    found: list[Expr] = []
    for relation in part.atoms(Relational):
        if coordinate in relation.free_symbols:
            try:
                found += [s for s in solve(relation.lhs - relation.rhs, coordinate) if s.is_real is not False]
            except NotImplementedError:
                continue
    return found


def _piecewise_jumps(part: Piecewise, coordinate: Symbol) -> bool:
    others = sorted(part.free_symbols - {coordinate}, key=str)
    # Irrational sample values, so that no sample meets a break of another coordinate by accident.
    samples = [
        dict(zip(others, values, strict=True)) for values in itertools.product((0.1371, 0.6183), repeat=len(others))
    ]
    for sample in samples[:8]:
        for place in breaks(part, coordinate):
            centre = place.subs(sample)
            if not centre.is_number or not centre.is_real:
                continue
            pairs = [
                _sides(part.subs(sample), coordinate, float(centre), offset) for offset in (_OFFSET, _OFFSET / 100)
            ]
            wide, narrow = (abs(high - low) for low, high in pairs)
            size = max(abs(side) for pair in pairs for side in pair)
            # A kink closes as its sides approach, a jump does not; comparisons with the NaN of a complex side are false.
            if narrow > _ROUNDING * size and narrow > 0.5 * wide:
                return True
    return False


def _sides(part: Expr, coordinate: Symbol, centre: float, offset: float) -> tuple[float, float]:
    """Return the values to either side of a break, NaN where they are not real."""
    step = offset * (abs(centre) or 1.0)
    sides = (number_at(part.subs(coordinate, centre + s), {}) for s in (-step, step))
    low, high = (math.nan if side is None or side.imag else side.real for side in sides)
    return low, high

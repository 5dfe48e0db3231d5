"""Continuation: from the equations linearised at a start to the equations themselves, where Newton's method finds no way at once.

With F_0 and J_0 the residual and its Jacobian at the start U_0, the root of s F(U) + (1 - s) (F_0 + J_0 (U - U_0)) is known for
s = 0 and wanted for s = 1. For a flow that starts from rest s multiplies its inertia.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from scipy import sparse

from pinnsolve.domains.images import Array
from pinnsolve.reference.factors import Factor, factor_by_columns
from pinnsolve.reference.newton import Root, Rows, UnresolvedError, solve_newton

_SMALLEST = 1e-2
"""Part of the way that is gone at once, at least."""


@dataclass(frozen=True)
class _Between:
    """The equations part of the way from their linearisation to themselves."""

    system: Rows
    start: Array
    first: Array
    slope: sparse.csc_array
    part: float

    def residual(self, unknowns: Array, time: float = 0.0) -> Array:
        linear = self.first + self.slope @ (unknowns - self.start)
        return self.part * self.system.residual(unknowns, time) + (1 - self.part) * linear

    def jacobian(self, unknowns: Array, time: float = 0.0) -> sparse.csc_array:
        return sparse.csc_array(self.part * self.system.jacobian(unknowns, time) + (1 - self.part) * self.slope)


def solve_continued(
    system: Rows,
    start: Array,
    *,
    name: str,
    constants: tuple[Array, ...] = (),
    factor: Factor = factor_by_columns,
) -> Root:
    """Return a root of a system, by Newton's method from a start or else along the way to it.

    Args:
        system: The rows.
        start: First guess.
        name: For messages.
        constants: Vectors that may be added to any solution.
        factor: How Jacobians are factored.

    Raises:
        UnresolvedError: No solution is found on this grid.
    """
    solve = partial(solve_newton, name=name, constants=constants, factor=factor)
    try:
        return solve(system, start)
    except UnresolvedError as error:
        failed = error
    first, slope = system.residual(start), system.jacobian(start)
    state, reached, step, steps = start, 0.0, 0.5, 0
    while reached < 1:
        target = min(1.0, reached + step)
        try:
            root = solve(_Between(system, start, first, slope, target), state)
        except UnresolvedError:
            step /= 4
            if step < _SMALLEST:
                raise failed from None
            continue
        state, reached, step, steps = root.values, target, 2 * step, steps + root.steps
    return Root(state, steps)

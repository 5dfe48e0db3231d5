"""Newton's method, damped, for the systems of a grid.

The step d solves J d = -F by sparse LU. A fraction of it is taken such that the next correction, computed with the same J, is
shorter: the natural monotonicity test, which does not depend on how rows are scaled (Deuflhard, Newton Methods for Nonlinear
Problems, 2004, section 3.3). A system that determines a field only up to a constant is bordered by the condition of mean zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import SuperLU

from pinnsolve.errors import UnsupportedError
from pinnsolve.reference.factors import Factor, factor_by_columns
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.reading import REMEDY

_STEPS = 60
_CONVERGED = 1e-11
_ROUNDING = 1e-6
"""A correction below this part of the solution that no longer shrinks is rounding: high derivatives amplify it by 1/h^m."""

_SMALLEST = 1e-4

_EXACT = 1e-8
"""Part of a right-hand side that the solution of a bordered system may leave."""


class Rows(Protocol):
    """As many equations as unknowns."""

    def residual(self, unknowns: Array, time: float = 0.0) -> Array:
        """Return the residual of every row."""

    def jacobian(self, unknowns: Array, time: float = 0.0) -> sparse.csc_array:
        """Return the derivative of the residual in the unknowns."""


class UnresolvedError(UnsupportedError):
    """No solution on this grid; a finer one may have it."""


@dataclass(frozen=True)
class Root:
    """A solution of F(U) = 0 and the number of steps it took."""

    values: Array
    steps: int


def solve_newton(
    system: Rows,
    start: Array,
    *,
    time: float = 0.0,
    name: str,
    constants: tuple[Array, ...] = (),
    factor: Factor = factor_by_columns,
) -> Root:
    """Return a root of a system near a start.

    Args:
        system: The rows.
        start: First guess.
        time: Passed to the system.
        name: For messages.
        constants: Vectors that may be added to any solution: each is bordered away with mean zero.
        factor: How the Jacobian is factored.

    Raises:
        UnresolvedError: A singular Jacobian, values that are not finite, no convergence.
    """
    values = np.array(start, dtype=np.float64)
    for count in range(_STEPS):
        residual, jacobian = system.residual(values, time), system.jacobian(values, time)
        if not (np.isfinite(residual).all() and np.isfinite(jacobian.data).all()):
            raise refusal(name, "the equations have no finite value at the first guess")
        solve = _solver(jacobian, constants, name, factor)
        full = solve(-residual)
        size = float(np.linalg.norm(full))
        if not np.isfinite(size):
            raise refusal(name, "the linear system is singular")
        damping = 1.0
        while damping >= _SMALLEST:
            trial = values + damping * full
            after = system.residual(trial, time)
            if np.isfinite(after).all():
                correction = solve(-after)
                left, whole = float(np.linalg.norm(correction)), float(np.linalg.norm(trial))
                if left <= _CONVERGED * max(whole, 1e-3 * np.sqrt(len(values))):
                    return Root(trial + correction, count + 1)
                if left <= (1 - damping / 4) * size:
                    break
                if size <= _ROUNDING * whole:
                    return Root(values, count)
            damping /= 2
        else:
            raise refusal(name, "Newton's method finds no descent")
        values = trial
    raise refusal(name, f"Newton's method has not converged in {_STEPS} steps")


def refusal(name: str, found: str) -> UnresolvedError:
    """Return the error that says why there is no solution on this grid."""
    return UnresolvedError(name, f"no reference on its grids: {found}", REMEDY)


def _solver(
    jacobian: sparse.csc_array, constants: tuple[Array, ...], name: str, factor: Factor
) -> Callable[[Array], Array]:
    """Return the solver of J d = r, bordered by conditions B' d = 0 where constants B may be added to d."""
    if not constants:
        return _decomposed(jacobian, name, factor).solve
    border, size = np.stack(constants, axis=1), len(constants[0])
    solve = _lifted(jacobian, border, factor)
    if solve is not None:
        return solve
    sides = sparse.csc_array(border)
    factors = _decomposed(
        sparse.block_array([[jacobian, sides], [sides.T, None]], format="csc"), name, factor_by_columns
    )
    return lambda right: factors.solve(np.concatenate([right, np.zeros(len(constants))]))[:size]


def _lifted(jacobian: sparse.csc_array, border: Array, factor: Factor) -> Callable[[Array], Array] | None:
    """Return the same solver by factors that full borders do not fill, None where it is not exact.

    J gets a number a at one unknown of each constant: d = (J + a E E')^-1 (r + E m - B l) with the m = a E' d and the l for which
    B' d = 0. That fails where the rows of J sum to zero without the one of this unknown, as may be beside walls.
    """
    count = border.shape[1]
    most = [np.flatnonzero(np.abs(column) >= np.abs(column).max() / 2) for column in border.T]
    at = np.array([some[len(some) // 2] for some in most])
    units = np.zeros_like(border)
    units[at, np.arange(count)] = 1.0
    size = float(np.abs(jacobian.data).max())
    lift = sparse.csc_array((np.full(count, size), (at, at)), shape=jacobian.shape)
    try:
        factors = factor(sparse.csc_array(jacobian + lift))
        ways = factors.solve(np.concatenate([units, -border], axis=1))
        both = np.concatenate([units, border], axis=1).T
        small = np.linalg.inv(both @ ways - np.diag(np.repeat([1 / size, 0.0], count)))
    except (RuntimeError, np.linalg.LinAlgError):
        return None

    def split(right: Array) -> tuple[Array, Array]:
        plain = factors.solve(right)
        shares = small @ (both @ plain)
        return plain - ways @ shares, border @ shares[count:]

    right = np.random.default_rng(0).random(len(border))
    found, rest = split(right)
    left = np.linalg.norm(jacobian @ found - rest - right)
    return (lambda right: split(right)[0]) if left <= _EXACT * np.linalg.norm(right) else None


def _decomposed(matrix: sparse.csc_array, name: str, factor: Factor) -> SuperLU:
    try:
        return factor(matrix)
    except RuntimeError as error:
        raise refusal(name, "the linear system is singular") from error

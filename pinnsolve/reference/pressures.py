"""Pressures: fields without second derivatives, determined by an equation of first order such as div v = 0.

In sum_j A_ij u_j + c_i . grad p + ... = 0 and D(grad u) + r = 0 the slopes of p go to the fluxes: Phi_i then contains c_i p, so
that a natural condition is one of the stress with its pressure. With the symbols A, c, D of a direction, such a system determines
u and p from conditions on u if A is elliptic and D A^-1 c nowhere zero (Agmon, Douglis and Nirenberg, Comm. Pure Appl. Math. 17,
1964).

As D(grad u) + r is zero, any multiple of it may be added to the pressure. With the Laplacian for the viscous force, a traction as
natural condition needs p - nu div u in place of p; without the second term its form 2 nu e(u) : e(v) would lose nu div u div v.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sympy import Abs, Add, Expr, Integer, Symbol

from pinnsolve.domains.images import Array, unit_sphere
from pinnsolve.reference.regional import refusal
from pinnsolve.reference.weak_form import WeakForm

_DIRECTIONS = 24
_DEGENERATE = 1e-9


def check_saddle(form: WeakForm, points: Array) -> None:
    """Raise where a pressure and the equation of first order do not determine each other; nothing to check without a pressure.

    Args:
        form: The equations, whose part of second order is elliptic.
        points: Some places inside (points, coordinates and groups of cells).

    Raises:
        UnsupportedError: D A^-1 c vanishes or changes its sign.
    """
    if form.pressure is None:
        return
    count = len(form.space)
    moving = [row for row in form.rows if row.symbols]
    own = [row.target for row in moving]
    densities = [[d.xreplace(dict(form.fluxes)) for d in row.density()] for row in moving]
    second = [d.diff(form.unknowns.slopes[n][b]) for some in densities for n in own for d in some for b in range(count)]
    gradient = [d.diff(form.unknowns.values[form.pressure]) for some in densities for d in some]
    continuity = form.rows[form.pressure].rest
    divergence = [continuity.diff(slope) for n in own for slope in form.unknowns.slopes[n]]
    found = form.evaluated([*second, *gradient, *divergence], points, {})
    ways = unit_sphere(np.random.default_rng(0).random((_DIRECTIONS, count - 1))).T
    size = len(own)
    stiff = found[: len(second)].reshape(size, size, count, count, -1)
    pull, push = found[len(second) :].reshape(2, size, count, -1)
    symbols = np.einsum("ijabp,ad,bd->pdij", stiff, ways, ways)
    columns, rows = (np.einsum("iap,ad->pdi", weights, ways) for weights in (pull, push))
    inverse = np.linalg.inv(symbols)
    schur = np.einsum("pdi,pdij,pdj->pd", rows, inverse, columns)
    scale = np.einsum("pdi,pdij,pdj->pd", np.abs(rows), np.abs(inverse), np.abs(columns))
    least = _DEGENERATE * scale.max()
    if not (schur > least).all() and not (schur < -least).all():
        name = form.names[form.unknowns.fields[form.pressure][0]]
        found_there = f"{form.rows[form.pressure].name} and the slopes of {name} do not determine {name}"
        raise refusal(", ".join([*(row.name for row in moving), form.rows[form.pressure].name]), found_there)


def with_more_pressure(form: WeakForm, factor: Expr) -> WeakForm:
    """Return the same equations with the pressure p + factor (D + r) in the fluxes in place of p, as D + r vanishes.

    Args:
        form: The equations.
        factor: An expression of places.
    """
    if form.pressure is None:
        return form
    pressure, continuity = form.unknowns.values[form.pressure], form.rows[form.pressure].rest
    weights = slope_weights(form, continuity)
    source = continuity.xreplace(dict.fromkeys(weights, Integer(0)))
    rows = list(form.rows)
    for number, row in enumerate(rows):
        flux, rest = [dict(some) for some in row.flux], row.rest
        for a, some in enumerate(flux):
            if pressure in some:
                more = some[pressure] * factor
                for slope, weight in weights.items():
                    some[slope] = some.get(slope, Integer(0)) + more * weight
                rest += form.total(more * source, a)
        rows[number] = replace(row, flux=tuple(flux), rest=rest)
    return replace(form, rows=tuple(rows))


def leak_sizes(form: WeakForm) -> tuple[Expr, ...]:
    """Return the equation of a pressure and the sum of the sizes of its terms with slopes; nothing without a pressure.

    The integral of the first is at most that of the second, and what walls let in and not out, where velocities do not balance.
    """
    if form.pressure is None:
        return ()
    continuity = form.rows[form.pressure].rest
    return continuity, Add(*(Abs(weight * slope) for slope, weight in slope_weights(form, continuity).items()))


def slope_weights(form: WeakForm, expression: Expr) -> dict[Symbol, Expr]:
    """Return the coefficients of the fields' slopes in an expression."""
    slopes = (s for some in form.unknowns.slopes for s in some)
    return {s: expression.diff(s) for s in slopes if expression.has(s)}

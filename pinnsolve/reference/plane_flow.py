"""Steady incompressible flow in a rectangle, recognised in a declaration: its constants, its force and the velocity on its walls.

A declaration is that of Navier and Stokes when u = psi_y, v = -psi_x turn its two momentum equations, divided by what multiplies
the pressure's slope, into

    p_x + k (psi_y psi_xy - psi_x psi_yy) - nu (psi_xxy + psi_yyy) = f_1,
    p_y - k (psi_y psi_xx - psi_x psi_xy) + nu (psi_xxx + psi_xyy) = f_2

term by term: every way to write them that agrees for fields without divergence agrees here. D_x of the second minus D_y of the
first is the equation of fourth order of the stream function (Batchelor, An Introduction to Fluid Dynamics, 1967, section 5.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sympy import Add, Dummy, Expr, S, Symbol, lambdify

from pinnsolve.domains.regions import Box
from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.reading import REMEDY, Reading, read

Function = Callable[..., Array]

_ROUNDING = 1e-12
"""Coefficients that differ by less than this, relative to the viscosity and the inertia, are the same number rounded twice."""

_BALANCE = 1e-6
"""Part of the flux through the walls that may be left over."""

_PANELS, _GAUSS = 256, 8


@dataclass(frozen=True)
class Wall:
    """The velocity on one wall, as functions of the coordinate along it.

    Args:
        normal: The component across the wall, in the direction of its coordinate.
        tangential: The other component.
    """

    normal: Function
    tangential: Function


@dataclass(frozen=True)
class PlaneFlow:
    """k (v . grad) v + grad p = nu lap v + f, div v = 0 in a rectangle.

    Args:
        inertia: k.
        viscosity: nu.
        force: The components of f as functions of x and y.
        bounds: The ranges of x and y.
        walls: By coordinate (0 for a wall across x) and side (0 for the low end).
    """

    inertia: float
    viscosity: float
    force: tuple[Function, Function]
    bounds: tuple[tuple[float, float], tuple[float, float]]
    walls: Mapping[tuple[int, int], Wall]


@dataclass(frozen=True)
class Roles:
    """Which field is which, by position: the components along the first and the second coordinate, and the pressure."""

    velocity: tuple[int, int]
    pressure: int


def read_plane_flow(problem: Problem, unknowns: Mapping[Symbol, float]) -> tuple[PlaneFlow, Roles]:
    """Return the flow that a problem declares.

    Args:
        problem: The declaration.
        unknowns: The values at which unknown parameters are held.

    Raises:
        UnsupportedError: Other equations or conditions, with the first that does not fit.
    """
    if not isinstance(problem.domain, Box) or len(problem.coordinates) != 2:
        raise refusal("domain", "it is not a rectangle of two space coordinates")
    try:
        readings = read(problem, unknowns)
    except UnsupportedError as error:  # what no grid can read stands in the way here too
        found = error.found.replace("no finite-difference reference", "no stream-function reference")
        raise UnsupportedError(error.term, found, error.remedy) from error
    equations = [r for r in readings if r.kind == "equation"]
    if len(problem.fields) != 3 or len(equations) != 3:
        found = f"{len(equations)} equations for {len(problem.fields)} fields, not three for a velocity and a pressure"
        raise refusal("equations", found)
    continuity, velocity = _continuity(equations)
    roles = Roles(velocity, next(k for k in range(3) if k not in velocity))
    inertia, viscosity, force = _momentum([r for r in equations if r is not continuity], roles)
    x, y = equations[0].coordinates
    (a, b), (c, d) = (problem.bounds[coordinate] for coordinate in problem.coordinates)
    flow = PlaneFlow(
        inertia=inertia,
        viscosity=viscosity,
        force=(_function((x, y), force[0]), _function((x, y), force[1])),
        bounds=((a, b), (c, d)),
        walls=_walls([r for r in readings if r.kind == "condition"], roles, problem),
    )
    _check_balance(flow)
    return flow, roles


def refusal(term: str, found: str, remedy: str = REMEDY) -> UnsupportedError:
    """Return the error that says what is not a plane flow between walls."""
    return UnsupportedError(term, f"no stream-function reference: {found}", remedy)


def _continuity(equations: Sequence[Reading]) -> tuple[Reading, tuple[int, int]]:
    """Return the equation u_x + v_y = 0 and the positions of u and v."""
    for reading in equations:
        by_orders = {slot.orders: (slot, symbol) for slot, symbol in reading.slots.items() if not slot.places}
        if len(reading.slots) != 2 or set(by_orders) != {(1, 0), (0, 1)}:
            continue
        (along, first), (across, second) = by_orders[1, 0], by_orders[0, 1]
        factor = reading.expression.diff(first)
        if factor.is_number and factor != 0 and along.field != across.field:
            left = ((reading.expression - factor * (first + second)) / factor).expand()
            if not _significant(left, 1.0):
                return reading, (along.field, across.field)
    raise refusal("equations", "none says that the velocity has no divergence, as in ps.div(velocity, x, y)")


def _momentum(readings: Sequence[Reading], roles: Roles) -> tuple[float, float, tuple[Expr, Expr]]:
    """Return inertia, viscosity and the force of the two momentum equations."""
    found: dict[int, tuple[str, dict[Expr, Expr]]] = {}
    force: dict[int, Expr] = {}  # as declared: expanding a high power of 2 x - 1 loses all digits
    streams: dict[tuple[int, int], Symbol] = {}

    def stream(a: int, b: int) -> Symbol:
        return streams.setdefault((a, b), Dummy(f"psi{a}{b}", real=True))

    for reading in readings:
        if reading.jumps:
            raise refusal(reading.name, "a coefficient that jumps")
        axis, rest = _without_pressure(reading, roles)
        values: dict[Symbol, Expr] = {}
        for slot, symbol in reading.slots.items():
            if slot.field != roles.pressure:
                a, b = slot.orders
                values[symbol] = stream(a, b + 1) if slot.field == roles.velocity[0] else -stream(a + 1, b)
        found[axis] = reading.name, _coefficients(rest.xreplace(values), streams.values())
        force[axis] = -rest.xreplace(dict.fromkeys(values, S.Zero))
    if set(found) != {0, 1}:
        raise refusal(" and ".join(r.name for r in readings), "both have the same slope of the pressure")
    (first, left), (second, right) = found[0], found[1]
    viscosity = -left.get(stream(0, 3), S.Zero)
    inertia = left.get(stream(0, 1) * stream(1, 1), S.Zero)
    if not viscosity.is_number or not viscosity > 0:
        raise refusal(first, f"the viscosity reads {viscosity}", "write one number above zero times the Laplacian")
    if not inertia.is_number or not inertia >= 0:
        raise refusal(first, f"the factor of (v . grad) v reads {inertia}", "write one number, 0 or above")
    p, q = stream(0, 1), stream(1, 0)
    expected = [
        inertia * (p * stream(1, 1) - q * stream(0, 2)) - viscosity * (stream(2, 1) + stream(0, 3)),
        inertia * (q * stream(1, 1) - p * stream(2, 0)) + viscosity * (stream(3, 0) + stream(1, 2)),
    ]
    for name, terms, right_form in ((first, left, expected[0]), (second, right, expected[1])):
        wanted = _coefficients(right_form, streams.values())
        for product in {*terms, *wanted} - {S.One}:
            gap = terms.get(product, S.Zero) - wanted.get(product, S.Zero)
            if _significant(gap, float(viscosity + inertia)):
                gap_of = "with u = psi_y, v = -psi_x it is not the momentum equation of a constant viscosity"
                raise refusal(name, gap_of, f"write {_FORM}")
    return float(inertia), float(viscosity), (force[0], force[1])


_FORM = "ps.advect(velocity, velocity, x, y) + ps.grad(p, x, y) - nu * ps.laplacian(velocity, x, y)"


def _without_pressure(reading: Reading, roles: Roles) -> tuple[int, Expr]:
    """Return the coordinate of the one slope of the pressure in an equation, and the rest over the slope's factor."""
    slopes = [(slot, symbol) for slot, symbol in reading.slots.items() if slot.field == roles.pressure]
    if any(slot.places for slot in reading.slots):
        raise refusal(reading.name, "a field at a fixed place")
    if len(slopes) != 1 or sum(slopes[0][0].orders) != 1:
        raise refusal(reading.name, "it does not have one slope of the pressure", f"write {_FORM}")
    (slot, symbol), *_ = slopes
    factor = reading.expression.diff(symbol)
    if not factor.is_number or factor == 0:
        raise refusal(reading.name, "the factor of the pressure's slope is not a number")
    return slot.orders.index(1), reading.expression.xreplace({symbol: S.Zero}) / factor


def _coefficients(expression: Expr, symbols: Iterable[Symbol]) -> dict[Expr, Expr]:
    """Return the factors of products of symbols in an expanded sum."""
    own = list(symbols)
    result: dict[Expr, Expr] = {}
    for term in Add.make_args(expression.expand()):
        factor, product = term.as_independent(*own, as_Add=False)
        result[product] = result.get(product, S.Zero) + factor
    return result


def _significant(gap: Expr, scale: float) -> bool:
    """Whether a difference of coefficients is more than rounding."""
    simple = gap if gap.is_number else gap.simplify()
    return not (simple.is_number and abs(complex(simple)) <= _ROUNDING * scale)


def _walls(conditions: Sequence[Reading], roles: Roles, problem: Problem) -> dict[tuple[int, int], Wall]:
    values: dict[tuple[int, int, int], Expr] = {}
    names = [f.func.__name__ for f in problem.fields]
    for reading in conditions:
        component, axis, side, value = _wall_value(reading, roles, problem)
        key = component, axis, side
        if key in values:
            place = f"{problem.coordinates[axis]} = {problem.bounds[problem.coordinates[axis]][side]:g}"
            raise refusal(reading.name, f"it gives {names[roles.velocity[component]]} at {place} a second time")
        values[key] = value
    symbols = conditions[0].coordinates if conditions else ()
    walls = {}
    for axis, coordinate in enumerate(problem.coordinates):
        for side in (0, 1):
            for component in (0, 1):
                if (component, axis, side) not in values:
                    place = f"{coordinate} = {problem.bounds[coordinate][side]:g}"
                    field = names[roles.velocity[component]]
                    raise refusal(
                        "conditions", f"nothing gives {field} at {place}", "give both components on all walls"
                    )
            normal, tangential = values[axis, axis, side], values[1 - axis, axis, side]
            along = (symbols[1 - axis],)
            walls[axis, side] = Wall(_function(along, normal), _function(along, tangential))
    return walls


def _wall_value(reading: Reading, roles: Roles, problem: Problem) -> tuple[int, int, int, Expr]:
    """Return which component a condition gives on which wall, and its value there."""
    if any(slot.field == roles.pressure for slot in reading.slots):
        raise refusal(
            reading.name, "a condition on the pressure", "leave it out: the pressure is free up to a constant"
        )
    slots = list(reading.slots.items())
    if len(slots) != 1 or any(slots[0][0].orders) or len(slots[0][0].places) != 1:
        raise refusal(reading.name, "it does not give one component of the velocity on a wall")
    slot, symbol = slots[0]
    ((axis, place),) = slot.places
    low, high = problem.bounds[problem.coordinates[axis]]
    sides = [side for side, end in enumerate((low, high)) if abs(place - end) <= 1e-9 * (high - low)]
    factor = reading.expression.diff(symbol)
    value = -reading.expression.xreplace({symbol: S.Zero}) / factor if factor != 0 else S.NaN
    if not sides or not factor.is_number or not value.free_symbols <= {reading.coordinates[1 - axis]}:
        raise refusal(reading.name, "it does not give a component of the velocity on a wall as a function of the place")
    return roles.velocity.index(slot.field), axis, sides[0], value


def _check_balance(flow: PlaneFlow) -> None:
    net = total = 0.0
    places, shares = np.polynomial.legendre.leggauss(_GAUSS)
    along = (np.arange(_PANELS)[:, None] + (1 + places) / 2) / _PANELS
    for (axis, side), wall in flow.walls.items():
        low, high = flow.bounds[1 - axis]
        parts = (high - low) / (2 * _PANELS) * (wall.normal(low + (high - low) * along) @ shares)
        net += (2 * side - 1) * float(parts.sum())
        total += float(np.abs(parts).sum())
    if abs(net) > _BALANCE * total:
        found = f"a net flux of {net:.3g} through the walls, which no velocity without divergence has"
        raise refusal("conditions", found, "let what flows in flow out")


def _function(symbols: tuple[Symbol, ...], form: Expr) -> Function:
    program = lambdify(symbols, form, "scipy")

    def values(*places: Array) -> Array:
        return np.array(np.broadcast_to(program(*places), np.shape(places[0])), dtype=np.float64)

    return values

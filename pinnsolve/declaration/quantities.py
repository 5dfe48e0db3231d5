"""Quantities: numbers that are wanted of a solution, such as a drag, a flow rate, or a pressure between two points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import sympy.physics.units as physics
from sympy import Add, Expr, MatrixBase, Mul, sympify

from pinnsolve.declaration.measures import (
    NUMBER,
    Unit,
    base_unit,
    dimension_text,
    named_quantities,
    product,
    unit_of,
    without_prefixes,
)
from pinnsolve.declaration.places import check_region
from pinnsolve.declaration.terms import resolve, with_ends_of_integrals
from pinnsolve.declaration.units import Units, read_unit
from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.pieces import Face
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import ProblemError

if TYPE_CHECKING:
    from pinnsolve.problem import Problem


@dataclass(frozen=True)
class Quantity:
    """A number that is wanted of the solution: `Quantity(u.diff(x) * n[0], over=box.face(x, 1))`.

    Args:
        expression: Of fields, their derivatives, coordinates, unknowns and, over a boundary, its outward normal.
        over: The region or boundary that it is integrated over. None: its places are pinned, `p(0, 0) - p(1, 0)`.
        known: The value it is known to have, from a publication or an experiment, to compare with; in a problem with units
            `240*watt`, or a number in the unit of the value.
        unit: That of the value, in a problem with units. None: that of `known`, else what follows from the units of fields and
            coordinates, or SI units where `expression` contains quantities such as `45*watt/meter/kelvin`.

    Example:
        >>> outflow = ps.Quantity(w.diff(x), over=square.face(x, 1), known=0.25)
        >>> drop = ps.Quantity(w(0, 0) - w(1, 0))
    """

    expression: Any
    over: Shape | Boundary | None = None
    known: Any = None
    unit: Any = None


def read_quantities(quantities: Mapping[str, Quantity], problem: Problem) -> Mapping[str, Quantity]:
    """Return the quantities with their derivatives carried out.

    Raises:
        ProblemError: One that cannot mean what was written, with its name.
    """
    if not isinstance(quantities, Mapping):
        remedy = 'write quantities={"drag": ps.Quantity(..., over=body.boundary)}'
        raise ProblemError("quantities", f"{type(quantities).__name__}", remedy)
    return MappingProxyType({str(name): _read(str(name), quantity, problem) for name, quantity in quantities.items()})


def check_integrand(name: str, expression: Any, over: Any, problem: Problem) -> Expr:
    """Return an expression that is to be integrated with its derivatives carried out, as numbers.

    Raises:
        ProblemError: It is not one expression of this problem, or not over one of its regions.
    """
    if not isinstance(over, Shape | Boundary | None):
        raise ProblemError(name, f"over={over!r}", "give a region or a boundary, such as over=disk.boundary")
    read = problem.checked_expression(name, _resolved(name, expression))
    if over is not None:
        check_region(name, over, problem.bounds)
    if read.free_symbols & set(problem.normal) and not isinstance(over, Boundary):
        raise ProblemError(name, "a normal, which only a boundary has", "integrate over a boundary: over=disk.boundary")
    return read


def in_numbers(wanted: Quantity, problem: Problem) -> tuple[Expr, float]:
    """Return an expression of pure numbers and the factor by which its value, or integral, is that of the quantity in its unit."""
    if wanted.unit is None:
        return wanted.expression, 1.0
    measure = _measure("quantities", wanted.over, problem.units)
    pure = wanted.expression / base_unit(wanted.unit.dimension / measure.dimension)
    if not pure.has(physics.Quantity):  # whose numbers are those of its own units
        return pure, 1.0
    return pure, float(measure.factor / wanted.unit.factor)


def _resolved(name: str, expression: Any) -> Expr:
    if isinstance(expression, str | MatrixBase) or not isinstance(sympify(expression), Expr):
        remedy = "write SymPy, such as u.diff(x); of a matrix, one entry at a time"
        raise ProblemError(name, f"{expression!r} is not one expression", remedy)
    return resolve(sympify(expression), name)


def _read(name: str, quantity: Any, problem: Problem) -> Quantity:
    if not isinstance(quantity, Quantity):
        raise ProblemError(name, f"{type(quantity).__name__}", "give a ps.Quantity(expression, over=...)")
    quantity = _with_unit(name, quantity, problem)
    expression = check_integrand(name, in_numbers(quantity, problem)[0], quantity.over, problem)
    covered = () if quantity.over is None else quantity.over.coordinates
    reached = with_ends_of_integrals(expression).free_symbols
    free = [c for c in problem.coordinates if c in reached and c not in covered]
    if free:
        found = f"it depends on {', '.join(map(str, free))}, over which it is not integrated"
        raise ProblemError(name, found, f"pin it, such as .subs({free[0]}, 0), or give a region that has it: over=...")
    if problem.split(expression)[1] != 0:
        raise ProblemError(name, "it is complex", "ask for its real and its imaginary part, or its Abs")
    known = quantity.known
    if known is not None and (not isinstance(sympify(known), Expr) or not _is_number(known)):
        raise ProblemError(name, f"known={known!r}", "give a finite number")
    if quantity.unit is None:
        quantity = replace(quantity, expression=expression)
    return replace(quantity, known=None if known is None else float(known))


def _with_unit(name: str, quantity: Quantity, problem: Problem) -> Quantity:
    """Return a quantity with the unit of its value, in which what is known is a number; without one where it follows from none."""
    known = sympify(quantity.known) if isinstance(quantity.known, Expr) else quantity.known
    told = isinstance(known, Expr) and known.has(physics.Quantity)
    if not problem.units:
        if told or quantity.unit is not None:
            found = f"the unit of {known if told else quantity.unit} in a problem without units"
            raise ProblemError(name, found, "write a number, or units={x: meter, ...}")
        return quantity
    expression = _resolved(name, quantity.expression)
    problem.require_declared(name, expression)
    own = {q: unit_of(q) for q in expression.atoms(physics.Quantity) if named_quantities().get(str(q.name)) != q}
    expression = expression.xreplace({q: unit.factor * base_unit(unit.dimension) for q, unit in own.items()})
    number, written = without_prefixes(known).as_coeff_Mul() if told else (known, quantity.unit)
    unit = read_unit(name, written if quantity.unit is None else quantity.unit) if written is not None else None
    if unit is None:
        unit = _following(name, expression, quantity.over, problem)
        return quantity if unit is None else replace(quantity, expression=expression, unit=unit)
    dimension = _dimension(name, expression, quantity.over, problem)
    for each in (unit, *([read_unit(name, written)] if told else [])):
        if each.dimension != dimension:
            found = f"a value with the dimension {dimension_text(dimension)} in the unit {each.expression}"
            raise ProblemError(name, found, f"write a unit such as {base_unit(dimension)}")
    if told:
        known = number * read_unit(name, written).factor / unit.factor
    return replace(quantity, expression=expression, unit=unit, known=known)


def _following(name: str, expression: Expr, over: Shape | Boundary | None, problem: Problem) -> Unit | None:
    """Return the unit of a value where none was told: that of fields and coordinates, or of SI beside quantities."""
    reader = problem.units.reader(name, problem.declared_fields)
    beside = expression.has(physics.Quantity)
    try:
        dimension = _dimension(name, expression, over, problem)
    except ProblemError:
        if beside:
            raise
        return None  # a number, as where a boundary lies between coordinates of different units
    if beside:
        return product(base_unit(dimension))
    unit = reader.own_unit(Add.make_args(expression)[0]) * _measure(name, over, problem.units).expression
    try:
        found = product(unit)
    except ValueError:  # of a function of fields
        return None
    return found if found.dimension == dimension != NUMBER else None


def _dimension(name: str, expression: Expr, over: Shape | Boundary | None, problem: Problem) -> Expr:
    inner = problem.units.reader(name, problem.declared_fields).read(expression).dimension
    return (NUMBER if inner is None else inner) * _measure(name, over, problem.units).dimension


def _measure(name: str, over: Shape | Boundary | None, units: Units) -> Unit:
    """Return the unit of the length, area or volume that is integrated over.

    Raises:
        ProblemError: A boundary at an angle to coordinates of different units.
    """
    own = {} if over is None else {c: units.symbols.get(c, Unit()) for c in over.coordinates}
    if isinstance(over, Boundary):
        held = {piece.coordinate if isinstance(piece, Face) else None for piece in over.pieces}
        if len(held) > 1 or None in held:
            if len({(unit.factor, unit.dimension) for unit in own.values()}) > 1:
                names = ", ".join(map(str, own))
                raise ProblemError(name, f"a boundary between {names}, of different units", "give them one unit")
            held = {next(iter(own))}
        own = {c: unit for c, unit in own.items() if c not in held}
    parts = list(own.values())
    return Unit(
        Mul(*(u.factor for u in parts)), Mul(*(u.dimension for u in parts)), Mul(*(u.expression for u in parts))
    )


def _is_number(value: Any) -> bool:
    number = sympify(value)
    return bool(isinstance(value, Real | Expr) and number.is_real and math.isfinite(float(number)))

"""Quantities: numbers that are wanted of a solution, such as a drag, a flow rate, or a pressure between two points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import sympy.physics.units as physics
from sympy import Expr, MatrixBase, sympify

from pinnsolve.declaration.places import check_region
from pinnsolve.declaration.terms import resolve, with_ends_of_integrals
from pinnsolve.domains.boundaries import Boundary
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
        known: The value it is known to have, from a publication or an experiment, to compare with.
    """

    expression: Any
    over: Shape | Boundary | None = None
    known: float | None = None


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
    """Return an expression that is to be integrated with its derivatives carried out.

    Raises:
        ProblemError: It is not one expression of this problem, or not over one of its regions.
    """
    if isinstance(expression, str | MatrixBase) or not isinstance(sympify(expression), Expr):
        remedy = "write SymPy, such as u.diff(x); of a matrix, one entry at a time"
        raise ProblemError(name, f"{expression!r} is not one expression", remedy)
    if not isinstance(over, Shape | Boundary | None):
        raise ProblemError(name, f"over={over!r}", "give a region or a boundary, such as over=disk.boundary")
    read = resolve(sympify(expression), name)
    if problem.units and read.has(physics.Quantity):
        found = f"a unit in {read}"
        raise ProblemError(name, found, "write numbers: its value is in the units of its fields and coordinates")
    read = problem.checked_expression(name, read)
    if over is not None:
        check_region(name, over, problem.bounds)
    if read.free_symbols & set(problem.normal) and not isinstance(over, Boundary):
        raise ProblemError(name, "a normal, which only a boundary has", "integrate over a boundary: over=disk.boundary")
    return read


def _read(name: str, quantity: Any, problem: Problem) -> Quantity:
    if not isinstance(quantity, Quantity):
        raise ProblemError(name, f"{type(quantity).__name__}", "give a ps.Quantity(expression, over=...)")
    expression = check_integrand(name, quantity.expression, quantity.over, problem)
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
    return replace(quantity, expression=expression, known=None if known is None else float(known))


def _is_number(value: Any) -> bool:
    number = sympify(value)
    return bool(isinstance(value, Real | Expr) and number.is_real and math.isfinite(float(number)))

"""Terms: what the solution must satisfy, one residual each, and what a residual asks of the fields.

An `Evaluation` is a field, or one of its derivatives, at a place: u(x, 0) has orders (0, 0) at (x, 0), and
`u.diff(x).subs(x, 1)` has orders (1, 0) at (1, t). Reading is exact: an argument is never dropped, so that the two sides of
u(-1, t) = u(1, t) are two evaluations.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import (
    Add,
    Derivative,
    Dummy,
    Eq,
    Expr,
    Float,
    Integer,
    Integral,
    MatrixBase,
    Number,
    Pow,
    Subs,
    Symbol,
    SympifyError,
    nan,
    oo,
    sympify,
    zoo,
)
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom

from pinnsolve.declaration.discontinuities import ADVICE, has_delta, refuse_derivative_of_jump
from pinnsolve.declaration.evaluation import SYMPY_FAILS
from pinnsolve.declaration.functions import check_functions
from pinnsolve.declaration.losses import Loss
from pinnsolve.declaration.measures import without_prefixes
from pinnsolve.domains.regions import Region
from pinnsolve.errors import ProblemError, UnsupportedError

_UNCANCELLED = Float("0.7548776662466927")
"""No coefficient that anybody writes."""

_NOT_FINITE = (oo, -oo, zoo, nan)


@dataclass(frozen=True)
class Evaluation:
    """A derivative of a field at a place.

    Args:
        field: The field's name.
        orders: Order of differentiation for each argument.
        location: Where each argument is held: the coordinate itself, a number, or an expression.
    """

    field: str
    orders: tuple[int, ...]
    location: tuple[Expr, ...]


@dataclass(frozen=True)
class Term:
    """One residual and where it vanishes.

    Args:
        name: Unique in the problem; members of a matrix or list are `name[0]`, `name[1]`.
        group: The name without the index.
        kind: "equation", "condition" or "data".
        residual: A real expression meaning "= 0".
        statement: What the user wrote, for printing.
        free: The coordinates that range, in the domain's order.
        region: Where it holds if not wherever its free coordinates range.
        columns: For data, an array (points,) for each coordinate and for the symbols of measured value and weight.
        misfit: For data, what was measured minus its value, in their units; the residual is a multiple of it.
        held_out: For data, columns like those trained on by the name of the split that holds them out.
        checked: Those held out that decide which state of the training is kept.
        loss: For data, how a residual counts; None for its square.
        deviation: Standard deviation of a residual that is no outlier.
        unit: That of the residual of an equation or a condition, `K/hour`; empty for a pure number.
    """

    name: str
    group: str
    kind: str
    residual: Expr
    statement: Any
    free: tuple[Symbol, ...]
    region: Region | None = None
    columns: Mapping[Symbol, NDArray[np.float64]] = field(default_factory=dict)
    misfit: Expr | None = None
    held_out: Mapping[str, Mapping[Symbol, NDArray[np.float64]]] = field(default_factory=dict)
    checked: Mapping[Symbol, NDArray[np.float64]] = field(default_factory=dict)
    loss: Loss | None = None
    deviation: float = 1.0
    unit: str = ""


@dataclass(frozen=True)
class On:
    """Statements that hold on a region: made by `on`."""

    region: Region
    statements: tuple[Any, ...]


@dataclass(frozen=True)
class Statement:
    """One scalar statement as read: its name, its group, "= 0" as an expression, the text, the region if told, its unit."""

    name: str
    group: str
    expression: Expr
    written: Any
    region: Region | None
    unit: str = ""


def on(region: Region, *statements: Any) -> On:
    """Say where statements hold when the place is not a coordinate plane: `on(box.boundary, Eq(u, 0))`.

    Raises:
        ProblemError: The first argument is not a region, or nothing is stated.

    Example:
        >>> walls = ps.on(square.boundary - square.face(y, 1), Eq(w, 0))
        >>> walls.region.text
        'x = 0 or x = 1 or y = 0'
    """
    if not hasattr(region, "contains") or not hasattr(region, "points"):
        raise ProblemError(
            "on(...)", f"{region!r} is not a region", "write on(region, Eq(u, 0)): the region comes first"
        )
    if not statements:
        raise ProblemError(f"on({region}, ...)", "no statement", "write on(region, Eq(u, 0))")
    return On(region, statements)


def read_statements(declared: Any, word: str) -> list[Statement]:
    """Read equations or conditions: a mapping, a list, or a single one.

    Args:
        declared: What the user gave.
        word: "equation" or "condition", the name of unnamed ones.

    Raises:
        ProblemError: An entry that is not an equation, or that SymPy folded to True, False or a number.
    """
    if declared is None:
        return []
    if isinstance(declared, Mapping):
        groups = dict(declared)
    else:
        several = isinstance(declared, list | tuple | MatrixBase)
        groups = {word: list(declared) if several else [declared]}
    read: list[Statement] = []
    for group, value in groups.items():
        if not isinstance(group, str) or not group.strip():
            raise ProblemError(f"{word}s", f"the name {group!r}", 'name every term by a string: {"initial": Eq(...)}')
        entries = list(_scalars(value, group, None))
        if not entries:
            raise ProblemError(group, "an empty list", "state at least one equation or remove the name")
        indexed = len(entries) > 1 or isinstance(value, list | tuple | MatrixBase)
        for index, (entry, region) in enumerate(entries):
            name = f"{group}[{index}]" if indexed else group
            read.append(Statement(name, group, _as_expression(entry, name), entry, region))
    return read


def refuse_repeated_names(kinds: Sequence[Sequence[Statement]]) -> None:
    """Raise where two terms, of equations, conditions or data, have one name.

    Raises:
        ProblemError: Two have.
    """
    seen: set[str] = set()
    for statements in kinds:
        names = {s.name for s in statements} | {s.group for s in statements}
        for name in sorted(names & seen):
            raise ProblemError(name, "two terms have this name", "give every equation, condition and data its own")
        seen |= names


def resolve(expression: Expr, name: str) -> Expr:
    """Carry out prefixes of units and the derivatives left unevaluated; integrals stay.

    Raises:
        UnsupportedError: A function without a rule, or derivatives that SymPy does not carry out.
        ProblemError: A derivative of a jump.
    """
    expression = without_prefixes(expression)
    check_functions(expression, name)
    for derivative in expression.atoms(Derivative):
        if not isinstance(derivative.expr, AppliedUndef):
            for variable in derivative.variables:
                refuse_derivative_of_jump(derivative.expr, variable)
    try:
        resolved = expression.doit(integrals=False, deep=True) if expression.has(Derivative) else expression
    except SYMPY_FAILS as error:
        found = f"derivatives that SymPy does not carry out ({error})"
        raise UnsupportedError(name, found, "carry them out, and look at what is differentiated") from None
    if has_delta(resolved):
        raise ProblemError(
            name,
            "it contains a Dirac delta, the derivative of a jump, which no point sees",
            ADVICE,
        )
    return resolved


def evaluations(expression: Expr) -> dict[Expr, Evaluation]:
    """Return every maximal sub-expression that is a field or a derivative of one, with its reading.

    Raises:
        UnsupportedError: A derivative that cannot be read, such as one of an integral.
    """
    found: dict[Expr, Evaluation] = {}
    _collect(expression, found)
    return found


def with_ends_of_integrals(expression: Expr) -> Expr:
    """Replace each integral by a sum of all that it reaches: every field at both limits, and every symbol.

    The sum is not the integral; it serves to see places and symbols. Integrands are left out because a weight such as sin(pi s)
    vanishes at the limits, and the coefficients are such that no u(x) outside cancels the u(x) at the end of a Volterra integral.

    Raises:
        UnsupportedError: An integral without limits, over an infinite range, or with a singular integrand.
    """
    while integrals := [i for i in expression.atoms(Integral) if not i.function.has(Integral)]:
        for integral in integrals:
            expression = expression.xreplace({integral: _reach(integral)})
    return expression


def _scalars(value: Any, group: str, region: Region | None) -> Iterator[tuple[Any, Region | None]]:
    if isinstance(value, On):
        for statement in value.statements:
            yield from _scalars(statement, group, value.region)
    elif isinstance(value, list | tuple | MatrixBase):
        for entry in value:
            yield from _scalars(entry, group, region)
    elif isinstance(value, Eq) and (isinstance(value.lhs, MatrixBase) or isinstance(value.rhs, MatrixBase)):
        left, right = value.lhs, value.rhs
        if not (isinstance(left, MatrixBase) and isinstance(right, MatrixBase) and left.shape == right.shape):
            raise ProblemError(group, f"sides of different shapes in {value}", "give both sides the same shape")
        for a, b in zip(left, right, strict=True):
            yield Eq(a, b), region
    else:
        yield value, region


def _as_expression(entry: Any, name: str) -> Expr:
    if isinstance(entry, bool | BooleanAtom):
        raise ProblemError(
            name,
            f"the statement folded to {entry}: both sides are "
            + ("identical" if entry else "different constants, matrices of different shapes, or not finite"),
            "check the two sides; write Eq(a, b), not a == b, and a slope at a wall as u.diff(x).subs(x, 0)",
        )
    if isinstance(entry, Eq):
        if not (isinstance(entry.lhs, Expr) and isinstance(entry.rhs, Expr)):
            raise ProblemError(name, f"a truth value in {entry}", "write Eq(a, b) between two expressions")
        entry = entry.lhs - entry.rhs
    elif isinstance(entry, Relational | Boolean):
        raise UnsupportedError(name, f"{entry} is not an equation", "write an Eq(...), or an expression meaning '= 0'")
    try:
        expression = sympify(entry) if not isinstance(entry, str) else None
    except SympifyError:  # a lambda, say
        expression = None
    if not isinstance(expression, Expr):
        raise ProblemError(
            name, f"{entry!r} is a {type(entry).__name__}", "write Eq(left, right) with SymPy expressions"
        )
    if expression.is_number and not expression.has(AppliedUndef):  # SymPy calls a definite integral of a field a number
        try:
            number = str(expression)
        except ArithmeticError:  # SymPy cannot write a number of more digits than there is memory
            number = "beyond all bounds"
        raise ProblemError(
            name, f"the statement folded to the number {number}", "check the two sides; a field must remain"
        )
    if expression.xreplace({integral: Integer(1) for integral in expression.atoms(Integral)}).has(*_NOT_FINITE):
        raise ProblemError(name, f"a value that is not finite in {entry}", "give finite numbers and functions")
    for number in expression.atoms(Number):
        if number.is_finite and abs(number) > sys.float_info.max:
            digits = str(number.evalf(3))[:40]  # of itself SymPy formats not all of them
            found = f"the number {digits}, larger than a float can be"
            raise ProblemError(name, found, "divide the statement, or measure in larger units")
    return expression


def _is_singular(value: Expr) -> bool:
    """Whether a value is not finite, or may not be: zero to the power of a field."""
    return value.has(*_NOT_FINITE) or any(p.base.is_zero and not p.exp.is_nonnegative for p in value.atoms(Pow))


def _reach(integral: Integral) -> Expr:
    reached = [*evaluations(integral.function), *integral.function.free_symbols]
    for limits in integral.limits:
        if len(limits) != 3:
            raise UnsupportedError(str(integral), "an integral without limits", "write Integral(f, (s, 0, 1))")
        variable, *ends = limits
        if any(end.is_infinite for end in ends):
            raise UnsupportedError(
                str(integral),
                f"the range of {variable} is infinite",
                "carry it out with .doit(), or cut it off where the integrand has decayed",
            )
        integrand = integral.function.xreplace({place: Dummy() for place in evaluations(integral.function)})
        if any(_is_singular(integrand.subs(variable, end)) for end in ends):
            raise UnsupportedError(
                str(integral),
                f"the integrand is singular at an end of the range of {variable}",
                "substitute the singularity away, such as s = x - r**2 for 1/sqrt(x - s)",
            )
        reached = [part.subs(variable, end) for part in reached for end in ends]
    weights = (_UNCANCELLED + k for k in range(len(reached)))
    return Add(*(weight * part for weight, part in zip(weights, reached, strict=True) if not part.is_number))


def _collect(expression: Expr, found: dict[Expr, Evaluation]) -> None:
    if expression in found:
        return
    if isinstance(expression, AppliedUndef | Derivative | Subs):
        found[expression] = _read(expression)
        return
    for argument in expression.args:
        _collect(argument, found)


def _read(expression: Expr) -> Evaluation:
    if isinstance(expression, AppliedUndef):
        for argument in expression.args:
            if argument.has(AppliedUndef):
                raise UnsupportedError(
                    str(expression),
                    "a field inside the argument of a field",
                    "evaluate fields at coordinates or numbers",
                )
        return Evaluation(expression.func.__name__, (0,) * len(expression.args), tuple(expression.args))
    if isinstance(expression, Derivative) and isinstance(expression.expr, AppliedUndef):
        arguments = expression.expr.args
        orders = [0] * len(arguments)
        for variable, count in expression.variable_count:
            if variable in arguments and count.is_Integer:
                orders[arguments.index(variable)] += int(count)
            else:
                raise UnsupportedError(
                    str(expression),
                    f"a derivative with respect to {variable}, {count} times",
                    "differentiate by coordinates",
                )
        return Evaluation(expression.expr.func.__name__, tuple(orders), tuple(arguments))
    if isinstance(expression, Subs) and isinstance(expression.expr, Derivative | AppliedUndef):
        inner = _read(expression.expr)
        place = dict(zip(expression.variables, expression.point, strict=True))
        return Evaluation(inner.field, inner.orders, tuple(entry.xreplace(place) for entry in inner.location))
    raise UnsupportedError(
        str(expression), "a derivative of something that is not a field", "carry it out first with .doit()"
    )

"""Units: those of coordinates, fields and unknowns, and statements with quantities turned into statements of numbers in them.

A statement is read in SI units: a coordinate c stands for c times its unit [c], a field f for f [f], a derivative of orders n for
the same derivative times [f] / prod [c]^n. It is then divided by one number. Where a field, a derivative, or a product of these
stands without a coefficient other than a number, that is its unit, so that it stands there as before; of several the largest.
Elsewhere it is a power of ten, so that the largest coefficient has one digit before the point.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from sympy import Add, Derivative, Dummy, Expr, Integer, Integral, Pow, Rational, Subs, Symbol, SympifyError, sympify
from sympy.core.function import AppliedUndef, UndefinedFunction
from sympy.physics.units import Quantity

from pinnsolve.declaration.dimensions import Reader
from pinnsolve.declaration.measures import NUMBER, NoScaleError, Unit, base_unit, product, rounded, unit_text
from pinnsolve.declaration.slots import nearest
from pinnsolve.declaration.terms import evaluations
from pinnsolve.errors import ProblemError

Bounds = Mapping[Symbol, tuple[float, float]]


@dataclass(frozen=True)
class Units:
    """The units of what has one.

    Args:
        given: By coordinate, unknown, and field applied to its coordinates.
    """

    given: Mapping[Expr, Unit] = field(default_factory=lambda: MappingProxyType({}))

    def __bool__(self) -> bool:
        return bool(self.given)

    @cached_property
    def symbols(self) -> Mapping[Symbol, Unit]:
        """The units of coordinates and unknowns."""
        return {key: unit for key, unit in self.given.items() if isinstance(key, Symbol)}

    @cached_property
    def fields(self) -> Mapping[str, Unit]:
        """The units of fields, by name."""
        return {key.func.__name__: unit for key, unit in self.given.items() if isinstance(key, AppliedUndef)}

    @property
    def texts(self) -> dict[str, str]:
        """What is written behind numbers, by the names of coordinates, fields and unknowns, `{"x": "mm"}`."""
        return {
            str(getattr(key.func, "__name__", key)) if key.args else str(key): u.text for key, u in self.given.items()
        }

    def suffix(self, name: str) -> str:
        """Return what is written behind a number, " mm", or nothing."""
        text = self.texts.get(name, "")
        return f" {text}" if text else ""

    def in_quantities(self, expression: Expr, unit: Expr) -> Expr:
        """Return an expression of numbers in the units of coordinates, times a unit, as a statement would be written."""
        return expression.xreplace({c: c / u.expression for c, u in self.symbols.items()}) * unit

    def without(self, symbols: Iterable[Symbol]) -> Units:
        """Return the units of all but some unknowns."""
        left_out = set(symbols)
        return Units({owner: unit for owner, unit in self.given.items() if owner not in left_out})

    def reader(self, term: str, fields: Sequence[AppliedUndef]) -> Reader:
        """Return what reads the expressions of a term."""
        slots = {f.func.__name__: f.args for f in fields}
        return Reader(term, self.symbols, self.fields, slots)


@dataclass(frozen=True)
class Converted:
    """A statement in numbers.

    Args:
        expression: In the units of coordinates, fields and unknowns.
        unit: What it was divided by, as a quantity.
    """

    expression: Expr
    unit: Expr

    @property
    def text(self) -> str:
        """The unit as it stands behind a number, `K/hour` or `10^6 kg/(m s^3)`."""
        number, unit = self.unit.as_coeff_Mul()
        ten = "" if number == 1 else f"10^{round(math.log10(number))} "
        return f"{ten}{unit_text(unit)}".rstrip()


def read_units(
    given: Any, coordinates: Sequence[Symbol], unknowns: Mapping[Symbol, float], fields: Sequence[AppliedUndef]
) -> Units:
    """Return the units of a problem.

    Args:
        given: What the user gave, or the units of a problem that is declared anew.
        coordinates: Those of the domain.
        unknowns: The unknown parameters.
        fields: As declared.

    Raises:
        ProblemError: A unit of something that the problem does not have, or one that is none.
    """
    entries = given.given if isinstance(given, Units) else given
    if not isinstance(entries, Mapping):
        raise ProblemError("units", f"{given!r} is not a mapping", "write units={x: millimeter, T: kelvin}")
    owners: dict[Any, Expr] = {s: s for s in (*coordinates, *unknowns)}
    owners |= {f: f for f in fields} | {f.func: f for f in fields}
    names = {str(owner): owner for owner in owners.values()}
    read: dict[Expr, Unit] = {}
    for key, value in entries.items():
        owner = owners.get(key) if isinstance(key, Expr | UndefinedFunction) else None
        if owner is None:
            if str(key) in names:
                found = f"{key} is not that of the problem, but a {type(key).__name__} of the same name"
                raise ProblemError("units", found, "declare it once, and use it everywhere")
            remedy = f"the problem has {', '.join(names)}"
            raise ProblemError("units", f"{key} is not in the problem", remedy + nearest(str(key), names))
        read[owner] = read_unit(f"units, {key}", value)
    return Units(MappingProxyType(read))


def refuse_quantities(name: str, expression: Expr) -> None:
    """Raise where an expression of a problem without units contains a quantity."""
    if expression.has(Quantity):
        found = f"{_quantities(expression)} in a problem without units"
        remedy = "write units={x: meter, ...} with the unit of every coordinate, field and unknown that has one"
        raise ProblemError(name, found, remedy)


def in_numbers(
    name: str,
    expression: Expr,
    units: Units,
    fields: Sequence[AppliedUndef],
    *,
    sizes: Mapping[Symbol, float],
    normals: Mapping[Symbol, Symbol],
) -> Converted:
    """Return a statement in numbers.

    Args:
        name: Of the term.
        expression: What vanishes.
        units: Of the problem.
        fields: As declared.
        sizes: How large coordinates and unknowns are, in their units.
        normals: The coordinate of each component of the normal.

    Raises:
        ProblemError: Dimensions that do not go together.
    """
    if not units:
        refuse_quantities(name, expression)
        return Converted(expression, NUMBER)
    reader = units.reader(name, fields)
    _refuse_uneven_normal(name, expression, units, normals)
    parts = Add.make_args(expression)
    amounts = [reader.read(part) for part in parts]
    dimension = reader.require_alike(parts, amounts)
    values = [amount.value for amount in amounts]
    divisor, unit = _divisor(parts, values, sizes, reader)
    expression = rounded(Add(*(value / divisor for value in values)))
    return Converted(
        expression, divisor * base_unit(NUMBER if dimension is None else dimension) if unit is None else unit
    )


def field_in_numbers(
    name: str, field: AppliedUndef, expression: Expr, units: Units, fields: Sequence[AppliedUndef]
) -> Expr:
    """Return what a field is, a closed form or an ansatz, as numbers in the field's unit.

    Raises:
        ProblemError: It has another dimension than the field.
    """
    if not units:
        refuse_quantities(name, expression)
        return expression
    reader, parts = units.reader(name, fields), Add.make_args(expression)
    amounts = [reader.read(part) for part in (field, *parts)]
    reader.require_alike((field, *parts), amounts)
    own = units.fields.get(field.func.__name__, Unit())
    return rounded(Add(*(amount.value / own.factor for amount in amounts[1:])))


def measured_in_numbers(name: str, expression: Expr, units: Units, fields: Sequence[AppliedUndef]) -> Expr:
    """Return a measured or evaluated expression, whose numbers are in the product of the units of what it contains.

    One with quantities is a pure number: `k*T.diff(x)/(watt/meter**2)`.

    Raises:
        ProblemError: Dimensions that do not go together, summands in different units, or quantities that leave a dimension.
    """
    if not units:
        refuse_quantities(name, expression)
        return expression
    reader = units.reader(name, fields)
    amount = reader.read(expression)
    if expression.has(Quantity):
        if amount.dimension not in (NUMBER, None):
            unit = reader.in_words(amount.dimension)
            found = f"{_quantities(expression)} in what has no unit of its own"
            raise ProblemError(name, found, f"divide by the unit that its values are in, such as {unit}")
        return rounded(amount.value)
    plain = expression.xreplace({f: Rational(str(f)) for f in expression.atoms() if f.is_Float})
    plain, value = plain.expand(), reader.read(plain).value.expand()
    first = Add.make_args(plain)[0]
    ratio = reader.read(first).value.expand().as_coeff_Mul()[0] / first.as_coeff_Mul()[0]
    if (value - (ratio * plain).expand()).expand() != 0:
        found = f"{expression} adds values in different units"
        raise ProblemError(name, found, "declare its coordinates and fields in like units, or measure each part")
    return expression


def read_unit(name: str, value: Any) -> Unit:
    """Return a unit as the user wrote it.

    Raises:
        ProblemError: It is none.
    """
    if isinstance(value, Unit):
        return value
    try:
        expression = None if isinstance(value, str | bool) else sympify(value)
        if not isinstance(expression, Expr):
            raise ValueError("no expression")
        return product(expression)
    except NoScaleError as error:
        remedy = "use units of sympy.physics.units, or its set_global_relative_scale_factor(...)"
        raise ProblemError(name, str(error), remedy) from None
    except (ValueError, TypeError, SympifyError):
        remedy = "write a product of units of sympy.physics.units, such as meter**2/second"
        raise ProblemError(name, f"{value!r} is not a unit", remedy) from None


def _divisor(
    parts: Sequence[Expr], values: Sequence[Expr], sizes: Mapping[Symbol, float], reader: Reader
) -> tuple[Expr, Expr | None]:
    """Return the number by which a statement in SI units is divided, and the unit that it is if that of fields."""
    plain: list[tuple[Expr, Expr, Expr]] = []
    for part, value in zip(parts, values, strict=True):
        number, rest = part.as_coeff_Mul()
        if rest.has(AppliedUndef) and _is_of_fields(rest):
            factor = value.as_coeff_Mul()[0] / number
            plain.append((abs(value.as_coeff_Mul()[0]), factor, rest))
    if plain:
        _, factor, rest = max(plain, key=lambda entry: float(entry[0]))
        return factor, reader.own_unit(rest)
    found = [_magnitude(value, sizes) for value in values if value.has(AppliedUndef)]
    largest = max((size for size in found if 0 < size < math.inf), default=1.0)
    return Integer(10) ** math.floor(math.log10(largest)), None


def _is_of_fields(expression: Expr) -> bool:
    """Whether an expression is a field, a derivative of one, or a product of powers of these."""
    if expression.is_Mul:
        return all(map(_is_of_fields, expression.args))
    if isinstance(expression, Pow):
        return expression.exp.is_number and _is_of_fields(expression.base)
    return isinstance(expression, AppliedUndef | Derivative | Subs)


def _magnitude(value: Expr, sizes: Mapping[Symbol, float]) -> float:
    """Return the size of a part of a statement where fields, and all that is of unknown size, are 1."""
    value = value.xreplace({integral: integral.function for integral in value.atoms(Integral)})
    value = value.xreplace({place: Dummy() for place in evaluations(value)})
    try:
        return abs(complex(value.subs({s: sizes.get(s, 1.0) for s in value.free_symbols}).evalf()))
    except (TypeError, ValueError, ArithmeticError):
        return 0.0


def _refuse_uneven_normal(name: str, expression: Expr, units: Units, normals: Mapping[Symbol, Symbol]) -> None:
    """Raise where a normal is that of a picture with one unit across and another up, which is not that of the region."""
    own = {units.symbols.get(c, Unit()).factor: c for n, c in normals.items() if n in expression.free_symbols}
    if len(own) > 1:
        names = " and ".join(map(str, own.values()))
        raise ProblemError(name, f"a normal between {names}, which have different units", "give them one unit")


def _quantities(expression: Expr) -> str:
    return ", ".join(sorted(map(str, expression.atoms(Quantity))))

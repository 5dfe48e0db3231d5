"""Dimensions: an expression with quantities read as one of pure numbers in SI units, with its dimension.

What is added, equated, compared or branched between has one dimension, which 0 always has; arguments of functions and exponents
are pure numbers. A number in the slot of a coordinate, or as the end of an integral over one, is in that coordinate's unit, as its
range is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sympy import (
    Abs,
    Add,
    Derivative,
    Expr,
    Heaviside,
    Integral,
    Max,
    Min,
    Mod,
    Mul,
    Piecewise,
    Pow,
    Subs,
    Symbol,
    atan2,
    conjugate,
    im,
    nsimplify,
    re,
    sign,
)
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean
from sympy.physics.units import Quantity

from pinnsolve.declaration.measures import (
    NUMBER,
    NoScaleError,
    Unit,
    base_unit,
    dimension_text,
    rounded,
    unit_of,
)
from pinnsolve.declaration.terms import Evaluation, evaluations
from pinnsolve.errors import ProblemError, UnsupportedError

_PLAIN = Unit()
_UNKNOWN = Unit(dimension=Symbol("unknown", positive=True))
"""Stands for a unit that was not given, while it is asked what it would have to be."""

_KEEP = (Abs, re, im, conjugate)
"""Functions whose value has the dimension of what they are of, and is as many times larger."""

_ALIKE = (Max, Min, Mod)
"""Functions of several arguments of one dimension, which their value has."""

_SIGNS = (sign, Heaviside)
"""Functions of the sign of what has any dimension."""


@dataclass(frozen=True)
class Amount:
    """A part of a statement as read.

    Args:
        value: In SI units, as an expression of pure numbers.
        dimension: A product of powers of symbols; None for 0, which has any.
    """

    value: Expr
    dimension: Expr | None


@dataclass(frozen=True)
class Reader:
    """Reads the expressions of one term.

    Args:
        term: Its name, for messages.
        symbols: Units of coordinates and unknowns that have one.
        fields: Units of fields that have one, by name.
        slots: The coordinates of every field, by name.
        bound: Units of variables of integration.
    """

    term: str
    symbols: Mapping[Symbol, Unit]
    fields: Mapping[str, Unit]
    slots: Mapping[str, tuple[Symbol, ...]]
    bound: Mapping[Symbol, Unit] = field(default_factory=dict)

    def read(self, expression: Expr) -> Amount:
        """Return an expression in SI units.

        Raises:
            ProblemError: Dimensions that do not go together, or a quantity whose size is not known.
        """
        if expression.is_zero and expression.is_Number:
            return Amount(expression, None)
        if isinstance(expression, Quantity):
            unit = self._unit(expression)
            return Amount(unit.factor, unit.dimension)
        if isinstance(expression, Symbol):
            unit = self._unit_of_symbol(expression)
            return Amount(expression * unit.factor, unit.dimension)
        if isinstance(expression, AppliedUndef | Derivative | Subs):
            return self._field(expression)
        if isinstance(expression, Integral):
            return self._integral(expression)
        if not expression.free_symbols and not expression.has(Quantity, AppliedUndef):
            return Amount(expression, NUMBER)
        if isinstance(expression, Add):
            amounts = [self.read(part) for part in expression.args]
            dimension = self.require_alike(expression.args, amounts)
            return Amount(Add(*(amount.value for amount in amounts)), dimension)
        if isinstance(expression, Mul):
            return self._product([self.read(part) for part in expression.args])
        if isinstance(expression, Pow):
            return self._power(expression)
        if isinstance(expression, Piecewise):
            return self._branches(expression)
        return self._function(expression)

    def place(self, argument: Expr, coordinate: Symbol) -> Expr:
        """Return what stands in the slot of a coordinate as a number of its units."""
        if argument in self.symbols and argument not in self.bound:
            return argument  # its own coordinate, or one in the wrong slot, which is refused elsewhere
        return self._in_unit(argument, self.symbols.get(coordinate, _PLAIN), f"in the slot of {coordinate}")

    def require_alike(self, parts: Sequence[Expr], amounts: Sequence[Amount]) -> Expr | None:
        """Return the dimension that all parts have.

        Raises:
            ProblemError: They have several.
        """
        told = [(p, a.dimension) for p, a in zip(parts, amounts, strict=True) if a.dimension is not None]
        if not told:
            return None
        standard, dimension = min(told, key=lambda pair: _doubt(pair[0]))
        for part, other in told:
            if other != dimension:
                raise self._unlike(_unsigned(part), other, _unsigned(standard), dimension)
        return dimension

    def own_unit(self, expression: Expr) -> Expr:
        """Return the unit of a product of powers of fields, their derivatives and symbols; 1 for anything else."""
        if isinstance(expression, Mul):
            return Mul(*map(self.own_unit, expression.args))
        if isinstance(expression, Pow) and expression.exp.is_Rational:
            return Pow(self.own_unit(expression.base), expression.exp)
        if isinstance(expression, Symbol):
            return self._unit_of_symbol(expression).expression
        if not isinstance(expression, AppliedUndef | Derivative | Subs):
            return NUMBER
        (reading,) = evaluations(expression).values()
        along = zip(self.slots[reading.field], reading.orders, strict=True)
        by = Mul(*(self.symbols.get(c, _PLAIN).expression ** order for c, order in along))
        return self.fields.get(reading.field, _PLAIN).expression / by

    def in_words(self, dimension: Expr) -> str:
        """Return a unit of a dimension as it is written: the user's own if there is one, else that of SI."""
        own = [*self.fields.values(), *self.symbols.values()]
        return str(next((u.expression for u in own if u.dimension == dimension), base_unit(dimension)))

    def _in_unit(self, argument: Expr, unit: Unit, where: str) -> Expr:
        if _is_bare(argument):
            return argument
        total = []
        for part in Add.make_args(argument):
            amount = Amount(part * unit.factor, unit.dimension) if _is_bare(part) else self.read(part)
            if amount.dimension not in (unit.dimension, None):
                found = f"{part} has {_having(amount.dimension)} {where}, which has {_having(unit.dimension)}"
                wanted = self.in_words(unit.dimension)
                raise ProblemError(self.term, found, f"write a number, or a multiple of {wanted}")
            total.append(amount.value / unit.factor)
        return rounded(Add(*total))

    def _unit(self, quantity: Quantity) -> Unit:
        try:
            return unit_of(quantity)
        except NoScaleError:
            found = f"the quantity {quantity.name} has no scale factor"
            remedy = f"say how large it is: {quantity.name}.set_global_relative_scale_factor(5, meter)"
            raise ProblemError(self.term, found, remedy) from None

    def _unit_of_symbol(self, symbol: Symbol) -> Unit:
        return self.bound.get(symbol) or self.symbols.get(symbol, _PLAIN)

    def _field(self, expression: Expr) -> Amount:
        (reading,) = evaluations(expression).values()
        unit = self.fields.get(reading.field, _PLAIN)
        factor, dimension = unit.factor, unit.dimension
        for coordinate, order in zip(self.slots[reading.field], reading.orders, strict=True):
            own = self.symbols.get(coordinate, _PLAIN)
            factor, dimension = factor / own.factor**order, dimension / own.dimension**order
        return Amount(self._placed(expression, reading) * factor, dimension)

    def _placed(self, expression: Expr, reading: Evaluation) -> Expr:
        """Return a field or a derivative of one at a place told in numbers."""
        slots = self.slots[reading.field]
        if isinstance(expression, AppliedUndef):
            return expression.func(*(self.place(a, c) for a, c in zip(expression.args, slots, strict=True)))
        if isinstance(expression, Subs):
            (inner,) = evaluations(expression.expr).values()
            of = {a: c for a, c in zip(inner.location, slots, strict=True) if a.is_Symbol}
            point = (
                self.place(p, of[v]) if v in of else p
                for v, p in zip(expression.variables, expression.point, strict=True)
            )
            return Subs(expression.expr, expression.variables, tuple(point))
        return expression

    def _integral(self, expression: Integral) -> Amount:
        reader, limits = self, []
        factor, dimension = NUMBER, NUMBER
        for variable, *ends in reversed(expression.limits):  # the outermost is the last
            unit, named = reader._unit_of_variable(variable, expression.function, ends)
            if named:
                ends = [reader._in_unit(end, unit, f"as an end of the range of {variable}") for end in ends]
            else:
                amounts = [reader.read(end) for end in ends]
                reader.require_alike(ends, amounts)
                ends = [rounded(amount.value) for amount in amounts]
            factor, dimension = factor * unit.factor, dimension * unit.dimension
            limits.append((variable, *ends))
            reader = replace(reader, bound={**reader.bound, variable: unit})
        inner = reader.read(expression.function)
        if inner.dimension is None:
            return inner
        number, rest = inner.value.as_coeff_Mul()
        return Amount(Integral(rest, *reversed(limits)) * number * factor, inner.dimension * dimension)

    def _unit_of_variable(self, variable: Symbol, integrand: Expr, ends: Sequence[Expr]) -> tuple[Unit, bool]:
        """Return the unit of a variable of integration, that of a slot or end it stands in, and whether there was one."""
        for applied in sorted(integrand.atoms(AppliedUndef), key=str):
            for argument, coordinate in zip(applied.args, self.slots[applied.func.__name__], strict=True):
                if variable in argument.free_symbols:
                    return self.symbols.get(coordinate, _PLAIN), True
        if variable in self.symbols:
            return self.symbols[variable], True
        known = [self._unit_of_symbol(s) for end in ends for s in sorted(end.free_symbols, key=str)]
        if known:
            return known[0], True
        dimensions = [amount.dimension for amount in map(self.read, ends) if amount.dimension is not None]
        return Unit(dimension=dimensions[0] if dimensions else NUMBER), False

    @staticmethod
    def _product(amounts: Sequence[Amount]) -> Amount:
        dimensions = [amount.dimension for amount in amounts]
        value = Mul(*(amount.value for amount in amounts))
        return Amount(value, None if None in dimensions else Mul(*dimensions))

    def _power(self, expression: Pow) -> Amount:
        base, exponent = self.read(expression.base), self.read(expression.exp)
        self._require_number(expression.exp, exponent, f"the exponent of {expression.base}")
        if base.dimension in (NUMBER, None):
            return Amount(Pow(base.value, exponent.value), base.dimension)
        if not exponent.value.is_number:
            found = f"{expression.base} has {_having(base.dimension)}, and the exponent {expression.exp} varies"
            remedy = f"divide the base by {self.in_words(base.dimension)}, so that it is a number"
            raise ProblemError(self.term, found, remedy)
        power = nsimplify(exponent.value, rational=True)
        return Amount(Pow(base.value, exponent.value), base.dimension**power)

    def _branches(self, expression: Piecewise) -> Amount:
        values = [value for value, _ in expression.args]
        amounts = [self.read(value) for value in values]
        dimension = self.require_alike(values, amounts)
        pairs = [(a.value, self._condition(c)) for a, (_, c) in zip(amounts, expression.args, strict=True)]
        return Amount(Piecewise(*pairs), dimension)

    def _condition(self, condition: Boolean) -> Boolean:
        if isinstance(condition, Relational):
            sides = [condition.lhs, condition.rhs]
            amounts = [self.read(side) for side in sides]
            self.require_alike(sides, amounts)
            scale = _content(amounts[0].value) if sides[0].free_symbols else _content(amounts[1].value)
            return condition.func(*(amount.value / scale for amount in amounts))
        return condition.func(*map(self._condition, condition.args)) if condition.args else condition

    def _function(self, expression: Expr) -> Amount:
        arguments = list(expression.args)
        if not arguments or not all(isinstance(argument, Expr) for argument in arguments):
            found = f"{type(expression).__name__} beside quantities"
            raise UnsupportedError(self.term, found, "write the statement in pure numbers, without units")
        amounts = [self.read(argument) for argument in arguments]
        if isinstance(expression, _SIGNS):
            first, *rest = (amount.value for amount in amounts)
            return Amount(expression.func(first / _content(first), *rest), NUMBER)
        value = expression.func(*(amount.value for amount in amounts))
        if isinstance(expression, _KEEP):
            return Amount(value, amounts[0].dimension)
        if isinstance(expression, (*_ALIKE, atan2)):
            dimension = self.require_alike(arguments, amounts)
            return Amount(value, NUMBER if isinstance(expression, atan2) else dimension)
        for argument, amount in zip(arguments, amounts, strict=True):
            self._require_number(argument, amount, f"the argument of {type(expression).__name__}")
        return Amount(value, NUMBER)

    def _require_number(self, expression: Expr, amount: Amount, what: str) -> None:
        if amount.dimension not in (NUMBER, None):
            found = f"{expression}, {what}, has {_having(amount.dimension)}"
            remedy = f"divide it by a {dimension_text(amount.dimension)}, such as {self.in_words(amount.dimension)}"
            raise self._with_missing(found, remedy, expression, NUMBER)

    def _unlike(self, part: Expr, other: Expr, standard: Expr, dimension: Expr) -> ProblemError:
        if _is_bare(part):
            found = f"{part} is a bare number where {standard} has {_having(dimension)}"
            return ProblemError(self.term, found, f"write {part}*{self.in_words(dimension)}")
        found = f"{part} has {_having(other)} where {standard} has {_having(dimension)}"
        lacking = dimension / other
        remedy = f"multiply {part} by a {dimension_text(lacking)}, such as {base_unit(lacking)}"
        return self._with_missing(found, remedy, part, standard)

    def _with_missing(self, found: str, remedy: str, part: Expr, standard: Expr) -> ProblemError:
        """Return the error of two parts of unlike dimensions, first of all with the unit of theirs that was not given."""
        missing: dict[str, Expr] = {}
        for name in sorted(f.func.__name__ for f in (part + standard).atoms(AppliedUndef)):
            if name not in self.fields:
                missing[name] = replace(self, fields={**self.fields, name: _UNKNOWN})._wanted(part, standard)
        for symbol in sorted((part + standard).free_symbols, key=str):
            if self._unit_of_symbol(symbol) is _PLAIN and symbol.name.isidentifier():  # no component of a normal
                missing[symbol.name] = replace(self, symbols={**self.symbols, symbol: _UNKNOWN})._wanted(part, standard)
        told = {name: base_unit(dimension) for name, dimension in missing.items() if dimension != 1}
        if told:
            found += f"; {' and '.join(told)} {'has' if len(told) == 1 else 'have'} no unit"
            given = " or ".join(f"units={{..., {name}: {unit}}}" for name, unit in told.items())
            remedy = f"write {given}, or {remedy}"
        return ProblemError(self.term, found, remedy)

    def _wanted(self, part: Expr, standard: Expr) -> Expr:
        """Return the dimension by which an unknown one makes two parts alike; 1 where none does."""
        try:
            ratio = (self.read(part).dimension or NUMBER) / (self.read(standard).dimension or NUMBER)
        except ProblemError:  # what is inside a function no longer is a number
            return NUMBER
        power = ratio.as_powers_dict()[_UNKNOWN.dimension]
        return (_UNKNOWN.dimension**power / ratio) ** (1 / power) if power else NUMBER


def _content(expression: Expr) -> Expr:
    """Return the positive number that all summands share: x / 1000 - 1 / 200 changes sign where x - 5 does, to the last bit."""
    return abs(expression.primitive()[0]) or NUMBER


def _is_bare(expression: Expr) -> bool:
    return not expression.free_symbols and not expression.has(Quantity, AppliedUndef)


def _doubt(expression: Expr) -> tuple[int, int]:
    """Return how little a part tells of the dimension that was meant: a field the most, a bare number nothing."""
    alone = expression.as_coeff_Mul()[1]
    if isinstance(alone, AppliedUndef | Derivative | Subs):
        return 0, sum(next(iter(evaluations(alone).values())).orders)
    return (1 if expression.has(AppliedUndef) else 3 if _is_bare(expression) else 2), 0


def _unsigned(expression: Expr) -> Expr:
    return -expression if expression.could_extract_minus_sign() else expression


def _having(dimension: Expr) -> str:
    return dimension_text(dimension) if dimension == 1 else f"the dimension {dimension_text(dimension)}"

"""Measures: the units and constants of `sympy.physics.units` by name, each with its factor to SI units and its dimension.

A dimension is a product of powers of positive symbols, `temperature/time`, and 1 for a pure number. SymPy counts masses in grams;
here the base units are m, kg, s, K, A, mol and cd.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import sympy.physics.units as library
from sympy import Expr, Float, Integer, Mul, Pow, Rational, Symbol, pi, sstr
from sympy.physics.units import Quantity, UnitSystem
from sympy.physics.units.prefixes import Prefix
from sympy.physics.units.systems import SI

_BASES = {
    "length": library.meter,
    "mass": library.kilogram,
    "time": library.second,
    "temperature": library.kelvin,
    "current": library.ampere,
    "amount": library.mole,
    "luminous_intensity": library.candela,
    "information": library.bit,
}
_SYMBOLS = {name: Symbol(name, positive=True) for name in _BASES}

_CORRECTED = {
    "radian": Integer(1),
    "steradian": Integer(1),
    "angular_mil": 2 * pi / 6400,
    "josephson_constant": 2 * library.elementary_charge / library.planck,
    "faraday_constant": library.elementary_charge * library.avogadro_constant,
}
"""Of which SymPy (1.14) has no size or another, the reciprocal for K_J, or another dimension, such as C mol for C/mol."""

_SYMPYS_NAMES = {"amount_of_substance": "amount"}
_GRAMS = 1000

_LARGEST, _LONGEST = 2**53, 10**6
"""Whole numbers up to the first are floats as well; numerators and denominators up to the second are read at a glance."""

_HIGHEST = 1_000
"""Numerator and denominator of a power in a stored dimension."""

NUMBER = Integer(1)
"""The dimension of a pure number."""


class NoScaleError(ValueError):
    """A quantity of which nobody has said how large it is."""


@dataclass(frozen=True)
class Unit:
    """A unit, or the product of several.

    Args:
        factor: How many SI units it is, an exact number: quotients of two are exact, too.
        dimension: A product of powers of symbols, 1 for a pure number.
        expression: As it was written.
    """

    factor: Expr = NUMBER
    dimension: Expr = NUMBER
    expression: Expr = NUMBER

    @property
    def text(self) -> str:
        """What is written behind a number, `m^2/s`; nothing for a pure number that is 1."""
        return unit_text(self.expression)


def unit_text(expression: Expr) -> str:
    """Return a product of units as it is read, `W/(K m)`; nothing for 1."""
    return "" if expression == 1 else str(sstr(expression, abbrev=True)).replace("**", "^").replace("*", " ")


@cache
def named_quantities() -> Mapping[str, Quantity | Prefix]:
    """Return every quantity and prefix of `sympy.physics.units` by its own name."""
    found = [value for value in vars(library).values() if isinstance(value, Quantity | Prefix)]
    return {str(quantity.name): quantity for quantity in found}


def unit_of(quantity: Quantity) -> Unit:
    """Return factor and dimension of a quantity.

    Raises:
        NoScaleError: One of the user's own that is related to no other.
    """
    name = str(quantity.name)
    return _named(name) if named_quantities().get(name) == quantity else _own(quantity)


def product(expression: Expr) -> Unit:
    """Return the unit that a product of powers of quantities and positive numbers is.

    Raises:
        ValueError: It is something else.
        NoScaleError: It contains a quantity without a scale.
    """
    factor, dimension = Integer(1), Integer(1)
    for part in Mul.make_args(without_prefixes(expression)):
        base, power = part.as_base_exp() if isinstance(part, Pow) else (part, Integer(1))
        if isinstance(base, Quantity) and power.is_Rational:
            unit = unit_of(base)
            factor, dimension = factor * unit.factor**power, dimension * unit.dimension**power
        elif isinstance(base, Mul) and power.is_Rational:
            unit = product(base)
            factor, dimension = factor * unit.factor**power, dimension * unit.dimension**power
        elif part.is_number and part.is_positive and part.is_finite:
            factor *= part
        else:
            raise ValueError(f"{part} is no unit")
    return Unit(exact(factor), dimension, expression)


def base_unit(dimension: Expr) -> Expr:
    """Return the product of SI units of a dimension, `kelvin/second`."""
    return dimension.xreplace({symbol: _BASES[name] for name, symbol in _SYMBOLS.items()})


def dimension_text(dimension: Expr) -> str:
    """Return a dimension as it is read, `length^2/time`."""
    return "no dimension" if dimension == 1 else sstr(dimension).replace("**", "^")


def powers_of(dimension: Expr) -> dict[str, list[int]]:
    """Return a dimension as plain data: numerator and denominator of the power of every base."""
    powers = dimension.as_powers_dict()
    return {name: [int(powers[s].p), int(powers[s].q)] for name, s in _SYMBOLS.items() if s in powers}


def dimension_of(powers: Mapping[str, Sequence[int]]) -> Expr:
    """Return the dimension that `powers_of` wrote.

    Raises:
        ValueError: A base that there is not, or a power that no unit has.
    """
    for name, (p, q) in powers.items():
        if name not in _SYMBOLS or not (type(p) is type(q) is int and abs(p) <= _HIGHEST and 0 < q <= _HIGHEST):
            raise ValueError(f"the power {p!r} / {q!r} of {name[:40]!r} in a dimension")
    return Mul(*(_SYMBOLS[name] ** Rational(p, q) for name, (p, q) in powers.items()))


def without_prefixes(expression: Expr) -> Expr:
    """Return an expression with numbers for the prefixes in it: `210*giga*pascal` keeps one, where `giga*pascal` does not."""
    return expression.xreplace({prefix: prefix.scale_factor for prefix in expression.atoms(Prefix)})


def exact(number: Expr) -> Expr:
    """Return a number as a fraction, of its 53 bits where it is none: what is multiplied and divided by it is as it was."""
    return number if number.is_Rational else Rational(float(number))


def rounded(expression: Expr) -> Expr:
    """Return an expression whose fractions are floats where they are longer than these."""
    long = {
        r: Float(float(r))
        for r in expression.atoms(Rational)
        if max(abs(r.p), r.q) > (_LARGEST if r.is_Integer else _LONGEST)
    }
    return expression.xreplace(long) if long else expression


@cache
def _named(name: str) -> Unit:
    quantity = named_quantities()[name]
    if name in _CORRECTED:
        whole = product(_CORRECTED[name])
        return Unit(whole.factor, whole.dimension, quantity)
    dimension, factor = Integer(1), quantity.scale_factor
    for base, power in SI.get_dimension_system().get_dimensional_dependencies(quantity.dimension).items():
        known = str(base.name)
        dimension *= _SYMBOLS[_SYMPYS_NAMES.get(known, known)] ** power
        factor /= _GRAMS**power if known == "mass" else 1
    return Unit(exact(factor), dimension, quantity)


def _own(quantity: Quantity) -> Unit:
    """Return the unit of a quantity that `set_global_relative_scale_factor` relates to another."""
    related = UnitSystem._quantity_scale_factors_global.get(quantity)
    if related is None:
        raise NoScaleError(f"{quantity.name} has no scale factor")
    factor, reference = related
    whole = product(factor * reference)
    return Unit(whole.factor, whole.dimension, quantity)

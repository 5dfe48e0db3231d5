"""Complex equations, split into real and imaginary ones.

A field h of a complex equation becomes h_re + i h_im with two real fields; every statement that contains it becomes its real
and its imaginary part. Coordinates, unknowns and fields declared `real=True` are real.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sympy import (
    Abs,
    Add,
    Basic,
    Derivative,
    Dummy,
    Expr,
    I,
    Integer,
    Integral,
    Mul,
    Piecewise,
    Pow,
    Subs,
    atan2,
    conjugate,
    cos,
    exp,
    im,
    log,
    re,
    sin,
    sqrt,
)
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import evaluations
from pinnsolve.errors import UnsupportedError
from pinnsolve.operators import fields


@dataclass(frozen=True)
class Parts:
    """The real and the imaginary field of a complex one, in the same slots."""

    whole: AppliedUndef
    real: AppliedUndef
    imaginary: AppliedUndef


def find_complex_fields(expressions: Iterable[Expr], declared: Sequence[AppliedUndef]) -> dict[str, Parts]:
    """Return the parts of each field that shares an expression with i, a conjugate, or another complex field."""
    listed = list(expressions)
    candidates = {f.func.__name__ for f in declared if f.is_real is not True}
    present = [{a.func.__name__ for a in e.atoms(AppliedUndef)} & candidates for e in listed]
    marked: set[str] = set()
    for expression, names in zip(listed, present, strict=True):
        if expression.has(I) or any(part.has(AppliedUndef) for part in expression.atoms(conjugate, re, im)):
            marked |= names
    while True:
        linked = set().union(*(names for names in present if names & marked))
        if linked <= marked:
            break
        marked |= linked
    return {f.func.__name__: _parts(f) for f in declared if f.func.__name__ in marked}


def split(expression: Expr, parts: Mapping[str, Parts]) -> tuple[Expr, Expr]:
    """Return the real and the imaginary part of an expression, both real expressions of the real fields.

    Raises:
        UnsupportedError: A function of a complex argument whose parts SymPy does not know.
    """
    if not parts and not expression.has(I):
        return expression, Integer(0)
    known: dict[Basic, tuple[Expr, Expr]] = {I: (Integer(0), Integer(1))}
    for place, reading in evaluations(expression).items():
        if reading.field in parts:
            field = parts[reading.field]
            real, imaginary = (place.replace(field.whole.func, part.func) for part in (field.real, field.imaginary))
            known[place] = (real, imaginary)
    return _split(expression, known)


def as_real(expression: Any) -> Any:
    """Drop re and conjugate, and put 0 for im, of what is real."""
    for function, value in ((conjugate, lambda z: z), (re, lambda z: z), (im, lambda z: Integer(0))):
        expression = expression.replace(function, value) if expression.has(function) else expression
    return expression


def _split(expression: Any, known: Mapping[Basic, tuple[Expr, Expr]]) -> tuple[Any, Any]:
    """Split by the rules of complex arithmetic; what contains nothing complex is real and stays as it was written.

    SymPy's own `as_real_imag` would have to allow for a coordinate being complex, and turns sqrt(x) into an arctangent.
    """
    if expression in known:
        return known[expression]
    if not expression.has(*known) or isinstance(expression, AppliedUndef | Derivative | Subs):
        return as_real(expression), Integer(0)
    if isinstance(expression, Integral):
        real, imaginary = _split(expression.function, known)
        return Integral(real, *expression.limits), imaginary and Integral(imaginary, *expression.limits)
    if isinstance(expression, Piecewise):
        for _, condition in expression.args:
            if condition.has(*known):
                raise UnsupportedError(str(condition), "a condition on something complex", "declare two real fields")
        values = [(_split(value, known), condition) for value, condition in expression.args]
        both = [Piecewise(*((value[k], condition) for value, condition in values)) for k in (0, 1)]
        return both[0], both[1]
    split_arguments = [_split(argument, known) for argument in expression.args]
    if isinstance(expression, Add):
        return Add(*(a for a, _ in split_arguments)), Add(*(b for _, b in split_arguments))
    (a, b), *others = split_arguments
    if isinstance(expression, Mul):
        for c, d in others:
            a, b = a * c - b * d, a * d + b * c
        return a, b
    if isinstance(expression, conjugate | re | im | Abs):
        rules = {conjugate: (a, -b), re: (a, Integer(0)), im: (b, Integer(0)), Abs: (_modulus(a, b), Integer(0))}
        return rules[type(expression)]
    if all(imaginary == 0 for _, imaginary in split_arguments):
        return expression.func(*(real for real, _ in split_arguments)), Integer(0)
    if isinstance(expression, Pow) and expression.exp.is_Integer:
        c, d = a, b
        for _ in range(abs(int(expression.exp)) - 1):
            c, d = a * c - b * d, a * d + b * c
        return (c, d) if expression.exp > 0 else (c / (c**2 + d**2), -d / (c**2 + d**2))
    if isinstance(expression, log):
        return log(_modulus(a, b)), atan2(b, a)
    if isinstance(expression, Pow):  # z^w = exp(w log z), the principal branch
        (c, d), size, angle = others[0], log(_modulus(a, b)), atan2(b, a)
        radius, phase = exp(c * size - d * angle), c * angle + d * size
        return radius * cos(phase), radius * sin(phase)
    return _by_sympy(expression, split_arguments)


def _by_sympy(expression: Expr, arguments: Sequence[tuple[Expr, Expr]]) -> tuple[Expr, Expr]:
    """Split an elementary function of a + ib, such as exp, with a and b opaque and real."""
    stand_ins = [(Dummy(real=True), Dummy(real=True) if b != 0 else Integer(0)) for _, b in arguments]
    real, imaginary = expression.func(*(a + I * b for a, b in stand_ins)).as_real_imag()
    if real.has(re, im, I) or imaginary.has(re, im, I):
        raise UnsupportedError(
            str(expression),
            f"the real and imaginary part of {type(expression).__name__}",
            "write it by exp, powers, Abs and conjugate",
        )
    values = {d: v for pair, value in zip(stand_ins, arguments, strict=True) for d, v in zip(pair, value, strict=True)}
    return real.xreplace(values), imaginary.xreplace(values)


def _modulus(a: Expr, b: Expr) -> Expr:
    return Abs(a) if b == 0 else sqrt(a**2 + b**2)


def _parts(field: AppliedUndef) -> Parts:
    name = field.func.__name__
    return Parts(field, fields(f"{name}_re", *field.args), fields(f"{name}_im", *field.args))

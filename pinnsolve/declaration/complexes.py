"""Complex equations, split into real and imaginary ones.

A field h of a complex equation becomes h_re + i h_im with two real fields; every statement that contains it becomes its real
and its imaginary part. Coordinates, unknowns and fields declared `real=True` are real.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sympy import Dummy, Expr, I, Symbol, conjugate, im, re
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import evaluations
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
    """Return the real and the imaginary part of an expression, both real expressions of the real fields."""
    if not parts and not expression.has(I):
        return expression, expression * 0
    forward: dict[Expr, Expr] = {}
    back: dict[Expr, Expr] = {}
    for place, reading in evaluations(expression).items():
        if reading.field in parts:
            whole = parts[reading.field]
            a, b = Dummy(real=True), Dummy(real=True)
            forward[place] = a + I * b
            back[a] = place.replace(whole.whole.func, whole.real.func)
            back[b] = place.replace(whole.whole.func, whole.imaginary.func)
        else:
            back_symbol = Dummy(real=True)
            forward[place], back[back_symbol] = back_symbol, place
    opened = expression.xreplace(forward)
    for symbol in opened.free_symbols - set(back):
        stand_in = _real_symbol(symbol)
        opened, back[stand_in] = opened.xreplace({symbol: stand_in}), symbol
    real, imaginary = opened.as_real_imag()
    return real.xreplace(back), imaginary.xreplace(back)


def _parts(field: AppliedUndef) -> Parts:
    name = field.func.__name__
    return Parts(field, fields(f"{name}_re", *field.args), fields(f"{name}_im", *field.args))


def _real_symbol(symbol: Symbol) -> Dummy:
    return Dummy(symbol.name, **{**symbol._assumptions_orig, "real": True, "complex": True})

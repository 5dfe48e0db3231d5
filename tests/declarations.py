"""Symbols, fields and the heat equation as declared rightly, from which the tests of declarations start."""

from __future__ import annotations

from typing import Any

from sympy import (
    Eq,
    Symbol,
    pi,
    sin,
    symbols,
)

from pinnsolve.domains.regions import Box
from pinnsolve.operators import fields

x, y, z, t, s, nu = symbols("x y z t s nu")
u = fields("u", x, t)
v = fields("v", x, t)
w = fields("w", x, y)
f = fields("f", x)
STRIP = Box({x: (0, 1), t: (0, 1)})
SQUARE = Box({x: (0, 1), y: (0, 1)})
TWIN = Symbol("x", real=True)


def heat(equation: Any = None, *, without: str = "", domain: Any = STRIP, **conditions: Any) -> dict[str, Any]:
    """The heat equation as declared rightly, with some of it changed."""
    right = {"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)}
    kept = {name: statement for name, statement in (right | conditions).items() if name not in without.split()}
    return {
        "domain": domain,
        "equations": {"heat": Eq(u.diff(t), u.diff(x, 2)) if equation is None else equation},
        "conditions": kept,
    }


def pinned(field: Any, *places: tuple[Any, int, float], value: Any = 0) -> list[Any]:
    """Conditions of derivatives of some order at some values of a coordinate."""
    return [Eq(field.diff(c, order).subs(c, at) if order else field.subs(c, at), value) for c, order, at in places]

"""Mistakes are caught where they are written, and unusual declarations that are right are not refused.

Every wrong declaration is answered with an error of the stated class whose message names the term, what was found and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
from sympy import (
    Abs, Derivative, DiracDelta, Eq, Function, Heaviside, I, Integral, Matrix, Max, Piecewise, Rational, Symbol, conjugate, cos, exp,
    log, nan, oo, pi, sech, sin, sqrt, symbols,
)  # fmt: skip

from pinnsolve.compiler.compile import compile_problem
from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.terms import on
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.errors import DataError, ProblemError, UnsupportedError
from pinnsolve.operators import advect, div, fields, grad, laplacian
from pinnsolve.problem import Problem

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


def observed(at: Any, values: Any, **more: Any) -> dict[str, Any]:
    return heat() | {"data": {"sensors": Observations(at=at, values=values, **more)}}


Mistake = tuple[Callable[[], dict[str, Any]], type[ProblemError], tuple[str, ...]]

MISTAKES: dict[str, Mistake] = {
    # symbols and fields
    "an unknown symbol, with the nearest name": (
        lambda: heat(Eq(u.diff(t), Symbol("nuu") * u.diff(x, 2))) | {"unknowns": {nu: 1}},
        ProblemError,
        ("heat", "nuu", "not declared", "unknowns", "nu was meant"),
    ),
    "an unknown symbol in a condition": (
        lambda: heat(initial=Eq(u(x, 0), sin(Symbol("k") * x))),
        ProblemError,
        ("initial", "symbol k", "domain"),
    ),
    "two symbols of one name": (
        lambda: heat(initial=Eq(u(x, 0), sin(pi * TWIN))),
        ProblemError,
        ("initial", "two symbols named x", "real=True", "declare the symbol once"),
    ),
    "a second symbol of one name as an argument": (
        lambda: heat(initial=Eq(u(TWIN, 0), 0)),
        ProblemError,
        ("initial", "two symbols named x"),
    ),
    "a field that no equation has": (
        lambda: heat(left=Eq(Function("uu")(0, t), 0)),
        ProblemError,
        ("left", "uu appears in no equation", "u was meant"),
    ),
    "two fields of one name": (
        lambda: heat(left=Eq(Function("u", real=True)(0, t), 0)),
        ProblemError,
        ("left", "two fields named u", "declare the field once"),
    ),
    "a field with an argument too few": (
        lambda: heat(left=Eq(Function("u")(t), 0)),
        ProblemError,
        ("left", "u(t) has 1 arguments", "u(x, t)"),
    ),
    "no field at all": (lambda: heat(Eq(x, t)), ProblemError, ("initial", "u appears in no equation", "no field")),
    "a condition without a field": (lambda: heat(left=Eq(sin(t), t)), ProblemError, ("left", "no field", "sin(t)")),
    # slots
    "coordinates in the wrong slots": (
        lambda: heat(initial=Eq(u(0, x), 0)),
        ProblemError,
        ("initial", "u(0, x) puts x in the slot of t", "u(x, t)"),
    ),
    "coordinates swapped": (
        lambda: heat(initial=Eq(u(t, 0), 0)),
        ProblemError,
        ("initial", "u(t, 0) puts t in the slot of x"),
    ),
    "two orders of arguments in the equations": (
        lambda: heat(Function("u")(x, t).diff(t) - Function("u")(t, x).diff(x, 2)),
        ProblemError,
        ("heat", "keep one order of arguments"),
    ),
    "a value outside the range": (
        lambda: heat(left=Eq(u(-1, t), 0)),
        ProblemError,
        ("left", "x = -1", "(0, 1)", "stay inside"),
    ),
    "a reflection that leaves the domain": (
        lambda: heat(even=Eq(u(-x, t), u(x, t))),
        ProblemError,
        ("even", "u(-x, t)", "x = -"),
    ),
    "an expression that leaves the domain in its middle": (
        lambda: heat(odd=Eq(u(5 * x * (1 - x), t), 0)),
        ProblemError,
        ("odd", "x = 1.25"),
    ),
    "a complex place": (lambda: heat(left=Eq(u(I, t), 0)), ProblemError, ("left", "I", "outside its range")),
    "a place that is infinite at an end": (
        lambda: heat(left=Eq(u(1 / (2 * x + 1) + 1 / x, t), 0)),
        ProblemError,
        ("left", "outside its range"),
    ),
    "a place that depends on an unknown": (
        lambda: heat(left=Eq(u(nu, t), 0)) | {"unknowns": {nu: 0.5}},
        ProblemError,
        ("left", "u(nu, t) depends on nu", "coordinates and numbers"),
    ),
    "a field in the argument of a field": (
        lambda: heat(Eq(u.diff(t), u(u, t))),
        UnsupportedError,
        ("a field inside the argument", "coordinates or numbers"),
    ),
    "a value that varies where the coordinate is pinned": (
        lambda: heat(left=Eq(u(0, t), sin(x))),
        ProblemError,
        ("left", "contains x, on which no field in it depends", "pin"),
    ),
    "a parameter that no field in the equation reads": (
        lambda: heat(Eq(u.diff(t), nu * u.diff(x, 2)), domain=STRIP * Interval(nu, 1, 2)),
        ProblemError,
        ("heat", "contains nu", "one of its arguments"),
    ),
    # where a statement holds
    "a condition that would hold everywhere": (
        lambda: heat(left=Eq(u, 0)),
        ProblemError,
        ("left", "hold everywhere", "t = 0", "ps.on("),
    ),
    "a condition everywhere on a field of fewer coordinates": (
        lambda: {
            "domain": STRIP,
            "equations": [Eq(u.diff(t), f * u.diff(x, 2)), Eq(f.diff(x), 0)],
            "conditions": {"law": Eq(f, 1), "rest": [u(x, 0), u(0, t), u(1, t)]},
        },
        ProblemError,
        ("law", "hold everywhere"),
    ),
    "an equation that is a condition": (
        lambda: (
            heat() | {"equations": {"heat": Eq(u.diff(t), u.diff(x, 2)), "start": Eq(u(x, 0), 0)}, "conditions": {}}
        ),
        ProblemError,
        ("start", "pinned", "move it to conditions"),
    ),
    "`on` with its arguments exchanged": (
        lambda: heat(left=on(Eq(u, 0), STRIP)),  # type: ignore[arg-type]
        ProblemError,
        ("on(...)", "is not a region", "the region comes first"),
    ),
    "`on` without a statement": (lambda: heat(left=on(STRIP.face(x, 0))), ProblemError, ("no statement", "Eq(u, 0)")),
    "a region of other coordinates": (
        lambda: heat(left=on(Interval(y, 0, 1), Eq(u(0, t), 0))),
        ProblemError,
        ("left", "coordinate y"),
    ),
    "a region that leaves the domain": (
        lambda: heat(left=on(Interval(t, 0, 3), Eq(u(0, t), 0))),
        ProblemError,
        ("left", "t from 0 to 3", "inside the domain"),
    ),
    "a normal away from a boundary": (
        lambda: heat(left=Eq(STRIP.normal[0] * u(0, t), 0)),
        ProblemError,
        ("left", "n[x]", "not declared"),
    ),
    # what SymPy folds
    "a statement folded to True": (lambda: heat(left=Eq(u(0, t), u(0, t))), ProblemError, ("left", "folded to True")),
    "a Python comparison": (lambda: heat(left=u(0, t) == 0), ProblemError, ("left", "folded to False", "Eq(")),
    "an entry of a matrix that is 0": (
        lambda: heat(Matrix([u.diff(t) - u.diff(x, 2), u - u])),
        ProblemError,
        ("heat[1]", "folded to the number 0"),
    ),
    "an entry of a matrix that is True": (
        lambda: heat(Eq(Matrix([u.diff(t), v]), Matrix([u.diff(x, 2), v]), evaluate=False)),
        ProblemError,
        ("heat[1]", "folded to True"),
    ),
    "a matrix equal to a number": (lambda: heat(Eq(Matrix([u]), 0)), ProblemError, ("heat", "folded to False")),
    "sides of different shapes": (
        lambda: heat(Eq(Matrix([u, v]), Matrix([[u, v]]), evaluate=False)),
        ProblemError,
        ("heat", "different shapes", "same shape"),
    ),
    "an inequality": (lambda: heat(left=u(0, t) >= 0), UnsupportedError, ("left", "not an equation", "Eq(")),
    "a string": (lambda: heat("u_t = u_xx"), ProblemError, ("heat", "is a str", "Eq(left, right)")),
    "an empty list": (lambda: heat(left=[]), ProblemError, ("left", "empty list")),
    "an empty name": (lambda: heat(**{" ": Eq(u(0, t), 0)}), ProblemError, ("conditions", "name")),
    "no equations": (lambda: heat() | {"equations": {}}, ProblemError, ("equations", "none", "at least one")),
    # names
    "a name used twice": (lambda: heat(heat=Eq(u(0.5, t), 0)), ProblemError, ("heat", "two terms have this name")),
    "a list and a single term of one name": (
        lambda: heat([Eq(u.diff(t), u.diff(x, 2))], heat=Eq(u(0.5, t), 0)),
        ProblemError,
        ("heat", "two terms have this name"),
    ),
    "data named like a condition": (
        lambda: heat() | {"data": {"left": Observations(at={x: [0.5], t: [0.5]}, values={u: [1]})}},
        ProblemError,
        ("left", "two terms have this name"),
    ),
    # counts
    "a missing condition": (
        lambda: heat(without="right"),
        ProblemError,
        ("conditions in x", "need 2", "found 1", "left at x = 0", "Eq(u(1, t), ...)"),
    ),
    "a missing initial condition": (
        lambda: heat(without="initial"),
        ProblemError,
        ("conditions in t", "need 1", "found 0", "Eq(u(x, 0), ...)", "observations"),
    ),
    "one condition written twice": (
        lambda: heat(again=Eq(u(0, t), 0), without="right"),
        ProblemError,
        ("conditions in x", "need 2", "found 1"),
    ),
    "half of a face": (
        lambda: heat(right=on(Interval(t, 0, 0.4), Eq(u(1, t), 0))),
        ProblemError,
        ("conditions in x", "need 2", "found 1.4"),
    ),
    "a surplus condition in time": (
        lambda: heat(slope=Eq(u.diff(t).subs(t, 0), 0)),
        ProblemError,
        ("initial, slope", "2 conditions in t", "bear 1", "remove 1"),
    ),
    "a surplus condition at an end": (
        lambda: heat(slope=Eq(u.diff(x).subs(x, 0), 0)),
        ProblemError,
        ("left, right, slope", "3 conditions in x", "bear 2"),
    ),
    "a condition for a coordinate that is not differentiated": (
        lambda: heat(Eq(u.diff(t), -u), without="right"),
        ProblemError,
        ("left", "1 conditions in x", "bear 0"),
    ),
    "too many equations": (
        lambda: {"domain": STRIP, "equations": {"a": u.diff(t) - u, "b": u.diff(t) + u}, "conditions": u(x, 0)},
        ProblemError,
        ("a, b", "2 equations for 1 fields (u)", "remove an equation"),
    ),
    "too few equations": (
        lambda: {"domain": STRIP, "equations": Eq(u.diff(t), v.diff(x)), "conditions": u(x, 0)},
        ProblemError,
        ("equations", "1 for 2 fields (u, v)", "observations"),
    ),
    # corners and data
    "contradictory corners": (
        lambda: heat(initial=Eq(u(x, 0), cos(pi * x))),
        ProblemError,
        ("initial, left", "t = 0, x = 0", "u = 1", "the second 0", "leave the corner out"),
    ),
    "the lid of a cavity": (
        lambda: {
            "domain": SQUARE,
            "equations": laplacian(w, x, y),
            "conditions": {
                "lid": on(SQUARE.face(y, 1), Eq(w, 1)),
                "walls": on(SQUARE.boundary - SQUARE.face(y, 1), w),
            },
        },
        ProblemError,
        ("lid, walls", "y = 1", "w = 1"),
    ),
    "two values on one plane": (
        lambda: {"domain": Interval(x, 0, 1), "equations": f.diff(x, 2), "conditions": [f(0), Eq(f(0), 1)]},
        ProblemError,
        ("condition[0], condition[1]", "x = 0", "f = 0", "the second 1"),
    ),
    "an infinite value": (lambda: heat(left=Eq(u(0, t), oo)), ProblemError, ("left", "not finite")),
    "a value that is not a number": (lambda: heat(left=u(0, t) + nan), ProblemError, ("left", "nan")),
    "an initial value that is complex by accident": (
        lambda: heat(initial=Eq(u(x, 0), log(x - 2))),
        ProblemError,
        ("initial", "log(x - 2) is not a finite real number", "x = "),
    ),
    # jumps
    "a Dirac delta": (
        lambda: heat(Eq(u.diff(t), u.diff(x, 2) + DiracDelta(x - Rational(1, 2)))),
        ProblemError,
        ("heat", "Dirac delta", "flux"),
    ),
    "the derivative of a conductivity that jumps": (
        lambda: heat(Eq(u.diff(t), (Piecewise((1, x < 0.5), (2, True)) * u.diff(x)).diff(x))),
        ProblemError,
        ("heat", "jumps along x", "make the flux a field"),
    ),
    "the divergence of a flux that jumps": (
        lambda: heat(Eq(u.diff(t), div([Heaviside(x - Rational(1, 2)) * u.diff(x)], x))),
        ProblemError,
        ("jumps along x", "make the flux a field"),
    ),
    "an unevaluated derivative of a jump": (
        lambda: heat(Eq(u.diff(t), Derivative(Heaviside(x - Rational(1, 2)) * u.diff(x), x))),
        ProblemError,
        ("jumps along x", "flux"),
    ),
    # integrals
    "an integral without limits": (
        lambda: heat(Eq(u.diff(t), u.diff(x, 2) + Integral(u, x))),
        UnsupportedError,
        ("Integral(u(x, t), x)", "without limits", "(s, 0, 1)"),
    ),
    "an integral over an infinite range": (
        lambda: heat(Eq(u.diff(t), u.diff(x, 2) + Integral(exp(-(s**2)), (s, -oo, oo)))),
        UnsupportedError,
        ("infinite", ".doit()"),
    ),
    "a singular kernel": (
        lambda: {"domain": Interval(x, 0, 1), "equations": Eq(f, Integral(f(s) / sqrt(x - s), (s, 0, x)))},
        UnsupportedError,
        ("singular at an end", "substitute"),
    ),
    # unknowns
    "an unknown that appears nowhere": (
        lambda: heat() | {"unknowns": {nu: 1}},
        ProblemError,
        ("unknowns, nu", "appears in no", "remove it"),
    ),
    "an unknown that is a coordinate": (
        lambda: heat() | {"unknowns": {x: 1}},
        ProblemError,
        ("unknowns, x", "also a coordinate"),
    ),
    "an unknown named like a coordinate": (
        lambda: heat(Eq(u.diff(t), TWIN * u.diff(x, 2))) | {"unknowns": {TWIN: 1}},
        ProblemError,
        ("unknowns, x", "also a coordinate"),
    ),
    "a positive unknown that starts at zero": (
        lambda: heat() | {"unknowns": {Symbol("k", positive=True): 0}},
        ProblemError,
        ("unknowns, k", "positive", "start from a positive value"),
    ),
    "an integer unknown": (
        lambda: heat() | {"unknowns": {Symbol("k", integer=True): 1}},
        UnsupportedError,
        ("unknowns, k", "real"),
    ),
    "unknowns as a list": (
        lambda: heat() | {"unknowns": [nu]},
        ProblemError,
        ("unknowns", "not a mapping", "{nu: 0.01}"),
    ),
    "unknowns by strings": (lambda: heat() | {"unknowns": {"nu": 1}}, ProblemError, ("'nu' is not a symbol",)),
    **{
        f"the initial value {value!r}": (
            lambda value=value: heat(Eq(u.diff(t), nu * u.diff(x, 2))) | {"unknowns": {nu: value}},
            ProblemError,
            ("unknowns, nu", "initial value", "finite number"),
        )
        for value in (None, "1", 1j, [1.0], float("nan"), oo, True, x)
    },
    # domains
    "a dictionary for a domain": (lambda: heat(domain={x: (0, 1)}), ProblemError, ("domain", "ps.Box(")),
    "a boundary for a domain": (lambda: heat(domain=STRIP.boundary), ProblemError, ("domain", "not a region")),
    # ansatz
    "an ansatz for a symbol": (
        lambda: heat() | {"ansatz": {Symbol("u"): u * x}},
        ProblemError,
        ("ansatz", "key u is not a field", "u(x, t)"),
    ),
    "an ansatz without its field": (
        lambda: heat() | {"ansatz": {u: x * t}},
        ProblemError,
        ("ansatz of u", "no field", "stands for the network"),
    ),
    "an ansatz with another place": (
        lambda: heat() | {"ansatz": {u: x * u(x, 0)}},
        ProblemError,
        ("ansatz of u", "u(x, 0)"),
    ),
    "an ansatz with an undeclared symbol": (
        lambda: heat() | {"ansatz": {u: Symbol("k") * u}},
        ProblemError,
        ("ansatz of u", "symbol k"),
    ),
    "an ansatz that is no mapping": (lambda: heat() | {"ansatz": x * u}, ProblemError, ("ansatz", "not a mapping")),
    # observations
    "observations outside the domain": (
        lambda: observed({x: [0.5, 7], t: [0.1, 0.2]}, {u: [1, 1]}),
        DataError,
        ("sensors", "row 2", "x = 7", "enlarge the domain"),
    ),
    "observations outside the domain of a pinned field": (
        lambda: observed({x: [0.5, -2]}, {u(x, 0): [1, 1]}),
        DataError,
        ("sensors", "row 2", "x = -2"),
    ),
    "observations without a coordinate": (
        lambda: observed({x: [0.5]}, {u: [1]}),
        DataError,
        ("sensors", "no values of the coordinate t", "at={t: ...}"),
    ),
    "observations at a symbol that is no coordinate": (
        lambda: observed({x: [0.5], t: [0.5], z: [1]}, {u: [1]}),
        DataError,
        ("sensors", "z in `at` is not a coordinate", "x, t"),
    ),
    "observations at a twin of a coordinate": (
        lambda: observed({TWIN: [0.5], t: [0.5]}, {u: [1]}),
        DataError,
        ("sensors", "another symbol of this name", "declared once"),
    ),
    "observations of no field": (
        lambda: observed({x: [0.5], t: [0.5]}, {x * t: [1]}),
        DataError,
        ("sensors", "no field in the key t*x", "u(x, t)"),
    ),
    "observations of an undeclared field": (
        lambda: observed({x: [0.5], t: [0.5]}, {v: [1]}),
        ProblemError,
        ("sensors", "v appears in no equation"),
    ),
    "complex observations of a real field": (
        lambda: observed({x: [0.5], t: [0.5]}, {u: [1 + 2j]}),
        DataError,
        ("sensors", "complex values for u(x, t), which is real"),
    ),
    "arrays in place of observations": (
        lambda: heat() | {"data": {"sensors": np.zeros(3)}},
        ProblemError,
        ("sensors", "ndarray", "ps.Observations("),
    ),
    "a list of observations": (lambda: heat() | {"data": []}, ProblemError, ("data", "list")),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_with_the_term_what_was_found_and_the_remedy(name: str):
    declare, error, pieces = MISTAKES[name]
    with pytest.raises(ProblemError) as caught:
        Problem(**declare())
    assert type(caught.value) is error
    message = str(caught.value)
    assert message == f"{caught.value.term} · {caught.value.found} · {caught.value.remedy}"
    assert caught.value.remedy
    for piece in pieces:
        assert piece in message, f"{piece!r} is missing in: {message}"


def test_the_errors_carry_the_exit_codes_of_the_command_line():
    assert (ProblemError.exit_code, UnsupportedError.exit_code, DataError.exit_code) == (3, 3, 4)
    assert issubclass(DataError, ProblemError)
    assert issubclass(ProblemError, ValueError)


def test_a_function_without_a_rule_is_refused_by_the_compiler_with_the_name_of_the_term():
    problem = Problem(**heat(Eq(u.diff(t), u.diff(x, 2) + sympy.besselj(0, x))))
    with pytest.raises(UnsupportedError, match=r"heat · the function besselj"):
        compile_problem(problem)


def kovasznay(pressure: str) -> dict[str, Any]:
    a, b, p = fields("u v p", x, y)
    box = Box({x: (-0.5, 1), y: (-0.5, 1.5)})
    velocity = Matrix([a, b])
    conditions: dict[str, Any] = {"wall": on(box.boundary, Eq(a, exp(x) * cos(y)), Eq(b, -exp(x) * sin(y)))}
    if pressure == "whole boundary":
        conditions["pressure"] = on(box.boundary, Eq(p, x * y))
    if pressure == "point":
        conditions["pressure"] = Eq(p(0, 0), 0)
    return {
        "domain": box,
        "equations": {
            "momentum": advect(velocity, velocity, x, y) + grad(p, x, y) - laplacian(velocity, x, y) / 40,
            "mass": div(velocity, x, y),
        },
        "conditions": conditions,
    }


def channel(*, steady: bool, stress: bool) -> dict[str, Any]:
    coordinates = (x, y) if steady else (x, y, t)
    a, b, p = fields("u v p", *coordinates)
    velocity, inside = Matrix([a, b]), {x: (0, 4), y: (0, 1)}
    inertia = advect(velocity, velocity, x, y) + (0 * velocity if steady else velocity.diff(t))
    outlet = [(a.diff(x) / 100 - p).subs(x, 4)] if stress else [a.diff(x).subs(x, 4), p.subs(x, 4)]
    conditions = {
        "walls": [field.subs(y, k) for field in (a, b) for k in (0, 1)],
        "inlet": [Eq(a.subs(x, 0), y * (1 - y) * (1 if steady else t)), b.subs(x, 0)],
        "outlet": [*outlet, b.diff(x).subs(x, 4)],
    }
    if not steady:
        conditions["start"] = [a.subs(t, 0), b.subs(t, 0)]
    return {
        "domain": Box(inside if steady else {**inside, t: (0, 1)}),
        "equations": {
            "momentum": inertia + grad(p, x, y) - laplacian(velocity, x, y) / 100,
            "mass": div(velocity, x, y),
        },
        "conditions": conditions,
    }


def elasticity(*, mixed: bool) -> dict[str, Any]:
    a, b = fields("a b", x, y)
    clamped = {"clamped": on(SQUARE.face(x, 0), a, b)}
    if mixed:
        p, q, r = fields("sxx syy sxy", x, y)
        laws = [p - 3 * a.diff(x) - b.diff(y), q - 3 * b.diff(y) - a.diff(x), r - a.diff(y) - b.diff(x)]
        free = [p(1, y), r(1, y), *(stress(x, k) for stress in (q, r) for k in (0, 1))]
        balance = [p.diff(x) + r.diff(y), r.diff(x) + q.diff(y) + 1]
        return {
            "domain": SQUARE,
            "equations": {"balance": balance, "law": laws},
            "conditions": clamped | {"free": free},
        }
    displacement = Matrix([a, b])
    gradient = displacement.jacobian([x, y])
    stress = gradient + gradient.T + div(displacement, x, y) * sympy.eye(2)
    return {
        "domain": SQUARE,
        "equations": {"balance": [div(stress.row(k), x, y) + k for k in (0, 1)]},
        "conditions": clamped | {"traction": on(SQUARE.boundary - SQUARE.face(x, 0), *(stress * SQUARE.normal))},
    }


def poisson_as_a_first_order_system() -> dict[str, Any]:
    potential, p, q = fields("phi p q", x, y)
    return {
        "domain": SQUARE,
        "equations": {"law": Eq(Matrix([p, q]), grad(potential, x, y)), "balance": Eq(div([p, q], x, y), -1)},
        "conditions": {"wall": on(SQUARE.boundary, potential)},
    }


def pinned(field: Any, *places: tuple[Any, int, float], value: Any = 0) -> list[Any]:
    """Conditions of derivatives of some order at some values of a coordinate."""
    return [Eq(field.diff(c, order).subs(c, at) if order else field.subs(c, at), value) for c, order, at in places]


RIGHT: dict[str, Callable[[], dict[str, Any]]] = {
    "Korteweg-de Vries with one condition left and two right": lambda: {
        "domain": STRIP,
        "equations": u.diff(t) + 6 * u * u.diff(x) + u.diff(x, 3),
        "conditions": pinned(u, (t, 0, 0), (x, 0, 0), (x, 0, 1), (x, 1, 1)),
    },
    "pressure on the whole boundary": lambda: kovasznay("whole boundary"),
    "pressure at one point": lambda: kovasznay("point"),
    "pressure nowhere": lambda: kovasznay("nowhere"),
    "steady flow with a pressure outlet": lambda: channel(steady=True, stress=False),
    "steady flow with a stress-free outlet": lambda: channel(steady=True, stress=True),
    "unsteady flow with a pressure outlet": lambda: channel(steady=False, stress=False),
    "unsteady flow with a stress-free outlet": lambda: channel(steady=False, stress=True),
    "linear elasticity with traction-free walls": lambda: elasticity(mixed=False),
    "linear elasticity with stresses as fields": lambda: elasticity(mixed=True),
    "Poisson as a first-order system": poisson_as_a_first_order_system,
    "wave equation": lambda: {
        "domain": STRIP,
        "equations": u.diff(t, 2) - u.diff(x, 2),
        "conditions": pinned(u, (t, 0, 0), (t, 1, 0), (x, 0, 0), (x, 0, 1)),
    },
    "wave equation as a first-order system": lambda: {
        "domain": STRIP,
        "equations": [u.diff(t) - v.diff(x), v.diff(t) - u.diff(x)],
        "conditions": [*pinned(u, (t, 0, 0), (x, 0, 0), (x, 0, 1)), v(x, 0)],
    },
    "telegraph wave with an absorbing end": lambda: {
        "domain": STRIP,
        "equations": u.diff(t, 2) - u.diff(x, 2),
        "conditions": [*pinned(u, (t, 0, 0), (t, 1, 0), (x, 0, 0)), (u.diff(t) + u.diff(x)).subs(x, 1)],
    },
    "clamped and free beam": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(f.diff(x, 4), 1),
        "conditions": pinned(f, (x, 0, 0), (x, 1, 0), (x, 2, 1), (x, 3, 1)),
    },
    "transport with one inflow condition": lambda: {
        "domain": STRIP,
        "equations": u.diff(t) + u.diff(x),
        "conditions": [Eq(u(x, 0), sin(x)), Eq(u(0, t), -sin(t))],
    },
    "characteristic initial values": lambda: {
        "domain": SQUARE,
        "equations": Eq(w.diff(x, y), w),
        "conditions": [Eq(w(x, 0), 1), Eq(w(0, y), 1)],
    },
    "algebraic constraint in a system of ordinary equations": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": [Eq(f.diff(x), -fields("g", x)), Eq(fields("g", x), f**3)],
        "conditions": [Eq(f(0), 1)],
    },
    "stream function and vorticity with the walls' slip on one field": lambda: {
        "domain": SQUARE,
        "equations": [
            Eq(laplacian(w, x, y), -fields("a", x, y)),
            Eq(laplacian(fields("a", x, y), x, y), w.diff(y) * fields("a", x, y).diff(x)),
        ],
        "conditions": {"wall": on(SQUARE.boundary, w, grad(w, x, y).dot(SQUARE.normal))},
    },
    "clamped plate": lambda: {
        "domain": SQUARE,
        "equations": Eq(laplacian(laplacian(w, x, y), x, y), 1),
        "conditions": {"clamped": on(SQUARE.boundary, w, grad(w, x, y).dot(SQUARE.normal))},
    },
    "only slopes on the boundary": lambda: {
        "domain": SQUARE,
        "equations": Eq(laplacian(w, x, y), cos(pi * x)),
        "conditions": {"insulated": on(SQUARE.boundary, grad(w, x, y).dot(SQUARE.normal))},
    },
    "Volterra equation": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(f, 1 + Integral(f(s), (s, 0, x))),
    },
    "Fredholm equation of the first kind": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(Integral(exp(x * s) * f(s), (s, 0, 1)), x),
    },
    "a norm as an integral with an unknown": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(-f.diff(x, 2), nu * f),
        "conditions": [f(0), f(1), Eq(Integral(f(s) ** 2, (s, 0, 1)), 1)],
        "unknowns": {nu: 9},
    },
    "conserved mass beside the fluxes": lambda: heat(
        total=Eq(Integral(u(s, t), (s, 0, 1)), 2 * exp(-(pi**2) * t) / pi)
    ),
    "a pressure of mean zero": lambda: (
        kovasznay("nowhere")
        | {
            "conditions": kovasznay("nowhere")["conditions"]
            | {"mean": Integral(Function("p")(x, y), (x, -0.5, 1), (y, -0.5, 1.5))}
        }
    ),
    "a parameter as a coordinate": lambda: {
        "domain": STRIP * Interval(nu, 0.1, 1),
        "equations": Eq(fields("u", x, t, nu).diff(t), nu * fields("u", x, t, nu).diff(x, 2)),
        "conditions": pinned(fields("u", x, t, nu), (t, 0, 0), (x, 0, 0), (x, 0, 1)),
    },
    "an unknown field with observations": lambda: (
        heat(Eq(u.diff(t), (f * u.diff(x)).diff(x)))
        | {"data": {"sensors": Observations(at={x: [0.2, 0.4], t: 0.5}, values={u: [0.3, 0.4]})}}
    ),
    "periodic values and slopes": lambda: {
        "domain": STRIP,
        "equations": Eq(u.diff(t), u.diff(x, 2)),
        "conditions": [
            Eq(u(x, 0), cos(2 * pi * x)),
            Eq(u(0, t), u(1, t)),
            Eq(u.diff(x).subs(x, 0), u.diff(x).subs(x, 1)),
        ],
    },
    "a periodic reaction without a derivative in space": lambda: {
        "domain": STRIP,
        "equations": Eq(u.diff(t), 5 * u * (1 - u)),
        "conditions": [Eq(u(x, 0), sin(2 * pi * x)), Eq(u(0, t), u(1, t))],
    },
    "fields of fewer coordinates": lambda: {
        "domain": STRIP,
        "equations": [Eq(u.diff(t), u.diff(x, 2) + fields("h", t)), Eq(fields("h", t).diff(t), u(0.5, t))],
        "conditions": [u(x, 0), u(0, t), Eq(u(1, t), fields("h", t)), Eq(Function("h")(0), 0)],
    },
    "plain functions of SymPy beside fields": lambda: {
        "domain": STRIP,
        "equations": [Eq(Function("u")(x, t).diff(t), u.diff(x, 2) + v), Eq(v.diff(t), Function("u")(x, t))],
        "conditions": [Function("u")(x, 0), u(0, t), Function("u")(x, t).subs(x, 1), Function("v")(x, 0)],
    },
    "observations in place of conditions": lambda: (
        heat(without="initial left right")
        | {"data": {"sensors": Observations(at={x: [0.2], t: [0.5]}, values={u: [0.3]})}}
    ),
    "a source that jumps in space and time": lambda: heat(
        Eq(u.diff(t), u.diff(x, 2) + Piecewise((1, x < 0.5), (0, True)) + Heaviside(t - Rational(1, 2)))
    ),
    "a reaction rate that jumps": lambda: heat(Eq(u.diff(t), u.diff(x, 2) - Heaviside(x - Rational(1, 2)) * u)),
    "a conductivity that switches in time": lambda: heat(
        Eq(u.diff(t), Piecewise((1, t < 0.5), (2, True)) * u.diff(x, 2))
    ),
    "a conductivity with a kink": lambda: heat(
        Eq(u.diff(t), ((1 + Piecewise((0, x < 0.5), (x - Rational(1, 2), True))) * u.diff(x)).diff(x))
    ),
    "a flux as a field where the conductivity jumps": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": [
            Eq(fields("q", x), Piecewise((1, x < 0.5), (10, True)) * f.diff(x)),
            Eq(fields("q", x).diff(x), -1),
        ],
        "conditions": [f(0), f(1)],
    },
    "a coefficient without a NumPy function": lambda: heat(
        Eq(u.diff(t), sympy.loggamma(x + 3) * u.diff(x, 2) + sympy.erf(x) * u)
    ),
    "nanometres": lambda: {
        "domain": Box({x: (0, 1e-9), t: (0, 1e-12)}),
        "equations": Eq(u.diff(t), 1e-6 * u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), 300 * sin(pi * x / 1e-9)), u(0, t), u(1e-9, t)],
    },
    "gigapascals with Python's pi": lambda: {
        "domain": Box({x: (0, 1e9), t: (0, 1e9)}),
        "equations": Eq(u.diff(t), 1e5 * u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), 1e9 * sin(float(np.pi) * x / 1e9)), u(0, t), u(1e9, t)],
    },
    "initial data in pieces": lambda: heat(initial=Eq(u(x, 0), Piecewise((1, Abs(x - 0.5) < 0.25), (0, True)))),
    "shock tube": lambda: {
        "domain": STRIP,
        "equations": [u.diff(t) + (u * v).diff(x), (u * v).diff(t) + (u * v**2 + u).diff(x)],
        "conditions": [Eq(u(x, 0), Piecewise((1, x < 0.5), (0.1, True))), v(x, 0), Eq(u(0, t), 1), v(0, t)],
    },
    "a payoff with a kink at the final time": lambda: {
        "domain": STRIP,
        "equations": Eq(u.diff(t) + x**2 * u.diff(x, 2) / 50 + x * u.diff(x) / 20 - u / 20, 0),
        "conditions": [Eq(u(x, 1), Max(x - 0.5, 0)), u(0, t), Eq(u(1, t), 1 - exp(-(1 - t) / 20) / 2)],
    },
    "a value pinned inside": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(f.diff(x, 2), 1),
        "conditions": [f(0), Eq(f(0.55), 0.1)],
    },
    "a value pinned inside beside those at the ends": lambda: heat(
        middle=Eq(u(0.55, t), sin(0.55 * pi) * exp(-(pi**2) * t))
    ),
    "a symmetry beside the conditions": lambda: {
        "domain": Box({x: (-1, 1), t: (0, 1)}),
        "equations": Eq(u.diff(t), u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), cos(pi * x / 2)), Eq(u(-x, t), u(x, t)), u(1, t), u(-1, t)],
    },
    "a symmetry in place of a condition": lambda: {
        "domain": Box({x: (-1, 1), t: (0, 1)}),
        "equations": Eq(u.diff(t), u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), cos(pi * x / 2)), Eq(u(-x, t), u(x, t)), u(1, t)],
    },
    "two equations on two parts of the domain": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": {
            "left": on(Interval(x, 0, 0.5), f.diff(x, 2) + 1),
            "right": on(Interval(x, 0.5, 1), 9 * f.diff(x, 2) + 1),
        },
        "conditions": [f(0), f(1)],
    },
    "a delay with its history": lambda: {
        "domain": Interval(x, 0, 2),
        "equations": on(Interval(x, 1, 2), Eq(f.diff(x), -f(x - 1))),
        "conditions": on(Interval(x, 0, 1), Eq(f, 1)),
    },
    "a pantograph": lambda: {
        "domain": Interval(x, 0, 2),
        "equations": Eq(f.diff(x), -f(x / 2)),
        "conditions": Eq(f(0), 1),
    },
    "a complex equation with a conjugate, roots, and a real potential in pieces": lambda: {
        "domain": Box({x: (-5, 5), t: (0, 1)}),
        "equations": Eq(
            I * u.diff(t),
            -u.diff(x, 2) / 2
            + Piecewise((0, x < 0), (sqrt(x), True)) * u
            + log(x + 6) * u
            + Max(0, x) * u * conjugate(u) * u,
        ),
        "conditions": [Eq(u(x, 0), exp(-(x**2) + I * x)), u(-5, t), u(5, t)],
    },
    "an imaginary unit of Python": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(f.diff(x), 1j * f),
        "conditions": Eq(f(0), 1),
    },
    "a pulse that is all but zero at the walls": lambda: {
        "domain": Box({x: (-12, 12), t: (0, 1)}),
        "equations": Eq(u.diff(t), u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), sech(3 * x - 3)), *pinned(u, (x, 0, -12), value=exp(-60)), u(12, t)],
    },
    "symbols with assumptions": lambda: {
        "domain": Interval(TWIN, 0, pi),
        "equations": fields("g", TWIN, real=True).diff(TWIN, 2) + fields("g", TWIN, real=True),
        "conditions": [fields("g", TWIN, real=True)(0), Eq(fields("g", TWIN, real=True)(pi / 2), 1)],
    },
    "a lid that stops short of the corners": lambda: {
        "domain": SQUARE,
        "equations": laplacian(w, x, y),
        "conditions": {
            "walls": on(SQUARE.boundary - SQUARE.face(y, 1), w),
            "lid": on(Interval(x, 0.01, 0.99), Eq(w(x, 1), 1)),
        },
    },
    "an inlet and a wall that share a side": lambda: {
        "domain": SQUARE,
        "equations": laplacian(w, x, y),
        "conditions": {
            "inlet": on(Interval(y, 0.5, 1), Eq(w(0, y), 1)),
            "wall": on(Interval(y, 0, 0.5), w(0, y)),
            "right": w.diff(x).subs(x, 1),
            "ends": [w.diff(y).subs(y, 0), w.diff(y).subs(y, 1)],
        },
    },
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_declaration_is_accepted_and_compiles(name: str):
    problem = Problem(**RIGHT[name]())
    compiled = compile_problem(problem)
    assert len(compiled.terms) == len(problem.terms)

"""Mistakes are caught where they are written.

Every wrong declaration is answered with an error of the stated class whose message names the term, what was found and the remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
from declarations import SQUARE, STRIP, TWIN, f, heat, nu, pinned, s, t, u, v, w, x, y, z
from sympy import (
    Derivative,
    DiracDelta,
    Eq,
    Function,
    Heaviside,
    I,
    Integral,
    Matrix,
    Piecewise,
    Rational,
    Symbol,
    cos,
    exp,
    log,
    nan,
    oo,
    pi,
    sin,
    sqrt,
)

from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.terms import on
from pinnsolve.domains.regions import Interval
from pinnsolve.errors import DataError, ProblemError, UnsupportedError
from pinnsolve.operators import div, laplacian
from pinnsolve.problem import Problem


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
        lambda: heat(left=on(Eq(u, 0), STRIP)),
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
    # ends
    "both conditions at one end of a bar": (
        lambda: heat(right=Eq(u.diff(x).subs(x, 0), pi), initial=Eq(u(x, 0), sin(pi * x))),
        ProblemError,
        ("left, right", "2 conditions at x = 0 and 0 at x = 1", "ask for 1 and 1", "move a condition"),
    ),
    "a final value in place of an initial one": (
        lambda: heat(initial=Eq(u(x, 1), sin(pi * x))),
        ProblemError,
        ("initial", "0 conditions at t = 0 and 1 at t = 1", "ask for 1 and 0"),
    ),
    "a diffusion with the wrong sign": (
        lambda: heat(Eq(u.diff(t), -u.diff(x, 2))),
        ProblemError,
        ("initial", "1 conditions at t = 0", "ask for 0 and 1", "change the sign"),
    ),
    "Korteweg-de Vries with two conditions left and one right": (
        lambda: {
            "domain": STRIP,
            "equations": u.diff(t) + 6 * u * u.diff(x) + u.diff(x, 3),
            "conditions": pinned(u, (t, 0, 0), (x, 0, 0), (x, 1, 0), (x, 0, 1)),
        },
        ProblemError,
        ("2 conditions at x = 0 and 1 at x = 1", "ask for 1 and 2"),
    ),
    "values and slopes on one side of a potential": (
        lambda: {
            "domain": SQUARE,
            "equations": laplacian(w, x, y),
            "conditions": pinned(w, (x, 0, 0), (x, 0, 1), (y, 0, 0), (y, 1, 0)),
        },
        ProblemError,
        ("conditions at y = 0", "ask for 1 and 1"),
    ),
    "an outflow condition in place of an inflow": (
        lambda: {"domain": STRIP, "equations": u.diff(t) + 2 * u.diff(x), "conditions": [u(x, 0), u(1, t)]},
        ProblemError,
        ("condition[1]", "0 conditions at x = 0 and 1 at x = 1", "ask for 1 and 0"),
    ),
    "both ends of a wave on one side": (
        lambda: {
            "domain": STRIP,
            "equations": [u.diff(t) - v.diff(x), v.diff(t) - u.diff(x)],
            "conditions": [u(x, 0), v(x, 0), u(0, t), v(0, t)],
        },
        ProblemError,
        ("2 conditions at x = 0", "ask for 1 and 1"),
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
    "a number beyond floats": (
        lambda: heat(left=Eq(u(0, t), log(10**309 * t + 1))),
        ProblemError,
        ("left", "the number 1.00e+309, larger than a float can be"),
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
    "a kernel that may be singular": (
        lambda: {"domain": Interval(x, 0, 1), "equations": Eq(f, Integral((x - s) ** f(s), (s, 0, x)))},
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


@pytest.mark.parametrize("value", [None, "1", 1j, [1.0], float("nan"), oo, True, x], ids=str)
def test_an_initial_value_that_is_no_finite_number_is_refused(value: Any):
    with pytest.raises(ProblemError, match=r"unknowns, nu · the initial value .* · give a finite number"):
        Problem(**heat(Eq(u.diff(t), nu * u.diff(x, 2))), unknowns={nu: value})


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


def test_a_function_without_a_rule_is_refused_with_the_name_of_the_term():
    with pytest.raises(UnsupportedError, match=r"heat · the function besselj"):
        Problem(**heat(Eq(u.diff(t), u.diff(x, 2) + sympy.besselj(0, x))))

"""Trees: what is stored comes back equal, to the last bit of every number; everything else is refused, quickly."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import (
    ITE,
    Abs,
    Derivative,
    EulerGamma,
    Float,
    Function,
    GoldenRatio,
    Heaviside,
    I,
    Integral,
    Max,
    Min,
    Mod,
    Not,
    Piecewise,
    Rational,
    Symbol,
    Xor,
    conjugate,
    cos,
    exp,
    gamma,
    im,
    loggamma,
    pi,
    re,
    sin,
    sinc,
    sqrt,
    symbols,
    zeta,
)

import pinnsolve as ps
from pinnsolve.compiler.functions import FUNCTIONS, REWRITES, SINGULAR
from pinnsolve.declaration.trees import TreeError, from_tree, to_tree

x, t, s = symbols("x t s")
positive = Symbol("p", positive=True)
u, w = ps.fields("u", x, t), ps.fields("w", x, t, positive=True)


def stored(expression: Any) -> Any:
    """Return the expression after a journey through JSON text."""
    return from_tree(json.loads(json.dumps(to_tree(expression), allow_nan=False)))


EXPRESSIONS = [
    u.diff(t) + u * u.diff(x) - 0.01 / pi * u.diff(x, 2),
    Function("v")(x, t).diff(x, 3),
    u(x, 0) ** Rational(1, 3) + u(-1, t) - u(1, t),
    u.diff(x).subs(x, 1),
    u.diff(x).subs(x, x**2),
    w.diff(x, t) / w,
    Integral(u(s, t) * exp(-s), (s, 0, x)),
    Piecewise((u, x < 0.3), (w, (x >= 0.3) & (t < 1)), (0, True)),
    Piecewise((1, ITE(x < 1, t > 0, t > 5)), (2, Xor(x < 1, t > 0)), (3, Not(x < 7) | (t > 2)), (0, True)),
    Max(x, t, 0.5) * Min(u, 1) + Abs(u) ** 3 + Heaviside(x - 0.5) + Mod(x, 2) + sinc(x),
    I * u - conjugate(w) + re(u) + im(u),
    exp(-u) * sqrt(2) * pi * sympy.E * EulerGamma,
    positive * Symbol("n", integer=True) + Symbol("x", real=True),
    (-1) ** Rational(1, 3) * x - 2 * (x + t) / sqrt(3),
    sin(x) ** 1500 + 3**x + 1 / x**2 + gamma(x) + loggamma(x + 1),
    Derivative(u * x, x),
    Function("my field")(x, t) + Function("u'")(x),
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_an_expression_comes_back_equal(expression: Any) -> None:
    found = stored(expression)
    assert found == expression and hash(found) == hash(expression)
    assert found.free_symbols == expression.free_symbols


@pytest.mark.parametrize("function", [*FUNCTIONS, *SINGULAR, *REWRITES], ids=lambda f: f.__name__)
def test_every_function_that_can_be_compiled_can_be_stored(function: Any) -> None:
    expression = function(*symbols("a b")[: 2 if function in (sympy.atan2, sympy.Mod) else 1])
    assert stored(expression) == expression


def test_fields_keep_their_assumptions_and_can_be_applied_again() -> None:
    field = stored(w)
    assert field.is_positive and field == w
    assert field(x, 0) == w(x, 0)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_keeps_every_bit(number: float) -> None:
    found = stored(Float(number) * x if number else Float(number))
    assert found == (Float(number) * x if number else Float(number))
    assert float(found.subs(x, 1)) == number


@given(st.integers(1, 400), st.integers(-(10**30), 10**30))
def test_numbers_of_any_precision_keep_every_bit(precision: int, mantissa: int) -> None:
    number = Float((int(mantissa < 0), abs(mantissa), -70, abs(mantissa).bit_length()), precision=precision)
    assert stored(number)._mpf_ == number._mpf_ and stored(number)._prec == precision


def _grown(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(leaves, leaves).map(lambda pair: pair[0] + pair[1]),
        st.tuples(leaves, leaves).map(lambda pair: pair[0] * pair[1]),
        st.tuples(leaves, st.sampled_from([2, -1, Rational(1, 2), 7])).map(lambda pair: pair[0] ** pair[1]),
        leaves.map(lambda e: cos(e) if e.is_number else exp(e)),  # exp(exp(9)) is a number that no file needs
        leaves.map(cos),
        leaves.map(lambda e: Abs(e)),
    )


LEAVES = st.one_of(
    st.sampled_from([x, t, u, w, u.diff(x), u(x, 0), pi, I]),
    st.floats(-9, 9).map(Float),
    st.fractions(-9, 9, max_denominator=9).map(lambda f: Rational(f.numerator, f.denominator)),
)


@settings(max_examples=60)
@given(st.recursive(LEAVES, _grown, max_leaves=8))
def test_random_expressions_come_back_equal(expression: Any) -> None:
    if expression.is_finite is not False and not expression.has(sympy.zoo, sympy.nan, sympy.oo):
        assert stored(expression) == expression


@pytest.mark.parametrize("number", [zeta(3), GoldenRatio, sympy.besselj(0, 1)], ids=str)
def test_a_number_by_a_function_outside_the_table_is_stored_by_its_value(number: Any) -> None:
    assert float(stored(number)) == float(number)
    assert float(stored(number * x).subs(x, 1)) == float(number)


@pytest.mark.parametrize("expression", [sympy.besselj(0, x), sympy.Sum(x, (s, 1, 3)), sympy.oo * 1, sympy.nan])
def test_what_has_no_tree_is_an_error_and_not_a_guess(expression: Any) -> None:
    with pytest.raises(TreeError, match="cannot be stored"):
        to_tree(expression)


HUGE = ["Rational", "1" + "0" * 150, "1"]
X = ["Symbol", "x", {}]


@pytest.mark.parametrize(
    "tree",
    [
        ["gamma", HUGE],
        ["loggamma", HUGE],
        ["Pow", ["Rational", "2", "1"], HUGE],
        ["Pow", ["Mul", ["Rational", "2", "1"], X], HUGE],
        ["exp", ["Mul", HUGE, ["log", ["Rational", "2", "1"]]]],
        ["floor", ["exp", HUGE]],
        ["Mod", ["Pow", ["Rational", "3", "1"], HUGE], ["Rational", "7", "1"]],
        ["StrictLessThan", ["exp", ["exp", HUGE]], ["exp", ["exp", ["exp", HUGE]]]],
        ["Max", ["exp", ["exp", HUGE]], ["gamma", HUGE]],
    ],
    ids=lambda tree: tree[0],
)
def test_huge_numbers_are_not_carried_out(tree: list[Any]) -> None:
    began = time.perf_counter()
    from_tree(tree)
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize(
    "tree",
    [
        None,
        1,
        "x",
        {},
        [],
        [1],
        [["sin"]],
        ["os.system", "id"],
        ["Lambda", X, X],
        ["__import__", X],
        ["__class__"],
        ["_read", X],
        ["sin"],
        ["sin", X, X],
        ["sin", "x"],
        ["sin", ["true"]],
        ["Pow", X],
        ["And", ["sin", X]],
        ["Piecewise", X],
        ["Piecewise", ["ExprCondPair", X, X, X]],
        ["Symbol"],
        ["Symbol", 1, {}],
        ["Symbol", "", {}],
        ["Symbol", "x" * 201, {}],
        ["Symbol", "x", {"positive": "yes"}],
        ["Symbol", "x", {"__class__": True}],
        ["Symbol", "x", {"positive": True, "negative": True}],
        ["Symbol", "x", None],
        ["Field", "u", {}],
        ["Field", "u", {"is_Add": True}, X],
        ["Field", "u", {"__dict__": True}, X],
        ["Field", 7, {}, X],
        ["Field", "u", {}, ["true"]],
        ["Rational", "1", "0"],
        ["Rational", "1", "-2"],
        ["Rational", "1" * 201, "1"],
        ["Rational", "0x10", "1"],
        ["Rational", 1, 2],
        ["Float", "nan", 53],
        ["Float", "1e999", 53],
        ["Float", "0." + "1" * 300, 53],
        ["Float", "0.1", 10**9],
        ["Float", "0.1", 0],
        ["Float", "one", 53],
        ["Float", 0.1, 53],
        ["Derivative", X, [[X, 0]]],
        ["Derivative", X, [[X, 10**9]]],
        ["Derivative", X, [[X, 1.5]]],
        ["Derivative", X, [[["pi"], 1]]],
        ["Subs", X, [X], []],
    ],
    ids=lambda tree: str(tree)[:40],
)
def test_what_is_not_mathematics_is_refused(tree: Any) -> None:
    with pytest.raises(TreeError):
        from_tree(tree)


def test_a_tree_that_is_too_deep_or_too_wide_is_refused() -> None:
    deep: list[Any] = X
    for _ in range(5_000):
        deep = ["sin", deep]
    for tree in (deep, ["Add", *[X] * 200_001]):
        with pytest.raises(TreeError):
            from_tree(tree)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
        st.lists(inner, max_size=3).flatmap(
            lambda rest: st.sampled_from(["Add", "Pow", "Symbol", "Field", "Subs", "Float", "Integral", "Max"]).map(
                lambda name: [name, *rest]
            )
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_random_data_are_an_expression_or_a_tree_error(data: Any) -> None:
    try:
        read = from_tree(data)
    except TreeError:
        return
    assert isinstance(read, sympy.Basic)

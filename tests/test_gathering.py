"""Gathering: which derivatives a residual reads only together, and that nothing is lost by it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from sympy import Dummy, Expr, Float, Rational, Symbol, exp, log, pi, sin, symbols

from pinnsolve.compiler.gathering import gather
from pinnsolve.jets import Derivative, MultiIndex, operator

INDICES: list[MultiIndex] = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
SYMBOLS = [Dummy(f"u_{i}{j}") for i, j in INDICES]
u, ux, uy, uxx, uxy, uyy = SYMBOLS
x, nu = symbols("x nu")
READINGS = {symbol: ("u", index) for symbol, index in zip(SYMBOLS, INDICES, strict=True)}

CASES: list[tuple[Expr, set[Derivative]]] = [
    (uxx + uyy - sin(x), {operator({(2, 0): 1, (0, 2): 1})}),
    (u * ux - nu * (uxx + uyy), {(0, 0), (1, 0), operator({(2, 0): 1, (0, 2): 1})}),
    (uxx - 4 * uyy, {operator({(2, 0): 1, (0, 2): -4})}),
    (uxx / 3 + 2 * uxy / 7 + uyy, {operator({(2, 0): 1, (1, 1): Fraction(6, 7), (0, 2): 3})}),
    (ux + Float(2.5) * uy, {operator({(1, 0): 1, (0, 1): 2.5})}),
    (exp(uxx + uyy) + pi * (uxx + uyy) ** 2, {operator({(2, 0): 1, (0, 2): 1})}),
    ((x - 1) * uxx - (1 - x) * uyy, {operator({(2, 0): 1, (0, 2): 1})}),
    (uxx + x * uyy, {(2, 0), (0, 2)}),
    (uxx**2 + uyy, {(2, 0), (0, 2)}),
    (uxx * uyy - uxy**2, {(2, 0), (0, 2), (1, 1)}),
    (ux**2 + uy**2, {(1, 0), (0, 1)}),
    (ux + u, {(1, 0), (0, 0)}),
]


@pytest.mark.parametrize("case", CASES, ids=[str(case[0]) for case in CASES])
def test_only_fixed_sums_are_gathered_and_the_residual_keeps_its_value(case: tuple[Expr, set[Derivative]]) -> None:
    residual, expected = case
    present = {symbol: reading for symbol, reading in READINGS.items() if residual.has(symbol)}
    gathered, left = gather(residual, present)
    assert set(left.values()) == expected
    assert gathered.free_symbols & set(present) == set(left)
    values = {index: Rational(k + 2, 7) for k, index in enumerate(INDICES)}

    def value(derivative: Derivative) -> Rational:
        if isinstance(derivative, frozenset):
            return sum(Rational(a.numerator, a.denominator) * values[index] for index, a in derivative)
        return values[derivative]

    before = residual.subs({symbol: values[index] for symbol, (_, index) in present.items()})
    after = gathered.subs({symbol: value(derivative) for symbol, derivative in left.items()})
    assert float((before - after).subs({x: 0.3, nu: 0.7})) == pytest.approx(0.0, abs=1e-12)


def test_derivatives_of_different_fields_and_of_different_order_stay_apart() -> None:
    v = Dummy("v_20")
    _, left = gather(ux + uxx + v, {ux: ("u", (1, 0)), uxx: ("u", (2, 0)), v: ("v", (2, 0))})
    assert left == {ux: (1, 0), uxx: (2, 0), v: (2, 0)}


def test_a_sum_inside_a_function_of_another_derivative_is_not_gathered() -> None:
    _, left = gather(log(1 + uxx) + uyy, {uxx: ("u", (2, 0)), uyy: ("u", (0, 2))})
    assert set(left.values()) == {(2, 0), (0, 2)}
    assert all(isinstance(symbol, Symbol) for symbol in left)

"""A campaign of random declarations: each is refused with a named reason, or its residual is the number that SymPy finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_trials import TooSlow, limited
from sympy import Derivative, E, Eq, Expr, Float, Function, I, Integral, Rational, nan, oo, pi, symbols, zoo

import pinnsolve as ps
from pinnsolve.errors import ProblemError

x, t = symbols("x t")
nu, unheard_of = symbols("nu q")
u, v = ps.fields("u v", x, t)
EXACT = {u: sympy.sin(Rational(13, 10) * x - Rational(7, 10) * t) + x * t / 3, v: sympy.exp(-x * t) * (1 + x**2) / 2}
PLAYED: dict[Expr, Callable[..., torch.Tensor]] = {
    u: lambda x, t: torch.sin(1.3 * x - 0.7 * t) + x * t / 3,
    v: lambda x, t: torch.exp(-x * t) * (1 + x**2) / 2,
}
VALUE = 0.375
PLACES = {x: np.array([-0.8725, 0.143, 0.6612]), t: np.array([0.2113, 0.477, 0.9031])}
SECONDS = 10

WELL_KNOWN = [sympy.sin, sympy.cos, sympy.tanh, sympy.exp, sympy.atan, sympy.erf, sympy.sqrt, sympy.Abs, sympy.log]
UNUSUAL = [
    *(sympy.tan, sympy.cot, sympy.sec, sympy.asin, sympy.acos, sympy.sinh, sympy.cosh, sympy.acosh, sympy.atanh),
    *(sympy.sign, sympy.floor, sympy.ceiling, sympy.frac, sympy.Heaviside, sympy.DiracDelta, sympy.re, sympy.im),
    *(sympy.conjugate, sympy.arg, sympy.gamma, sympy.loggamma, sympy.digamma, sympy.factorial, sympy.LambertW),
    *(sympy.zeta, sympy.erfi, sympy.Ei, sympy.Si, sympy.cbrt, sympy.sinc, sympy.fresnels, Function("g")),
]


def _sum(term: Expr) -> Expr:
    k = symbols("k", integer=True)
    return sympy.Sum(term / k**2, (k, 1, 3))


SINGLE: list[Callable[[Any], Any]] = [
    lambda e: Derivative(e, x),
    lambda e: Derivative(e, t, x),
    lambda e: e.diff(x),
    lambda e: e.diff(t, 2),
    lambda e: e.subs(x, 0),
    lambda e: e.subs(x, 2 * x),
    lambda e: e.subs(t, t - 1),
    lambda e: sympy.Subs(e, x, t),
    lambda e: Integral(e, (x, 0, 1)),
    lambda e: Integral(e, x),
    lambda e: sympy.besselj(1, e),
    lambda e: sympy.airyai(e),
    lambda e: sympy.Mod(e, 2),
    lambda e: e**2,
    lambda e: e**-3,
    lambda e: e ** Rational(1, 3),
    lambda e: 2**e,
    lambda e: 1e-30 * e,
    lambda e: 10**25 * e,
    lambda e: sympy.Matrix([e, e]).dot(sympy.Matrix([x, 1])),
    lambda e: sympy.Order(e),
    lambda e: sympy.Limit(e, x, 0),
    _sum,
]
PAIRED: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a / b,
    lambda a, b: a**b,
    sympy.Max,
    sympy.Min,
    sympy.atan2,
    sympy.Mod,
    sympy.binomial,
    sympy.hermite,
    sympy.beta,
    sympy.polylog,
    lambda a, b: sympy.Piecewise((a, a > b), (b, True)),
    lambda a, b: sympy.Piecewise((a, x > 0)),
    lambda a, b: sympy.Piecewise((b, sympy.And(x > -1, sympy.Or(t < 0.5, a < 0))), (a, True)),
    lambda a, b: sympy.Eq(a, b),
    lambda a, b: a < b,
    lambda a, b: sympy.KroneckerDelta(a, b),
]

NUMBERS = [
    Rational(1, 3),
    sympy.Integer(2),
    sympy.Integer(-1),
    Float(0.7),
    pi,
    sympy.sqrt(2),
    E,
    Float("1e-40"),
    10**30,
]
STRANGE = [
    I,
    oo,
    -oo,
    nan,
    zoo,
    unheard_of,
    sympy.S.true,
    symbols("A", commutative=False),
    Float("1e400"),
    sympy.EulerGamma,
]
PARTS = [u, v, u.diff(x), u.diff(x, 2), u.diff(t), v.diff(x, t), v.diff(x, 3), x, t, nu]

# One leaf in about forty is strange: one in ten random expressions then has such a thing in it.
leaves = st.integers(0, 39).flatmap(
    lambda k: st.sampled_from(STRANGE if k == 0 else NUMBERS if k < 10 else PARTS).map(sympy.sympify)
)


def _built(make: Callable[..., Any], *parts: Any) -> Any:
    """Build an expression, or give up where SymPy itself has no meaning for it."""
    try:
        with limited(1):
            return make(*parts)
    except (Exception, TooSlow):
        assume(False)


def _grown(inner: st.SearchStrategy) -> st.SearchStrategy:
    ordinary = st.one_of(
        st.tuples(inner, inner).map(lambda p: _built(lambda a, b: a + b, *p)),
        st.tuples(inner, inner).map(lambda p: _built(lambda a, b: a * b, *p)),
        st.tuples(st.sampled_from(WELL_KNOWN), inner).map(lambda p: _built(*p)),
    )
    unusual = st.one_of(
        st.tuples(st.sampled_from(PAIRED), inner, inner).map(lambda p: _built(*p)),
        st.tuples(st.sampled_from(UNUSUAL), inner).map(lambda p: _built(*p)),
        st.tuples(st.sampled_from(SINGLE), inner).map(lambda p: _built(*p)),
    )
    return st.one_of(ordinary, ordinary, unusual)


grown = st.recursive(leaves, _grown, max_leaves=6)
# Three in four have a plain term beside what is random, so that it is not for want of a field that they are refused.
expressions = st.tuples(grown, st.sampled_from([u.diff(t), u, v.diff(x, 2) / 7, 0])).map(
    lambda p: _built(lambda a, b: a + b if b else a, *p)
)


def _played(field: Expr) -> Callable[..., torch.Tensor]:
    """Return the function that stands for a field; the imaginary part of a complex one is 0."""
    name, _, part = field.func.__name__.partition("_")
    whole = next(f for f in PLAYED if f.func.__name__ == name)
    return (lambda x, t: 0 * x) if part == "im" else PLAYED[whole]


def answer(known: Callable[..., Any], expression: Any) -> np.ndarray | ProblemError:
    """Declare an equation and return its residual at the places, or the refusal."""
    with limited(SECONDS):
        try:
            problem = ps.Problem(
                domain=ps.Box({x: (-1, 1), t: (0, 1)}),
                equations={"first": expression, "second": Eq(v.diff(t) + u, nu * v.diff(x, 2))},
                conditions={"start": Eq(u(x, 0), 0)},
                unknowns={nu: VALUE},
                hard=False,
            )
            solution = known(problem, *map(_played, problem.fields))
            found = {}
            for term in (term for term in problem.terms if term.group == "first"):
                found[term.name] = solution.residual(term.name, **{c.name: PLACES[c] for c in term.free})
        except ProblemError as error:
            return error
    imaginary = found.pop("first.im", 0.0)
    (real,) = found.values() or (0.0,)
    if not problem.complex_fields:
        return np.broadcast_to(real, (3,))
    with np.errstate(invalid="ignore"):  # 1j * inf
        return np.broadcast_to(real + 1j * imaginary, (3,))


def truth(expression: Any) -> tuple[list[complex | None], list[float]]:
    """Return SymPy's numbers at the places, None where it has none, and how far those of 15 digits are from them."""
    if isinstance(expression, Eq):
        expression = expression.lhs - expression.rhs
    values: list[complex | None] = []
    doubts: list[float] = []
    with limited(SECONDS):
        filled = expression.subs(EXACT).doit().subs(nu, VALUE)
        program = sympy.lambdify((x, t), filled, "mpmath")
    for place in zip(*PLACES.values(), strict=True):
        found = []
        for digits in (15, 40):
            with mpmath.workdps(digits), limited(SECONDS):
                found.append(mpmath.mpmathify(program(*map(mpmath.mpf, place))))
        values.append(complex(found[1]) if mpmath.isfinite(found[1]) else None)
        doubts.append(float(abs(found[0] - found[1])) if values[-1] is not None else 0.0)
    return values, doubts


COUNTED: Counter[str] = Counter()


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an alarm in a callback is sent again
@settings(
    max_examples=10_000,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(expressions)
def test_a_random_equation_is_refused_by_name_or_has_the_residual_that_sympy_finds(known, expression) -> None:
    found = answer(known, expression)
    if isinstance(found, ProblemError):
        COUNTED["refused"] += 1
        assert found.term and found.found and found.remedy
        assert "\n" not in str(found) and len(str(found)) < 700, str(found)
        return
    try:
        values, doubts = truth(expression)
    except Exception:
        COUNTED["without a number"] += 1
        return
    except TooSlow:
        COUNTED["without a number"] += 1
        return
    COUNTED["compared"] += 1
    for value, doubt, residual in zip(values, doubts, found, strict=True):
        if value is None or abs(value) > 1e30:
            continue
        if abs(value.imag) > 1e-20 * max(1.0, abs(value)) and not np.iscomplexobj(found):
            assert np.isnan(residual), (expression, value, residual)
        else:
            if np.isnan(residual):  # by way of a complex number, such as |acosh(u)|; loud, and so not wrong
                COUNTED["real by a detour"] += 1
                continue
            assert residual == pytest.approx(value, rel=1e-8, abs=1e-9 + 1e4 * doubt), expression


@pytest.mark.soak
def test_most_of_them_were_compared() -> None:
    assert COUNTED["compared"] > 0.4 * COUNTED.total() > 3_000
    assert COUNTED["refused"] > 500
    assert COUNTED["real by a detour"] < 0.03 * COUNTED["compared"]

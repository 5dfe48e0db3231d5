"""Emission: programs against SymPy's own evaluation and derivatives, singular places, precision, and what is refused."""

from __future__ import annotations

import math

import pytest
import sympy
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sympy import (
    Abs,
    And,
    Dummy,
    Eq,
    Float,
    Function,
    Heaviside,
    I,
    Max,
    Min,
    Mod,
    Ne,
    Not,
    Or,
    Piecewise,
    Rational,
    atan2,
    cos,
    exp,
    floor,
    log,
    oo,
    pi,
    sign,
    sin,
    sqrt,
    symbols,
    tanh,
    zoo,
)

from pinnsolve.compiler.functions import FUNCTIONS, REWRITES, SINGULAR
from pinnsolve.compiler.torchcode import emit
from pinnsolve.errors import UnsupportedError

a, b = symbols("a b", real=True)


def run(expression: sympy.Expr, *values: torch.Tensor) -> torch.Tensor:
    """Emit and run an expression of a and b whose result is a tensor."""
    result = emit(expression, (a, b)[: len(values)])(*values)
    assert isinstance(result, torch.Tensor)
    return result


ENTIRE = (sin, cos, tanh, sympy.atan, sympy.asinh, sympy.erf, sympy.erfc)
NUMBERS = st.sampled_from([Rational(1, 3), 2, -1, Float(0.7), pi, sqrt(2), -3, sympy.E, Rational(5, 2)])
LEAVES = st.one_of(st.sampled_from([a, b]), NUMBERS.map(sympy.sympify))


def _combined(inner: st.SearchStrategy) -> st.SearchStrategy:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        pairs.map(lambda p: p[0] + p[1]),
        pairs.map(lambda p: p[0] - 2 * p[1]),
        pairs.map(lambda p: p[0] * p[1]),
        pairs.map(lambda p: p[0] / (2 + p[1] ** 2)),
        pairs.map(lambda p: (1 + p[0] ** 2) ** Rational(-1, 2) * p[1]),
        pairs.map(lambda p: (Rational(3, 2) + sin(p[0])) ** tanh(p[1])),
        pairs.map(lambda p: sqrt(2 + cos(p[0])) / (1 + exp(tanh(p[1])))),
        pairs.map(lambda p: Piecewise((p[0], a > b), (p[1], True))),
        pairs.map(lambda p: Piecewise((p[0], And(a > 0, b < 1)), (p[1] ** 2, Or(a < -1, Ne(b, 2))), (a, True))),
        pairs.map(lambda p: Max(p[0], p[1])),
        pairs.map(lambda p: Min(p[0], p[1], a)),
        pairs.map(lambda p: atan2(p[0], 1 + p[1] ** 2)),
        st.tuples(st.sampled_from(ENTIRE), inner).map(lambda p: p[0](p[1])),
        st.tuples(inner, st.sampled_from([2, 3, 4, 5])).map(lambda p: p[0] ** p[1]),
        inner.map(lambda e: exp(-(e**2))),
        inner.map(lambda e: log(2 + sin(e))),
        inner.map(lambda e: sympy.sech(e)),
        inner.map(lambda e: sympy.sinc(tanh(e))),
        inner.map(Abs),
    )


EXPRESSIONS = st.recursive(LEAVES, _combined, max_leaves=7)
PLACES = st.tuples(st.floats(-1.9, 1.9), st.floats(-1.9, 1.9))


def _exactly(expression: sympy.Expr, place: tuple[float, float]) -> float | None:
    """SymPy's value to 30 digits, or None where it is not a finite real number."""
    value = expression.subs({a: Float(place[0], 40), b: Float(place[1], 40)}).evalf(30)
    return float(value) if value.is_Float or value.is_Rational else None


@settings(max_examples=150, deadline=None, derandomize=True)
@given(EXPRESSIONS, PLACES)
def test_values_agree_with_sympy(expression, place):
    expected = _exactly(expression, place)
    if expected is None or abs(expected) > 1e30:
        return
    tensors = [torch.tensor([v], dtype=torch.float64) for v in place]
    found = emit(expression, (a, b))(*tensors)
    # A sum may lose digits to cancellation: the intermediate sizes stay below 1e6 for these leaves but for high powers.
    scale = max(1.0, abs(expected))
    magnitude = _exactly(_sizes(expression), place) or scale
    assert float(found) == pytest.approx(expected, rel=1e-11, abs=1e-13 * max(scale, magnitude))


def _sizes(expression: sympy.Expr) -> sympy.Expr:
    """Bound the terms of the sums inside an expression, to know how many digits a cancellation may cost."""
    terms = [term for part in expression.atoms(sympy.Add) for term in part.args]
    return sympy.Add(*(Abs(term) for term in terms), 1) ** 3


@settings(max_examples=120, deadline=None, derandomize=True)
@given(EXPRESSIONS, PLACES)
def test_gradients_agree_with_the_derivative(expression, place):
    assume(abs(place[0] - place[1]) > 1e-3 and all(abs(v - k) > 1e-3 for v in place for k in (-1, 0, 1)))
    assume(not expression.has(Max, Min, Abs))  # kinks anywhere; tested where they are known
    tensors = [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in place]
    result = emit(expression, (a, b))(*tensors)
    for symbol, tensor in zip((a, b), tensors, strict=True):
        expected = _exactly(expression.diff(symbol), place)
        if expected is None or abs(expected) > 1e30:
            continue
        found = 0.0
        if isinstance(result, torch.Tensor) and result.requires_grad:
            (gradient,) = torch.autograd.grad(result.sum(), tensor, retain_graph=True, allow_unused=True)
            found = 0.0 if gradient is None else float(gradient)
        size = _exactly(_sizes(expression.diff(symbol)) + _sizes(expression), place) or 1.0
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12 * max(1.0, size))


OF_REALS = (sympy.re, sympy.im, sympy.conjugate)


@pytest.mark.parametrize(
    "function", [f for f in (*FUNCTIONS, *SINGULAR, *REWRITES) if f not in OF_REALS], ids=lambda f: f.__name__
)
def test_every_function_of_the_tables_agrees_with_sympy(function):
    places = [(1.7, 0.6), (1.2, 2.3)] if function is sympy.acosh else [(0.3, 0.6), (0.8, 0.45)]
    binary = function in (sympy.atan2, sympy.Mod)
    expression = function(a, b, evaluate=False) if binary else function(a)
    for place in places:
        expected = _exactly(expression, place)
        assert expected is not None
        tensors = [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in place]
        result = run(expression, *tensors)
        assert float(result.detach()) == pytest.approx(expected, rel=1e-13, abs=1e-14)
        if function in (sympy.sign, sympy.floor, sympy.ceiling, sympy.Heaviside):
            continue
        (slope,) = torch.autograd.grad(result.sum(), tensors[0])
        exact = _exactly(expression.diff(a), place) if not binary or function is sympy.atan2 else 1.0
        assert float(slope) == pytest.approx(exact, rel=1e-12, abs=1e-13)


def test_symbols_are_real_whatever_they_were_declared():
    c = symbols("c")
    found = emit(sympy.re(c) + 10 * sympy.im(c) + 100 * sympy.conjugate(c), (c,))(torch.ones(1, dtype=torch.float64))
    assert float(found) == 101.0


SINGULAR_PLACES = {
    "root of zero": (sqrt(a), 0.0, 0.0),
    "norm of zero": (sqrt(a**2 + b**2), 0.0, 0.0),
    "inverse root in the branch not taken": (Piecewise((1 / sqrt(a), a > 0), (a, True)), -1.0, 1.0),
    "absolute value of zero": (Abs(a), 0.0, 0.0),
    "logarithm in the branch not taken": (Piecewise((log(a), a > 0), (3 * a, True)), -1.0, 3.0),
    "logarithm at zero in the branch not taken": (Piecewise((log(a), a > 0), (3 * a, True)), 0.0, 3.0),
    "entropy, x log x, at zero": (Piecewise((a * log(a), a > 0), (2 * a, True)), 0.0, 2.0),
    "root in the branch not taken": (Piecewise((sqrt(a), a > 0), (a**2, True)), -2.0, -4.0),
    "quotient in the branch not taken": (Piecewise((1 / a, Ne(a, 0)), (5 * a, True)), 0.0, 5.0),
    "sinc by hand": (Piecewise((sin(a) / a, Ne(a, 0)), (1, True)), 0.0, 0.0),
    "power in the branch not taken": (Piecewise((a ** Rational(1, 3), a > 0), (-a, True)), 0.0, -1.0),
    "negative power in the branch not taken": (Piecewise((a**-3, a > 0), (-a, True)), 0.0, -1.0),
    "symbolic power in the branch not taken": (Piecewise((a**b, a > 0), (-a, True)), -0.5, -1.0),
    "overflow in the branch not taken": (Piecewise((exp(1000 * a) * a, a < 0.5), (a, True)), 1.0, 1.0),
    "bump at its edge": (Piecewise((exp(-1 / (1 - a**2)), Abs(a) < 1), (0, True)), 1.0, 0.0),
    "bump beyond its edge": (Piecewise((exp(-1 / (1 - a**2)), Abs(a) < 1), (0, True)), 1.0001, 0.0),
    "arc sine in the branch not taken": (Piecewise((sympy.asin(a), Abs(a) < 1), (a, True)), 2.0, 1.0),
    "nested": (Piecewise((Piecewise((log(a) / a, a > 0), (a, True)), a > -1), (4 * a, True)), 0.0, 1.0),
}


@pytest.mark.parametrize("name", SINGULAR_PLACES)
def test_gradients_at_singular_places_are_finite_and_those_of_the_branch_taken(name):
    expression, place, slope = SINGULAR_PLACES[name]
    at = torch.tensor([place, 0.3], dtype=torch.float64, requires_grad=True)
    # the second point is regular: its gradient must not be spoilt by the first
    result = run(expression, at, torch.zeros(2, dtype=torch.float64))
    assert torch.isfinite(result).all()
    (gradient,) = torch.autograd.grad(result.sum(), at)
    assert float(gradient[0]) == pytest.approx(slope, abs=1e-14)
    regular = expression.subs(b, 0).diff(a).subs(a, 0.3)
    assert float(gradient[1]) == pytest.approx(float(regular), rel=1e-12)


def test_a_fault_at_one_point_does_not_cost_an_unknown_its_gradient():
    points = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    unknown = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    result = run(Piecewise((a * log(a) * b, a > 0), (0, True)), points, unknown)
    (gradient,) = torch.autograd.grad(result.sum(), unknown)
    assert float(gradient) == pytest.approx(2 * math.log(2), rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "expression",
    [
        Piecewise((1, a > 0), (-1, True)),
        Piecewise((Rational(1, 3), a > 0), (Piecewise((0.1, b > 0), (0.2, True)), True)),
        Heaviside(a),
        Max(a, 0.1),
        Min(b, pi),
        sign(a) * 0.1,
        a ** Rational(1, 3) / 3 + pi,
        2**a,
        atan2(1, a),
        Mod(a, b) + floor(a),
        sympy.sinc(a),
    ],
    ids=str,
)
def test_the_precision_is_that_of_the_inputs(expression, dtype):
    values = [torch.tensor([0.4, 1.3], dtype=dtype), torch.tensor([0.7, 0.2], dtype=dtype)]
    result = run(expression, *values)
    assert result.dtype == dtype
    expected = [_exactly(expression, (float(p), float(q))) for p, q in zip(*values, strict=True)]
    tolerance = 1e-15 if dtype == torch.float64 else 1e-6
    assert result.tolist() == pytest.approx(expected, rel=tolerance)


def test_what_is_left_of_more_steps_than_a_float_can_count_lies_within_one():
    values = torch.tensor([0.1, -0.3], dtype=torch.float64)
    steps = run(Mod(10**25 * a, Rational(1, 3)), values)
    assert steps.tolist() == [math.fmod(1e25 * 0.1, 1 / 3), 1 / 3 - math.fmod(1e25 * 0.3, 1 / 3)]


@pytest.mark.parametrize("function", [sign, Heaviside, floor], ids=str)
def test_a_jump_of_what_is_no_number_is_none(function):
    found = run(function(sqrt(a)), torch.tensor([-1.0, 4.0], dtype=torch.float64))
    assert math.isnan(found[0]) and not math.isnan(found[1])


def test_a_piecewise_of_constants_keeps_the_digits_of_float64():
    values = torch.tensor([1.0, -1.0], dtype=torch.float64)
    result = run(Piecewise((Rational(1, 3), a > 0), (Rational(1, 7), True)), values)
    assert result.tolist() == [1 / 3, 1 / 7]


def test_where_no_condition_holds_the_value_is_nan_as_in_sympy():
    result = run(Piecewise((1, a > 0)), torch.tensor([1.0, -1.0], dtype=torch.float64))
    assert result[0] == 1
    assert math.isnan(result[1])


def test_conditions_with_every_connective():
    values = torch.linspace(-2, 2, 9, dtype=torch.float64)
    for condition in (
        Or(And(a >= -1, a < 0), Not(Or(a <= 1, Eq(a, 2)))),
        Not(And(a > 0, a < 1), evaluate=False),
        sympy.ITE(a > 0, a < 1, a < -1),
        sympy.Xor(a > 0, a > 1),
    ):
        found = run(Piecewise((1, condition), (0, True)), values)
        assert found.tolist() == [float(bool(condition.subs(a, float(v)))) for v in values]


def test_a_number_is_returned_where_nothing_depends_on_the_inputs():
    assert emit(sympy.Integer(3) / 7 + pi, (a,))(torch.zeros(4)) == pytest.approx(3 / 7 + math.pi, rel=1e-15)
    assert emit(sympy.exp(-50) * 10**30, ())() == pytest.approx(math.exp(-50) * 1e30, rel=1e-15)


def test_equal_sub_expressions_are_computed_once():
    program = emit(sin(a * b) + cos(a * b) * sin(a * b) ** 2, (a, b))
    names = [step.function.__name__ for step in program.instructions]
    assert names.count("sin") == names.count("cos") == 1


def test_the_source_reads_as_torch():
    slope = Dummy("u_1")
    source = emit(sqrt(a**2 + slope**2) * exp(-a) / b + Piecewise((1, a > 0), (0, True)), (a, slope, b)).source()
    lines = source.splitlines()
    assert lines[-1].startswith("return v")
    assert any("torch.sqrt(" in line for line in lines)
    assert any("torch.exp(" in line for line in lines)
    assert any("mul(a, a)" in line for line in lines)
    assert any("mul(u_1, u_1)" in line for line in lines)
    assert all(" = " in line for line in lines[:-1])
    assert not any("<" in line for line in lines)  # no address of an object


def test_two_symbols_of_one_name_have_two_names_in_the_source():
    first, second = Dummy("u"), Dummy("u")
    program = emit(first - second, (first, second))
    assert len(set(program.inputs)) == 2
    one, other = (torch.tensor([v], dtype=torch.float64) for v in (5.0, 3.0))
    assert float(program(one, other)) == 2.0


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        (sympy.besselj(0, a), "besselj"),
        (sympy.zeta(a + 2), "zeta"),
        (Function("mystery")(a), "mystery"),
        (I * a, "I"),
        (a + oo, "oo"),
        (zoo * a, "zoo"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(expression, named):
    with pytest.raises(UnsupportedError, match=named) as caught:
        emit(expression, (a, symbols("c")), name="source")
    assert caught.value.term == "source"


def test_the_refusal_lists_the_functions_that_work():
    with pytest.raises(UnsupportedError, match=r"besselj.*atan2.*erf.*Piecewise"):
        emit(sympy.besselj(1, a), (a,))


def test_tensors_broadcast_against_scalar_unknowns():
    points, unknown = torch.linspace(0, 1, 5, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    found = run(Piecewise((b * a, a < b), (exp(a * b), True)) + Max(a, b), points, unknown)
    assert found.shape == (5,)
    assert torch.equal(found, 2 * points + 2)


def test_the_logarithm_of_the_gamma_function_is_not_real_left_of_zero() -> None:
    found = run(sympy.loggamma(a), torch.tensor([-0.5, -1.5, 0.5], dtype=torch.float64))
    assert found[:2].isnan().all() and float(found[2]) == pytest.approx(math.lgamma(0.5))


def test_the_gamma_function_keeps_its_sign_left_of_zero() -> None:
    places = torch.tensor([-3.3, -2.5, -1.2, -0.5, 0.3, 1.0, 4.5], dtype=torch.float64, requires_grad=True)
    values = run(sympy.gamma(a), places)
    expected = torch.tensor([math.gamma(v) for v in places.tolist()], dtype=torch.float64)
    torch.testing.assert_close(values, expected, rtol=1e-13, atol=0.0)
    (slopes,) = torch.autograd.grad(values.sum(), places)
    torch.testing.assert_close(slopes, expected * torch.digamma(places.detach()), rtol=1e-11, atol=0.0)

"""Typesetting: derivatives as subscripts, valid MathML of known elements whatever the names, and LaTeX without foreign commands."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from sympy import (
    Abs,
    Eq,
    Function,
    Heaviside,
    I,
    Integral,
    Mul,
    Piecewise,
    Pow,
    Symbol,
    conjugate,
    exp,
    pi,
    sin,
    sqrt,
    symbols,
)

import pinnsolve as ps
from pinnsolve.typesetting import (
    coordinates_mathml,
    expression_mathml,
    plain_statement,
    statement_latex,
    statement_mathml,
)

x, t, nu = symbols("x t nu")
u = ps.fields("u", x, t)
BURGERS = ps.Problem(
    domain=ps.Box({x: (-1, 1), t: (0, 1)}),
    equations={"burgers": Eq(u.diff(t) + u * u.diff(x), 1e-7 * u.diff(x, 2))},
    conditions={
        "initial": Eq(u(x, 0), -sin(pi * x)),
        "left": Eq(u(-1, t), 0),
        "slope": Eq(u.diff(x).subs(x, 1), 0),
    },
)
MATHML = {
    "math",
    "mrow",
    "mi",
    "mn",
    "mo",
    "mtext",
    "mfrac",
    "msqrt",
    "msub",
    "msup",
    "msubsup",
    "mover",
    "mtable",
    "mtr",
    "mtd",
}


def read(markup: str) -> ElementTree.Element:
    """Parse as XML and check that there are only elements of MathML, each with as many parts as it must have."""
    tree = ElementTree.fromstring(markup)  # noqa: S314 (made here)
    for element in tree.iter():
        assert element.tag in MATHML, element.tag
        expected = {"mfrac": 2, "msub": 2, "msup": 2, "mover": 2, "msubsup": 3}.get(element.tag)
        assert expected is None or len(element) == expected, element.tag
        assert set(element.attrib) <= {"displaystyle"}
    return tree


def written(markup: str) -> str:
    return "".join(read(markup).itertext())


def test_derivatives_are_subscripts_and_places_are_kept() -> None:
    equation, _, _, slope = BURGERS.terms
    assert plain_statement(equation, BURGERS) == "u*u_x + u_t = 1.0e-7*u_xx"
    assert written(statement_mathml(equation, BURGERS)).replace("\u2062", "") == "uux+ut=1·10−7uxx"
    subscripts = ["".join(e[1].itertext()) for e in read(statement_mathml(equation, BURGERS)).iter("msub")]
    assert subscripts == ["x", "t", "xx"]
    assert written(statement_mathml(slope, BURGERS)) == "ux(1,t)=0"
    assert statement_latex(slope, BURGERS) == r"{u}_{x}\left(1, t\right) &= 0"
    assert statement_latex(equation, BURGERS) == r"u {u}_{x} + {u}_{t} &= 1 \cdot 10^{-7} {u}_{x x}"


@pytest.mark.parametrize(
    "expression",
    [
        u**2 * sqrt(x + 1) / (1 + nu),
        u.diff(x) ** 2,
        Integral(u(x, t) * exp(-x), (x, 0, 1)),
        Piecewise((1, x > 0), (u, (x < -1) | (t >= 1)), (0, True)),
        Abs(u) ** 2 * I,
        Heaviside(x) * nu,
        conjugate(u),
        (x - 1) * (t - 2) ** -0.5,
        -2.5e-30 * x,
    ],
    ids=str,
)
def test_every_expression_gives_valid_mathml(expression: Any) -> None:
    assert "u" in written(expression_mathml(expression, BURGERS)) or not expression.has(u)


def test_letters_are_those_that_fonts_have() -> None:
    assert not re.search("[ⅇⅈⅆ]", expression_mathml(I * exp(x) * Integral(u, (x, 0, 1)), BURGERS))


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a&b", "</math><img src=x onerror=alert(1)>", '"', "&lt;b&gt;"]
)
def test_a_name_is_text_and_never_markup(name: str) -> None:
    symbol, field = Symbol(name), Function(name)
    problem = ps.Problem(
        domain=ps.Box({symbol: (0, 1)}),
        equations={"decay": Eq(field(symbol).diff(symbol), -symbol * field(symbol))},
        conditions={"start": Eq(field(0), 1)},
    )
    for markup in (
        *(statement_mathml(term, problem) for term in problem.terms),
        coordinates_mathml((symbol,), problem),
    ):
        assert "<script" not in markup and "<img" not in markup
        read(
            f"<math>{markup.replace('<math>', '').replace('</math>', '')}</math>"
            if markup.count("<math") > 1
            else markup
        )
    assert all("alert" in statement_mathml(t, problem) for t in problem.terms) or "alert" not in name


def test_a_name_holds_no_command_in_latex() -> None:
    evil = Function(r"\href{javascript:alert(1)}{x}")
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations={"decay": Eq(evil(t).diff(t), -evil(t))},
        conditions={"start": Eq(evil(0), 1)},
    )
    text = statement_latex(problem.terms[0], problem)
    assert "href{" not in text and "\\href" not in text


@pytest.mark.parametrize(
    "expression",
    [
        Mul(2, Pow(9, 10**9, evaluate=False), x, evaluate=False),
        sum((x - k) ** 3 for k in range(600)),
        Pow(2.0, Pow(9, 400, evaluate=False), evaluate=False),
    ],
    ids=["a power that would fill the memory", "a sum that nobody reads", "a power in a power"],
)
def test_what_is_too_large_is_not_typeset(expression: Any) -> None:
    assert "too long" in expression_mathml(expression, BURGERS)


def test_a_long_sum_is_written_by_its_ends() -> None:
    many = symbols("x1:21")
    total = sum(k * s for k, s in enumerate(many, 1))
    assert written(expression_mathml(total, BURGERS)).count("+") == 4 and "⋯" in expression_mathml(total, BURGERS)
    w = ps.fields("w", *many)
    problem = ps.Problem(domain=ps.Box(dict.fromkeys(many, (0, 1))), equations={"a": w - 1})
    assert coordinates_mathml(many, problem).count("<math>") == 4

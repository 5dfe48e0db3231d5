"""Typesetting: derivatives as subscripts, valid MathML of known elements whatever the names, and LaTeX without foreign commands."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
import sympy.physics.units as si
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
from pinnsolve.declaration.ansatz import with_networks
from pinnsolve.typesetting import (
    coordinates_mathml,
    expression_mathml,
    plain_expression,
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
    assert plain_statement(equation, BURGERS) == "u*u_x + u_t = 1e-07*u_xx"
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


def heated(**more: Any) -> ps.Problem:
    T = ps.fields("T", x, t)
    conductivity = 45 * si.watt / si.meter / si.kelvin
    return ps.Problem(
        domain=ps.Box({x: (0, 200), t: (0, 3)}),
        units={x: si.millimeter, t: si.hour, T: si.kelvin},
        equations={"heat": Eq(3.9e6 * si.joule / si.kelvin / si.meter**3 * T.diff(t), conductivity * T.diff(x, 2))},
        conditions={
            "start": Eq(T(x, 0), 900 * si.kelvin),
            "wave": Eq(T(0, t), 900 * si.kelvin * exp(-t / (2 * si.hour))),
            "radiating": Eq(
                -conductivity * T.diff(x).subs(x, 20 * si.centimeter),
                si.stefan_boltzmann_constant * (T(200, t) ** 4 - (300 * si.kelvin) ** 4),
            ),
        },
        **more,
    )


def test_units_stand_behind_their_number_and_apart() -> None:
    problem = heated(hard=False)
    heat, start, wave, radiating = problem.terms
    assert plain_statement(heat, problem) == "3.9e+06 J/(K m^3) T_t = 45 W/(K m) T_xx"
    assert plain_statement(start, problem) == "T(x, 0) = 900 K"
    assert plain_statement(wave, problem) == "T(0, t) = 900 K exp(-t/(2*hour))"
    assert plain_statement(radiating, problem) == (
        "-45 W/(K m) T_x(20 cm, t) = stefan_boltzmann_constant*(-8100000000 K^4 + T(200, t)**4)"
    )
    spaced = [written(statement_mathml(term, problem)).replace("\xa0", " ") for term in problem.terms]
    assert spaced[0] == "3.9·106 J/(K m³) Tt=45 W/(K m) Txx"
    assert spaced[2].startswith("T(0,t)=900 K ") and "2 hour" in spaced[2]
    assert spaced[3].startswith("−45 W/(K m) Tx(20 cm,t)=")
    assert statement_latex(heat, problem) == (
        r"3.9 \cdot 10^{6}\,\mathrm{J/(K\,m^{3})}\,{T}_{t} &= 45\,\mathrm{W/(K\,m)}\,{T}_{x x}"
    )
    assert r"{T\left(200, t\right)}^{4}" in statement_latex(radiating, problem)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (210 * si.giga * si.pascal * x, "210 GPa x"),
        (3 * si.kilo * si.newton * si.meter * x, "3 kN m x"),
        (2 * si.kilo * si.meter**2, "2000 m^2"),
        (-si.kelvin * x, "-K x"),
        ((2 * si.kelvin + x * si.kelvin / si.meter) ** 2, "(2 K + K/m x)**2"),
        (x / (3 * si.kelvin), "x/(3*K)"),
        (si.gravitational_constant * si.kilogram / si.meter, "kg/m G"),
        (pi * si.newton * (x + si.meter), "pi N (m + x)"),
    ],
)
def test_prefixes_powers_and_constants_beside_units(expression: Any, text: str) -> None:
    assert plain_expression(expression, BURGERS) == text


def test_the_network_in_an_ansatz_has_a_name_of_its_own() -> None:
    assert with_networks({u: x + t * u}) == {u: x + t * Symbol("N")}
    assert with_networks({u: Symbol("N") + t * u}) == {u: Symbol("N") + t * Symbol("N_u")}
    v = ps.fields("v", x, t)
    assert with_networks({u: t * u, v: v + x}) == {u: t * Symbol("N_u"), v: x + Symbol("N_v")}

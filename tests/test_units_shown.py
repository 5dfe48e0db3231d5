"""Units of residuals and of quantities: in what they are, where they are printed, and that they are stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sympy import Eq, exp, pi, sin, symbols
from sympy.physics.units import hour, joule, kelvin, meter, millimeter, watt

import pinnsolve as ps
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.drawing.residuals import residual_figure
from pinnsolve.residuals import held_out_residuals
from pinnsolve.summary import residual_lines

x, t, k = symbols("x t k")
T = ps.fields("T", x, t)
CONDUCTIVITY = 45 * watt / meter / kelvin
CAPACITY = 3.9e6 * joule / meter**3 / kelvin


def bar(**more: Any) -> ps.Problem:
    declared: dict[str, Any] = {
        "domain": ps.Box({x: (0, 200), t: (0, 3)}),
        "units": {x: millimeter, t: hour, T: kelvin},
        "equations": {"heat": Eq(T.diff(t), CONDUCTIVITY / CAPACITY * T.diff(x, 2))},
        "conditions": {
            "start": Eq(T(x, 0), 300 * kelvin * (1 + sin(pi * x / (200 * millimeter)))),
            "insulated": Eq(T.diff(x).subs(x, 0), 0),
            "flux": Eq(-CONDUCTIVITY * T.diff(x).subs(x, 200), 1000 * watt / meter**2),
        },
        "hard": False,
    }
    return ps.Problem(**declared | more)


def test_a_residual_is_in_the_unit_of_what_stands_alone_or_in_a_power_of_ten_of_si_units(known: Any) -> None:
    problem = bar()
    again = problem_from_data(json.loads(json.dumps(problem_to_data(problem))))
    for declared in (problem, again):
        units = {term.name: term.unit for term in declared.terms}
        assert units == {"heat": "K/hour", "start": "K", "insulated": "K/mm", "flux": "10^4 kg/s^3"}
    solution = known(problem, lambda x, t: 300 + 2 * t + 0 * x)
    found = held_out_residuals(solution, seed=0)
    assert found["heat"]["rms"] == pytest.approx(2) and found["heat"]["unit"] == "K/hour"
    assert found["flux"]["rms"] == pytest.approx(0.1)  # 1000 W/m^2 are 0.1 times 10^4 kg/s^3
    lines = residual_lines(found, problem.units.texts)
    assert lines[0].startswith("heat: rms 2.00e+00, max 2.00e+00 in K/hour at x = ")
    figure = residual_figure(solution)
    assert figure is not None and "K/hour" in " ".join(text.get_text() for text in figure.findobj(_is_text))


def _is_text(artist: Any) -> bool:
    return hasattr(artist, "get_text")


def test_a_pure_number_has_no_unit(known: Any) -> None:
    u = ps.fields("u", x)
    problem = ps.Problem(domain=ps.Interval(x, 0, 1), equations={"slope": u.diff(x)}, conditions={"at": Eq(u(0), 1)})
    assert problem.term("slope").unit == ""
    assert "unit" not in held_out_residuals(known(problem, lambda x: x), seed=0)["slope"]


@pytest.mark.parametrize(
    ("units", "term", "told"),
    [
        ({x: millimeter, t: hour}, "start", "T has no unit · write units={..., T: kelvin}, or multiply"),
        ({x: millimeter, T: kelvin}, "heat", "t has no unit · write units={..., t: second}, or multiply"),
        ({t: hour, T: kelvin}, "heat", "x has no unit · write units={..., x: meter}, or multiply"),
    ],
)
def test_a_unit_that_was_forgotten_is_named_with_what_it_must_be(units: Any, term: str, told: str) -> None:
    with pytest.raises(ps.ProblemError) as caught:
        bar(units=units)
    assert str(caught.value).startswith(f"{term} · ") and told in str(caught.value)


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (k * T.diff(x, 2), "k has no unit · write units={..., k: meter**2/second}, or multiply"),
        (exp(-k * t) * T / hour, "k has no unit · write units={..., k: 1/second}, or divide it by a time"),
        (k * T.diff(x, 2) * watt * sin(T / kelvin) / meter, "k has no unit · write units={..., k: "),
    ],
)
def test_so_is_that_of_a_parameter(rate: Any, told: str) -> None:
    with pytest.raises(ps.ProblemError) as caught:
        bar(equations={"heat": Eq(T.diff(t), rate)}, unknowns={k: 1.0})
    assert str(caught.value).startswith("heat · ") and told in str(caught.value)


def test_where_no_unit_is_missing_none_is_asked_for() -> None:
    with pytest.raises(ps.ProblemError) as caught:
        bar(equations={"heat": Eq(T.diff(t), CONDUCTIVITY * T.diff(x, 2))})
    assert "no unit" not in str(caught.value) and "multiply" in str(caught.value)

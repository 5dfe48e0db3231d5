"""Units of residuals and of quantities: in what they are, where they are printed, and that they are stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from matplotlib.text import Text
from sympy import Eq, exp, pi, sin, symbols
from sympy.physics.units import centimeter, hour, joule, kelvin, meter, millimeter, watt

import pinnsolve as ps
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.drawing.residuals import residual_figure
from pinnsolve.integrals import quantities_of
from pinnsolve.residuals import held_out_residuals
from pinnsolve.summary import quantity_text, residual_lines

x, t, k = symbols("x t k")
T, u = ps.fields("T", x, t), ps.fields("u", x)
STRIP = ps.Box({x: (0, 200), t: (0, 3)})
CONDUCTIVITY = 45 * watt / meter / kelvin
CAPACITY = 3.9e6 * joule / meter**3 / kelvin


def bar(**more: Any) -> ps.Problem:
    declared: dict[str, Any] = {
        "domain": STRIP,
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
    assert figure is not None and "K/hour" in " ".join(text.get_text() for text in figure.findobj(Text))


def test_a_pure_number_has_no_unit(known: Any) -> None:
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


def wanting(**quantities: ps.Quantity) -> ps.Problem:
    return bar(quantities=quantities)


def test_a_quantity_is_in_the_unit_of_what_is_known_that_told_or_what_follows(known: Any) -> None:
    problem = wanting(
        drop=ps.Quantity(T(200, 0) - T(0, 0), known=0.2),
        slope=ps.Quantity(T.diff(x).subs({x: 100, t: 0})),
        flux=ps.Quantity(-CONDUCTIVITY * T.diff(x).subs({x: 200, t: 0}), known=-45 * watt / meter**2),
        si=ps.Quantity(-CONDUCTIVITY * T.diff(x).subs({x: 200, t: 0})),
        told=ps.Quantity(-CONDUCTIVITY * T.diff(x).subs({x: 200, t: 0}), unit=watt / centimeter**2, known=-4.5e-3),
        heat=ps.Quantity(CAPACITY * T.subs(t, 0), over=ps.Interval(x, 0, 200), known=2.34e8 * joule / meter**2),
        mean=ps.Quantity(T / 600, over=STRIP),
        given=ps.Quantity(-CONDUCTIVITY * T.diff(x), over=STRIP.face(x, 200), unit=joule / meter**2),
    )
    solution = known(problem, lambda x, t: 300 + x / 1000 + 0 * t)
    found = quantities_of(solution)
    expected = {
        "drop": (0.2, "K"),
        "slope": (1e-3, "K/mm"),
        "flux": (-45, "W/m^2"),
        "si": (-45, "kg/s^3"),
        "told": (-4.5e-3, "W/cm^2"),
        "heat": (3.9e6 * 300.1 * 0.2, "J/m^2"),
        "mean": (300.1 * 600 / 600, "hour K mm"),
        "given": (-45 * 3 * 3600, "J/m^2"),
    }
    assert {name: (value["value"], value["unit"]) for name, value in found.items()} == {
        name: (pytest.approx(value), unit) for name, (value, unit) in expected.items()
    }
    assert [found[name]["known"] for name in ("drop", "flux", "told")] == [0.2, pytest.approx(-45), -4.5e-3]
    assert quantity_text(found["flux"]) == "-45 W/m^2 (known: -45 W/m^2, off by 0 %)" or found["flux"]["relative_error"]
    again = problem_from_data(json.loads(json.dumps(problem_to_data(problem))))
    assert quantities_of(known(again, lambda x, t: 300 + x / 1000 + 0 * t)) == found


def test_what_has_no_unit_stays_a_number_and_an_integral_takes_units(known: Any) -> None:
    solution = known(wanting(ratio=ps.Quantity(T(200, 0) / T(0, 0))), lambda x, t: 300 + x / 1000 + 0 * t)
    assert quantities_of(solution) == {"ratio": {"value": pytest.approx(300.2 / 300)}}
    heat = solution.integral(CAPACITY * T / (joule / meter**3), over=ps.Interval(x, 0, 200), t=0)
    assert heat == pytest.approx(3.9e6 * 300.1 * 200)


@pytest.mark.parametrize(
    ("quantity", "told"),
    [
        (
            ps.Quantity(T(0, 0), known=3 * watt),
            "a value with the dimension temperature in the unit watt · write a unit such",
        ),
        (ps.Quantity(T(0, 0), unit=meter, known=3 * kelvin), "in the unit meter"),
        (ps.Quantity(T(0, 0), unit="K"), "'K' is not a unit"),
        (ps.Quantity(T(0, 0) + 3 * meter, unit=kelvin), "3*meter has the dimension length where T(0, 0)"),
        (ps.Quantity(watt * T, over=STRIP.boundary), "a boundary between x, t, of different units"),
        (ps.Quantity(u(0), known=3 * kelvin), "the field u(0) is not declared"),
    ],
)
def test_a_quantity_of_another_dimension_is_refused(quantity: ps.Quantity, told: str) -> None:
    with pytest.raises(ps.ProblemError) as caught:
        wanting(wanted=quantity)
    assert str(caught.value).startswith("wanted · ") and told in str(caught.value)


def test_a_quantity_has_no_unit_in_a_problem_without() -> None:
    with pytest.raises(
        ps.ProblemError, match=r"wanted · the unit of 3\*kelvin in a problem without units · write a number"
    ):
        ps.Problem(
            domain=ps.Interval(x, 0, 1),
            equations={"slope": u.diff(x)},
            conditions={"at": Eq(u(0), 1)},
            quantities={"wanted": ps.Quantity(u(0), known=3 * kelvin)},
        )

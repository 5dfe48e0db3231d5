"""Problems with units solved: by references and by training, with what is told, drawn and stored of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from sympy import Eq, Expr, Integral, exp, pi, sin, symbols
from sympy.physics.units import centimeter, hour, kelvin, meter, millimeter, minute, second, watt

import pinnsolve as ps
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.drawing.labels import axis_label, unit_label, value_of
from pinnsolve.drawing.views import arrange
from pinnsolve.reference.exact import exact_reference
from pinnsolve.reference.solve import solve_reference
from pinnsolve.smooth_solutions import choose_solution
from pinnsolve.summary import summarise

x, y, t, c = symbols("x y t c")
T, u = ps.fields("T", x, t), ps.fields("u", t)
STEEL = 1.2e-5 * meter**2 / second


def bar(*, diffusivity: Any = STEEL, more: Any = MappingProxyType({}), **rest: Any) -> tuple[ps.Problem, Expr]:
    """A bar of half a metre over 5,000 s, from 300 to 800 K, in mm and hours; its temperature."""
    length, end = 500 * millimeter, 5e3 / 3600
    problem = ps.Problem(
        domain=ps.Box({x: (0, 500), t: (0, end)}),
        units={x: millimeter, t: hour, T: kelvin},
        equations={"heat": Eq(T.diff(t), diffusivity * T.diff(x, 2))},
        conditions={
            "start": Eq(T(x, 0), 300 * kelvin + 500 * kelvin * sin(pi * x / length)),
            "left": Eq(T(0, t), 300 * kelvin),
            "right": Eq(T(50 * centimeter, t), 300 * kelvin),
            **more,
        },
        **rest,
    )
    return problem, 300 * kelvin + 500 * kelvin * sin(pi * x / length) * exp(-diffusivity * (pi / length) ** 2 * t)


def twin() -> tuple[ps.Problem, Expr]:
    """The same without dimensions."""
    rate = 1.2e-5 * 5e3 / 0.5**2
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(T.diff(t), rate * T.diff(x, 2))},
        conditions={"start": Eq(T(x, 0), sin(pi * x)), "left": Eq(T(0, t), 0), "right": Eq(T(1, t), 0)},
    )
    return problem, sin(pi * x) * exp(-rate * pi**2 * t)


def test_finite_differences_solve_what_the_closed_form_is() -> None:
    problem, exact = bar()
    solved = solve_reference(problem, ps.FiniteDifferences(cells={x: 64}), unknowns={})
    truth = exact_reference(problem, ps.Exact({T: exact}), unknowns={})
    places = np.array([[250.0, 0.5], [125.0, 1.0], [40.0, 0.1]])
    expected = 300 + 500 * np.sin(np.pi * places[:, 0] / 500) * np.exp(
        -1.2e-5 * (np.pi / 0.5) ** 2 * 3600 * places[:, 1]
    )
    assert np.allclose(truth.evaluate(places)["T"], expected, rtol=1e-12)
    assert np.allclose(solved.evaluate(places)["T"], expected, rtol=1e-6)


@pytest.mark.parametrize("form", [300 + x * kelvin / meter, 300 * meter, 300 * kelvin * exp(t)])
def test_a_closed_form_of_another_dimension_is_refused(form: Expr) -> None:
    with pytest.raises(ps.ProblemError, match=r"Exact, T · .*(temperature|time)"):
        exact_reference(bar()[0], ps.Exact({T: form}), unknowns={})


def test_quantities_in_a_closed_form_ask_for_units() -> None:
    with pytest.raises(ps.ProblemError, match=r"Exact, T · kelvin in a problem without units"):
        exact_reference(twin()[0], ps.Exact({T: 3 * kelvin * sin(x)}), unknowns={})


def test_a_manufactured_problem_has_the_units_of_the_first() -> None:
    problem, _ = bar(diffusivity=c * meter**2 / second, unknowns={c: 2e-5}, data=measured({T: 320}))
    known = 400 * kelvin + 50 * kelvin * sin(3 * pi * x / meter) * exp(-t / hour)
    made = ps.manufactured(problem, {T: known})
    assert made.units.texts == problem.units.texts and not made.unknowns
    solved = solve_reference(made, ps.FiniteDifferences(cells={x: 64}), unknowns={})
    expected = 400 + 50 * np.sin(3 * np.pi * 0.1) * np.exp(-1)
    assert solved.evaluate(np.array([[100.0, 1.0]]))["T"][0] == pytest.approx(expected, rel=1e-6)
    assert made.data["sensors"].values[T][0] == pytest.approx(expected)
    with pytest.raises(ps.ProblemError, match=r"manufactured, T.* · 400 is a bare number"):
        ps.manufactured(problem, {T: 400 + x * kelvin / meter})
    waves, chosen = choose_solution(bar()[0])
    assert waves[T].has(kelvin) and chosen.units.texts == problem.units.texts
    summed = Eq(Integral(T, (x, 0, 500)), 0 * kelvin * meter)
    problem = bar(more={"sum": summed})[0]
    with pytest.raises(ps.UnsupportedError, match="a source with an integral"):
        ps.manufactured(problem, {T: known * sin(x / meter) * exp(x**2 / meter**2)})


def measured(values: dict[Any, Any], **more: Any) -> dict[str, Any]:
    return {"sensors": ps.Observations(at={x: 100, t: 1}, values=values, **more)}


@pytest.fixture(scope="module")
def cooled(tmp_path_factory: pytest.TempPathFactory) -> tuple[ps.Solution, Path]:
    """A cup that cools at a rate of 0.015 per minute, found from what was measured in hours."""
    times = np.linspace(0, 2, 12)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 2),
        units={t: hour, u: kelvin, c: 1 / minute},
        unknowns={c: 0.01},
        equations={"cooling": Eq(u.diff(t), -c * (u - 300 * kelvin))},
        conditions={"start": Eq(u(0), 400 * kelvin)},
        data={"cup": ps.Observations(at={t: times}, values={u: 300 + 100 * np.exp(-0.9 * times)}, noise=0.5)},
    )
    known = ps.Exact({u: 300 * kelvin + 100 * kelvin * exp(-c * t)}, unknowns={c: 0.015})
    training = ps.Training(points={"cooling": 40}, phases=[ps.LevenbergMarquardt(steps=25)])
    out = tmp_path_factory.mktemp("cooled") / "run"
    return ps.solve(problem, ps.MLP(width=8, depth=1), training, known, compile="off", out=out), out


def test_an_unknown_is_found_in_its_unit(cooled: tuple[ps.Solution, Path]) -> None:
    solution, _ = cooled
    assert solution.unknowns["c"] == pytest.approx(0.015, rel=1e-3)
    assert solution.errors["u"]["relative_l2"] < 1e-4
    assert float(solution(t=1.0)) == pytest.approx(300 + 100 * np.exp(-0.9), abs=0.05)
    assert float(solution.evaluate(u.diff(t), t=1.0)) == pytest.approx(-90 * np.exp(-0.9), rel=1e-2)


def test_an_evaluated_quantity_is_divided_by_its_unit(cooled: tuple[ps.Solution, Path]) -> None:
    solution, _ = cooled
    slope = float(solution.evaluate(u.diff(t), t=1.0))
    flow = 36 * watt * second / kelvin * u.diff(t)
    assert float(solution.evaluate(flow / watt, t=1.0)) == pytest.approx(0.01 * slope)
    with pytest.raises(ps.ProblemError, match="divide by the unit that its values are in, such as"):
        solution.evaluate(flow, t=1.0)
    with pytest.raises(ps.ProblemError, match="temperature"):
        solution.evaluate(u - u.diff(t), t=1.0)


def test_records_and_pages_tell_the_units(cooled: tuple[ps.Solution, Path]) -> None:
    solution, out = cooled
    record = json.loads((out / "result.json").read_text())
    assert record["units"] == {"t": "hour", "u": "K", "c": "1/minute"}
    assert "c = 0.015" in solution.message and "1/minute" in solution.message
    lines = summarise(record)
    assert " 1/minute" in lines and " K at t = " in lines and " hour" in lines
    page = (out / "report.html").read_text()
    assert "<mtext>&#160;hour</mtext>" in page and "<mtext>K</mtext>" in page and "1/minute" in page
    assert "1/minute" in solution._repr_html_()


def test_a_stored_solution_keeps_its_units(cooled: tuple[ps.Solution, Path], tmp_path: Path) -> None:
    solution, out = cooled
    again = ps.load(out)
    assert again.problem.units.texts == solution.problem.units.texts
    assert np.array_equal(again(t=[0.5, 1.0]), solution(t=[0.5, 1.0]))
    source = solution.export(tmp_path / "cup.py").read_text()
    assert "UNITS = {'t': 'hour', 'u': 'K', 'c': '1/minute'}" in source


def test_what_differs_in_units_alone_is_another_problem() -> None:
    plain = {"domain": ps.Interval(t, 0, 1), "equations": u.diff(t), "conditions": {"start": u(0)}}
    first, second_ = ps.Problem(**plain), ps.Problem(**plain, units={u: kelvin})
    assert [term.residual for term in first.terms] == [term.residual for term in second_.terms]
    assert problem_to_data(first) != problem_to_data(second_)
    assert problem_from_data(problem_to_data(second_)).units == second_.units


def test_pictures_name_the_units(cooled: tuple[ps.Solution, Path]) -> None:
    solution, _ = cooled
    (axes,) = solution.plot().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$t$ [hour]", "$u$ [K]")
    assert "1/minute" in solution.plot().get_suptitle()
    (view,) = arrange({x: (0, 500), t: (0, 1)}, bar()[0])
    assert [axis_label(view, k) for k in (0, 1)] == ["$t$ [hour]", "$x$ [mm]"]
    assert value_of(view, t, 0.5) == "$t$ = 0.5 hour"
    assert unit_label("m^2/s^-3") == "m$^{2}$/s$^{-3}$"
    space = ps.fields("v", x, y)
    units = {x: millimeter, y: meter}
    across = ps.Problem(
        domain=ps.Box({x: (0, 1), y: (0, 1)}),
        units=units,
        equations=Eq(ps.laplacian(space, x, y), 0),
        conditions={"edge": ps.on(ps.Box({x: (0, 1), y: (0, 1)}).boundary, Eq(space, 0))},
    )
    assert arrange(dict(across.bounds), across)[0].shape is None  # a millimetre is not drawn as long as a metre


@pytest.mark.slow
def test_a_steel_bar_in_units_trains_as_well_as_its_twin_in_none() -> None:
    def error(declared: tuple[ps.Problem, Expr], seed: int) -> float:
        phases: list[Any] = [ps.Adam(steps=100, lr=5e-3), ps.LevenbergMarquardt(steps=60, resample=1)]
        training = ps.Training(points={"heat": 300}, phases=phases)
        problem, exact = declared
        solution = ps.solve(
            problem, ps.MLP(width=12, depth=2), training, ps.Exact({T: exact}), compile="off", seed=seed
        )
        truth = np.asarray(solution.reference.values["T"])
        return float(solution.errors["T"]["relative_l2"]) * float(np.sqrt((truth**2).mean()) / truth.std())

    ours, theirs = (np.median([error(build(), seed) for seed in range(3)]) for build in (bar, twin))
    print(f"a steel bar in mm, hours and K: {ours:.1e}, its twin in none {theirs:.1e}")
    assert ours < 2 * theirs


def test_wanted_numbers_are_in_the_units_of_their_fields_or_in_si_units_beside_quantities() -> None:
    face = ps.Box({x: (0, 500), t: (0, 5e3 / 3600)}).face(x, 0)
    wanted = {"lost": ps.Quantity(T.diff(x), over=face)}
    wanted["heat"] = ps.Quantity(watt / meter / kelvin * T.diff(x), over=face)
    found = bar(quantities=wanted)[0].quantities
    assert found["lost"].expression == T.diff(x) and found["lost"].unit.text == "hour K/mm"
    assert found["heat"].unit.text == "kg/s^2"  # J/m^2

"""Units: statements with quantities against the same ones converted by hand, and what is refused, stored, drawn and found."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import constants
from sympy import (
    Abs,
    Eq,
    Expr,
    Function,
    Heaviside,
    I,
    Integral,
    Max,
    Piecewise,
    cos,
    exp,
    pi,
    sin,
    sqrt,
    symbols,
)
from sympy.physics import units as si
from sympy.physics.units import (
    centimeter,
    gram,
    hour,
    kelvin,
    meter,
    millimeter,
    millisecond,
    minute,
    newton,
    pascal,
    second,
    stefan_boltzmann_constant,
    watt,
)

import pinnsolve as ps
from pinnsolve.declaration.measures import named_quantities, unit_of
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.declaration.trees import TreeError, from_tree, to_tree
from pinnsolve.problem_view import problem_latex
from pinnsolve.typesetting import plain_statement, statement_mathml

x, y, t, s, k, c = symbols("x y t s k c")
T, w, u = ps.fields("T", x, t), ps.fields("w", x), ps.fields("u", t)
p, q = ps.fields("p q", x, y)
PLATE = ps.Mesh.read(Path(__file__).parent / "meshes" / "plate_4.1_text.msh", coordinates=(x, y))
STRIP = ps.Box({x: (0, 200), t: (0, 3)})
CONDUCTIVITY = 50 * watt / meter / kelvin


def bar(**changes: Any) -> dict[str, Any]:
    """A steel bar of 200 mm over three hours, between ends at 300 K."""
    right = {
        "initial": Eq(T(x, 0), 300 * kelvin + 50 * kelvin * sin(pi * x / (200 * millimeter))),
        "left": Eq(T(0, t), 300 * kelvin),
        "right": Eq(T(20 * centimeter, t), 300 * kelvin),
    }
    declared: dict[str, Any] = {
        "domain": STRIP,
        "units": {x: millimeter, t: hour, T: kelvin},
        "equations": {"heat": Eq(T.diff(t), 1e-6 * meter**2 / second * T.diff(x, 2))},
        "conditions": right,
    }
    conditions = {name: changes.pop(name) for name in tuple(changes) if name in right}
    return declared | changes | {"conditions": right | changes.get("conditions", {}) | conditions}


def cooling(start: Any = 400 * kelvin, rate: Any = c, unit: Any = 1 / hour, field: Any = u) -> dict[str, Any]:
    return {
        "domain": ps.Interval(t, 0, 2),
        "units": {t: hour, field: kelvin, c: unit},
        "unknowns": {c: 0.5},
        "equations": {"cooling": Eq(field.diff(t), -rate * (field - 300 * kelvin))},
        "conditions": {"start": Eq(field(0), start)},
    }


DECAY = 300 + 50 * sin(pi * x / 200) * exp(-3600 * pi**2 * t / 200**2)
"""In K, mm and hours."""

QUANTITY_DECAY = 300 * kelvin + 50 * kelvin * sin(pi * x / (200 * millimeter)) * exp(
    -1e-6 * meter**2 / second * (pi / (0.2 * meter)) ** 2 * t
)


def beam() -> dict[str, Any]:
    """A beam whose deflection is told in mm, its length in m, loaded on a part of it and by a force."""
    stiffness = 210 * si.giga * pascal * 8e-6 * meter**4
    load = Piecewise((3 * si.kilo * newton / meter, x < 50 * centimeter), (0, True))
    return {
        "domain": ps.Interval(x, 0, 2),
        "units": {x: meter, w: millimeter},
        "equations": {"beam": Eq(stiffness * w.diff(x, 4), load + newton / meter * Heaviside(x - 1500 * millimeter))},
        "conditions": {
            "clamped": [Eq(w(0), 0), Eq(w.diff(x).subs(x, 0), 0)],
            "end": [
                Eq(w.diff(x, 2).subs(x, 2), 0),
                Eq(stiffness * w.diff(x, 3).subs(x, 200 * centimeter), -9 * newton),
            ],
        },
    }


def radiating() -> dict[str, Any]:
    """A wall that is kept warm on one side and radiates on the other."""
    flux = -CONDUCTIVITY * w.diff(x).subs(x, 30)
    return {
        "domain": ps.Interval(x, 0, 30),
        "units": {x: millimeter, w: kelvin},
        "equations": {"wall": w.diff(x, 2)},
        "conditions": {
            "warm": Eq(w(0), 900 * kelvin),
            "radiating": Eq(flux, stefan_boltzmann_constant * (w(30) ** 4 - (290 * kelvin) ** 4) / 2),
        },
    }


def spring() -> dict[str, Any]:
    """A mass on a spring with a damper, under gravity, in mm and ms."""
    mass, stiffness, damping = 20 * gram, 80 * newton / millimeter, 4 * newton * second / meter
    force = mass * si.acceleration_due_to_gravity
    return {
        "domain": ps.Interval(t, 0, 5),
        "units": {t: millisecond, u: millimeter},
        "equations": {"spring": Eq(mass * u.diff(t, 2) + damping * u.diff(t) + stiffness * u, -force)},
        "conditions": {"released": Eq(u(0), 2 * millimeter), "at_rest": Eq(u.diff(t).subs(t, 0), 0 * meter / second)},
    }


def memory() -> dict[str, Any]:
    """A creep law with a memory, a kernel in hours, and what was lost in all."""
    kernel = exp(-(t - s) / (30 * minute))
    return {
        "domain": ps.Interval(t, 0, 2),
        "units": {t: hour, u: kelvin, c: kelvin * second},
        "unknowns": {c: 100},
        "equations": {"creep": Eq(u.diff(t), -u / hour - Integral(kernel * u(s), (s, 0, t)) / (2 * hour) ** 2)},
        "conditions": {"start": Eq(u(0), 10 * kelvin), "lost": Eq(Integral(u(t), (t, 0, 120 * minute)), c)},
    }


def electron() -> dict[str, Any]:
    """A free electron, its complex wave on a nanometre over a picosecond."""
    h = ps.fields("h", x, t)
    kinetic = si.hbar**2 / (2 * si.electron_rest_mass)
    return {
        "domain": ps.Box({x: (-1, 1), t: (0, 1)}),
        "units": {x: si.nanometer, t: si.picosecond, h: 1 / sqrt(si.nanometer)},
        "equations": {"schroedinger": Eq(I * si.hbar * h.diff(t), -kinetic * h.diff(x, 2))},
        "conditions": {
            "start": Eq(h(x, 0), cos(pi * x / (2 * si.nanometer)) / sqrt(si.nanometer)),
            "ends": [Eq(h(-1, t), 0), Eq(h(1, t), 0)],
        },
    }


def plate() -> dict[str, Any]:
    """Two materials joined on a mesh in mm, with a coefficient by groups."""
    flow = PLATE.where({"steel": CONDUCTIVITY, "air": 0.02 * watt / meter / kelvin + x * watt / meter**2 / kelvin})
    across = ps.grad(p, x, y).dot(PLATE.normal)
    flux = ps.grad(q, x, y).dot(PLATE.normal)
    return {
        "domain": PLATE,
        "units": {x: millimeter, y: millimeter, p: kelvin, q: kelvin},
        "equations": {
            "steel": ps.on(PLATE["steel"], Eq(ps.laplacian(p, x, y), 0)),
            "air": ps.on(PLATE["air"], Eq(ps.laplacian(q, x, y), 0)),
        },
        "conditions": {
            "inlet": ps.on(PLATE["inlet"], Eq(p, 300 * kelvin)),
            "outlet": ps.on(PLATE["outlet"], Eq(-flow * flux, 9 * watt / meter**2 / kelvin * (q - 280 * kelvin))),
            "joint": ps.on(
                PLATE.interface("steel", "air"), Eq(p, q), Eq(CONDUCTIVITY * across, watt / meter / kelvin * flux)
            ),
            "near": ps.on(PLATE["walls"] & PLATE["steel"], Eq(across, 0)),
            "far": ps.on((PLATE["walls"] & PLATE["air"]) + PLATE["hole"], Eq(flux, 0)),
        },
    }


def reflected() -> dict[str, Any]:
    """A bar whose places exchange heat with those opposite, above what is less than 310 K."""
    opposite = T(200 * millimeter - x, t) - Max(T, 310 * kelvin)
    return bar(equations={"heat": Eq(T.diff(t), 1e-6 * meter**2 / second * T.diff(x, 2) + Abs(opposite) / (2 * hour))})


def by_hand(name: str) -> dict[str, Any]:
    """What the terms of a declaration above are in the numbers of its units, converted by hand."""
    n, m = PLATE.normal
    h_re, h_im = Function("h_re")(x, t), Function("h_im")(x, t)
    flow, flux = PLATE.where({"steel": 50, "air": 0.02 + x / 1000}), n * q.diff(x) + m * q.diff(y)
    quantum, mass = (1e9**0.5 * a for a in (constants.hbar / 1e-12, constants.hbar**2 / (2 * constants.m_e) / 1e-18))
    return {
        "bar": {
            "heat": T.diff(t) - 3600 * T.diff(x, 2),
            "initial": T(x, 0) - 300 - 50 * sin(pi * x / 200),
            "left": T(0, t) - 300,
            "right": T(200, t) - 300,
        },
        "beam": {
            "beam": 1680 * w.diff(x, 4) - Piecewise((3000, x < 0.5), (0, True)) - Heaviside(x - 1.5),
            "clamped[1]": w.diff(x).subs(x, 0),
            "end[1]": 1680 * w.diff(x, 3).subs(x, 2) + 9,
        },
        "radiating": {
            "radiating": -50_000 * w.diff(x).subs(x, 30) - constants.sigma / 2 * (w(30) ** 4 - 290**4),
            "warm": w(0) - 900,
        },
        "spring": {
            "spring": 20 * u.diff(t, 2) + 4 * u.diff(t) + 80 * u + 0.02 * constants.g,
            "released": u(0) - 2,
            "at_rest": u.diff(t).subs(t, 0),
        },
        "memory": {
            "creep": u.diff(t) + u + Integral(exp(-2 * (t - s)) * u(s), (s, 0, t)) / 4,
            "lost": 3600 * Integral(u(t), (t, 0, 2)) - c,
        },
        "electron": {
            "schroedinger.re": -quantum * h_im.diff(t) + mass * h_re.diff(x, 2),
            "schroedinger.im": quantum * h_re.diff(t) + mass * h_im.diff(x, 2),
            "start.re": h_re.subs(t, 0) - cos(pi * x / 2),
        },
        "plate": {
            "air": q.diff(x, 2) + q.diff(y, 2),
            "inlet": p - 300,
            "outlet": -1000 * flow * flux - 9 * (q - 280),
            "joint[1]": 50 * (n * p.diff(x) + m * p.diff(y)) - flux,
        },
        "reflected": {"heat": T.diff(t) - 3600 * T.diff(x, 2) - Abs(T(200 - x, t) - Max(T, 310)) / 2},
    }[name]


DECLARATIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "bar": bar,
    "beam": beam,
    "radiating": radiating,
    "spring": spring,
    "memory": memory,
    "electron": electron,
    "plate": plate,
    "reflected": reflected,
}
AS_WRITTEN = {"heat", "initial", "left", "right", "warm", "released", "at_rest", "creep", "start.re", "inlet", "air"}
"""Terms of which a part is a field or a derivative alone: it stands there as it did."""

MEASURED = {"radiating", "electron"}
"""With constants that SciPy has from a later adjustment than SymPy."""


def value(expression: Any, problem: ps.Problem, row: int) -> float:
    """An expression where waves about 300 take the place of the fields, at some place of the domain."""
    generator = np.random.default_rng(row)
    for number, field in enumerate(problem.fields):

        def wave(*places: Expr, number: int = number) -> Expr:
            phases = (place / (k + 2) for k, place in enumerate(places))
            return 300 + 10 * cos(1 + number + sum(phases))

        expression = expression.replace(lambda e, f=field: e.func.__name__ == f.func.__name__, lambda e: wave(*e.args))
    expression = expression.doit(integrals=False)
    places = {c: generator.uniform(*ends) for c, ends in problem.bounds.items()}
    others = sorted(expression.free_symbols - set(places), key=str)
    return float(expression.subs(places | {symbol: generator.uniform(1, 2) for symbol in others}).evalf())


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_statement_is_that_converted_by_hand(name: str) -> None:
    problem = ps.Problem(**DECLARATIONS[name]())
    for term, hand in by_hand(name).items():
        ours, theirs = ([value(e, problem, row) for row in range(2)] for e in (problem.term(term).residual, hand))
        factor = 1.0 if term in AS_WRITTEN else 10.0 ** round(np.log10(ours[0] / theirs[0]))
        assert np.allclose(ours, factor * np.array(theirs), rtol=1e-8 if name in MEASURED else 1e-13, atol=0), term


def test_numbers_are_moderate_where_no_field_stands_alone() -> None:
    problem = ps.Problem(**beam())
    assert problem.term("beam").residual.coeff(w.diff(x, 4)) == pytest.approx(1.68)
    assert ps.Problem(**radiating()).term("radiating").residual.coeff(w.diff(x).subs(x, 30)) == pytest.approx(-5)


def refuse(declared: dict[str, Any], *parts: str, kind: type[Exception] = ps.ProblemError) -> None:
    with pytest.raises(kind) as caught:
        ps.Problem(**declared)
    for part in parts:
        assert part in str(caught.value)


LONELY = si.Quantity("widget")
MISTAKES: dict[str, tuple[Callable[[], dict[str, Any]], tuple[str, ...]]] = {
    "a bare number": (
        lambda: bar(left=Eq(T(0, t), 300)),
        ("left · 300 is a bare number where T(0, t) has the dimension temperature · write 300*kelvin",),
    ),
    "a bare coefficient": (
        lambda: bar(equations={"heat": Eq(T.diff(t), 12 * T.diff(x, 2))}),
        ("heat", "temperature/length^2", "temperature/time", "such as meter**2/second"),
    ),
    "an unknown without a unit": (
        lambda: bar(equations={"heat": Eq(T.diff(t), k * T.diff(x, 2))}, unknowns={k: 1}),
        ("heat · k*Derivative", "k has no unit · write units={..., k: meter**2/second}"),
    ),
    "another dimension": (
        lambda: bar(left=Eq(T(0, t), 2 * meter)),
        ("left · 2*meter has the dimension length where T(0, t) has the dimension temperature", "kelvin/meter"),
    ),
    "a function of a length": (
        lambda: bar(initial=Eq(T(x, 0), 300 * kelvin * sin(pi * x))),
        ("initial · pi*x, the argument of sin, has the dimension length · divide it by a length, such as millimeter",),
    ),
    "an exponent with a dimension": (
        lambda: bar(initial=Eq(T(x, 0), 300 * kelvin * 2**x)),
        ("initial · x, the exponent of 2, has the dimension length",),
    ),
    "a power that varies": (
        lambda: bar(initial=Eq(T(x, 0), 300 * kelvin * x ** (x / meter))),
        ("initial", "the exponent x/meter varies", "divide the base by millimeter"),
    ),
    "branches of different kinds": (
        lambda: bar(initial=Eq(T(x, 0), Piecewise((300, x < 5 * millimeter), (310 * kelvin, True)))),
        ("initial · 300 is a bare number where 310*kelvin has the dimension temperature · write 300*kelvin",),
    ),
    "a comparison with a bare number": (
        lambda: bar(initial=Eq(T(x, 0), Piecewise((300 * kelvin, x < 5), (310 * kelvin, True)))),
        ("initial · 5 is a bare number where x has the dimension length · write 5*millimeter",),
    ),
    "a time as a place": (
        lambda: bar(right=Eq(T(20 * second, t), 300 * kelvin)),
        ("right · 20*second has the dimension time in the slot of x", "a multiple of millimeter"),
    ),
    "a place outside": (lambda: bar(right=Eq(T(2 * meter, t), 300 * kelvin)), ("right", "x = 2000", "(0, 200)")),
    "the wrong slot": (lambda: bar(initial=Eq(T(t, 0), 300 * kelvin)), ("initial", "puts t in the slot of x")),
    "quantities without units": (lambda: bar(units={}), ("heat · meter, second", "write units={x: meter, ...}")),
    "no mapping": (lambda: bar(units=[millimeter]), ("units", "write units={x: millimeter, T: kelvin}")),
    "a unit of nothing": (lambda: bar(units={y: meter}), ("units · y is not in the problem", "x, t, T(x, t)")),
    "a string for a coordinate": (lambda: bar(units={"t": hour}), ("units · t is not that of the problem, but a str",)),
    "a range of quantities": (
        lambda: bar(domain=ps.Box({x: (0, 200 * millimeter), t: (0, 3)})),
        ("200*millimeter is a quantity", "the units that Problem(..., units={...}) gives their coordinates"),
    ),
    "a string for a unit": (lambda: bar(units={x: "mm"}), ("units, x · 'mm' is not a unit", "meter**2/second")),
    "a negative unit": (lambda: bar(units={x: -meter}), ("units, x", "is not a unit")),
    "a unit without a scale": (lambda: bar(units={T: LONELY}), ("units, T(x, t) · widget has no scale factor",)),
    "a quantity without a scale": (
        lambda: bar(left=Eq(T(0, t), 3 * LONELY)),
        ("left · the quantity widget has no scale factor", "set_global_relative_scale_factor"),
    ),
    "a first guess with a unit": (lambda: cooling() | {"unknowns": {c: 2 / hour}}, ("unknowns, c", "units={c: ...}")),
    "an ansatz of bare numbers": (
        lambda: bar(ansatz={T: 300 + t * T}),
        ("ansatz of T · 300 is a bare number where T(x, t) has the dimension temperature",),
    ),
    "a normal across units": (
        lambda: plate() | {"units": {x: millimeter, y: meter, p: kelvin, q: kelvin}},
        ("a normal between x and y", "give them one unit"),
    ),
}


def test_a_face_is_named_by_a_number() -> None:
    assert STRIP.face(x, 200).bounds[x] == (200, 200)
    with pytest.raises(ps.ProblemError, match=r"200\*millimeter is a quantity"):
        STRIP.face(x, 200 * millimeter)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_dimensions_and_what_to_write(name: str) -> None:
    build, parts = MISTAKES[name]
    with pytest.raises(ps.ProblemError) as caught:
        ps.Problem(**build())
    for part in parts:
        assert part in str(caught.value)


def observed(key: Expr, **more: Any) -> dict[str, Any]:
    at = {x: [50, 100], t: [1, 2]}
    return bar(data={"sensors": ps.Observations(at=at, values={key: [310, 320]}, **more)})


def test_observations_are_numbers_in_the_units_of_their_keys() -> None:
    sigma = symbols("sigma", positive=True)
    slope = ps.Problem(**observed(T.diff(x)))
    assert slope.term("sensors").residual.coeff(T.diff(x)) == 1
    refuse(observed(T / kelvin), "sensors", "a quantity in the key", kind=ps.DataError)
    refuse(observed(T + T.diff(x)), "sensors", "temperature/length")
    noisy = observed(T, noise=sigma) | {"unknowns": {sigma: 2}}
    assert ps.Problem(**noisy).unknowns[sigma] == 2
    noisy["units"] = {**noisy["units"], sigma: si.kilo * kelvin}
    refuse(noisy, "sensors", "not the unit of T(x, t)", kind=ps.DataError)
    mixed = plate() | {"units": {x: millimeter, y: meter, p: kelvin, q: kelvin}, "conditions": {}}
    place = {x: [0.2], y: [0.2]}
    key = p.diff(x) + p.diff(y)
    refuse(mixed | {"data": {"s": ps.Observations(at=place, values={key: [1]})}}, "adds values in different units")


def test_an_ansatz_is_in_the_unit_of_its_field() -> None:
    ends = x * (200 * millimeter - x) * t / (meter**2 * hour) * T
    start = 300 * kelvin + 50 * kelvin * sin(pi * x / (200 * millimeter))
    problem = ps.Problem(**bar(ansatz={T: start + ends}))
    assert set(problem.exact) == {"initial", "left", "right"}
    by_hand = 300 + 50 * sin(pi * x / 200) + x * (200 - x) * t * T / 10**6
    assert (problem.ansatz[T] - by_hand).expand() == 0


def test_every_quantity_of_sympy_has_a_size_in_si_units() -> None:
    every = [quantity for quantity in named_quantities().values() if isinstance(quantity, si.Quantity)]
    assert len(every) > 100 and all(unit_of(quantity).factor > 0 for quantity in every)
    known = {
        si.kilogram: 1,
        si.newton: 1,
        si.psi: constants.psi,
        si.boltzmann: constants.k,
        si.stefan_boltzmann_constant: constants.sigma,
        si.vacuum_permittivity: constants.epsilon_0,
        si.josephson_constant: 2 * constants.e / constants.h,
        si.faraday_constant: constants.e * constants.N_A,
        si.angular_mil: 2 * pi / 6400,
        si.degree: constants.degree,
        si.percent: 0.01,
    }
    for quantity, size in known.items():
        assert float(unit_of(quantity).factor) == pytest.approx(float(size), rel=1e-6), quantity
    volts = unit_of(si.volt).dimension
    assert unit_of(si.josephson_constant).dimension * volts == unit_of(si.hertz).dimension
    assert unit_of(si.faraday_constant).dimension * volts == unit_of(si.joule).dimension / unit_of(si.mole).dimension


def test_an_own_unit_with_a_scale_is_as_good_as_any(tmp_path: Path) -> None:
    rankine = si.Quantity("rankine", abbrev="Ra")
    rankine.set_global_relative_scale_factor(5 / 9, kelvin)
    problem = ps.Problem(**cooling(720 * rankine) | {"units": {t: hour, u: rankine, c: 1 / hour}})
    assert problem.term("start").residual == u(0) - 720
    again = problem_from_data(problem_to_data(problem))
    assert again.units.texts == problem.units.texts == {"t": "hour", "u": "Ra", "c": "1/hour"}
    assert again.units.given[u].factor == problem.units.given[u].factor


def test_a_problem_declared_anew_keeps_its_units() -> None:
    problem = replace(ps.Problem(**bar()), hard=True)
    assert set(problem.exact) == {"initial", "left", "right"}
    assert problem.units == ps.Problem(**bar()).units


@pytest.mark.parametrize("name", ["bar", "beam", "radiating", "electron", "memory"])
def test_declarations_are_stored_and_typeset(name: str) -> None:
    problem = ps.Problem(**DECLARATIONS[name]())
    again = problem_from_data(json.loads(json.dumps(problem_to_data(problem))))
    assert again.units.texts == problem.units.texts
    assert [term.residual for term in again.terms] == [term.residual for term in problem.terms]
    for term, twin in zip(problem.terms, again.terms, strict=True):
        assert plain_statement(twin, again) == plain_statement(term, problem)
        assert "quantity" not in statement_mathml(twin, again)
    assert r"\mathrm{" in problem_latex(again) or name == "electron"


def test_statements_stay_as_they_were_written() -> None:
    problem = ps.Problem(**bar())
    assert problem.term("right").statement == Eq(T(20 * centimeter, t), 300 * kelvin)
    assert plain_statement(problem.term("right"), problem) == "T(20 cm, t) = 300 K"
    assert "<mtext>cm</mtext>" in statement_mathml(problem.term("right"), problem)


def test_a_strangers_units_are_checked() -> None:
    assert from_tree(to_tree(3 * newton / si.speed_of_light)).has(newton)
    for bad in ("no_such_unit", "Quantity", "__class__", 3):
        with pytest.raises(TreeError):
            from_tree(["Quantity", bad])
    data = problem_to_data(ps.Problem(**bar()))
    owner, unit = data["units"][0]
    huge = ["Pow", ["Rational", "9", "1"], ["Rational", "999999999", "1"]]
    for wrong in (
        {"factor": huge},
        {"factor": ["Rational", "-1", "1"]},
        {"dimension": {"length": [10**9, 1]}},
        {"dimension": {"weight": [1, 1]}},
        {"dimension": {"length": [1, 0]}},
    ):
        with pytest.raises(TreeError):
            problem_from_data({**data, "units": [[owner, unit | wrong]]})
    with pytest.raises(TreeError, match="not in the problem"):
        problem_from_data({**data, "units": [[to_tree(y), unit]]})
    older = {key: value for key, value in data.items() if key != "units"}
    assert not problem_from_data(older).units

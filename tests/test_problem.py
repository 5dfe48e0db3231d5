"""Problem: what a declaration becomes, term by term."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from sympy import Derivative, Eq, Function, I, Integral, Matrix, Piecewise, Rational, Symbol, cos, exp, pi, sin, symbols

from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.terms import Term, on
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.errors import ProblemError
from pinnsolve.operators import fields, grad
from pinnsolve.problem import Problem

x, y, t, s, nu = symbols("x y t s nu")
u, v = fields("u v", x, t)
STRIP = Box({x: (-1, 1), t: (0, 1)})


def burgers(**changes: Any) -> Problem:
    declaration: dict[str, Any] = {
        "domain": STRIP,
        "equations": {"burgers": Eq(u.diff(t) + u * u.diff(x), 0.01 / pi * u.diff(x, 2))},
        "conditions": {"initial": Eq(u(x, 0), -sin(pi * x)), "left": Eq(u(-1, t), 0), "right": Eq(u(1, t), 0)},
    }
    return Problem(**(declaration | changes))


def test_the_example_of_the_interface_reads_as_written():
    problem = burgers()
    assert [(q.name, q.kind, q.free) for q in problem.terms] == [
        ("burgers", "equation", (x, t)),
        ("initial", "condition", (x,)),
        ("left", "condition", (t,)),
        ("right", "condition", (t,)),
    ]
    assert problem.term("left").residual == u(-1, t)
    assert problem.term("initial").statement == Eq(u(x, 0), -sin(pi * x))
    assert problem.coordinates == (x, t)
    assert dict(problem.bounds) == {x: (-1.0, 1.0), t: (0.0, 1.0)}
    assert problem.fields == problem.declared_fields == (u,)
    assert problem.exact == frozenset()


def test_a_declaration_is_frozen():
    problem = burgers()
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.domain = STRIP  # type: ignore[misc]
    with pytest.raises(TypeError):
        problem.unknowns[nu] = 1  # type: ignore[index]


def test_a_term_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(ProblemError, match="top · no such term · choose among burgers, initial, left, right"):
        burgers().term("top")


def test_equations_may_be_a_mapping_a_list_a_matrix_or_one_alone():
    equation = Eq(u.diff(t), u.diff(x))
    conditions = [u(x, 0), u(1, t)]
    for declared in ({"equation": [equation]}, [equation], Matrix([u.diff(t) - u.diff(x)]), equation):
        problem = Problem(domain=STRIP, equations=declared, conditions=conditions)
        assert [q.name for q in problem.terms] == ["equation[0]", "condition[0]", "condition[1]"]
        assert problem.term("equation[0]").residual == u.diff(t) - u.diff(x)


def test_a_matrix_under_one_name_is_several_terms_of_one_group():
    momentum = Matrix([u.diff(t) - u.diff(x), v.diff(t) - v.diff(x)])
    problem = Problem(
        domain=STRIP,
        equations={"momentum": momentum},
        conditions={"start": [u(x, 0), v(x, 0)], "in": [u(1, t), v(1, t)]},
    )
    assert [(q.name, q.group) for q in problem.terms if q.kind == "equation"] == [
        ("momentum[0]", "momentum"),
        ("momentum[1]", "momentum"),
    ]


def test_fields_of_sympy_and_of_the_package_are_the_same():
    plain = Function("u")
    problem = burgers(conditions=[Eq(plain(x, 0), -sin(pi * x)), plain(-1, t), u(1, t)])
    assert problem.fields == (u,)
    assert problem.fields == burgers(equations=Eq(plain(x, t).diff(t), plain(x, t).diff(x, 2))).fields


def test_a_term_holds_wherever_its_free_coordinates_range():
    field = fields("w", x, y, t)
    box = Box({x: (0, 1), y: (0, 1), t: (0, 1)})
    problem = Problem(
        domain=box,
        equations={"e": Eq(field.diff(t), field.diff(x, 2))},
        conditions={
            "start": Eq(field(x, y, 0), 1),
            "line": Eq(field.diff(x).subs(x, 0), 0),
            "wall": on(box.face(x, 1), Eq(field, 1)),
            "point": Eq(field(0.5, 0.5, 0.5), 1),
            "part": on(Interval(t, 0, 0.5), Eq(field(0.5, 0.5, t), 1)),
        },
    )
    assert {q.name: q.free for q in problem.terms} == {
        "e": (x, y, t),
        "start": (x, y),
        "line": (y, t),
        "wall": (x, y, t),
        "point": (),
        "part": (t,),
    }


def test_the_end_of_an_integral_makes_a_coordinate_free():
    f = fields("f", x)
    for sign in (1, -1):
        problem = Problem(domain=Interval(x, 0, 1), equations={"v": Eq(f, 1 + sign * Integral(f(s), (s, 0, x)))})
        assert problem.term("v").free == (x,)
        assert problem.term("v").residual.has(Integral)


def test_equations_may_be_restricted_to_a_region():
    left = Interval(x, -1, 0)
    problem = Problem(
        domain=STRIP,
        equations={"a": on(left, u.diff(t) - u.diff(x, 2)), "b": on(Interval(x, 0, 1), u.diff(t) - 2 * u.diff(x, 2))},
        conditions=[u(x, 0), u(-1, t), u(1, t)],
    )
    assert problem.term("a").region == left
    assert problem.term("a").free == (x, t)


def test_numbers_of_numpy_and_python_are_welcome():
    problem = burgers(
        equations={"burgers": Eq(u.diff(t), np.float64(0.5) * u.diff(x, 2))},
        conditions=[Eq(u(x, 0), np.float32(0)), u(np.int64(-1), t), u(1.0, t)],
    )
    assert problem.term("condition[1]").residual == u(-1, t)


def test_unknowns_are_read_as_numbers():
    k, m = Symbol("k", positive=True), Symbol("m")
    problem = burgers(
        equations={"burgers": Eq(u.diff(t) + m * u, k * u.diff(x, 2))}, unknowns={k: Rational(1, 2), m: np.float64(-3)}
    )
    assert dict(problem.unknowns) == {k: 0.5, m: -3.0}


def test_more_fields_than_equations_need_observations_or_unknowns():
    a = fields("a", x)
    equation = {"heat": Eq(u.diff(t), (a * u.diff(x)).diff(x))}
    with pytest.raises(ProblemError, match="1 for 2 fields"):
        burgers(equations=equation)
    data = {"d": Observations(at={x: [0.0, 0.5], t: [0.5, 0.5]}, values={u: [0.1, 0.2]})}
    problem = burgers(equations=equation, data=data)
    assert set(problem.fields) == {u, a}


def test_observations_become_terms_with_columns():
    places = np.array([0.0, 0.5, 0.5])
    data = {
        "probe": Observations(at={x: places, t: places}, values={u: places**2, u.diff(x): 2 * places}),
        "wall": Observations(at={t: places}, values={u(1, t): 0 * places}),
    }
    problem = burgers(data=data)
    probe, slope, wall = (q for q in problem.terms if q.kind == "data")
    assert [q.name for q in (probe, slope, wall)] == ["probe[0]", "probe[1]", "wall"]
    assert probe.free == (x, t)
    assert wall.free == (t,)
    assert [symbol.name for symbol in probe.columns] == ["x", "t", "value[probe[0]]"]
    value = list(probe.columns)[-1]
    assert probe.residual == u - value
    assert probe.columns[value].tolist() == [0.0, 0.25, 0.25]


def test_observations_of_an_unevaluated_derivative_are_carried_out():
    problem = burgers(data={"d": Observations(at={x: [0.0], t: [0.5]}, values={Derivative(u**2, x): [1.0]})})
    assert problem.term("d").residual.coeff(u.diff(x)) == 2 * u


def weights(problem: Problem, name: str) -> list[float] | None:
    columns = {symbol.name: array for symbol, array in problem.term(name).columns.items()}
    array = columns.get(f"weight[{name}]")
    return None if array is None else array.tolist()


def test_noise_sets_the_weight_relative_to_the_most_exact_sensor():
    def sensor(noise) -> Observations:
        return Observations(at={x: [0.0, 0.1], t: 0.5}, values={u: [0.0, 0.0]}, noise=noise)

    problem = burgers(data={"fine": sensor(0.01), "rough": sensor([0.02, 0.04]), "silent": sensor(None)})
    assert weights(problem, "fine") is None
    assert weights(problem, "rough") == [0.5, 0.25]
    assert weights(problem, "silent") is None
    assert weights(burgers(data={"only": sensor(1e-6)}), "only") is None


def test_data_outside_the_domain_are_judged_to_rounding():
    burgers(data={"d": Observations(at={x: [1 + 1e-12], t: [1.0]}, values={u: [0.0]})})


def test_expressions_are_checked_against_the_declaration():
    problem = burgers()
    problem.checked_expression("slope", u.diff(x) * x + Integral(u(s, t), (s, -1, 1)))
    for expression, piece in (
        (u + v, "field v"),
        (Symbol("q") * u, "symbol q"),
        (u(t, 0), "slot of x"),
        (u(3, t), "outside its range"),
    ):
        with pytest.raises(ProblemError, match=piece):
            problem.checked_expression("it", expression)


def test_the_normal_of_a_face_is_a_symbol_in_the_terms_on_a_boundary():
    w = fields("w", x, y)
    square = Box({x: (0, 1), y: (0, 1)})
    flux = grad(w, x, y).dot(square.normal)
    problem = Problem(domain=square, equations=w.diff(x, 2) + w.diff(y, 2), conditions=on(square.boundary, flux))
    assert set(square.normal) <= problem.term("condition[0]").residual.free_symbols
    assert problem.normal == square.normal


def test_parts_of_an_expression_are_those_of_the_real_fields():
    h = fields("h", x)
    problem = Problem(domain=Interval(x, 0, 1), equations=Eq(h.diff(x), I * h), conditions=Eq(h(0), 1))
    a, b = problem.fields
    assert problem.split(h**2) == (a**2 - b**2, 2 * a * b)


def test_a_scaled_equation_needs_the_same_conditions():
    for factor in (1e-12, 1e12, 1 + x**2, exp(-t), 2 + cos(u)):
        burgers(equations={"burgers": factor * (u.diff(t) - u.diff(x, 2))})


def test_initial_data_in_pieces_stay_in_pieces():
    pieces = Piecewise((1, x < 0), (0, True))
    problem = burgers(conditions=[Eq(u(x, 0), pieces), Eq(u(-1, t), 1), u(1, t)])
    assert problem.term("condition[0]").residual == u(x, 0) - pieces


def test_terms_are_plain_values():
    term = burgers().term("left")
    assert isinstance(term, Term)
    assert dataclasses.replace(term, name="other").name == "other"

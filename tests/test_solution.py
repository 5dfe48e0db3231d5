"""The solution as a function: shapes and kinds of calls, any expression of the fields, residuals by name, the domain's edge."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Abs, Eq, Function, I, Integral, Piecewise, conjugate, exp, im, pi, re, sin, symbols

import pinnsolve as ps
from pinnsolve.solution import CHUNK, Solution

x, y, t, s = symbols("x y t s")
u = ps.fields("u", x, t)


@pytest.fixture(scope="module")
def heat(known: Callable[..., Any]) -> Solution:
    """The field u = exp(-t) sin(pi x), which misses u_t = u_xx by (pi^2 - 1) u."""
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 2)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={"initial": Eq(u(x, 0), 1), "left": Eq(u(0, t), 1), "right": Eq(u.diff(x).subs(x, 1), 0)},
    )
    return known(problem, lambda x, t: torch.exp(-t) * torch.sin(torch.pi * x))


@pytest.fixture(scope="module")
def flow(known: Callable[..., Any]) -> Solution:
    """The field v = (x^2 y, x + y^2) on a rectangle, with conditions on faces that name the normal."""
    a, b = ps.fields("a b", x, y)
    box = ps.Box({x: (0, 2), y: (0, 1)})
    side = box.face(x, 0) + box.face(x, 2)
    problem = ps.Problem(
        domain=box,
        equations=[Eq(ps.laplacian(a, x, y), 0), Eq(ps.laplacian(b, x, y), 0)],
        conditions={
            "side": ps.on(side, Eq(ps.grad(a, x, y).dot(box.normal), x + 5 * y), Eq(b, 0)),
            "rest": ps.on(box.boundary - side, Eq(ps.grad(a, x, y).dot(box.normal), 0), Eq(b, 0)),
        },
    )
    return known(problem, lambda x, y: x * x * y, lambda x, y: x + y * y)


def exact(xs: Any, ts: Any) -> Any:
    return np.exp(-ts) * np.sin(np.pi * xs)


def test_arguments_broadcast_and_numpy_gives_numpy(heat: Solution) -> None:
    xs, ts = np.linspace(0, 1, 7)[:, None], np.linspace(0, 2, 5)
    values = heat(x=xs, t=ts)
    assert type(values) is np.ndarray and values.shape == (7, 5) and values.dtype == np.float64
    np.testing.assert_allclose(values, exact(xs, ts), atol=1e-15)
    np.testing.assert_array_equal(heat(x=xs[:, 0], t=0.5), heat(t=0.5, x=xs)[:, 0])


def test_numbers_give_a_number_in_full_precision(heat: Solution) -> None:
    value = heat(x=0.1, t=pi / 10)
    assert isinstance(value, float) and value == pytest.approx(exact(0.1, np.pi / 10), rel=1e-15)


def test_an_end_that_single_precision_cannot_hold_is_inside(known: Callable[..., Any]) -> None:
    q = ps.fields("q", s)
    problem = ps.Problem(domain=ps.Interval(s, 0, 0.1), equations=Eq(q.diff(s), 0), conditions=Eq(q(0), 0))
    assert known(problem, lambda s: s)(s=0.1) == 0.1


@pytest.mark.parametrize(
    "xs",
    [np.linspace(1, 0, 6)[::-1], [0, 0.2, 0.4, 0.6, 0.8, 1], np.linspace(0, 1, 6).astype(np.float32), range(2)],
    ids=["negative stride", "list", "single precision", "integers"],
)
def test_every_kind_of_array_of_numbers_is_taken(heat: Solution, xs: Any) -> None:
    values = np.array(xs, dtype=np.float64)
    np.testing.assert_allclose(heat(x=xs, t=1), exact(values, 1.0), atol=1e-15)


def test_an_array_that_cannot_be_written_is_read_without_complaint(heat: Solution) -> None:
    xs = np.linspace(0, 1, 3)
    xs.flags.writeable = False
    np.testing.assert_allclose(heat(x=xs, t=1), exact(xs, 1.0), atol=1e-15)


def test_no_points_give_no_values(heat: Solution) -> None:
    assert heat(x=np.zeros((0, 3)), t=0.5).shape == (0, 3)


def test_more_points_than_one_chunk_give_the_same_values(heat: Solution) -> None:
    xs = np.linspace(0, 1, CHUNK + 10)
    np.testing.assert_allclose(heat(x=xs, t=1.0), exact(xs, 1.0), atol=1e-15)


def test_tensors_give_tensors_that_can_be_differentiated(heat: Solution) -> None:
    xs = torch.linspace(0.1, 0.9, 5, dtype=torch.float64, requires_grad=True)
    values = heat(x=xs, t=0.5)
    (slope,) = torch.autograd.grad(values.sum(), xs)
    np.testing.assert_allclose(slope.numpy(), heat.evaluate(u.diff(x), x=xs.detach().numpy(), t=0.5), rtol=1e-13)
    (curvature,) = torch.autograd.grad(heat.evaluate(u.diff(x), x=xs, t=0.5).sum(), xs)
    np.testing.assert_allclose(curvature.numpy(), -(np.pi**2) * values.detach().numpy(), rtol=1e-13)
    assert not heat(x=xs.detach(), t=0.5).requires_grad


def test_several_fields_give_a_named_tuple_in_declared_order(flow: Solution) -> None:
    values = flow(x=[1.0, 2.0], y=0.5)
    assert values._fields == ("a", "b")
    np.testing.assert_allclose(values.a, [0.5, 2.0])
    np.testing.assert_allclose(values[1], [1.25, 2.25])


def test_a_field_whose_name_is_no_python_name_is_still_in_the_tuple(known: Callable[..., Any]) -> None:
    f, g = ps.fields("lambda u'", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations=[Eq(f.diff(t), g), Eq(g.diff(t), f)],
        conditions=[Eq(f(0), 1), Eq(g(0), 1)],
    )
    assert tuple(known(problem, torch.exp, torch.exp)(t=0.0)) == (1.0, 1.0)


def test_a_field_of_fewer_coordinates_asks_only_for_its_own(known: Callable[..., Any]) -> None:
    a = ps.fields("a", x)
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), a * u), "law": Eq(a.diff(x), 0)},
        conditions={"initial": Eq(u(x, 0), 1), "one": Eq(a(0), 1)},
    )
    assert problem.declared_fields == (a, u)
    solution = known(problem, lambda x, t: x * x, lambda x, t: x + t)
    assert solution.evaluate(a, x=0.5) == 0.25
    assert solution(x=[0.1, 0.5], t=0.5).a.shape == (2,)
    with pytest.raises(ps.ProblemError, match="no value for t"):
        solution(x=0.5)


@pytest.mark.parametrize(
    ("expression", "given", "value"),
    [
        (u.diff(x), {"x": 0.3, "t": 0.5}, np.pi * np.exp(-0.5) * np.cos(0.3 * np.pi)),
        (u.diff(x, 2, t), {"x": 0.3, "t": 0.5}, np.pi**2 * exact(0.3, 0.5)),
        (u(x, 0), {"x": 0.3}, exact(0.3, 0.0)),
        (u.diff(x).subs(x, 1), {"t": 0.5}, -np.pi * np.exp(-0.5)),
        (u(1 - x, t) - u, {"x": 0.3, "t": 0.5}, 0.0),
        (Integral(u, (x, 0, 1)), {"t": 0.5}, 2 / np.pi * np.exp(-0.5)),
        (u**2 * x + t, {"x": 0.3, "t": 0.5}, 0.3 * exact(0.3, 0.5) ** 2 + 0.5),
        (Piecewise((u, x < t), (-u, True)), {"x": 0.3, "t": 0.2}, -exact(0.3, 0.2)),
        (u(0.5, 1), {}, exact(0.5, 1.0)),
        (x * t, {"x": 0.3, "t": 0.5}, 0.15),
        (2, {"x": [0.3, 0.4]}, [2.0, 2.0]),
    ],
    ids=str,
)
def test_any_expression_of_the_fields_can_be_evaluated(heat: Solution, expression: Any, given: Any, value: Any) -> None:
    np.testing.assert_allclose(heat.evaluate(expression, **given), value, rtol=1e-10, atol=1e-14)


def test_a_field_of_plain_sympy_is_the_same_field(heat: Solution) -> None:
    plain = Function("u")(x, t)
    assert heat.evaluate(plain.diff(x), x=0.3, t=0.5) == heat.evaluate(u.diff(x), x=0.3, t=0.5)


def test_unknowns_enter_expressions_by_the_value_found(known: Callable[..., Any]) -> None:
    nu, k = symbols("nu", positive=True), symbols("k")
    q = ps.fields("q", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations=Eq(q.diff(t), -nu * q + k),
        conditions=Eq(q(0), 1),
        unknowns={nu: 0.25, k: -3},
    )
    solution = known(problem, lambda t: t)
    assert solution.unknowns == {"nu": 0.25, "k": -3.0}
    assert solution.evaluate(nu * q + k, t=0.5) == pytest.approx(0.125 - 3, rel=1e-15)
    assert solution.evaluate(1 / nu) == 4.0


def test_complex_fields_are_complex_and_their_parts_real(known: Callable[..., Any]) -> None:
    h = ps.fields("h", x, t)
    problem = ps.Problem(
        domain=ps.Box({x: (-1, 1), t: (0, 1)}),
        equations={"schroedinger": Eq(I * h.diff(t) + h.diff(x, 2), 0)},
        conditions={"initial": Eq(h(x, 0), 1), "left": Eq(h(-1, t), 1), "right": Eq(h(1, t), 1)},
    )
    solution = known(problem, lambda x, t: x + t, lambda x, t: x * t)
    value = 0.7 + 0.1j
    assert solution(x=0.5, t=0.2) == pytest.approx(value)
    assert np.iscomplexobj(solution(x=[0.5], t=0.2)) and solution(x=torch.ones(2), t=0.2).is_complex()
    for expression, expected in [(re(h), 0.7), (im(h), 0.1), (Abs(h) ** 2, 0.5), (conjugate(h) * h, 0.5)]:
        found = solution.evaluate(expression, x=0.5, t=0.2)
        assert found == pytest.approx(expected), expression
    assert solution.evaluate(h.diff(x), x=0.5, t=0.2) == pytest.approx(1 + 0.2j)
    assert not np.iscomplexobj(solution.evaluate(re(h), x=0.5, t=0.2))
    assert solution.residual("schroedinger.im", x=0.5, t=0.2) == pytest.approx(1.0)


def test_an_ansatz_shapes_what_is_evaluated(known: Callable[..., Any]) -> None:
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
        ansatz={u: sin(pi * x) + t * x * (1 - x) * u},
    )
    solution = known(problem, lambda x, t: torch.exp(x + t))
    np.testing.assert_allclose(solution(x=0.3, t=0.5), np.sin(0.3 * np.pi) + 0.5 * 0.3 * 0.7 * np.exp(0.8), rtol=1e-14)
    assert abs(solution.residual("initial", x=0.3)) < 1e-15
    slope = 0.21 * np.exp(0.8) * (1 + 0.5)
    assert solution.evaluate(u.diff(t), x=0.3, t=0.5) == pytest.approx(slope, rel=1e-13)


def test_residuals_are_evaluated_by_name(heat: Solution) -> None:
    xs = np.linspace(0, 1, 5)
    np.testing.assert_allclose(heat.residual("heat", x=xs, t=0.5), (np.pi**2 - 1) * exact(xs, 0.5), atol=1e-13)
    np.testing.assert_allclose(heat.residual("initial", x=xs), np.sin(np.pi * xs) - 1, atol=1e-15)
    assert heat.residual("right", t=0.5) == pytest.approx(-np.pi * np.exp(-0.5))
    with pytest.raises(ps.ProblemError, match=r"boundary · no such term · choose among heat, initial, left, right"):
        heat.residual("boundary", t=0.5)


def test_residuals_on_faces_know_the_outward_normal(flow: Solution) -> None:
    ys = np.linspace(0.1, 0.9, 3)
    np.testing.assert_allclose(flow.residual("side[0]", x=2.0, y=ys), 4 * ys - (2 + 5 * ys), atol=1e-14)
    np.testing.assert_allclose(flow.residual("side[0]", x=0.0, y=ys), 0 - 5 * ys, atol=1e-14)
    np.testing.assert_allclose(flow.residual("rest[0]", x=1.5, y=[0.0, 1.0]), [-2.25, 2.25], atol=1e-14)
    np.testing.assert_allclose(flow.residual("side[1]", x=2.0, y=ys), 2 + ys**2, atol=1e-14)


def test_a_misfit_to_observations_has_no_residual_elsewhere(known: Callable[..., Any]) -> None:
    q = ps.fields("q", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations=Eq(q.diff(t), 0),
        data={"sensor": ps.Observations(at={t: [0.5]}, values={q: [1.0]})},
    )
    with pytest.raises(ps.ProblemError, match="sensor · a misfit to observations"):
        known(problem, lambda t: t).residual("sensor", t=0.5)


def test_outside_the_domain_is_nan_with_one_warning_where_the_user_called(flow: Solution, heat: Solution) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: flow(x=[-0.1, 1.0, 2.1], y=0.5).b,
        lambda: flow.evaluate(Function("b")(x, y), x=[-0.1, 1.0, 2.1], y=0.5),
        lambda: heat.residual("initial", x=[-0.1, 1.0, 2.1]),
        lambda: heat.evaluate(u(x, 0), x=[-0.1, 1.0, 2.1]),
    ]
    for call in calls:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            values = call()
        assert [str(w.message) for w in seen] == ["2 of 3 points lie outside the domain; the solution is NaN there"]
        assert seen[0].filename == __file__
        np.testing.assert_array_equal(np.isnan(values), [True, False, True])


def test_the_boundary_and_what_rounding_puts_beside_it_are_inside(heat: Solution) -> None:
    assert np.isfinite(heat(x=[0.0, 1.0, 1 + 1e-12, -1e-12], t=[0.0, 2.0, 2.0, 1.0])).all()
    with pytest.warns(UserWarning, match="1 of 1 points"):
        assert np.isnan(heat(x=1 + 1e-6, t=0.0))
    with pytest.warns(UserWarning, match="1 of 1 points"):
        assert np.isnan(heat(x=float("nan"), t=0.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f(x=0.5), "no value for t"),
        (lambda f: f(x=0.5, t=0.5, z=1), "there is no coordinate z · the coordinates are x, t"),
        (lambda f: f(x=[0.1, 0.2], t=[0.1, 0.2, 0.3]), r"do not broadcast: x \(2,\), t \(3,\)"),
        (lambda f: f(x="left", t=0), "x is 'left', a str"),
        (lambda f: f(x=1j, t=0), "x is '1j', a complex"),
        (lambda f: f.evaluate("u", x=0, t=0), "'u' is not one expression"),
        (lambda f: f.evaluate(ps.grad(u, x, t), x=0, t=0), "is not one expression"),
        (
            lambda f: f.evaluate(ps.fields("w", x, t), x=0, t=0),
            r"the field w\(x, t\) is not declared · the fields are u",
        ),
        (lambda f: f.evaluate(u * symbols("nu"), x=0, t=0), "the symbol nu is not declared"),
        (lambda f: f.evaluate(u * symbols("x", positive=True), x=0, t=0), "two symbols named x"),
        (lambda f: f.evaluate(u(t, x), x=0, t=0), "in the slot of"),
        (lambda f: f.evaluate(u(2, t), t=0), "outside its range"),
        (lambda f: f.evaluate(u * f.problem.normal[0], x=0, t=0), "a normal, which only a boundary has"),
        (lambda f: f.evaluate(Function("J")(u), x=0, t=0), "is not declared"),
        (lambda f: f.residual("heat", x=0.5), "no value for t"),
    ],
)
def test_a_wrong_call_is_answered_with_what_exists(heat: Solution, call: Any, message: str) -> None:
    with pytest.raises(ps.ProblemError, match=message):
        call(heat)


def test_positions_are_refused_because_every_coordinate_has_a_name(heat: Solution) -> None:
    with pytest.raises(TypeError):
        heat(*[0.5, 0.5])


def test_a_function_without_a_rule_is_unsupported(heat: Solution) -> None:
    from sympy import besselj

    with pytest.raises(ps.UnsupportedError, match="the function besselj"):
        heat.evaluate(besselj(0, u), x=0.5, t=0.5)


def test_nothing_global_is_touched_by_a_solve(tmp_path: Path) -> None:
    q = ps.fields("q", t)
    problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations=Eq(q.diff(t), -q), conditions=Eq(q(0), 1))
    before = torch.get_default_dtype(), torch.random.get_rng_state(), _numpy_state()
    solution = ps.solve(
        problem, ps.MLP(width=4, depth=1), ps.Training(phases=[ps.Adam(steps=2)]), ps.Exact({q: exp(-t)})
    )
    assert solution.status == "done" and np.isfinite(solution.errors["q"]["relative_l2"])
    after = torch.get_default_dtype(), torch.random.get_rng_state(), _numpy_state()
    assert before[0] is after[0] and torch.equal(before[1], after[1]) and np.array_equal(before[2], after[2])


def _numpy_state() -> np.ndarray:
    return np.array(np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002

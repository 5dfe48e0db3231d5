"""What `check` prints: every term with its mathematics, its place, what it needs, and the conditions on each face."""

from __future__ import annotations

from typing import Any

import pytest
from sympy import Eq, I, Matrix, exp, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.choices import choose
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.declaration.extents import place
from pinnsolve.description import describe_problem

x, y, t, s = symbols("x y t s")
u, v = ps.fields("u v", x, t)


def described(problem: ps.Problem, network: Any = None, training: Any = None) -> str:
    compiled = compile_problem(problem)
    return describe_problem(compiled, choose(compiled, network, training, device="cpu"), name="example")


def block(text: str, term: str) -> list[str]:
    """Return the lines below a term's name."""
    lines = text.splitlines()
    start = lines.index(f"  {term}") + 1
    end = next(k for k in range(start, len(lines)) if not lines[k].startswith("    "))
    return [line.strip() for line in lines[start:end]]


@pytest.fixture(scope="module")
def burgers() -> str:
    return described(
        ps.Problem(
            domain=ps.Box({x: (-1, 1), t: (0, 0.5)}),
            equations={"burgers": Eq(u.diff(t) + u * u.diff(x), u.diff(x, 2) / 10)},
            conditions={
                "initial": Eq(u(x, 0), -sin(pi * x)),
                "periodic": Eq(u(-1, t), u(1, t)),
                "slope": Eq(u.diff(x).subs(x, 1), u.diff(x).subs(x, -1)),
            },
        ),
        ps.MLP(width=7, depth=2),
        ps.Training(points={"burgers": 900, "initial": 80, "periodic": 60, "slope": 60}, weights={"initial": 25.0}),
    )


def test_coordinates_fields_and_network_are_named(burgers: str) -> None:
    lines = burgers.splitlines()
    assert lines[0].split() == ["problem", "example"]
    assert "coordinates  -1 <= x <= 1, 0 <= t <= 0.5" in lines and "fields       u(x, t)" in lines
    assert "MLP(width=7, depth=2" in lines[-1]


def test_a_term_says_what_holds_where_and_what_it_needs(burgers: str) -> None:
    assert block(burgers, "burgers") == [
        "u*u_x + u_t = u_xx/10",
        "where -1 <= x <= 1, 0 <= t <= 0.5",
        "needs u, u_t, u_x, u_xx, 900 points",
    ]
    assert block(burgers, "initial") == [
        "u(x, 0) = -sin(pi*x)",
        "where t = 0, -1 <= x <= 1",
        "needs u, 80 points, weight 25",
    ]


def test_a_periodic_condition_names_both_ends(burgers: str) -> None:
    assert block(burgers, "periodic")[:2] == ["u(-1, t) = u(1, t)", "where x = -1 and 1, 0 <= t <= 0.5"]
    assert block(burgers, "slope")[0] == "u_x(1, t) = u_x(-1, t)"
    assert "  both ends of x together: periodic, slope" in burgers


def test_conditions_are_listed_by_face_and_their_absence_too(burgers: str) -> None:
    assert "  t = 0: initial" in burgers and "  t = 0.5: none" in burgers and "  x = -1: none" in burgers


def test_faces_and_the_normal_are_shown() -> None:
    box = ps.Box({x: (0, 2), y: (0, 1)})
    w = ps.fields("w", x, y)
    text = described(
        ps.Problem(
            domain=box,
            equations={"laplace": Eq(ps.laplacian(w, x, y), 0)},
            conditions={
                "hot": ps.on(box.face(x, 0), Eq(w, 1)),
                "rest": ps.on(box.boundary - box.face(x, 0), Eq(ps.grad(w, x, y).dot(box.normal), 0)),
            },
        )
    )
    (name,) = (line.strip() for line in text.splitlines() if line.startswith("  hot") and ":" not in line)
    assert block(text, name)[1].startswith("where on x = 0, ")
    assert "n[x]*w_x + n[y]*w_y = 0" in text and "(n is the outward normal)" in text
    for face, term in (("x = 0", "hot"), ("x = 2", "rest"), ("y = 0", "rest"), ("y = 1", "rest")):
        assert any(line.startswith(f"  {face}: {term}") for line in text.splitlines()), face


def test_matrices_unknowns_observations_and_gauges_are_shown() -> None:
    a, b, p = ps.fields("a b p", x, y)
    nu = symbols("nu", positive=True)
    flow = Matrix([a, b])
    box = ps.Box({x: (0, 1), y: (0, 1)})
    text = described(
        ps.Problem(
            domain=box,
            equations={
                "momentum": ps.advect(flow, flow, x, y) + ps.grad(p, x, y) - nu * ps.laplacian(flow, x, y),
                "continuity": ps.div(flow, x, y),
            },
            conditions={"wall": ps.on(box.boundary, Eq(flow, Matrix([1, 0])))},
            unknowns={nu: 0.25},
            data={"probe": ps.Observations(at={x: [0.5, 0.6], y: [0.5, 0.4]}, values={b.diff(x): [1.0, 2.0]})},
        )
    )
    assert "unknown      nu, from 0.25, positive" in text and "p is fixed only up to a constant" in text
    assert block(text, "momentum[0]")[0].endswith("= 0") and "momentum[1]" in text
    assert block(text, "probe") == ["b_x as measured", "where at 2 measured points", "needs b_x, weight 0.1 after 100"]


def test_what_holds_exactly_is_said_to_be_left_out() -> None:
    text = described(
        ps.Problem(
            domain=ps.Box({x: (0, 1), t: (0, 1)}),
            equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
            conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
            ansatz={u: sin(pi * x) + t * x * (1 - x) * u},
        )
    )
    assert "ansatz       u = N*t*x*(1 - x) + sin(pi*x), N from the network" in text
    for term in ("initial", "left", "right"):
        assert block(text, term)[-1] == "holds exactly by the ansatz, and is left out of the loss"
    assert "holds exactly" not in block(text, "heat")[-1]


def test_complex_fields_are_shown_with_their_parts() -> None:
    h = ps.fields("h", x, t)
    text = described(
        ps.Problem(
            domain=ps.Box({x: (0, 1), t: (0, 1)}),
            equations={"schroedinger": Eq(I * h.diff(t) + h.diff(x, 2), 0)},
            conditions={"initial": Eq(h(x, 0), exp(2 * pi * I * x)), "left": Eq(h(0, t), 1), "right": Eq(h(1, t), 1)},
        )
    )
    assert "h(x, t) = h_re(x, t) + i h_im(x, t)" in text
    assert block(text, "schroedinger.re")[0] == "-h_im_t + h_re_xx = 0"
    assert block(text, "schroedinger.im")[0] == "h_im_xx + h_re_t = 0"


def test_choices_are_listed_with_their_override(burgers: str) -> None:
    text = described(
        ps.Problem(
            domain=ps.Interval(t, 0, 1),
            equations=Eq(ps.fields("q", t).diff(t), 0),
            conditions=Eq(ps.fields("q", t)(0), 1),
        )
    )
    assert "chosen for you" in text and "override: training = ps.Training(points={...})" in text


def test_a_place_in_a_part_of_the_domain_is_that_part() -> None:
    q = ps.fields("q", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 4),
        equations=[ps.on(ps.Interval(t, 0, 1), Eq(q.diff(t), 1)), ps.on(ps.Interval(t, 1, 4), Eq(q.diff(t), q(t - 1)))],
        conditions=Eq(q(0), 0),
    )
    assert [place(term, problem) for term in problem.terms] == ["0 <= t <= 1", "1 <= t <= 4", "t = 0"]

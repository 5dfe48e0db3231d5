"""Zero residual: closed-form solutions in place of the network make every compiled term vanish.

The closed form is written twice, in SymPy where the conditions need it and in torch where the network would be, so that a sign lost
by the reading, the lowering, the jets or the emission shows as a residual far above rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sympy import (
    Abs,
    Eq,
    I,
    Integral,
    Matrix,
    Rational,
    Symbol,
    conjugate,
    cos,
    exp,
    pi,
    sech,
    sin,
    sqrt,
    symbols,
    tanh,
)
from torch import Tensor, nn

from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import Trial, Unknowns
from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.terms import on
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.manufactured_solutions import manufactured
from pinnsolve.operators import advect, curl, div, fields, grad, laplacian
from pinnsolve.points import term_points
from pinnsolve.problem import Problem

VANISHES = 1e-20

x, y, z, t, s, nu = symbols("x y z t s nu")


class ClosedForm(nn.Module):
    """Formulas in place of a network: from points (points, coordinates) to (points, fields), on tensors or jets."""

    def __init__(self, formula: Callable[..., Any]) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, points: Tensor) -> Tensor:
        values = self.formula(*torch.unbind(points, 1))
        return torch.stack(values if isinstance(values, tuple) else (values,), 1)


def mean_squares(problem: Problem, formula: Callable[..., Any], *, count: int = 50) -> dict[str, float]:
    compiled = compile_problem(problem)
    trial = Trial(ClosedForm(formula), Unknowns(problem.unknowns, dtype=torch.float64, device="cpu"))
    points = {}
    for term in problem.terms:
        columns = [torch.as_tensor(column) for column in term.columns.values()]
        points[term.name] = (
            torch.stack(columns, 1) if columns else torch.as_tensor(term_points(term, problem, count, seed=1))
        )
    residuals = compiled.residuals(trial, points)
    assert all(vector.shape == (len(points[name]),) for name, vector in residuals.items())
    return {name: float((vector.detach() ** 2).mean()) for name, vector in residuals.items()}


def assert_vanishes(problem: Problem, formula: Callable[..., Any], *, wrong: Callable[..., Any] | None = None) -> None:
    found = mean_squares(problem, formula)
    assert max(found.values()) < VANISHES, found
    # A formula that is not the solution must be seen by every term that can see it.
    disturbed = mean_squares(problem, wrong or (lambda *c: _disturbed(formula(*c), c)))
    assert all(value > 1e-8 for value in disturbed.values()), disturbed


def _disturbed(values: Any, coordinates: tuple[Tensor, ...]) -> Any:
    phases = [torch.sin((k + 1.3) * c + 0.7) for k, c in enumerate(coordinates)]
    wave = torch.exp(0.3 * sum(phases[1:], start=phases[0]))
    if not isinstance(values, tuple):
        return values + wave
    return tuple(value + (k + 1) * wave for k, value in enumerate(values))


def test_heat():
    u = fields("u", x, t)
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 0.5)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={
            "initial": Eq(u(x, 0), sin(pi * x)),
            "left": Eq(u(0, t), 0),
            "slope": Eq(u.diff(x).subs(x, 1), -pi * exp(-(pi**2) * t)),
        },
    )
    assert_vanishes(problem, lambda x, t: torch.exp(-(math.pi**2) * t) * torch.sin(math.pi * x))


def test_wave():
    u = fields("u", x, t)
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 2)}),
        equations=Eq(u.diff(t, 2), 4 * u.diff(x, 2)),
        conditions=[
            Eq(u(x, 0), sin(pi * x)),
            Eq(u.diff(t).subs(t, 0), 2 * pi * sin(pi * x)),
            Eq(u(0, t), 0),
            Eq(u(1, t), 0),
        ],
    )
    assert_vanishes(
        problem, lambda x, t: torch.sin(math.pi * x) * (torch.cos(2 * math.pi * t) + torch.sin(2 * math.pi * t))
    )


def test_burgers_travelling_wave():
    u = fields("u", x, t)
    viscosity, speed = Rational(1, 10), Rational(1, 2)
    exact = speed - speed * tanh(speed * (x - speed * t) / (2 * viscosity))
    problem = Problem(
        domain=Box({x: (-1, 1), t: (0, 1)}),
        equations={"burgers": Eq(u.diff(t) + u * u.diff(x), viscosity * u.diff(x, 2))},
        conditions={"initial": u(x, 0) - exact.subs(t, 0), "ends": [Eq(u(k, t), exact.subs(x, k)) for k in (-1, 1)]},
    )
    assert_vanishes(problem, lambda x, t: 0.5 - 0.5 * torch.tanh(2.5 * (x - 0.5 * t)))


def test_poisson_on_a_whole_boundary():
    u = fields("u", x, y)
    square = Box({x: (0, 1), y: (0, 2)})
    problem = Problem(
        domain=square,
        equations={"poisson": Eq(laplacian(u, x, y), 2)},
        conditions={"wall": on(square.boundary, Eq(u, x**2 + sin(x) * exp(y)))},
    )
    assert_vanishes(problem, lambda x, y: x**2 + torch.sin(x) * torch.exp(y))


def test_helmholtz_with_a_source():
    u = fields("u", x, y)
    square = Box({x: (-1, 1), y: (-1, 1)})
    exact = sin(pi * x) * sin(4 * pi * y)
    problem = Problem(
        domain=square,
        equations={"helmholtz": Eq(laplacian(u, x, y) + u, (1 - 17 * pi**2) * exact)},
        conditions={"wall": on(square.boundary, u)},
    )
    assert_vanishes(problem, lambda x, y: torch.sin(math.pi * x) * torch.sin(4 * math.pi * y))


def test_robin_condition_with_normals_on_every_face():
    u = fields("u", x, y)
    box = Box({x: (0, 1), y: (-1, 1)})
    exact = exp(x) * cos(y)
    flux = grad(u, x, y).dot(box.normal)
    given = grad(exact, x, y).dot(box.normal) + 3 * exact
    problem = Problem(
        domain=box,
        equations={"laplace": laplacian(u, x, y)},
        conditions={"robin": on(box.boundary, Eq(flux + 3 * u, given))},
    )
    assert_vanishes(problem, lambda x, y: torch.exp(x) * torch.cos(y))


def test_normals_keep_their_coordinate_in_a_product_with_time():
    u = fields("u", t, x, y)  # the fields' order of arguments differs from the domain's
    plate, time = Box({x: (0, 1), y: (0, 2)}), Interval(t, 0, 1)
    exact = x**2 * t + 3 * y
    problem = Problem(
        domain=plate * time,
        equations={"heat": Eq(u.diff(t), laplacian(u, x, y) + x**2 - 2 * t)},
        conditions={
            "initial": Eq(u(0, x, y), 3 * y),
            "flux": on(plate.boundary * time, Eq(grad(u, x, y).dot(plate.normal), grad(exact, x, y).dot(plate.normal))),
        },
    )
    assert_vanishes(problem, lambda x, y, t: x**2 * t + 3 * y)


def test_kovasznay_flow():
    u, v, p = fields("u v p", x, y)
    box = Box({x: (-0.5, 1), y: (-0.5, 1.5)})
    reynolds = 40
    rate = Rational(reynolds, 2) - sqrt(Rational(reynolds**2, 4) + 4 * pi**2)
    exact = {
        u: 1 - exp(rate * x) * cos(2 * pi * y),
        v: rate / (2 * pi) * exp(rate * x) * sin(2 * pi * y),
        p: (1 - exp(2 * rate * x)) / 2,
    }
    velocity = Matrix([u, v])
    problem = Problem(
        domain=box,
        equations={
            "momentum": advect(velocity, velocity, x, y) + grad(p, x, y) - laplacian(velocity, x, y) / reynolds,
            "mass": div(velocity, x, y),
        },
        conditions={"wall": on(box.boundary, *(Eq(f, value) for f, value in exact.items()))},
    )
    assert {term.name for term in problem.terms} == {
        *("momentum[0]", "momentum[1]", "mass"),
        *("wall[0]", "wall[1]", "wall[2]"),
    }
    r = 20 - math.sqrt(400 + 4 * math.pi**2)

    def formula(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        growth, phase = torch.exp(r * x), 2 * math.pi * y
        return (
            # declared order: that of first appearance, p before u and v where one equation holds all three
            *[{"u": 1 - growth * torch.cos(phase), "v": r / (2 * math.pi) * growth * torch.sin(phase),
               "p": (1 - growth * growth) / 2}[f.func.__name__] for f in problem.fields],
        )  # fmt: skip

    assert_vanishes(problem, formula)


def test_korteweg_de_vries_soliton_has_one_condition_left_and_two_right():
    u = fields("u", x, t)
    exact = 2 * sech(x - 4 * t) ** 2
    problem = Problem(
        domain=Box({x: (-2, 3), t: (0, 0.5)}),
        equations={"kdv": Eq(u.diff(t) + 6 * u * u.diff(x) + u.diff(x, 3), 0)},
        conditions={
            "initial": Eq(u(x, 0), exact.subs(t, 0)),
            "left": Eq(u(-2, t), exact.subs(x, -2)),
            "right": Eq(u(3, t), exact.subs(x, 3)),
            "slope": Eq(u.diff(x).subs(x, 3), exact.diff(x).subs(x, 3)),
        },
    )
    assert_vanishes(problem, lambda x, t: 2 * torch.cosh(x - 4 * t) ** -2.0)


def test_schroedinger_soliton_is_split_into_two_real_fields():
    h = fields("h", x, t)
    problem = Problem(
        domain=Box({x: (-5, 5), t: (0, pi / 2)}),
        equations={"nls": Eq(I * h.diff(t) + h.diff(x, 2) / 2 + Abs(h) ** 2 * h, 0)},
        conditions={
            "initial": Eq(h(x, 0), sech(x)),
            "value": Eq(h(-5, t), h(5, t)),
            "decay": Eq(h.diff(x).subs(x, -5), -h.diff(x).subs(x, 5)),
        },
    )
    assert [f.func.__name__ for f in problem.fields] == ["h_re", "h_im"]

    def soliton(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        envelope = torch.cosh(x) ** -1.0
        return envelope * torch.cos(0.5 * t), envelope * torch.sin(0.5 * t)

    assert_vanishes(problem, soliton)


def test_schroedinger_with_a_real_potential_that_is_a_root():
    h = fields("h", x, t)
    exact = exp(I * (x - t))
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 1)}),
        equations={"tdse": Eq(I * h.diff(t) + h.diff(x, 2) + sqrt(x) * (h - exact) * conjugate(h), 0)},
        conditions={
            "initial": Eq(h(x, 0), exp(I * x)),
            "left": Eq(h(0, t), exp(-I * t)),
            "right": Eq(h(1, t), exact.subs(x, 1)),
        },
    )
    assert_vanishes(problem, lambda x, t: (torch.cos(x - t), torch.sin(x - t)))


def test_absorbing_condition_of_the_complex_helmholtz_equation():
    h = fields("h", x)
    problem = Problem(
        domain=Interval(x, 0, 1),
        equations=Eq(h.diff(x, 2) + 9 * h, 0),
        conditions={"in": Eq(h(0), 1), "out": Eq(h.diff(x).subs(x, 1), 3 * I * h(1))},
    )
    assert_vanishes(problem, lambda x: (torch.cos(3 * x), torch.sin(3 * x)))


def test_complex_integral_equation():
    h = fields("h", x)
    problem = Problem(
        domain=Interval(x, 0, 2), equations={"volterra": Eq(h, 1 + I * Integral(h.subs(x, s), (s, 0, x)))}
    )
    assert_vanishes(problem, lambda x: (torch.cos(x), torch.sin(x)))


def test_oscillator_as_an_initial_value_problem():
    u = fields("u", t)
    problem = Problem(
        domain=Interval(t, 0, 10),
        equations={"oscillator": Eq(u.diff(t, 2) + 4 * u.diff(t) + 104 * u, 0)},
        conditions={"start": [Eq(u(0), 0), Eq(u.diff(t).subs(t, 0), 10)]},
    )
    assert_vanishes(problem, lambda t: torch.exp(-2 * t) * torch.sin(10 * t))


def test_system_of_ordinary_equations_of_initial_and_of_boundary_values():
    a, b = fields("a b", t)
    equations = [Eq(a.diff(t), b), Eq(b.diff(t), -a)]
    for conditions in ([Eq(a(0), 0), Eq(b(0), 1)], [Eq(a(0), 0), Eq(a(1), sin(1))]):
        problem = Problem(domain=Interval(t, 0, 1), equations=equations, conditions=conditions)
        assert_vanishes(problem, lambda t: (torch.sin(t), torch.cos(t)))


def test_system_with_mixed_derivatives():
    u, v = fields("u v", x, y)
    box = Box({x: (0, 1), y: (0, 1)})
    lame, shear = 1, Rational(1, 2)
    displacement = Matrix([u, v])
    force = Matrix(
        [
            -(lame + shear) * grad(div(displacement, x, y), x, y)[k] - shear * laplacian(displacement, x, y)[k]
            for k in range(2)
        ]
    )
    exact = Matrix([sin(x) * exp(y), x * y**3])
    swapped = dict(zip((u, v), exact, strict=True))
    problem = Problem(
        domain=box,
        equations={"balance": Eq(force, force.subs(swapped).doit())},
        conditions={"held": on(box.boundary, Eq(displacement, exact))},
    )
    assert_vanishes(problem, lambda x, y: (torch.sin(x) * torch.exp(y), x * y**3))


def test_vorticity_of_a_vortex_in_three_dimensions():
    u, v, w, a, b, c = fields("u v w a b c", x, y, z)
    box = Box({x: (-1, 1), y: (-1, 1), z: (0, 1)})
    problem = Problem(
        domain=box,
        equations={"curl": Eq(Matrix([a, b, c]), curl([u, v, w], x, y, z)), "given": [u + y * z, v - x * z, w - x * y]},
    )
    names = [f.func.__name__ for f in problem.fields]

    def formula(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        values = {"u": -y * z, "v": x * z, "w": x * y, "a": x - x, "b": -2 * y, "c": 2 * z}
        return tuple(values[name] for name in names)

    assert_vanishes(problem, formula)


def test_volterra_and_fredholm_integral_terms():
    u = fields("u", x)
    volterra = Problem(domain=Interval(x, 0, 2), equations={"second": Eq(u, 1 + Integral(u.subs(x, s), (s, 0, x)))})
    assert_vanishes(volterra, torch.exp)
    convolution = Problem(
        domain=Interval(x, 0, 3), equations={"second": Eq(u, x - Integral((x - s) * u.subs(x, s), (s, 0, x)))}
    )
    assert_vanishes(convolution, torch.sin)
    fredholm = Problem(
        domain=Interval(x, 0, 1),
        equations={"fredholm": Eq(u, exp(x) - x + Integral(x * s * u.subs(x, s), (s, 0, 1)))},
    )
    assert_vanishes(fredholm, torch.exp)


def test_integro_differential_equation_with_an_iterated_integral():
    u = fields("u", x, t)
    inner = Integral(u(s, t) * nu, (s, 0, nu), (nu, 0, 1))  # for u = x t: t/8
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 1)}),
        equations={"evolution": Eq(u.diff(t), x + inner - t / 8)},
        conditions={"initial": Eq(u(x, 0), 0)},
    )
    assert_vanishes(problem, lambda x, t: x * t)


def test_a_moment_whose_weight_vanishes_at_the_ends_counts_as_a_condition():
    u = fields("u", x, t)
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 0.2)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={
            "initial": Eq(u(x, 0), sin(pi * x)),
            "left": Eq(u(0, t), 0),
            "moment": Eq(Integral(sin(pi * s) * u(s, t), (s, 0, 1)), exp(-(pi**2) * t) / 2),
        },
    )
    assert_vanishes(problem, lambda x, t: torch.exp(-(math.pi**2) * t) * torch.sin(math.pi * x))


def test_periodic_values_and_slopes_and_a_reflection():
    u = fields("u", x, t)
    problem = Problem(
        domain=Box({x: (-1, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2) / pi**2)},
        conditions={
            "initial": Eq(u(x, 0), cos(pi * x)),
            "value": Eq(u(-1, t), u(1, t)),
            "slope": Eq(u.diff(x).subs(x, -1), u.diff(x).subs(x, 1)),
            "even": Eq(u(-x, t), u(x, t)),
        },
    )
    assert_vanishes(problem, lambda x, t: torch.exp(-t) * torch.cos(math.pi * x))


def test_a_delay_and_the_history_on_a_part_of_the_domain():
    u = fields("u", t)
    problem = Problem(
        domain=Interval(t, 0, 2),
        equations={"delay": on(Interval(t, 1, 2), Eq(u.diff(t), u - u.subs(t, t - 1) + 1))},
        conditions={"history": on(Interval(t, 0, 1), Eq(u, t**2))},
    )
    assert_vanishes(problem, lambda t: t**2)


def test_parameter_as_a_coordinate_and_fields_of_fewer_coordinates():
    u, a = fields("u", x, t, nu), fields("a", nu)
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 1), nu: (0.1, 1)}),
        equations={"heat": Eq(u.diff(t), a * u.diff(x, 2)), "law": Eq(a, nu**2)},
        conditions={
            "initial": Eq(u(x, 0, nu), sin(x)),
            "left": Eq(u(0, t, nu), 0),
            "right": Eq(u(1, t, nu), sin(1) * exp(-(nu**2) * t)),
        },
    )
    # one module gives all fields; `a` is evaluated at its own coordinate wherever x and t happen to be
    assert [f.func.__name__ for f in problem.fields] == ["a", "u"]
    assert_vanishes(problem, lambda x, t, nu: (nu**2, torch.sin(x) * torch.exp(-(nu**2) * t)))


def test_observations_of_an_expression_and_of_a_pinned_field():
    u, v = fields("u v", x, y)
    places = torch.linspace(0, 1, 7, dtype=torch.float64).numpy()
    problem = Problem(
        domain=Box({x: (0, 1), y: (0, 1)}),
        equations={"mass": u.diff(x) + v.diff(y)},
        data={
            "vorticity": Observations(at={x: places, y: places}, values={v.diff(x) - u.diff(y): -2 * places}),
            "wall": Observations(at={x: places}, values={u(x, 1): 1 + 0 * places}, noise=0.1),
        },
    )
    names = [f.func.__name__ for f in problem.fields]
    assert_vanishes(problem, lambda x, y: tuple({"u": y**2, "v": 0 * x}[name] for name in names))


def test_unknown_parameters_enter_with_their_values():
    u, decay = fields("u", t), Symbol("decay", positive=True)
    problem = Problem(
        domain=Interval(t, 0, 1),
        equations={"decay": Eq(u.diff(t), -decay * u)},
        conditions={"start": Eq(u(0), 1)},
        unknowns={decay: 3},
        data={"sensor": Observations(at={t: [0.5]}, values={u: [math.exp(-1.5)]})},
    )
    assert_vanishes(problem, lambda t: torch.exp(-3 * t))


def test_an_ansatz_gives_the_derivatives_of_what_the_network_is_put_into():
    u = fields("u", x, t)
    problem = Problem(
        domain=Box({x: (0, 1), t: (0, 0.5)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
        ansatz={u: sin(pi * x) + t * x * (1 - x) * u},
    )
    assert problem.exact == {"initial", "left", "right"}

    def network(x: Tensor, t: Tensor) -> Tensor:
        return torch.sin(math.pi * x) * (torch.exp(-(math.pi**2) * t) - 1) / (t * x * (1 - x))

    found = mean_squares(problem, network)
    assert set(found) == {"heat"}
    assert found["heat"] < 1e-16  # the quotient loses digits near the walls


@pytest.mark.parametrize("length", [1e-9, 1e9])
def test_sizes_in_any_unit(length: float):
    u = fields("u", x)
    problem = Problem(
        domain=Interval(x, 0, length),
        equations={"poisson": Eq(length**2 * u.diff(x, 2), -(pi**2) * sin(pi * x / length))},
        conditions={"left": Eq(u(0), 0), "right": Eq(u(length), 0)},
    )
    assert_vanishes(problem, lambda x: torch.sin(math.pi * x / length), wrong=lambda x: (x / length) ** 3 + 1)


def test_a_manufactured_solution_with_an_integral_and_a_normal():
    u, box = fields("u", x, t), Box({x: (0, 1), t: (0, 1)})
    wall = box.face(x, 1)
    problem = Problem(
        domain=box,
        equations=Eq(u.diff(t), u.diff(x, 2) + u * Integral(u(s, t) * exp(-s * x), (s, 0, 1))),
        conditions={
            "start": Eq(u(x, 0), 0),
            "left": Eq(u(0, t), 0),
            "flux": on(wall, Eq(wall.normal[0] * u.diff(x) + u**2, 0)),
        },
    )
    made = manufactured(problem, {u: exp(-t) * sin(3 * x + 1)})
    assert_vanishes(made, lambda x, t: torch.exp(-t) * torch.sin(3 * x + 1))

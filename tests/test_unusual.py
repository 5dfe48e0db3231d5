"""Declarations that are unusual and right are accepted, and compile without a warning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy
from declarations import SQUARE, STRIP, TWIN, f, heat, nu, pinned, s, t, u, v, w, x, y
from sympy import (
    Abs,
    Eq,
    Function,
    Heaviside,
    I,
    Integral,
    Matrix,
    Max,
    Piecewise,
    Rational,
    conjugate,
    cos,
    exp,
    log,
    pi,
    sech,
    sin,
    sqrt,
)

from pinnsolve.compiler.compile import compile_problem
from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.terms import on
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.operators import advect, div, fields, grad, laplacian
from pinnsolve.problem import Problem


def kovasznay(pressure: str) -> dict[str, Any]:
    a, b, p = fields("u v p", x, y)
    box = Box({x: (-0.5, 1), y: (-0.5, 1.5)})
    velocity = Matrix([a, b])
    conditions: dict[str, Any] = {"wall": on(box.boundary, Eq(a, exp(x) * cos(y)), Eq(b, -exp(x) * sin(y)))}
    if pressure == "whole boundary":
        conditions["pressure"] = on(box.boundary, Eq(p, x * y))
    if pressure == "point":
        conditions["pressure"] = Eq(p(0, 0), 0)
    return {
        "domain": box,
        "equations": {
            "momentum": advect(velocity, velocity, x, y) + grad(p, x, y) - laplacian(velocity, x, y) / 40,
            "mass": div(velocity, x, y),
        },
        "conditions": conditions,
    }


def channel(*, steady: bool, stress: bool) -> dict[str, Any]:
    coordinates = (x, y) if steady else (x, y, t)
    a, b, p = fields("u v p", *coordinates)
    velocity, inside = Matrix([a, b]), {x: (0, 4), y: (0, 1)}
    inertia = advect(velocity, velocity, x, y) + (0 * velocity if steady else velocity.diff(t))
    outlet = [(a.diff(x) / 100 - p).subs(x, 4)] if stress else [a.diff(x).subs(x, 4), p.subs(x, 4)]
    conditions = {
        "walls": [field.subs(y, k) for field in (a, b) for k in (0, 1)],
        "inlet": [Eq(a.subs(x, 0), y * (1 - y) * (1 if steady else t)), b.subs(x, 0)],
        "outlet": [*outlet, b.diff(x).subs(x, 4)],
    }
    if not steady:
        conditions["start"] = [a.subs(t, 0), b.subs(t, 0)]
    return {
        "domain": Box(inside if steady else {**inside, t: (0, 1)}),
        "equations": {
            "momentum": inertia + grad(p, x, y) - laplacian(velocity, x, y) / 100,
            "mass": div(velocity, x, y),
        },
        "conditions": conditions,
    }


def elasticity(*, mixed: bool) -> dict[str, Any]:
    a, b = fields("a b", x, y)
    clamped = {"clamped": on(SQUARE.face(x, 0), a, b)}
    if mixed:
        p, q, r = fields("sxx syy sxy", x, y)
        laws = [p - 3 * a.diff(x) - b.diff(y), q - 3 * b.diff(y) - a.diff(x), r - a.diff(y) - b.diff(x)]
        free = [p(1, y), r(1, y), *(stress(x, k) for stress in (q, r) for k in (0, 1))]
        balance = [p.diff(x) + r.diff(y), r.diff(x) + q.diff(y) + 1]
        return {
            "domain": SQUARE,
            "equations": {"balance": balance, "law": laws},
            "conditions": clamped | {"free": free},
        }
    displacement = Matrix([a, b])
    gradient = displacement.jacobian([x, y])
    stress = gradient + gradient.T + div(displacement, x, y) * sympy.eye(2)
    return {
        "domain": SQUARE,
        "equations": {"balance": [div(stress.row(k), x, y) + k for k in (0, 1)]},
        "conditions": clamped | {"traction": on(SQUARE.boundary - SQUARE.face(x, 0), *(stress * SQUARE.normal))},
    }


def poisson_as_a_first_order_system() -> dict[str, Any]:
    potential, p, q = fields("phi p q", x, y)
    return {
        "domain": SQUARE,
        "equations": {"law": Eq(Matrix([p, q]), grad(potential, x, y)), "balance": Eq(div([p, q], x, y), -1)},
        "conditions": {"wall": on(SQUARE.boundary, potential)},
    }


RIGHT: dict[str, Callable[[], dict[str, Any]]] = {
    "Korteweg-de Vries with one condition left and two right": lambda: {
        "domain": STRIP,
        "equations": u.diff(t) + 6 * u * u.diff(x) + u.diff(x, 3),
        "conditions": pinned(u, (t, 0, 0), (x, 0, 0), (x, 0, 1), (x, 1, 1)),
    },
    "pressure on the whole boundary": lambda: kovasznay("whole boundary"),
    "pressure at one point": lambda: kovasznay("point"),
    "pressure nowhere": lambda: kovasznay("nowhere"),
    "steady flow with a pressure outlet": lambda: channel(steady=True, stress=False),
    "steady flow with a stress-free outlet": lambda: channel(steady=True, stress=True),
    "unsteady flow with a pressure outlet": lambda: channel(steady=False, stress=False),
    "unsteady flow with a stress-free outlet": lambda: channel(steady=False, stress=True),
    "linear elasticity with traction-free walls": lambda: elasticity(mixed=False),
    "linear elasticity with stresses as fields": lambda: elasticity(mixed=True),
    "Poisson as a first-order system": poisson_as_a_first_order_system,
    "wave equation": lambda: {
        "domain": STRIP,
        "equations": u.diff(t, 2) - u.diff(x, 2),
        "conditions": pinned(u, (t, 0, 0), (t, 1, 0), (x, 0, 0), (x, 0, 1)),
    },
    "wave equation as a first-order system": lambda: {
        "domain": STRIP,
        "equations": [u.diff(t) - v.diff(x), v.diff(t) - u.diff(x)],
        "conditions": [*pinned(u, (t, 0, 0), (x, 0, 0), (x, 0, 1)), v(x, 0)],
    },
    "telegraph wave with an absorbing end": lambda: {
        "domain": STRIP,
        "equations": u.diff(t, 2) - u.diff(x, 2),
        "conditions": [*pinned(u, (t, 0, 0), (t, 1, 0), (x, 0, 0)), (u.diff(t) + u.diff(x)).subs(x, 1)],
    },
    "clamped and free beam": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(f.diff(x, 4), 1),
        "conditions": pinned(f, (x, 0, 0), (x, 1, 0), (x, 2, 1), (x, 3, 1)),
    },
    "transport with one inflow condition": lambda: {
        "domain": STRIP,
        "equations": u.diff(t) + u.diff(x),
        "conditions": [Eq(u(x, 0), sin(x)), Eq(u(0, t), -sin(t))],
    },
    "transport to the left with a final value on the right": lambda: {
        "domain": STRIP,
        "equations": u.diff(t) - 2 * u.diff(x),
        "conditions": [Eq(u(x, 0), sin(x)), Eq(u(1, t), sin(1 + 2 * t))],
    },
    "waves that are given in time and from one side": lambda: {
        "domain": STRIP,
        "equations": u.diff(t, 2) - u.diff(x, 2),
        "conditions": pinned(u, (t, 0, 0), (t, 0, 1), (x, 0, 0), (x, 0, 1)),
    },
    "a field whose flow may turn": lambda: {
        "domain": STRIP,
        "equations": u.diff(t) + u * u.diff(x),
        "conditions": [u(x, 0) - x, u(1, t) - 1 / (1 + t)],
    },
    "a boundary layer that is marched downstream": lambda: {
        "domain": SQUARE,
        "equations": [
            w * w.diff(x) + fields("g", x, y) * w.diff(y) - w.diff(y, 2) / 100,
            w.diff(x) + fields("g", x, y).diff(y),
        ],
        "conditions": [
            Eq(w(0, y), y),
            w(x, 0),
            Eq(w(x, 1), 1),
            fields("g", x, y)(x, 0),
        ],
    },
    "a diffusion of 1e-12 square metres a second": lambda: {
        "domain": Box({x: (0, 1e-6), t: (0, 1)}),
        "equations": Eq(u.diff(t), 1e-12 * u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), sin(pi * x / 1e-6)), u(0, t), u(1e-6, t)],
    },
    "a phase field of fourth order": lambda: {
        "domain": STRIP,
        "equations": Eq(u.diff(t), (u**3 - u).diff(x, 2) - u.diff(x, 4) / 1000),
        "conditions": pinned(u, (t, 0, 0), (x, 1, 0), (x, 3, 0), (x, 1, 1), (x, 3, 1)),
    },
    "a stiff reaction": lambda: heat(Eq(u.diff(t), u.diff(x, 2) / 1000 + 1e4 * u * (1 - u))),
    "an oscillation faster than the domain": lambda: {
        "domain": SQUARE,
        "equations": laplacian(w, x, y) + 1e6 * w,
        "conditions": {"wall": on(SQUARE.boundary, w - 1)},
    },
    "characteristic initial values": lambda: {
        "domain": SQUARE,
        "equations": Eq(w.diff(x, y), w),
        "conditions": [Eq(w(x, 0), 1), Eq(w(0, y), 1)],
    },
    "algebraic constraint in a system of ordinary equations": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": [Eq(f.diff(x), -fields("g", x)), Eq(fields("g", x), f**3)],
        "conditions": [Eq(f(0), 1)],
    },
    "stream function and vorticity with the walls' slip on one field": lambda: {
        "domain": SQUARE,
        "equations": [
            Eq(laplacian(w, x, y), -fields("a", x, y)),
            Eq(laplacian(fields("a", x, y), x, y), w.diff(y) * fields("a", x, y).diff(x)),
        ],
        "conditions": {"wall": on(SQUARE.boundary, w, grad(w, x, y).dot(SQUARE.normal))},
    },
    "clamped plate": lambda: {
        "domain": SQUARE,
        "equations": Eq(laplacian(laplacian(w, x, y), x, y), 1),
        "conditions": {"clamped": on(SQUARE.boundary, w, grad(w, x, y).dot(SQUARE.normal))},
    },
    "only slopes on the boundary": lambda: {
        "domain": SQUARE,
        "equations": Eq(laplacian(w, x, y), cos(pi * x)),
        "conditions": {"insulated": on(SQUARE.boundary, grad(w, x, y).dot(SQUARE.normal))},
    },
    "Volterra equation": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(f, 1 + Integral(f(s), (s, 0, x))),
    },
    "Fredholm equation of the first kind": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(Integral(exp(x * s) * f(s), (s, 0, 1)), x),
    },
    "a norm as an integral with an unknown": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(-f.diff(x, 2), nu * f),
        "conditions": [f(0), f(1), Eq(Integral(f(s) ** 2, (s, 0, 1)), 1)],
        "unknowns": {nu: 9},
    },
    "conserved mass beside the fluxes": lambda: heat(
        total=Eq(Integral(u(s, t), (s, 0, 1)), 2 * exp(-(pi**2) * t) / pi)
    ),
    "a pressure of mean zero": lambda: (
        kovasznay("nowhere")
        | {
            "conditions": kovasznay("nowhere")["conditions"]
            | {"mean": Integral(Function("p")(x, y), (x, -0.5, 1), (y, -0.5, 1.5))}
        }
    ),
    "a parameter as a coordinate": lambda: {
        "domain": STRIP * Interval(nu, 0.1, 1),
        "equations": Eq(fields("u", x, t, nu).diff(t), nu * fields("u", x, t, nu).diff(x, 2)),
        "conditions": pinned(fields("u", x, t, nu), (t, 0, 0), (x, 0, 0), (x, 0, 1)),
    },
    "an unknown field with observations": lambda: (
        heat(Eq(u.diff(t), (f * u.diff(x)).diff(x)))
        | {"data": {"sensors": Observations(at={x: [0.2, 0.4], t: 0.5}, values={u: [0.3, 0.4]})}}
    ),
    "periodic values and slopes": lambda: {
        "domain": STRIP,
        "equations": Eq(u.diff(t), u.diff(x, 2)),
        "conditions": [
            Eq(u(x, 0), cos(2 * pi * x)),
            Eq(u(0, t), u(1, t)),
            Eq(u.diff(x).subs(x, 0), u.diff(x).subs(x, 1)),
        ],
    },
    "a periodic reaction without a derivative in space": lambda: {
        "domain": STRIP,
        "equations": Eq(u.diff(t), 5 * u * (1 - u)),
        "conditions": [Eq(u(x, 0), sin(2 * pi * x)), Eq(u(0, t), u(1, t))],
    },
    "fields of fewer coordinates": lambda: {
        "domain": STRIP,
        "equations": [Eq(u.diff(t), u.diff(x, 2) + fields("h", t)), Eq(fields("h", t).diff(t), u(0.5, t))],
        "conditions": [u(x, 0), u(0, t), Eq(u(1, t), fields("h", t)), Eq(Function("h")(0), 0)],
    },
    "plain functions of SymPy beside fields": lambda: {
        "domain": STRIP,
        "equations": [Eq(Function("u")(x, t).diff(t), u.diff(x, 2) + v), Eq(v.diff(t), Function("u")(x, t))],
        "conditions": [Function("u")(x, 0), u(0, t), Function("u")(x, t).subs(x, 1), Function("v")(x, 0)],
    },
    "observations in place of conditions": lambda: (
        heat(without="initial left right")
        | {"data": {"sensors": Observations(at={x: [0.2], t: [0.5]}, values={u: [0.3]})}}
    ),
    "a source that jumps in space and time": lambda: heat(
        Eq(u.diff(t), u.diff(x, 2) + Piecewise((1, x < 0.5), (0, True)) + Heaviside(t - Rational(1, 2)))
    ),
    "a reaction rate that jumps": lambda: heat(Eq(u.diff(t), u.diff(x, 2) - Heaviside(x - Rational(1, 2)) * u)),
    "a conductivity that switches in time": lambda: heat(
        Eq(u.diff(t), Piecewise((1, t < 0.5), (2, True)) * u.diff(x, 2))
    ),
    "a conductivity with a kink": lambda: heat(
        Eq(u.diff(t), ((1 + Piecewise((0, x < 0.5), (x - Rational(1, 2), True))) * u.diff(x)).diff(x))
    ),
    "a flux as a field where the conductivity jumps": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": [
            Eq(fields("q", x), Piecewise((1, x < 0.5), (10, True)) * f.diff(x)),
            Eq(fields("q", x).diff(x), -1),
        ],
        "conditions": [f(0), f(1)],
    },
    "derivatives of absolute values of fields that are not declared real": lambda: heat(
        Eq(u.diff(t), (Abs(u.diff(x)) * u.diff(x)).diff(x) + u.diff(x, 2) - (Abs(u) * u).diff(x) + Abs(x).diff(x))
    ),
    "a coefficient without a NumPy function": lambda: heat(
        Eq(u.diff(t), sympy.loggamma(x + 3) * u.diff(x, 2) + sympy.erf(x) * u)
    ),
    "nanometres": lambda: {
        "domain": Box({x: (0, 1e-9), t: (0, 1e-12)}),
        "equations": Eq(u.diff(t), 1e-6 * u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), 300 * sin(pi * x / 1e-9)), u(0, t), u(1e-9, t)],
    },
    "gigapascals with Python's pi": lambda: {
        "domain": Box({x: (0, 1e9), t: (0, 1e9)}),
        "equations": Eq(u.diff(t), 1e5 * u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), 1e9 * sin(float(np.pi) * x / 1e9)), u(0, t), u(1e9, t)],
    },
    "initial data in pieces": lambda: heat(initial=Eq(u(x, 0), Piecewise((1, Abs(x - 0.5) < 0.25), (0, True)))),
    "shock tube": lambda: {
        "domain": STRIP,
        "equations": [u.diff(t) + (u * v).diff(x), (u * v).diff(t) + (u * v**2 + u).diff(x)],
        "conditions": [Eq(u(x, 0), Piecewise((1, x < 0.5), (0.1, True))), v(x, 0), Eq(u(0, t), 1), v(0, t)],
    },
    "a payoff with a kink at the final time": lambda: {
        "domain": STRIP,
        "equations": Eq(u.diff(t) + x**2 * u.diff(x, 2) / 50 + x * u.diff(x) / 20 - u / 20, 0),
        "conditions": [Eq(u(x, 1), Max(x - 0.5, 0)), u(0, t), Eq(u(1, t), 1 - exp(-(1 - t) / 20) / 2)],
    },
    "a value pinned inside": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(f.diff(x, 2), 1),
        "conditions": [f(0), Eq(f(0.55), 0.1)],
    },
    "a value pinned inside beside those at the ends": lambda: heat(
        middle=Eq(u(0.55, t), sin(0.55 * pi) * exp(-(pi**2) * t))
    ),
    "a symmetry beside the conditions": lambda: {
        "domain": Box({x: (-1, 1), t: (0, 1)}),
        "equations": Eq(u.diff(t), u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), cos(pi * x / 2)), Eq(u(-x, t), u(x, t)), u(1, t), u(-1, t)],
    },
    "a symmetry in place of a condition": lambda: {
        "domain": Box({x: (-1, 1), t: (0, 1)}),
        "equations": Eq(u.diff(t), u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), cos(pi * x / 2)), Eq(u(-x, t), u(x, t)), u(1, t)],
    },
    "two equations on two parts of the domain": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": {
            "left": on(Interval(x, 0, 0.5), f.diff(x, 2) + 1),
            "right": on(Interval(x, 0.5, 1), 9 * f.diff(x, 2) + 1),
        },
        "conditions": [f(0), f(1)],
    },
    "a delay with its history": lambda: {
        "domain": Interval(x, 0, 2),
        "equations": on(Interval(x, 1, 2), Eq(f.diff(x), -f(x - 1))),
        "conditions": on(Interval(x, 0, 1), Eq(f, 1)),
    },
    "a pantograph": lambda: {
        "domain": Interval(x, 0, 2),
        "equations": Eq(f.diff(x), -f(x / 2)),
        "conditions": Eq(f(0), 1),
    },
    "a complex equation with a conjugate, roots, and a real potential in pieces": lambda: {
        "domain": Box({x: (-5, 5), t: (0, 1)}),
        "equations": Eq(
            I * u.diff(t),
            -u.diff(x, 2) / 2
            + Piecewise((0, x < 0), (sqrt(x), True)) * u
            + log(x + 6) * u
            + Max(0, x) * u * conjugate(u) * u,
        ),
        "conditions": [Eq(u(x, 0), exp(-(x**2) + I * x)), u(-5, t), u(5, t)],
    },
    "an imaginary unit of Python": lambda: {
        "domain": Interval(x, 0, 1),
        "equations": Eq(f.diff(x), 1j * f),
        "conditions": Eq(f(0), 1),
    },
    "a pulse that is all but zero at the walls": lambda: {
        "domain": Box({x: (-12, 12), t: (0, 1)}),
        "equations": Eq(u.diff(t), u.diff(x, 2)),
        "conditions": [Eq(u(x, 0), sech(3 * x - 3)), *pinned(u, (x, 0, -12), value=exp(-60)), u(12, t)],
    },
    "symbols with assumptions": lambda: {
        "domain": Interval(TWIN, 0, pi),
        "equations": fields("g", TWIN, real=True).diff(TWIN, 2) + fields("g", TWIN, real=True),
        "conditions": [fields("g", TWIN, real=True)(0), Eq(fields("g", TWIN, real=True)(pi / 2), 1)],
    },
    "a lid that stops short of the corners": lambda: {
        "domain": SQUARE,
        "equations": laplacian(w, x, y),
        "conditions": {
            "walls": on(SQUARE.boundary - SQUARE.face(y, 1), w),
            "lid": on(Interval(x, 0.01, 0.99), Eq(w(x, 1), 1)),
        },
    },
    "an inlet and a wall that share a side": lambda: {
        "domain": SQUARE,
        "equations": laplacian(w, x, y),
        "conditions": {
            "inlet": on(Interval(y, 0.5, 1), Eq(w(0, y), 1)),
            "wall": on(Interval(y, 0, 0.5), w(0, y)),
            "right": w.diff(x).subs(x, 1),
            "ends": [w.diff(y).subs(y, 0), w.diff(y).subs(y, 1)],
        },
    },
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_declaration_is_accepted_and_compiles(name: str):
    problem = Problem(**RIGHT[name]())
    compiled = compile_problem(problem)
    assert len(compiled.terms) == len(problem.terms)

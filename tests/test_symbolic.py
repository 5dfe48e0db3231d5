"""Networks as SymPy expressions: equal to the solution to rounding, with ansatz, scales and periods; what is none is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, I, cos, exp, lambdify, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.compiler.trial import build_trial
from pinnsolve.scaling import complete
from pinnsolve.solution import Solution
from pinnsolve.windows import in_windows

x, t = symbols("x t")
u, v, h = ps.fields("u", x, t), ps.fields("v", t), ps.fields("h", x, t)
STRIP = ps.Box({x: (-1, 1), t: (0, 2)})
XS, TS = np.linspace(-1, 1, 7), np.linspace(0, 2, 7)


def untrained(network: Any, problem: ps.Problem) -> Solution:
    """The solution as it is before any training, with what is met exactly and scaled."""
    built, _ = complete(problem, network)
    trial = build_trial(built, network, seed=2, dtype=torch.float64, device="cpu")
    return Solution(built, trial, None, {})


def heat(**more: Any) -> ps.Problem:
    conditions = {"start": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(-1, t), 0), "right": Eq(u(1, t), 0)}
    declared: dict[str, Any] = {
        "domain": STRIP,
        "equations": {"heat": Eq(u.diff(t), u.diff(x, 2))},
        "conditions": conditions,
    }
    return ps.Problem(**(declared | more))


@pytest.mark.parametrize(
    "network",
    [
        ps.MLP(width=6, depth=2),
        ps.MLP(width=20, depth=3, activation="sine"),
        ps.MLP(width=6, depth=2, activation="silu", factorised=True, fourier=1.0),
        ps.MLP(width=5, depth=2, activation="gelu", whitening="full"),
        ps.ResNet(width=4, blocks=1, activation="sigmoid"),
        ps.ModifiedMLP(width=4, depth=2),
        torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)),
    ],
    ids=lambda network: f"{type(network).__name__} {getattr(network, 'activation', '')}",
)
def test_a_field_is_the_solution_to_rounding(network: Any) -> None:
    solution = untrained(network, heat())
    found = solution.to_sympy()
    assert found.free_symbols == {x, t}
    values = lambdify([x, t], found, "scipy", cse=True)(XS, TS)
    np.testing.assert_allclose(values, solution(x=XS, t=TS), rtol=1e-12, atol=1e-12)


def test_so_are_its_derivatives() -> None:
    solution = untrained(ps.MLP(width=4, depth=1), heat())
    values = lambdify([x, t], solution.to_sympy().diff(x, 2), "numpy", cse=True)(XS, TS)
    np.testing.assert_allclose(values, solution.evaluate(u.diff(x, 2), x=XS, t=TS), rtol=1e-11, atol=1e-11)


def test_scales_periods_and_fields_of_fewer_coordinates() -> None:
    conditions = {
        "start": Eq(u(x, 0), 500 + 300 * cos(pi * x)),
        "round": [Eq(u(-1, t), u(1, t)), Eq(u.diff(x).subs(x, -1), u.diff(x).subs(x, 1))],
        "rest": Eq(v(0), 0),
    }
    problem = heat(equations={"heat": Eq(u.diff(t), u.diff(x, 2)), "slope": Eq(v.diff(t), v)}, conditions=conditions)
    solution = untrained(ps.MLP(width=5, depth=2, harmonics=2), problem)
    assert solution.problem.periods and solution.problem.scales.fields
    found, expected = solution.to_sympy(), solution(x=XS, t=TS)
    assert found.v.free_symbols == {t}
    for name in ("u", "v"):
        values = lambdify([x, t], getattr(found, name), "numpy", cse=True)(XS, TS)
        np.testing.assert_allclose(values, getattr(expected, name), rtol=1e-12, atol=1e-12)


def test_a_complex_field_has_both_parts() -> None:
    problem = ps.Problem(
        domain=STRIP,
        equations={"wave": Eq(I * h.diff(t) + h.diff(x, 2), 0)},
        conditions={"start": Eq(h(x, 0), (1 - x**2) * exp(I * x)), "left": Eq(h(-1, t), 0), "right": Eq(h(1, t), 0)},
        hard=False,
    )
    solution = untrained(ps.MLP(width=4, depth=1), problem)
    values = lambdify([x, t], solution.to_sympy(), "numpy", cse=True)(XS, TS)
    np.testing.assert_allclose(values, solution(x=XS, t=TS), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (ps.MLP(width=40, depth=3), "an expression of .* nodes, more than 200000"),
        (ps.PirateNet(width=4, blocks=1), "a layer AdaptiveBlocks"),
        (ps.MLP(width=4, depth=1, activation="softplus"), "a layer Softplus"),
        (in_windows(heat(), ps.MLP(width=4, depth=1), {t: 2}), "a solution in windows, .*"),
    ],
)
def test_what_is_no_formula_is_refused_in_a_sentence(network: Any, found: str) -> None:
    solution = untrained(network, heat())
    with pytest.raises(ps.UnsupportedError, match=rf"to_sympy\(\) · {found} · write solution.export"):
        solution.to_sympy()

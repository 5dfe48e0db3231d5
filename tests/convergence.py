"""Convergence of finite elements on manufactured solutions, as their tests hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sympy import Expr

import pinnsolve as ps
from pinnsolve.reference.exact import Exact, exact_reference
from pinnsolve.reference.result import Reference, relative_l2
from pinnsolve.reference.solve import solve_reference


def errors(problem: ps.Problem, reference: Reference, truth: Mapping[Any, Expr]) -> list[dict[str, float]]:
    """The true error of every field on every mesh."""
    points = reference.levels[-1].points
    exact = exact_reference(problem, Exact(truth), unknowns={}).evaluate(points)
    return [
        {
            name: relative_l2(f(points) - exact[name], exact[name], free_constant=name in problem.gauges)
            for name, f in level.functions.items()
        }
        for level in reference.levels
    ]


def check(problem: ps.Problem, truth: Mapping[Any, Expr], *, size: float, order: int) -> None:
    """Hold the observed order to 0.1 of the design order, the estimate to a factor of three of the truth."""
    made = ps.manufactured(problem, truth)
    reference = solve_reference(made, ps.FiniteElements(size, order=order), unknowns={})
    found = errors(made, reference, truth)
    assert len(found) >= 3 and reference.kind == "finite_element"
    for name, finest in found[-1].items():
        assert abs(np.log2(found[-2][name] / finest) - (order + 1)) < 0.1, found
        assert 1 / 3 < reference.estimated_relative_l2[name] / finest < 3

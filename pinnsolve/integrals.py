"""Integrals of any expression of a solution over regions and boundaries, and the numbers that a problem wants of its solution."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sympy import Expr
from sympy.core.function import AppliedUndef

from pinnsolve.compiler.compile import CompiledTerm, compile_expression, evaluate_term
from pinnsolve.declaration.extents import number
from pinnsolve.declaration.groups import away_from_home
from pinnsolve.declaration.quantities import check_integrand, in_numbers
from pinnsolve.declaration.terms import with_ends_of_integrals
from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.images import Array
from pinnsolve.domains.indicators import indicator_values
from pinnsolve.domains.integration import Rule, integration_rule
from pinnsolve.domains.pieces import Face
from pinnsolve.domains.shapes import Shape, lies_in
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem

if TYPE_CHECKING:
    from pinnsolve.solution import Solution

_FIRST, _GROWTH, _MOST = 1_024, 4, 65_536
"""Points of the first rule, how many times more each following one has, and the most of a rule."""

_SETTLED = 1e-7
"""Change from rule to rule, relative to the integral of the absolute value, at which no further one is tried."""

_ROUGH = 1e-3
"""The same, beyond which the user is warned."""

_CHUNK = 8_192


def integral_of(solution: Solution, expression: Any, over: Shape | Boundary, held: Mapping[str, Any]) -> Any:
    """Return the integral of an expression over a region or a boundary; see `Solution.integral`."""
    problem, name = solution.problem, str(expression)
    read = check_integrand(name, expression, over, problem)
    if over is None:
        raise ProblemError(name, "over=None", "give a region or a boundary, such as over=disk.boundary")
    names = {c.name: c for c in problem.coordinates if c not in over.coordinates}
    for given in sorted(set(held) - set(names)):
        if len(over.coordinates) > 1 and given in {c.name for c in over.coordinates}:
            found = f"{given} = {held[given]} is held, and it is one of the coordinates integrated over"
            raise ProblemError(
                name, found, f"give a region of the others, such as over={_without(over, given, problem)}"
            )
        listed = ", ".join(names) or "none"
        raise ProblemError(name, f"{given} is not held", f"the coordinates beside the region's are: {listed}")
    reached = with_ends_of_integrals(read).free_symbols
    missing = [c.name for c in names.values() if c in reached and c.name not in held]
    if missing:
        raise ProblemError(name, f"no value for {', '.join(missing)}", f"write integral(..., {missing[0]}=...)")
    places = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in held.values()))
    shape = places[0].shape if places else ()
    rows = np.stack([p.ravel() for p in places], axis=1) if places else np.zeros((1, 0))
    values = [
        _integral(solution, name, read, over, {names[n]: float(v) for n, v in zip(held, row, strict=True)})
        for row in rows
    ]
    return np.array(values).reshape(shape)[()]


def _without(over: Shape | Boundary, held: str, problem: Problem) -> str:
    """Return how a region of the other coordinates may be written, the same face where it is one of a box."""
    bounds = {c: over.bounds[c] for c in over.coordinates if c.name != held}
    face = over.pieces[0] if isinstance(over, Boundary) and len(over.pieces) == 1 else None
    if isinstance(face, Face):
        bounds |= {face.coordinate: problem.bounds[face.coordinate]}
    box = f"ps.Box({{{', '.join(f'{c}: ({number(low)}, {number(high)})' for c, (low, high) in bounds.items())}}})"
    if isinstance(face, Face):
        return f"{box}.face({face.coordinate}, {number(face.value)})"
    return f"{box}.boundary" if isinstance(over, Boundary) else box


def quantities_of(solution: Solution) -> dict[str, dict[str, Any]]:
    """Return the numbers that the problem wants, `{"drag": {"value": ..., "unit": "N", "known": ..., "relative_error": ...}}`.

    The last two are there where the number is known; the error is absolute where that is zero. One without a unit has none.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, wanted in solution.problem.quantities.items():
        expression, factor = in_numbers(wanted, solution.problem)
        if wanted.over is None:
            value = factor * float(solution.evaluate(expression))
        else:
            value = factor * float(solution.integral(expression, over=wanted.over))
        found[name] = {"value": value}
        if wanted.unit is not None and wanted.unit.text:
            found[name]["unit"] = wanted.unit.text
        if wanted.known is not None:
            error = abs(value - wanted.known) / (abs(wanted.known) or 1.0)
            found[name] |= {"known": wanted.known, "relative_error": error}
    return found


def _integral(
    solution: Solution, name: str, expression: Expr, over: Shape | Boundary, held: Mapping[Any, float]
) -> complex | float:
    """Return the integral by finer and finer rules, until it no longer changes."""
    problem = solution.problem
    parts = problem.split(expression)
    reached = set().union(*(with_ends_of_integrals(part).free_symbols for part in parts))
    inputs = tuple(s for s in (*problem.coordinates, *problem.normal, *problem.indicators) if s in reached)
    programs = [None if part == 0 else compile_expression(name, part, inputs, problem=problem) for part in parts]
    count, change, size = _FIRST, math.inf, 0.0
    last: complex | float = math.inf
    while count <= _MOST:
        rule = integration_rule(over, count)
        points = _inputs(solution, name, inputs, _columns(rule, over, held), expression)
        real, imaginary = (
            np.zeros(len(points)) if program is None else _values(solution, program, points) for program in programs
        )
        values = real if programs[1] is None else real + 1j * imaginary
        found = (rule.weights @ values).item()
        size = float(rule.weights @ np.abs(values))
        change, last = abs(found - last), found
        if not change > _SETTLED * size:
            break
        count *= _GROWTH
    if change > _ROUGH * size:
        found_there = f"integral of {name}: two rules differ by {change:.1e}, beside {size:.1e} of its absolute value"
        warnings.warn(found_there, stacklevel=4)
    return last


def _columns(rule: Rule, over: Shape | Boundary, held: Mapping[Any, float]) -> dict[Any, Array]:
    columns = dict(zip(over.coordinates, rule.points.T, strict=True))
    columns |= {c: np.full(len(rule.weights), value) for c, value in held.items()}
    if isinstance(over, Boundary) and rule.normals is not None:
        columns |= dict(zip(over.normal, rule.normals.T, strict=True))
    return columns


def _inputs(
    solution: Solution, name: str, inputs: tuple[Any, ...], columns: dict[Any, Array], expression: Expr
) -> Array:
    """Return the inputs (points, inputs) of a program, after asking whether all fields are declared there."""
    problem = solution.problem
    places = {c: columns[c] for c in problem.coordinates if c in columns}
    outside = ~lies_in(problem.domain, places)
    outside = outside | away_from_home(problem.homes, expression.atoms(AppliedUndef), places, len(outside))
    if outside.any():
        found = f"{int(outside.sum())} of {len(outside)} points lie where the solution is not declared"
        raise ProblemError(name, found, "integrate over a part of the domain, or of its boundary")
    columns |= indicator_values(problem.domain, inputs, columns)
    return np.stack([columns[s] for s in inputs], axis=1) if inputs else np.zeros((len(outside), 0))


def _values(solution: Solution, program: CompiledTerm, points: Array) -> Array:
    like = next(solution.trial.parameters())
    with torch.no_grad():
        chunks = torch.as_tensor(points).to(like).split(_CHUNK)
        values = torch.cat([evaluate_term(program, chunk, solution.trial) for chunk in chunks])
    return np.asarray(values.double().cpu().numpy())

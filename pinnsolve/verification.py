"""Verification: the reference's own convergence table, its true error on a manufactured solution, a solution's error against it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from pinnsolve.archive import finite
from pinnsolve.comparison import compare, estimate
from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.problem_file import load_problem_file
from pinnsolve.reference.exact import Exact, exact_reference
from pinnsolve.reference.refinement import observed_order
from pinnsolve.reference.result import Reference, relative_l2
from pinnsolve.reference.solve import FiniteDifferences, solve_reference
from pinnsolve.reference.spectral import Spectral
from pinnsolve.reference.stream_function import StreamFunction
from pinnsolve.smooth_solutions import choose_solution
from pinnsolve.solution import Solution, load

_MISSED = 6


def verify_path(path: Path, *, tolerance: float | None, as_json: bool) -> int:
    """Verify a problem file's reference, or a run against its reference, and return the exit code.

    Args:
        path: A problem file, or a run directory.
        tolerance: Largest relative L2 error that is good enough: of a run against its reference, or of a file's reference by its
            own estimate.
        as_json: Print JSON in place of text.
    """
    solution = None
    if path.is_dir():
        solution = load_with_reference(path)
        reference = solution.reference
    else:
        file = load_problem_file(path)
        reference = _solve(file.problem, file.reference, dict(file.problem.unknowns))
    errors: dict[str, dict[str, float]] = {}
    own = None
    if solution is not None and reference is not None:
        errors, own = compare(solution, reference), estimate(solution, reference)
    outcome = _outcome(reference, errors, own)
    click.echo(json.dumps(finite(outcome), indent=1) if as_json else _text(outcome))
    judged = [e["relative_l2"] for e in errors.values()]
    if solution is None and reference is not None:
        judged = list(reference.estimated_relative_l2.values())
    return _exit_code(tolerance, judged)


def verify_manufactured(path: Path, *, tolerance: float | None, as_json: bool) -> int:
    """Solve a problem file, given sources and data for a known solution, by its reference's method; return the exit code.

    Args:
        path: A problem file.
        tolerance: Largest relative L2 error against that solution that is good enough.
        as_json: Print JSON in place of text.
    """
    file = load_problem_file(path)
    solution, problem = choose_solution(file.problem)
    reference = _solve_by_any(problem, file.reference)
    outcome = _outcome(reference, {}, None)
    outcome["manufactured"] = {str(field): str(expression) for field, expression in solution.items()}
    if reference is not None:
        rows = _true_errors(reference, exact_reference(problem, Exact(solution), unknowns={}))
        largest = [max(errors.values(), key=lambda e: e["relative_l2"])["relative_l2"] for errors in rows]
        for row, error, before in zip(outcome["table"], largest, [math.nan, *largest], strict=False):
            row |= {"error": error, "error_order": observed_order(error, before)}
        own = reference.estimated_relative_l2
        outcome["errors"] = {n: e | {"verdict": _ratio(own[n], e["relative_l2"])} for n, e in rows[-1].items()}
    click.echo(json.dumps(finite(outcome), indent=1) if as_json else _text(outcome))
    return _exit_code(tolerance, [e["relative_l2"] for e in outcome["errors"].values()])


def load_with_reference(path: Path) -> Solution:
    """Load the solution of a run and solve its reference again; `solution.reference` is None where there is none."""
    solution = load(path)
    unknowns = {s: solution.unknowns[s.name] for s in solution.problem.unknowns}
    if solution.reference_spec is None and _kind(solution) != "none":
        note = "the reference of the run is not stored with it: finite differences take its place"
        click.echo(note, err=True)
    solution.reference = _solve(solution.problem, solution.reference_spec, unknowns)
    return solution


def _exit_code(tolerance: float | None, judged: list[float]) -> int:
    if tolerance is None:
        return 0
    return 0 if judged and all(error <= tolerance for error in judged) else _MISSED  # a NaN is no success


def _true_errors(reference: Reference, truth: Reference) -> list[dict[str, dict[str, float]]]:
    """Return the errors of every field on every grid, at the reference's points."""
    points = reference.points
    exact = truth.evaluate(points)
    rows = []
    for level in reference.levels:
        errors = {}
        for name, function in level.functions.items():
            values, known = function(points), np.isfinite(exact[name])
            gap, size = values[known] - exact[name][known], exact[name][known]
            free = name in level.free
            shift = gap.mean() if free else 0.0
            errors[name] = {
                "relative_l2": relative_l2(gap, size, free_constant=free),
                "max": float(np.abs(gap - shift).max()),
            }
        rows.append(errors)
    return rows


def _ratio(estimated: float, error: float) -> str:
    if not math.isfinite(estimated):
        return "nothing was estimated"
    return f"estimated {estimated / error:.2g} times as large" if error > 0 else "none"


def _solve(problem: Any, spec: Any, unknowns: Any) -> Reference | None:
    try:
        return solve_reference(problem, spec or FiniteDifferences(), unknowns=unknowns)
    except UnsupportedError as error:
        click.echo(f"no reference: {error}", err=True)
        return None


def _solve_by_any(problem: Problem, spec: Any) -> Reference | None:
    """Solve by the method that a file names, on grids that suit a smooth solution, or by the first method that can."""
    specs: list[Any] = [FiniteDifferences(), StreamFunction()]
    if isinstance(spec, FiniteDifferences):
        specs = [replace(spec, cells=None)]
    elif isinstance(spec, Spectral | StreamFunction):
        specs = [spec]
    refused = []
    for method in specs:
        try:
            return solve_reference(problem, method, unknowns={})
        except UnsupportedError as error:
            refused.append(error)
    click.echo(f"no reference: {refused[0]}", err=True)
    return None


def _kind(solution: Solution) -> str:
    """Return what the run was compared with, "none" where its record does not say."""
    reference = solution.record.get("reference")
    return str(reference.get("kind", "none")) if isinstance(reference, dict) else "none"


def _outcome(reference: Reference | None, errors: dict[str, Any], own: float | None) -> dict[str, Any]:
    if reference is None:
        return {"reference": {"kind": "none"}, "table": [], "errors": {}}
    return {
        "reference": {
            "kind": reference.kind,
            "method": reference.method,
            "seconds": reference.seconds,
            "estimated_relative_l2": dict(reference.estimated_relative_l2),
        },
        "table": [{"cells": r.cells, "difference": r.difference, "order": r.order} for r in reference.table],
        "errors": {n: e | {"verdict": _verdict(e["relative_l2"], own)} for n, e in errors.items()},
    }


def _verdict(error: float, own: float | None) -> str:
    if own is None or not math.isfinite(own):
        return "the reference's own error is unknown"
    if error <= own:
        return "at or below the reference's own error"
    return f"{error / own:.0f} times the reference's own error" if own > 0 else "against a closed form"


def _text(outcome: dict[str, Any]) -> str:
    reference = outcome["reference"]
    lines = [f"manufactured solution: {field} = {form}" for field, form in outcome.get("manufactured", {}).items()]
    if reference["kind"] == "none":
        return "\n".join([*lines, "no reference"])
    lines += [f"reference: {reference['method']} ({reference['seconds']:.1f} s)", *_table(outcome["table"])]
    for name, own in reference["estimated_relative_l2"].items():
        lines.append(
            f"  own error of {name}: {'unknown' if not math.isfinite(own) else f'{own:.2e}'} (relative L2, estimated)"
        )
    for name, error in outcome["errors"].items():
        lines.append(
            f"error of {name}: relative L2 {error['relative_l2']:.2e}, max {error['max']:.2e}: {error['verdict']}"
        )
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a convergence table, with the columns of the true error where it is known."""
    columns = [("difference", "difference", 12, ".3e"), ("order", "order", 7, ".2f")]
    if rows and "error" in rows[0]:
        columns += [("error", "true error", 12, ".3e"), ("error_order", "order", 7, ".2f")]
    lines = [" ".join([f"  {'grid':<24}", *(f"{title:>{width}}" for _, title, width, _ in columns)])] if rows else []
    for row in rows:
        cells = [
            f"{f'{row[key]:{form}}' if math.isfinite(row[key]) else '-':>{width}}" for key, _, width, form in columns
        ]
        lines.append(" ".join([f"  {row['cells']:<24}", *cells]))
    return lines

"""Verification of a reference by its convergence table and on a manufactured solution, and of a run by its errors and residuals."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pinnsolve.archive import finite
from pinnsolve.classical import COMPUTED, Solver, automatic, solve_first
from pinnsolve.comparison import compare, estimate, norms, verdict
from pinnsolve.defect import Defect
from pinnsolve.errors import UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.problem_file import load_problem_file
from pinnsolve.reference.exact import Exact, exact_reference
from pinnsolve.reference.finite_elements import FiniteElements
from pinnsolve.reference.refinement import observed_order
from pinnsolve.reference.result import Reference
from pinnsolve.reference.solve import FiniteDifferences, solve_reference
from pinnsolve.reference.state import State
from pinnsolve.residuals import held_out_residuals
from pinnsolve.smooth_solutions import choose_solution
from pinnsolve.solution import Solution, load
from pinnsolve.summary import place_text, residual_lines, suffix
from pinnsolve.trained_state import trained_state

_MISSED = 6
_WIDTH = 100


def verify_path(path: Path, *, tolerance: float | None, as_json: bool, defect: bool = False) -> int:
    """Verify a problem file's reference, or a run against its reference, and return the exit code.

    Args:
        path: A problem file, or a run directory.
        tolerance: Largest relative L2 error that is good enough: of a run against its reference, or of a file's reference by its
            own estimate.
        as_json: Print JSON in place of text.
        defect: Estimate the error of a run from its residuals as well.
    """
    if path.is_dir():
        solution = load_with_reference(path)
        reference = solution.reference
        found = _defect(solution) if defect else None
        outcome = _of_reference(reference) | _of_solution(solution, found)
        judged = [e["relative_l2"] for e in outcome["errors"].values()]
    else:
        file = load_problem_file(path)
        reference = _solve(file.problem, file.reference, dict(file.problem.unknowns))
        outcome = _of_reference(reference) | {"errors": {}}
        judged = [] if reference is None else list(reference.estimated_relative_l2.values())
    click.echo(json.dumps(finite(outcome), indent=1) if as_json else _text(outcome))
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
    outcome = _of_reference(reference) | {"errors": {}}
    outcome["manufactured"] = {str(field): str(expression) for field, expression in solution.items()}
    if reference is not None:
        truth = exact_reference(problem, Exact(solution), unknowns={})
        rows = _true_errors(reference, truth, problem)
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
        note = "the reference of the run is not stored with it: a classical solver takes its place"
        click.echo(note, err=True)
    solution.reference = _solve(solution.problem, solution.reference_spec, unknowns, state=trained_state(solution))
    return solution


def _exit_code(tolerance: float | None, judged: list[float]) -> int:
    if tolerance is None:
        return 0
    return 0 if judged and all(error <= tolerance for error in judged) else _MISSED  # a NaN is no success


def _true_errors(reference: Reference, truth: Reference, problem: Problem) -> list[dict[str, dict[str, Any]]]:
    """Return the errors of every field on every grid, at the reference's points."""
    points = reference.points
    exact = truth.evaluate(points)
    return [
        {
            name: norms(problem, name, points, f(points) - exact[name], exact[name])
            for name, f in level.functions.items()
        }
        for level in reference.levels
    ]


def _ratio(estimated: float, error: float) -> str:
    if not math.isfinite(estimated):
        return "nothing was estimated"
    return f"estimated {estimated / error:.2g} times as large" if error > 0 else "none"


def _solve(problem: Any, spec: Any, unknowns: Any, *, state: State | None = None) -> Reference | None:
    try:
        if spec is None:
            return solve_first(problem, automatic(problem), unknowns=unknowns, state=state)[0]
        return solve_reference(problem, spec, unknowns=unknowns, state=state)
    except UnsupportedError as error:
        click.echo(f"no reference: {error}", err=True)
        return None


def _solve_by_any(problem: Problem, spec: Any) -> Reference | None:
    """Solve by the method that a file names, on grids that suit a smooth solution, or by the first method that can."""
    specs: tuple[Solver, ...] = (spec,) if isinstance(spec, COMPUTED) else automatic(problem)
    if isinstance(spec, FiniteDifferences):
        specs = (replace(spec, cells=None),)
    if isinstance(spec, FiniteElements):
        specs = (replace(spec, size=None),)
    try:
        return solve_first(problem, specs, unknowns={})[0]
    except UnsupportedError as error:
        click.echo(f"no reference: {error}", err=True)
        return None


def _kind(solution: Solution) -> str:
    """Return what the run was compared with, "none" where its record does not say."""
    reference = solution.record.get("reference")
    return str(reference.get("kind", "none")) if isinstance(reference, dict) else "none"


def _defect(solution: Solution) -> Defect | None:
    try:
        return solution.defect()
    except UnsupportedError as error:
        click.echo(f"no estimate from the defect: {error}", err=True)
        return None


def _of_reference(reference: Reference | None) -> dict[str, Any]:
    if reference is None:
        return {"reference": {"kind": "none"}, "table": []}
    return {
        "reference": {
            "kind": reference.kind,
            "method": reference.method,
            "seconds": reference.seconds,
            "estimated_relative_l2": dict(reference.estimated_relative_l2),
            "given": list(reference.given),
        },
        "table": _rows(reference),
    }


def _of_solution(solution: Solution, defect: Defect | None) -> dict[str, Any]:
    """Return errors with their verdicts, residuals where nothing was trained, and the estimate from the defect."""
    outcome: dict[str, Any] = {"errors": {}, "residuals": held_out_residuals(solution)}
    outcome["units"] = solution.problem.units.texts
    if solution.reference is not None:
        own = estimate(solution, solution.reference)
        for name, error in compare(solution, solution.reference).items():
            estimated = _upper(defect, name)
            outcome["errors"][name] = error | {"verdict": verdict(error["relative_l2"], own, estimated=estimated)}
    if defect is not None:
        outcome["defect"] = {
            "errors": dict(defect.errors),
            "uncertainty": dict(defect.uncertainty),
            "linear": defect.linear,
            "method": defect.rest.method,
            "seconds": defect.rest.seconds,
            "table": _rows(defect.rest),
            "meaning": defect.meaning,
        }
    return outcome


def _upper(defect: Defect | None, name: str) -> float:
    """Return the estimated error with its uncertainty added; NaN where there is none."""
    return math.nan if defect is None else defect.errors[name]["relative_l2"] * (1 + defect.uncertainty[name])


def _rows(reference: Reference) -> list[dict[str, Any]]:
    return [{"cells": r.cells, "difference": r.difference, "order": r.order} for r in reference.table]


def _text(outcome: dict[str, Any]) -> str:
    lines, units = _reference_lines(outcome), outcome.get("units", {})
    for name, error in outcome["errors"].items():
        lines.append(
            f"error of {name}: relative L2 {error['relative_l2']:.2e}, max {error['max']:.2e}{suffix(outcome, name)}"
            f"{place_text(error['max_at'], units)}: {error['verdict']}"
        )
    residuals = residual_lines(finite(outcome.get("residuals", {})), units)
    if residuals:
        lines += ["residuals at points that were not trained on", *(f"  {line}" for line in residuals)]
    return "\n".join([*lines, *(_defect_lines(outcome["defect"], units) if "defect" in outcome else [])])


def _reference_lines(outcome: dict[str, Any]) -> list[str]:
    reference = outcome["reference"]
    lines = [f"manufactured solution: {field} = {form}" for field, form in outcome.get("manufactured", {}).items()]
    if reference["kind"] == "none":
        return [*lines, "no reference"]
    lines += [f"reference: {reference['method']} ({reference['seconds']:.1f} s)", *_table_lines(outcome["table"])]
    for name, own in reference["estimated_relative_l2"].items():
        lines.append(
            f"  own error of {name}: {'unknown' if not math.isfinite(own) else f'{own:.2e}'} (relative L2, estimated)"
        )
    if reference["given"]:
        known = ", ".join(reference["given"])
        lines.append(
            f"  it is solved for {known} as found: errors of the other fields follow, of {known} it knows nothing"
        )
    return lines


def _table_lines(rows: list[dict[str, Any]]) -> list[str]:
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


def _defect_lines(defect: dict[str, Any], units: Mapping[str, str]) -> list[str]:
    known = {"units": units}
    lines = [
        f"estimate from the defect: {defect['method']} ({defect['seconds']:.1f} s)",
        *_table_lines(defect["table"]),
    ]
    for name, error in defect["errors"].items():
        uncertainty = defect["uncertainty"][name]
        within = f"to about {100 * uncertainty:.1g} %" if math.isfinite(uncertainty) else "uncertainty unknown"
        lines.append(
            f"estimated error of {name}: relative L2 {error['relative_l2']:.2e}, max {error['max']:.2e}{suffix(known, name)}"
            f"{place_text(error['max_at'], units)} ({within}, by refinement)"
        )
    return [*lines, *textwrap.wrap(defect["meaning"], _WIDTH, initial_indent="  ", subsequent_indent="  ")]

"""Verification: the reference's own convergence table, and a solution's error against it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from pinnsolve.archive import finite
from pinnsolve.comparison import compare, estimate
from pinnsolve.errors import UnsupportedError
from pinnsolve.problem_file import load_problem_file
from pinnsolve.reference.result import Reference
from pinnsolve.reference.solve import FiniteDifferences, solve_reference
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
    if tolerance is None:
        return 0
    judged = [e["relative_l2"] for e in errors.values()]
    if solution is None and reference is not None:
        judged = list(reference.estimated_relative_l2.values())
    return 0 if judged and all(error <= tolerance for error in judged) else _MISSED  # a NaN is no success


def load_with_reference(path: Path) -> Solution:
    """Load the solution of a run and solve its reference again; `solution.reference` is None where there is none."""
    solution = load(path)
    unknowns = {s: solution.unknowns[s.name] for s in solution.problem.unknowns}
    if solution.reference_spec is None and _kind(solution) != "none":
        note = "the reference of the run is not stored with it: finite differences take its place"
        click.echo(note, err=True)
    solution.reference = _solve(solution.problem, solution.reference_spec, unknowns)
    return solution


def _solve(problem: Any, spec: Any, unknowns: Any) -> Reference | None:
    try:
        return solve_reference(problem, spec or FiniteDifferences(), unknowns=unknowns)
    except UnsupportedError as error:
        click.echo(f"no reference: {error}", err=True)
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
    if reference["kind"] == "none":
        return "no reference"
    lines = [f"reference: {reference['method']} ({reference['seconds']:.1f} s)"]
    if outcome["table"]:
        lines.append(f"  {'grid':<24} {'difference':>12} {'order':>7}")
    for row in outcome["table"]:
        cells = [
            f"{v:{form}}" if math.isfinite(v) else "-"
            for v, form in ((row["difference"], ".3e"), (row["order"], ".2f"))
        ]
        lines.append(f"  {row['cells']:<24} {cells[0]:>12} {cells[1]:>7}")
    for name, own in reference["estimated_relative_l2"].items():
        lines.append(
            f"  own error of {name}: {'unknown' if not math.isfinite(own) else f'{own:.2e}'} (relative L2, estimated)"
        )
    for name, error in outcome["errors"].items():
        lines.append(
            f"error of {name}: relative L2 {error['relative_l2']:.2e}, max {error['max']:.2e}: {error['verdict']}"
        )
    return "\n".join(lines)

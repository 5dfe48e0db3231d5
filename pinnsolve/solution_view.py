"""Solution view: a solution in a notebook, as its outcome, errors, unknowns and quantities, a picture, and the mathematics."""

from __future__ import annotations

import base64
import html
import io

from pinnsolve.problem_view import problem_html
from pinnsolve.solution import Solution
from pinnsolve.summary import quantity_text

_DOTS_PER_INCH = 80


def solution_html(solution: Solution) -> str:
    """Return the outcome, errors, unknowns and quantities, a picture of the fields, and what was solved."""
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>relative L² error {_number(error['relative_l2'])}</td></tr>"
        for name, error in solution.errors.items()
    ]
    intervals = solution.uncertainty.get("unknowns", {})
    for name, value in solution.unknowns.items():
        known, suffix = intervals.get(name), solution.problem.units.suffix(name)
        told = known is not None and None not in (known["low"], known["high"])
        ends = f", from {known['low']:.5g} to {known['high']:.5g}" if told else ""
        rows.append(f"<tr><td>{html.escape(name)}</td><td>{value:.6g}{html.escape(suffix + ends)}</td></tr>")
    for name, quantity in solution.quantities.items():
        rows.append(f"<tr><td>{html.escape(name)}</td><td>{html.escape(quantity_text(quantity))}</td></tr>")
    stream = io.BytesIO()
    solution.plot().savefig(stream, format="png", dpi=_DOTS_PER_INCH)
    picture = base64.b64encode(stream.getvalue()).decode()
    return (
        f"<p><b>{html.escape(solution.status)}</b> {html.escape(solution.message)}</p><table>{''.join(rows)}</table>"
        f"<img alt='the fields' src='data:image/png;base64,{picture}'/>"
        f"<details><summary>what was solved</summary>{problem_html(solution.problem)}</details>"
    )


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2e}"

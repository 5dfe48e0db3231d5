"""Problem view: a problem in a notebook, as mathematics."""

from __future__ import annotations

import html

from pinnsolve.declaration.extents import place
from pinnsolve.problem import Problem
from pinnsolve.typesetting import coordinates_mathml, expression_mathml, statement_latex, statement_mathml

_MOST_TERMS = 50


def problem_html(problem: Problem) -> str:
    """Return every term as MathML, with the place where it holds."""
    sought = [expression_mathml(field, problem) for field in problem.declared_fields]
    for symbol, value in problem.unknowns.items():
        guess = html.escape(f"{value:g}{problem.units.suffix(symbol.name)}")
        sought.append(f"{expression_mathml(symbol, problem)} (first guess {guess})")
    rows = [
        f"<tr><th style='text-align:left'>{html.escape(term.name)}</th>"
        f"<td style='text-align:left'>{statement_mathml(term, problem)}</td>"
        f"<td style='text-align:left'>{html.escape(place(term, problem).replace('<=', '≤'))}"
        f"{', met exactly' if term.name in problem.exact else ''}</td></tr>"
        for term in problem.terms[:_MOST_TERMS]
    ]
    if len(problem.terms) > _MOST_TERMS:
        rows.append(f"<tr><td colspan='3'>and {len(problem.terms) - _MOST_TERMS} more</td></tr>")
    head = f"<p>{coordinates_mathml(problem.coordinates, problem)}; sought: {', '.join(sought)}</p>"
    return f"{head}<table>{''.join(rows)}</table>"


def problem_latex(problem: Problem) -> str:
    """Return every statement as a line of an aligned display."""
    lines = [statement_latex(term, problem) for term in problem.terms[:_MOST_TERMS]]
    return "$$\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}$$"

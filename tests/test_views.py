"""Views: what a notebook shows at a cell that ends with a problem or a solution."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

import matplotlib.figure
import pytest
from sympy import Eq, Function, pi, sin, symbols

import pinnsolve as ps

x, t = symbols("x t")
u = ps.fields("u", x, t)
HEAT = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 1)}),
    equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
    conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
)


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<div>{markup.replace('&#160;', ' ')}</div>")  # noqa: S314 (made here)


def test_a_problem_is_shown_as_mathematics() -> None:
    tree = parsed(HEAT._repr_html_())
    rows = [["".join(cell.itertext()).replace("\u2062", "") for cell in row] for row in tree.iter("tr")]
    assert rows[0] == ["heat", "ut=uxx", "0 ≤ x ≤ 1, 0 ≤ t ≤ 1"] and rows[1][1] == "u(x,0)=sin(πx)"
    lines = HEAT._repr_latex_().splitlines()
    assert lines[0] == r"$$\begin{aligned}" and lines[1] == r"{u}_{t} &= {u}_{x x} \\" and len(lines) == 6


def test_a_name_is_no_markup() -> None:
    evil = Function("<script>")
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"<b>": Eq(evil(t).diff(t), 1)}, conditions={"start": Eq(evil(0), 1)}
    )
    assert "<script" not in problem._repr_html_() and "<b>" not in problem._repr_html_()


def test_a_solution_is_shown_with_its_picture_and_outcome(known: Callable[..., ps.Solution]) -> None:
    solution = known(HEAT, lambda a, b: a * b)
    solution.record |= {"errors": {"u": {"relative_l2": 1e-3, "max": None}}, "message": "a < b"}
    markup = solution._repr_html_()
    assert len(re.findall("data:image/png;base64,", markup)) == 1
    assert "1.00e-03" in markup and "a &lt; b" in markup and "what was solved" in markup
    parsed(markup)


def test_figures_are_returned_by_name(known: Callable[..., Any]) -> None:
    solution = known(HEAT, lambda a, b: a * b)
    assert isinstance(solution.plot(), matplotlib.figure.Figure)
    assert isinstance(solution.plot("residual"), matplotlib.figure.Figure)
    for what, found in (("error", "no reference"), ("loss", "no history"), ("spectrum", "no such figure")):
        with pytest.raises(ps.ProblemError, match=found):
            solution.plot(what)


def test_an_import_shows_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import pinnsolve as ps; ps.solve; ps.Problem"], capture_output=True, check=True
    )
    assert done.stdout == b"" and done.stderr == b""

"""Closed forms that do not satisfy the declaration, and what `check` tells of a reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sympy import Eq, Expr, I, Integral, exp, log, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.cli import cli
from pinnsolve.closed_forms import contradictions
from pinnsolve.glance import describe_reference
from pinnsolve.problem_file import load_problem_file
from pinnsolve.reference.exact import Exact

x, t, k = symbols("x t k")
u = ps.fields("u", x, t)
STRIP = ps.Box({x: (0, 1), t: (0, 1)})
PROBLEMS = sorted((Path(__file__).resolve().parents[1] / "problems").glob("*.py"))


def heat(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=STRIP,
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={"start": Eq(u(x, 0), sin(pi * x)), "left": u(0, t), "right": u(1, t)},
        **more,
    )


DECAY = sin(pi * x) * exp(-(pi**2) * t)


@pytest.mark.parametrize(
    ("form", "missed"),
    [
        (DECAY, set()),
        (2 * DECAY, {"start"}),
        (DECAY + x, {"start", "right"}),
        (sin(pi * x) * exp(-9 * t), {"heat"}),
        (DECAY * (1 + x * (1 - x) * t / 20), {"heat"}),
        (DECAY + 1e-9 * x, set()),  # a domain that was cut off far away
    ],
)
def test_statements_that_are_not_satisfied_are_named(form: Expr, missed: set[str]) -> None:
    found = list(contradictions(heat(), Exact({u: form})))
    assert {each.term for each in found} == missed
    assert all(each.left > 1e-5 for each in found)


@pytest.mark.parametrize("path", [p for p in PROBLEMS if p.stem != "poisson_100d"], ids=lambda path: path.stem)
def test_no_closed_form_of_the_problems_is_doubted(path: Path) -> None:
    file = load_problem_file(path)
    assert not isinstance(file.reference, Exact) or not list(contradictions(file.problem, file.reference))


def test_both_parts_of_a_complex_field_are_looked_at() -> None:
    h = ps.fields("h", x, t)
    wave = ps.Problem(
        domain=STRIP,
        equations={"free": I * h.diff(t) + h.diff(x, 2)},
        conditions={"start": Eq(h(x, 0), sin(pi * x)), "left": h(0, t), "right": h(1, t)},
    )
    assert not list(contradictions(wave, Exact({h: sin(pi * x) * exp(-I * pi**2 * t)})))
    assert {c.term for c in contradictions(wave, Exact({h: sin(pi * x) * exp(I * pi**2 * t)}))} == {
        "free.re",
        "free.im",
    }


def test_places_without_a_value_and_statements_that_cannot_be_judged_are_left_out() -> None:
    strained = sin(pi * x) * exp(-(pi**2) * t) * log(x) / log(x)
    assert not list(contradictions(heat(), Exact({u: strained})))
    w = ps.fields("w", t)
    memory = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations={"memory": Eq(w.diff(t), -k * w)},
        conditions={"area": Eq(Integral(w(t), (t, 0, 1)), 3)},
        unknowns={k: 1},
    )
    assert not list(contradictions(memory, Exact({w: exp(-2 * t)})))
    assert [c.term for c in contradictions(memory, Exact({w: exp(-2 * t)}, unknowns={k: 1}))] == ["memory"]


def test_check_tells_the_reference(tmp_path: Path) -> None:
    text = describe_reference(heat(), None)
    assert len(text) == 1 and text[0].startswith("reference    finite differences of order 4 in space")
    wrong = describe_reference(heat(), Exact({u: 2 * DECAY}))
    assert wrong[0].split() == ["reference", "closed", "form"] and "does not satisfy start: " in wrong[1]
    unread = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations={"decay": Eq(ps.fields("q", t).diff(t), -k * ps.fields("q", t))},
        data={"all": ps.Observations(at={t: [0, 0.5, 1]}, values={ps.fields("q", t): [1, 0.6, 0.4]})},
        unknowns={k: 1},
    )
    assert "none in 2 s: " in describe_reference(unread, None)[0]
    file = tmp_path / "heat.py"
    file.write_text(
        "from sympy import *\nimport pinnsolve as ps\nx, t = symbols('x t')\nu = ps.fields('u', x, t)\n"
        "problem = ps.Problem(domain=ps.Box({x: (0, 1), t: (0, 1)}), equations=Eq(u.diff(t), u.diff(x, 2)),\n"
        "    conditions=[Eq(u(x, 0), sin(pi*x)), u(0, t), u(1, t)])\n"
        "reference = ps.Exact({u: sin(pi*x)})\n"
    )
    told = CliRunner().invoke(cli, ["check", str(file)]).output
    assert "the closed form does not satisfy" in told


def test_a_run_warns_of_a_closed_form_that_is_none() -> None:
    lines: list[str] = []
    ps.solve(
        heat(),
        ps.MLP(width=4, depth=1),
        None,
        Exact({u: 2 * DECAY}),
        limits=ps.Limits(steps=2),
        compile="off",
        notify=lines.append,
    )
    assert any(line.startswith("warning: the closed form does not satisfy start") for line in lines)

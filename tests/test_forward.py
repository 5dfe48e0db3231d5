"""Fields without equations of their own: which they are, the reference for them as found, and what is refused."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Eq, Expr, Rational, exp, lambdify, sin, symbols

import pinnsolve as ps
from pinnsolve.cli import main
from pinnsolve.problem_file import load_problem_file
from pinnsolve.reference.forward import given_fields
from pinnsolve.reference.reading import Slot
from pinnsolve.reference.solve import solve_reference
from pinnsolve.reference.state import State
from pinnsolve.summary import summarise
from pinnsolve.verification import load_with_reference

FOLDER = Path(__file__).resolve().parents[1] / "problems"
x, y, t = symbols("x y t")
u, v, s = ps.fields("u v s", x, y)
w, k = ps.fields("w k", x, t)
SQUARE = ps.Box({x: (0, 1), y: (0, 1)})
RING = ps.Disk({x: 0, y: 0}, radius=1) - ps.Disk({x: 0, y: 0}, radius=Rational(1, 3))
MEASURED = {"sensor": ps.Observations(at={x: [0.5], y: [0.4]}, values={u: [0.1]})}
CONDUCTION = ps.div(s * ps.grad(u, x, y), x, y) + 1
LOSS = ps.laplacian(u, x, y) - 4 * s * u
FORM = 2 + x * y / 2 + sin(x)


def of(form: Expr, *coordinates: Any) -> State:
    """A known state in which every field is the same closed form."""

    @cache
    def program(slot: Slot) -> Any:
        orders = [(c, n) for c, n in zip(coordinates, slot.orders, strict=True) if n]
        return lambdify(coordinates, form.diff(*orders) if orders else form)

    def state(slot: Slot, points: np.ndarray) -> np.ndarray:
        return np.array(np.broadcast_to(program(slot)(*points.T), len(points)), dtype=float)

    return state


def inverse(equation: Any, domain: Any = SQUARE, **conditions: Any) -> ps.Problem:
    rim = ps.on(domain.boundary, Eq(u, 1))
    return ps.Problem(domain=domain, equations=equation, conditions={"rim": rim, **conditions}, data=MEASURED)


@pytest.mark.parametrize(
    ("problem", "left"),
    [
        (lambda: inverse(LOSS), ("s",)),
        (lambda: inverse(CONDUCTION), ("s",)),
        (lambda: inverse(ps.laplacian(u, x, y) - s, known=ps.on(SQUARE.boundary, Eq(s, 0))), ("s",)),
        (lambda: inverse([LOSS, Eq(s, u**2)]), ()),
        (lambda: load_problem_file(FOLDER / "inclusion.py").problem, ("s",)),
    ],
)
def test_the_fields_without_an_equation_are_found(problem: Any, left: tuple[str, ...]) -> None:
    assert given_fields(problem()) == left


@pytest.mark.parametrize("equation", [CONDUCTION, LOSS + s * s.diff(x)])
@pytest.mark.parametrize(("domain", "spec"), [(SQUARE, ps.FiniteDifferences({x: 16})), (RING, ps.FiniteElements(0.2))])
def test_a_given_field_is_as_good_as_its_closed_form(equation: Expr, domain: Any, spec: Any) -> None:
    """Its derivatives enter too: through the product rule, and in finite elements through divergences."""
    problem = inverse(equation, domain, known=ps.on(domain.boundary, Eq(s, FORM)))
    found = solve_reference(problem, spec, unknowns={}, state=of(FORM, x, y))
    closed = ps.Problem(
        domain=domain, equations=equation.subs(s, FORM).doit(), conditions={"rim": ps.on(domain.boundary, Eq(u, 1))}
    )
    assert np.allclose(found.values["u"], solve_reference(closed, spec, unknowns={}).values["u"], rtol=0, atol=1e-12)
    assert list(found.values) == ["u"] and found.given == ("s",) and found.method.endswith("for s as found")


def test_a_given_field_may_depend_on_time_and_stand_in_conditions() -> None:
    """w = exp(-t) (1 + x) solves w_t = (k w_x)_x - w - k_x exp(-t) with the slope k w_x = k exp(-t) at 1."""
    domain = ps.Box({x: (0, 1), t: (0, 1)})
    problem = ps.Problem(
        domain=domain,
        equations=Eq(w.diff(t), (k * w.diff(x)).diff(x) - w - k.diff(x) * exp(-t)),
        conditions={
            "start": Eq(w(x, 0), 1 + x),
            "left": Eq(w(0, t), exp(-t)),
            "right": Eq((k * w.diff(x)).subs(x, 1), k(1, t) * exp(-t)),
        },
        data={"sensor": ps.Observations(at={x: [0.5], t: [0.4]}, values={w: [1.0]})},
    )
    found = solve_reference(problem, ps.FiniteDifferences({x: 16}), unknowns={}, state=of(1 + x * t + t**2, x, t))
    truth = np.exp(-found.points[:, 1]) * (1 + found.points[:, 0])
    assert np.abs(found.values["w"] - truth).max() < 1e-7


def test_without_a_trained_field_there_is_no_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ps.UnsupportedError, match=r"no equation is that of s.* · verify a run in place of its file"):
        solve_reference(inverse(LOSS), ps.FiniteDifferences(), unknowns={})
    text = (FOLDER / "burgers_inverse.py").read_text(encoding="utf-8").replace('"data/', f'"{FOLDER}/data/')
    file = tmp_path / "burgers_inverse.py"
    file.write_text(text[: text.index("reference = ")], encoding="utf-8")
    assert main(["verify", str(file)]) == 0
    assert "without its observations this is no problem with one solution; conditions in x: the equations need 2" in (
        capsys.readouterr().err
    )


def test_where_it_is_open_which_field_is_to_be_given_this_is_said() -> None:
    with pytest.raises(ps.UnsupportedError, match="equations for u, v, which leave open"):
        given_fields(
            ps.Problem(
                domain=SQUARE, equations=ps.laplacian(u, x, y) + ps.laplacian(v, x, y), conditions={}, data=MEASURED
            )
        )


def test_a_run_is_compared_for_the_field_it_found_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = ps.Training(points={"equation": 60}, phases=[ps.Adam(steps=5)])
    problem, out = inverse(LOSS), tmp_path / "run"
    solution = ps.solve(problem, ps.MLP(width=6, depth=1), training, compile="off", plots=False, out=str(out))
    reference = solution.reference
    assert reference.kind == "finite_difference" and reference.given == ("s",) and set(solution.errors) == {"u"}
    assert solution.record["classical"] is None and solution.record["reference"]["given"] == ["s"]
    assert "(against finite difference for s as found)" in solution.message
    assert "for s as found" in summarise({**solution.record, "problem": "loss", "wall_seconds": 1.0})
    again = load_with_reference(out).reference
    assert np.allclose(again.evaluate(reference.points)["u"], reference.values["u"], rtol=0, atol=1e-6)
    assert main(["verify", str(out)]) == 0
    output = capsys.readouterr().out
    assert "it is solved for s as found" in output and "error of u" in output and "error of s" not in output
    assert main(["verify", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reference"]["given"] == ["s"]

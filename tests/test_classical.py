"""A classical solver beside the network: which, its error, its time, and a reference for every problem that one can read."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import Eq, exp, symbols

import pinnsolve as ps
from pinnsolve.classical import Classical, automatic, solve_beside, solve_first
from pinnsolve.problem_file import load_problem_file
from pinnsolve.reference.solve import solve_reference
from pinnsolve.summary import summarise

FOLDER = Path(__file__).resolve().parents[1] / "problems"
GRIDS = """
allen_cahn burgers convection heat helmholtz kdv kuramoto_sivashinsky oscillator poisson_2d reaction reaction_diffusion_system
schroedinger wave wave_two_modes
"""
FLOWS = "cavity kovasznay"
TRIANGLES = "beam_3d bracket cylinder_flow disk lshape"
KINDS = (
    dict.fromkeys(GRIDS.split(), "finite_difference")
    | dict.fromkeys(FLOWS.split(), "stream_function")
    | dict.fromkeys(TRIANGLES.split(), "finite_element")
)
"""The automatic reference of each file's problem when this is all that is kept."""

SPECS = {
    "finite_difference": ps.FiniteDifferences,
    "stream_function": ps.StreamFunction,
    "finite_element": ps.FiniteElements,
}

UNREAD = {
    "burgers_inverse": "observations stand in for conditions: no grid has a solution",
    "inclusion": "a field without an equation, which a run must find first: see test_forward.py",
    "poisson_5d": "no grid in five dimensions; the closed form is known",
    "two_materials": "a field in each of two materials; the closed form is known",
    "poisson_100d": "no grid in a hundred dimensions; the closed form is known",
}
"""Files whose problem, kept alone, has no automatic reference."""

t, k = symbols("t k")
q = ps.fields("q", t)


def decay(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}, **more
    )


def solve(reference: Any, problem: ps.Problem | None = None) -> ps.Solution:
    training = ps.Training(points={"decay": 24}, phases=[ps.LevenbergMarquardt(steps=5)])
    return ps.solve(problem or decay(), ps.MLP(width=5, depth=1), training, reference, compile="off", plots=False)


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a slow machine has time for the second grid, which tells the error, is not asked here."""
    monkeypatch.setattr("pinnsolve.execution._LEAST_SECONDS", 60.0)


def test_every_problem_file_is_listed() -> None:
    assert sorted([*KINDS, *UNREAD]) == sorted(f.stem for f in FOLDER.glob("*.py"))


@pytest.mark.thorough
@pytest.mark.parametrize("name", KINDS)
def test_a_problem_without_a_named_reference_has_an_automatic_one(name: str) -> None:
    problem = load_problem_file(FOLDER / f"{name}.py").problem
    # Half a second: whether it is read and begun is asked here; how well it is solved, by the tests of references.
    for spec in automatic(problem):
        try:
            assert solve_reference(problem, replace(spec, seconds=0.5), unknowns=problem.unknowns).kind == KINDS[name]
            return
        except ps.UnsupportedError as error:
            if isinstance(spec, SPECS[KINDS[name]]):
                assert "seconds" in str(error)
                return
    pytest.fail("no solver reads it")


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_an_automatic_reference_knows_its_error(name: str) -> None:
    problem = load_problem_file(FOLDER / f"{name}.py").problem
    reference, _ = solve_first(problem, automatic(problem), unknowns=problem.unknowns)
    estimates = reference.estimated_relative_l2
    print(f"{name}: {reference.method}, {reference.seconds:.0f} s, {estimates}")
    assert reference.kind == KINDS[name] and all(0 < estimate < 0.5 for estimate in estimates.values())


@pytest.mark.thorough
@pytest.mark.parametrize("name", UNREAD)
def test_what_no_classical_solver_reads_is_said(name: str) -> None:
    problem = load_problem_file(FOLDER / f"{name}.py").problem
    with pytest.raises(ps.UnsupportedError, match=r"no (finite-(difference|element) )?reference"):
        solve_first(problem, automatic(problem), unknowns=problem.unknowns)


def test_beside_a_closed_form_a_grid_is_solved_and_its_true_error_told() -> None:
    solution = solve(ps.Exact({q: exp(-t)}))
    record = solution.record["classical"]
    assert record["method"].startswith("Rodas5P") and 0 < record["error"] < 1e-8 and record["seconds"] > 0
    found = solve_reference(decay(), ps.FiniteDifferences(), unknowns={})
    where = solution.reference.points
    error = found.evaluate(where)["q"] - np.exp(-where[:, 0])
    beside = solve_beside(decay(), ps.Exact({q: exp(-t)}), solution.reference, unknowns={})
    assert beside is not None
    assert beside.error == pytest.approx(math.sqrt(np.mean(error**2) / np.mean(np.exp(-2 * where[:, 0]))))


def test_a_reference_that_a_classical_solver_found_is_not_solved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    solution = solve(None)
    assert solution.reference.kind == "finite_difference"
    record = solution.record["classical"]
    assert record["method"] == solution.reference.method and record["seconds"] == solution.reference.seconds
    assert record["error"] == solution.record["reference"]["estimated_relative_l2"]


def test_beside_measurements_its_error_is_its_own_estimate() -> None:
    stored = ps.Observations(at={t: [0.2, 0.9]}, values={q: [0.8, 0.4]})  # far from the solution
    solution = solve(stored)
    assert solution.errors["q"]["relative_l2"] > 1e-3 and solution.record["classical"]["error"] < 1e-7


def test_no_solver_and_no_time_are_no_fault() -> None:
    delayed = ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q(t / 2))}, conditions={"start": Eq(q(0), 1)}
    )
    solution = solve(None, delayed)
    assert solution.record["classical"] is None and "no classical solver at hand" in solution.message
    assert "classical  no solver reads the problem" in summarise({**solution.record, "problem": "delayed"})
    assert solve_beside(decay(), ps.Exact({q: exp(-t)}), None, unknowns={}, seconds=1e-9) is None


def test_time_and_error_of_both_are_in_the_message_and_in_the_summary() -> None:
    solution = solve(None)
    found, record = Classical(**solution.record["classical"]), solution.record
    assert f" of training; classical solver: error {found.error:.1e} after {found.seconds:.2g} s." in solution.message
    assert f"(against finite difference) after {record['seconds']['train']:.2g} s of training" in solution.message
    text = summarise(record)
    assert f"classical  {found.method}; error {found.error:.1e}; {found.seconds:.2g} s" in text
    assert "residual   decay: rms " in text and "residual   at most 1e-12: start" in text
    place = record["errors"]["q"]["max_at"]["t"]
    assert f"max {record['errors']['q']['max']:.2e} at t = {place:.4g}" in text

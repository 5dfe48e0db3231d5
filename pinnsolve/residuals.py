"""Held-out residuals: how far every term is from zero at points that no training has seen.

A small residual is not a small error: the two are related by the stability of the problem, which the residual does not know.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pinnsolve.compiler.compile import CompiledTerm, compile_term, evaluate_term, term_inputs
from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals
from pinnsolve.errors import UnsupportedError
from pinnsolve.points import term_points
from pinnsolve.solution import Solution

_POINTS = 2_048
_STREAM = 3
"""Of random numbers: training and the choice of the best state draw from others, see `points`."""


def held_out_residuals(
    solution: Solution, *, seed: int | None = None, count: int = _POINTS
) -> dict[str, dict[str, Any]]:
    """Return the size of every term's residual on fresh points, those of conditions that hold exactly included.

    Misfits to observations are taken where they were measured, there are no other points, and weighted by the noise as in training.

    Args:
        solution: What was trained.
        seed: Decides the points; that of the run when omitted.
        count: Points for each term that ranges.

    Returns:
        `{"burgers": {"rms": ..., "max": ..., "max_at": {"x": ..., "t": ...}}}`; a term that holds at one point has that as place,
        and one in a unit has "unit".
    """
    seed = int(solution.record.get("seed", 0)) if seed is None else seed
    found: dict[str, dict[str, Any]] = {}
    for k, term in enumerate(solution.problem.terms):
        if term.kind == "data" and not evaluations(
            with_ends_of_integrals(term.residual)
        ):  # the likelihood of a noise that is sought
            continue
        try:
            program = compile_term(term, solution.problem)
        except UnsupportedError:  # met exactly, so that the training had no need of it
            continue
        stream = int(np.random.SeedSequence((seed, _STREAM, k)).generate_state(1)[0])
        found[term.name] = _norms(solution, term, program, count if term.free else 1, stream)
    return found


def _norms(solution: Solution, term: Term, program: CompiledTerm, count: int, seed: int) -> dict[str, Any]:
    inputs = term_inputs(term, solution.problem)
    if term.columns:
        points = np.stack(list(term.columns.values()), axis=1)
    else:
        points = term_points(term, solution.problem, count, seed=seed)
    like = next(solution.trial.parameters())
    with torch.no_grad():
        chunks = torch.as_tensor(points).to(like).split(_POINTS)
        values = torch.cat([evaluate_term(program, chunk, solution.trial) for chunk in chunks]).double().cpu().numpy()
    sizes = np.abs(values)
    worst = int(np.argmax(sizes))  # of values that are not finite, the first
    place = {symbol.name: float(x) for symbol, x in zip(inputs, points[worst], strict=True) if symbol in term.free}
    norms = {"rms": float(np.sqrt(np.mean(sizes**2))), "max": float(sizes[worst]), "max_at": place}
    return norms | {"unit": term.unit} if term.unit else norms

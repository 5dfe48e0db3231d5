"""Held-out measurements: the misfit of a solution to values it was not trained on, split by split, beside those it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sympy import Symbol

from pinnsolve.compiler.compile import CompiledTerm, compile_expression, evaluate_term
from pinnsolve.solution import CHUNK, Solution

TRAINED = "trained on"
"""What the rows that are in no split are called."""


def held_out_misfits(solution: Solution) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the misfit to every set of measurements with a split, in the units of what was measured.

    Returns:
        `{"sensors": {"trained on": {"rms": ..., "max": ..., "rows": 32}, "random": {...}}}`, by the names of terms and splits.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for term in solution.problem.terms:
        if term.misfit is None or not term.held_out:
            continue
        program = compile_expression(term.name, term.misfit, tuple(term.columns), problem=solution.problem)
        parts = {TRAINED: term.columns, **term.held_out}
        found[term.name] = {name: _size(solution, program, columns) for name, columns in parts.items()}
    return found


def _size(solution: Solution, program: CompiledTerm, columns: Mapping[Symbol, NDArray[np.float64]]) -> dict[str, Any]:
    rows = np.stack(list(columns.values()), axis=1)
    like = next(solution.trial.parameters())
    with torch.no_grad():
        chunks = torch.as_tensor(rows).to(like).split(CHUNK)
        values = torch.cat([evaluate_term(program, chunk, solution.trial) for chunk in chunks]).double().cpu().numpy()
    return {"rms": float(np.sqrt(np.mean(values**2))), "max": float(np.abs(values).max()), "rows": len(rows)}

"""The trained fields as the referee reads them: values and derivatives at any points."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sympy import Expr

from pinnsolve.compiler.compile import CompiledTerm, compile_expression, evaluate_term
from pinnsolve.reference.reading import Slot
from pinnsolve.reference.state import State
from pinnsolve.solution import CHUNK, Solution


def trained_state(solution: Solution) -> State:
    """Return values and derivatives of the trained fields.

    Points beyond the boundary are not refused: those of curved triangles may lie there by a little.
    """
    problem = solution.problem
    compiled: dict[Any, CompiledTerm] = {}

    def program(expression: Expr, slot: Slot) -> CompiledTerm:
        if slot not in compiled:
            inputs = problem.fields[slot.field].args
            compiled[slot] = compile_expression(str(expression), expression, inputs, problem=problem)
        return compiled[slot]

    def state(slot: Slot, points: np.ndarray) -> np.ndarray:
        field = problem.fields[slot.field]
        orders = [(c, n) for c, n in zip(problem.coordinates, slot.orders, strict=True) if n]
        term = program(field.diff(*orders) if orders else field, slot)
        columns = points[:, [problem.coordinates.index(c) for c in field.args]]
        inputs = torch.as_tensor(columns).to(next(solution.trial.parameters()))
        with torch.no_grad():
            parts = [evaluate_term(term, chunk, solution.trial) for chunk in inputs.split(CHUNK)]
        return torch.cat(parts).double().cpu().numpy()

    return state

"""Stored values as a reference: fields measured or computed elsewhere, at scattered points."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.observations import Observations
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.result import Reference

_SAME = 1e-9


def measured_reference(problem: Problem, observations: Observations) -> Reference:
    """Return the observed fields as a reference; derived quantities among the observations are left out.

    Values are given back at the stored points and are NaN elsewhere: interpolating them would add an unknown error.

    Raises:
        ProblemError: No field among the values, or a coordinate without places.
    """
    missing = [str(c) for c in problem.coordinates if c not in observations.at]
    if missing:
        raise ProblemError(
            "reference", f"observations without {', '.join(missing)}", "give places for every coordinate"
        )
    points = np.stack([np.asarray(observations.at[c], dtype=np.float64) for c in problem.coordinates], axis=1)
    values: dict[str, Array] = {}
    for key, numbers in observations.values.items():
        name = key.func.__name__ if isinstance(key, AppliedUndef) else ""
        parts = problem.complex_fields.get(name)
        if parts is not None:
            values |= {parts.real.func.__name__: np.real(numbers), parts.imaginary.func.__name__: np.imag(numbers)}
        elif any(key == f for f in problem.fields):
            values[name] = np.asarray(numbers, dtype=np.float64)
    if not values:
        fields = ", ".join(map(str, problem.declared_fields))
        raise ProblemError("reference", "no field among the observed values", f"observe one of {fields}")
    low, high = np.array([problem.bounds[c] for c in problem.coordinates]).T
    tree = cKDTree((points - low) / (high - low))

    def evaluate(wanted: Array) -> dict[str, Array]:
        distance, nearest = tree.query((np.asarray(wanted, dtype=np.float64) - low) / (high - low))
        return {name: np.where(distance <= _SAME, column[nearest], np.nan) for name, column in values.items()}

    return Reference(
        kind="data",
        points=points,
        values=values,
        shape=None,
        evaluate=evaluate,
        estimated_relative_l2=dict.fromkeys(values, math.nan),
        seconds=0.0,
        table=(),
        method=f"{len(points)} stored values from {observations.source}",
    )

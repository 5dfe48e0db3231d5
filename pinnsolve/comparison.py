"""Comparison: the errors of a solution against a reference, field by field.

The relative L2 error is |u - r| / |r| in the root-mean-square sense over the reference's points. A field that the declaration
fixes only up to a constant, or a function of some coordinates, is compared without its mean over the others.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from sympy import Symbol

from pinnsolve.reference.result import Reference
from pinnsolve.solution import Solution

Array = np.ndarray


def compare(solution: Solution, reference: Reference) -> dict[str, dict[str, float]]:
    """Return `{"u": {"relative_l2": ..., "max": ...}}` for every declared field that the reference covers.

    They are NaN where the reference has no finite value.

    Args:
        solution: What was trained.
        reference: Points, values by the names of real fields.
    """
    problem = solution.problem
    coordinates = {c.name: reference.points[:, k] for k, c in enumerate(problem.coordinates)}
    errors: dict[str, dict[str, float]] = {}
    for field in problem.declared_fields:
        name = field.func.__name__
        truth = _truth(solution, reference, name)
        if truth is None:
            continue
        known = np.isfinite(truth)
        if not known.any():
            errors[name] = {"relative_l2": math.nan, "max": math.nan}
            continue
        found = np.asarray(solution.evaluate(field, **{k: v[known] for k, v in coordinates.items()}))
        truth, points = truth[known], reference.points[known]
        parts = problem.complex_fields.get(name)
        gauge = problem.gauges.get(name if parts is None else parts.real.func.__name__)
        if gauge is not None:
            found, truth = (_without_mean(values, points, gauge, problem.coordinates) for values in (found, truth))
        difference, size = np.abs(found - truth), math.sqrt(float(np.mean(np.abs(truth) ** 2)))
        error = math.sqrt(float(np.mean(difference**2)))
        errors[name] = {"relative_l2": error / size if size > 0 else error, "max": float(difference.max())}
    return errors


def estimate(solution: Solution, reference: Reference) -> float:
    """Return the reference's own relative error, the largest over the fields; NaN when it is unknown for one."""
    names = [f.func.__name__ for f in solution.problem.fields]
    known = [reference.estimated_relative_l2[n] for n in names if n in reference.estimated_relative_l2]
    return float(np.max(known)) if known else math.nan  # `max` would pass over a NaN that is not first


def thinned(reference: Reference, count: int) -> Reference:
    """Return the reference on about `count` of its points, evenly taken."""
    step = max(1, len(reference.points) // count)
    # A step that shares no factor with a grid's sides visits all of its columns.
    while any(math.gcd(step, side) > 1 for side in reference.shape or ()):
        step += 1
    values = {name: v[::step] for name, v in reference.values.items()}
    return dataclasses.replace(reference, points=reference.points[::step], values=values, shape=None)


def _truth(solution: Solution, reference: Reference, name: str) -> Array | None:
    parts = solution.problem.complex_fields.get(name)
    if parts is None:
        return reference.values.get(name)
    real, imaginary = (reference.values.get(p.func.__name__) for p in (parts.real, parts.imaginary))
    return None if real is None or imaginary is None else real + 1j * imaginary


def _without_mean(values: Array, points: Array, gauge: tuple[Symbol, ...], coordinates: tuple[Symbol, ...]) -> Array:
    if not gauge:
        return values - values.mean()
    columns = points[:, [coordinates.index(c) for c in gauge]]
    _, group = np.unique(columns, axis=0, return_inverse=True)
    group = group.ravel()
    sums = np.zeros(group.max() + 1, dtype=values.dtype)
    np.add.at(sums, group, values)
    return values - (sums / np.bincount(group))[group]

"""Comparison: the errors of a solution against a reference, field by field, and how they are to be read.

The relative L2 error is |u - r| / |r| in the root-mean-square sense over the reference's points. A field that the declaration
fixes only up to a constant, or a function of some coordinates, is compared without its mean over the others. Where a reference is
0 or 1 everywhere, it is a shape, and the intersection over the union with the solution's, where that exceeds 1/2, is told as well.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sympy import Symbol

from pinnsolve.problem import Problem
from pinnsolve.reference.result import Reference
from pinnsolve.solution import Solution
from pinnsolve.training.overlap import soft_iou

Array = np.ndarray

_COMPARABLE = 3.0
"""An estimate of an error is good to a small factor: up to this ratio none of two is the larger one."""

_INSIDE = 0.5
"""Value above which a point belongs to a shape."""

_FEW, _MANY = 10.0, 1e4
"""Ratios that are written with a decimal, and by a power of ten."""


def compare(solution: Solution, reference: Reference) -> dict[str, dict[str, Any]]:
    """Return the errors of every declared field that the reference covers.

    They are NaN where the reference has no finite value.

    Args:
        solution: What was trained.
        reference: Points, values by the names of real fields.

    Returns:
        `{"u": {"relative_l2": ..., "max": ..., "max_at": {"x": ..., "t": ...}}}`, and `"iou"` of a shape.
    """
    return {
        name: norms(solution.problem, name, reference.points, trained - truth, truth) | _overlap(trained, truth)
        for name, trained, truth in _pairs(solution, reference)
    }


def sizes(solution: Solution, rest: Reference) -> dict[str, dict[str, Any]]:
    """Return the same norms of an estimated error, which is there in place of a reference; they are relative to the solution's."""
    return {
        name: norms(solution.problem, name, rest.points, error, trained)
        for name, trained, error in _pairs(solution, rest)
    }


def norms(problem: Problem, name: str, points: Array, difference: Array, values: Array) -> dict[str, Any]:
    """Return the norms of a difference, relative to values, where both are known and without the means of a free constant."""
    known = np.isfinite(difference)
    if not known.any():
        return {"relative_l2": math.nan, "max": math.nan, "max_at": {}}
    points, difference, values = points[known], difference[known], values[known]
    parts = problem.complex_fields.get(name)
    gauge = problem.gauges.get(name if parts is None else parts.real.func.__name__)
    if gauge is not None:
        difference, values = (_without_mean(v, points, gauge, problem.coordinates) for v in (difference, values))
    size, error = (math.sqrt(float(np.mean(np.abs(v) ** 2))) for v in (values, difference))
    worst = int(np.argmax(np.abs(difference)))
    return {
        "relative_l2": error / size if size > 0 else error,
        "max": float(np.abs(difference[worst])),
        "max_at": {c.name: float(x) for c, x in zip(problem.coordinates, points[worst], strict=True)},
    }


def _overlap(trained: Array, truth: Array) -> dict[str, float]:
    """Return the intersection over the union of two shapes; nothing where the truth is none."""
    known = np.isfinite(trained)
    if not known.any() or not np.array_equal(np.unique(truth[known]), [0.0, 1.0]):
        return {}
    found = torch.from_numpy((np.real(trained[known]) > _INSIDE).astype(float))
    return {"iou": float(soft_iou(found, torch.from_numpy(np.real(truth[known]).astype(float))))}


def verdict(error: float, own: float, *, estimated: float = math.nan) -> str:
    """Return in words how an error compares with that of the reference itself.

    Args:
        error: Against the reference, relative.
        own: The reference's own, 0 for a closed form, NaN where nothing is known.
        estimated: The error by an estimate that does not need the reference; NaN without one.
    """
    if math.isnan(error):
        return "the error is unknown"
    doubt = ""
    if error > _COMPARABLE * (estimated + own):
        doubt = f"; the defect estimates {estimated:.1e}: another solution, or a mistake in one of the two"
    if math.isnan(own):
        return "the reference's own error is unknown"
    if own == 0:
        return f"against a closed form{doubt}"
    if estimated < own and not doubt:
        return "better than the reference, by the estimate from the defect"
    if error <= own:
        return "at or below the reference's own error"
    ratio = error / own
    times = f"{ratio:.2g}" if ratio < _FEW else f"{ratio:.0f}" if ratio < _MANY else f"{ratio:.1e}"
    word = "comparable with" if ratio <= _COMPARABLE else "worse than"
    return f"{word} the reference's own error, {times} times it{doubt}"


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


def _pairs(solution: Solution, reference: Reference) -> Iterator[tuple[str, Array, Array]]:
    """Yield for every declared field that the reference covers its name, the solution's values and the reference's."""
    coordinates = {c.name: reference.points[:, k] for k, c in enumerate(solution.problem.coordinates)}
    for field in solution.problem.declared_fields:
        name = field.func.__name__
        truth = _values(solution, reference, name)
        if truth is None:
            continue
        known = np.isfinite(truth)
        trained = np.full_like(truth, np.nan)
        if known.any():
            trained[known] = solution.evaluate(field, **{k: v[known] for k, v in coordinates.items()})
        yield name, trained, truth


def _values(solution: Solution, reference: Reference, name: str) -> Array | None:
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

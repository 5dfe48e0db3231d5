"""Diagnosis: which term, which region and which scale hold the error that is left, and what to try next.

Where the error against a reference is known it is looked at, else the residual of the term that holds most of the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Symbol

from pinnsolve.balance import noise_of, range_of
from pinnsolve.declaration.misfits import least_noise
from pinnsolve.domains.regions import Array
from pinnsolve.drawing.views import field_values, reference_values, residual_values
from pinnsolve.points import term_points, term_region
from pinnsolve.solution import Solution
from pinnsolve.training.progress import Progress
from pinnsolve.training.status import Status

_PARTS = 4
"""Equal parts of a coordinate's range among which the one with most of the error is found."""

_HALF = 0.5
"""Share of the squared error from which on a part is named."""

_LINE, _POINTS = 256, 2_048
"""Nodes of the lines on which waves are measured; points at which a residual is looked at."""

_OVERFITTED = 10.0
"""Held-out loss over training loss from which on points are too few."""

_FALLING, _RECENT = 1.5, 0.7
"""Factor by which the loss fell in the last part of the steps, from this share of them on, if more of them will help."""

_FEW = 4
"""Records of a history that tell nothing."""

_SETTLED = frozenset({Status.CONVERGED.value, Status.STALLED.value})
"""Ends of a phase after which more steps lead nowhere."""

_AS_NOISE = 1.5
"""Misfit over noise up to which measurements are followed as closely as they may be: their noise is known by its estimate alone."""

_SMALL = 1e-6
"""Relative error below which there is nothing to advise."""

Magnitude = Callable[[Array], Array]
"""From points (points, coordinates) to an error or a residual there, NaN where there is none."""


_MOST_NAMED = 4
"""Coordinates up to which the length of waves is told for each."""


@dataclass(frozen=True)
class Diagnosis:
    """Where the error that is left sits.

    Args:
        term: The term that holds most of the loss.
        share: Its share.
        looked_at: "error" or "residual".
        region: The part of each coordinate's range that holds half of the square or more.
        waves: Length of the waves that dominate along each coordinate.
        advice: What to try next, the most promising first.
    """

    term: str
    share: float
    looked_at: str
    region: Mapping[str, tuple[float, float]]
    waves: Mapping[str, float]
    advice: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """Return it in the form of `result.json`."""
        return {
            "term": self.term,
            "share": self.share,
            "looked_at": self.looked_at,
            "region": {name: list(ends) for name, ends in self.region.items()},
            "waves": dict(self.waves),
            "sentence": self.sentence,
            "advice": list(self.advice),
        }

    @property
    def sentence(self) -> str:
        """What was found."""
        where = " and ".join(f"{low:.3g} ≤ {name} ≤ {high:.3g}" for name, (low, high) in self.region.items())
        what = f"of the {self.looked_at}"
        place = (
            f"Half or more {what} lies in {where}" if where else f"None {what} stands out: it is spread over the domain"
        )
        scale = ", ".join(f"{length:.2g} in {name}" for name, length in self.waves.items())
        if len(self.waves) > _MOST_NAMED:
            shortest, longest = min(self.waves.values()), max(self.waves.values())
            scale = f"{shortest:.2g} to {longest:.2g} in {len(self.waves)} coordinates"
        return f"{self.term} holds {100 * self.share:.0f} % of the loss. {place}; its waves are about {scale} long."


def find_diagnosis(
    solution: Solution, *, loss: float, weights: Mapping[str, float], history: Sequence[Progress], settled: bool = True
) -> Diagnosis:
    """Look at a finished training.

    Args:
        solution: What was trained, with its errors and residuals in the record and its reference.
        loss: On the points trained on.
        weights: Of the terms.
        history: Of the training.
        settled: Whether unknowns that are sought have come to rest.
    """
    parts = {n: weights[n] * (r["rms"] or 0.0) ** 2 for n, r in solution.residuals.items() if n in weights}
    term = max(parts, key=lambda name: parts[name])
    total = sum(parts.values())
    magnitude, points, looked_at = _magnitude(solution, term)
    values = np.nan_to_num(magnitude(points))
    return Diagnosis(
        term,
        parts[term] / total if total > 0 else 1.0,
        looked_at,
        _region(solution, points, values**2),
        _waves(solution, points[np.argmax(np.abs(values))], magnitude),
        tuple(_advice_on_unknowns(solution, term, settled) or _advice(solution, loss, history)),
    )


def _magnitude(solution: Solution, term: str) -> tuple[Magnitude, Array, str]:
    """Return the error of the worst field where a reference tells it everywhere, else the residual of a term, and points for it."""
    reference, problem = solution.reference, solution.problem
    if reference is not None and reference.kind != "data" and solution.errors:
        name = max(solution.errors, key=lambda n: solution.errors[n]["relative_l2"] or 0.0)
        field = next(f for f in problem.declared_fields if f.func.__name__ == name)
        step = max(1, len(reference.points) // _POINTS)

        def error(points: Array) -> Array:
            truth = reference_values(solution, field, points)
            return np.zeros(len(points)) if truth is None else np.real(field_values(solution, field, points) - truth)

        return error, reference.points[::step], "error"
    chosen = problem.term(term)
    region = term_region(chosen, problem)
    points = np.tile([sum(ends) / 2 for ends in problem.bounds.values()], (_POINTS, 1))
    if region is None or chosen.columns:
        return (lambda places: np.zeros(len(places))), points, "residual"
    drawn = term_points(chosen, problem, _POINTS, seed=int(solution.record.get("seed", 0)))
    points[:, [problem.coordinates.index(c) for c in chosen.free]] = drawn[:, : len(chosen.free)]
    return (lambda places: residual_values(solution, term, region, places)), points, "residual"


def _region(solution: Solution, points: Array, squares: Array) -> dict[str, tuple[float, float]]:
    """Return the part of each coordinate's range that holds half of the sum of squares, where one of four equal parts does."""
    found = {}
    total = squares.sum()
    for k, (coordinate, (low, high)) in enumerate(solution.problem.bounds.items()):
        number = np.clip(((points[:, k] - low) / (high - low) * _PARTS).astype(int), 0, _PARTS - 1)
        sums = np.bincount(number, squares, minlength=_PARTS)
        most = int(np.argmax(sums))
        if total > 0 and sums[most] >= _HALF * total:
            step = (high - low) / _PARTS
            found[coordinate.name] = (low + most * step, low + (most + 1) * step)
    return found


def _waves(solution: Solution, through: Array, magnitude: Magnitude) -> dict[str, float]:
    """Return the mean length of the waves along the lines through a point, weighed by their power."""
    found = {}
    for k, (coordinate, (low, high)) in enumerate(solution.problem.bounds.items()):
        line = np.tile(through, (_LINE, 1))
        line[:, k] = np.linspace(low, high, _LINE)
        values = np.nan_to_num(magnitude(line))
        power = np.abs(np.fft.rfft((values - values.mean()) * np.hanning(_LINE))) ** 2
        if power.sum() > 0:
            found[coordinate.name] = float((high - low) * power.sum() / (power @ np.maximum(np.arange(len(power)), 1)))
    return found


def _advice_on_unknowns(solution: Solution, name: str, settled: bool) -> list[str]:
    """Return what to try next where unknowns are sought from measurements, if a term of these, or the unknowns, say it."""
    if not settled:
        return ["Train longer, by --max-time or more steps: the unknowns had not settled."]
    problem, term = solution.problem, solution.problem.term(name)
    values, rms = term.columns.get(Symbol(f"value[{name}]")), solution.residuals[name]["rms"]
    if not problem.unknowns or values is None or rms is None:
        return []
    if problem.data[term.group].noise is not None:
        noise = least_noise(problem.data, problem.unknowns)
    else:
        noise = noise_of(term, problem) * range_of(values)
    if rms > _AS_NOISE * noise:
        return []
    left = f"what is left of the loss is the noise of {term.group}"
    return [
        f"Measure more, or with less noise: {left}. Four times as many measurements halve the intervals of unknowns."
    ]


def _advice(solution: Solution, loss: float, history: Sequence[Progress]) -> list[str]:
    """Return what to try next; each of these is shown to help by an experiment in `tests/test_diagnosis.py`."""
    errors = [e["relative_l2"] for e in solution.errors.values()]
    if errors and all(error is not None and error < _SMALL for error in errors):
        return ["Nothing: the error is at the level of one in a million."]
    held_out = [p.held_out if p.held_out is not None else p.loss for p in history]
    finite = [value for value in held_out if value is not None and math.isfinite(value)]
    advice = []
    if finite and min(finite) > _OVERFITTED * loss:
        advice.append("Give more points: the equations hold far better at the points trained on than between them.")
    count = int(_RECENT * len(finite))
    settled = bool({phase["ended"] for phase in solution.record.get("phases", [])[-1:]} & _SETTLED)
    if len(finite) < _FEW and not settled:
        advice.append("Train longer, by --max-time or more steps: too few were made to see the loss stop falling.")
    elif not settled and min(finite[:count]) > _FALLING * min(finite[count:]):
        advice.append("Train longer, by --max-time or more steps: the loss was still falling.")
    if not advice:
        advice.append(
            "Take a wider network, network = ps.MLP(width=...): the loss had stopped falling, between the points as at them."
        )
    return advice

"""The accuracy benchmark: problem files trained with a limit on the time, their error against time, and a classical solver's time.

The error is that of the state a user would get by stopping then: the best so far by the loss on held-out points. It is the largest
relative L2 error of any field. Times are those of the training, with the choice of an engine and a compilation, where they occur.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pinnsolve.classical import Classical, solve_beside
from pinnsolve.fitting import Limits
from pinnsolve.problem_file import ProblemFile, load_problem_file
from pinnsolve.reference.exact import Exact
from pinnsolve.reference.solve import solve_reference
from pinnsolve.solver import solve
from pinnsolve.training.loop import Progress

MARKS = (10, 30, 60, 120, 300, 600)
"""Seconds at which the error is told."""

LEVELS = tuple(10.0**-k for k in range(2, 9))
"""Errors to which the time is told."""


@dataclass(frozen=True)
class Curve:
    """The error of one run against time.

    Args:
        seed: Of the run.
        seconds: When the error was measured, rising.
        errors: The largest relative L2 error of a field, of the best state by the held-out loss.
        final: The error of the state that the run ended with.
        total: Seconds of training in all.
    """

    seed: int
    seconds: tuple[float, ...]
    errors: tuple[float, ...]
    final: float
    total: float

    def at(self, seconds: float) -> float | None:
        """Return the error after so many seconds; the last one where the run ended before, None where nothing is known yet."""
        if seconds >= self.total:
            return self.final
        known = [error for when, error in zip(self.seconds, self.errors, strict=True) if when <= seconds]
        return known[-1] if known else None

    def time_to(self, level: float) -> float | None:
        """Return the seconds after which the error is at a level for the first time, or None."""
        pairs = zip((*self.seconds, self.total), (*self.errors, self.final), strict=True)
        return next((when for when, error in pairs if error <= level), None)


@dataclass(frozen=True)
class Result:
    """One problem of the benchmark.

    Args:
        problem: Name of the file.
        parameters: Of the network.
        limit: Seconds that the training was given.
        reference: What was compared with.
        own_error: Estimate of the reference's own error; 0 for closed forms.
        curves: One for each seed.
        classical: The classical solver; None where none can read the declaration.
    """

    problem: str
    parameters: int
    limit: float
    reference: str
    own_error: float
    curves: tuple[Curve, ...]
    classical: Classical | None

    def errors(self) -> dict[int, float | None]:
        """Return the median over the seeds of the error at every mark up to the limit."""
        return {mark: _median([c.at(mark) for c in self.curves]) for mark in MARKS if mark <= self.limit}

    def final(self) -> float:
        """Return the median error at the end."""
        return median(c.final for c in self.curves)

    def times(self) -> dict[float, float | None]:
        """Return the median seconds to every level; None where half of the seeds did not get there."""
        return {level: _median([c.time_to(level) for c in self.curves]) for level in LEVELS}


def measure(
    paths: Sequence[Path], *, seeds: int, seconds: float, defaults: bool, device: str = "cpu"
) -> Iterator[Result]:
    """Train problem files and yield a result for each.

    Args:
        paths: The files.
        seeds: Number of runs, with the seeds from 0.
        seconds: Limit on the training of each.
        defaults: Leave out the network and the training that a file names.
        device: "cpu" or "cuda".

    Raises:
        ProblemError: A file that does not run.
    """
    for path in paths:
        file = load_problem_file(path)
        runs = [_run(file, seed, seconds=seconds, defaults=defaults, device=device) for seed in range(seeds)]
        records = [record for _, record in runs]
        yield Result(
            problem=file.name,
            parameters=records[0]["parameters"],
            limit=seconds,
            reference=records[0]["reference"].get("method", "none"),
            own_error=records[0]["reference"].get("estimated_relative_l2") or 0.0,
            curves=tuple(curve for curve, _ in runs),
            classical=classical(file),
        )


def _run(
    file: ProblemFile, seed: int, *, seconds: float, defaults: bool, device: str
) -> tuple[Curve, Mapping[str, Any]]:
    when: list[float] = []
    times: list[float] = []
    errors: list[float] = []

    def remember(progress: Progress) -> None:
        when[:] = [progress.seconds]

    def watch(found: Mapping[str, float]) -> None:
        times.extend(when)
        errors.append(max(found.values()))

    solution = solve(
        file.problem,
        None if defaults else file.network,
        None if defaults else file.training,
        file.reference,
        seed=seed,
        device=device,
        plots=False,
        limits=Limits(seconds=seconds),
        observers=[remember],
        watch=watch,
        name=file.name,
    )
    total = solution.record["seconds"]["train"]
    before = total - when[-1] if when else 0.0  # the choice of an engine
    final = max((e["relative_l2"] for e in solution.errors.values()), default=math.nan)
    return Curve(seed, tuple(t + before for t in times), tuple(errors), final, total), solution.record


def classical(file: ProblemFile) -> Classical | None:
    """Solve a declaration by the solver that its file names, or by the first that reads it, and return time and error."""
    unknowns, spec = file.problem.unknowns, file.reference
    truth = solve_reference(file.problem, spec, unknowns=unknowns) if isinstance(spec, Exact) else None
    return solve_beside(file.problem, spec, truth, unknowns=unknowns)


def _median(values: Sequence[float | None]) -> float | None:
    """Return the median, with None above every number."""
    middle = median(math.inf if value is None else value for value in values)
    return middle if math.isfinite(middle) else None

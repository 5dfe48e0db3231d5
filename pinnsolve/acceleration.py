"""Acceleration: how gradients are evaluated in a run: by jets, by nested reverse passes, or by a compiled step.

The first two are tried on the problem itself; the third must be paid for with seconds of compilation, so it is chosen only where
the planned steps repay them.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.compiler.trial import Trial
from pinnsolve.jets import nested_derivatives
from pinnsolve.training.gradients import CompilationError
from pinnsolve.training.objective import Objective

_CPU_MEMORY, _CPU_MEMORY_COMPILED, _GPU_MEMORY = 8 * 2**20, 4 * 2**20, 40 * 2**20
"""Bytes of derivatives that a chunk of points may hold. On a processor they pass through memory at every layer: by 8 MiB, which
its cache keeps, plain gradients at 10,000 and 50,000 points take two thirds to four fifths of their time by 40. Compiled ones,
where each of two threads has a chunk, take nine tenths by 4 of their time by 8. A GPU is limited by its calls."""

COMPILE_SECONDS = 30.0
"""What a compilation costs at most, as a rule; from its cache on disk it takes a few seconds."""

COMPILED_COST = 0.6
"""Time of a compiled step relative to a plain one, at most, as a rule."""

_TRIAL_SECONDS, _TRIAL_SHARE = 0.5, 0.005
"""How long each way is tried at most, and the part of the planned time that it may take."""

_WORTH_A_TRIAL, _FEW_POINTS = 20.0, 1_000_000
"""Limit in seconds on a run, and points summed over its gradients, below which nothing is tried. A few seconds of work repay no
trial, and what is chosen by the clock does not repeat to the last bit."""

_FIRST_ROWS, _EVALUATION_SECONDS = 1_000, 0.1
"""Points of a set that are tried first, and how long a gradient by jets on those tried afterwards takes, about."""

_MARGIN = 0.9
"""Nested passes are chosen only when they take less than this part of the time of jets: a tie must not fall by chance."""


@dataclass(frozen=True)
class Acceleration:
    """How gradients are evaluated.

    Args:
        engine: "plain", "nested" or "compiled".
        reason: Why, in words, with the times measured.
    """

    engine: str
    reason: str


def chunk_size(compiled: CompiledProblem, trial: Trial, engine: str = "plain") -> int:
    """Return the number of points whose derivatives the cache keeps, as far as the shapes of the weights tell."""
    memory = _CPU_MEMORY_COMPILED if engine == "compiled" else _CPU_MEMORY
    if next(trial.parameters()).is_cuda:
        memory = _GPU_MEMORY
    features = sum(len(parameter) for parameter in trial.network.parameters() if parameter.ndim > 1)
    item = next(trial.parameters()).element_size()
    return max(256, memory // (item * max(features, 1) * compiled.channels))


def nested(compiled: CompiledProblem) -> CompiledProblem:
    """Return the same problem, differentiated by nested reverse passes."""
    return replace(compiled, differentiate=nested_derivatives)


def accelerate(
    objective: Objective,
    compiled: CompiledProblem,
    trial: Trial,
    *,
    mode: str,
    evaluations: int,
    seconds: float | None = None,
) -> Acceleration:
    """Choose how an objective evaluates gradients, and make it do so.

    Args:
        objective: Of the jets' residuals; its parameters stay as they are.
        compiled: The problem of these residuals.
        trial: Network and unknowns.
        mode: "off" for jets as they are, "on" for a compiled step, "auto" for the fastest way, compiled if that repays itself.
        evaluations: How many gradients are planned.
        seconds: How long they may take.

    Returns:
        What was chosen and why.
    """
    if mode == "off":
        return Acceleration("plain", "nothing is tried or compiled, so that equal runs are equal to the last bit")
    if mode == "auto" and seconds is not None and seconds < _WORTH_A_TRIAL:
        return Acceleration("plain", f"a trial is too much of {seconds:g} s")
    if mode == "auto" and evaluations * objective.rows < _FEW_POINTS:
        return Acceleration("plain", f"{evaluations} gradients at {objective.rows} points are too few to repay a trial")
    ways = {"plain": compiled, "nested": nested(compiled)}
    times = _trial(objective, ways, trial, evaluations)
    engine = "nested" if times["nested"] < _MARGIN * times["plain"] else "plain"
    tried = partial(ways[engine].residuals, trial)
    told = f"jets {_milliseconds(times['plain'])}, nested passes {_milliseconds(times['nested'])} a gradient"
    planned = min(evaluations * times[engine], math.inf if seconds is None else seconds)
    saved = planned * (1 - COMPILED_COST)
    if mode == "auto" and saved < COMPILE_SECONDS:
        objective.use(tried)
        return Acceleration(engine, f"{told}; compiling, up to {COMPILE_SECONDS:.0f} s, would save {saved:.0f} s")
    start, chunk = time.perf_counter(), objective.chunk
    try:
        objective.compile(chunk=None if chunk is None else min(chunk, chunk_size(compiled, trial, "compiled")))
    except CompilationError as error:
        if mode == "on":
            warnings.warn(f"the step was not compiled: {error}", stacklevel=2)
        objective.use(tried)
        return Acceleration(engine, f"{told}; it could not be compiled")
    spent = time.perf_counter() - start
    times["compiled"] = _seconds(objective.evaluate, evaluations)
    told = f"{_milliseconds(times['compiled'])} compiled in {spent:.0f} s; {told}"
    if mode == "auto" and times["compiled"] > times[engine]:
        objective.use(tried, chunk=chunk)
        return Acceleration(engine, told)
    return Acceleration("compiled", told)


def accelerate_together(
    objective: Objective,
    compiled: CompiledProblem,
    trial: Trial,
    *,
    mode: str,
    evaluations: int,
    seconds: float | None = None,
) -> Acceleration:
    """Choose as `accelerate` does, where several ranks share the points: by what the first finds on its own.

    Args:
        objective: Of the jets' residuals.
        compiled: The problem of these residuals.
        trial: Network and unknowns.
        mode: As for `accelerate`.
        evaluations: As for `accelerate`.
        seconds: As for `accelerate`.

    Returns:
        What was chosen; the reason is known to the first rank.
    """
    group, engines = objective.group, ("plain", "nested", "compiled")
    found, chunk = Acceleration(engines[0], "as the first rank chose"), 0
    if group.leads:
        mine = Objective(trial, partial(compiled.residuals, trial), objective.share, chunk=objective.chunk)
        found = accelerate(mine, compiled, trial, mode=mode, evaluations=evaluations, seconds=seconds)
        chunk = mine.chunk or 0
    engine = engines[group.most(engines.index(found.engine))]
    accelerate_again(objective, compiled, trial, engine=engine, chunk=group.most(chunk) or None)
    return replace(found, engine=engine)


def accelerate_again(
    objective: Objective, compiled: CompiledProblem, trial: Trial, *, engine: str, chunk: int | None
) -> None:
    """Make an objective evaluate gradients in the way that was chosen before: another trial might choose another.

    Args:
        objective: Of the jets' residuals, on the points of then.
        compiled: The problem of these residuals.
        trial: Network and unknowns.
        engine: What was chosen.
        chunk: Points evaluated at a time.

    Raises:
        ValueError: There is no such way.
    """
    ways = {"plain": compiled, "nested": nested(compiled), "compiled": compiled}
    if engine not in ways:
        raise ValueError(f"gradients by {str(engine)[:40]!r}")
    objective.use(partial(ways[engine].residuals, trial), chunk=chunk)
    if engine == "compiled":
        try:
            objective.compile()
        except CompilationError as error:
            warnings.warn(f"gradients go on uncompiled, and differ in their last digits: {error}", stacklevel=2)
        objective.group.any(False)  # the first to have compiled waits here, not in a step that is timed


def _trial(
    objective: Objective, ways: Mapping[str, CompiledProblem], trial: Trial, evaluations: int
) -> dict[str, float]:
    """Return the seconds of a gradient on all points in each way, from so many of them that the trial is short."""
    all_rows = max(len(tensor) for tensor in objective.points.values())
    rows = min(_FIRST_ROWS, all_rows)
    first = _some(objective, ways["plain"], trial, rows)
    each = _seconds(first.evaluate, 1)
    rows = min(all_rows, max(rows, int(rows * _EVALUATION_SECONDS / each)))
    tried = {name: _some(objective, problem, trial, rows) for name, problem in ways.items()}
    scale = objective.rows / tried["plain"].rows
    plain = _seconds(tried["plain"].evaluate, evaluations)
    passes = _seconds(tried["nested"].evaluate, evaluations, limit=plain)
    return {"plain": scale * plain, "nested": scale * passes}


def _some(objective: Objective, problem: CompiledProblem, trial: Trial, rows: int) -> Objective:
    """Return an objective on the first points of every set; sets that share a tensor go on sharing it."""
    parts = {id(tensor): tensor[:rows] for tensor in objective.points.values()}
    points = {name: parts[id(tensor)] for name, tensor in objective.points.items()}
    return Objective(trial, partial(problem.residuals, trial), points, chunk=objective.chunk)


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


def _seconds(evaluate: Callable[[], object], evaluations: int, *, limit: float = math.inf) -> float:
    """Return the least time of a few evaluations, after one that warms up.

    They take a small part of what is planned; a way three times slower than the limit is not tried again.
    """
    start = time.perf_counter()
    evaluate()
    least = time.perf_counter() - start
    share = min(_TRIAL_SECONDS, _TRIAL_SHARE * evaluations * min(least, limit))
    tried = 0
    while least < 3 * limit and (tried < 3 or time.perf_counter() - start < share):
        begin = time.perf_counter()
        evaluate()
        least = min(least, time.perf_counter() - begin)
        tried += 1
        if time.perf_counter() - start > _TRIAL_SECONDS:
            break
    return least

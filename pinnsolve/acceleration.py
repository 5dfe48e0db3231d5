"""Acceleration: how gradients are evaluated in a run: by jets, by nested reverse passes, or by a compiled step.

The first two are tried on the problem itself; the third must be paid for with seconds of compilation, so it is chosen only where
the planned steps repay them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.compiler.trial import Trial
from pinnsolve.jets import nested_derivatives
from pinnsolve.training.gradients import CompilationError
from pinnsolve.training.objective import Objective

PLAIN_MEMORY, COMPILED_MEMORY = 256 * 2**20, 48 * 2**20
"""Bytes of derivatives that a chunk of points may hold. A plain step is limited by its calls, a compiled one by the cache."""

COMPILE_SECONDS = 30.0
"""What a compilation costs at most, as a rule; from its cache on disk it takes a few seconds."""

COMPILED_COST = 0.6
"""Time of a compiled step relative to a plain one, at most, as a rule."""

_TRIAL_SECONDS = 0.8
"""How long each way is tried; the first evaluation, which warms up, comes on top."""

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


def chunk_size(compiled: CompiledProblem, trial: Trial, *, memory: int) -> int:
    """Return the number of points whose derivatives fit into so many bytes, as far as the shapes of the weights tell."""
    features = sum(len(parameter) for parameter in trial.network.parameters() if parameter.ndim > 1)
    item = next(trial.parameters()).element_size()
    return max(256, memory // (item * max(features, 1) * compiled.channels))


def nested(compiled: CompiledProblem) -> CompiledProblem:
    """Return the same problem, differentiated by nested reverse passes."""
    return replace(compiled, differentiate=nested_derivatives)


def accelerate(
    objective: Objective, compiled: CompiledProblem, trial: Trial, *, mode: str, evaluations: int
) -> Acceleration:
    """Choose how an objective evaluates gradients, and make it do so.

    Args:
        objective: Of the jets' residuals; its parameters stay as they are.
        compiled: The problem of these residuals.
        trial: Network and unknowns.
        mode: "off" for the faster of jets and nested passes, "on" for a compiled step, "auto" for one that repays itself.
        evaluations: How many gradients are planned.

    Returns:
        What was chosen and why.
    """
    plain = _seconds(objective.evaluate)
    other = partial(nested(compiled).residuals, trial)
    objective.use(other)
    passes = _seconds(objective.evaluate, limit=plain)
    if passes < _MARGIN * plain:
        best, engine, slower = passes, "nested", plain
    else:
        best, engine, slower = plain, "plain", passes
        objective.use(partial(compiled.residuals, trial))
    reason = f"{1e3 * best:.1f} ms a gradient, {'jets' if engine == 'nested' else 'nested passes'} {1e3 * slower:.1f} ms"
    saved = evaluations * best * (1 - COMPILED_COST)
    if mode == "off" or (mode == "auto" and saved < COMPILE_SECONDS):
        why = "--compile off" if mode == "off" else f"compiling would save about {saved:.0f} s"
        return Acceleration(engine, f"{reason}; {why}")
    try:
        objective.use(partial(compiled.residuals, trial))
        objective.compile(chunk=chunk_size(compiled, trial, memory=COMPILED_MEMORY))
        start = time.perf_counter()
        objective.evaluate()
        spent = time.perf_counter() - start
        seconds = _seconds(objective.evaluate)
    except CompilationError as error:
        return _fall_back(objective, compiled, trial, engine, f"{reason}; not compiled: {error}")
    if seconds > best and mode == "auto":
        return _fall_back(objective, compiled, trial, engine, f"{reason}; compiled {1e3 * seconds:.1f} ms")
    return Acceleration("compiled", f"{1e3 * seconds:.1f} ms a gradient against {reason}; compiled in {spent:.0f} s")


def _fall_back(
    objective: Objective, compiled: CompiledProblem, trial: Trial, engine: str, reason: str
) -> Acceleration:
    problem = nested(compiled) if engine == "nested" else compiled
    objective.use(partial(problem.residuals, trial), chunk=chunk_size(compiled, trial, memory=PLAIN_MEMORY))
    return Acceleration(engine, reason)


def _seconds(evaluate: Callable[[], object], *, limit: float = float("inf")) -> float:
    """Return the least time of a few evaluations; give up after the first one when it takes three times the limit."""
    start = time.perf_counter()
    evaluate()
    least = time.perf_counter() - start
    if least > 3 * limit:
        return least
    while time.perf_counter() - start < _TRIAL_SECONDS:
        begin = time.perf_counter()
        evaluate()
        least = min(least, time.perf_counter() - begin)
    return least


def compiler_missing() -> bool:
    """Whether there is no C++ compiler for steps on a processor."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception:  # whatever it is, there is none to be used
        return not torch.cuda.is_available()
    return False

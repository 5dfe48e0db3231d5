"""The derivative benchmark: a loss and its parameter gradient, by jets, compiled jets and nested reverse passes, in one process.

Each residual is declared as a user would and goes through the compiler, with a network of 4 layers of 64 tanh. Nested passes
differentiate only the fields and directions that the residual reads, on all points at once, as a user without jets would write it.

The products of a step are recorded as it makes them and repeated alone, on operands of the same shape and memory order: their time
is what the step cannot go below, and `matmul_fraction` is that time over the step's.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from statistics import median
from typing import Any

import torch
from sympy import Expr, Function, Symbol, sin, symbols
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pinnsolve.acceleration import chunk_size, nested
from pinnsolve.compiler.compile import CompiledProblem, compile_problem
from pinnsolve.compiler.trial import Trial, build_trial
from pinnsolve.declaration.observations import Observations
from pinnsolve.domains.regions import Box
from pinnsolve.memory import memory_kept
from pinnsolve.networks.architectures import MLP
from pinnsolve.points import term_points
from pinnsolve.problem import Problem
from pinnsolve.training.chunks import out_of_memory
from pinnsolve.training.gradients import CompilationError
from pinnsolve.training.objective import Objective
from pinnsolve.training.workers import single_threaded

ENGINES = ("nested", "plain", "compiled")
POINTS = (1_000, 10_000, 100_000)
DTYPES = ("float64", "float32")

_REPEATS, _SECONDS = 15, 6.0
"""Steps that are timed in each way, and the time for each way after which three are enough."""

_PROBE_POINTS = 100
"""Points on which the memory of nested passes is measured first, which may be more than there is on all of them."""


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        residual: Its name.
        points: Number of points.
        dtype: Precision.
        engine: One of `ENGINES`.
        milliseconds: Median time of a loss and its gradient; None where it could not be done, as `note` says.
        peak_bytes: Most memory that tensors took during it, beyond what was there before.
        matmul_fraction: Part of the time that its matrix products take alone.
        note: Why there is no time.
    """

    residual: str
    points: int
    dtype: str
    engine: str
    milliseconds: float | None
    peak_bytes: int | None
    matmul_fraction: float | None
    note: str = ""


def residuals() -> dict[str, Callable[[], Problem]]:
    """Return the problems of the benchmark by name."""
    x, y, z, t = symbols("x y z t")

    def one(field: str, *coordinates: Symbol) -> Any:
        return Function(field)(*coordinates)

    def box(equation: Expr | dict[str, Expr], *coordinates: Symbol) -> Problem:
        # One measured value stands for the conditions, which are not part of the benchmark.
        measured = Observations(at=dict.fromkeys(coordinates, 0.5), values={one("u", *coordinates): 0.0})
        return Problem(domain=Box(dict.fromkeys(coordinates, (0, 1))), equations=equation, data={"measured": measured})

    u, v, p = (one(name, x, y) for name in "uvp")
    w, q = one("u", x, t), one("u", x, y, z)
    many = symbols("x1:101")
    high = one("u", *many)
    flow = {
        "momentum_x": u * u.diff(x) + v * u.diff(y) + p.diff(x) - 0.01 * (u.diff(x, 2) + u.diff(y, 2)),
        "momentum_y": u * v.diff(x) + v * v.diff(y) + p.diff(y) - 0.01 * (v.diff(x, 2) + v.diff(y, 2)),
        "continuity": u.diff(x) + v.diff(y),
    }
    bilaplacian = u.diff(x, 4) + 2 * u.diff(x, 2, y, 2) + u.diff(y, 4)
    return {
        "burgers": lambda: box(w.diff(t) + w * w.diff(x) - 0.003 * w.diff(x, 2), x, t),
        "kdv": lambda: box(w.diff(t) + w * w.diff(x) + 0.0025 * w.diff(x, 3), x, t),
        "kuramoto_sivashinsky": lambda: box(w.diff(t) + w * w.diff(x) + w.diff(x, 2) + w.diff(x, 4), x, t),
        "biharmonic": lambda: box(bilaplacian - sin(x), x, y),
        "laplacian_3d": lambda: box(q.diff(x, 2) + q.diff(y, 2) + q.diff(z, 2) - sin(x), x, y, z),
        "navier_stokes_2d": lambda: box(flow, x, y),
        "laplacian_100d": lambda: box(sum(high.diff(s, 2) for s in many) - 1, *many),
    }


@dataclass(frozen=True)
class Setting:
    """A residual with a network and points, ready to be evaluated in every way.

    Args:
        compiled: The problem.
        trial: The network.
        points: One tensor that all terms share.
    """

    compiled: CompiledProblem
    trial: Trial
    points: dict[str, Tensor]

    @classmethod
    def of(cls, problem: Problem, points: int, dtype: str, device: str) -> Setting:
        """Build network and points of a problem from fixed seeds."""
        whole = compile_problem(problem)
        equations = [problem.term(term.name).kind == "equation" for term in whole.terms]
        compiled = replace(whole, terms=tuple(compress(whole.terms, equations)))
        kind = getattr(torch, dtype)
        trial = build_trial(problem, MLP(width=64, depth=4), seed=0, dtype=kind, device=device)
        array = term_points(problem.terms[0], problem, points, method="uniform")
        tensor = torch.as_tensor(array, dtype=torch.float64, device=device)
        return cls(compiled, trial, {term.name: tensor for term in compiled.terms})

    @property
    def device(self) -> torch.device:
        """Where it is evaluated."""
        return next(self.trial.parameters()).device

    def nested_bytes(self) -> int:
        """Return about what nested passes will need, from some of the points."""
        first = next(iter(self.points.values()))
        shared = dict.fromkeys(self.points, first[:_PROBE_POINTS])
        objective = Objective(self.trial, partial(nested(self.compiled).residuals, self.trial), shared)
        objective.evaluate()
        return peak_bytes(objective.evaluate, shared) * len(first) // min(len(first), _PROBE_POINTS)

    def objective(self, engine: str) -> Objective:
        """Return the loss, evaluated in one of the ways."""
        plain = partial(self.compiled.residuals, self.trial)
        if engine == "nested":
            return Objective(self.trial, partial(nested(self.compiled).residuals, self.trial), self.points)
        objective = Objective(self.trial, plain, self.points, chunk=chunk_size(self.compiled, self.trial, engine))
        if engine == "compiled":
            objective.compile()
        return objective


def measure(
    names: Sequence[str] | None = None,
    points: Sequence[int] = POINTS,
    dtypes: Sequence[str] = DTYPES,
    engines: Sequence[str] = ENGINES,
    *,
    device: str = "cpu",
) -> Iterator[Row]:
    """Measure row by row; the ways of one residual take turns step by step, so that they see the same machine."""
    declared = residuals()
    for name in declared if names is None else names:
        problem = declared[name]()
        for dtype in dtypes:
            for count in points:
                gc.collect()
                with memory_kept():  # as a run does
                    rows = _rows(Setting.of(problem, count, dtype, device), name, count, dtype, engines)
                yield from rows


def _rows(setting: Setting, name: str, points: int, dtype: str, engines: Sequence[str]) -> list[Row]:
    ways = {engine: _prepared(setting, engine) for engine in engines}
    ready = {engine: way for engine, way in ways.items() if not isinstance(way, str)}
    calls = [call for objective, products in ready.values() for call in (objective.evaluate, products)]
    times = iter(_seconds(calls, setting.points))
    rows = []
    for engine, way in ways.items():
        if isinstance(way, str):
            rows.append(Row(name, points, dtype, engine, None, None, None, way))
            continue
        seconds, alone = next(times), next(times)
        peak = _peak_of(way[0], setting.points)
        rows.append(Row(name, points, dtype, engine, 1e3 * seconds, peak, alone / seconds))
    return rows


def _prepared(setting: Setting, engine: str) -> tuple[Objective, Callable[[], object]] | str:
    """Return a loss and the matrix products of a step alone, each evaluated once already, or why there are none."""
    if engine == "nested" and (needed := setting.nested_bytes()) > _memory(setting.device):
        return f"it would need about {needed / 2**30:.0f} GB"
    try:
        objective = setting.objective(engine)
        objective.evaluate()
        products = _products(setting, objective, engine)
        products()
    except CompilationError as error:
        return str(error)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return "out of memory"
    return objective, products


def _seconds(calls: Sequence[Callable[[], object]], points: dict[str, Tensor]) -> list[float]:
    """Return the median time of each of several calls, two for each way, made in turn: all see the machine in the same state."""
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + _SECONDS * len(calls) / 2
    while calls and (len(times[0]) < 3 or (len(times[0]) < _REPEATS and time.perf_counter() < end)):
        for call, own in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            _wait(points)
            own.append(time.perf_counter() - begin)
    return [median(own) for own in times]


def _peak_of(objective: Objective, points: dict[str, Tensor]) -> int:
    """Return the most memory of a step; the profiler sees that of one thread, and each of the workers takes as much."""
    with single_threaded():
        return objective.workers * peak_bytes(objective.evaluate, points)


def peak_bytes(evaluate: Callable[[], object], points: dict[str, Tensor]) -> int:
    """Return the most memory that tensors took during a call."""
    if next(iter(points.values())).is_cuda:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        evaluate()
        _wait(points)
        return torch.cuda.max_memory_allocated() - before
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _quiet(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        evaluate()
    present = highest = 0
    for event in profile.profiler.kineto_results.events() if profile.profiler is not None else ():
        if event.name() == "[memory]":
            present += event.nbytes()
            highest = max(highest, present)
    return highest


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the notices of torch's profiler, which it writes past Python, off the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device, not a file
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class _Products(TorchDispatchMode):
    """Records the operands of every matrix product that is made inside, by shape and memory order."""

    NAMES = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[Any, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name() in self.NAMES:
            self.made.append((func, [(a.shape, a.stride()) if isinstance(a, Tensor) else a for a in args]))
        return func(*args, **(kwargs or {}))


def _products(setting: Setting, objective: Objective, engine: str) -> Callable[[], None]:
    """Return the matrix products of a step, to be repeated alone."""
    problem = nested(setting.compiled) if engine == "nested" else setting.compiled
    same = Objective(setting.trial, partial(problem.residuals, setting.trial), setting.points, chunk=objective.chunk)
    same.evaluate()
    with _Products() as products:
        same.evaluate()
    like = next(setting.trial.parameters()).detach()

    pool: dict[Any, Tensor] = {}

    def operand(entry: Any, role: int) -> Any:
        # Products of one shape share their operands, as the steps of a network use the same memory again and again.
        if not isinstance(entry, tuple):
            return entry
        if (entry, role) not in pool:
            pool[entry, role] = torch.empty_strided(*entry, dtype=like.dtype, device=like.device).normal_()
        return pool[entry, role]

    calls = []
    for function, entries in products.made:
        operands = [operand(entry, role) for role, entry in enumerate(entries)]
        result = function(*operands)
        calls.append((function.overloadpacket, operands, operand((result.shape, result.stride()), -1)))

    def repeat() -> None:
        for function, operands, result in calls:
            function(*operands, out=result)

    return repeat


def _memory(device: torch.device) -> float:
    """Return half the memory of the machine, in bytes, or of the GPU; infinite where it is not known."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 2
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2
    except (AttributeError, ValueError, OSError):
        return math.inf


def _wait(points: dict[str, Tensor]) -> None:
    if next(iter(points.values())).is_cuda:
        torch.cuda.synchronize()

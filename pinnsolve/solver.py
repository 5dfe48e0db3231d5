"""solve(): the one function that knows every layer, from a declaration to a compared solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from pinnsolve.errors import ProblemError
from pinnsolve.execution import Clock, Conduct, Saving, carry_out
from pinnsolve.fitting import Limits
from pinnsolve.inputs import Inputs
from pinnsolve.privacy import check_private
from pinnsolve.problem import Problem
from pinnsolve.run_directory import RunDirectory
from pinnsolve.scaling import complete
from pinnsolve.solution import Solution
from pinnsolve.training.checkpoint import EVERY, never
from pinnsolve.training.distributed import ALONE, Group
from pinnsolve.training.progress import Progress
from pinnsolve.training.schedule import Training


def solve(
    problem: Problem,
    network: Any = None,
    training: Training | None = None,
    reference: Any = None,
    *,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "float64",
    out: str | Path | RunDirectory | None = None,
    threads: int | None = None,
    compile: str = "auto",
    quick: bool = False,
    plots: bool = True,
    limits: Limits | None = None,
    observers: Sequence[Callable[[Progress], object]] = (),
    watch: Callable[[Mapping[str, float]], object] | None = None,
    notify: Callable[[str], object] | None = None,
    name: str = "problem",
    argv: Sequence[str] = (),
    save_every: float = EVERY,
    save_asked: Callable[[], bool] = never,
    group: Group = ALONE,
) -> Solution:
    """Train a network on a problem and compare it with a reference.

    In a notebook one output shows the progress, unless it is told to `observers`, `watch` or `notify`.

    Args:
        problem: The declaration.
        network: A description such as `MLP(width=32, depth=4)`, or a module from (points, coordinates) to (points, fields).
        training: Points, phases, weights; chosen from the problem where left out.
        reference: `FiniteDifferences`, `FiniteElements`, `Spectral`, `StreamFunction`, `Exact`, `Observations`; when left out,
            on boxes, finite differences, else a stream function, else finite elements; elsewhere finite elements.
        seed: Everything random follows from it; not negative.
        device: "auto", "cpu" or "cuda".
        dtype: "float64", or "float32" for the first phase.
        out: Folder for the results; it must not hold a run already.
        threads: Threads of torch during the training; chosen from the size of the network when left out.
        compile: "auto" for the fastest way to a gradient, by a trial on the problem itself: jets, nested reverse passes, or a
            compiled step where the planned steps repay it; "on" for a compiled step; "off" for jets, which repeats to the last bit.
        quick: Fewer points and steps, to see whether a declaration works.
        plots: Whether pictures are written into `out`.
        limits: When to stop early.
        observers: Called with `Progress` after every step; one may end the run by raising StopIteration.
        watch: Called every few seconds with the relative L2 error of each field against the reference, of the best state so far.
        notify: Called with one line of text for every choice and event.
        name: What the run is called in its record.
        argv: The command line, for the record.
        save_every: Seconds of training between two checkpoints in `out`, from which `resume` goes on.
        save_asked: Asked after every step; true stores a checkpoint and goes on.
        group: Ranks that share the points, all of which call this with the same; the first alone writes, tells and compares.

    Returns:
        The solution; a run that failed says so in `solution.status` and `solution.message`.

    Raises:
        ProblemError: The declaration and the numerics do not fit.

    Example:
        >>> solution = ps.solve(decay, ps.MLP(width=8, depth=1), training, compile="off")
        >>> bool(abs(solution(t=1.0) - np.exp(-1)) < 1e-3)
        True
    """
    _check(problem, seed, compile)
    check_private(problem, network, training, reference)
    clock = Clock()
    with ExitStack() as stack:
        directory = None
        if out is not None and group.leads:
            directory = out if isinstance(out, RunDirectory) else stack.enter_context(RunDirectory(Path(out)))
        built, exactness = complete(problem, network, training)
        inputs = Inputs(
            problem=built,
            network=network,
            training=training,
            reference=reference,
            exactness=exactness,
            name=name,
            seed=seed,
            device=device,
            dtype=dtype,
            threads=threads,
            ambient=torch.get_num_threads(),
            compile=compile,
            quick=quick,
        )
        saving = Saving(save_every, save_asked)
        limits = Limits() if limits is None else limits
        told, words = tuple(observers), tuple(argv)
        conduct = Conduct(directory, limits, saving, plots, told, watch, notify, words, limits.seconds, group)
        return carry_out(inputs, conduct, clock)


def _check(problem: Problem, seed: int, compile: str) -> None:
    if not isinstance(problem, Problem):
        raise ProblemError("solve(...)", f"{problem!r} is not a problem", "write ps.solve(ps.Problem(...), ...)")
    if not 0 <= seed <= _LARGEST_SEED:
        raise ProblemError("seed", f"{seed!r}", f"write a whole number from 0 to {_LARGEST_SEED}")
    if compile not in _COMPILE:
        raise ProblemError("compile", f"{compile!r}", f"write one of {', '.join(_COMPILE)}")


_COMPILE = ("auto", "on", "off")

_LARGEST_SEED = 2**63 - 1
"""What torch and NumPy both take."""

"""Runs: one training of a sweep, begun, gone on with where a process died, and what is kept of it beside its run directory."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pinnsolve.archive import finite
from pinnsolve.fitting import Limits
from pinnsolve.inputs import InputsError
from pinnsolve.problem import Problem
from pinnsolve.problem_file import ProblemFile
from pinnsolve.resumption import resume
from pinnsolve.run_directory import RunDirectory
from pinnsolve.solution import Solution
from pinnsolve.solver import solve
from pinnsolve.sweep.judgement import Judge
from pinnsolve.training.checkpoint import CheckpointError
from pinnsolve.training.progress import Progress
from pinnsolve.training.schedule import Training


@dataclass(frozen=True)
class Run:
    """What became of one run.

    Args:
        seed: Of everything random.
        folder: Of its run directory, below that of the sweep.
        status: "done" or "diverged".
        held_out: Loss on points held out of the sweep; infinite where it is not finite.
        error: Largest relative L2 error of a field against the reference; None where there is none.
        parameters: Of the network.
        seconds: Of training.
        unknowns: The unknown parameters found.
    """

    seed: int
    folder: str
    status: str
    held_out: float
    error: float | None
    parameters: int
    seconds: float
    unknowns: Mapping[str, float] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON data; `Run.read` reads it back."""
        return dict(finite(asdict(self)))

    @staticmethod
    def read(data: Mapping[str, Any]) -> Run:
        """Read what `as_data` returned."""
        held_out = math.inf if data["held_out"] is None else float(data["held_out"])
        return Run(**{**data, "held_out": held_out})


@dataclass(frozen=True)
class Recipe:
    """What all runs of a sweep have in common.

    Args:
        file: The problem file.
        problem: Its problem, with measurements held out.
        judge: Of the held-out loss.
        folder: Of the sweep.
        limits: On every run.
        options: Those of `solve` that change no mathematics: device, dtype, threads, compile, quick.
    """

    file: ProblemFile
    problem: Problem
    judge: Judge
    folder: Path
    limits: Limits
    options: Mapping[str, Any]

    def run(
        self,
        place: Path,
        seed: int,
        *,
        network: Any,
        training: Training,
        observers: Sequence[Callable[[Progress], object]],
        argv: Sequence[str],
    ) -> Run | None:
        """Train once, or go on with what a process that died left; None where the run was interrupted.

        Args:
            place: The run directory.
            seed: Of everything random.
            network: A description, or a module, which is copied.
            training: The numerics.
            observers: Called after every step.
            argv: The command line, for the record.

        Raises:
            ProblemError: The settings do not go together.
        """
        solution = self._gone_on(place, observers, argv)
        if solution is None:
            shutil.rmtree(place, ignore_errors=True)  # a run that died before its first checkpoint
            with RunDirectory(place, problem_file=self.file.path, tables=self.file.tables) as directory:
                solution = solve(
                    self.problem,
                    deepcopy(network),
                    training,
                    self.file.reference,
                    seed=seed,
                    out=directory,
                    plots=False,
                    limits=self.limits,
                    observers=observers,
                    name=self.file.name,
                    argv=argv,
                    **self.options,
                )
        if solution.status == "interrupted":
            return None
        errors = [e["relative_l2"] for e in solution.errors.values()]
        return Run(
            seed=seed,
            folder=str(place.relative_to(self.folder)),
            status=solution.status,
            held_out=self.judge.loss(solution),
            error=None if not errors or None in errors else float(max(errors)),
            parameters=int(solution.record["parameters"]),
            seconds=float(solution.record["seconds"]["train"]),
            unknowns=dict(solution.unknowns),
        )

    def _gone_on(
        self, place: Path, observers: Sequence[Callable[[Progress], object]], argv: Sequence[str]
    ) -> Solution | None:
        """Go on with a run that was broken off, if there is a checkpoint of it."""
        if not (place / "checkpoints").is_dir():
            return None
        try:
            return resume(place, plots=False, limits=self.limits, observers=observers, argv=argv)
        except (InputsError, CheckpointError):
            return None

"""Resumption: a run that was broken off goes on from its newest good checkpoint, as if nothing had happened.

Problem, network and training are rebuilt from what the run directory stores as data; nothing in it is executed. What cannot be
stored, a network or a phase of the user's own, comes from the user again: as the problem file, the very one, or as objects.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from pinnsolve.execution import Clock, Conduct, Saving, carry_out
from pinnsolve.fitting import Limits
from pinnsolve.inputs import InputsError, inputs_from_data, read_inputs
from pinnsolve.problem_file import load_problem_file
from pinnsolve.run_directory import RunDirectory, versions
from pinnsolve.scaling import complete
from pinnsolve.solution import Solution
from pinnsolve.training.checkpoint import fitting, never
from pinnsolve.training.distributed import ALONE, Group
from pinnsolve.training.progress import Progress
from pinnsolve.training.state import State


def resume(
    path: str | Path | RunDirectory,
    problem_file: str | Path | None = None,
    *,
    network: Any = None,
    training: Any = None,
    reference: Any = None,
    plots: bool = True,
    limits: Limits | None = None,
    observers: Sequence[Callable[[Progress], object]] = (),
    watch: Callable[[Mapping[str, float]], object] | None = None,
    notify: Callable[[str], object] | None = None,
    argv: Sequence[str] = (),
    save_every: float | None = None,
    save_asked: Callable[[], bool] = never,
    group: Group = ALONE,
) -> Solution:
    """Go on with a run that was broken off; the result is that of a run that was not.

    On one machine, with the same versions and threads, on the CPU, it is so to the last bit, unless a limit in seconds ends a
    phase. A run that was through is compared and written again.

    Args:
        path: The run directory.
        problem_file: The problem file that the run was begun with, which is executed; needed only where a network, phase, decay or
            weighting of the user's own is in it.
        network: The module that a run begun from Python trains, if it is the user's own.
        training: The training of such a run, if something in it is the user's own.
        reference: The reference of such a run, if it could not be stored.
        plots: Whether pictures are written.
        limits: When to stop early, counted from the beginning of the run; what is left out is as it was.
        observers: As for `solve`.
        watch: As for `solve`.
        notify: As for `solve`.
        argv: The command line, for the record.
        save_every: Seconds of training between two checkpoints; as it was when left out.
        save_asked: As for `solve`.
        group: As for `solve`; there may be more or fewer than began the run.

    Returns:
        The solution.

    Raises:
        CheckpointError: No checkpoint of this run is usable.
        InputsError: The inputs of the run are not usable, or the problem file is not the one that it was begun with.
        LockError: Another process is at work in the directory.

    Example:
        >>> run = ps.solve(decay, ps.MLP(width=8, depth=1), training, compile="off", out="run", plots=False)
        >>> ps.resume("run", plots=False).status
        'done'
    """
    clock = Clock()
    own = {"network": network, "training": training, "reference": reference}
    own = {name: value for name, value in own.items() if value is not None}
    with ExitStack() as stack:
        place = path.path if isinstance(path, RunDirectory) else Path(path)
        again = path if isinstance(path, RunDirectory) else None
        if again is None and group.leads:
            again = stack.enter_context(RunDirectory(place, again=True))
        stored, missing = read_inputs(place / "declaration")
        with fitting("inputs"):
            bounds, every = limits_of(stored), float(stored["begun"]["every"])
            planned = bounds.seconds
            if not 0 <= every < math.inf:
                raise ValueError(f"{every} seconds between two checkpoints")
            hashes, made_with = dict(stored["begun"]["hashes"]), dict(stored["begun"]["versions"])
        given = _checked(own, missing) if problem_file is None else _from_file(Path(problem_file), hashes, missing)
        inputs = inputs_from_data(stored, given)
        if limits is not None:
            changed = {name: value for name, value in vars(limits).items() if value is not None}
            bounds = replace(bounds, **changed)
        saving = Saving(every if save_every is None else save_every, save_asked)
        told, words = tuple(observers), tuple(argv)
        conduct = Conduct(again, bounds, saving, plots, told, watch, notify, words, planned, group)
        if made_with != (now := versions()):
            others = ", ".join(f"{n} {made_with.get(n)} is now {v}" for n, v in now.items() if made_with.get(n) != v)
            conduct.tell(f"WARNING: {others}: the last digits may differ from those of a run that was not broken off")
        return carry_out(inputs, conduct, clock, again=place)


def limits_of(stored: State) -> Limits:
    """Return the limits that a run was begun with, from its stored inputs."""
    with fitting("limits"):
        bounds = {name: stored["begun"]["limits"][name] for name in ("seconds", "steps", "tolerance")}
        if not all(bound is None or isinstance(bound, int | float) for bound in bounds.values()):
            raise TypeError(str(bounds)[:80])
        return Limits(**bounds)


def _checked(own: dict[str, Any], missing: Mapping[str, str]) -> dict[str, Any]:
    """Return what the user gives again, if it is what is missing."""
    if surplus := sorted(set(own) - set(missing)):
        remedy = "leave it out: a run is gone on with as it was begun"
        raise InputsError(f"resume(..., {surplus[0]}=...)", "it is stored with the run", remedy)
    if lacking := [f"{name} ({why})" for name, why in missing.items() if name not in own]:
        remedy = "name the problem file, pinnsolve resume RUN PROBLEM.py; from Python, ps.resume(RUN, network=...)"
        raise InputsError("resume", f"not stored with the run: {', '.join(lacking)}", remedy)
    return own


def _from_file(path: Path, hashes: State, missing: Mapping[str, str]) -> dict[str, Any]:
    """Return what is missing of what a problem file names, if it and its tables are those that the run was begun with.

    What is stored is not built anew: a network was trained in the ansatz and scales that the problem had then.
    """
    undo = "undo the changes, or run it anew"
    if hashlib.sha256(path.read_bytes()).hexdigest() not in hashes.values():
        raise InputsError(path.name, "an edited problem: not the file that the run was begun with", undo)
    file = load_problem_file(path)
    for table in file.tables:
        if hashlib.sha256(table.read_bytes()).hexdigest() != hashes.get(table.name):
            raise InputsError(table.name, "an edited table: not the one that the run was begun with", undo)
    parts = {"network": file.network, "training": file.training, "reference": file.reference}
    if "problem" in missing:
        parts["problem"] = complete(file.problem, file.network, file.training)[0]
    return {name: part for name, part in parts.items() if name in missing}

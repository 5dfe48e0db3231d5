"""One `pinnsolve sweep`: what is tried and where it is kept, the processes, and the outcome with its exit code."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import pinnsolve
from pinnsolve.archive import write_atomically
from pinnsolve.choices import choose
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.fitting import Limits
from pinnsolve.problem_file import ProblemFile, load_problem_file
from pinnsolve.running import caught_signals
from pinnsolve.scaling import complete
from pinnsolve.sweep.judgement import Judge, hold_back
from pinnsolve.sweep.processes import supervise
from pinnsolve.sweep.ranges import Range, SweepError, read_ranges
from pinnsolve.sweep.results import Row, as_csv, as_record, as_text, rows_of, told
from pinnsolve.sweep.runs import Recipe
from pinnsolve.sweep.settings import Numerics
from pinnsolve.sweep.study import JOURNAL, Plan, SharedStudy, StudyError
from pinnsolve.sweep.work import Worker

_TRIALS, _LARGEST_GRID = 30, 100
"""Settings that are proposed where nothing is said, and most settings of a grid that is then tried whole."""

_DIVERGED, _REFUSED = 5, 3
_ABOUT = "study.json"
"""Says which sweep a folder holds."""


@dataclass(frozen=True)
class Options:
    """The options of the command line.

    Args:
        vary: What was typed behind every `--vary`.
        seeds: Runs for each setting, with the seeds from 0.
        trials: Settings to try; None for a whole grid, or 30.
        sampler: "auto", "grid", "random" or "tpe".
        seconds: Limit on the training of each run.
        max_steps: Likewise, on its steps.
        workers: Processes.
        storage: A URL or a path; None for a file in the folder.
        out: The folder; None for one below runs/.
        quick: Fewer points and steps.
        device: As for `run`.
        threads: As for `run`.
        compile: As for `run`.
        as_json: Print JSON in place of a table.
        quiet: No lines about runs.
        join: Work for another process of the sweep, which prints the outcome.
    """

    vary: tuple[str, ...]
    seeds: int
    trials: int | None
    sampler: str
    seconds: float | None
    max_steps: int | None
    workers: int
    storage: str | None
    out: Path | None
    quick: bool
    device: str
    threads: int | None
    compile: str
    as_json: bool
    quiet: bool
    join: bool


def sweep_problem_file(path: Path, options: Options) -> int:
    """Train a problem file over seeds and settings and return the exit code.

    Raises:
        ProblemError: The file, what is varied, or the storage cannot be used.
    """
    file = load_problem_file(path)
    problem, notes = hold_back(file.problem)
    declared, _ = complete(problem, file.network, file.training)
    chosen = choose(compile_problem(declared), file.network, file.training, device=options.device)
    numerics = Numerics.of(file.training, chosen)
    ranges = read_ranges(options.vary, numerics)
    plan, reason = _plan(ranges, options)
    about = _about(file, plan, options)
    folder = options.out or Path("runs") / file.name / f"sweep-{_digest(about)}"
    _occupy(folder, about)
    storage = options.storage or str(folder / JOURNAL)
    study = SharedStudy(folder, f"{file.name}-{_digest(about)}", storage, plan)
    if not (options.quiet or options.join):
        for line in (*notes, reason, f"results in {folder}; the same command again joins or goes on"):
            click.echo(line, err=True)
    with caught_signals() as signals:
        if options.workers > 1:
            code = supervise(_command(path, folder, storage, options), options.workers, signals, _tell(options))
        else:
            judge = Judge(chosen.weights, tuple(chosen.counts), numerics.training.sampling)
            limits = Limits(options.seconds, options.max_steps, stop=signals.status)
            conduct = {name: getattr(options, name) for name in ("device", "threads", "compile", "quick")}
            recipe = Recipe(file, problem, judge, folder, limits, conduct)
            Worker(study, recipe, numerics, signals, _tell(options), tuple(sys.argv)).work()
            code = 0
    if not options.join:
        outcome = _report(study, folder, [r.setting.name for r in ranges], about, as_json=options.as_json)
        code = code or signals.exit_code or outcome
    return code or signals.exit_code


def _tell(options: Options) -> Callable[[str], object]:
    return (lambda line: None) if options.quiet else (lambda line: click.echo(line, err=True))


def _plan(ranges: tuple[Range, ...], options: Options) -> tuple[Plan, str]:
    """Choose how settings are proposed, and say why."""
    listed = all(r.values for r in ranges)
    cells = math.prod(len(r.values) for r in ranges) if listed else 0
    few = listed and cells <= (options.trials or _LARGEST_GRID)
    sampler = options.sampler
    if sampler == "auto" or not ranges:  # without ranges there is one setting, whatever proposes it
        sampler = "grid" if few else "tpe"
    if sampler == "grid" and not listed:
        first = next(r.setting.name for r in ranges if not r.values)
        raise SweepError("--sampler grid", f"{first} is a range of numbers", f"list its values, {first}=a,b,c")
    if sampler == "grid" and options.trials is not None and options.trials < cells:
        found = f"{cells} settings in the grid, and --trials {options.trials}"
        raise SweepError("--sampler grid", found, "leave --trials out, or write --sampler random")
    trials = cells if sampler == "grid" else options.trials or _TRIALS
    trials = min(trials, cells) if listed else trials
    reason = {
        "grid": "all that were listed; override: --sampler tpe --trials N",
        "tpe": "proposed from those before, by trees of Parzen estimators; override: --sampler random",
        "random": "drawn at random, as asked for",
    }[sampler]
    runs = f"{trials} settings, {options.seeds} seeds each: {trials * options.seeds} runs"
    return Plan(ranges, tuple(range(options.seeds)), trials, sampler), f"{sampler}: {runs} ({reason})"


def _about(file: ProblemFile, plan: Plan, options: Options) -> dict[str, Any]:
    """Return what makes a sweep the one it is: a process with anything else of it is refused."""
    inputs = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (file.path, *file.tables)}
    vary = {r.setting.name: r.text for r in plan.ranges}
    limits = {"seconds": options.seconds, "max_steps": options.max_steps, "quick": options.quick}
    own = {"problem": file.name, "inputs": inputs, "pinnsolve": pinnsolve.__version__}
    return {**own, "vary": vary, "seeds": options.seeds, "sampler": plan.sampler, **limits}


def _digest(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]


def _occupy(folder: Path, about: Mapping[str, Any]) -> None:
    """Write down whose folder it is.

    Raises:
        StudyError: Another sweep's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / _ABOUT
    try:
        there = json.loads(place.read_bytes())
    except FileNotFoundError:
        write_atomically(place, (json.dumps(about, indent=1) + "\n").encode())
        return
    except ValueError:
        raise StudyError(str(place), "it is damaged", "choose another folder with --out") from None
    others = [key for key in about if not isinstance(there, dict) or there.get(key) != about[key]]
    if others:
        raise StudyError(str(folder), f"it holds a sweep with other {', '.join(others)}", "choose another with --out")


def _command(path: Path, folder: Path, storage: str, options: Options) -> list[str]:
    """Return the command line of a process that joins this sweep."""
    given: dict[str, Any] = {
        **{"seeds": options.seeds, "trials": options.trials, "sampler": options.sampler, "seconds": options.seconds},
        **{"max-steps": options.max_steps, "storage": storage, "out": folder, "device": options.device},
        **{"threads": options.threads, "compile": options.compile},
    }
    words = [f"--{name}={value}" for name, value in given.items() if value is not None]
    flags = [flag for flag, wanted in (("--quick", options.quick), ("-q", options.quiet)) if wanted]
    varied = [f"--vary={text}" for text in options.vary]
    return [sys.executable, "-m", "pinnsolve", "sweep", str(path), *varied, *words, *flags, "--join"]


def _report(study: SharedStudy, folder: Path, names: list[str], about: Mapping[str, Any], *, as_json: bool) -> int:
    """Write table, record and picture, print the outcome, and return the exit code."""
    tried = study.tried()
    rows = rows_of(tried)
    text = json.dumps(as_record(rows, about), indent=1, allow_nan=False) + "\n"
    write_atomically(folder / "sweep.json", text.encode())
    write_atomically(folder / "sweep.csv", as_csv(rows, names).encode())
    finite = [row for row in rows if math.isfinite(row.held_out)]
    if finite:
        from pinnsolve.drawing.sweeps import write_sweep  # here, because matplotlib is slow to import

        write_sweep(rows, names, folder / "sweep.png")
    click.echo(text if as_json else as_text(rows, names), nl=not as_json)
    for row in rows:
        if row.reason:
            click.echo(f"{told(row.values) or 'the setting'}: {row.reason}", err=True)
    open_ = sum(t.state in ("running", "waiting") for t in tried)
    if open_:
        click.echo(f"{open_} trials are still at work or wait; the same command again goes on", err=True)
    if finite:
        best = finite[0]
        values = told(best.values) or "one setting"
        click.echo(f"best by the median held-out loss: {values}; its best run is {folder / _best(best)}", err=True)
        return 0
    if any(row.runs for row in rows):
        return _DIVERGED
    return _REFUSED if rows else 0


def _best(row: Row) -> str:
    return "" if row.best is None else row.best.folder

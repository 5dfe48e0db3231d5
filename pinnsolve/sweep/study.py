"""The study: what the processes of a sweep share, kept by Optuna in a journal file or a database.

Akiba, Sano, Yanase, Ohta, Koyama, Optuna: a next-generation hyperparameter optimization framework, 2019. A trial is one setting
of what is varied, with all seeds; in a grid one setting with one seed, so that all processes have something to do. Trials are
proposed by Bergstra, Bardenet, Bengio and Kégl's tree of Parzen estimators (Algorithms for hyper-parameter optimization, 2011), at
random, or in a grid. Cells of a grid are put into Optuna's queue: its own grid sampler is not made for several processes.

A process that works on a trial holds a lock in the trial's folder, which the system lets go of when it dies, and says every half
minute that it lives. What a dead one leaves is put back into the queue with the runs it had finished.
"""

from __future__ import annotations

import itertools
import socket
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.lock import Lock, LockError
from pinnsolve.sweep.journal import MendingLock
from pinnsolve.sweep.ranges import Choices, Range, SweepError
from pinnsolve.sweep.runs import Run
from pinnsolve.sweep.settings import Value

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

SEED = "seed"
"""What the seed of a trial in a grid is called among its values; names of settings have a dot."""

JOURNAL = "study.journal"
_ATTEMPTS = 3
"""Processes that may die of a trial before it is given up: it may be what kills them."""

_PROPOSALS = 100
"""Settings proposed one after the other that were tried before, after which there are none left."""

_BEAT, _SILENCE = 30.0, 900.0
"""Seconds between two signs of life, and without any after which a process of another machine counts as dead."""

_UNNAMED = 60.0
"""Seconds after which a trial that no process has put its name to is one that died at once."""

_WAIT_FOR_DATABASE = 60.0
"""Seconds that one process waits while another writes into a SQLite file."""


_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What Optuna raises on lines that are none of its own."""


class StudyError(ProblemError):
    """A folder or a journal of another sweep, or a damaged one."""

    exit_code = 8


@dataclass(frozen=True)
class Plan:
    """What is tried; the same for all processes.

    Args:
        ranges: What is varied.
        seeds: Runs for each setting.
        trials: Settings that are tried, where they are no grid.
        sampler: "grid", "random" or "tpe".
        seed: Of what is random in the choice of settings.
    """

    ranges: tuple[Range, ...]
    seeds: tuple[int, ...]
    trials: int
    sampler: str
    seed: int = 0

    def cells(self) -> list[dict[str, Value]]:
        """Return the cells of the grid, one seed after the other; nothing where settings are proposed."""
        if self.sampler != "grid":
            return []
        names = [r.setting.name for r in self.ranges]
        lists = itertools.product(self.seeds, *(r.values for r in self.ranges))
        return [dict(zip((SEED, *names), values, strict=True)) for values in lists]


@dataclass(frozen=True)
class Tried:
    """One trial as the storage has it.

    Args:
        number: From 0 on.
        values: Of the settings, and of the seed in a grid.
        state: "waiting", "running", "done", "failed", or "dropped" for what counts nowhere.
        runs: Those finished.
        reason: Why it failed.
    """

    number: int
    values: Mapping[str, Value]
    state: str
    runs: tuple[Run, ...]
    reason: str


@dataclass(eq=False)
class Claim:
    """A trial that this process works on, until it is finished, failed or put back.

    Attributes:
        number: Of the trial.
        values: Of the settings.
        seeds: Of the runs to make.
        folder: For the run directories.
        runs: Those finished, also by a process that died.
    """

    number: int
    values: Mapping[str, Value]
    seeds: tuple[int, ...]
    folder: Path
    runs: list[Run]
    _study: optuna.Study
    _trial: optuna.Trial
    _lock: Lock
    _beaten: float = 0.0

    def beat(self, *_: Any) -> None:
        """Say that this process lives, at most every half minute."""
        if time.time() - self._beaten > _BEAT:
            self._beaten = time.time()
            self._trial.set_user_attr("seen", self._beaten)

    def add(self, run: Run) -> None:
        """Keep a finished run."""
        self.runs.append(run)
        self._trial.set_user_attr("runs", [r.as_data() for r in self.runs])

    def finish(self) -> None:
        """Tell the median of the held-out losses."""
        with _ended_by_others():
            self._study.tell(self.number, median(run.held_out for run in self.runs))
        self._lock.release()

    def fail(self, reason: str) -> None:
        """Give it up."""
        with _ended_by_others():
            self._trial.set_user_attr("reason", reason)
            self._study.tell(self.number, state=_optuna().trial.TrialState.FAIL)
        self._lock.release()

    def put_back(self) -> None:
        """Leave it to whoever comes next."""
        with _ended_by_others():
            _put_back(self._study, self._study.trials[self.number], attempt=int(self._trial.user_attrs["attempt"]))
        self._lock.release()


class SharedStudy:
    """The trials of a sweep, shared with other processes.

    Args:
        folder: Of the sweep.
        name: Of the study in the storage.
        storage: A URL of a database, or a path of a journal file.
        plan: What is tried.

    Raises:
        UnsupportedError: Optuna is not installed.
        SweepError: The storage cannot be opened.
        StudyError: The journal is damaged.
    """

    def __init__(self, folder: Path, name: str, storage: str, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self._cells = plan.cells()
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            with _without_experiments():
                self._study = optuna.create_study(
                    storage=_opened(storage), study_name=name, direction="minimize", load_if_exists=True
                )
        except _UNREADABLE as error:
            remedy = "the runs beside it are whole; begin another sweep with --out or --storage"
            raise StudyError(storage, f"it is no journal of a sweep, or a damaged one: {error}", remedy) from None
        except (ImportError, optuna.exceptions.OptunaError, *_database_errors()) as error:
            line = str(error).strip().splitlines()[0]
            remedy = "give a URL such as sqlite:///sweep.db or postgresql://host/name, or a path of a journal file"
            raise SweepError(f"--storage {storage}", line, remedy) from error

    def tried(self) -> list[Tried]:
        """Return all trials, those that count nowhere included."""
        trials = self._study.get_trials(deepcopy=False)
        replaced = {number for trial in trials for number in trial.user_attrs.get("replaces", ())}
        return [_tried(trial, trial.number in replaced) for trial in trials]

    def claim(self) -> Claim | None:
        """Return a trial for this process to work on, None where none is left; what dead processes left comes first."""
        self._revive()
        for _ in range(_PROPOSALS):
            if not self._anything_left():
                break
            if (claim := self._asked()) is not None:
                return claim
        return None

    def running(self) -> bool:
        """Return whether a process of this machine is at work on a trial."""
        host = socket.gethostname()
        return any(
            trial.user_attrs.get("host", host) == host
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state.name == "RUNNING"
        )

    def _anything_left(self) -> bool:
        """Return whether a trial waits or is to be made; a missing cell of a grid is put into the queue."""
        tried = [t for t in self.tried() if t.state != "dropped"]
        if any(t.state == "waiting" for t in tried):
            return True
        if self.plan.sampler != "grid":
            return len(tried) < self.plan.trials
        known = [dict(t.values) for t in tried]
        missing = next((cell for cell in self._cells if cell not in known), None)
        if missing is not None:
            self._study.enqueue_trial(missing)
        return missing is not None

    def _asked(self) -> Claim | None:
        """Ask for a trial and put this process's name to it; None where another process was quicker."""
        count = len(self._study.get_trials(deepcopy=False))
        with _without_experiments():
            self._study.sampler = _sampler(self.plan, count)
            trial = self._study.ask(_distributions(self.plan))
        folder = self.folder / str(trial.user_attrs.get("folder", f"{trial.number:04d}"))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = Lock(folder)
        except LockError:  # whoever was believed dead is not
            self._drop(trial, "another process is at work in its folder")
            return None
        attempt = int(trial.user_attrs.get("attempt", 1))
        named = {"host": socket.gethostname(), "folder": folder.name, "attempt": attempt, "seen": time.time()}
        for key, value in named.items():
            trial.set_user_attr(key, value)
        if surplus := self._surplus(trial.number):
            self._drop(trial, surplus)
            lock.release()
            return None
        values = dict(trial.params)
        seeds = self.plan.seeds if SEED not in values else (int(values[SEED]),)
        runs = [Run.read(data) for data in trial.user_attrs.get("runs", ())]
        return Claim(trial.number, values, seeds, folder, runs, self._study, trial, lock)

    def _surplus(self, number: int) -> str:
        """Return why a trial is not to be made, if so: two processes may ask at the same time, and the first one has it."""
        tried = [t for t in self.tried() if t.state != "dropped"]
        own = next(t for t in tried if t.number == number)
        for other in tried:
            if other.number < number and other.values == own.values:
                return f"the same as trial {other.number}"
        place = sum(other.number <= number for other in tried)
        return "one more than asked for" if self.plan.sampler != "grid" and place > self.plan.trials else ""

    def _drop(self, trial: optuna.Trial, reason: str) -> None:
        trial.set_user_attr("dropped", reason)
        self._study.tell(trial.number, state=_optuna().trial.TrialState.FAIL)

    def _revive(self) -> None:
        """Put what dead processes were at work on back into the queue."""
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.name != "RUNNING" or not self._is_silent(trial):
                continue
            folder = self.folder / str(trial.user_attrs.get("folder", f"{trial.number:04d}"))
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock = Lock(folder)
            except LockError:
                continue
            attempt = int(trial.user_attrs.get("attempt", 1)) + 1
            with _ended_by_others():
                _put_back(self._study, trial, attempt=attempt)
            lock.release()

    def _is_silent(self, trial: FrozenTrial) -> bool:
        """Return whether a trial may be a dead process's; on this machine the lock of its folder knows."""
        now, host = time.time(), trial.user_attrs.get("host")
        if host is None:
            return trial.datetime_start is None or now - trial.datetime_start.timestamp() > _UNNAMED
        return host == socket.gethostname() or now - float(trial.user_attrs["seen"]) > _SILENCE


def _put_back(study: optuna.Study, trial: FrozenTrial, *, attempt: int) -> None:
    """End a trial, and put another in its place into the queue, with the runs that are finished; not for ever."""
    study.tell(trial.number, state=_optuna().trial.TrialState.FAIL)  # fails if another process was quicker
    kept: dict[str, Any] = {key: trial.user_attrs[key] for key in ("folder", "runs") if key in trial.user_attrs}
    replaces = [*trial.user_attrs.get("replaces", ()), trial.number]
    if attempt <= _ATTEMPTS and trial.params:
        study.enqueue_trial(dict(trial.params), user_attrs={**kept, "attempt": attempt, "replaces": replaces})


def _tried(trial: FrozenTrial, replaced: bool) -> Tried:
    attributes = trial.user_attrs
    states = {"WAITING": "waiting", "RUNNING": "running", "COMPLETE": "done"}
    state = states.get(trial.state.name, "failed")
    if replaced or "dropped" in attributes or (state == "failed" and not trial.params):
        state = "dropped"
    values = trial.params or trial.system_attrs.get("fixed_params", {})
    reason = str(attributes.get("reason", "its process died, again and again")) if state == "failed" else ""
    return Tried(trial.number, dict(values), state, tuple(map(Run.read, attributes.get("runs", ()))), reason)


def _distributions(plan: Plan) -> dict[str, Any]:
    """Return what Optuna draws from."""
    kinds = _optuna().distributions
    found: dict[str, Any] = {}
    for drawn in plan.ranges:
        if isinstance(drawn, Choices) or plan.sampler == "grid":
            found[drawn.setting.name] = kinds.CategoricalDistribution(drawn.values)
        elif drawn.whole:
            found[drawn.setting.name] = kinds.IntDistribution(int(drawn.low), int(drawn.high), log=drawn.log)
        else:
            found[drawn.setting.name] = kinds.FloatDistribution(drawn.low, drawn.high, log=drawn.log)
    return {SEED: kinds.CategoricalDistribution(plan.seeds), **found} if plan.sampler == "grid" else found


def _sampler(plan: Plan, count: int) -> Any:
    """Return what proposes the next trial; seeded by how many there were, so that processes do not propose the same."""
    samplers = _optuna().samplers
    seed = (plan.seed + 7_919 * count) % 2**32
    if plan.sampler == "tpe":
        return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
    return samplers.RandomSampler(seed=seed)


def _opened(storage: str) -> Any:
    """Return the storage behind a URL of a database or a path of a journal file."""
    storages = _optuna().storages
    if "://" not in storage:
        lock = MendingLock(storages.journal.JournalFileSymlinkLock(storage), storage)
        return storages.JournalStorage(storages.journal.JournalFileBackend(storage, lock))
    options = {"connect_args": {"timeout": _WAIT_FOR_DATABASE}} if storage.startswith("sqlite") else {}
    return storages.RDBStorage(storage, engine_kwargs=options)


def _database_errors() -> tuple[type[Exception], ...]:
    from sqlalchemy.exc import SQLAlchemyError

    return (SQLAlchemyError, OSError)


@contextmanager
def _ended_by_others() -> Iterator[None]:
    """Accept that another process has ended a trial in the meantime."""
    try:
        yield
    except (ValueError, _optuna().exceptions.UpdateFinishedTrialError):
        return


@contextmanager
def _without_experiments() -> Iterator[None]:
    """Leave out that a part of Optuna may still change: this one is pinned by tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _optuna().exceptions.ExperimentalWarning)
        yield


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        found = "Optuna is not installed"
        raise UnsupportedError("sweep", found, 'install it by pip install "pinnsolve[sweep]"') from None
    return optuna

"""Checkpoints: where and when the state of a run is stored, and which one it goes on from.

A checkpoint is written as `ckpt.tmp-PID/` and takes its name, the number of steps made, when all of it is on the disk: a run that
is killed at any moment leaves the last ones as they were. The last two and the one of the lowest loss are kept; an older one goes
only after the new one has been read back. Whatever is not exactly as it was written is never used.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pinnsolve.errors import ProblemError
from pinnsolve.training.objective import out_of_memory
from pinnsolve.training.state import State, StateError, digest_of, read_head, read_state, sync_folder, write_state

EVERY = 60.0
"""Seconds of work that a run loses at most."""

_KEPT = 2
_NAME = re.compile(r"\d{9,}")
_TEMPORARY = "ckpt.tmp-"

Keep = Callable[[Callable[[], State], bool], None]
"""Called after every step with a function that returns the state to go on from, and whether it is to be stored in any case."""


class CheckpointError(ProblemError):
    """A checkpoint that is missing, damaged or of another run."""

    exit_code = 8


class StorageError(ProblemError):
    """A checkpoint that could not be written; those before it are as they were."""

    exit_code = 7


def keep_nothing(state: Callable[[], State], due: bool) -> None:
    """Store no checkpoint."""


def never() -> bool:
    """Nobody asks for a checkpoint."""
    return False


@contextmanager
def fitting(what: str) -> Iterator[None]:
    """Say what of a state does not fit, whatever is wrong with it; only a state that was crafted does not.

    Raises:
        CheckpointError: Reading the state inside failed.
    """
    try:
        yield
    except ProblemError as error:
        if error.exit_code != ProblemError.exit_code:
            raise
        found = f"its {what} does not fit: {error}"
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        found = f"its {what} does not fit: {error!r}"
    else:
        return
    raise CheckpointError("checkpoint", found, "resume with the version and the problem that wrote it")


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they are, one folder each.
        run: What tells this run from others; only its checkpoints are used.
        every: Seconds between two.
        asked: Asked after every step; true stores one and goes on.
        tell: Called with one line of text for what is out of the ordinary.
    """

    def __init__(
        self,
        folder: Path,
        *,
        run: str,
        every: float = EVERY,
        asked: Callable[[], bool] = never,
        tell: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._folder, self._run, self._every, self._asked, self._tell = folder, run, every, asked, tell
        self._last = time.perf_counter()
        self._losses: dict[Path, tuple[float, float]] = {}

    def __call__(self, state: Callable[[], State], due: bool) -> None:
        """Store the state if it is due, asked for, or time to; it names its `step`, `window` and `loss`.

        Raises:
            StorageError: There is no room, or no right to write.
        """
        if self._asked() or due or time.perf_counter() - self._last >= self._every:
            self.save(state())
            self._last = time.perf_counter()

    def save(self, state: State) -> None:
        """Store a state, read it back, and let older ones go.

        Raises:
            StorageError: There is no room, or no right to write; the checkpoints before are as they were.
        """
        head = {"run": self._run, **{key: state[key] for key in ("step", "window", "loss")}}
        target = self._folder / f"{state['step']:09d}"
        if self._use(target) is None:  # of a run that did nothing since
            return
        temporary = self._folder / f"{_TEMPORARY}{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            write_state(temporary, state, head=head)
            if target.exists():
                _set_aside(target)
            temporary.rename(target)
            sync_folder(self._folder)
            if (fault := self._use(target)) is not None:
                raise OSError(f"it does not read back: {fault}")
            self._prune()
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            last = max((path.name for path in self._all() if path != target), default=None)
            intact = "there is none before it" if last is None else f"the one of step {int(last)} is intact"
            found = f"not stored: {error.strerror or error}"
            raise StorageError(
                f"checkpoint of step {state['step']}", found, f"{intact}: make room, then resume the run"
            ) from error

    def load(self) -> dict[str, Any]:
        """Return the newest state that is as it was written, and set newer ones aside, saying so.

        Raises:
            CheckpointError: There is none.
        """
        for rest in self._folder.glob(f"{_TEMPORARY}*"):  # of a process that was killed
            shutil.rmtree(rest, ignore_errors=True)
        faults: list[tuple[Path, str]] = []
        found: dict[str, Any] | None = None
        for path in sorted(self._all(), reverse=True):
            if (fault := self._use(path)) is None and found is None:
                try:
                    found = read_state(path)[1]
                except StateError as error:
                    fault = str(error)
            if fault is not None and found is None:
                faults.append((path, fault))
        if found is None:
            told = "; ".join(f"{path.name}: {fault}" for path, fault in faults) or "there is none"
            raise CheckpointError(str(self._folder), told, "run the problem again: a run is never resumed at its start")
        for path, fault in faults:
            self._tell(f"WARNING: the newest checkpoint {path.name} is not usable: {fault}")
            self._tell(f"WARNING: going on from step {found['step']} instead; it is set aside as damaged-{path.name}")
            with suppress(OSError):
                _set_aside(path)
        return found

    def at(self, step: int) -> dict[str, Any]:
        """Return the state of one step, touching no other.

        Raises:
            CheckpointError: It is not as it was written.
        """
        path = self._folder / f"{step:09d}"
        try:
            if (fault := self._use(path)) is not None:
                raise StateError(fault)
            return read_state(path)[1]
        except StateError as error:
            remedy = "let all ranks see the folder of the run"
            raise CheckpointError(str(path), f"not usable here: {error}", remedy) from None

    def listed(self) -> list[dict[str, Any]]:
        """Return step and sum of every checkpoint there is, for the record of the run."""
        usable = [path for path in sorted(self._all()) if self._use(path) is None]
        return [{"step": int(path.name), "sha256": digest_of(path)} for path in usable]

    def _all(self) -> list[Path]:
        return [path for path in self._folder.glob("*") if _NAME.fullmatch(path.name)]

    def _use(self, path: Path) -> str | None:
        """Return why a checkpoint cannot be used, None if it can, and remember how good it is."""
        try:
            head = read_head(path)
            if head["run"] != self._run:
                return "it belongs to another run"
            loss = head["loss"]
            self._losses[path] = (-int(head["window"]), math.inf if loss is None or math.isnan(loss) else float(loss))
        except StateError as error:
            return str(error)
        except (LookupError, TypeError, ValueError) as error:
            return f"its head is damaged ({error!r})"
        return None

    def _prune(self) -> None:
        """Let all go but the last ones and the best."""
        usable = sorted(path for path in self._all() if path in self._losses)
        best = min(usable, key=lambda path: self._losses[path])  # losses in later windows come first
        for path in usable[:-_KEPT]:
            if path != best:
                doomed = self._folder / f"{_TEMPORARY}{os.getpid()}"
                path.rename(doomed)  # first, so that no half of it is ever taken for a checkpoint
                shutil.rmtree(doomed, ignore_errors=True)
                del self._losses[path]


def _set_aside(path: Path) -> None:
    """Give a damaged checkpoint a name that is none of a checkpoint's, for whoever wants to look at it."""
    aside = path.with_name(f"damaged-{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)

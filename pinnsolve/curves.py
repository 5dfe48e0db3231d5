"""Curves: how a training goes, written for TensorBoard while it does, one file of events in a run directory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from pinnsolve.errors import ProblemError
from pinnsolve.training.progress import Progress

_EVERY = 0.25
"""Seconds between two points of a curve; the first of a phase is always one."""


class CurvesError(ProblemError):
    """TensorBoard is asked for and not installed."""

    exit_code = 2


def require_tensorboard() -> None:
    """Require what writes the events.

    Raises:
        CurvesError: It is not installed.
    """
    if find_spec("tensorboard") is None:
        raise CurvesError("--tensorboard", "tensorboard is missing", "pip install 'pinnsolve[tensorboard]'")


class Curves:
    """Writes loss, mean squares of terms, held-out loss, error, unknowns and rate against steps; used as a context.

    Args:
        folder: Where the file of events goes. Of a run that is gone on with, TensorBoard drops what was written of later steps.

    Raises:
        CurvesError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter  # here, because it takes seconds

        self._begin: Callable[[int], Any] = lambda step: SummaryWriter(str(folder), purge_step=step)
        self._writer: Any = None
        self._last, self._phase = -_EVERY, ""
        self._errors: Mapping[str, float] = {}

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def watch(self, errors: Mapping[str, float]) -> None:
        """Take in the error of every field against the reference."""
        self._errors = errors

    def observe(self, progress: Progress) -> None:
        """Write a point of every curve, if it is time to or the last step."""
        now = time.monotonic()
        last = progress.step == progress.total_steps
        if now - self._last < _EVERY and progress.phase == self._phase and not progress.event and not last:
            return
        self._last, self._phase = now, progress.phase
        self._writer = self._writer or self._begin(progress.step)
        points = {"loss/training": progress.loss, f"rate/{progress.phase}": progress.rate}
        points |= {f"mean square/{name}": square for name, square in progress.terms.items()}
        points |= {f"unknown/{name}": value for name, value in progress.unknowns.items()}
        points |= {f"relative L2 error/{name}": error for name, error in self._errors.items()}
        if progress.held_out is not None:
            points["loss/held out"] = progress.held_out
        for name, value in points.items():
            self._writer.add_scalar(name, value, progress.step)
        if progress.event:
            self._writer.add_text("events", progress.event, progress.step)

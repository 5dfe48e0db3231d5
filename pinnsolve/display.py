"""Progress of a run: a live line on a terminal, one plain line every ten seconds elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from itertools import islice
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pinnsolve.training.loop import Progress

_PLAIN_EVERY = 10.0
_LIVE_EVERY = 0.25
_MOST_UNKNOWNS = 4


def print_aside(line: str) -> None:
    """Print one line of text on stderr."""
    print(line, file=sys.stderr, flush=True)


def progress_line(progress: Progress, errors: Mapping[str, float], limit: float | None) -> str:
    """Return in one line where a run is, with its errors against the reference and the time that is left."""
    parts = [
        f"{progress.phase} step {progress.step}/{progress.total_steps}",
        f"loss {progress.loss:.2e}",
        *([] if progress.held_out is None else [f"held-out {progress.held_out:.2e}"]),
        *(f"error {name} {error:.1e}" for name, error in errors.items()),
        *(f"{name} {value:.4g}" for name, value in islice(progress.unknowns.items(), _MOST_UNKNOWNS)),
        f"{progress.steps_per_second:.1f} steps/s",
        f"{_left(progress, limit)} left",
    ]
    return "  ".join(parts)


class _Terminal(Console):
    """A console whose reader may leave: the run goes on, and nobody is told."""

    def on_broken_pipe(self) -> None:
        """Fall silent, where rich would end the program."""
        self.quiet = True


class Display:
    """Shows the progress of one run; used as a context.

    Args:
        quiet: Show nothing but warnings.
        limit: Seconds of training at most, for the time that is left.
        stream: Where to, stderr by default.
    """

    def __init__(self, *, quiet: bool = False, limit: float | None = None, stream: TextIO | None = None) -> None:
        self.quiet, self.limit = quiet, limit
        self.console = _Terminal(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self.errors: Mapping[str, float] = {}
        self._live: Live | None = None
        self._last = 0.0
        self._previous_phase = ""

    def __enter__(self) -> Display:
        if self.console.is_terminal and not self.quiet:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, line: str) -> None:
        """Print one line: a choice, an event, a result."""
        if not self.quiet:
            self.console.print(Text(line))

    def watch(self, errors: Mapping[str, float]) -> None:
        """Take in the error against the reference."""
        self.errors = errors

    def observe(self, progress: Progress) -> None:
        """Show the progress, if it is time to."""
        if progress.event:
            self.note(f"step {progress.step}: {progress.event}")
        if self.quiet:
            return
        now = time.monotonic()
        every = _PLAIN_EVERY if self._live is None else _LIVE_EVERY
        if now - self._last < every and progress.phase == self._previous_phase:
            return
        self._last, self._previous_phase = now, progress.phase
        if self._live is None:
            self.console.print(Text(progress_line(progress, self.errors, self.limit)))
        else:
            self._live.update(self._table(progress))

    def _table(self, progress: Progress) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_row(Text(progress_line(progress, self.errors, self.limit)))
        terms = sorted(progress.terms.items(), key=lambda item: -item[1])
        squares = "  ".join(f"{name} {value:.1e}" for name, value in terms)
        table.add_row(Text(f"mean squares, not weighed:  {squares}", style="dim"))
        return table


def _left(progress: Progress, limit: float | None) -> str:
    pace = max(progress.steps_per_second, 1e-9)
    seconds = (progress.total_steps - progress.step) / pace
    if limit is not None:
        seconds = min(seconds, limit - progress.seconds)
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"

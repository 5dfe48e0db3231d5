"""Progress in a notebook: one output of a cell that is updated while a run goes on, and holds its outcome in the end."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Mapping
from typing import Any

from pinnsolve.display import progress_line
from pinnsolve.training.progress import Progress

_EVERY = 0.5
"""Seconds between two updates."""

_MOST_TERMS = 12
"""Terms shown, the largest."""


def in_notebook() -> bool:
    """Return whether this runs in the kernel of a notebook, which knows how to update an output."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class NotebookDisplay:
    """Shows the progress of one run in one output.

    Args:
        limit: Seconds of training at most, for the time that is left.
    """

    def __init__(self, *, limit: float | None = None) -> None:
        self._limit = limit
        self._errors: Mapping[str, float] = {}
        self._notes: list[str] = []
        self._text, self._bar, self._terms = "preparing", "", ""
        self._last = time.monotonic()
        self._handle: Any = None
        self._show()

    def note(self, line: str) -> None:
        """Take in a choice or an event."""
        self._notes.append(line)
        self._show()

    def watch(self, errors: Mapping[str, float]) -> None:
        """Take in the error against the reference."""
        self._errors = errors

    def observe(self, progress: Progress) -> None:
        """Show the progress, if it is time to."""
        if progress.event:
            self._notes.append(f"step {progress.step}: {progress.event}")
        now = time.monotonic()
        if now - self._last < _EVERY:
            return
        self._last = now
        self._text = progress_line(progress, self._errors, self._limit)
        self._bar = f"<progress value='{progress.step}' max='{progress.total_steps}' style='width:30em'></progress><br>"
        terms = sorted(progress.terms.items(), key=lambda item: -item[1])[:_MOST_TERMS]
        self._terms = "mean squares, not weighed: " + ", ".join(f"{name} {square:.1e}" for name, square in terms)
        self._show()

    def end(self, outcome: str) -> None:
        """Leave the outcome in place of the progress."""
        self._text, self._bar, self._terms = outcome, "", ""
        self._show()

    def _show(self) -> None:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self._notes)
        told = f"<details><summary>choices and events</summary><ul>{notes}</ul></details>" if notes else ""
        terms = f"<br><small>{html.escape(self._terms)}</small>" if self._terms else ""
        page = f"<div>{self._bar}{html.escape(self._text)}{terms}{told}</div>"
        contents = {"text/plain": self._text, "text/html": page}
        if self._handle is None:
            from IPython.display import display

            self._handle = display(contents, raw=True, display_id=True)
        else:
            self._handle.update(contents, raw=True)

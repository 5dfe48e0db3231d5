"""A limit on the processor time that one random trial of a campaign may take."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class TooSlow(BaseException):
    """What a declaration took too long over; no `except Exception` swallows it."""


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Interrupt what takes longer, by the time of this process alone: others may keep its processor busy."""

    def interrupt(*_: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)  # again, where a callback swallows the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)

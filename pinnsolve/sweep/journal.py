"""The journal: the file into which the processes of a sweep write what they do, and what a full disk leaves of a line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_BLOCK = 65_536
"""Bytes read at once, from the end, in search of the last whole line."""


class MendingLock:
    """A lock of a journal that cuts off the beginning of a line that was never ended, before another is written behind it.

    A process that dies while it writes, or finds the disk full, leaves one; with a line behind it none could be read any more.

    Args:
        lock: Optuna's own, which is held meanwhile.
        path: The journal.
    """

    def __init__(self, lock: Any, path: str | Path) -> None:
        self._lock, self._path = lock, Path(path)

    def acquire(self) -> bool:
        """Wait for the lock, and mend the file."""
        held = bool(self._lock.acquire())
        with self._path.open("rb+") as stream:
            size = end = stream.seek(0, os.SEEK_END)
            while end:
                begin = max(0, end - _BLOCK)
                stream.seek(begin)
                found = stream.read(end - begin).rfind(b"\n")
                if found >= 0:
                    end = begin + found + 1
                    break
                end = begin
            if end < size:
                stream.truncate(end)
        return held

    def release(self) -> None:
        """Let go."""
        self._lock.release()

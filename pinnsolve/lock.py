"""The lock of a folder: one process at a time, which the system lets go of when it dies, however it does.

The file names who holds it, by the number of the process and when it began, for whoever is refused. Who takes over what a process
left that was killed is told so. Where the system has no such locks, as on some file systems of networks, nothing is held.
"""

from __future__ import annotations

import json
import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pinnsolve.errors import ProblemError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

_NAME = "lock"


class LockError(ProblemError):
    """A folder that another process is at work in."""

    exit_code = 8


class Lock:
    """A lock that is held from its construction until `release`, or until it or the process is no more.

    Args:
        folder: Which must exist.
        tell: Called with one line of text when a dead process had left it.

    Raises:
        LockError: Another process holds it.
    """

    def __init__(self, folder: Path, tell: Callable[[str], object] = lambda line: None) -> None:
        self._path = folder / _NAME
        descriptor = self._acquired()
        self._close = weakref.finalize(self, os.close, descriptor)
        if (left := _read(descriptor)) is not None:
            tell(f"{self._path} was left by process {left['pid']}, which is no more: taken over")
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps({"pid": os.getpid(), "began": _beginning()}).encode())

    def release(self) -> None:
        """Let go."""
        if self._close.alive:
            self._path.unlink(missing_ok=True)  # while it is held, so that nobody's lock is taken away
            self._close()

    def _acquired(self) -> int:
        """Open the file, and hold it."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = _read(descriptor) or {"pid": "of unknown number", "began": "at an unknown time"}
                os.close(descriptor)
                found = f"process {owner['pid']}, begun {owner['began']}, is at work in it"
                raise LockError(str(self._path.parent), found, "wait for its end, or choose another folder") from None
            except OSError:  # this file system has no locks
                return descriptor
            if self._path.exists() and os.path.samestat(os.fstat(descriptor), self._path.stat()):
                return descriptor
            os.close(descriptor)  # its owner let go of it, and removed it, in between


def _read(descriptor: int) -> dict[str, Any] | None:
    """Return who is written down as the owner, if anybody legible is."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = json.loads(os.read(descriptor, 1_000))
        return {"pid": int(owner["pid"]), "began": str(owner["began"])[:40]}
    except (ValueError, TypeError, LookupError):
        return None


def _beginning() -> str:
    """Return when this process began, in UTC: the number of a process alone is soon another's."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):  # a system that does not tell: about now
        age = 0.0
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() - age))

"""Processes: several that work on one sweep, signals handed on to them, and others in place of those that die."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from pinnsolve.running import Signals

_REPLACEMENTS = 3
"""Processes started in place of one that died, for each of those asked for."""

_LOOK = 0.2
"""Seconds between two looks at the processes."""

_SIGNALLED = 128


def supervise(command: Sequence[str], count: int, signals: Signals, tell: Callable[[str], object]) -> int:
    """Start processes, wait for their ends, and return the first exit code that is not 0 nor that of a signal handed on.

    Args:
        command: Of each.
        count: How many.
        signals: Handed on once each: the processes are in sessions of their own, so that a terminal reaches this one alone.
        tell: Called with one line of text when one dies.
    """
    running = [_started(command) for _ in range(count)]
    replacements, handed_on, code = count * _REPLACEMENTS, 0, 0
    try:
        while running:
            time.sleep(_LOOK)
            if signals.exit_code and not handed_on:
                handed_on = signals.exit_code
                for process in running:
                    process.send_signal(handed_on - _SIGNALLED)
            ended = [process for process in running if process.poll() is not None]
            running = [process for process in running if process not in ended]
            for process in ended:
                died = process.returncode < 0
                if died and not handed_on and replacements:
                    replacements -= 1
                    tell(f"process {process.pid} died by signal {-process.returncode}; another takes its place")
                    running.append(_started(command))
                elif process.returncode not in (0, handed_on):
                    code = code or (1 if died else process.returncode)
    except KeyboardInterrupt:  # a second signal stops at once
        for process in running:
            process.send_signal(signal.SIGKILL)
            process.wait()
        raise
    return code


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # The command is this program's own; what it prints on stdout would be a second outcome.
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603

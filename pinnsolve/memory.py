"""Memory of the process: freed blocks are kept for the next step, which asks for the same ones again."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Names of `mallopt`, from the GNU C library's malloc.h."""

_LARGEST_FROM_HEAP = 32 * 2**20
"""The most that the library allows for blocks that are not mapped on their own."""

_KEPT = 2**30
"""Free memory at the end of the heap up to which nothing is given back to the system."""


def keep_freed_memory() -> bool:
    """Ask the C library not to give freed memory back and fetch it anew in every step.

    Each page that comes anew is cleared by the system first, which took a fifth of a training step. It concerns the whole process,
    so that only programs of our own ask for it, never an import.

    Returns:
        Whether the library has such a setting.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_FROM_HEAP) and mallopt(_M_TRIM_THRESHOLD, _KEPT))

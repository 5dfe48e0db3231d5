"""Memory of the process: what tensors free is kept for those of the next step.

By itself glibc returns the memory of a large tensor to the kernel as soon as the tensor is gone, and the next one asks for it again
page by page, each filled with zeros first: tens of thousands of pages in a gradient at 10,000 points, up to a third of its time.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""Parameters of mallopt(3), as malloc.h numbers them."""

_KEPT = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}
"""Free memory is kept, up to 2 GiB of it at the end of the heap, and no tensor is mapped by itself."""

_USUAL = {_TRIM_THRESHOLD: 64 * 2**20, _MMAP_THRESHOLD: 32 * 2**20, _MMAP_MAX: 65_536}
"""What glibc's own thresholds, which follow the sizes that are freed, come to in a program of large tensors."""


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep memory that is freed inside for what is asked for next, and return to the kernel afterwards what is free by then.

    It holds for the whole process. Where the C library is not glibc nothing is done.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    _set(library, _KEPT)
    try:
        yield
    finally:
        _set(library, _USUAL)
        library.malloc_trim(0)


def _set(library: ctypes.CDLL, parameters: Mapping[int, int]) -> None:
    for parameter, value in parameters.items():
        library.mallopt(parameter, value)

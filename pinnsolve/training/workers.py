"""Workers: threads that evaluate chunks of points side by side, each by itself.

Threads that share every product and every sum of one chunk wait for each other hundreds of times in a step, and read from each
other's caches what they wrote. A chunk for each of them needs neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Workers:
    """Threads that are started when they are first needed.

    Attributes:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count)

    def map(self, evaluate: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
        """Return what a function makes of every item, in their order; all have ended when one of them raises what it found.

        Where torch is to use one thread, that of the caller does it all.
        """
        with single_threaded() as before:
            if min(self.count, before, len(items)) == 1:
                return [evaluate(item) for item in items]
            futures = [self._pool.submit(_alone, evaluate, item) for item in items]
            wait(futures)
        return [future.result() for future in futures]


@contextmanager
def single_threaded() -> Iterator[int]:
    """Use one thread of torch inside, and as many as before afterwards, which it yields."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def _alone(evaluate: Callable[[_Item], _Result], item: _Item) -> _Result:
    torch.set_num_threads(1)  # OpenMP has a number for every thread
    return evaluate(item)

"""Workers: threads that evaluate chunks of points side by side, each by itself.

Threads that share every product and every sum of one chunk wait for each other hundreds of times in a step, and read from each
other's caches what they wrote. A chunk for each of them needs neither.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

_Item = TypeVar("_Item")
Parts = tuple[Tensor, ...]
"""What each of several chunks adds to several sums."""


class Workers:
    """Threads that are started when they are first needed.

    Attributes:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count)

    def total(self, evaluate: Callable[[_Item], Parts], items: Sequence[_Item]) -> Parts:
        """Return the sums over all items of the tensors that a function makes of each, added in the order of the items.

        Where torch is to use one thread, that of the caller does it all. All have ended when one of them raises what it found.
        """
        with single_threaded() as before:
            if min(self.count, before, len(items)) == 1:
                return added(evaluate(item) for item in items)
            futures = deque(self._pool.submit(_alone, evaluate, item) for item in items)
            try:
                return added(_in_order(futures))
            finally:
                wait(futures)


def added(parts: Iterable[Parts]) -> Parts:
    """Return the sums of tensors that come one tuple after the other."""
    parts = iter(parts)
    sums = next(parts)
    for more in parts:
        sums = tuple(one + other for one, other in zip(sums, more, strict=True))
    return sums


@contextmanager
def single_threaded() -> Iterator[int]:
    """Use one thread of torch inside, and as many as before afterwards, which it yields."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def _alone(evaluate: Callable[[_Item], Parts], item: _Item) -> Parts:
    torch.set_num_threads(1)  # OpenMP has a number for every thread
    return evaluate(item)


def _in_order(futures: deque[Future[Parts]]) -> Iterator[Parts]:
    while futures:
        yield futures.popleft().result()

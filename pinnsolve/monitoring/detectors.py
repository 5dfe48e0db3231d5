"""Detectors of change: frozen descriptions with a pure `update`, from a state and a value to the next state and perhaps a change.

Both look for a rise of the mean of values that are standardised, of mean 0 and standard deviation 1 as long as nothing changes:
a misfit that falls is no reason to act.

Page (1954), Biometrika 41, 100, in the form with a running mean named after Hinkley: with the mean of the first k values x̄_k,

    S_k = sum_{i<=k} (x_i - x̄_i - tolerance),        alarm when S_k - min_{i<=k} S_i > threshold.

Bifet and Gavaldà, Learning from time-changing data with adaptive windowing, SIAM International Conference on Data Mining 2007:
a window grows until two parts of it, of n_0 and n_1 values, differ in mean by more than chance explains,

    eps = sqrt(2 s² / m ln(2 / d)) + 2 R / (3 m) ln(2 / d),     1 / m = 1 / n_0 + 1 / n_1,     d = confidence / ln n,

for values of variance s² in a range of length R; then its older part is dropped. The window is kept as buckets whose lengths are
powers of two (their exponential histogram), so that memory and time grow with the logarithm of its length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from pinnsolve.errors import ProblemError

_BUCKETS = 5
"""Buckets of one length that are kept before two are joined: M of the paper."""

_RANGE = 4.0
"""Standard deviations at which ADWIN cuts a value off: its bound is one for bounded values."""

_SHORTEST = 5
"""Values that a part of ADWIN's window has at least."""


@dataclass(frozen=True)
class Change:
    """A change that was noticed.

    Attributes:
        at: Number of the value at which it was noticed, from 1.
        since: Number of the first value after it, as far as can be told.
    """

    at: int
    since: int


@runtime_checkable
class Detector(Protocol):
    """A rule that tells a change of the mean from chance."""

    def start(self) -> Any:
        """Return the state before the first value."""
        ...

    def update(self, state: Any, value: float) -> tuple[Any, Change | None]:
        """Return the state after a value, and the change if one is noticed; the state given stays as it is."""
        ...


@dataclass(frozen=True)
class Sums:
    """What Page and Hinkley's test remembers: how many values, their mean, S, its minimum, and after which value that was."""

    count: int = 0
    mean: float = 0.0
    sum: float = 0.0
    least: float = 0.0
    least_at: int = 0


@dataclass(frozen=True)
class PageHinkley:
    """Page and Hinkley's test for a rise of the mean.

    A rise by D standard deviations is noticed after about threshold / (D - tolerance) values, one below the tolerance hardly ever.
    Without a change, normal values of known mean raise an alarm once in (exp(2 a h) - 2 a h - 1) / (2 a²) values on the
    average, with a the tolerance and h = threshold + 1.166 (Siegmund, Sequential analysis, 1985, section II.6): 2e7 as set here.

    Attributes:
        tolerance: Rise of the mean that is none, in standard deviations.
        threshold: Sum beyond the tolerance that is an alarm, in standard deviations.

    Raises:
        ProblemError: A number that is not positive.

    Example:
        >>> detector, changes = ps.PageHinkley(), []
        >>> state = detector.start()
        >>> for number in range(100):
        ...     state, change = detector.update(state, 0.0 if number < 50 else 3.0)
        ...     changes += [change] if change else []
        >>> changes[0].since
        51
    """

    tolerance: float = 0.5
    threshold: float = 15.0

    def __post_init__(self) -> None:
        for name in ("tolerance", "threshold"):
            if not 0 < getattr(self, name) < math.inf:
                raise ProblemError("PageHinkley", f"{name}={getattr(self, name)!r}", "write a positive number")

    def start(self) -> Sums:
        """Return the state before the first value."""
        return Sums()

    def update(self, state: Sums, value: float) -> tuple[Sums, Change | None]:
        """Add a value to the sum; after an alarm the state is that before the first value."""
        count = state.count + 1
        mean = state.mean + (value - state.mean) / count
        total = state.sum + value - mean - self.tolerance
        if total - state.least > self.threshold:
            return Sums(), Change(count, state.least_at + 1)
        least, least_at = (total, count) if total < state.least else (state.least, state.least_at)
        return Sums(count, mean, total, least, least_at), None


@dataclass(frozen=True)
class Bucket:
    """Consecutive values: how many, their mean, and the sum of their squared deviations from it."""

    count: int
    mean: float
    spread: float

    def joined(self, other: Bucket) -> Bucket:
        """Return both as one."""
        count, apart = self.count + other.count, other.mean - self.mean
        mean = self.mean + apart * other.count / count
        return Bucket(count, mean, self.spread + other.spread + apart**2 * self.count * other.count / count)


@dataclass(frozen=True)
class Window:
    """What ADWIN remembers: values seen, and those of its window in buckets, the oldest first."""

    count: int = 0
    buckets: tuple[Bucket, ...] = field(default=())


@dataclass(frozen=True)
class ADWIN:
    """Adaptive windowing of Bifet and Gavaldà for a rise of the mean.

    Attributes:
        confidence: Bound on the probability of a false alarm at one value; smaller is later.

    Raises:
        ProblemError: A confidence that is no probability.

    Example:
        >>> detector, changes = ps.ADWIN(), []
        >>> state = detector.start()
        >>> for number in range(100):
        ...     state, change = detector.update(state, 0.0 if number < 50 else 3.0)
        ...     changes += [change] if change else []
        >>> changes[0].since
        49
    """

    confidence: float = 1e-2

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ProblemError("ADWIN", f"confidence={self.confidence!r}", "write a small probability such as 0.01")

    def start(self) -> Window:
        """Return the state before the first value."""
        return Window()

    def update(self, state: Window, value: float) -> tuple[Window, Change | None]:
        """Lengthen the window by a value, then drop its older part as long as the newer has a higher mean."""
        kept = _joined([*state.buckets, Bucket(1, min(max(value, -_RANGE), _RANGE), 0.0)])
        count, dropped = state.count + 1, 0
        while cut := self._cut(kept):
            kept, dropped = kept[cut:], dropped + cut
        change = Change(count, count - sum(bucket.count for bucket in kept) + 1) if dropped else None
        return Window(count, tuple(kept)), change

    def _cut(self, buckets: Sequence[Bucket]) -> int:
        """Return before how many of the buckets the mean rises beyond chance; 0 for nowhere."""
        n = sum(bucket.count for bucket in buckets)
        if n < 2 * _SHORTEST:
            return 0
        total = sum(bucket.count * bucket.mean for bucket in buckets)
        spread = sum(b.spread + b.count * (b.mean - total / n) ** 2 for b in buckets)
        log = math.log(2 * math.log(n) / self.confidence)
        count, part = 0, 0.0
        for number, bucket in enumerate(buckets[:-1], start=1):
            count += bucket.count
            part += bucket.count * bucket.mean
            rest = n - count
            if min(count, rest) < _SHORTEST:
                continue
            inverse = 1 / count + 1 / rest
            rise = (total - part) / rest - part / count
            if rise > math.sqrt(2 * spread / n * inverse * log) + 2 / 3 * 2 * _RANGE * inverse * log:
                return number
        return 0


def _joined(buckets: list[Bucket]) -> list[Bucket]:
    """Join the two oldest buckets of a length while there are too many of it; lengths fall from the oldest on."""
    length, end = 1, len(buckets)
    while True:
        begin = end
        while begin and buckets[begin - 1].count == length:
            begin -= 1
        if end - begin <= _BUCKETS:
            return buckets
        buckets[begin : begin + 2] = [buckets[begin].joined(buckets[begin + 1])]
        length, end = 2 * length, begin + 1

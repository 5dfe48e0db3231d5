"""Sample size: how many points the steps of a Gauss-Newton method are made on, few at first and more where they are too few.

A step costs by its points. The way to the basin asks little of the residual, so it begins with some of them; and where steps on
ever new points no longer lower the held-out loss, what they find is the noise of a draw, which more points lessen. Byrd, Chin,
Nocedal and Wu, Sample size selection in optimization methods for machine learning, 2012, enlarge samples for the same reason; they
measure the noise by the variance of gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pinnsolve.training.progress import Progress
from pinnsolve.training.state import State

_FIRST, _FEWEST = 0.4, 100
"""Part of the points to begin with, and how many of a term there are at least."""

_GROWTH, _LARGEST = 1.5, 4.0
"""Factor by which samples grow, and up to what multiple of the points that were chosen."""

_WAIT = 40
"""Steps without a lower held-out loss after which samples grow. Burgers' equation ends at 1.5e-6 after 200 s by these, at 4.4e-6
where samples grow once the median loss of 75 steps is no lower than of those before (seed 0, 20 units a layer)."""


@dataclass(frozen=True)
class Growing:
    """What grows, and from when on.

    Args:
        terms: Names of terms whose number of points was chosen.
        beginning: Steps, of all phases, that are made on the first points.
    """

    terms: tuple[str, ...]
    beginning: int

    def counts(self, whole: Mapping[str, int], share: float) -> dict[str, int]:
        """Return the number of points of every term, by those of the whole."""
        least = {name: min(_FEWEST, whole[name]) for name in self.terms}
        return {**whole, **{name: max(least[name], round(share * whole[name])) for name in self.terms}}


class SampleSize:
    """The part of the points that is in use; it follows the held-out loss, which it is told after every step.

    Args:
        growing: From when on samples may grow beyond the whole.
        tell: Called with one line whenever they do.
    """

    def __init__(self, growing: Growing, tell: Callable[[str], object]) -> None:
        self.growing, self._tell = growing, tell
        self.share = _FIRST
        self._lowest, self._since = math.inf, 0

    def observe(self, progress: Progress) -> None:
        """Note whether a step has lowered the held-out loss."""
        if progress.held_out is not None and progress.held_out < self._lowest:
            self._lowest, self._since = progress.held_out, progress.step

    def update(self, step: int, *, growing: bool = True) -> None:
        """Choose the part for the steps after so many.

        Args:
            step: How many were made, of all phases.
            growing: Whether it may grow beyond the whole, and beyond what it is.
        """
        if step < self.growing.beginning:
            return
        if self.share < 1:
            self.share, self._since = 1.0, step
            self._tell(
                f"step {step}: all points of the equations from now on, {1 / _FIRST:g} times those of the first steps"
            )
        elif growing and self.share < _LARGEST and step - self._since >= _WAIT:
            self.share, self._since = min(_GROWTH * self.share, _LARGEST), step
            self._tell(
                f"step {step}: {self.share:.3g} times the points, as {_WAIT} steps did not lower the held-out loss"
            )

    def state(self) -> dict[str, Any]:
        """Return what the next draw depends on, for a checkpoint."""
        return {"share": self.share, "lowest": self._lowest, "since": self._since}

    def load(self, state: State) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: It is no part of the points.
        """
        self.share, self._lowest, self._since = float(state["share"]), float(state["lowest"]), int(state["since"])
        if not 0 < self.share <= _LARGEST:
            raise ValueError(f"a sample of {self.share} times the points")

"""Draws: the points of a training, and what else begins anew with each draw: sampled directions, steps in pseudo-time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from pinnsolve.compiler.trial import Trial
from pinnsolve.jets import SampledDerivatives
from pinnsolve.points import TermPoints
from pinnsolve.pseudo_time import PseudoTime
from pinnsolve.sample_size import SampleSize
from pinnsolve.stagnation import Stagnation
from pinnsolve.training.loop import Observer
from pinnsolve.training.state import State


class Draws:
    """The points in use, and what follows from them.

    Args:
        points: Draws them.
        trial: Gives the residuals that decide.
        sampled: Derivatives of which each draw evaluates others, if any.
        stagnation: Watches the residuals, if anything does.
        pseudo_time: Makes a step with each draw, if anything does.
        size: How many points there are in each draw; None for always the same.
    """

    def __init__(
        self,
        points: TermPoints,
        trial: Trial,
        sampled: SampledDerivatives | None,
        stagnation: Stagnation | None,
        pseudo_time: PseudoTime | None,
        size: SampleSize | None = None,
    ) -> None:
        self._whole, self._points, self._trial, self._sampled = points, points, trial, sampled
        self._size = size
        self._stagnation, self._pseudo_time = stagnation, pseudo_time
        self.current: Mapping[str, Tensor] = {}
        """As the declared terms read them."""

    @property
    def observers(self) -> list[Observer]:
        """What is to be called after every step."""
        return [] if self._size is None else [self._size.observe]

    def stuck(self) -> bool:
        """Return whether the training is known to solve nothing."""
        return self._stagnation is not None and self._stagnation.stuck_at is not None

    def first(self) -> Mapping[str, Tensor]:
        """Return the points to begin with, as the trained terms read them."""
        self._resize(0)
        self.current = self._points.training()
        return self._extended()

    def redraw(self, number: int) -> Mapping[str, Tensor]:
        """Return others; different numbers give different ones."""
        if self._sampled is not None:
            self._sampled.redraw(number)
        self._resize(number)
        self.current = self._points.redraw(self._trial, number, current=self.current)
        return self._extended()

    def state(self) -> dict[str, Any]:
        """Return the points in use and all that the next draw depends on, for a checkpoint."""
        return {
            "current": self.current,
            "sampled": None if self._sampled is None else self._sampled.number,
            "stagnation": None if self._stagnation is None else self._stagnation.state(),
            "pseudo_time": None if self._pseudo_time is None else self._pseudo_time.state(),
            "size": None if self._size is None else self._size.state(),
        }

    def load(self, state: State) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: There are more or fewer points than are drawn, or of other terms.
        """
        if self._size is not None:
            self._size.load(state["size"])
            self._resize(None)
        current, terms = dict(state["current"]), {term.name for term in self._points.compiled.terms}
        counted = {name: count for name, count in self._points.counts.items() if name in terms}
        if not set(counted) <= set(current) <= terms:
            raise ValueError(f"points of {sorted(current)} for the terms {sorted(terms)}")
        for name, count in counted.items():
            if len(current[name]) != count:
                raise ValueError(f"{len(current[name])} points of {name}, of which {count} are drawn")
        self.current = current
        if self._sampled is not None:
            self._sampled.redraw(int(state["sampled"]))
        if self._stagnation is not None:
            self._stagnation.load(state["stagnation"])
        if self._pseudo_time is not None:
            self._pseudo_time.load(state["pseudo_time"])

    def _resize(self, step: int | None) -> None:
        """Draw as many points from now on as there are to be after so many steps; without these, as there are."""
        if self._size is None:
            return
        if step is not None:
            self._size.update(
                step, growing=not self.stuck()
            )  # begun again, a training is above its lowest loss for long
        share = self._size.share
        counts = self._size.growing.counts(self._whole.counts, share)
        if counts != self._points.counts:
            self._points = replace(self._whole, counts=counts)

    def _extended(self) -> Mapping[str, Tensor]:
        if self._stagnation is not None:
            self._stagnation.watch(self.current)
        return self.current if self._pseudo_time is None else self._pseudo_time.advance(self.current)

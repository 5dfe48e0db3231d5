"""The schedule: how many points, which phases in which order, which weights. Frozen, and checked when it is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from pinnsolve.domains.spreading import METHODS, Graded
from pinnsolve.errors import ProblemError
from pinnsolve.training.phase import Phase
from pinnsolve.training.weighting import Weighting

SAMPLINGS = METHODS
"""Ways to spread points over a region."""

RESAMPLINGS = ("rad", "r3", "uniform")
"""Ways to redraw the points of equations."""


@dataclass(frozen=True)
class Training:
    """The numerics of a run; whatever is left out is chosen from the problem.

    Attributes:
        points: Number of points per term. That of an equation which is left out grows if the last phase is `LevenbergMarquardt`
            with points redrawn at every step: from two fifths of what is chosen, later where the held-out loss falls no more.
        phases: What to do, in order. Beside noisy measurements that are given no weight, a last phase of second order runs in
            two halves: measurements weigh less in the second.
        weights: Factor on the mean square of a term, in place of its default: 1 for equations, 100 for conditions and
            measurements. What is not named keeps it.
        sampling: One of `SAMPLINGS`, or `Graded(thickness=0.05)`, which draws half of the points in a layer along the boundary.
        resample: Steps between two draws of the points, for all phases that do not say so themselves; 0 keeps them.
        resampling: How the points of equations are redrawn; those of conditions are spread afresh. "rad" chooses among four times
            as many, with the probability of each proportional to |r| / mean |r| + 1 (Wu et al. 2023, equation 2); "r3" keeps those
            where |r| exceeds the mean and spreads the others afresh (Daw et al. 2023, algorithm 1); "uniform" spreads all.
        weighting: How weights of terms, `GradientNorm` and `NTK`, or of points, `Causal`, `ResidualAttention` and `SelfAdaptive`,
            change during the training; they multiply `weights`. None: not at all.
        windows: Number of successive ranges of a coordinate in which an evolution is solved, `{t: 8}`: the first by all phases,
            those after it by the last phase, each with all points and from where the one before ended. `{t: 1}`: all at once.
            None: chosen from the problem where the phases are.
        pseudo_time: First step of an implicit march in pseudo-time towards r = 0: every equation reads r + s (u - u_before) / step
            = 0 with the u_before of the last draw of the points, and steps grow as the residual falls (Cao and Zhang 2023; Kelley
            and Keyes 1998). Which field u and which sign s an equation has follows from its short waves. Infinite: r = 0 at once.
            None: chosen from the problem where the phases are.
        directions: In high dimension, how many terms of a long sum of derivatives, such as a Laplacian, are evaluated: others in
            every draw of the points, scaled up. The estimate is unbiased, with the variance d²/k (1 - k/d) s² for k of d terms of
            sample variance s²; its square is not. None: all.
        patience: Steps without a lower loss on held-out points, and on held-out observations where there is a `split`, after which
            a phase ends. None: any number, but 500 where the phases are chosen and the time is limited; the best state is kept all
            the same.
        scaling: Whether fields and residuals far from size one are scaled by what the declaration tells of their sizes.

    Raises:
        ProblemError: A count that is not positive, an unknown way of sampling, a phase or weighting that is none.

    Example:
        >>> phases = [ps.Adam(steps=200, lr=5e-3), ps.LBFGS(steps=500)]
        >>> training = ps.Training(points={"decay": 200}, phases=phases, weights={"decay": 10})
    """

    points: Mapping[str, int] | None = None
    phases: Sequence[Phase] | None = None
    weights: Mapping[str, float] | None = None
    sampling: str | Graded = "sobol"
    resample: int = 0
    resampling: str = "rad"
    weighting: Weighting | None = None
    windows: Mapping[Any, int] | None = None
    pseudo_time: float | None = None
    directions: int | None = None
    patience: int | None = None
    scaling: bool = True

    def __post_init__(self) -> None:
        for argument, example in (
            ("points", '"name of a term": 1_000'),
            ("weights", '"name of a term": 10'),
            ("windows", "t: 8"),
        ):
            given = getattr(self, argument)
            if given is not None and not isinstance(given, Mapping):
                raise ProblemError(argument, f"{given!r} is not a mapping", f"write {argument}={{{example}}}")
        for name, count in (self.points or {}).items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ProblemError(f'points["{name}"]', f"{count!r}", "write a whole number of points of at least 1")
        for name, weight in (self.weights or {}).items():
            if not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
                raise ProblemError(
                    f'weights["{name}"]',
                    f"{weight!r}",
                    "write a positive number such as 100",
                )
        for coordinate, count in (self.windows or {}).items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ProblemError(f"windows={{{coordinate}: {count!r}}}", "no number of windows", "write 2 or more")
        if len(self.windows or {}) > 1:
            raise ProblemError("windows", f"{len(self.windows or {})} coordinates", "name one, such as {t: 8}")
        if not isinstance(self.sampling, Graded) and self.sampling not in SAMPLINGS:
            remedy = f"write one of {list(SAMPLINGS)}, or Graded(thickness=...)"
            raise ProblemError("sampling", f"{self.sampling!r}", remedy)
        if self.resample < 0:
            raise ProblemError("resample", f"{self.resample!r}", "write a number of steps, or 0 to keep the points")
        if self.resampling not in RESAMPLINGS:
            raise ProblemError("resampling", f"{self.resampling!r}", f"write one of {list(RESAMPLINGS)}")
        if isinstance(self.weighting, type) or not isinstance(self.weighting, Weighting | None):
            remedy = "write a weighting such as GradientNorm() or Causal(t), or None for fixed weights"
            raise ProblemError("weighting", f"{self.weighting!r} is not a weighting", remedy)
        if self.pseudo_time is not None and not self.pseudo_time > 0:
            raise ProblemError(
                "pseudo_time", f"{self.pseudo_time!r}", "write a first step such as 0.1, or infinity for none"
            )
        if self.directions is not None and self.directions < 1:
            raise ProblemError("directions", f"{self.directions!r}", "write a number of terms, or None for all")
        if not isinstance(self.scaling, bool):
            raise ProblemError("scaling", f"{self.scaling!r}", "write True or False")
        if self.patience is not None and not (isinstance(self.patience, int) and self.patience >= 1):
            raise ProblemError("patience", f"{self.patience!r}", "write a number of steps such as 500, or None for any")
        if self.phases is not None:
            object.__setattr__(self, "phases", tuple(self._checked(phase) for phase in _sequence(self.phases)))

    def _checked(self, phase: Phase) -> Phase:
        remedy = "write phases such as Adam(steps=2_000) and LBFGS(steps=5_000)"
        if isinstance(phase, type) or not isinstance(phase, Phase):
            raise ProblemError("phases", f"{phase!r} is not a phase", remedy)
        if self.resample and not phase.resample and is_dataclass(phase):
            return replace(phase, resample=self.resample)
        return phase


def _sequence(phases: Sequence[Phase]) -> Sequence[Phase]:
    if isinstance(phases, Phase) or not isinstance(phases, Sequence) or isinstance(phases, str) or not phases:
        raise ProblemError(
            "phases", f"{phases!r}", "write a list of phases such as [Adam(steps=2_000), LBFGS(steps=5_000)]"
        )
    return phases

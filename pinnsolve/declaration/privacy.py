"""Privacy of observations: what a trained solution may tell of any one row of them.

A run is (epsilon, delta)-differentially private when, with a row or without it, every set of outcomes has probabilities p and p'
with p <= exp(epsilon) p' + delta (Dwork and Roth, The algorithmic foundations of differential privacy, 2014, definition 2.4).
Equations and conditions are public; so are the number of rows and the stated noise.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from pinnsolve.errors import ProblemError


@dataclass(frozen=True)
class Privacy:
    """A bound on what a run may tell of a row of observations.

    Attributes:
        epsilon: What one run may spend.
        delta: Probability with which the bound may fail; far less than one over the number of rows.
        clip: Longest gradient that the misfit of one row may have; longer ones are shortened to it. Without effect on the bound:
            small values waste what rows say, large ones add noise.
        sample: Probability with which a row takes part in a step; None: chosen, 1 for up to a thousand rows.
        budget: What all runs on these observations may spend together; None: one run's epsilon.
        ledger: File that the runs are recorded in; None: beside the table that the observations were read from, if there is one.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> ts = np.linspace(0, 1, 20)
        >>> private = ps.Privacy(epsilon=2, delta=1e-5, clip=0.1)
        >>> sensor = ps.Observations(at={t: ts}, values={q: np.exp(-ts)}, privacy=private)
    """

    epsilon: float
    delta: float
    _: KW_ONLY
    clip: float = 1.0
    sample: float | None = None
    budget: float | None = None
    ledger: str | Path | None = None

    def __post_init__(self) -> None:
        for name, sound, remedy in (
            ("epsilon", 0 < self.epsilon < math.inf, "a positive number such as 2"),
            ("delta", 0 < self.delta < 1, "a small probability such as 1e-5"),
            ("clip", 0 < self.clip < math.inf, "a positive length such as 1"),
            ("sample", self.sample is None or 0 < self.sample <= 1, "a probability such as 0.1, or None"),
            ("budget", self.budget is None or self.budget > 0, "a positive number, or None for epsilon"),
        ):
            if not sound:
                raise ProblemError("Privacy", f"{name}={getattr(self, name)!r}", f"write {remedy}")

    @property
    def limit(self) -> float:
        """What all runs may spend together."""
        return self.epsilon if self.budget is None else self.budget

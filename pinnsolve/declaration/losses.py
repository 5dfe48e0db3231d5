"""Losses of measurements: how a misfit counts, by its square or, where some values may be wrong, by less.

With z the misfit in units of its standard deviation, or in units of the values where no noise is stated, least squares counts z².

    Huber(δ)      z² up to |z| = δ, and 2 δ |z| - δ² beyond:      Huber, Robust estimation of a location parameter, 1964
    StudentT(ν)   (ν + 1) log(1 + z²/ν), twice the negative logarithm of a Student t density but for a constant:
                  Lange, Little, Taylor, Robust statistical modeling using the t distribution, 1989
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pinnsolve.errors import ProblemError


@dataclass(frozen=True)
class Huber:
    """Squares of small misfits, sizes of large ones: a value that is far off pulls with a constant force.

    Args:
        threshold: δ. The default has 95 % of the efficiency of least squares where all errors are normal.

    Raises:
        ProblemError: A threshold that is not positive.

    Example:
        >>> ps.Observations(at={t: [0.1, 0.5]}, values={q: [0.9, 7.0]}, noise=0.01, loss=ps.Huber()).loss
        Huber(threshold=1.345)
    """

    threshold: float = 1.345

    def __post_init__(self) -> None:
        _require_positive("Huber", "threshold", self.threshold, "1.345")


@dataclass(frozen=True)
class StudentT:
    """The likelihood of errors with heavy tails: a value that is far off pulls the less the farther it is.

    Args:
        freedom: ν, degrees of freedom: the fewer, the more outliers are expected.

    Raises:
        ProblemError: A number that is not positive.

    Example:
        >>> ps.Observations(at={t: [0.1, 0.5]}, values={q: [0.9, 7.0]}, noise=0.01, loss=ps.StudentT(freedom=3)).loss
        StudentT(freedom=3)
    """

    freedom: float = 4.0

    def __post_init__(self) -> None:
        _require_positive("StudentT", "freedom", self.freedom, "4")


Loss = Huber | StudentT


def _require_positive(name: str, argument: str, value: float, example: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ProblemError(name, f"{argument}={value!r}", f"write a positive number such as {example}")

"""Bands: mean, standard deviation and an interval of values that several networks give, and the interval fitted to measurements.

Of n values that come from where the next one comes from, the next lies between the k-th least and the k-th greatest with the
probability 1 - 2k / (n + 1), whatever their distribution. Where n is too small for that, the interval is Student's for the next
value of a normal distribution, mean ± t s sqrt(1 + 1/n) with n - 1 degrees of freedom.

What is wrong in all networks alike is in neither. Measurements tell: with the size s of a misfit that is to be expected, from the
deviation over the networks and the noise, the k-th least of |y - mean| / s over m measurements, k = ceil((m + 1) p), is the factor
c with which mean ± c s covers the next measurement with the probability p, if it comes from where these came from: Vovk,
Gammerman, Shafer, Algorithmic learning in a random world, 2005, chapter 2; with a size that varies, Lei, G'Sell, Rinaldo,
Tibshirani, Wasserman, Distribution-free predictive inference for regression, 2018, section 5.2.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import t
from sympy import Expr, Symbol
from torch import Tensor

from pinnsolve.declaration.observations import Observations
from pinnsolve.errors import DataError, ProblemError

Draw = Callable[..., list[Any]]
"""From an expression, or None for all fields, and coordinates to the values of every network."""


_ROUNDING = 1e-9
"""Of ranks, which are whole numbers made from a probability."""


@dataclass(frozen=True, eq=False)
class Band:
    """What several networks say of one expression at some points.

    Args:
        mean: In the shape and kind of a call.
        deviation: The unbiased standard deviation over the networks.
        low: Lower end of the interval.
        high: Upper end.
        level: Probability that the interval is made for.
        samples: Number of networks.
        factor: c, where the interval is fitted to measurements; None where it is that of the networks.
    """

    mean: Any
    deviation: Any
    low: Any
    high: Any
    level: float
    samples: int
    factor: float | None = None


def find_band(
    draw: Draw,
    expression: Expr | None,
    *,
    level: float,
    calibrated_on: Observations | None,
    coordinates: Mapping[str, Any],
    names: Sequence[str],
) -> Any:
    """Return the band of an expression, or a named tuple of those of all fields.

    Args:
        draw: Evaluates every network.
        expression: What to evaluate; None for the fields.
        level: Probability of the interval.
        calibrated_on: Measurements that no network was trained on; None for the interval of the networks.
        coordinates: As for a call.
        names: Of the fields.

    Raises:
        ProblemError: A level outside (0, 1), complex values, or several fields to fit to measurements at once.
        DataError: Measurements of something else, or too few of them.
    """
    if not isinstance(level, int | float) or not 0 < level < 1:
        raise ProblemError("band(...)", f"level={level!r}", "write a probability such as 0.9")
    drawn = draw(expression, coordinates)
    if isinstance(drawn[0], tuple):
        if calibrated_on is not None:
            remedy = f"name one, such as band({names[0]}(...), calibrated_on=...)"
            raise ProblemError("band(...)", f"the fields {', '.join(names)} at once", remedy)
        bands: list[Any] = [_band(list(values), level) for values in zip(*drawn, strict=True)]
        return namedtuple("Bands", names, rename=True)(*bands)
    if calibrated_on is None:
        return _band(drawn, level)
    factor, noise = _factor(draw, expression, calibrated_on, level)
    return _band(drawn, level, factor=factor, noise=noise)


def _band(drawn: list[Any], level: float, *, factor: float | None = None, noise: float = 0.0) -> Band:
    tensors = isinstance(drawn[0], Tensor)
    values = np.stack([v.detach().cpu().numpy() if tensors else np.asarray(v) for v in drawn])
    if np.iscomplexobj(values):
        raise ProblemError("band(...)", "complex values, which have no order", "ask for re(...) or im(...) of SymPy")
    count = len(values)
    mean, deviation = values.mean(0), values.std(0, ddof=1)
    if factor is not None:
        half = factor * np.hypot(deviation, noise)
        low, high = mean - half, mean + half
    elif (count + 1) * (1 - level) / 2 >= 1 - _ROUNDING:
        # The ranks k / (n + 1) of the docstring, interpolated between two of them.
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    else:
        half = float(t.ppf((1 + level) / 2, count - 1)) * deviation * math.sqrt(1 + 1 / count)
        low, high = mean - half, mean + half
    mean, deviation, low, high = (
        torch.as_tensor(v).to(drawn[0]) if tensors else v for v in (mean, deviation, low, high)
    )
    return Band(mean, deviation, low, high, level, count, factor)


def _factor(draw: Draw, expression: Expr | None, measured: Observations, level: float) -> tuple[float, float]:
    """Return c, and the part of the size of a misfit that is the noise: as stated, or the rms of the misfits."""
    keys = list(measured.values)
    if expression is None and len(keys) == 1:
        expression = keys[0]
    if expression not in keys:
        found = f"there is no value of {expression}"
        raise DataError(measured.source, found, f"measured are {', '.join(map(str, keys))}: name one of these")
    rank = math.ceil((measured.count + 1) * level - _ROUNDING)
    if rank > measured.count:
        fewest = math.ceil(level / (1 - level) - _ROUNDING)
        raise DataError(measured.source, f"{measured.count} rows for level={level:g}", f"give {fewest} or more")
    rows = draw(expression, {c.name: array for c, array in measured.at.items()})
    misfits = np.abs(np.asarray(measured.values[expression]) - np.mean(rows, axis=0))
    stated = measured.noise is not None and not isinstance(measured.noise, Symbol)
    noise = float(np.sqrt(np.mean(np.square(measured.noise if stated else misfits))))
    scores = misfits / np.hypot(np.std(rows, axis=0, ddof=1), noise)
    return float(np.sort(scores)[rank - 1]), noise

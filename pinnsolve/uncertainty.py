"""Uncertainty of unknowns: how noise in the measurements reaches the values found, with the network free to follow.

The loss is |S r|² with the residuals r of equations, conditions and misfits and a scale for every row. Near its minimum
S r = rho + A w + B q with changes w of the weights and q of the unknowns. Weights that minimise it leave (1 - P) (rho + B q), where
P projects on the columns of A: the weights are marginalised, and the unknowns follow a change e of the measurements by
q = (C'C)⁻¹ C'S e with C = (1 - P) B. Noise of covariance D in the scaled rows, zero in those of equations, gives

    cov q = (C'C)⁻¹ C'D C (C'C)⁻¹,

the sandwich of Huber (The behavior of maximum likelihood estimates under nonstandard conditions, 1967) in the Gauss-Newton
approximation (Bates and Watts, Nonlinear regression analysis, 1988, section 2). The same products give
-(C'C)⁻¹ C'rho, the step of Gauss and Newton that a training leaves undone, of no length at the minimum. It widens the intervals as
another deviation would. Where it is longer than that by the noise, and to be seen in the values, nothing tells what lies beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.stats import norm, t
from sympy import Symbol
from torch import Tensor

from pinnsolve.choices import Plan
from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.compiler.trial import Trial
from pinnsolve.declaration.observations import Observations
from pinnsolve.points import TermPoints
from pinnsolve.problem import Problem
from pinnsolve.training.objective import Objective

LEVEL = 0.9
"""Probability with which an interval covers the truth."""

_MOST_PARAMETERS, _MOST_ROWS = 2_000, 20_000
"""Beyond, the decomposition of the Jacobian takes longer than it is worth."""

_CUTOFF = 1e-6
"""Singular values of the weights' columns, relative to the greatest, that count: no training moves in the other directions."""

_SEEN = 1e-3
"""Step left undone, relative to the value or to its start, that is to be seen: where there is no noise, any is longer than that."""

_TOGETHER = 0.95
"""Correlation from which on two unknowns are called hard to tell apart."""


@dataclass(frozen=True)
class Uncertainty:
    """What the measurements say about the unknowns.

    Args:
        names: Of the unknowns.
        deviations: Standard deviation of each.
        intervals: Lower and upper end of each interval of probability `LEVEL`; both of the sign that a symbol is declared with.
            Infinite where the training ended before the unknowns had settled.
        correlation: Between the unknowns, shape (unknowns, unknowns).
        noise: Standard deviation of every set of measurements, as stated or as the misfits show.
        remarks: What the user should know: unknowns that nothing determines, that cannot be told apart, or that had not settled.
    """

    names: tuple[str, ...]
    deviations: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    correlation: np.ndarray
    noise: Mapping[str, float]
    remarks: tuple[str, ...]

    @property
    def settled(self) -> bool:
        """Whether the training has come to the minimum, as far as the noise lets it be seen."""
        return bool(np.isfinite(self.intervals).all())

    def as_record(self) -> dict[str, Any]:
        """Return it in the form of `result.json`."""
        unknowns = {
            name: {"deviation": deviation, "low": low, "high": high}
            for name, deviation, (low, high) in zip(self.names, self.deviations, self.intervals, strict=True)
        }
        return {
            "level": LEVEL,
            "unknowns": unknowns,
            "correlation": self.correlation.tolist(),
            "noise": dict(self.noise),
            "remarks": list(self.remarks),
        }


def find_uncertainty(compiled: CompiledProblem, trial: Trial, plan: Plan, *, seed: int) -> Uncertainty | None:
    """Propagate the noise of the measurements to the unknowns.

    None where there are no unknowns or measurements, too many rows, or measurements that count otherwise than by their squares.

    Args:
        compiled: The terms.
        trial: What was trained, at its minimum.
        plan: Points and weights of the training.
        seed: Of the points.
    """
    problem = compiled.problem
    measured = {term.name: term.group for term in problem.terms if term.kind == "data"}
    if not problem.unknowns or not measured or any(map(_doubtful, problem.data.values())):
        return None
    points = TermPoints(compiled, plan.counts, plan.sampling, seed, plan.device).training()
    weights = {name: weight for name, weight in plan.weights.items() if name in points}
    objective = Objective(trial, partial(compiled.residuals, trial), points, weights=weights)
    jacobian, scales = objective.jacobian(), objective.row_scales().detach()
    if jacobian.size > _MOST_PARAMETERS or len(scales) > _MOST_ROWS:
        return None
    rows = jacobian.rows() * scales[:, None]
    raw = [name for name, _ in trial.named_parameters()].index("unknowns.raw")
    sizes = [p.numel() for p in trial.parameters()]
    first = sum(sizes[:raw])
    unknowns = rows[:, first : first + sizes[raw]]
    others = torch.cat([rows[:, :first], rows[:, first + sizes[raw] :]], dim=1)
    squares, directions = torch.linalg.eigh(others.T @ others)  # several times faster than singular values of the rows
    kept = squares > _CUTOFF**2 * squares[-1]
    basis = others @ directions[:, kept] / squares[kept].sqrt()
    reduced = unknowns - basis @ (basis.T @ unknowns)
    names = [name for name, tensor in points.items() for _ in range(len(tensor))]
    residual = jacobian.residual()
    variances, noise, freedom = _noise(problem, measured, names, scales, residual, basis, len(problem.unknowns))
    inverse = torch.linalg.pinv(reduced, rtol=1e-10)
    covariance = (inverse * variances) @ inverse.T
    undone = -(inverse @ (scales * residual))
    return _described(problem, trial, covariance.cpu().numpy(), undone.cpu().numpy(), noise, freedom)


def _doubtful(observations: Observations) -> bool:
    """Return whether residuals are no multiples of what a known noise makes: it is found itself, or outliers count less."""
    return isinstance(observations.noise, Symbol) or observations.loss is not None


def _noise(
    problem: Problem,
    measured: Mapping[str, str],
    names: list[str],
    scales: Tensor,
    residual: Tensor,
    basis: Tensor,
    unknowns: int,
) -> tuple[Tensor, dict[str, float], float]:
    """Return the variance of every scaled row, the standard deviation of every set, and degrees of freedom if it was estimated."""
    variances, noise, freedom = torch.zeros_like(scales), {}, np.inf
    stated = [float(np.min(o.noise)) for o in problem.data.values() if o.noise is not None]
    # The part of each row that the network can follow: what it fits is not seen in the misfit.
    followed = basis.square().sum(dim=1)
    for group in dict.fromkeys(measured.values()):
        own = torch.tensor([measured.get(name) == group for name in names], device=scales.device)
        if problem.data[group].noise is not None:
            deviation = min(stated)  # rows are weighted by it over their own
        else:
            free = max(float(own.sum() - followed[own].sum()) - unknowns, 1.0)
            deviation = float(residual[own].square().sum() / free) ** 0.5
            freedom = min(freedom, free)
        noise[group] = deviation
        variances[own] = (scales[own] * deviation).square()
    return variances, noise, freedom


def _described(
    problem: Problem,
    trial: Trial,
    covariance: np.ndarray,
    undone: np.ndarray,
    noise: Mapping[str, float],
    freedom: float,
) -> Uncertainty:
    """Return the uncertainty of values from that of what is trained: logarithms of those that keep their sign."""
    values = trial.unknowns.values()
    spread = np.sqrt(np.diag(covariance))
    quantile = float(norm.ppf((1 + LEVEL) / 2) if np.isinf(freedom) else t.ppf((1 + LEVEL) / 2, freedom))
    half = quantile * np.hypot(spread, undone)
    remarks = []
    unsettled = (np.abs(undone) > spread) & (np.abs(undone) > _SEEN)
    if unsettled.any():
        half[:] = np.inf
        found = ", ".join(symbol.name for symbol, far in zip(problem.unknowns, unsettled, strict=True) if far)
        remarks.append(f"the training ended before {found} had settled, so there are no intervals; train for longer")
    deviations, intervals = [], []
    for (symbol, start), deviation, reach in zip(problem.unknowns.items(), spread, half, strict=True):
        value = values[symbol.name]
        if symbol.is_positive or symbol.is_negative:
            ends = sorted((value * np.exp(-reach), value * np.exp(reach)))
            deviations.append(abs(value) * float(deviation))
        else:
            scale = abs(start) or 1.0
            ends = sorted((value - scale * reach, value + scale * reach))
            deviations.append(scale * float(deviation))
        intervals.append((float(ends[0]), float(ends[1])))
        if not deviations[-1] < abs(value):
            remarks.append(f"the measurements hardly determine {symbol}: its uncertainty is as large as its value")
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = covariance / np.outer(spread, spread)
    names = tuple(symbol.name for symbol in problem.unknowns)
    for a in range(len(names)):
        for b in range(a):
            if abs(correlation[a, b]) > _TOGETHER:
                remarks.append(
                    f"{names[b]} and {names[a]} can hardly be told apart, with a correlation of {correlation[a, b]:.3f}: "
                    "measure elsewhere or something else, or hold one of them"
                )
    return Uncertainty(names, tuple(deviations), tuple(intervals), correlation, noise, tuple(remarks))

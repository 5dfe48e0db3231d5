"""Misfits: what was measured minus its value, weighted by the noise, which may itself be unknown.

With σ the noise of a set, known or sought, and s the least over all sets, the residual of a value is s (u - value) / σ: sets count
by 1/σ², the most precise one by 1, so that a small absolute noise does not drown the equations that filter it. Where σ is sought,
the negative logarithm of the normal likelihood, times 2 s² and divided by the number of values, is the mean of the residuals'
squares plus 2 s² log σ. This last is the square of a residual of its own, s sqrt(2 log(σ / f)), with a floor f far below any noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Float, Integer, Symbol, log, sqrt

from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.terms import Term
from pinnsolve.errors import ProblemError

_FLOOR = 1e-6
"""Of noise, relative to what is taken for it at first."""


def noise_symbols(data: Mapping[str, Observations], unknowns: Iterable[Symbol]) -> set[Symbol]:
    """Return the unknowns that are the noise of observations.

    Raises:
        ProblemError: A symbol that is not among the unknowns.
    """
    found = {name: o.noise for name, o in data.items() if isinstance(o.noise, Symbol)}
    for name, symbol in found.items():
        if symbol not in set(unknowns):
            remedy = f"write unknowns={{{symbol}: ...}} with a first guess"
            raise ProblemError(name, f"the noise {symbol} is not among the unknowns", remedy)
    return set(found.values())


def misfit_terms(
    pairs: Iterable[tuple[str, Expr, NDArray[np.float64]]],
    group: str,
    written: Any,
    data: Mapping[str, Observations],
    *,
    unknowns: Mapping[Symbol, float],
    columns: Mapping[Symbol, NDArray[np.float64]],
) -> list[Term]:
    """Return the terms of one measured expression.

    Args:
        pairs: For each real part its name, the expression and the values.
        group: Name of its observations.
        written: What the user wrote.
        data: All observations.
        unknowns: Initial values.
        columns: Where it was measured, by coordinate, in the domain's order.
    """
    own = data[group]
    stated, least = _stated(data, unknowns), least_noise(data, unknowns)
    terms = []
    for name, expression, numbers in pairs:
        value, weight = Symbol(f"value[{name}]"), Symbol(f"weight[{name}]")
        misfit, every = expression - value, {**columns, value: np.asarray(numbers, dtype=float)}
        residual = misfit
        if group in stated and not np.all(stated[group] == least):
            residual = weight * misfit
            every[weight] = np.broadcast_to(np.asarray(least / stated[group], dtype=float), (own.count,))
        if isinstance(own.noise, Symbol):
            residual = residual * Float(unknowns[own.noise]) / own.noise
        chosen = [own.held_out[s.name] for s in own.split if s.chooses]
        terms.append(
            Term(
                name,
                group,
                "data",
                residual,
                written,
                tuple(columns),
                None,
                _some(every, own.trained),
                misfit=misfit,
                held_out={split: _some(every, rows) for split, rows in own.held_out.items()},
                checked=_some(every, np.logical_or.reduce(chosen)) if chosen else {},
                loss=own.loss,
                deviation=float(least) if group in stated else 1.0,
            )
        )
        if isinstance(own.noise, Symbol):
            terms.append(_likelihood(f"{name}.noise", group, own.noise, unknowns[own.noise], float(least)))
    return terms


def _likelihood(name: str, group: str, noise: Symbol, first: float, least: float) -> Term:
    residual = Float(least) * sqrt(Integer(2) * log(noise / Float(_FLOOR * first)))
    return Term(name, group, "data", residual, noise, ())


def least_noise(data: Mapping[str, Observations], unknowns: Mapping[Symbol, float]) -> float:
    """Return the noise by which residuals of measurements are multiplied, over their own: the least that is stated.

    A noise that is itself unknown counts as it begins, and its residual is then that of a noise which stays there.

    Args:
        data: All observations.
        unknowns: Initial values.
    """
    return float(min(map(np.min, _stated(data, unknowns).values()), default=1.0))


def _stated(data: Mapping[str, Observations], unknowns: Mapping[Symbol, float]) -> dict[str, Any]:
    return {name: _noise(o, unknowns) for name, o in data.items() if o.noise is not None}


def _noise(observations: Observations, unknowns: Mapping[Symbol, float]) -> Any:
    noise = observations.noise
    return np.float64(unknowns[noise]) if isinstance(noise, Symbol) else noise


def _some(columns: Mapping[Symbol, NDArray[np.float64]], rows: NDArray[np.bool_]) -> dict[Symbol, NDArray[np.float64]]:
    return {symbol: column[rows] for symbol, column in columns.items()}

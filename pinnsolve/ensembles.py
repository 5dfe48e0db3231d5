"""Ensembles: a solution by many thinned networks, and how far these lie apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pinnsolve.errors import ProblemError
from pinnsolve.networks.regularization import random_layers, thinned

if TYPE_CHECKING:
    from pinnsolve.solution import Solution


def spread_of(solution: Solution, samples: int, *, seed: int, coordinates: Mapping[str, Any]) -> Any:
    """Return the standard deviation of the fields over thinned networks; see `Solution.spread`."""
    if not random_layers(solution.trial):
        remedy = "train ps.MLP(dropout=0.1) or ps.ResNet(stochastic_depth=0.2), or several seeds"
        raise ProblemError("solution.spread(...)", "a network of which nothing is left out", remedy)
    if samples < 2:
        raise ProblemError("solution.spread(...)", f"{samples!r} samples", "write at least 2")
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(samples):
        with thinned(solution.trial, generator):
            drawn.append(solution(**coordinates))
    return _deviation(drawn)


def _deviation(values: list[Any]) -> Any:
    """Return the unbiased standard deviation of arrays or tensors, or of the entries of named tuples of them."""
    first = values[0]
    if isinstance(first, tuple):
        return type(first)(*(_deviation(list(entries)) for entries in zip(*values, strict=True)))
    if isinstance(first, torch.Tensor):
        return torch.stack(values).std(0)
    return np.std(values, axis=0, ddof=1)

"""The trial: everything that training changes, the network and the unknowns, as one module.

An unknown declared positive is trained as its logarithm, so that it cannot leave its range whatever step is taken; all unknowns
are trained relative to the size of their initial value, so that a viscosity of 1e-3 and a modulus of 1e9 move at one pace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from sympy import Symbol
from torch import Tensor, nn

from pinnsolve.domains.sampling import draw
from pinnsolve.networks.architectures import Architecture
from pinnsolve.networks.fields import build_fields
from pinnsolve.networks.whitening import Sample
from pinnsolve.networks.windows import Windows, build_windows
from pinnsolve.problem import Problem

_SAMPLE = 1_024
"""Points of the domain by which coordinates are whitened."""


class Unknowns(nn.Module):
    """The unknown parameters of a problem.

    Args:
        initial: Their initial values.
        dtype: Precision.
        device: Where they live.
    """

    def __init__(self, initial: Mapping[Symbol, float], *, dtype: torch.dtype, device: torch.device | str) -> None:
        super().__init__()
        self.symbols = tuple(initial)
        self._scales = tuple(_scale(symbol, value) for symbol, value in initial.items())
        raw = [
            0.0 if _signed(symbol) else value / scale
            for (symbol, value), scale in zip(initial.items(), self._scales, strict=True)
        ]
        self.raw = nn.Parameter(torch.tensor(raw, dtype=dtype, device=device)) if raw else None

    def forward(self) -> tuple[Tensor, ...]:
        """Return the values, each a scalar tensor."""
        if self.raw is None:
            return ()
        return tuple(
            scale * (torch.exp(self.raw[k]) if _signed(symbol) else self.raw[k])
            for k, (symbol, scale) in enumerate(zip(self.symbols, self._scales, strict=True))
        )

    def values(self) -> dict[str, float]:
        """Return the values as numbers by name."""
        return {symbol.name: float(value.detach()) for symbol, value in zip(self.symbols, self.forward(), strict=True)}


class Trial(nn.Module):
    """A network for the fields and the unknowns, trained together.

    Args:
        network: From (points, coordinates) to (points, fields), on tensors or jets.
        unknowns: The unknown parameters.
    """

    def __init__(self, network: nn.Module, unknowns: Unknowns) -> None:
        super().__init__()
        self.network = network
        self.unknowns = unknowns


def build_trial(problem: Problem, network: Any, *, seed: int, dtype: torch.dtype, device: torch.device | str) -> Trial:
    """Build network and unknowns of a problem, in evaluation: only steps of first-order phases put them into training.

    Args:
        problem: Gives fields, ranges and unknowns.
        network: A description, or a module from (points, coordinates) to (points, fields).
        seed: Of the initial weights.
        dtype: Precision of the weights.
        device: Where they live.
    """
    columns = [tuple(problem.coordinates.index(c) for c in field.args) for field in problem.fields]
    make = build_windows if isinstance(network, Windows) else build_fields
    sampled = isinstance(network, Architecture) and network.whitening is not None
    fields = make(
        network,
        inputs_per_field=columns,
        ranges=list(problem.bounds.values()),
        periodic=[problem.coordinates.index(c) for c in problem.periods],
        generator=torch.Generator().manual_seed(seed),
        dtype=dtype,
        device=device,
        **({"sample": _sample(problem)} if sampled else {}),
    )
    trial = Trial(fields, Unknowns(problem.unknowns, dtype=dtype, device=device))
    return trial.eval()


def _sample(problem: Problem) -> Sample:
    """Return points of the domain, and what a network is to give where fields were measured, but for those in an ansatz."""
    points = draw(problem.domain, _SAMPLE, method="sobol", seed=0).coordinates
    values: dict[int, Tensor] = {}
    for term in problem.terms:
        if term.misfit is None or not term.columns:
            continue
        for number, field in enumerate(problem.fields):
            (value,) = (c for c in term.columns if c.name.startswith("value["))
            if term.misfit == field - value and field not in problem.ansatz:
                centre, size = problem.scales.fields.get(field, (0.0, 1.0))
                values[number] = (torch.as_tensor(term.columns[value]) - centre) / size
    return Sample(torch.as_tensor(points), values)


def _signed(symbol: Symbol) -> bool:
    return bool(symbol.is_positive or symbol.is_negative)


def _scale(symbol: Symbol, value: float) -> float:
    if _signed(symbol):
        return value
    return abs(value) if value != 0 and math.isfinite(1 / value) else 1.0

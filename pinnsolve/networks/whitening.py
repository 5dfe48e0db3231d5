"""Whitening: affine maps that give inputs and targets the mean 0 and one variance, without correlations if asked.

"diagonal" divides every entry by its standard deviation; "full" multiplies what that gives by the inverse root of its correlations,
after which each entry is still as close to the one it came from as can be (Kessy, Lewin, Strimmer, Optimal whitening and
decorrelation, 2018, section 3.2, "ZCA-cor"). A network
of whitened inputs, whose output is coloured by the map back, is conditioned alike whatever the units: LeCun, Bottou, Orr, Müller,
Efficient backprop, 1998, section 4.3. Both maps are layers, so values and derivatives have the user's units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

UNIFORM = 1 / math.sqrt(3)
"""Standard deviation of a uniform distribution on [-1, 1], for which networks are initialised."""

_LEAST = 1e-12
"""Relative size below which a deviation, or the eigenvalue of a correlation, is rounding: what does not vary keeps its scale."""


class Affine(nn.Module):
    """x -> A x + b with numbers that are not trained, and stored with the weights.

    Args:
        matrix: A, shape (outputs, inputs).
        shift: b, shape (outputs,).
        dtype: Of the buffers.
        device: Of the buffers.
    """

    matrix: Tensor
    shift: Tensor

    def __init__(
        self, matrix: Tensor, shift: Tensor, *, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix.to(device, dtype))
        self.register_buffer("shift", shift.to(device, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (points, inputs) to (points, outputs)."""
        return nn.functional.linear(x, self.matrix, self.shift)


@dataclass(frozen=True, eq=False)
class Sample:
    """What a network of fields is whitened by.

    Args:
        points: Of the region, shape (points, coordinates).
        values: For fields that were measured, by their numbers, shape (rows,); those of one length were measured together.
    """

    points: Tensor
    values: Mapping[int, Tensor]

    def colouring(self, fields: Sequence[int], kind: str, *, dtype: torch.dtype, device: torch.device | str) -> Affine:
        """Return the map to the values of some fields; those that were not measured are left as they are."""
        known = [self.values.get(field) for field in fields]
        columns = [torch.tensor([-1.0, 1.0]) if column is None else column for column in known]
        if all(column is not None for column in known) and len({len(column) for column in columns}) == 1:
            return colouring(torch.stack([c.double() for c in columns], 1), kind, dtype=dtype, device=device)
        single = [colouring(c[:, None], "diagonal", dtype=torch.float64) for c in columns]
        matrix, shift = torch.block_diag(*(s.matrix for s in single)), torch.cat([s.shift for s in single])
        return Affine(matrix, shift, dtype=dtype, device=device)


def whitening(
    sample: Tensor, kind: str, *, dtype: torch.dtype, device: torch.device | str = "cpu", deviation: float = 1.0
) -> Affine:
    """Return the map to mean 0 and the same standard deviation in all directions.

    Args:
        sample: Shape (points, entries).
        kind: One of `architectures.WHITENINGS`.
        dtype: Of the map.
        device: Of the map.
        deviation: The standard deviation afterwards.
    """
    mean, _, inverse = _roots(sample, kind)
    return Affine(deviation * inverse, -deviation * (inverse @ mean), dtype=dtype, device=device)


def colouring(sample: Tensor, kind: str, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> Affine:
    """Return the inverse map, from mean 0 and standard deviation 1 to the mean and covariance of a sample."""
    mean, root, _ = _roots(sample, kind)
    return Affine(root, mean, dtype=dtype, device=device)


def whitened(network: nn.Module, points: Tensor, targets: Tensor | None = None, *, kind: str = "full") -> nn.Sequential:
    """Return a network between the whitening of its inputs and the colouring of its outputs, for any regression.

    Args:
        network: From whitened points to whitened targets.
        points: Those of the fit, shape (points, inputs).
        targets: Shape (points, outputs); None leaves the outputs as they are.
        kind: One of `architectures.WHITENINGS`.
    """
    entry = whitening(points, kind, dtype=points.dtype, device=points.device, deviation=UNIFORM)
    if targets is None:
        return nn.Sequential(entry, network)
    return nn.Sequential(entry, network, colouring(targets, kind, dtype=targets.dtype, device=targets.device))


def _roots(sample: Tensor, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean, and the square root of the covariance with its inverse, in float64."""
    values = sample.detach().double().cpu()
    mean = values.mean(0)
    centred = values - mean
    deviations = _above(centred.square().mean(0).sqrt(), _LEAST * values.abs().amax(0))
    if kind == "diagonal":
        return mean, torch.diag(deviations), torch.diag(1 / deviations)
    # Of correlations, whose eigenvalues do not depend on the units.
    standard = centred / deviations
    sizes, axes = torch.linalg.eigh(standard.T @ standard / len(values))
    roots = _above(sizes, _LEAST * sizes.max()).sqrt()
    root = deviations[:, None] * (axes * roots) @ axes.T
    inverse = (axes / roots) @ axes.T / deviations
    return mean, root, inverse


def _above(sizes: Tensor, least: Tensor) -> Tensor:
    return torch.where(sizes > least, sizes, 1.0)

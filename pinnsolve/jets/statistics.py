"""Statistics over points as constants of an evaluation, so that a network that normalises by them has derivatives at a point.

A layer that standardises by mean and variance over the points makes the field at each point depend on all the others. The
statistics are therefore taken once, at all points of a step, and then held: the network is one function of a point, and its
derivatives with respect to the coordinates are those with the statistics as constants. They stay functions of the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn


class Mixing(Protocol):
    """A layer with statistics over the points, used in training.

    Attributes:
        training: Whether it uses them.
        keeping: Whether the next evaluation sets them.
        kept: What they are; None where each evaluation has those of its own points.
    """

    training: bool
    keeping: bool
    kept: tuple[Tensor, Tensor] | None


@contextmanager
def fixed_statistics(network: Callable[..., Any], points: Sequence[Tensor]) -> Iterator[None]:
    """Inside, the statistics of a network's layers are those of these points, whatever points it is evaluated at.

    Within another such context they stay those of the outer one. A network without such layers is not evaluated.

    Args:
        network: From points to fields.
        points: Sets of points, each of the shape (points, coordinates).
    """
    layers = _mixing(network) if isinstance(network, nn.Module) and network.training else []
    if not layers or layers[0].kept is not None:
        yield
        return
    try:
        for layer in layers:
            layer.keeping = True
        network(torch.cat([part.detach() for part in points]))
        for layer in layers:
            layer.keeping = False
        yield
    finally:
        for layer in layers:
            layer.keeping, layer.kept = False, None


def mixes_points(network: nn.Module) -> bool:
    """Whether a network in training has statistics over the points."""
    return bool(_mixing(network))


def _mixing(network: nn.Module) -> list[Mixing]:
    # A look into the dictionary, because this is asked for at every evaluation.
    return [cast(Mixing, layer) for layer in network.modules() if layer.training and "keeping" in layer.__dict__]

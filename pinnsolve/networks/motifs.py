"""Motifs: which small patterns of connections a network has more of than chance gives units of the same degrees.

The connections of each layer are those of its largest weights. Of a layered network the patterns of three units, one unit that
feeds two, two that feed one, and chains, follow from the degrees alone. Those of four do not:

    bi-fan     two units that both feed the same two           sum over pairs of units of a layer of  (n over 2),
               n the number of units that both feed;
    diamond    a unit that reaches another by two others       sum over pairs two layers apart of  (n over 2),
               n the number of paths between them.

They are compared with networks whose connections were exchanged at random within each layer, pair by pair, so that every unit keeps
its numbers of inputs and outputs: Milo et al., Network motifs: simple building blocks of complex networks, Science 298, 824 (2002).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Layers = Sequence[NDArray[np.bool_]]
"""For every layer which inputs feed which outputs, shape (outputs, inputs)."""

_EXCHANGES = 10
"""Exchanges that are tried for each connection: Milo et al., On the uniform generation of random graphs, 2003, ask for as many."""


@dataclass(frozen=True)
class Excess:
    """How often a motif occurs, and how often by chance.

    Attributes:
        count: In the network.
        mean: In networks of the same degrees, on the average.
        deviation: Its standard deviation over them.
    """

    count: int
    mean: float
    deviation: float

    @property
    def score(self) -> float:
        """By how many standard deviations it is more frequent than by chance; 0 where chance has no choice."""
        return 0.0 if self.deviation == 0 else (self.count - self.mean) / self.deviation


def connections(network: nn.Module, *, share: float = 0.3) -> list[NDArray[np.bool_]]:
    """Return the connections of the largest weights of every layer.

    Args:
        network: Its weight matrices, in their order, feed each other.
        share: Part of the weights of each layer that count as connections.

    Raises:
        ValueError: A share that is none, or matrices that do not feed each other.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r}; write a part such as 0.3")
    matrices = [p.detach().double().abs() for p in network.parameters() if p.ndim == 2]
    shapes = [tuple(m.shape) for m in matrices]
    if not shapes or any(one[0] != other[1] for one, other in itertools.pairwise(shapes)):
        raise ValueError(f"weight matrices of the shapes {shapes} do not feed each other")
    found = []
    for matrix in matrices:
        largest = torch.topk(matrix.reshape(-1), max(1, round(share * matrix.numel()))).indices
        chosen = torch.zeros(matrix.numel(), dtype=torch.bool, device=matrix.device).index_fill_(0, largest, True)
        found.append(chosen.view_as(matrix).cpu().numpy())
    return found


def census(layers: Layers) -> dict[str, int]:
    """Count the motifs of four units."""
    fans = sum(_pairs_above_diagonal(layer.astype(np.int64).T @ layer.astype(np.int64)) for layer in layers)
    diamonds = sum(
        _pairs(after.astype(np.int64) @ before.astype(np.int64)) for before, after in itertools.pairwise(layers)
    )
    return {"bi-fan": fans, "diamond": diamonds}


def exchanged(layers: Layers, generator: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Return a network with other connections, in which every unit has as many inputs and outputs as before.

    Two connections a to b and c to d become a to d and c to b, unless one of these is there already.
    """
    return [_exchanged(layer.copy(), generator) for layer in layers]


def excesses(layers: Layers, *, networks: int = 100, seed: int = 0) -> dict[str, Excess]:
    """Compare a network's motifs with those of networks of the same degrees.

    Args:
        layers: From `connections`.
        networks: How many are made to compare with.
        seed: Of them.
    """
    generator = np.random.default_rng(seed)
    others = [census(exchanged(layers, generator)) for _ in range(networks)]
    found = {}
    for name, count in census(layers).items():
        counts = np.array([other[name] for other in others], dtype=float)
        found[name] = Excess(count, float(counts.mean()), float(counts.std()))
    return found


def _exchanged(layer: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.bool_]:
    ends, starts = np.nonzero(layer)
    chosen = generator.integers(len(ends), size=(_EXCHANGES * len(ends), 2))
    for one, other in chosen:
        b, a, d, c = ends[one], starts[one], ends[other], starts[other]
        if layer[d, a] or layer[b, c]:
            continue
        layer[[b, d], [a, c]] = False
        layer[[d, b], [a, c]] = True
        ends[one], ends[other] = d, b
    return layer


def _pairs(counts: NDArray[np.int64]) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _pairs_above_diagonal(counts: NDArray[np.int64]) -> int:
    return _pairs(np.triu(counts, 1))

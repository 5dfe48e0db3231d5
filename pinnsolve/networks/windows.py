"""Windows: networks for successive ranges of one coordinate, each continuing the one before.

With edges t_1 < t_2 < ..., widths h_k = t_(k+1) - t_k and networks M_0, M_1, ... the fields are M_0 up to t_1, and from t_k on

    N_k(x, t) = (1 - psi(z)) M_(k-1)(x, s) + psi(z) M_k(x, t),    z = (t - t_k) / h_k,    s = t_k + h_(k-1) tanh(z h_k / h_(k-1)).

psi rises from 0 to 1 with p - 1 vanishing derivatives at both ends, and s = t + O((t - t_k)^3): so for p up to 3 the fields are
continuous across an edge with p - 1 derivatives, whatever the networks are, which is what an equation of the order p in t asks
for, and no more than two networks are evaluated at a point. Windows can be trained one after the other: Krishnapriyan, Gholami,
Zhe, Kirby, Mahoney, Characterizing possible failure modes in physics-informed neural networks, 2021, section 5.2, where the
continuity is left to a loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from pinnsolve.networks.architectures import Architecture
from pinnsolve.networks.fields import FieldNetwork, build_fields
from pinnsolve.networks.layers import FactorisedLinear, FourierFeatures, GatedLayers, Scaling


@dataclass(frozen=True)
class Windows:
    """A description of networks for successive ranges of a coordinate.

    Args:
        network: Of each of them.
        coordinate: Number of the coordinate.
        edges: Where windows begin and end, from the lowest value of the coordinate to the highest.
        order: p, the order of the equations in the coordinate, from 1 to 3.
        sizes: Of each field, how many times the networks' output it is; all once where empty.

    Raises:
        ValueError: Fewer than two windows, edges that do not rise, another order, or a size that is not positive.
    """

    network: Architecture
    coordinate: int
    edges: tuple[float, ...]
    order: int
    sizes: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.edges, self.edges[1:], strict=False))
        positive = all(0 < size < math.inf for size in self.sizes)
        if len(self.edges) < 3 or not rising or not positive or self.order not in (1, 2, 3):
            raise ValueError(f"no windows: {self}")


_RISES: dict[int, Callable[[Tensor], Tensor]] = {
    1: lambda z: z,
    2: lambda z: z * z * (3 - 2 * z),
    3: lambda z: z * z * z * (10 - 15 * z + 6 * z * z),
}
"""psi by the order p."""


class WindowedFields(nn.Module):
    """All fields from all coordinates, piecewise in one of them.

    Args:
        parts: The networks M_k, each from (points, coordinates) to (points, fields).
        spec: Coordinate, edges and order.
    """

    sizes: Tensor

    def __init__(self, parts: Sequence[FieldNetwork], spec: Windows) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.spec = spec
        example = next(self.parts.parameters())
        self.register_buffer("sizes", example.new_tensor(spec.sizes), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """Evaluate all fields.

        Args:
            points: Shape (points, coordinates), a tensor or a jet.

        Returns:
            Shape (points, fields).
        """
        column = self.spec.coordinate
        times = points[:, column : column + 1]
        numbers = torch.stack([(times >= edge)[:, 0] for edge in self.spec.edges[1:-1]]).sum(0)
        present = numbers.unique().tolist()
        if len(present) == 1:
            return self.through(points, int(present[0]))
        rows = [(numbers == number).nonzero()[:, 0] for number in present]
        groups = [self.through(points.index_select(0, r), int(n)) for r, n in zip(rows, present, strict=True)]
        return torch.cat(groups, 0).index_select(0, torch.cat(rows).argsort())

    def through(self, points: Tensor, number: int) -> Tensor:
        """Evaluate N_k, whatever window the points are in."""
        own = self._part(number, points)
        if number == 0:
            return own
        column, (start, low, high) = self.spec.coordinate, self.spec.edges[number - 1 : number + 2]
        since = points[:, column : column + 1] - low
        clamped = low + (low - start) * torch.tanh(since / (low - start))
        before = self._part(number - 1, torch.cat([points[:, :column], clamped, points[:, column + 1 :]], 1))
        return before + _RISES[self.spec.order](since / (high - low)) * (own - before)

    def _part(self, number: int, points: Tensor) -> Tensor:
        """Evaluate M_k."""
        found: Tensor = self.parts[number](points)
        return found * self.sizes if self.spec.sizes else found

    @torch.no_grad()
    def go_on(self, number: int) -> None:
        """Make the network of a window the same function as that of the window before, to start from."""
        ours, theirs = (cast(FieldNetwork, self.parts[k]).networks for k in (number, number - 1))
        for network, former in zip(ours, theirs, strict=True):
            scaling, *layers = cast(nn.Sequential, network)
            before, *others = cast(nn.Sequential, former)
            for layer, other in zip(layers, others, strict=True):
                layer.load_state_dict(other.state_dict())  # buffers too: random frequencies
            # The coordinate is scaled to each window: what differs is a shift, which the first biases or phases take up.
            scaling, before = cast(Scaling, scaling), cast(Scaling, before)
            shift = ((scaling.centre - before.centre) * before.rate)[None]
            position = next(k for k, layer in enumerate(layers) if isinstance(layer, _READERS))
            read = nn.Sequential(*layers[:position])
            _take_up(layers[position], (read(shift) - read(torch.zeros_like(shift)))[0])


_READERS = (nn.Linear, FactorisedLinear, FourierFeatures, GatedLayers)
"""Layers that read the coordinates by an affine map."""


def _take_up(layer: nn.Module, shift: Tensor) -> None:
    """Make a layer at x the same as it was at x + shift."""
    if isinstance(layer, GatedLayers):
        for reader in layer.readers:
            _take_up(reader, shift)
    elif isinstance(layer, FourierFeatures):
        layer.phases.add_(layer.frequencies @ shift)
    else:
        dense = cast(nn.Linear | FactorisedLinear, layer)
        dense.bias.add_(dense.weight @ shift)


class Window(nn.Module):
    """One window of all, for its training: it shares its parameters with the whole, and only its own may change.

    Args:
        whole: All windows.
        number: Which.
    """

    def __init__(self, whole: WindowedFields, number: int) -> None:
        super().__init__()
        self.whole, self.number = whole, number

    def forward(self, points: Tensor) -> Tensor:
        """Evaluate the fields of this window."""
        return self.whole.through(points, self.number)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold all other windows fixed inside."""
        for number, part in enumerate(self.whole.parts):
            part.requires_grad_(number == self.number)
        try:
            yield
        finally:
            self.whole.requires_grad_(True)


def build_windows(
    spec: Windows,
    *,
    inputs_per_field: Sequence[tuple[int, ...]],
    ranges: Sequence[tuple[float, float]],
    generator: torch.Generator,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    periodic: Collection[int] = (),
) -> WindowedFields:
    """Build the networks of all windows; the arguments are those of `build_fields`."""
    parts = []
    for low, high in zip(spec.edges, spec.edges[1:], strict=False):
        narrowed = [(low, high) if k == spec.coordinate else ends for k, ends in enumerate(ranges)]
        parts.append(
            build_fields(
                spec.network,
                inputs_per_field=inputs_per_field,
                ranges=narrowed,
                generator=generator,
                dtype=dtype,
                device=device,
                periodic=periodic,
            )
        )
    return WindowedFields(parts, spec)

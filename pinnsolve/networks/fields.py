"""The network of a problem: every field from the coordinates it depends on.

Fields that read the same coordinates are outputs of one network, because they share their layers and fronts; a field of fewer
coordinates has a network of its own, so that its derivative with respect to the others vanishes identically.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from pinnsolve.errors import ProblemError
from pinnsolve.networks.architectures import Architecture
from pinnsolve.networks.initialization import build
from pinnsolve.networks.layers import Columns, FactorisedLinear, FourierFeatures, GatedLayers, Scaling
from pinnsolve.networks.whitening import UNIFORM, Sample, whitening


class FieldNetwork(nn.Module):
    """Groups of fields, each given by one network of some of the coordinates.

    Args:
        networks: One for each group.
        columns: For each group the numbers of the coordinates it reads.
        fields: For each group the numbers of the fields it gives; together each field once.
        coordinates: Number of coordinates.
        device: Of the index buffers.

    Raises:
        ValueError: The groups do not give each field exactly once.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        *,
        columns: Sequence[Sequence[int]],
        fields: Sequence[Sequence[int]],
        coordinates: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        given = [field for group in fields for field in group]
        if sorted(given) != list(range(len(given))) or not len(networks) == len(columns) == len(fields):
            raise ValueError(f"groups must give each field exactly once: {[list(group) for group in fields]}")
        self.networks = nn.ModuleList(networks)
        self.inputs = nn.ModuleList(Columns(group, available=coordinates, device=device) for group in columns)
        self.coordinates = coordinates
        order = sorted(range(len(given)), key=given.__getitem__)
        self.order = Columns(order, available=len(given), device=device)

    @property
    def reading(self) -> Tensor | None:
        """The linear features of the coordinates that are all the networks read, shape (features, coordinates), where it is so."""
        parts = [linear_reading(network) for network in self.networks]
        rows = []
        for part, columns in zip(parts, self.inputs, strict=True):
            if part is not None and isinstance(columns, Columns):
                whole = part.new_zeros(len(part), self.coordinates)
                rows.append(part if columns.all_in_order else whole.index_copy(1, columns.columns, part))
        return torch.cat(rows) if len(rows) == len(parts) else None

    def forward(self, points: Tensor) -> Tensor:
        """Evaluate all fields in their declared order.

        Args:
            points: Shape (points, coordinates), a tensor or a jet.

        Returns:
            Shape (points, fields).
        """
        groups = [network(columns(points)) for network, columns in zip(self.networks, self.inputs, strict=True)]
        return self.order(groups[0] if len(groups) == 1 else torch.cat(groups, 1))


def build_fields(
    spec: Architecture | nn.Module,
    *,
    inputs_per_field: Sequence[tuple[int, ...]],
    ranges: Sequence[tuple[float, float]],
    generator: torch.Generator,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    periodic: Collection[int] = (),
    sample: Sample | None = None,
) -> FieldNetwork:
    """Build the network of all fields.

    Args:
        spec: A description, or a module from (points, coordinates) to (points, fields) in declared order. A module is used as it
            is, not copied: it is moved to the dtype and device, and training changes it.
        inputs_per_field: For each field the numbers of its coordinates.
        ranges: Lowest and highest value of every coordinate.
        generator: The only source of randomness.
        dtype: Of the parameters.
        device: Of the parameters.
        periodic: Numbers of the coordinates on which every field is periodic.
        sample: What a description with whitening is whitened by.

    Raises:
        ProblemError: The module cannot be evaluated at points of these coordinates, gives another number of fields, or would have
            to be periodic.
    """
    count, coordinates = len(inputs_per_field), len(ranges)
    if not isinstance(spec, nn.Module) and spec.whitening is not None and periodic:
        found = f"whitening={spec.whitening!r} with periodic coordinates, which are read by their range"
        raise ProblemError("network", found, "leave the whitening out")
    if isinstance(spec, nn.Module):
        if periodic:
            found = "hard=True asks for a periodic network, and a module of your own is used as it is"
            raise ProblemError("network", found, "write ps.MLP(...), or leave hard=True out of the problem")
        module = spec.to(device=device, dtype=dtype)
        _probe(module, torch.tensor(ranges, dtype=dtype, device=device).t(), count)
        groups = [(tuple(range(coordinates)), tuple(range(count)))]
        networks: list[nn.Module] = [module]
    else:
        groups = _grouped(inputs_per_field, one_per_field=spec.one_per_field)
        networks = [
            build(
                spec,
                inputs=len(columns),
                outputs=len(fields),
                ranges=[ranges[column] for column in columns],
                periodic=[k for k, column in enumerate(columns) if column in periodic],
                generator=generator,
                dtype=dtype,
                device=device,
                **_whitened(spec, sample, columns, fields, dtype=dtype, device=device),
            )
            for columns, fields in groups
        ]
    columns_of, fields_of = zip(*groups, strict=True)
    return FieldNetwork(networks, columns=columns_of, fields=fields_of, coordinates=coordinates, device=device)


def linear_reading(network: nn.Module) -> Tensor | None:
    """Return the weights of the linear features that are all a network of `build` reads, shape (features, coordinates), or None."""
    if not isinstance(network, nn.Sequential) or len(network) < 2 or not isinstance(network[0], Scaling):
        return None
    match network[1]:
        case nn.Linear() | FactorisedLinear() as dense:
            weights = dense.weight
        case FourierFeatures() as waves:
            weights = waves.frequencies
        case GatedLayers() as gated:
            weights = torch.cat([reader.weight for reader in gated.readers if isinstance(reader.weight, Tensor)])
        case _:
            return None
    return weights * network[0].rate


def _grouped(
    inputs_per_field: Sequence[tuple[int, ...]], *, one_per_field: bool
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Columns and fields of every group, by the first field of each."""
    if one_per_field:
        return [(columns, (field,)) for field, columns in enumerate(inputs_per_field)]
    members: dict[tuple[int, ...], tuple[int, ...]] = {}
    for field, columns in enumerate(inputs_per_field):
        members[columns] = (*members.get(columns, ()), field)
    return list(members.items())


def _whitened(
    spec: Architecture,
    sample: Sample | None,
    columns: Sequence[int],
    fields: Sequence[int],
    *,
    dtype: torch.dtype,
    device: torch.device | str,
) -> dict[str, nn.Module]:
    """Return what scales coordinates and fields of a group, where it is not the range of each coordinate."""
    if spec.whitening is None:
        return {}
    if sample is None:
        raise ProblemError(
            "network", f"whitening={spec.whitening!r} in windows", "leave the whitening or the windows out"
        )
    points = sample.points[:, list(columns)]
    entry = whitening(points, spec.whitening, dtype=dtype, device=device, deviation=UNIFORM)
    return {"entry": entry, "exit": sample.colouring(fields, spec.whitening, dtype=dtype, device=device)}


def _probe(module: nn.Module, points: Tensor, fields: int) -> None:
    """Evaluate a module at two points, which neither trains it nor draws random numbers."""
    shape = tuple(points.shape)
    remedy = f"give a module from (points, {shape[1]}) to (points, {fields}), the fields in declared order"
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            found = module(points)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise ProblemError("network", f"the module fails at points of shape {shape}: {error}", remedy) from error
    finally:
        module.train(training)
    if not isinstance(found, Tensor) or tuple(found.shape) != (len(points), fields):
        what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ProblemError("network", f"the module gives {what} at points of shape {shape}", remedy)

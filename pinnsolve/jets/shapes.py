"""Rules for what rearranges, selects or sums entries without changing them, and for copies and casts.

All of it acts on every Taylor coefficient alike; dimensions are those of the value, one less than those of the coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import mul
from typing import Any, cast

import torch
from torch import Tensor

from pinnsolve.jets.arithmetic import padded
from pinnsolve.jets.jet import AffineJet, Jet, rule


@rule(torch.Tensor.__getitem__)
def _(z: Jet, key: Any) -> Jet:
    keys = key if isinstance(key, tuple) else (key,)
    if isinstance(z, AffineJet) and len(keys) == 2 and keys[0] == slice(None) and isinstance(keys[1], slice | list):
        return AffineJet(z.value[:, keys[1]], z.tails[:, keys[1]], z.plan)
    if sum(isinstance(entry, Tensor | list) for entry in keys) > 1:
        # Several index tensors move their dimension to the front, where the channels are.
        return Jet(torch.stack([channel[key] for channel in z.coefficients.unbind(0)]), z.plan)
    return Jet(z.coefficients[:, *keys], z.plan)


@rule(torch.reshape, torch.Tensor.view)
def _(z: Jet, *shape: Any) -> Jet:
    # A view of a jet may be a copy: nothing can be written through it.
    return Jet(z.coefficients.reshape(len(z.coefficients), *_sizes(shape)), z.plan)


@rule(torch.flatten)
def _(z: Jet, start_dim: int = 0, end_dim: int = -1) -> Jet:
    return Jet(z.coefficients.flatten(_shift(start_dim, z), _shift(end_dim, z)), z.plan)


@rule(torch.unflatten)
def _(z: Jet, dim: int, sizes: Sequence[int]) -> Jet:
    return Jet(z.coefficients.unflatten(_shift(dim, z), list(sizes)), z.plan)


@rule(torch.unsqueeze)
def _(z: Jet, dim: int) -> Jet:
    return Jet(z.coefficients.unsqueeze(dim + 1 if dim >= 0 else dim), z.plan)


@rule(torch.squeeze)
def _(z: Jet, dim: int | None = None) -> Jet:
    if dim is not None:
        return Jet(z.coefficients.squeeze(_shift(dim, z)), z.plan)
    return Jet(z.coefficients.reshape(len(z.coefficients), *(size for size in z.shape if size != 1)), z.plan)


@rule(torch.transpose, torch.swapaxes)
def _(z: Jet, dim0: int, dim1: int) -> Jet:
    return Jet(z.coefficients.transpose(_shift(dim0, z), _shift(dim1, z)), z.plan)


@rule(torch.t)
def _(z: Jet) -> Jet:
    return z if z.ndim < 2 else Jet(z.coefficients.transpose(1, 2), z.plan)


@rule(torch.permute)
def _(z: Jet, *dims: Any) -> Jet:
    return Jet(z.coefficients.permute(0, *(_shift(dim, z) for dim in _sizes(dims))), z.plan)


@rule(torch.movedim)
def _(z: Jet, source: int, destination: int) -> Jet:
    return Jet(z.coefficients.movedim(_shift(source, z), _shift(destination, z)), z.plan)


@rule(torch.Tensor.expand, torch.broadcast_to)
def _(z: Jet, *sizes: Any) -> Jet:
    target = _sizes(sizes)
    leading = [1] * (len(target) - z.ndim)
    return Jet(z.coefficients.reshape(len(z.coefficients), *leading, *z.shape).expand(-1, *target), z.plan)


@rule(torch.Tensor.expand_as)
def _(z: Jet, other: Jet | Tensor) -> Jet:
    return z.expand(other.shape)


@rule(torch.Tensor.repeat)
def _(z: Jet, *repeats: Any) -> Jet:
    counts = _sizes(repeats)
    leading = [1] * (len(counts) - z.ndim)
    return Jet(z.coefficients.reshape(len(z.coefficients), *leading, *z.shape).repeat(1, *counts), z.plan)


@rule(torch.cat, torch.concat)
def _(tensors: Sequence[Jet | Tensor], dim: int = 0) -> Jet:
    jets = _jets(tensors)
    if all(isinstance(jet, AffineJet) for jet in jets) and _shift(dim, jets[0]) == 2:
        affine = cast(list[AffineJet], jets)
        return AffineJet(
            torch.cat([jet.value for jet in affine], 1), torch.cat([jet.tails for jet in affine], 1), jets[0].plan
        )
    return Jet(torch.cat(_padded(jets), _shift(dim, jets[0])), jets[0].plan)


@rule(torch.stack)
def _(tensors: Sequence[Jet | Tensor], dim: int = 0) -> Jet:
    jets = _jets(tensors)
    return Jet(torch.stack(_padded(jets), dim + 1 if dim >= 0 else dim), jets[0].plan)


@rule(torch.unbind)
def _(z: Jet, dim: int = 0) -> tuple[Jet, ...]:
    return _each(z, z.coefficients.unbind(_shift(dim, z)))


@rule(torch.split)
def _(z: Jet, split_size_or_sections: int | list[int], dim: int = 0) -> tuple[Jet, ...]:
    return _each(z, z.coefficients.split(split_size_or_sections, _shift(dim, z)))


@rule(torch.chunk)
def _(z: Jet, chunks: int, dim: int = 0) -> tuple[Jet, ...]:
    return _each(z, z.coefficients.chunk(chunks, _shift(dim, z)))


@rule(torch.narrow)
def _(z: Jet, dim: int, start: int, length: int) -> Jet:
    return Jet(z.coefficients.narrow(_shift(dim, z), start, length), z.plan)


@rule(torch.select)
def _(z: Jet, dim: int, index: int) -> Jet:
    return Jet(z.coefficients.select(_shift(dim, z), index), z.plan)


@rule(torch.index_select)
def _(z: Jet, dim: int, index: Tensor) -> Jet:
    if isinstance(z, AffineJet) and _shift(dim, z) == 2:
        return AffineJet(z.value.index_select(1, index), z.tails.index_select(1, index), z.plan)
    return Jet(z.coefficients.index_select(_shift(dim, z), index), z.plan)


@rule(torch.flip)
def _(z: Jet, *dims: Any) -> Jet:
    return Jet(z.coefficients.flip([_shift(dim, z) for dim in _sizes(dims)]), z.plan)


@rule(torch.roll)
def _(z: Jet, shifts: int | Sequence[int], dims: int | Sequence[int]) -> Jet:
    axes = [dims] if isinstance(dims, int) else dims
    return Jet(z.coefficients.roll(shifts, [_shift(dim, z) for dim in axes]), z.plan)


@rule(torch.sum)
def _(z: Jet, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Jet:
    return Jet(z.coefficients.sum(_axes(dim, z), keepdim), z.plan) if z.ndim else z


@rule(torch.mean)
def _(z: Jet, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Jet:
    return Jet(z.coefficients.mean(_axes(dim, z), keepdim), z.plan) if z.ndim else z


@rule(torch.cumsum)
def _(z: Jet, dim: int) -> Jet:
    return Jet(z.coefficients.cumsum(_shift(dim, z)), z.plan)


@rule(torch.prod)
def _(z: Jet, dim: int, keepdim: bool = False) -> Jet:
    product = reduce(mul, z.unbind(dim))
    return product.unsqueeze(dim) if keepdim else product


@rule(torch.clone)
def _(z: Jet, *, memory_format: torch.memory_format = torch.preserve_format) -> Jet:
    return Jet(z.coefficients.clone(memory_format=memory_format), z.plan)


@rule(torch.Tensor.contiguous)
def _(z: Jet) -> Jet:
    return Jet(z.coefficients.contiguous(), z.plan)


@rule(torch.Tensor.to)
def _(z: Jet, *args: Any, **kwargs: Any) -> Jet:
    return Jet(z.coefficients.to(*args, **kwargs), z.plan)


@rule(torch.Tensor.float)
def _(z: Jet) -> Jet:
    return Jet(z.coefficients.float(), z.plan)


@rule(torch.Tensor.double)
def _(z: Jet) -> Jet:
    return Jet(z.coefficients.double(), z.plan)


@rule(torch.detach)
def _(z: Jet) -> Tensor:
    """A constant, for derivatives with respect to coordinates as for those with respect to parameters."""
    return z.value.detach()


def _sizes(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """Both ways to write sizes: z.reshape(2, 3) and z.reshape((2, 3))."""
    return arguments if len(arguments) != 1 or isinstance(arguments[0], int) else tuple(arguments[0])


def _shift(dim: int, z: Jet) -> int:
    """The dimension of the coefficients that a dimension of the value is."""
    if not -z.ndim <= dim < z.ndim:
        raise IndexError(f"dimension {dim} of a jet with {z.ndim} dimensions")
    return dim % z.ndim + 1


def _axes(dim: int | Sequence[int] | None, z: Jet) -> list[int]:
    if dim is None:
        return list(range(1, z.ndim + 1))
    return [_shift(axis, z) for axis in ([dim] if isinstance(dim, int) else dim)]


def _jets(tensors: Sequence[Jet | Tensor]) -> list[Jet]:
    reference = next(tensor for tensor in tensors if isinstance(tensor, Jet))
    return [tensor if isinstance(tensor, Jet) else reference.lift(tensor) for tensor in tensors]


def _padded(jets: list[Jet]) -> list[Tensor]:
    channels = max(len(jet.coefficients) for jet in jets)
    return [padded(jet, channels) for jet in jets]


def _each(z: Jet, parts: Sequence[Tensor]) -> tuple[Jet, ...]:
    return tuple(Jet(part, z.plan) for part in parts)

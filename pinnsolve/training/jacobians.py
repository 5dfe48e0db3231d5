"""Jacobians of residual vectors with respect to all parameters: rows for Gauss-Newton methods, and products with vectors both ways.

A residual at a point depends on the parameters through that point alone, so all rows follow from one reverse pass that is carried
out for every point at once: in each layer the outer product of the layer's inputs and its output gradients (Dangel, Müller and
Zeinhofer, Kronecker-factored approximate curvature for physics-informed neural networks, 2024). Never a pass for each row.

Residuals that themselves make reverse passes, those of a network with an operation that jets do not know, cannot be carried out so.
Their rows come from reverse passes of a few points each, batched where torch can; and J v from two reverse passes, because J'u is
linear in u and its derivative in the direction of v is J v.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from pinnsolve.jets.fusion import differentiable_arithmetic
from pinnsolve.training.chunks import out_of_memory, sharing
from pinnsolve.training.distributed import ALONE, Group
from pinnsolve.training.gradients import ResidualModule, Residuals

ROW_MEMORY = 32 * 2**20
"""Bytes that the rows made at a time may take; they are formed beside the result, in memory that is slow at first touch."""

_BATCH = 16
"""Points of a batched reverse pass: each of its rows goes through all of them, so the work grows with their square."""

_Way = Callable[[list[str], list[str], Tensor], Tensor]
"""From the names of terms on the same points, the names of parameters, and some of the points to rows."""


class Jacobian:
    """J = ∂r/∂θ of the residuals at some points, one row for each entry of each residual vector, in the order of the terms.

    Args:
        module: Holds the parameters; those with `requires_grad` make up θ.
        residuals: Evaluates the terms whose point sets are given, each named as its set; a row from its point alone.
        points: Tensors by the name of their set.
    """

    def __init__(self, module: nn.Module, residuals: Residuals, points: Mapping[str, Tensor]) -> None:
        self._call = ResidualModule(module, residuals)
        self._leaves = {name: p for name, p in self._call.named_parameters() if p.requires_grad}
        self._parameters = {name: parameter.detach() for name, parameter in self._leaves.items()}
        self._residuals = residuals
        self._points = points
        # The ways to rows, and the most points that each may take at a time. Where torch refuses one, the next has its turn.
        self._ways: list[tuple[_Way, int | None]] = [
            (self._vectorised, None),
            (self._batched, _BATCH),
            (self._one_by_one, 1),
        ]
        self._room: int | None = None
        self._forward = True
        self._kept: _Linear | None = None

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self._parameters.values())

    def keep(self) -> None:
        """Linearise here and now: products are those of J as it is now, each a reverse pass through what is kept in memory."""
        leaves = {name: p.clone().requires_grad_() for name, p in self._parameters.items()}
        try:
            self._kept = _Linear(self._call, leaves, self._points)
        except RuntimeError:  # not twice differentiable: products go on as before
            self._kept = None

    def residual(self) -> Tensor:
        """Return r, shape (rows,)."""
        with torch.enable_grad():
            return torch.cat([part.detach() for part in self._residuals(self._points).values()])

    def rows(self) -> Tensor:
        """Return J, shape (rows, parameters)."""
        return self.columns(0, self.size)

    def columns(self, first: int, last: int) -> Tensor:
        """Return the columns of J from `first` up to `last`, shape (rows, last - first).

        Only the parameters that they belong to are differentiated by: all columns in a few calls cost as many more reverse passes,
        little beside a product of the rows with each other, and no more memory than the columns at hand.
        """
        chosen, begin, end = [], 0, 0
        for name, parameter in self._parameters.items():
            begin, end = end, end + parameter.numel()
            if begin < last and first < end:
                chosen.append((name, begin))
        names, offset = [name for name, _ in chosen], chosen[0][1]
        counts = [len(points) for points in self._points.values()]
        like = next(iter(self._points.values()))
        rows = like.new_empty(sum(counts), last - first)
        of_term = dict(zip(self._points, rows.split(counts), strict=True))
        for terms in sharing(self._points):
            self._fill([of_term[name] for name in terms], terms, names, slice(first - offset, last - offset))
        return rows

    def times(self, vector: Tensor) -> Tensor:
        """Return J v, shape (rows,), by one pass in forward mode; `vector` has the shape (parameters,)."""
        if self._kept is not None:
            try:
                return self._kept.times(vector)
            except RuntimeError:  # an operation that can be differentiated but once
                self._kept = None
        if self._forward:
            try:
                return self._pushed_forward(self._pieces(vector))
            except RuntimeError:
                self._forward = False
        return _Linear(self._call, self._leaves, self._points).times(vector)

    def transposed_times(self, vector: Tensor) -> Tensor:
        """Return J' u, shape (parameters,), by one reverse pass; `vector` has the shape (rows,)."""
        if self._kept is not None:
            return self._kept.transposed_times(vector)
        with torch.enable_grad():
            residual = torch.cat(list(self._residuals(self._points).values()))
            parts = torch.autograd.grad(
                residual, list(self._leaves.values()), grad_outputs=vector, allow_unused=True, materialize_grads=True
            )
        return torch.cat([part.reshape(-1) for part in parts])

    def _pieces(self, vector: Tensor) -> dict[str, Tensor]:
        pieces = zip(
            self._parameters.items(), vector.split([p.numel() for p in self._parameters.values()]), strict=True
        )
        return {name: part.view_as(parameter) for (name, parameter), part in pieces}

    def _fill(self, rows: list[Tensor], terms: list[str], names: list[str], columns: slice) -> None:
        """Fill in columns of the named parameters' rows, for each term a matrix (points, columns), by the first way that works.

        Where memory runs out, half as many points are taken at a time, from then on.
        """
        points, count = self._points[terms[0]], sum(self._parameters[name].numel() for name in names)
        most = max(1, ROW_MEMORY // max(count * points.element_size() * len(terms), 1))
        while True:
            way, largest = self._ways[0]
            limit = min(number for number in (most, largest, self._room) if number is not None)
            try:
                for some, *parts in zip(points.split(limit), *(matrix.split(limit) for matrix in rows), strict=True):
                    found = way(terms, names, some)
                    for k, part in enumerate(parts):
                        part.copy_(found[:, k, columns])
            except (MemoryError, RuntimeError) as error:
                if out_of_memory(error) and limit > 1:
                    self._room = min(limit, len(points)) // 2 or 1
                elif out_of_memory(error) or len(self._ways) == 1:
                    raise
                else:
                    del self._ways[0]
            else:
                return

    def _vectorised(self, terms: list[str], names: list[str], points: Tensor) -> Tensor:
        """Return rows, shape (points, terms, parameters), by one reverse pass for each point, all at once."""

        def one_point(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
            arguments = (dict.fromkeys(terms, point.unsqueeze(0)),)
            found = torch.func.functional_call(self._call, self._parameters | parameters, arguments)
            return torch.cat([found[name] for name in terms])

        by_point = torch.func.vmap(torch.func.jacrev(one_point), in_dims=(None, 0))
        with differentiable_arithmetic():
            parts = by_point({name: self._parameters[name] for name in names}, points)
        return torch.cat([part.reshape(len(points), len(terms), -1) for part in parts.values()], dim=2)

    def _batched(self, terms: list[str], names: list[str], points: Tensor) -> Tensor:
        """The same by one reverse pass through all the points, batched over the rows."""
        return self._reversed(terms, names, points, is_grads_batched=True)

    def _one_by_one(self, terms: list[str], names: list[str], points: Tensor) -> Tensor:
        """The same by one reverse pass for each row."""
        return self._reversed(terms, names, points, is_grads_batched=False)

    def _reversed(self, terms: list[str], names: list[str], points: Tensor, *, is_grads_batched: bool) -> Tensor:
        leaves = [self._leaves[name] for name in names]
        with torch.enable_grad(), differentiable_arithmetic():
            found = self._residuals(dict.fromkeys(terms, points))
            residual = torch.stack([found[name] for name in terms], dim=1).reshape(-1)
        if not residual.requires_grad:
            return points.new_zeros(len(points), len(terms), sum(leaf.numel() for leaf in leaves))
        unit = torch.eye(len(residual), dtype=residual.dtype, device=residual.device)
        passes = [unit] if is_grads_batched else list(unit)
        rows = []
        for upstream in passes:
            parts = torch.autograd.grad(
                residual, leaves, upstream, is_grads_batched=is_grads_batched, retain_graph=True, allow_unused=True
            )
            count = len(unit) // len(passes)
            rows.append(torch.cat([_flat(p, leaf, count) for p, leaf in zip(parts, leaves, strict=True)], dim=1))
        return torch.cat(rows).view(len(points), len(terms), -1)

    def _pushed_forward(self, tangents: dict[str, Tensor]) -> Tensor:
        def all_rows(parameters: dict[str, Tensor]) -> Tensor:
            return torch.cat(list(torch.func.functional_call(self._call, parameters, (self._points,)).values()))

        with differentiable_arithmetic(), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # torch's, of its own use of torch.jit, at the first call
            return torch.func.jvp(all_rows, (self._parameters,), (tangents,))[1]


class _Linear:
    """J at some parameters, kept as the graphs of r and of J'u, which is linear in u: its derivative in the direction of v is J v.

    Args:
        call: The residuals.
        leaves: The parameters.
        points: Tensors by the name of their set.
    """

    def __init__(self, call: ResidualModule, leaves: Mapping[str, Tensor], points: Mapping[str, Tensor]) -> None:
        self._leaves = list(leaves.values())
        with torch.enable_grad(), differentiable_arithmetic():
            self._residual = torch.cat(list(torch.func.functional_call(call, dict(leaves), (points,)).values()))
            self._upstream = torch.zeros_like(self._residual).requires_grad_()
            self._parts = torch.autograd.grad(
                self._residual,
                self._leaves,
                self._upstream,
                create_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )

    def times(self, vector: Tensor) -> Tensor:
        """Return J v, shape (rows,)."""
        pieces = vector.split([leaf.numel() for leaf in self._leaves])
        pairs = [(p, v.view_as(p)) for p, v in zip(self._parts, pieces, strict=True) if p.requires_grad]
        if not pairs:
            return torch.zeros_like(self._residual)
        parts, directions = zip(*pairs, strict=True)
        return torch.autograd.grad(parts, self._upstream, directions, retain_graph=True)[0]

    def transposed_times(self, vector: Tensor) -> Tensor:
        """Return J'u, shape (parameters,)."""
        parts = torch.autograd.grad(
            self._residual, self._leaves, vector, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([part.reshape(-1) for part in parts])


class ScaledJacobian:
    """R = S J and ρ = S r with S a scale for each row: the loss is |ρ|², and half its gradient R'ρ.

    Rows lie with the ranks that evaluate them; vectors over the rows, and over the parameters, are whole on every rank.

    Args:
        parts: Jacobians at some of the points each, with the scales of their rows; no product holds more than one at a time.
        like: A vector of the length of the parameters.
        group: The ranks.
        heights: How many rows each of them has; None where there is but one.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Jacobian, Tensor]],
        *,
        like: Tensor,
        group: Group = ALONE,
        heights: Sequence[int] | None = None,
    ) -> None:
        self._parts, self._like, self.group = parts, like, group
        self._own = [len(scales) for _, scales in parts]
        self._heights = [sum(self._own)] if heights is None else list(heights)

    @property
    def count(self) -> int:
        """Number of rows."""
        return sum(self._heights)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return len(self._like)

    def keep(self) -> None:
        """Linearise here and now, for many products."""
        for jacobian, _ in self._parts:
            jacobian.keep()

    def columns(self, first: int, last: int) -> Tensor:
        """Return the columns of R from `first` up to `last` in the rows of this rank, shape (rows, last - first)."""
        matrix = self._like.new_empty(sum(self._own), last - first)
        for (jacobian, scales), part in zip(self._parts, matrix.split(self._own) if self._own else (), strict=True):
            torch.mul(jacobian.columns(first, last), scales[:, None], out=part)
        return matrix

    def turned(self, columns: Tensor) -> Tensor:
        """Return some of these columns in all rows, shape (rows, fewer), on every rank others: all of them on one rank."""
        return self.group.turned(columns, self._heights)

    def parts(self) -> Iterator[Tensor]:
        """Yield R, in the rows of this rank, in parts of some rows, shape (rows, parameters), one at a time."""
        for jacobian, scales in self._parts:
            yield jacobian.rows().mul_(scales[:, None])

    def own(self, vector: Tensor) -> Tensor:
        """Return the rows of this rank of a vector over the rows."""
        return vector if self.group.size == 1 else vector.split(self._heights)[self.group.rank]

    def whole(self, rows: Tensor) -> Tensor:
        """Return a vector over all rows from that over the rows of this rank."""
        return self.group.gathered(rows, self._heights)

    def residual(self) -> Tensor:
        """Return ρ, shape (rows,)."""
        return self.whole(self._joined([scales * jacobian.residual() for jacobian, scales in self._parts]))

    def times(self, vector: Tensor) -> Tensor:
        """Return R v, shape (rows,)."""
        return self.whole(self._joined([scales * jacobian.times(vector) for jacobian, scales in self._parts]))

    def transposed_times(self, vector: Tensor) -> Tensor:
        """Return R'u, shape (parameters,)."""
        pieces = zip(self._parts, self.own(vector).split(self._own) if self._own else (), strict=True)
        return self._sum([jacobian.transposed_times(scales * piece) for (jacobian, scales), piece in pieces])

    def normal_times(self, vector: Tensor) -> Tensor:
        """Return R'R v, shape (parameters,)."""
        squares = ((jacobian, scales.square()) for jacobian, scales in self._parts)
        return self._sum([jacobian.transposed_times(square * jacobian.times(vector)) for jacobian, square in squares])

    def _joined(self, pieces: list[Tensor]) -> Tensor:
        return torch.cat(pieces) if pieces else self._like.new_empty(0)

    def _sum(self, vectors: list[Tensor]) -> Tensor:
        """Return the sum over the parts, and over the ranks."""
        found = sum(vectors[1:], start=vectors[0]) if vectors else torch.zeros_like(self._like)
        return self.group.total(found)[0]


def _flat(part: Tensor | None, leaf: Tensor, count: int) -> Tensor:
    """Return the gradients of so many rows with respect to one parameter, shape (count, size); zero where it is not used."""
    return leaf.new_zeros(count, leaf.numel()) if part is None else part.reshape(count, -1)

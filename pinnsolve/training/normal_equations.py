"""Normal equations with damping: (R'R + lambda I) x = R'v for many v and some lambda, through the smaller of two matrices.

With R of shape (rows, parameters), x = (R'R + lambda I)^-1 R'v = R'(R R' + lambda I)^-1 v, the second by Woodbury's identity: one
matrix of parameters by parameters, or one of rows by rows, is formed and factorised by Cholesky. Neither form needs the whole
of R: the first is summed over parts of the rows, the second over parts of the columns.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from pinnsolve.training.jacobians import ScaledJacobian
from pinnsolve.training.objective import Objective

PART_BYTES = 256 * 2**20
"""Bytes of a part of the Jacobian; parts are summed up, so memory does not grow with the points. Fewer in all are kept."""

_SMALLER = 4
"""Parts are so many times smaller on a processor, whose memory is slow at first touch, and which rarely finds large pieces again:
with 1,297 parameters at 50,000 points the first step takes 6 s in place of 11, and the others no longer."""

_KEPT_BYTES = 512 * 2**20
"""Bytes up to which the dual keeps R, which then is formed once and multiplied without passes through the network."""

_LEAST_BLOCK = 128
"""Width below which halving a symmetric product saves nothing."""


class System(Protocol):
    """(R'R + lambda I) x = R'v, for many v and some lambda; R where the parameters were when it was formed.

    Attributes:
        gradient: R'rho, half the gradient of the loss.
        largest: Largest diagonal entry of R'R.
    """

    gradient: Tensor
    largest: float

    def damp(self, damping: float) -> bool:
        """Factorise for this lambda; False where rounding has made the matrix indefinite."""
        ...

    def solve(self, vector: Tensor) -> Tensor:
        """Return x for the last lambda; the objective must be where R was formed."""
        ...

    def times(self, vector: Tensor) -> Tensor:
        """Return R x, shape (rows,); the objective must be where R was formed."""
        ...


def scaled_jacobian(objective: Objective, *, parts: int | None = None) -> ScaledJacobian:
    """Return R at the present parameters, in so many parts of the rows.

    Args:
        objective: Whose residuals are differentiated.
        parts: Number of parts; None: as few as have at most `PART_BYTES` each.
    """
    points, like = objective.share, objective.vector
    scales = dict(zip(points, objective.row_scales().split([len(p) for p in points.values()]), strict=True))
    count = sum(map(len, scales.values()))
    size = count * len(like) * like.element_size() * (1 if like.is_cuda else _SMALLER)
    number = parts or max(1, -(-size // PART_BYTES))
    found = []
    for k in range(number):
        cut = {n: slice(k * len(s) // number, (k + 1) * len(s) // number) for n, s in scales.items()}
        shared: dict[int, Tensor] = {}
        some = {n: shared.setdefault(id(p), p[cut[n]]) for n, p in points.items() if cut[n].start < cut[n].stop}
        if some:
            found.append((objective.jacobian(some), torch.cat([scales[n][cut[n]] for n in some])))
    return ScaledJacobian(found, like=like, group=objective.group, heights=objective.heights)


def smaller_system(rows: ScaledJacobian, residual: Tensor, *, size: int) -> System:
    """Form the system through the smaller matrix, by the numbers of rows and of parameters."""
    return (Primal if rows.count >= size else Dual)(rows, residual)


class Primal:
    """By R'R, summed over parts of the rows. They are kept where they are few: R'v is then products, not reverse passes.

    Args:
        rows: R.
        residual: rho, shape (rows,).
    """

    def __init__(self, rows: ScaledJacobian, residual: Tensor) -> None:
        self._rows = rows
        kept = len(rows.own(residual)) * rows.size * residual.element_size() <= PART_BYTES
        self._kept: list[Tensor] | None = [] if kept else None
        matrix = residual.new_zeros(rows.size, rows.size)
        for part in rows.parts():
            matrix += symmetric_product(part)
            if self._kept is not None:
                self._kept.append(part)
        (self._matrix,) = rows.group.total(matrix)
        (self.largest,) = rows.group.numbers(self._matrix.diagonal().max()[None])
        self.gradient = self._transposed_times(residual)

    def damp(self, damping: float) -> bool:
        """Factorise R'R + lambda I."""
        self._factor, failed = _cholesky(self._matrix, damping)
        return not self._rows.group.any(failed)

    def solve(self, vector: Tensor) -> Tensor:
        """Return (R'R + lambda I)^-1 R'v."""
        return torch.cholesky_solve(self._transposed_times(vector)[:, None], self._factor)[:, 0]

    def times(self, vector: Tensor) -> Tensor:
        """Return R x."""
        return self._rows.times(vector)

    def _transposed_times(self, vector: Tensor) -> Tensor:
        if self._kept is None:
            return self._rows.transposed_times(vector)
        pieces = self._rows.own(vector).split([len(part) for part in self._kept])
        found = torch.zeros_like(self._matrix[0])
        for part, piece in zip(self._kept, pieces, strict=True):
            found += part.t() @ piece
        return self._rows.group.total(found)[0]


class Dual:
    """By R R', which is smaller where there are fewer rows than parameters; R is kept, or is summed over parts of its columns.

    Args:
        rows: R.
        residual: rho, shape (rows,).
    """

    def __init__(self, rows: ScaledJacobian, residual: Tensor) -> None:
        self._rows = rows
        self._matrix: Tensor | None = None  # of the rows of this rank
        line = rows.count * residual.element_size()  # bytes of a column
        own = rows.own(residual)
        if rows.size * line <= _KEPT_BYTES:
            self._matrix = rows.columns(0, rows.size)
            kernel = symmetric_product(rows.turned(self._matrix).t())
            gradient, squares = self._matrix.t() @ own, self._matrix.square().sum(0)
        else:
            kernel, pieces = residual.new_zeros(rows.count, rows.count), []
            width = max(1, PART_BYTES // line)
            for first in range(0, rows.size, width):
                part = rows.columns(first, min(first + width, rows.size))
                kernel += symmetric_product(rows.turned(part).t())
                pieces.append(torch.stack([part.t() @ own, part.square_().sum(0)]))
            gradient, squares = torch.cat(pieces, dim=1)
        self._kernel, self.gradient, squares = rows.group.total(kernel, gradient, squares)
        (self.largest,) = rows.group.numbers(squares.max()[None])  # of NaN it is NaN

    def damp(self, damping: float) -> bool:
        """Factorise R R' + lambda I."""
        self._factor, failed = _cholesky(self._kernel, damping)
        return not self._rows.group.any(failed)

    def solve(self, vector: Tensor) -> Tensor:
        """Return R'(R R' + lambda I)^-1 v."""
        found = torch.cholesky_solve(vector[:, None], self._factor)[:, 0]
        if self._matrix is None:
            return self._rows.transposed_times(found)
        return self._rows.group.total(self._matrix.t() @ self._rows.own(found))[0]

    def times(self, vector: Tensor) -> Tensor:
        """Return R x."""
        return self._rows.times(vector) if self._matrix is None else self._rows.whole(self._matrix @ vector)


def symmetric_product(matrix: Tensor) -> Tensor:
    """Return the lower triangle of A'A from A of shape (rows, columns), at little more than half the cost of a product.

    What is above the diagonal is not all zero, and means nothing.
    """
    product = matrix.new_zeros(matrix.shape[1], matrix.shape[1])
    _fill_lower(product, matrix)
    return product


def _fill_lower(product: Tensor, matrix: Tensor) -> None:
    columns = matrix.shape[1]
    if columns <= _LEAST_BLOCK:
        torch.mm(matrix.t(), matrix, out=product)
        return
    half = columns // 2
    left, right = matrix[:, :half], matrix[:, half:]
    _fill_lower(product[:half, :half], left)
    _fill_lower(product[half:, half:], right)
    torch.mm(right.t(), left, out=product[half:, :half])


def _cholesky(matrix: Tensor, damping: float) -> tuple[Tensor, bool]:
    """Factorise a matrix that is given by its lower triangle, with the damping on its diagonal."""
    shifted = matrix.clone()
    shifted.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    return factor, bool(failed) or not bool(factor.diagonal().isfinite().all())

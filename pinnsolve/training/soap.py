"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, algorithms 3 and 4).

For every weight matrix W with gradient G, averaged Gram matrices of its rows and columns and their eigenvectors,

    L <- b2 L + (1 - b2) G G',    R <- b2 R + (1 - b2) G' G,    L = Q D Q',    R = P E P',

Adam runs on Q' G P, and W moves by what Adam moves Q' W P. Where the curvature is close to a Kronecker product of two matrices
it is close to diagonal there, and a quotient for every entry is close to Newton's step. Every few steps Q and P follow L and R by
one step of power iteration and a QR decomposition; the first are those of the first gradient.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pinnsolve.training.first_order import FlatParameters, Rule, matrices
from pinnsolve.training.optimizers import AdamRule, AdaptiveMoments


@dataclass(frozen=True)
class SOAP(AdaptiveMoments):
    """Adam in the eigenbasis of Shampoo's preconditioner: for wide networks and stiff losses.

    Vectors - biases, unknown coefficients - are moved by plain Adam. A matrix of shape (m, n) costs 2 (m² + n²) further numbers of
    memory, six products with its bases every step, and two QR decompositions, O(m³ + n³), every `precondition` steps.

    Vyas et al. take lr = 3e-3 for language models. On Poisson's equation with sin(pi x) sin(4 pi y) and 2,000 weights, 1,000 steps
    with 1e-2 left a loss 20 to 50 times below that of Adam at its best rate in the same time, and 3e-3 was slower than Adam.

    Attributes:
        precondition: Steps between two updates of the bases.
        betas: Decay of the averages of the gradient and of its square; the second also of L and R.
        others: As for `Adam`.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.SOAP(steps=2_000, lr=3e-3), ps.LBFGS(steps=1_000)])
    """

    name: ClassVar[str] = "soap"

    lr: float = 1e-2
    _: KW_ONLY
    betas: tuple[float, float] = (0.95, 0.95)
    precondition: int = 10

    def _checks(self) -> dict[str, tuple[bool, str]]:
        return {**super()._checks(), "precondition": (self.precondition >= 1, "a number of steps of at least 1")}

    def rule(self, parameters: FlatParameters) -> Rule:
        """Return how it moves, with nothing remembered."""
        return _SOAPRule(self, parameters)


@dataclass(frozen=True, eq=False)
class _Side:
    """The averaged Gram matrix of one side of a weight matrix, and its eigenvectors in columns; changed in place."""

    gram: Tensor
    basis: Tensor

    def start(self) -> None:
        """Take the eigenvectors themselves: in float64, since many eigenvalues of a first Gram matrix are zero."""
        self.basis.copy_(torch.linalg.eigh(self.gram.double()).eigenvectors)

    def follow(self) -> Tensor:
        """Take a step of power iteration, the largest eigenvalues first, and return the order they were in (algorithm 4)."""
        image = self.gram @ self.basis
        order = (self.basis * image).sum(0).argsort(descending=True, stable=True)
        self.basis.copy_(torch.linalg.qr(image[:, order]).Q)
        return order


class _SOAPRule:
    momenta: ClassVar[tuple[str, ...]] = AdamRule.momenta

    def __init__(self, phase: SOAP, parameters: FlatParameters) -> None:
        zero = torch.zeros_like(parameters.vector)
        self._phase, self._shapes = phase, parameters.shapes
        self._adam = AdamRule(phase, zero)
        self.memory = dict(self._adam.memory)
        self._sides: list[tuple[_Side, _Side]] = []
        for number, matrix in enumerate(matrices(zero, self._shapes)):
            rows, columns = (
                _Side(zero.new_zeros(size, size), torch.eye(size, dtype=zero.dtype, device=zero.device))
                for size in matrix.shape
            )
            self._sides.append((rows, columns))
            for name, side in (("rows", rows), ("columns", columns)):
                self.memory |= {f"{name}/{number}": side.gram, f"{name}/{number}/basis": side.basis}

    def move(self, vector: Tensor, gradient: Tensor, *, rate: float, step: int) -> Tensor:
        turned = self._turn(gradient)
        displacement = self._adam.move(torch.zeros_like(vector), turned, rate=rate, step=step)
        moved = vector.add_(self._turn_back(displacement))
        for (rows, columns), matrix in zip(self._sides, matrices(gradient, self._shapes), strict=True):
            rows.gram.lerp_(matrix @ matrix.T, 1 - self._phase.betas[1])
            columns.gram.lerp_(matrix.T @ matrix, 1 - self._phase.betas[1])
        if step == 1 or step % self._phase.precondition == 0:
            self._refresh(gradient, first=step == 1)
        return moved

    def _refresh(self, gradient: Tensor, *, first: bool) -> None:
        """Update the bases, and what Adam remembers in them: the mean is turned, squares go with their eigenvectors."""
        mean, square = self.memory["mean"], self.memory["square"]
        unturned = self._turn_back(mean)
        squares = matrices(square, self._shapes)
        for (rows, columns), squared in zip(self._sides, squares, strict=True):
            if first:
                rows.start()
                columns.start()
            else:
                squared.copy_(squared[rows.follow()][:, columns.follow()])
        mean.copy_(self._turn(unturned))
        if first:  # the first square is known in every basis
            for squared, turned in zip(squares, matrices(self._turn(gradient), self._shapes), strict=True):
                torch.mul(turned.square(), 1 - self._phase.betas[1], out=squared)

    def _turn(self, vector: Tensor) -> Tensor:
        """Return Q' V P for every weight matrix V in a vector, and the rest as it is."""
        turned = vector.clone()
        for (rows, columns), matrix in zip(self._sides, matrices(turned, self._shapes), strict=True):
            matrix.copy_(rows.basis.T @ matrix @ columns.basis)
        return turned

    def _turn_back(self, vector: Tensor) -> Tensor:
        """Return Q V P' for every weight matrix V in a vector, and the rest as it is."""
        turned = vector.clone()
        for (rows, columns), matrix in zip(self._sides, matrices(turned, self._shapes), strict=True):
            matrix.copy_(rows.basis @ matrix @ columns.basis.T)
        return turned

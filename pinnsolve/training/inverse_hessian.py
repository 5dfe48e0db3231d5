"""Inverse Hessians: what quasi-Newton steps remember of the curvature, from displacements s and changes of gradient y.

Every update satisfies the secant equation H y = s and keeps H positive definite as long as s.y > 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


class InverseHessian(Protocol):
    """An approximation H of the inverse Hessian."""

    @property
    def empty(self) -> bool:
        """Whether nothing is remembered: H is the identity."""
        ...

    def apply(self, gradient: Float[Tensor, " parameters"]) -> Float[Tensor, " parameters"]:
        """Return H g."""
        ...

    def update(
        self,
        displacement: Float[Tensor, " parameters"],
        change: Float[Tensor, " parameters"],
        *,
        gradient: Float[Tensor, " parameters"],
        step: float,
    ) -> None:
        """Learn s and y, and from which gradient g and with which step length t they came: s = -t H g."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...

    def state(self) -> dict[str, Tensor | float]:
        """Return copies of all there is."""
        ...

    def load(self, state: Mapping[str, Tensor | float]) -> None:
        """Continue from what `state` returned."""
        ...


class LimitedMemory:
    """The last m pairs (s_i, y_i), applied by the two-loop recursion (Nocedal & Wright, algorithm 7.4).

    Both loops are forward substitutions in disguise. With the pairs as rows of S and Y, R the upper triangle of S Y^T,
    D its diagonal and H_0 = gamma I, gamma = s.y / y.y of the last pair (eq. 7.20),

        R a = S g,    q = g - Y^T a,    R^T c = D a - gamma Y q,    H g = gamma q + S^T c,

    where c_i = a_i - b_i in their notation: four matrix-vector products and two small triangular systems in place of 4m
    vector operations (compare Byrd, Nocedal & Schnabel 1994, Math. Program. 63, theorem 2.2).

    Args:
        zero: A zero vector of the objective's size, precision and device.
        history: Number of pairs kept, m; memory is 2 m vectors.
    """

    def __init__(self, zero: Float[Tensor, " parameters"], history: int) -> None:
        self._displacements = zero.new_zeros(history, len(zero))  # S and Y: rings of rows
        self._changes = zero.new_zeros(history, len(zero))
        self._products = zero.new_zeros(history, history)  # R, by age: oldest first
        self._scale = zero.new_ones(())  # gamma
        self._updates = 0

    @property
    def empty(self) -> bool:
        """Whether no pair is stored."""
        return self._updates == 0

    def apply(self, gradient: Float[Tensor, " parameters"]) -> Float[Tensor, " parameters"]:
        """Return H g."""
        count, oldest = self._filled()
        displacements, changes = self._displacements[:count], self._changes[:count]
        products = self._products[:count, :count]
        first = _solve(products, (displacements @ gradient).roll(-oldest), upper=True)
        rest = gradient - first.roll(oldest) @ changes
        right = products.diagonal() * first - self._scale * (changes @ rest).roll(-oldest)
        second = _solve(products.mT, right, upper=False)
        return self._scale * rest + second.roll(oldest) @ displacements

    def update(
        self,
        displacement: Float[Tensor, " parameters"],
        change: Float[Tensor, " parameters"],
        *,
        gradient: Float[Tensor, " parameters"],
        step: float,
    ) -> None:
        """Store a pair in place of the oldest."""
        history = len(self._products)
        slot = self._updates % history
        if self._updates >= history:
            self._products[:-1, :-1] = self._products[1:, 1:].clone()
        self._displacements[slot], self._changes[slot] = displacement, change
        self._updates += 1
        count, oldest = self._filled()
        self._products[:count, count - 1] = (self._displacements[:count] @ change).roll(-oldest)
        self._scale = self._products[count - 1, count - 1] / change.dot(change)

    def reset(self) -> None:
        """Forget all pairs."""
        self._updates = 0

    def state(self) -> dict[str, Tensor | float]:
        """Return copies of the pairs and their products."""
        return {
            "displacements": self._displacements.clone(),
            "changes": self._changes.clone(),
            "products": self._products.clone(),
            "scale": self._scale.clone(),
            "updates": self._updates,
        }

    def load(self, state: Mapping[str, Tensor | float]) -> None:
        """Continue from what `state` returned."""
        self._displacements.copy_(torch.as_tensor(state["displacements"]))
        self._changes.copy_(torch.as_tensor(state["changes"]))
        self._products.copy_(torch.as_tensor(state["products"]))
        self._scale = torch.as_tensor(state["scale"]).to(self._scale).clone()
        self._updates = int(state["updates"])

    def _filled(self) -> tuple[int, int]:
        """Return the number of pairs and the row of the oldest."""
        history = len(self._products)
        return (self._updates, 0) if self._updates <= history else (history, self._updates % history)


def _solve(matrix: Tensor, right: Tensor, *, upper: bool) -> Tensor:
    return torch.linalg.solve_triangular(matrix, right[:, None], upper=upper)[:, 0]

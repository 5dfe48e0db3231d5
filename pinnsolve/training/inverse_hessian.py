"""Inverse Hessians: what quasi-Newton steps remember of the curvature, from displacements s and changes of gradient y.

Every update satisfies the secant equation H y = s and keeps H positive definite as long as s.y > 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


_BLOCK_ROWS = 128
"""Rows of a dense matrix that are worked on at once on a CPU: up to 2 MB at 2,000 parameters, which stay in the cache."""


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
        *,
        before: Float[Tensor, " parameters"],
        after: Float[Tensor, " parameters"],
        step: float,
    ) -> None:
        """Learn a step s = -t H g of the length t, from the gradients g before and g + y after it."""
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
        *,
        before: Float[Tensor, " parameters"],
        after: Float[Tensor, " parameters"],
        step: float,
    ) -> None:
        """Store a pair in place of the oldest."""
        change = after - before
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


class Member(Protocol):
    """Chooses a member of Broyden's family, tau and phi, from what a step has shown of H."""

    def __call__(self, b: float, h: float, *, size: int) -> tuple[float, float]:
        """Return tau and phi from b = s.B s / s.y, h = y.H y / s.y and the number of parameters; B = 1 / H, b h >= 1."""
        ...


class BroydenFamily:
    """A dense matrix, updated within Broyden's family, perhaps after scaling down what the last step has shown to be too long.

    With Hy = H y, the self-scaled update of Al-Baali (1998), Comput. Optim. Appl. 9, in the form of Urbán, Stefanou & Pons
    (2025), J. Comput. Phys. 523, sec. 2.3, is

        H+ = (H - Hy Hy^T / y.Hy + phi v v^T) / tau + s s^T / s.y,    v = sqrt(y.Hy) (s / s.y - Hy / y.Hy),

    that is H+ = H / tau + W C W^T with the two columns W = (s, Hy). A step passes once through memory: H is symmetric, so that only
    blocks of rows of its lower triangle are kept; while a block is in the cache it takes up the last update and is multiplied by
    the gradient g+ after the step. All else follows from H g+: H y = H g+ - H g, where H g is known from the step, and H+ g+.

    Args:
        zero: A zero vector of the objective's size n, precision and device; memory is n^2 numbers.
        member: Chooses tau and phi at every update.
    """

    def __init__(self, zero: Float[Tensor, " parameters"], member: Member) -> None:
        self._member = member
        self._matrix = zero.new_zeros(len(zero), len(zero))
        self._updates = 0
        # A GPU has the bandwidth, and would wait for many small operations.
        height = len(zero) if zero.is_cuda else _BLOCK_ROWS
        self._blocks = [(k, min(k + height, len(zero))) for k in range(0, len(zero), height)]
        self._pending: tuple[Tensor, Tensor, float] | None = None  # W C, W and 1 / tau of the last update
        self._known: tuple[Tensor, Tensor] | None = None  # the last g asked for, and H g

    @property
    def empty(self) -> bool:
        """Whether no pair was learned."""
        return self._updates == 0

    def apply(self, gradient: Float[Tensor, " parameters"]) -> Float[Tensor, " parameters"]:
        """Return H g."""
        if self._known is None or not torch.equal(self._known[0], gradient):
            self._known = (gradient, self._product(gradient))
        return self._known[1].clone()

    def update(
        self,
        displacement: Float[Tensor, " parameters"],
        *,
        before: Float[Tensor, " parameters"],
        after: Float[Tensor, " parameters"],
        step: float,
    ) -> None:
        """Learn a pair; the first one sets the scale, H = s.y / y.y."""
        change = after - before
        modelled = -step * displacement.dot(before)  # s.B s, as B s = -t g for B the inverse of H
        if self.empty:
            scale = displacement.dot(change) / change.dot(change)
            self._matrix.zero_().diagonal().copy_(scale)
            self._pending = self._known = None
            modelled = displacement.dot(displacement) / scale
        known = self.apply(before)
        ahead = self._product(after)
        image = ahead - known
        curvature, length, model = torch.stack([displacement.dot(change), change.dot(image), modelled]).tolist()
        tau, phi = self._member(model / curvature, length / curvature, size=len(change))
        mixed = -phi / (curvature * tau)
        first = phi * length / (curvature * curvature * tau) + 1 / curvature
        weights = change.new_tensor([[first, mixed], [mixed, (phi - 1) / (length * tau)]])
        columns = torch.stack([displacement, image], dim=1)
        self._pending = (columns @ weights, columns, 1 / tau)
        self._known = (after, ahead / tau + self._pending[0] @ (columns.mT @ after))
        self._updates += 1

    def reset(self) -> None:
        """Forget everything."""
        self._updates, self._known = 0, None

    def state(self) -> dict[str, Tensor | float]:
        """Return copies of the matrix, and of the last product."""
        self._take_up()
        matrix = self._matrix.clone()
        for start, end in self._blocks:
            matrix[:start, start:end] = matrix[start:end, :start].mT
        known = {} if self._known is None else {"known": torch.stack(self._known)}
        return {"matrix": matrix, "updates": self._updates, **known}

    def load(self, state: Mapping[str, Tensor | float]) -> None:
        """Continue from what `state` returned."""
        self._matrix.copy_(torch.as_tensor(state["matrix"]))
        self._updates, self._pending, self._known = int(state["updates"]), None, None
        if "known" in state:
            gradient, product = torch.as_tensor(state["known"]).to(self._matrix).clone()
            self._known = (gradient, product)

    def _product(self, vector: Tensor) -> Tensor:
        """Return H v, and take up the pending update on the way."""
        image = torch.zeros_like(vector)
        for start, end in self._blocks:
            rows = self._updated(start, end)
            image[start:end].addmv_(rows, vector[:end])
            image[:start].addmv_(rows[:, :start].mT, vector[start:end])  # the rows' mirror image
        self._pending = None
        return image

    def _take_up(self) -> None:
        """Take up the pending update, to the same last bit as on the way of a product."""
        for start, end in self._blocks:
            self._updated(start, end)
        self._pending = None

    def _updated(self, start: int, end: int) -> Tensor:
        """Return a block of rows of the lower triangle, changed in place by the pending update."""
        rows = self._matrix[start:end, :end]
        if self._pending is not None:
            weighted, columns, scale = self._pending
            rows.addmm_(weighted[start:end], columns[:end].mT, beta=scale)
        return rows


def bfgs(b: float, h: float, *, size: int) -> tuple[float, float]:
    """Choose tau = phi = 1: the update of Broyden, Fletcher, Goldfarb and Shanno (Nocedal & Wright, eq. 6.17)."""
    return 1.0, 1.0


def self_scaled_bfgs(b: float, h: float, *, size: int) -> tuple[float, float]:
    """Choose phi = 1, tau = min(1, 1/b): BFGS of a Hessian scaled down to the curvature met, never up (Al-Baali 1998)."""
    tau = 1 / max(1.0, b)
    return (tau, 1.0) if tau > 0 else (1.0, 1.0)


def self_scaling(b: float, h: float, *, size: int) -> tuple[float, float]:
    """Choose scaling tau and member phi of Broyden's family (Urbán, Stefanou & Pons 2025, sec. 2.3).

    Args:
        b: The curvature along the step that the old matrix promised, relative to the one met.
        h: The same seen from the gradients.
        size: Number of parameters.

    Returns:
        tau and phi; those of BFGS, both 1, where the formulas overflow.
    """
    excess = max(h * b - 1.0, 0.0)
    if excess == 0:  # s and Hy are parallel: all members of the family are one
        return 1 / max(1.0, b), 1.0
    rho = min(1.0, h * (1 - math.sqrt(excess / (1 + excess))))
    if rho <= 0:
        return 1.0, 1.0
    theta = max((rho - 1) / excess, min(1 / rho, (1 - b) / b))
    sigma = 1 + excess * theta
    if not 0 < sigma < math.inf:
        return 1.0, 1.0
    shrink = min(1.0, 1 / b)
    volume = sigma ** (-1 / (size - 1)) if size > 1 else 1.0
    tau = min(shrink * volume, sigma) if theta <= 0 else shrink * min(volume, 1 / theta)
    phi = (1 - theta) / sigma
    return (tau, phi) if 0 < tau < math.inf else (1.0, 1.0)


def _solve(matrix: Tensor, right: Tensor, *, upper: bool) -> Tensor:
    return torch.linalg.solve_triangular(matrix, right[:, None], upper=upper)[:, 0]

"""Krylov methods: Gauss-Newton steps by conjugate gradients, which ask of the Jacobian no more than products with vectors.

With rho the scaled residuals and R their Jacobian, a step solves (R'R + lambda I) d = -R'rho. Small eigenvalues of R'R are what
makes these steps worth their price, and what makes conjugate gradients slow; the large ones, which decay fast, are taken care of
by a preconditioner of low rank from products with l random vectors, U diag(s) U' ~ R'R (Frangella, Tropp and Udell, Randomized
Nyström preconditioning, 2023, algorithm 2.1 and eq. 5.3),

    P^-1 = (s_l + lambda) U (diag(s) + lambda I)^-1 U' + (I - U U'),

with which conjugate gradients (ibid., algorithm 5.1) see the condition number (s_l + lambda) / lambda.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pinnsolve.training.damped_descent import FEW_ROWS_DAMPING, DampedStepper, Proposal, require_damped
from pinnsolve.training.distributed import ALONE, Group
from pinnsolve.training.jacobians import ScaledJacobian
from pinnsolve.training.normal_equations import scaled_jacobian
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import Expired, State, never, require

_RENEWAL = 10
"""Steps between two sketches: large eigenvalues change slowly, and an old preconditioner costs iterations, not accuracy."""

_SHORTEST = 0.1
"""Part of a step below which a larger damping is the better way to a shorter one."""

Product = Callable[[Tensor], Tensor]
"""From a vector to that times a symmetric positive semidefinite matrix."""


@dataclass(frozen=True)
class GaussNewtonCG:
    """Gauss-Newton by preconditioned conjugate gradients, without a matrix: for any number of parameters and of points.

    An iteration costs one product with R and one with R', together two to four gradients. More iterations make better steps.

    Attributes:
        steps: Number of steps.
        damping: First damping lambda relative to the curvature along the gradient; it follows the achieved falls of the loss.
        iterations: Iterations of conjugate gradients at most.
        rank: Number of random vectors of the preconditioner, of the length of the parameters each; 0 does without one.
        tolerance: Length of the residual of the linear system, relative to its right-hand side, at which the iterations end.
        resample: Steps between two draws of the points; 0 keeps them.
        seed: Of the random vectors.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.Adam(steps=500), ps.GaussNewtonCG(steps=300, rank=30)])
    """

    name: ClassVar[str] = "gauss_newton_cg"

    steps: int
    _: KW_ONLY
    damping: float = 1e-3
    iterations: int = 100
    rank: int = 50
    tolerance: float = 1e-2
    resample: int = 1
    seed: int = 0
    dtype: str | None = "float64"

    def __post_init__(self) -> None:
        require_damped(self)
        require(
            self,
            iterations=(self.iterations >= 1, "a number of iterations of at least 1, such as 100"),
            rank=(self.rank >= 0, "a number of random vectors, or 0 for no preconditioner"),
            tolerance=(0 <= self.tolerance < 1, "a number below 1 such as 1e-2"),
            seed=(self.seed >= 0, "a whole number"),
        )

    def start(self, objective: Objective) -> DampedStepper:
        """Begin without a preconditioner."""
        return DampedStepper(self.damping, _Iterated(self))


@dataclass(frozen=True, eq=False)
class Nystrom:
    """A matrix of low rank, U diag(s) U', near a positive semidefinite one.

    Attributes:
        basis: U, orthonormal columns, shape (size, rank).
        values: s, descending, shape (rank,).
    """

    basis: Tensor
    values: Tensor

    def like(self, vector: Tensor) -> Nystrom:
        """Return the same in the precision and on the device of a vector."""
        return Nystrom(self.basis.to(vector), self.values.to(vector))

    def precondition(self, vector: Tensor, *, damping: float) -> Tensor:
        """Return P^-1 v for the matrix plus lambda I."""
        parts = self.basis.t() @ vector
        scaled = (self.values[-1] + damping) / (self.values + damping) - 1
        return torch.addmv(vector, self.basis, scaled * parts)


@dataclass(frozen=True, eq=False)
class Solved:
    """What conjugate gradients found.

    Attributes:
        solution: x.
        residual: b - A x, as updated on the way.
        iterations: How many were made.
    """

    solution: Tensor
    residual: Tensor
    iterations: int


def nystrom(
    times: Product, size: int, rank: int, *, like: Tensor, generator: torch.Generator, group: Group = ALONE
) -> Nystrom | None:
    """Sketch a positive semidefinite matrix by its products with random vectors (Frangella and others 2023, algorithm 2.1).

    Args:
        times: The matrix, of so many rows.
        size: Number of rows.
        rank: Number of products.
        like: Whose precision and device are used.
        generator: Where the random numbers come from; on the host, so that they are the same on every device.
        group: Ranks that make the products together.

    Returns:
        The sketch; None where a product was not finite, or nothing but rounding.
    """
    rank = min(rank, size)
    normal = torch.randn(size, rank, generator=generator, dtype=torch.float64).to(like)
    probe = group.led(torch.linalg.qr(normal)[0])
    image = torch.stack([times(column) for column in probe.unbind(1)], dim=1)
    if group.any(not bool(image.isfinite().all())):
        return None
    shift = math.sqrt(size) * torch.finfo(like.dtype).eps * float(torch.linalg.vector_norm(image))
    image += shift * probe
    factor, failed = torch.linalg.cholesky_ex(probe.t() @ image)
    if group.any(shift == 0 or bool(failed)):
        return None
    half = torch.linalg.solve_triangular(factor.mT, image, upper=True, left=False)
    if group.any(not bool(half.isfinite().all())):
        return None
    basis, roots, _ = torch.linalg.svd(half, full_matrices=False)
    return Nystrom(group.led(basis), group.led((roots.square() - shift).clamp(min=0)))


def conjugate_gradients(
    times: Product,
    right: Tensor,
    *,
    precondition: Product,
    iterations: int,
    tolerance: float,
    expired: Expired = never,
    group: Group = ALONE,
) -> Solved:
    """Solve A x = b from x = 0 (Frangella and others 2023, algorithm 5.1).

    Whenever it ends, b.x > 0 for b other than zero: x is a direction of descent. It ends early, with what it has, where a product
    is not finite or rounding has made A indefinite.

    Args:
        times: A, positive definite.
        right: b.
        precondition: P^-1, positive definite.
        iterations: At most.
        tolerance: Length of the residual, relative to b, at which to end.
        expired: Asked before every iteration but the first.
        group: Ranks that make the products together.
    """
    solution, residual = torch.zeros_like(right), right
    image = precondition(residual)
    length, square = group.numbers(torch.stack([torch.linalg.vector_norm(right), residual.dot(image)]))
    direction, enough = image, tolerance * length
    made = 0
    while made < iterations and 0 < square < math.inf and not (made and expired()):
        product = times(direction)
        (curvature,) = group.numbers(direction.dot(product)[None])
        if not 0 < curvature < math.inf:
            break
        made += 1
        length = square / curvature
        solution = torch.add(solution, direction, alpha=length)
        residual = torch.sub(residual, product, alpha=length)
        (rest,) = group.numbers(torch.linalg.vector_norm(residual)[None])
        if not rest > enough:
            break
        image, before = precondition(residual), square
        (square,) = group.numbers(residual.dot(image)[None])
        direction = torch.add(image, direction, alpha=square / before)
    return Solved(solution, residual, made)


class _Iterated:
    """Steps by conjugate gradients; the sketch is carried over.

    Args:
        phase: The description.
    """

    shortest = _SHORTEST

    def __init__(self, phase: GaussNewtonCG) -> None:
        self.phase = phase
        self._generator = torch.Generator().manual_seed(phase.seed)
        self._sketch: Nystrom | None = None
        self._age = 0  # steps since the sketch was drawn

    def linearise(self, objective: Objective, expired: Expired) -> _Products:
        """Keep the graph of the residuals, and renew the preconditioner when it is old."""
        rows = scaled_jacobian(objective, parts=len(objective.chunks))
        if len(objective.chunks) == 1:  # graphs of several parts may be more than there is room for
            rows.keep()
        model = _Products(self.phase, rows, expired)
        if self.phase.rank and (self._sketch is None or self._age >= _RENEWAL):
            rank, like, generator = self.phase.rank, model.gradient, self._generator
            times, group = rows.normal_times, objective.group
            self._sketch = nystrom(times, rows.size, rank, like=like, generator=generator, group=group)
            self._age = 0
        self._age += 1
        model.sketch = None if self._sketch is None else self._sketch.like(model.gradient)
        return model

    def accept(self, proposal: Proposal) -> None:
        """Learn nothing: the sketch belongs to where the parameters were."""

    def forget(self) -> None:
        """Draw a new sketch at the next step."""
        self._sketch = None

    def state(self) -> State:
        """Return the sketch, its age and the state of the generator."""
        found: dict[str, Tensor | float] = {"age": self._age, "generator": self._generator.get_state()}
        if self._sketch is not None:
            found |= {"basis": self._sketch.basis.clone(), "values": self._sketch.values.clone()}
        return found

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._age = int(state["age"])
        self._generator.set_state(torch.as_tensor(state["generator"]).cpu())
        self._sketch = None
        if "basis" in state:
            self._sketch = Nystrom(torch.as_tensor(state["basis"]).clone(), torch.as_tensor(state["values"]).clone())


class _Products:
    """R where a step begins, known by its products."""

    def __init__(self, phase: GaussNewtonCG, rows: ScaledJacobian, expired: Expired) -> None:
        self._phase, self._rows, self._expired = phase, rows, expired
        self.sketch: Nystrom | None = None
        self.residual = rows.residual()
        self.gradient = rows.transposed_times(self.residual)
        # The curvature along the gradient is of the size of the largest eigenvalue of R'R, whose diagonal nobody knows.
        norm = torch.linalg.vector_norm(self.gradient)
        along = rows.times(self.gradient / norm) if rows.group.any(bool(norm)) else norm[None]
        (self.largest,) = rows.group.numbers(along.dot(along)[None])
        self.least = FEW_ROWS_DAMPING if rows.count < rows.size else 0.0

    def propose(self, damping: float) -> Proposal | None:
        """Return d as far as the iterations came."""
        sketch = self.sketch
        found = conjugate_gradients(
            lambda v: torch.add(self._rows.normal_times(v), v, alpha=damping),
            -self.gradient,
            precondition=(lambda v: v) if sketch is None else lambda v: sketch.precondition(v, damping=damping),
            iterations=self._phase.iterations,
            tolerance=self._phase.tolerance,
            expired=self._expired,
            group=self._rows.group,
        )
        step = found.solution
        if not found.iterations:
            return None
        products = torch.stack([self.gradient.dot(step), step.dot(step), found.residual.dot(step)])
        along, square, rest = self._rows.group.numbers(products)
        # |R d|^2 = d'R'R d, and (R'R + lambda I) d = -R'rho - rest.
        return Proposal(step, -2 * along, -along - damping * square - rest)

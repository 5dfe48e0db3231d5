"""Levenberg-Marquardt: Gauss-Newton steps of the scaled residuals, damped as far as the model of the loss can be trusted.

With rho = S r the residuals scaled by sqrt(w_k / N_k) and R = S J their Jacobian, the loss is |rho|^2 and a step solves

    (R'R + lambda I) d = -R' rho                                        (Levenberg 1944; Marquardt 1963)

by Cholesky, or, with fewer rows than parameters, d = -R' (R R' + lambda I)^-1 rho, which is the same vector. To it comes the
acceleration along the path that the damped steps describe (Transtrum and Sethna, Improvements to the Levenberg-Marquardt
algorithm, 2012, eq. 15),

    a = -1/2 (R'R + lambda I)^-1 R' rho_dd,   rho_dd = (rho(theta + h d) - 2 rho(theta) + rho(theta - h d)) / h^2,

with rho_dd the second derivative of rho along d. Losses of differential equations are narrow curved valleys: on Helmholtz
problems the acceleration costs a tenth of a step and saves half of them. The damping follows from the ratio of achieved to
predicted decrease (Nielsen, Damping parameter in Marquardt's method, 1999, eq. 2.5).
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from pinnsolve.training.jacobians import ScaledJacobian
from pinnsolve.training.objective import Objective, Value
from pinnsolve.training.phase import PRECISIONS, Expired, State, Step, never, require
from pinnsolve.training.status import Status

_PROBE = 0.1
"""h above, as a part of the step: Transtrum and Sethna, section 4."""

_CURVED = 0.75
"""Longest acceleration relative to the step: a path more curved than that is not believed (ibid., eq. 18)."""

_MOST_DAMPING = 1e12
"""Damping, relative to the largest diagonal entry of R'R, beyond which steps are lost in rounding."""

_LEAST_BLOCK = 128
"""Width below which halving a symmetric product saves nothing."""

_PART_BYTES = 256 * 2**20
"""Bytes of a part of the Jacobian; parts are summed up, so memory does not grow with the points."""


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Levenberg-Marquardt with geodesic acceleration: for up to a few thousand parameters, the fewer the better.

    A step costs as much as ten to twenty gradients, most of it the product R'R, and is worth a hundred quasi-Newton steps on
    smooth solutions. Points may be redrawn as often as every step: nothing but the damping is carried over.

    Attributes:
        steps: Number of steps.
        damping: First damping relative to the largest diagonal entry of R'R.
        resample: Steps between two draws of the points; 0 keeps them.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.
    """

    name: ClassVar[str] = "levenberg_marquardt"

    steps: int
    _: KW_ONLY
    damping: float = 1e-3
    resample: int = 0
    dtype: str | None = "float64"

    def __post_init__(self) -> None:
        require(
            self,
            steps=(self.steps >= 1, "a number of steps of at least 1"),
            damping=(0 < self.damping < math.inf, "a small positive number such as 1e-3"),
            resample=(self.resample >= 0, "a number of steps, or 0 to keep the points"),
            dtype=(self.dtype is None or self.dtype in PRECISIONS, f"one of {list(PRECISIONS)}, or None"),
        )

    def start(self, objective: Objective) -> LevenbergMarquardtStepper:
        """Begin with the damping of the description."""
        return LevenbergMarquardtStepper(self)


class LevenbergMarquardtStepper:
    """The moving parts: the damping, and the factor by which it grows at the next failure.

    Args:
        phase: The description.
    """

    def __init__(self, phase: LevenbergMarquardt) -> None:
        self._phase = phase
        self._damping = math.nan
        self._growth = 2.0

    def step(self, objective: Objective, *, expired: Expired = never) -> Step:
        """Linearise once, then raise the damping until the loss falls."""
        start, value = objective.vector, objective.value()
        if not math.isfinite(value.loss):
            return Step(math.nan, value.terms, 1, 0.0)
        if value.loss == 0:
            return Step(0.0, value.terms, 1, 0.0, Status.CONVERGED)
        rows = scaled_jacobian(objective)
        residual = rows.residual()
        system: _System = (_Primal if rows.count >= len(start) else _Dual)(rows, residual)
        sound = math.isfinite(system.largest) and bool(residual.isfinite().all() & system.gradient.isfinite().all())
        if not sound:
            return Step(math.nan, value.terms, 1, 0.0)
        if torch.finfo(start.dtype).eps * system.largest == 0:  # no damping would ever be large beside it
            return Step(value.loss, value.terms, 1, 0.0, _explain(system, value.loss))
        if math.isnan(self._damping):
            self._damping = self._phase.damping * system.largest
        found, tries = self._descend(objective, rows, system, residual, value.loss, expired)
        if found is not None:
            return Step(found.loss, found.terms, tries + 1, self._damping)
        objective.vector = start
        status = None if expired() else _explain(system, value.loss)
        return Step(value.loss, value.terms, tries + 1, 0.0, status)

    def restart(self, objective: Objective) -> None:
        """Keep the damping: it belongs to the parameters more than to the points."""

    def damp(self, objective: Objective, factor: float) -> None:
        """Raise the damping, which shortens the steps."""
        self._damping /= factor

    def state(self) -> State:
        """Return the damping and its growth."""
        return {"damping": self._damping, "growth": self._growth}

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._damping, self._growth = float(state["damping"]), float(state["growth"])

    def _descend(
        self,
        objective: Objective,
        rows: ScaledJacobian,
        system: _System,
        residual: Tensor,
        loss: float,
        expired: Expired,
    ) -> tuple[Value | None, int]:
        """Try dampings until one lowers the loss; the parameters are then where it led."""
        start = objective.vector
        least = torch.finfo(start.dtype).eps * system.largest
        tries, most = 0, _MOST_DAMPING * system.largest
        while tries == 0 or (self._damping <= most and not expired()):
            tries += 1
            self._damping = max(self._damping, least)
            step = -system.solve(residual) if system.damp(self._damping) else None
            if step is not None and bool(step.isfinite().all()):
                predicted = float(self._damping * step.dot(step) - system.gradient.dot(step))
                bend = -2 * residual
                for sign in (1, -1):
                    objective.vector = start + sign * _PROBE * step
                    bend += rows.residual()
                bend /= _PROBE**2
                objective.vector = start  # where the system was formed
                acceleration = -0.5 * system.solve(bend)
                if torch.linalg.vector_norm(acceleration) <= _CURVED * torch.linalg.vector_norm(step):
                    step += acceleration
                if bool(step.isfinite().all()):
                    objective.vector = start + step
                    value = objective.value()
                    if value.loss < loss:
                        # Residuals below the root of the least number predict a fall of nothing.
                        self._relax((loss - value.loss) / predicted if predicted > 0 else 0.0)
                        return value, tries
                    objective.vector = start
            self._damping *= self._growth
            self._growth *= 2
        self._damping = min(self._damping, most)
        return None, tries

    def _relax(self, ratio: float) -> None:
        """Lower the damping after a success, the more the better the loss was predicted."""
        trust = min(max(ratio, 0.0), 1.0)
        self._damping *= max(1 / 3, 1 - (2 * trust - 1) ** 3)
        self._growth = 2.0


def scaled_jacobian(objective: Objective) -> ScaledJacobian:
    """Return R at the present parameters, in parts of a bounded number of bytes."""
    points = objective.points
    scales = dict(zip(points, objective.row_scales().split([len(p) for p in points.values()]), strict=True))
    count = sum(map(len, scales.values()))
    number = max(1, -(-count * objective.size * objective.vector.element_size() // _PART_BYTES))
    parts = []
    for k in range(number):
        cut = {n: slice(k * len(s) // number, (k + 1) * len(s) // number) for n, s in scales.items()}
        shared: dict[int, Tensor] = {}
        some = {n: shared.setdefault(id(p), p[cut[n]]) for n, p in points.items() if cut[n].start < cut[n].stop}
        parts.append((objective.jacobian(some), torch.cat([scales[n][cut[n]] for n in some])))
    return ScaledJacobian(parts)


class _System(Protocol):
    """(R'R + lambda I) x = R'v, for many v and some lambda."""

    gradient: Tensor
    largest: float

    def damp(self, damping: float) -> bool:
        """Factorise for this lambda; False where rounding has made the matrix indefinite."""
        ...

    def solve(self, vector: Tensor) -> Tensor:
        """Return x for the last lambda."""
        ...


class _Primal:
    """By R'R, summed over parts of the rows, none of which is kept."""

    def __init__(self, rows: ScaledJacobian, residual: Tensor) -> None:
        self._rows = rows
        self.gradient = rows.transposed_times(residual)
        self._matrix = residual.new_zeros(len(self.gradient), len(self.gradient))
        for part in rows.parts():
            self._matrix += symmetric_product(part)
        self.largest = float(self._matrix.diagonal().max())

    def damp(self, damping: float) -> bool:
        """Factorise R'R + lambda I."""
        self._factor, failed = _cholesky(self._matrix, damping)
        return not failed

    def solve(self, vector: Tensor) -> Tensor:
        """Return (R'R + lambda I)^-1 R'v; the objective must be where the rows were formed."""
        return torch.cholesky_solve(self._rows.transposed_times(vector)[:, None], self._factor)[:, 0]


class _Dual:
    """By R R', which is smaller where there are fewer rows than parameters; the rows are kept."""

    def __init__(self, rows: ScaledJacobian, residual: Tensor) -> None:
        self._matrix = torch.cat(list(rows.parts()))
        self._kernel = symmetric_product(self._matrix.t())
        self.gradient = self._matrix.t() @ residual
        self.largest = float(self._matrix.square().sum(0).max())

    def damp(self, damping: float) -> bool:
        """Factorise R R' + lambda I."""
        self._factor, failed = _cholesky(self._kernel, damping)
        return not failed

    def solve(self, vector: Tensor) -> Tensor:
        """Return R' (R R' + lambda I)^-1 v."""
        return self._matrix.t() @ torch.cholesky_solve(vector[:, None], self._factor)[:, 0]


def symmetric_product(matrix: Tensor) -> Tensor:
    """Return A'A, shape (columns, columns), from A of shape (rows, columns), at little more than half the cost of a product."""
    columns = matrix.shape[1]
    if columns <= _LEAST_BLOCK:
        return matrix.t() @ matrix
    half = columns // 2
    left, right = matrix[:, :half], matrix[:, half:]
    product = matrix.new_empty(columns, columns)
    product[:half, :half] = symmetric_product(left)
    product[half:, half:] = symmetric_product(right)
    torch.mm(left.t(), right, out=product[:half, half:])
    product[half:, :half] = product[:half, half:].t()
    return product


def _cholesky(matrix: Tensor, damping: float) -> tuple[Tensor, bool]:
    shifted = matrix.clone()
    shifted.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(shifted)
    return factor, bool(failed) or not bool(factor.diagonal().isfinite().all())


def _explain(system: _System, loss: float) -> Status:
    """Say why no damping lowers the loss: nothing is left to gain, or the model is wrong even for the shortest steps."""
    length = float(torch.linalg.vector_norm(system.gradient))
    flat = length * length <= 1e3 * torch.finfo(system.gradient.dtype).eps * loss * system.largest
    return Status.CONVERGED if flat else Status.STALLED

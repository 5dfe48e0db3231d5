"""Private gradients: the gradient of a misfit with a bound on what any record adds to it, and noise that hides each.

With the gradient g_i of what record i adds to the loss, a step of Abadi et al., Deep learning with differential privacy, 2016,
algorithm 1, takes in place of the mean

    ( sum_{i drawn}  g_i min(1, C / |g_i|)  +  N(0, sigma² C² I) ) / (q N),

each record drawn with probability q by itself. A record's g_i = sum_k w_k / max(w) 2 r_k,i J_k,i follows from the rows of the
Jacobians of the terms that it enters. Nothing else may look at the records: no loss of them is computed, and none is reported.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pinnsolve.training.gradients import Residuals
from pinnsolve.training.jacobians import ROW_MEMORY, Jacobian
from pinnsolve.training.objective import Evaluation, Objective


@dataclass(frozen=True)
class Mechanism:
    """How records are hidden.

    Attributes:
        clip: Bound C on the length of a record's gradient.
        noise: Standard deviation of the noise over the bound.
        sample: Probability q of being drawn.
        releases: Steps that may be made at most.
    """

    clip: float
    noise: float
    sample: float
    releases: int


class PrivateGradient:
    """A source of noised gradients of a misfit, which counts how often it was asked.

    The noise comes from the operating system's entropy, never from a run's seed: whoever could repeat it could take it away.

    Args:
        module: Holds the parameters.
        residuals: Evaluates the terms that records enter, each named as its points.
        points: Tensors by the name of the term, row i of each belonging to record i.
        weights: Of the terms in the loss.
        mechanism: How records are hidden.
    """

    def __init__(
        self,
        module: nn.Module,
        residuals: Residuals,
        points: Mapping[str, Tensor],
        weights: Mapping[str, float],
        mechanism: Mechanism,
    ) -> None:
        self._module, self._residuals, self._points = module, residuals, dict(points)
        self._scale = max(weights.get(name, 1.0) for name in points)
        self._factors = {name: weights.get(name, 1.0) / self._scale for name in points}
        self._mechanism = mechanism
        self._generator = torch.Generator().manual_seed(secrets.randbits(63))
        self.count = len(next(iter(points.values())))
        self.releases = 0

    @property
    def left(self) -> int:
        """How often it may still be asked."""
        return self._mechanism.releases - self.releases

    def release(self, like: Tensor) -> Tensor:
        """Return a noised gradient, shape (parameters,).

        Args:
            like: Gives precision and device.

        Raises:
            RuntimeError: It was asked as often as it may be.
        """
        if self.left < 1:
            raise RuntimeError("a private gradient was asked for beyond the budget")
        self.releases += 1
        mechanism = self._mechanism
        drawn = torch.nonzero(torch.rand(self.count, generator=self._generator, dtype=torch.float64) < mechanism.sample)
        total = torch.zeros_like(like)
        size = max(1, ROW_MEMORY // (like.numel() * like.element_size()))
        for part in drawn[:, 0].split(size) if len(drawn) else ():
            total += self._clipped(part, like)
        noise = torch.randn(like.numel(), generator=self._generator, dtype=torch.float64).to(like)
        total += mechanism.noise * mechanism.clip * noise
        return self._scale * total / (mechanism.sample * self.count)

    def _clipped(self, records: Tensor, like: Tensor) -> Tensor:
        """Return the sum of the gradients of some records, none longer than the bound."""
        rows = torch.zeros(len(records), like.numel(), dtype=like.dtype, device=like.device)
        for name, points in self._points.items():
            some = {name: points[records.to(points.device)].to(like)}
            jacobian = Jacobian(self._module, self._residuals, some)
            rows += 2 * self._factors[name] * jacobian.residual()[:, None] * jacobian.rows()
        lengths = torch.linalg.vector_norm(rows, dim=1)
        shortened = (self._mechanism.clip / lengths).clamp(max=1.0)
        # A record whose gradient is not finite has no bounded contribution but none.
        usable = torch.isfinite(lengths)
        return torch.where(usable, shortened.nan_to_num(1.0), 0.0) @ torch.where(usable[:, None], rows, 0.0)


class PrivateObjective(Objective):
    """An objective of public terms whose gradient also contains that of private records, once `observe` has named them.

    Losses are those of the public terms alone.
    """

    _sources: Sequence[PrivateGradient] = ()

    def observe(self, sources: Sequence[PrivateGradient]) -> None:
        """Let every gradient from now on contain what these release."""
        self._sources = tuple(sources)

    @property
    def spent(self) -> bool:
        """Whether another step, of up to two gradients, might go beyond what may be released."""
        return any(source.left < 2 for source in self._sources)

    def evaluate(self, vector: Tensor | None = None) -> Evaluation:
        """Evaluate the public loss, and its gradient together with the private ones."""
        found = super().evaluate(vector)
        if not self._sources or not found.finite:
            return found
        gradient = found.gradient + sum(source.release(found.gradient) for source in self._sources)
        return Evaluation(found.loss, gradient, float(torch.linalg.vector_norm(gradient)), found.terms)

"""Objectives: residual vectors at points, and the weighted mean of their squares as a function of one flat vector.

With residual vectors r_k of N_k entries, one per term, and fixed weights w_k, the loss of the parameters theta is

    L(theta) = sum_k  w_k / N_k  sum_i  r_k,i(theta)^2,

the empirical risk of Raissi, Perdikaris & Karniadakis (2019), J. Comput. Phys. 378, eq. (3). Everything that trains,
network weights and unknown coefficients alike, is one vector theta: second-order methods need its inner products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

Points = Mapping[str, Tensor]
"""Point tensors by the name of their set."""

Residuals = Callable[[Points], Mapping[str, Tensor]]
"""From the points to one residual vector per term; terms need not be named as the point sets are."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The loss and its gradient at one parameter vector.

    Attributes:
        loss: The weighted sum over the terms.
        gradient: Its derivative with respect to the flat vector.
        gradient_norm: The Euclidean norm of `gradient`; not finite when any entry is not.
        terms: The unweighted mean square of every term.
    """

    loss: float
    gradient: Float[Tensor, " parameters"]
    gradient_norm: float
    terms: dict[str, float]

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are usable."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)

    def state(self) -> dict[str, Tensor | float]:
        """Return tensors and numbers by name, for a checkpoint; `load` reads them back."""
        terms = {f"term/{name}": value for name, value in self.terms.items()}
        return {"loss": self.loss, "gradient": self.gradient.clone(), "gradient_norm": self.gradient_norm, **terms}

    @classmethod
    def load(cls, state: Mapping[str, Tensor | float]) -> Evaluation | None:
        """Read what `state` returned out of a larger mapping; None when nothing is there."""
        if "gradient" not in state:
            return None
        terms = {key.removeprefix("term/"): float(value) for key, value in state.items() if key.startswith("term/")}
        gradient = torch.as_tensor(state["gradient"]).clone()
        return cls(float(state["loss"]), gradient, float(state["gradient_norm"]), terms)


@dataclass(frozen=True)
class Value:
    """The loss without its gradient.

    Attributes:
        loss: The weighted sum over the terms.
        terms: The unweighted mean square of every term.
    """

    loss: float
    terms: dict[str, float]


class Objective:
    """The weighted mean squares of residual vectors, as a function of all trainable parameters of a module.

    Args:
        module: Holds every parameter, network weights and unknowns; those with `requires_grad` make up the flat vector.
        residuals: Called with the points, returns one residual vector per term.
        points: Point tensors by name. They are kept as given and cast to the precision in force, so that a change
            from float32 to float64 and back moves no point.
        weights: Weight per term; 1 where none is given.

    Raises:
        ValueError: Nothing in the module can be trained, or (on first use) a weight names no term.
    """

    def __init__(
        self,
        module: nn.Module,
        residuals: Residuals,
        points: Points,
        *,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self._module = module
        self._residuals = residuals
        self._weights = dict(weights or {})
        self._weight_vector: Tensor | None = None
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not self._parameters:
            raise ValueError("The module has no parameter that requires a gradient: there is nothing to train.")
        self._sizes = [parameter.numel() for parameter in self._parameters]
        self._given = dict(points)
        self._points = self._cast(self._given)

    @property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(self._sizes)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of parameters and points."""
        return self._parameters[0].dtype

    @property
    def device(self) -> torch.device:
        """Device of parameters and points."""
        return self._parameters[0].device

    @property
    def points(self) -> Points:
        """The points in use, in the precision in force."""
        return self._points

    @property
    def count(self) -> int:
        """Number of points over all sets: what the cost of one evaluation is proportional to."""
        return sum(len(tensor) for tensor in self._points.values())

    @property
    def vector(self) -> Float[Tensor, " parameters"]:
        """A copy of all trainable parameters as one vector; assigning to it sets them."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters])

    @vector.setter
    def vector(self, vector: Float[Tensor, " parameters"]) -> None:
        with torch.no_grad():
            for parameter, part in zip(self._parameters, vector.split(self._sizes), strict=True):
                parameter.copy_(part.view_as(parameter))

    def replace_points(self, points: Points) -> None:
        """Use other points from now on; sets that are not named stay as they are.

        Args:
            points: Tensors by the name of an existing set.

        Raises:
            ValueError: A name that is not among the sets.
        """
        if unknown := sorted(set(points) - set(self._given)):
            raise ValueError(f"No point sets are named {unknown}; there are {sorted(self._given)}.")
        self._given.update(points)
        self._points = self._cast(self._given)

    def to(self, dtype: torch.dtype) -> None:
        """Change the precision of module and points.

        Args:
            dtype: A floating-point type.
        """
        self._module.to(dtype)
        self._points = self._cast(self._given)
        self._weight_vector = None

    def residuals(self) -> dict[str, Tensor]:
        """Evaluate one residual vector per term, differentiable with respect to the parameters."""
        return dict(self._residuals(self._points))

    def loss(self) -> Float[Tensor, ""]:
        """Evaluate the weighted sum of the terms' mean squares, differentiable with respect to the parameters."""
        return self._loss_and_means()[0]

    def value(self) -> Value:
        """Evaluate the loss without its gradient.

        The graph is recorded all the same: residuals may themselves differentiate with autograd.
        """
        with torch.enable_grad():
            loss, names, means = self._loss_and_means()
        total, *terms = torch.cat([loss[None], means]).tolist()
        return Value(total, dict(zip(names, terms, strict=True)))

    def evaluate(self, vector: Float[Tensor, " parameters"] | None = None) -> Evaluation:
        """Evaluate loss and gradient with one forward and one reverse pass.

        Results that are not finite are returned, never raised: whoever chose the vector decides what they mean.

        Args:
            vector: Where to evaluate; the parameters are set to it and stay there. None: where they are.

        Returns:
            The loss, its flat gradient, and the terms.
        """
        if vector is not None:
            self.vector = vector
        with torch.enable_grad():
            loss, names, means = self._loss_and_means()
            parts = torch.autograd.grad(loss, self._parameters, allow_unused=True, materialize_grads=True)
        gradient = torch.cat([part.reshape(-1) for part in parts])
        norm = torch.linalg.vector_norm(gradient)
        # The only wait for the device: every number the host needs comes over in one transfer.
        total, length, *terms = torch.cat([loss[None], norm[None], means]).tolist()
        return Evaluation(total, gradient, length, dict(zip(names, terms, strict=True)))

    def _loss_and_means(self) -> tuple[Tensor, tuple[str, ...], Tensor]:
        residuals = self.residuals()
        names = tuple(residuals)
        means = torch.stack([residual.square().mean() for residual in residuals.values()])
        if self._weight_vector is None:
            if unknown := sorted(set(self._weights) - set(names)):
                raise ValueError(f"Weights are given for {unknown}, which are not terms; the terms are {list(names)}.")
            self._weight_vector = means.new_tensor([self._weights.get(name, 1.0) for name in names])
        return means @ self._weight_vector, names, means

    def _cast(self, points: Points) -> dict[str, Tensor]:
        # Sets that share a tensor go on sharing it: terms on the same points are evaluated together.
        cast = {id(tensor): tensor.to(device=self.device, dtype=self.dtype) for tensor in points.values()}
        return {name: cast[id(tensor)] for name, tensor in points.items()}

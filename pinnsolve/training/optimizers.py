"""First-order optimizers that treat every parameter by itself: gradients, averaged and divided by their usual size.

With gradient g, all products, roots and quotients element by element, lr the learning rate with its decay, k the step from 1:

    Adam      m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) g²,
              theta <- theta - lr m / (1 - b1^k) / (sqrt(v / (1 - b2^k)) + eps)              Kingma & Ba (2015), algorithm 1
    AdamW     theta <- (1 - lr w) theta, then as Adam                        Loshchilov & Hutter (2019), algorithm 2, line 12
    SGD       u <- mu u + g,    theta <- theta - lr u,    or by Nesterov    theta <- theta - lr (g + mu u)
                                                                             Sutskever et al. (2013), eqs. (1) to (4)
    AdaGrad   s <- s + g²,    theta <- theta - lr g / (sqrt(s) + eps)        Duchi, Hazan & Singer (2011), sec. 1.1
    RMSprop   v <- a v + (1 - a) g²,    u <- mu u + g / (sqrt(v) + eps),    theta <- theta - lr u
                                                                             Tieleman & Hinton (2012), lecture 6.5
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pinnsolve.training.decays import Decay, Plateau, constant
from pinnsolve.training.first_order import FirstOrder, FlatParameters, Rule, matrices


@dataclass(frozen=True)
class AdaptiveMoments(FirstOrder):
    """What Adam and its relatives are told.

    Attributes:
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the root of the averaged square.
    """

    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def _checks(self) -> dict[str, tuple[bool, str]]:
        sound = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        return {
            "betas": (sound, "two numbers from 0 to 1 such as (0.9, 0.999)"),
            "eps": (self.eps > 0, "a small positive number such as 1e-8"),
        }


@dataclass(frozen=True)
class Adam(AdaptiveMoments):
    """Adam for a number of steps.

    Attributes:
        steps: Number of steps.
        lr: Largest learning rate.
        betas: Decay of the averages of the gradient and of its square.
        eps: Added to the root of the averaged square.
        decay: Factor on the learning rate, from the part of the steps done; or a `Plateau`, which follows the loss.
        clip: Longest gradient; longer ones are shortened to it. None: no limit.
        clip_value: Largest entry of the gradient, once it is shortened; larger ones are cut to it. None: no limit.
        resample: Steps between two draws of the points; 0 keeps them. Every draw costs one further evaluation.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=300, resample=1)])
    """

    name: ClassVar[str] = "adam"

    def rule(self, parameters: FlatParameters) -> Rule:
        """Return how it moves, with nothing remembered."""
        return AdamRule(self, torch.zeros_like(parameters.vector))


@dataclass(frozen=True)
class AdamW(AdaptiveMoments):
    """Adam with decoupled weight decay.

    Only weight matrices decay: a coefficient of the equation drawn towards zero would be a wrong answer, and a bias needs none.

    Attributes:
        weight_decay: Part of a weight that is taken away at every step, per unit of the learning rate.
        others: As for `Adam`.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.AdamW(steps=2_000, lr=2e-3, weight_decay=3)])
    """

    name: ClassVar[str] = "adamw"

    _: KW_ONLY
    weight_decay: float = 1e-2

    def _checks(self) -> dict[str, tuple[bool, str]]:
        sound = 0 <= self.weight_decay * self.lr < 1
        return {**super()._checks(), "weight_decay": (sound, "a small positive number such as 1e-2")}

    def rule(self, parameters: FlatParameters) -> Rule:
        """Return how it moves, with nothing remembered."""
        return _AdamWRule(self, parameters)


@dataclass(frozen=True)
class SGD(FirstOrder):
    """Gradient descent with momentum; "stochastic" only where points are redrawn.

    Attributes:
        momentum: Part of the last displacement that is kept; 0 for none.
        nesterov: Take the gradient where the momentum leads, after Nesterov.
        others: As for `Adam`.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.SGD(steps=2_000, lr=1e-2, nesterov=True)])
    """

    name: ClassVar[str] = "sgd"

    _: KW_ONLY
    momentum: float = 0.9
    nesterov: bool = False

    def _checks(self) -> dict[str, tuple[bool, str]]:
        return {
            "momentum": (0 <= self.momentum < 1, "a number from 0 to 1 such as 0.9"),
            "nesterov": (not self.nesterov or self.momentum > 0, "nesterov=False, or a positive momentum"),
        }

    def rule(self, parameters: FlatParameters) -> Rule:
        """Return how it moves, with nothing remembered."""
        return _SGDRule(self, torch.zeros_like(parameters.vector))


@dataclass(frozen=True)
class AdaGrad(FirstOrder):
    """AdaGrad: the learning rate of a parameter falls with the sum of its squared gradients, and needs no other decay.

    Attributes:
        eps: Added to the root of the sum.
        others: As for `Adam`.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.AdaGrad(steps=2_000), ps.LBFGS(steps=1_000)])
    """

    name: ClassVar[str] = "adagrad"

    lr: float = 1e-2
    _: KW_ONLY
    decay: Decay | Plateau = constant
    eps: float = 1e-10

    def _checks(self) -> dict[str, tuple[bool, str]]:
        return {"eps": (self.eps > 0, "a small positive number such as 1e-10")}

    def rule(self, parameters: FlatParameters) -> Rule:
        """Return how it moves, with nothing remembered."""
        return _AdaGradRule(self, torch.zeros_like(parameters.vector))


@dataclass(frozen=True)
class RMSprop(FirstOrder):
    """RMSprop: gradients divided by the root of their averaged squares, with momentum if wanted.

    Attributes:
        alpha: Decay of the average of the squared gradient.
        eps: Added to its root.
        momentum: Part of the last displacement that is kept; 0 for none.
        others: As for `Adam`.

    Raises:
        ProblemError: A number that makes no sense.

    Example:
        >>> training = ps.Training(phases=[ps.RMSprop(steps=2_000, lr=1e-3, clip=1.0)])
    """

    name: ClassVar[str] = "rmsprop"

    _: KW_ONLY
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0

    def _checks(self) -> dict[str, tuple[bool, str]]:
        return {
            "alpha": (0 <= self.alpha < 1, "a number from 0 to 1 such as 0.99"),
            "eps": (self.eps > 0, "a small positive number such as 1e-8"),
            "momentum": (0 <= self.momentum < 1, "a number from 0 to 1 such as 0.9"),
        }

    def rule(self, parameters: FlatParameters) -> Rule:
        """Return how it moves, with nothing remembered."""
        return _RMSpropRule(self, torch.zeros_like(parameters.vector))


class AdamRule:
    """The averages of gradient and square, and the quotient of the two.

    Args:
        phase: Their decay.
        zero: A zero vector of the parameters' size, precision and device.
    """

    momenta: ClassVar[tuple[str, ...]] = ("mean",)

    def __init__(self, phase: AdaptiveMoments, zero: Tensor) -> None:
        self._phase = phase
        self.memory = {"mean": zero.clone(), "square": zero.clone()}

    def move(self, vector: Tensor, gradient: Tensor, *, rate: float, step: int) -> Tensor:
        """Average, and move against the mean in units of the root mean square."""
        (beta1, beta2), mean, square = self._phase.betas, self.memory["mean"], self.memory["square"]
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square.sqrt() / math.sqrt(1 - beta2**step)).add_(self._phase.eps)
        return vector.addcdiv_(mean, root, value=-rate / (1 - beta1**step))


class _AdamWRule:
    momenta: ClassVar[tuple[str, ...]] = AdamRule.momenta

    def __init__(self, phase: AdamW, parameters: FlatParameters) -> None:
        self._weight_decay, self._shapes = phase.weight_decay, parameters.shapes
        self._adam = AdamRule(phase, torch.zeros_like(parameters.vector))
        self.memory = self._adam.memory

    def move(self, vector: Tensor, gradient: Tensor, *, rate: float, step: int) -> Tensor:
        for matrix in matrices(vector, self._shapes):
            matrix.mul_(1 - rate * self._weight_decay)
        return self._adam.move(vector, gradient, rate=rate, step=step)


class _SGDRule:
    momenta: ClassVar[tuple[str, ...]] = ("velocity",)

    def __init__(self, phase: SGD, zero: Tensor) -> None:
        self._phase = phase
        self.memory = {"velocity": zero}

    def move(self, vector: Tensor, gradient: Tensor, *, rate: float, step: int) -> Tensor:
        velocity = self.memory["velocity"].mul_(self._phase.momentum).add_(gradient)
        along = gradient.add(velocity, alpha=self._phase.momentum) if self._phase.nesterov else velocity
        return vector.add_(along, alpha=-rate)


class _AdaGradRule:
    momenta: ClassVar[tuple[str, ...]] = ()

    def __init__(self, phase: AdaGrad, zero: Tensor) -> None:
        self._phase = phase
        self.memory = {"sum": zero}

    def move(self, vector: Tensor, gradient: Tensor, *, rate: float, step: int) -> Tensor:
        squares = self.memory["sum"].addcmul_(gradient, gradient)
        return vector.addcdiv_(gradient, squares.sqrt().add_(self._phase.eps), value=-rate)


class _RMSpropRule:
    momenta: ClassVar[tuple[str, ...]] = ("velocity",)

    def __init__(self, phase: RMSprop, zero: Tensor) -> None:
        self._phase = phase
        self.memory = {"square": zero, "velocity": zero.clone()}

    def move(self, vector: Tensor, gradient: Tensor, *, rate: float, step: int) -> Tensor:
        alpha, square = self._phase.alpha, self.memory["square"]
        square.mul_(alpha).addcmul_(gradient, gradient, value=1 - alpha)
        scaled = gradient / square.sqrt().add_(self._phase.eps)
        return vector.add_(self.memory["velocity"].mul_(self._phase.momentum).add_(scaled), alpha=-rate)

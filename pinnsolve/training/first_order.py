"""First-order optimizers in general: what all of them are told, and all that a step does but move.

A step evaluates loss and gradient g, shortens g to the lengths allowed, and lets the rule of the optimizer move the flat vector,

    theta <- rule(theta, clip(g), rate),    rate = lr * decay * (damping after divergences).

Penalties act on weight matrices alone. That of squares, l2 |w|², is a part of the loss, so that g is longer by 2 l2 w. That of
sizes, l1 |w|, has no gradient at 0, where it is to lead: each move is followed by its proximal map,
w <- sign(w) max(|w| - rate l1, 0), which leaves exact zeros (Beck and Teboulle 2009, A fast iterative shrinkage-thresholding
algorithm, eq. (1.5)).

A rule is a few tensors that it remembers and one function; steps, clipping, decay, recovery and resumption are the same for all.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from pinnsolve.training.decays import Decay, Descent, Plateau, warm_stable_decay
from pinnsolve.training.objective import Evaluation, Objective
from pinnsolve.training.phase import PRECISIONS, Expired, State, Step, never, require


class FlatParameters(Protocol):
    """What is moved: an `Objective`, or one side of a game."""

    @property
    def vector(self) -> Tensor:
        """A copy of all parameters as one vector."""
        ...

    @property
    def shapes(self) -> list[torch.Size]:
        """Shapes of the parameters that the vector strings together."""
        ...


class Rule(Protocol):
    """How an optimizer moves, and what it remembers from one move to the next.

    Attributes:
        memory: Tensors by name, changed in place.
        momenta: Names of those that carry the motion on, and are forgotten when it led astray.
    """

    memory: dict[str, Tensor]
    momenta: ClassVar[tuple[str, ...]]

    def move(self, vector: Tensor, gradient: Tensor, *, rate: float, step: int) -> Tensor:
        """Return where to go.

        Args:
            vector: Where the parameters are; it may be overwritten.
            gradient: There; it must not be.
            rate: The learning rate.
            step: Number of this move, from 1.
        """
        ...


@dataclass(frozen=True)
class FirstOrder(ABC):
    """What all first-order optimizers are told.

    Attributes:
        steps: Number of steps.
        lr: Largest learning rate.
        decay: Factor on the learning rate, from the part of the steps done; or a `Plateau`, which follows the loss.
        clip: Longest gradient; longer ones are shortened to it. None: no limit.
        clip_value: Largest entry of the gradient, once it is shortened; larger ones are cut to it. None: no limit.
        l2: Factor on the sum of squares of all weights, which is added to the loss that is descended, and not to that reported.
        l1: Factor on the sum of their sizes, likewise; small weights become 0.
        resample: Steps between two draws of the points; 0 keeps them. Every draw costs one further evaluation.
        dtype: Precision to change to at the start; None keeps the one in force.

    Raises:
        ProblemError: A number that makes no sense.
    """

    name: ClassVar[str]

    steps: int
    lr: float = 1e-3
    _: KW_ONLY
    decay: Decay | Plateau = warm_stable_decay
    clip: float | None = None
    clip_value: float | None = None
    l2: float = 0.0
    l1: float = 0.0
    resample: int = 0
    dtype: str | None = None

    def __post_init__(self) -> None:
        follows = callable(self.decay) and not isinstance(self.decay, type)
        require(
            self,
            steps=(self.steps >= 1, "a number of steps of at least 1"),
            lr=(0 < self.lr < math.inf, "a positive learning rate such as 1e-3"),
            decay=(follows or isinstance(self.decay, Plateau), "a decay such as Cosine() or Plateau()"),
            clip=(self.clip is None or self.clip > 0, "a positive length, or None"),
            clip_value=(self.clip_value is None or self.clip_value > 0, "a positive number, or None"),
            l2=(0 <= self.l2 < math.inf, "a small positive number such as 1e-4, or 0"),
            l1=(0 <= self.l1 < math.inf, "a small positive number such as 1e-4, or 0"),
            resample=(self.resample >= 0, "a number of steps, or 0 to keep the points"),
            dtype=(self.dtype is None or self.dtype in PRECISIONS, f"one of {list(PRECISIONS)}, or None"),
            **self._checks(),
        )

    def start(self, objective: Objective) -> FirstOrderStepper:
        """Begin with nothing remembered."""
        return FirstOrderStepper(self, self.rule(objective))

    @abstractmethod
    def rule(self, parameters: FlatParameters) -> Rule:
        """Return how this optimizer moves, with nothing remembered."""

    def shortened(self, gradient: Tensor, length: float) -> Tensor:
        """Return a gradient no longer than `clip`, and with no entry larger than `clip_value`.

        Args:
            gradient: Of any length.
            length: Its norm.
        """
        if self.clip is not None and length > self.clip:
            gradient = gradient * (self.clip / length)
        return gradient if self.clip_value is None else gradient.clamp(-self.clip_value, self.clip_value)

    def _checks(self) -> dict[str, tuple[bool, str]]:
        """Check the arguments that only this optimizer has, in the form that `require` takes."""
        return {}


class FirstOrderStepper:
    """The moving parts: the rule with its memory, the last evaluation, the counters, and the damping after divergences.

    Args:
        phase: The description.
        rule: Its rule, with nothing remembered.
    """

    def __init__(self, phase: FirstOrder, rule: Rule) -> None:
        self._phase, self._rule = phase, rule
        self._steps = 0
        self._scale = 1.0
        self._descent = Descent()
        self._current: Evaluation | None = None

    def step(self, objective: Objective, *, expired: Expired = never) -> Step:
        """Move the parameters once, then evaluate there; the next step needs that gradient anyway."""
        evaluations = 1
        if self._current is None:
            self._current = objective.evaluate()
            evaluations += 1
        if not _usable(self._current):
            return Step(math.nan, self._current.terms, evaluations - 1, 0.0)
        rate = self._phase.lr * self._scale * self._factor(self._current.loss)
        gradient = self._clipped(self._current, objective)
        self._steps += 1
        moved = self._rule.move(objective.vector, gradient, rate=rate, step=self._steps)
        if self._phase.l1:
            for weight in matrices(moved, objective.shapes):
                weight.copy_(torch.nn.functional.softshrink(weight, rate * self._phase.l1))
        self._current = objective.evaluate(moved)
        loss = self._current.loss if _usable(self._current) else math.nan
        return Step(loss, self._current.terms, evaluations, rate)

    def restart(self, objective: Objective) -> None:
        """Keep what is remembered: it is smoothed over draws of the points as over steps."""
        self._current = None

    def damp(self, objective: Objective, factor: float) -> None:
        """Lower the learning rate and forget the momentum.

        Averaged squares stay: they remember the large gradients of the divergence and shorten the next steps.
        """
        self._scale *= factor
        for name in self._rule.momenta:
            self._rule.memory[name].zero_()
        self._current = None

    def state(self) -> State:
        """Return the memory of the rule, the counters, and the gradient of the next step."""
        memory = {name: tensor.clone() for name, tensor in self._rule.memory.items()}
        counters = {"steps": self._steps, "scale": self._scale, **asdict(self._descent)}
        return memory | counters | ({} if self._current is None else self._current.state())

    def load(self, state: State) -> None:
        """Continue from what `state` returned."""
        for name, tensor in self._rule.memory.items():
            tensor.copy_(torch.as_tensor(state[name]))
        self._steps, self._scale = int(state["steps"]), float(state["scale"])
        self._descent = Descent(float(state["factor"]), float(state["lowest"]), int(state["since"]))
        self._current = Evaluation.load(state)

    def _factor(self, loss: float) -> float:
        decay = self._phase.decay
        if not isinstance(decay, Plateau):
            return decay(self._steps / self._phase.steps)
        self._descent = decay.after(self._descent, loss)
        return self._descent.factor

    def _clipped(self, evaluation: Evaluation, objective: Objective) -> Tensor:
        gradient, length = evaluation.gradient, evaluation.gradient_norm
        if self._phase.l2:
            gradient = gradient.clone()
            weights = matrices(objective.vector, objective.shapes)
            for part, weight in zip(matrices(gradient, objective.shapes), weights, strict=True):
                part.add_(weight, alpha=2 * self._phase.l2)
            length = float(torch.linalg.vector_norm(gradient))
        return self._phase.shortened(gradient, length)


def matrices(vector: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Return views of the weight matrices in a flat vector.

    Vectors are left out: biases, and unknown coefficients of the equation.

    Args:
        vector: Of all parameters.
        shapes: Of the parameters it strings together.

    Returns:
        For every parameter of two or more dimensions, a view of two, the first as it is.
    """
    parts = zip(torch.split(vector, [shape.numel() for shape in shapes]), shapes, strict=True)
    return [part.view(shape).flatten(1) for part, shape in parts if len(shape) > 1]


def _usable(evaluation: Evaluation) -> bool:
    """Whether loss and gradient are finite, and what rules remember of the gradient's square as well."""
    square = evaluation.gradient_norm * evaluation.gradient_norm
    return evaluation.finite and square < torch.finfo(evaluation.gradient.dtype).max

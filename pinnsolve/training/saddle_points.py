"""Saddle points: one side of a game descends in a payoff f(x, y), the other ascends.

With the gradients g = (f_x, -f_y) of the two sides' own losses, z = (x, y) both vectors together and η the learning rate,

    simultaneous     z <- z - η g(z)
    alternating      x <- x - η f_x(x, y),    then   y <- y + η f_y(x, y)   at the new x, several times if wanted
    extragradient    w = z - η g(z),          z <- z - η g(w)                           Korpelevich (1976)
    optimistic       z <- z - η (2 g(z) - g(z before))                                  Popov (1980); Daskalakis et al. (2018)

On the game f = x y, a rotation, the factors on |z| in a step are known: sqrt(1 + η²) simultaneously, 1 in the mean of a turn
alternating, sqrt(1 - η² + η⁴) by extragradient: the first spirals out, the second goes round, the third converges (Gidel, Berard,
Vignoud, Vincent and Lacoste-Julien, A variational inequality perspective on generative adversarial networks, 2019, section 3). In
place of z - η g any first-order optimizer may move the sides; for Adam by extragradient that is their algorithm 4.

The maximising side may be kept in a box |y_i| <= b, which is the clipping of weights of Arjovsky, Chintala and Bottou, Wasserstein
generative adversarial networks, 2017, algorithm 1. A y that is at the edge of the box as soon as x is off its optimum leaves x to
descend in max_y f, which is no rotation any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace

import torch
from torch import Tensor, nn

from pinnsolve.errors import ProblemError
from pinnsolve.training.decays import Decay, Plateau, constant
from pinnsolve.training.first_order import FirstOrder
from pinnsolve.training.status import Status

SCHEMES = ("simultaneous", "alternating", "extragradient", "optimistic")
"""Orders in which the two sides move."""

Observer = Callable[[int, float], object]
"""Called after every round with its number, from 1, and the payoff it began with; ends the search by raising StopIteration."""


class Side:
    """The parameters of one side as a flat vector.

    Args:
        parameters: At least one; all of one precision and on one device.

    Raises:
        ValueError: There are none.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("One side of the game has no parameters: there is nothing to move.")

    @property
    def shapes(self) -> list[torch.Size]:
        """Shapes of the parameters that the vector strings together."""
        return [parameter.shape for parameter in self.parameters]

    @property
    def vector(self) -> Tensor:
        """A copy of all parameters as one vector; assigning to it sets them."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters])

    @vector.setter
    def vector(self, vector: Tensor) -> None:
        with torch.no_grad():
            sizes = [parameter.numel() for parameter in self.parameters]
            for parameter, part in zip(self.parameters, vector.split(sizes), strict=True):
                parameter.copy_(part.view_as(parameter))


class Game:
    """A payoff that one side lowers and the other raises.

    Args:
        minimiser: Parameters of the side that lowers it.
        maximiser: Parameters of the side that raises it.
        payoff: Evaluates it, a scalar that is differentiable with respect to both.

    Raises:
        ValueError: A side has no parameters.
    """

    def __init__(
        self, minimiser: Sequence[nn.Parameter], maximiser: Sequence[nn.Parameter], payoff: Callable[[], Tensor]
    ) -> None:
        self.sides = (Side(minimiser), Side(maximiser))
        self.payoff = payoff

    def slopes(self, *sides: int) -> tuple[float, list[Tensor]]:
        """Evaluate the payoff and the flat gradients of some sides' own losses: the payoff for side 0, minus it for side 1."""
        with torch.enable_grad():
            value = self.payoff()
            wanted = [parameter for side in sides for parameter in self.sides[side].parameters]
            parts = list(torch.autograd.grad(value, wanted, allow_unused=True, materialize_grads=True))
        found = []
        for side in sides:
            own = [parts.pop(0).reshape(-1) for _ in self.sides[side].parameters]
            found.append(torch.cat(own) if side == 0 else -torch.cat(own))
        return float(value.detach()), found


@dataclass(frozen=True)
class SaddlePoint:
    """A search for a saddle point.

    Attributes:
        optimizer: How each side moves, such as `SGD(steps=2_000, lr=1e-2, momentum=0)`; its steps are the rounds, and the parts of
            them done decide its decay. Gradients are clipped side by side.
        scheme: One of `SCHEMES`.
        ascent_lr: Learning rate of the maximising side; None for that of the other.
        ascents: Moves of the maximising side in a round, for the alternating scheme.
        bound: Largest entry of the maximising side's vector; larger ones are cut to it. None: no limit.
        narrowing: Factor on the bound, from the part of the rounds done.

    Raises:
        ProblemError: A scheme that does not exist, or a number that makes no sense.

    Example:
        >>> search = ps.SaddlePoint(ps.Adam(steps=500, lr=1e-2), scheme="extragradient")
    """

    optimizer: FirstOrder
    _: KW_ONLY
    scheme: str = "alternating"
    ascent_lr: float | None = None
    ascents: int = 1
    bound: float | None = None
    narrowing: Decay = constant

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, FirstOrder):
            remedy = "write a first-order optimizer such as Adam(steps=2_000)"
            raise ProblemError("SaddlePoint", f"optimizer={self.optimizer!r}", remedy)
        unused = self.optimizer.l1 or self.optimizer.l2 or self.optimizer.dtype
        alternating = self.scheme == "alternating"
        for sound, found, remedy in (
            (self.scheme in SCHEMES, f"scheme={self.scheme!r}", f"write one of {', '.join(SCHEMES)}"),
            (not isinstance(self.optimizer.decay, Plateau), "decay=Plateau(...)", "write a decay by the part done"),
            (not unused, "an optimizer with l1, l2 or dtype", "leave them out: a payoff has no penalties"),
            (self.ascent_lr is None or self.ascent_lr > 0, f"ascent_lr={self.ascent_lr!r}", "write a positive rate"),
            (self.ascents >= 1, f"ascents={self.ascents!r}", "write a number of moves of at least 1"),
            (alternating or self.ascents == 1, f"ascents={self.ascents!r}", 'write scheme="alternating"'),
            (self.bound is None or self.bound > 0, f"bound={self.bound!r}", "write a positive number, or None"),
        ):
            if not sound:
                raise ProblemError("SaddlePoint", found, remedy)


@dataclass(frozen=True, eq=False)
class SaddleResult:
    """How a search went; the game is left where it ended.

    Attributes:
        status: Why it ended.
        payoffs: What each round began with.
        means: For each side the mean of its vectors after all rounds, shape (parameters,).
    """

    status: Status
    payoffs: tuple[float, ...]
    means: tuple[Tensor, Tensor]


def find_saddle(
    game: Game,
    search: SaddlePoint,
    *,
    observers: Sequence[Observer] = (),
    redraw: Callable[[int], object] | None = None,
) -> SaddleResult:
    """Play rounds until they are through, an observer ends it, or a number is not finite.

    Args:
        game: Where the parameters are the start, and afterwards the end: the last state that is finite.
        search: How.
        observers: Called after every round.
        redraw: Called with the number of rounds made whenever the optimizer's `resample` asks for other points.

    Returns:
        Status, payoffs and mean vectors.

    Raises:
        ValueError: The optimizer redraws points and `redraw` is None.
    """
    every = search.optimizer.resample
    if every and redraw is None:
        raise ValueError("The optimizer redraws points, so `redraw` must say how.")
    play = _Play(game, search)
    payoffs: list[float] = []
    means = [torch.zeros_like(side.vector) for side in game.sides]
    status = Status.STEPS
    for number in range(1, search.optimizer.steps + 1):
        if redraw is not None and every and number > 1 and (number - 1) % every == 0:
            redraw(number - 1)
        before = [side.vector for side in game.sides]
        payoff = play.round((number - 1) / search.optimizer.steps)
        after = [side.vector for side in game.sides]
        if not all(map(math.isfinite, (payoff, *(float(vector.sum()) for vector in after)))):
            game.sides[0].vector, game.sides[1].vector = before
            status = Status.DIVERGED
            break
        payoffs.append(payoff)
        for mean, vector in zip(means, after, strict=True):
            mean.lerp_(vector, 1 / number)
        try:
            for observer in observers:
                observer(number, payoff)
        except StopIteration:
            status = Status.STOPPED
            break
    return SaddleResult(status, tuple(payoffs), (means[0], means[1]))


class _Play:
    """The moving parts: the rules of both sides with their memories, and the last gradients of the optimistic scheme."""

    def __init__(self, game: Game, search: SaddlePoint) -> None:
        self.game, self.search = game, search
        ascent = replace(search.optimizer, lr=search.ascent_lr or search.optimizer.lr)
        self.optimizers = (search.optimizer, ascent)
        self.rules = [one.rule(side) for one, side in zip(self.optimizers, game.sides, strict=True)]
        self.steps = [0, 0]
        self.before: list[Tensor] | None = None
        self.done = 0.0

    def round(self, done: float) -> float:
        """Move both sides, with a part of the rounds done; return the payoff before."""
        self.done = done
        if self.search.scheme == "alternating":
            return self._alternate()
        payoff, slopes = self.game.slopes(0, 1)
        starts = [side.vector for side in self.game.sides]
        if self.search.scheme == "extragradient":
            self._move(starts, slopes)
            _, slopes = self.game.slopes(0, 1)
        elif self.search.scheme == "optimistic":
            before, self.before = self.before or slopes, slopes
            slopes = [2 * now - last for now, last in zip(slopes, before, strict=True)]
        self._move(starts, slopes)
        return payoff

    def _alternate(self) -> float:
        payoff, (slope,) = self.game.slopes(0)
        self._move_one(0, self.game.sides[0].vector, slope)
        for _ in range(self.search.ascents):
            _, (slope,) = self.game.slopes(1)
            self._move_one(1, self.game.sides[1].vector, slope)
        return payoff

    def _move(self, starts: Sequence[Tensor], slopes: Sequence[Tensor]) -> None:
        for side in (0, 1):
            self._move_one(side, starts[side].clone(), slopes[side])

    def _move_one(self, side: int, start: Tensor, slope: Tensor) -> None:
        """Move one side from a start, which may be overwritten, and keep it within its bound."""
        optimizer = self.optimizers[side]
        slope = optimizer.shortened(slope, float(torch.linalg.vector_norm(slope)))
        self.steps[side] += 1
        decay = optimizer.decay
        rate = optimizer.lr if isinstance(decay, Plateau) else optimizer.lr * decay(self.done)
        moved = self.rules[side].move(start, slope, rate=rate, step=self.steps[side])
        if side == 1 and self.search.bound is not None:
            bound = self.search.bound * self.search.narrowing(self.done)
            moved = moved.clamp(-bound, bound)
        self.game.sides[side].vector = moved

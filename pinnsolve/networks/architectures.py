"""Architectures: networks as frozen descriptions, without the numbers of inputs and outputs, which follow from the problem.

With ξ the coordinates scaled to [-1, 1], σ the activation and D_1, D_2, ... dense layers, D h = W h + b:

    MLP            h_1 = σ(D_1 ξ),  h_k = σ(D_k h_(k-1))
    ResNet         h_0 = D_0 ξ,  h_k = h_(k-1) + D_2k σ(D_(2k-1) σ(h_(k-1))),  and σ of the last
    ModifiedMLP    h_1 = σ(D_1 ξ),  every h_k gated by two encoders of ξ
    PirateNet      h_0 the embedding of ξ,  blocks gated by two encoders of it and weighted by a parameter that starts at 0

and a dense layer of the last. `fourier` replaces ξ by random waves of it, `factorised` every W by diag(exp s) V.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from pinnsolve.errors import ProblemError
from pinnsolve.networks.layers import Sine

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "tanh": nn.Tanh,
    "sine": Sine,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
}
"""Activations with derivatives of every order, which a differential equation needs."""

PIECEWISE = frozenset({"relu", "leaky_relu", "prelu", "elu", "selu", "celu", "hardtanh", "relu6"})
"""Activations without a continuous second derivative."""

INITIALIZATIONS = ("xavier", "he", "siren", "orthogonal")
"""Ways to draw hidden weights, see `initialization`."""

NORMALIZATIONS = ("layer", "group", "batch")
"""Ways to normalise what enters an activation."""

WHITENINGS = ("diagonal", "full")
"""Ways to scale inputs and outputs, see `whitening`."""

_SMALLEST_GROUP = 4
"""Units: two standardised ones are 1 and -1 whatever they were."""


@dataclass(frozen=True)
class _Layers:
    """A network of `depth` hidden layers; see `MLP` for the fields."""

    width: int = 32
    depth: int = 4
    activation: str = "tanh"
    one_per_field: bool = False
    harmonics: int = 1
    fourier: float | None = None
    factorised: bool = False
    initialization: str | None = None
    whitening: str | None = None
    start: float = 1.0

    def __post_init__(self) -> None:
        _check(self, count="depth")


@dataclass(frozen=True)
class _Blocks:
    """A network of `blocks` blocks of layers; see `ResNet` for the fields."""

    width: int = 32
    blocks: int = 3
    activation: str = "tanh"
    one_per_field: bool = False
    harmonics: int = 1
    fourier: float | None = None
    factorised: bool = False
    initialization: str | None = None
    whitening: str | None = None
    start: float = 1.0

    def __post_init__(self) -> None:
        _check(self, count="blocks")


@dataclass(frozen=True)
class MLP(_Layers):
    """A multilayer perceptron: the same number of units in every hidden layer.

    Args:
        width: Units in a hidden layer.
        depth: Number of hidden layers.
        activation: One of `ACTIVATIONS`.
        one_per_field: A network for every field, in place of one with as many outputs as fields.
        harmonics: Waves by which a periodic coordinate is read, from the first on; of no effect on others.
        fourier: Standard deviation of the random frequencies, in radians by half the range of a coordinate, of waves that the
            network reads in place of the coordinates; 1 to 10 are usual. They are as many as `width`, and not trained: Tancik et
            al., Fourier features let networks learn high frequency functions in low dimensional domains, 2020, equation (5).
            None for the coordinates themselves.
        factorised: Train every weight matrix as W = diag(exp s) V: Wang, Wang, Seidman, Perdikaris, Random weight factorization
            improves the training of continuous neural representations, 2022. It starts as the same function.
        initialization: How hidden weights are drawn, one of `INITIALIZATIONS`; None for what suits the activation.
        whitening: "diagonal" scales coordinates to one deviation over the region, and fields that were measured from mean and
            deviation of their values; "full" removes correlations as well. None scales each coordinate by its range.
        start: Factor on the first weights of the last layer: below 1, fields start close to zero or, where conditions are met
            exactly, to what these alone ask for.
        normalization: "layer", "group" or "batch", of what enters an activation; see `normalization`. Of small batches "batch" is
            mostly noise.
        groups: Number of groups of units for "group", of at least 4 each.
        dropout: Probability with which a unit is left out in a step of a first-order phase, the same for all its points.

    Raises:
        ProblemError: A size below 1, an activation that does not exist or has no second derivative, a standard deviation that is
            not positive, an odd width with `fourier`, groups that do not divide the width, or a probability outside [0, 1).

    Example:
        >>> network = ps.MLP(width=10, depth=2, activation="sine")
        >>> ps.solve(decay, network, training, compile="off").record["parameters"]
        141
    """

    normalization: str | None = None
    groups: int = 4
    dropout: float = 0.0


@dataclass(frozen=True)
class ModifiedMLP(_Layers):
    """A multilayer perceptron whose hidden layers mix two encoders of the input: h_k = (1 - z_k) U + z_k V, entry by entry.

    U = σ(D_U ξ), V = σ(D_V ξ) and z_k = σ(D_k h_(k-1)) with h_0 = ξ: Wang, Teng, Perdikaris, Understanding and mitigating gradient
    flow pathologies in physics-informed neural networks, 2021, "An improved fully-connected neural architecture"; there the first
    hidden layer is not mixed.

    Args:
        width: Units in a hidden layer, and in an encoder.
        depth: Number of hidden layers, beside the two encoders.
        activation: One of `ACTIVATIONS`.
        one_per_field: As for `MLP`, like all that follow.
        harmonics: Waves of a periodic coordinate.
        fourier: Standard deviation of random frequencies.
        factorised: Weights as diag(exp s) V.
        initialization: How hidden weights are drawn.
        whitening: Of coordinates and measured fields.
        start: Factor on the first weights of the last layer.

    Raises:
        ProblemError: As for `MLP`.

    Example:
        >>> network = ps.ModifiedMLP(width=64, depth=4, fourier=2.0)
    """


@dataclass(frozen=True)
class ResNet(_Blocks):
    """A residual network: a linear layer, then blocks of two layers, each added to its own input.

    Args:
        width: Units in a hidden layer.
        blocks: Number of residual blocks.
        activation: One of `ACTIVATIONS`.
        one_per_field: As for `MLP`, like all that follow.
        harmonics: Waves of a periodic coordinate.
        fourier: Standard deviation of random frequencies.
        factorised: Weights as diag(exp s) V.
        initialization: How hidden weights are drawn.
        whitening: Of coordinates and measured fields.
        start: Factor on the first weights of the last layer.
        normalization: As for `MLP`, in every branch before both activations, and before the last.
        groups: As for `MLP`.
        dropout: As for `MLP`, between the two layers of a branch.
        stochastic_depth: Probability with which the last branch is left out in a step of a first-order phase; that of those
            before falls to 0 linearly (Huang et al., Deep networks with stochastic depth, 2016, equation 4).
        checkpointing: Keep only the inputs of blocks for the reverse pass, and evaluate each block again on the way back: a third
            of the memory for a half more time. Where a loss is over points, chunks of them save more and cost less.

    Raises:
        ProblemError: As for `MLP`.

    Example:
        >>> network = ps.ResNet(width=20, blocks=25, normalization="layer")
    """

    normalization: str | None = None
    groups: int = 4
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    checkpointing: bool = False


@dataclass(frozen=True)
class PirateNet(_Blocks):
    """A residual network that starts shallow: blocks of three gated layers, each weighted by a parameter α that starts at 0.

    Of the embedding Φ come U = σ(D_U Φ) and V = σ(D_V Φ); a block takes h to (1 - α) h + α σ(D_3 g), where g comes from h by two
    layers (1 - f) V + f U with f = σ(D h): Wang, Li, Chen, Perdikaris, PirateNets, 2024, section 4. So at the start the network is
    a linear map of the embedding. That is the random waves of `fourier`, as there, or without them one dense layer, σ(D_0 ξ). The
    last layer is drawn like any other, not fitted by least squares as there.

    Args:
        width: Units in a layer, and in the embedding.
        blocks: Number of blocks.
        activation: One of `ACTIVATIONS`.
        one_per_field: As for `MLP`, like all that follow.
        harmonics: Waves of a periodic coordinate.
        fourier: Standard deviation of random frequencies.
        factorised: Weights as diag(exp s) V.
        initialization: How hidden weights are drawn.
        whitening: Of coordinates and measured fields.
        start: Factor on the first weights of the last layer.

    Raises:
        ProblemError: As for `MLP`.

    Example:
        >>> network = ps.PirateNet(width=64, blocks=3, factorised=True)
    """


Architecture = MLP | ModifiedMLP | ResNet | PirateNet


def fewest_weights(spec: Architecture, *, inputs: int) -> int:
    """Return how many numbers a network of one field stores at the least, without building it.

    Args:
        spec: The description.
        inputs: How many numbers it reads at the least.
    """
    match spec:
        case MLP() | ModifiedMLP():
            square = spec.depth - 1
        case ResNet():
            square = 2 * spec.blocks
        case PirateNet():
            square = 3 * spec.blocks + 2
    read = inputs if spec.fourier is None else -(-inputs // 2)
    return square * spec.width**2 + spec.width * read


def _check(spec: _Layers | _Blocks, *, count: str) -> None:
    name = type(spec).__name__
    for size in ("width", "harmonics", count):
        _check_size(f"{name} {size}", getattr(spec, size))
    _check_activation(f"{name} activation", spec.activation)
    if not isinstance(spec.factorised, bool):
        raise ProblemError(f"{name} factorised", f"found {spec.factorised!r}", "write True or False")
    _check_one_of(f"{name} initialization", spec.initialization, INITIALIZATIONS)
    _check_one_of(f"{name} whitening", spec.whitening, WHITENINGS)
    if not _is_positive(spec.start):
        raise ProblemError(f"{name} start", f"found {spec.start!r}", "write a positive number such as 0.1")
    if isinstance(spec, MLP | ResNet):
        _check_layers(spec, name)
    if spec.fourier is None:
        return
    if not _is_positive(spec.fourier):
        remedy = "write a positive number, the standard deviation of the frequencies, or None"
        raise ProblemError(f"{name} fourier", f"found {spec.fourier!r}", remedy)
    if spec.width % 2:
        found = f"found {spec.width} with fourier={spec.fourier:g}, whose cosines and sines come in pairs"
        raise ProblemError(f"{name} width", found, "write an even number")


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _check_layers(spec: MLP | ResNet, name: str) -> None:
    _check_one_of(f"{name} normalization", spec.normalization, NORMALIZATIONS)
    _check_size(f"{name} groups", spec.groups)
    if spec.normalization == "group" and (spec.width % spec.groups or spec.width < _SMALLEST_GROUP * spec.groups):
        found = f"found {spec.groups} of {spec.width} units"
        raise ProblemError(f"{name} groups", found, f"write a divisor of the width, of {_SMALLEST_GROUP} units or more")
    shares = ("dropout", "stochastic_depth") if isinstance(spec, ResNet) else ("dropout",)
    for share in shares:
        given = getattr(spec, share)
        if not isinstance(given, int | float) or isinstance(given, bool) or not 0 <= given < 1:
            raise ProblemError(f"{name} {share}", f"found {given!r}", "write a probability such as 0.1, or 0 for none")
    if isinstance(spec, ResNet) and not isinstance(spec.checkpointing, bool):
        raise ProblemError(f"{name} checkpointing", f"found {spec.checkpointing!r}", "write True or False")
    if isinstance(spec, ResNet) and spec.checkpointing and spec.normalization == "batch":
        found = 'found normalization="batch", whose statistics are gone on the way back'
        raise ProblemError(f"{name} checkpointing", found, 'write normalization="group"')


def _check_one_of(term: str, given: str | None, names: Sequence[str]) -> None:
    if given is not None and given not in names:
        raise ProblemError(term, f"{given!r} does not exist", f"use one of {', '.join(names)}, or None")


def _check_size(term: str, size: int) -> None:
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ProblemError(term, f"found {size!r}", "write a whole number, at least 1")


def _check_activation(term: str, name: str) -> None:
    if name in PIECEWISE:
        raise ProblemError(
            term,
            f"{name!r} is piecewise: its second derivative vanishes or jumps, so the equation would not be seen",
            f"use one of {', '.join(ACTIVATIONS)}",
        )
    if name not in ACTIVATIONS:
        raise ProblemError(term, f"{name!r} does not exist", f"use one of {', '.join(ACTIVATIONS)}")

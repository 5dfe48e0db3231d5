"""Initialization: the network that follows from a description and a seed.

Weights are uniform with the variance that keeps signals and gradients of one size through the layers. "xavier": Glorot and Bengio,
Understanding the difficulty of training deep feedforward neural networks, 2010, equation (16), for σ with unit slope at 0. "he":
He, Zhang, Ren, Sun, Delving deep into rectifiers, 2015, equation (10), for those like a rectifier. "siren": Sitzmann, Martel,
Bergman, Lindell, Wetzstein, Implicit neural representations with periodic activation functions, 2020, section 3.2, for sines.
"orthogonal" matrices have the variance that suits the activation and stretch all signals alike: Saxe, McClelland, Ganguli, Exact
solutions to the nonlinear dynamics of learning in deep linear neural networks, 2014, section 3; the deeper, the more it matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pinnsolve.networks.architectures import ACTIVATIONS, MLP, Architecture, ModifiedMLP, PirateNet, ResNet
from pinnsolve.networks.layers import (
    AdaptiveBlock,
    AdaptiveBlocks,
    Checkpoint,
    FactorisedLinear,
    FourierFeatures,
    GatedLayers,
    Periodic,
    ResidualBlock,
    Scaling,
)
from pinnsolve.networks.normalization import BatchNormalization, GroupNormalization
from pinnsolve.networks.regularization import Dropout, StochasticDepth

_SUITED = {
    **dict.fromkeys(("tanh", "sigmoid"), "xavier"),
    **dict.fromkeys(("silu", "gelu", "softplus"), "he"),
    "sine": "siren",
}
"""Which initialisation suits which activation."""

SINE_FREQUENCY = 3.0
"""ω_0 of the first layer of sines. The 30 of Sitzmann et al. suits pictures and amplifies second derivatives by ω_0²; on Poisson
problems 3 and 6 did best, and 15 failed for some seeds."""

FACTOR_MEAN, FACTOR_DEVIATION = 1.0, 0.1
"""Of the logarithms s of factors, drawn from a normal distribution: the values of Wang, Wang, Seidman, Perdikaris, Random weight
factorization improves the training of continuous neural representations, 2022, for differential equations."""


def build(
    spec: Architecture,
    *,
    inputs: int,
    outputs: int,
    ranges: Sequence[tuple[float, float]],
    generator: torch.Generator,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    periodic: Collection[int] = (),
    entry: nn.Module | None = None,
    exit: nn.Module | None = None,
) -> nn.Sequential:
    """Build the network of a description.

    Weights are drawn in float64 on the generator's device and then cast: a seed starts the same function in every precision.

    Args:
        spec: The description.
        inputs: Number of coordinates.
        outputs: Number of fields.
        ranges: Lowest and highest value of each coordinate.
        generator: The only source of randomness.
        dtype: Of the parameters.
        device: Of the parameters.
        periodic: Numbers of the coordinates whose range is one period, on which the network is periodic.
        entry: What scales the coordinates, in place of their ranges.
        exit: What scales the fields.

    Returns:
        A module from points, shape (points, inputs), to fields, shape (points, outputs); the scaling of the coordinates first.

    Raises:
        ValueError: `ranges` are not one for each input.
    """
    if len(ranges) != inputs:
        raise ValueError(f"{inputs} inputs need {inputs} ranges, not {len(ranges)}")

    factors = _aside(generator) if spec.factorised else None
    place = _Place(dtype, device)
    dense = partial(_dense, generator=generator, factors=factors, place=place)
    width, bound = spec.width, _hidden_bound(spec)
    layers: list[nn.Module] = [Scaling(ranges, dtype=dtype, device=device) if entry is None else entry]
    read = inputs
    if periodic:
        circle = Periodic(periodic, available=inputs, harmonics=spec.harmonics, device=device)
        read = circle.features
        layers.append(circle)
    if spec.fourier is not None:
        frequencies = spec.fourier * _normal((width // 2, read), generator)
        layers.append(FourierFeatures(frequencies, dtype=dtype, device=device))
        first = partial(dense, width, width, bound=bound)
    else:
        first = partial(dense, read, width, bound=_first_bound(spec, read), centred=True)
    start = first()
    last = dense(width, outputs, bound=spec.start * math.sqrt(6.0 / (width + outputs)))
    return nn.Sequential(*layers, *_body(spec, start, first, dense, place), last, *([] if exit is None else [exit]))


@dataclass(frozen=True)
class _Place:
    """Precision and device of parameters and buffers."""

    dtype: torch.dtype
    device: torch.device | str


def _body(
    spec: Architecture,
    start: nn.Module,
    first: Callable[[], nn.Module],
    dense: Callable[..., nn.Module],
    place: _Place,
) -> list[nn.Module]:
    """Return what lies between the input and the last layer.

    Args:
        spec: The description.
        start: A dense layer from the input to the width.
        first: Draws another one.
        dense: Draws a dense layer of the sizes and bound given.
        place: Of everything else.
    """
    width, activation, bound = spec.width, ACTIVATIONS[spec.activation](), _hidden_bound(spec)
    inner = partial(dense, width, width, bound=bound, orthogonal=spec.initialization == "orthogonal")
    match spec:
        case MLP():
            layers = [start, *(inner() for _ in range(spec.depth - 1))]
            return [
                part
                for layer in layers
                for part in (layer, *_activated(spec, activation, place), *_thinned(spec, place))
            ]
        case ResNet():
            # All branches together add as much variance as one: De and Smith, Batch normalization biases residual blocks, 2020.
            outer = partial(inner, bound=bound / math.sqrt(spec.blocks))
            blocks = []
            for number in range(spec.blocks):
                entry, middle = _activated(spec, activation, place), _activated(spec, activation, place)
                branch = nn.Sequential(*entry, inner(), *middle, *_thinned(spec, place), outer())
                blocks.append(_residual(spec, branch, number))
            return [start, *blocks, *_activated(spec, activation, place)]
        case ModifiedMLP():
            hidden = [start, *(inner() for _ in range(spec.depth - 1))]
            return [GatedLayers((first(), first()), hidden, activation=activation)]
        case PirateNet():
            # Fourier features are an embedding already; the layer drawn to read them is then an encoder.
            embedding = [] if spec.fourier is not None else [start, activation]
            encoders = (inner() if embedding else start, inner())
            gated = [AdaptiveBlock([inner() for _ in range(3)], activation=activation) for _ in range(spec.blocks)]
            return [*embedding, AdaptiveBlocks(encoders, gated, activation=activation)]


def _activated(spec: MLP | ResNet, activation: nn.Module, place: _Place) -> list[nn.Module]:
    """Return the activation, with what normalises its input before it."""
    match spec.normalization:
        case None:
            return [activation]
        case "batch":
            return [BatchNormalization(spec.width, dtype=place.dtype, device=place.device), activation]
        case kind:
            groups = 1 if kind == "layer" else spec.groups
            return [GroupNormalization(spec.width, groups=groups, dtype=place.dtype, device=place.device), activation]


def _thinned(spec: MLP | ResNet, place: _Place) -> list[nn.Module]:
    """Return what leaves units out after an activation."""
    return [Dropout(spec.width, share=spec.dropout, dtype=place.dtype, device=place.device)] if spec.dropout else []


def _residual(spec: ResNet, branch: nn.Module, number: int) -> nn.Module:
    """Return a branch as a block, counted from 0; the later it comes, the more often it is left out."""
    share = spec.stochastic_depth * (number + 1) / spec.blocks
    block = StochasticDepth(branch, share=share) if share else ResidualBlock(branch)
    return Checkpoint(block) if spec.checkpointing else block


def _dense(
    fan_in: int,
    fan_out: int,
    *,
    bound: float,
    generator: torch.Generator,
    factors: torch.Generator | None,
    place: _Place,
    centred: bool = False,
    orthogonal: bool = False,
) -> nn.Module:
    draw = _orthogonal if orthogonal else _uniform
    weight = draw((fan_out, fan_in), bound, generator)
    bias = torch.zeros(fan_out, dtype=torch.float64, device=generator.device)
    if centred:
        # Each unit is centred at a point of its own, so that the units cover the domain and the network is no odd function.
        bias = -(weight * _uniform((fan_out, fan_in), 1.0, generator)).sum(1)
    if factors is not None:
        exponents = FACTOR_MEAN + FACTOR_DEVIATION * _normal((fan_out,), factors)
        return FactorisedLinear(weight, bias, exponents, dtype=place.dtype, device=place.device)
    # `skip_init` because the constructor would draw from torch's global generator.
    layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=place.dtype, device=place.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def _first_bound(spec: Architecture, inputs: int) -> float:
    sines = (spec.initialization or _SUITED[spec.activation]) == "siren"
    return SINE_FREQUENCY / inputs if sines else _glorot(spec.activation, inputs, spec.width)


def _hidden_bound(spec: Architecture) -> float:
    """Bound of the uniform distribution; its variance is bound² / 3."""
    suited = _SUITED[spec.activation]
    kind = suited if spec.initialization in (None, "orthogonal") else spec.initialization
    return _glorot(spec.activation, spec.width, spec.width) if kind == "xavier" else math.sqrt(6.0 / spec.width)


def _glorot(activation: str, fan_in: int, fan_out: int) -> float:
    # Weights make up for the slope of the sigmoid at 0, a quarter.
    return (4.0 if activation == "sigmoid" else 1.0) * math.sqrt(6.0 / (fan_in + fan_out))


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    unit = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
    return (2.0 * unit - 1.0) * bound


def _orthogonal(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """Return a random orthogonal matrix times the factor that gives its entries the variance bound² / 3."""
    q, r = torch.linalg.qr(_normal(shape, generator))
    # With signs such that it is uniformly distributed: Mezzadri, Notices of the AMS 54, 2007, section 5.
    return q * r.diagonal().sign() * (bound * math.sqrt(shape[0] / 3.0))


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)


def _aside(generator: torch.Generator) -> torch.Generator:
    """Return a generator that follows from another and leaves it as it is, so that what both draw for all else is the same."""
    ahead = torch.Generator(generator.device)
    ahead.set_state(generator.get_state())
    seed = torch.randint(2**62, (), generator=ahead, device=generator.device)
    return torch.Generator(generator.device).manual_seed(int(seed))

"""Architectures as frozen descriptions, and the network that follows from one and a seed.

A network is ξ -> W_L σ(… σ(W_1 ξ + b_1) …) + b_L of coordinates scaled to [-1, 1]. Weights are uniform with the variance that
keeps signals and gradients of one size through the layers: Glorot and Bengio, Understanding the difficulty of training deep
feedforward neural networks, 2010, equation (16), for σ with unit slope at 0; He, Zhang, Ren, Sun, Delving deep into rectifiers,
2015, equation (10), for those like a rectifier; Sitzmann, Martel, Bergman, Lindell, Wetzstein, Implicit neural representations
with periodic activation functions, 2020, section 3.2, for sines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from pinnsolve.errors import ProblemError
from pinnsolve.networks.layers import Periodic, ResidualBlock, Scaling, Sine

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

SINE_FREQUENCY = 3.0
"""ω_0 of the first layer of sines. The 30 of Sitzmann et al. suits pictures and amplifies second derivatives by ω_0²; on Poisson
problems 3 and 6 did best, and 15 failed for some seeds."""


@dataclass(frozen=True)
class MLP:
    """A multilayer perceptron: the same number of units in every hidden layer.

    Args:
        width: Units in a hidden layer.
        depth: Number of hidden layers.
        activation: One of `ACTIVATIONS`.
        one_per_field: A network for every field, in place of one with as many outputs as fields.
        harmonics: Waves by which a periodic coordinate is read, from the first on; of no effect on others.

    Raises:
        ProblemError: A size below 1, or an activation that does not exist or has no second derivative.
    """

    width: int = 32
    depth: int = 4
    activation: str = "tanh"
    one_per_field: bool = False
    harmonics: int = 1

    def __post_init__(self) -> None:
        _check_size("MLP width", self.width)
        _check_size("MLP harmonics", self.harmonics)
        _check_size("MLP depth", self.depth)
        _check_activation("MLP activation", self.activation)


@dataclass(frozen=True)
class ResNet:
    """A residual network: a linear layer, then blocks of two layers, each added to its own input.

    Args:
        width: Units in a hidden layer.
        blocks: Number of residual blocks.
        activation: One of `ACTIVATIONS`.
        one_per_field: A network for every field, in place of one with as many outputs as fields.
        harmonics: Waves by which a periodic coordinate is read, from the first on; of no effect on others.

    Raises:
        ProblemError: A size below 1, or an activation that does not exist or has no second derivative.
    """

    width: int = 32
    blocks: int = 3
    activation: str = "tanh"
    one_per_field: bool = False
    harmonics: int = 1

    def __post_init__(self) -> None:
        _check_size("ResNet width", self.width)
        _check_size("ResNet harmonics", self.harmonics)
        _check_size("ResNet blocks", self.blocks)
        _check_activation("ResNet activation", self.activation)


Architecture = MLP | ResNet


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
) -> nn.Module:
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

    Returns:
        A module from points, shape (points, inputs), to fields, shape (points, outputs).

    Raises:
        ValueError: `ranges` are not one for each input.
    """
    if len(ranges) != inputs:
        raise ValueError(f"{inputs} inputs need {inputs} ranges, not {len(ranges)}")

    dense = partial(_dense, generator=generator, dtype=dtype, device=device)
    width, activation = spec.width, ACTIVATIONS[spec.activation]()
    circle = Periodic(periodic, available=inputs, harmonics=spec.harmonics, device=device) if periodic else None
    read = inputs if circle is None else circle.features
    first = dense(read, width, bound=_first_bound(spec.activation, read, width), centred=True)
    hidden = _hidden_bound(spec.activation, width)
    last = dense(width, outputs, bound=math.sqrt(6.0 / (width + outputs)))
    layers: list[nn.Module] = [Scaling(ranges, dtype=dtype, device=device)]
    layers += [first] if circle is None else [circle, first]
    match spec:
        case MLP():
            for _ in range(spec.depth - 1):
                layers += [activation, dense(width, width, bound=hidden)]
        case ResNet():
            # All branches together add as much variance as one: De and Smith, Batch normalization biases residual blocks, 2020.
            damped = hidden / math.sqrt(spec.blocks)
            layers += [
                ResidualBlock(
                    dense(width, width, bound=hidden), dense(width, width, bound=damped), activation=activation
                )
                for _ in range(spec.blocks)
            ]
    return nn.Sequential(*layers, activation, last)


def _dense(
    fan_in: int,
    fan_out: int,
    *,
    bound: float,
    generator: torch.Generator,
    dtype: torch.dtype,
    device: torch.device | str,
    centred: bool = False,
) -> nn.Linear:
    weight = _uniform((fan_out, fan_in), bound, generator)
    bias = torch.zeros(fan_out, dtype=torch.float64, device=generator.device)
    if centred:
        # Each unit is centred at a point of its own, so that the units cover the domain and the network is no odd function.
        bias = -(weight * _uniform((fan_out, fan_in), 1.0, generator)).sum(1)
    # `skip_init` because the constructor would draw from torch's global generator.
    layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out, dtype=dtype, device=device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


def _first_bound(activation: str, inputs: int, width: int) -> float:
    return SINE_FREQUENCY / inputs if activation == "sine" else _glorot(activation, inputs, width)


def _hidden_bound(activation: str, width: int) -> float:
    """Bound of the uniform distribution; its variance is bound² / 3."""
    return _glorot(activation, width, width) if activation in ("tanh", "sigmoid") else math.sqrt(6.0 / width)


def _glorot(activation: str, fan_in: int, fan_out: int) -> float:
    # Weights make up for the slope of the sigmoid at 0, a quarter.
    return (4.0 if activation == "sigmoid" else 1.0) * math.sqrt(6.0 / (fan_in + fan_out))


def _uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> torch.Tensor:
    unit = torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)
    return (2.0 * unit - 1.0) * bound


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

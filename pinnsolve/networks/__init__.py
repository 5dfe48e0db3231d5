"""Approximations: maps from coordinates to fields."""

from __future__ import annotations

from pinnsolve.networks.architectures import ACTIVATIONS, MLP, Architecture, ModifiedMLP, PirateNet, ResNet
from pinnsolve.networks.fields import FieldNetwork, build_fields
from pinnsolve.networks.initialization import build
from pinnsolve.networks.normalization import BatchNormalization, GroupNormalization
from pinnsolve.networks.regularization import Dropout, StochasticDepth, random_layers, thinned
from pinnsolve.networks.windows import Window, WindowedFields, Windows, build_windows

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Architecture",
    "BatchNormalization",
    "Dropout",
    "FieldNetwork",
    "GroupNormalization",
    "ModifiedMLP",
    "PirateNet",
    "ResNet",
    "StochasticDepth",
    "Window",
    "WindowedFields",
    "Windows",
    "build",
    "build_fields",
    "build_windows",
    "random_layers",
    "thinned",
]

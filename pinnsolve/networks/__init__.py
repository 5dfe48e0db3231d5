"""Approximations: maps from coordinates to fields."""

from __future__ import annotations

from pinnsolve.networks.architectures import ACTIVATIONS, MLP, Architecture, ModifiedMLP, PirateNet, ResNet
from pinnsolve.networks.fields import FieldNetwork, build_fields
from pinnsolve.networks.initialization import build
from pinnsolve.networks.windows import Window, WindowedFields, Windows, build_windows

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Architecture",
    "FieldNetwork",
    "ModifiedMLP",
    "PirateNet",
    "ResNet",
    "Window",
    "WindowedFields",
    "Windows",
    "build",
    "build_fields",
    "build_windows",
]

"""Approximations: maps from coordinates to fields."""

from __future__ import annotations

from pinnsolve.networks.architectures import ACTIVATIONS, MLP, Architecture, ResNet, build
from pinnsolve.networks.fields import FieldNetwork, build_fields
from pinnsolve.networks.windows import Window, WindowedFields, Windows, build_windows

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Architecture",
    "FieldNetwork",
    "ResNet",
    "Window",
    "WindowedFields",
    "Windows",
    "build",
    "build_fields",
    "build_windows",
]

"""Approximations: maps from coordinates to fields."""

from __future__ import annotations

from pinnsolve.networks.architectures import ACTIVATIONS, MLP, Architecture, ResNet, build
from pinnsolve.networks.fields import FieldNetwork, build_fields

__all__ = ["ACTIVATIONS", "MLP", "Architecture", "FieldNetwork", "ResNet", "build", "build_fields"]

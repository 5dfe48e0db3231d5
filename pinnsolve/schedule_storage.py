"""The numerics of a run as plain data: a `Training` with its phases, decays and weightings, and read back from known kinds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from sympy import Basic

from pinnsolve.declaration.region_storage import region_from_data, region_to_data
from pinnsolve.declaration.trees import TreeError, from_tree, to_tree
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.regions import Boundary
from pinnsolve.domains.spreading import Graded
from pinnsolve.domains.surfaces import Surface
from pinnsolve.training.decays import Cosine, Exponential, Plateau, constant, warm_stable_decay
from pinnsolve.training.gauss_newton import LevenbergMarquardt
from pinnsolve.training.krylov import GaussNewtonCG
from pinnsolve.training.natural_gradient import SPRING
from pinnsolve.training.optimizers import SGD, AdaGrad, Adam, AdamW, RMSprop
from pinnsolve.training.quasi_newton import BFGS, LBFGS, SSBFGS, SSBroyden
from pinnsolve.training.schedule import Training
from pinnsolve.training.soap import SOAP
from pinnsolve.training.weighting import NTK, Causal, GradientNorm, ResidualAttention, SelfAdaptive

_FIRST_ORDER = (Adam, AdamW, SGD, AdaGrad, RMSprop, SOAP)
_SECOND_ORDER = (LBFGS, BFGS, SSBFGS, SSBroyden, LevenbergMarquardt, SPRING, GaussNewtonCG)
_OTHERS = (Cosine, Exponential, Plateau, GradientNorm, NTK, Causal, ResidualAttention, SelfAdaptive, Graded)
_KINDS: Mapping[str, Any] = {kind.__name__: kind for kind in (Training, *_FIRST_ORDER, *_SECOND_ORDER, *_OTHERS)}
_DECAYS = {decay.__name__: decay for decay in (constant, warm_stable_decay)}

_MOST_WINDOWS = 10_000
_MOST = {"history": 100_000, "rank": 100_000, "bins": 1_000_000}
"""What more would be asked for only to exhaust the memory of whoever resumes."""


def training_to_data(training: Training) -> dict[str, Any]:
    """Return a `Training` as plain data.

    Raises:
        TreeError: It has a phase, decay or weighting of the user's own.
    """
    return _to_data(training)


def training_from_data(data: Mapping[str, Any]) -> Training:
    """Return the `Training` that `training_to_data` wrote.

    Raises:
        TreeError: The data are malformed; also other errors of values.
    """
    training = _from_data(data)
    if not isinstance(training, Training):
        raise TreeError("numerics of another kind")
    if any(count > _MOST_WINDOWS for count in (training.windows or {}).values()):
        raise TreeError(f"more than {_MOST_WINDOWS} windows")
    return training


def _to_data(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Basic):
        return {"tree": to_tree(value)}
    if isinstance(value, Boundary):
        meshes: list[Mesh | Surface] = []
        stored = region_to_data(value, meshes)
        if meshes:
            raise TreeError("a boundary of a mesh in a training, whose arrays have no place there,")
        return {"region": stored}
    if isinstance(value, list | tuple):
        return [_to_data(entry) for entry in value]
    if isinstance(value, Mapping):
        return {"pairs": [[_to_data(key), _to_data(entry)] for key, entry in value.items()]}
    name = getattr(value, "__name__", "")
    if _DECAYS.get(name) is value:
        return {"decay": name}
    kind = type(value).__name__
    if is_dataclass(value) and _KINDS.get(kind) is type(value):
        return {"kind": kind, "with": {f.name: _to_data(getattr(value, f.name)) for f in fields(value)}}
    raise TreeError(f"{kind} {name}".strip() + " is of your own making and cannot be stored")


def _from_data(data: Any) -> Any:
    if isinstance(data, list):
        return tuple(_from_data(entry) for entry in data)
    if not isinstance(data, Mapping):
        return data
    if "tree" in data:
        return from_tree(data["tree"])
    if "region" in data:
        return region_from_data(data["region"], ())
    if "pairs" in data:
        return {_from_data(key): _from_data(entry) for key, entry in data["pairs"]}
    if "decay" in data:
        return _DECAYS[data["decay"]]
    arguments = {name: _from_data(value) for name, value in data["with"].items()}
    for name, most in _MOST.items():
        if not arguments.get(name, 0) <= most:
            raise TreeError(f"{name}={arguments[name]!r}, more than {most}")
    if any(isinstance(value, float) and math.isnan(value) for value in arguments.values()):
        raise TreeError(f"a number in {data['kind']} that is none")
    return _KINDS[data["kind"]](**arguments)

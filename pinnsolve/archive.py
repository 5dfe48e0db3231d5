"""The archive: a solution in a folder, weights as safetensors and everything else as JSON.

Opening one executes nothing and imports nothing by name: the declaration is read as trees of known nodes, the network from a
table of known descriptions, and the weights by safetensors, which holds numbers only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from sympy import Function
from torch import nn

from pinnsolve.compiler.trial import build_trial
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.declaration.trees import TreeError, from_tree, to_tree
from pinnsolve.errors import ProblemError
from pinnsolve.networks.architectures import Architecture, fewest_weights
from pinnsolve.networks.windows import Windows
from pinnsolve.problem import Problem
from pinnsolve.reference.exact import Exact, field_name
from pinnsolve.reference.finite_elements import FiniteElements
from pinnsolve.reference.solve import FiniteDifferences
from pinnsolve.reference.spectral import Spectral
from pinnsolve.reference.stream_function import StreamFunction

if TYPE_CHECKING:
    from pinnsolve.solution import Solution

SCHEMA = 1
_SPECS: Mapping[str, type] = {kind.__name__: kind for kind in (*get_args(Architecture), Windows)}
_WEIGHTS, _DESCRIPTION, _MESHES = "model.safetensors", "model.json", "mesh.safetensors"
_LARGEST_DESCRIPTION = 100_000_000
"""Bytes; that of a problem has some thousands."""

_MOST_CELLS = 10_000_000
"""Along one coordinate; more would be asked for only to exhaust the memory of whoever verifies."""

_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What reading data of the wrong form may raise."""


class ArchiveError(ProblemError):
    """A stored solution that is missing, damaged or of another kind."""

    exit_code = 8


def save_solution(solution: Solution, folder: Path) -> Path:
    """Write a solution into a folder, replacing an earlier one; see `Solution.save`."""
    state = {name: _storable(name, tensor) for name, tensor in solution.trial.state_dict().items()}
    spec = solution.network_spec
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {}
    description = {
        "schema": SCHEMA,
        "problem": problem_to_data(solution.problem, arrays),
        "network": network_to_data(spec),
        "dtype": str(next(solution.trial.parameters()).dtype).removeprefix("torch."),
        "reference": reference_to_data(solution.reference_spec),
        "record": finite(dict(solution.record)),
    }
    contents = {_WEIGHTS: safetensors.torch.save(state)}
    if arrays:
        contents[_MESHES] = safetensors.numpy.save(arrays)
    for name, content in contents.items():
        write_atomically(folder / name, content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    description["sha256"] = {**sums, _DESCRIPTION: description_sum(description)}
    write_atomically(folder / _DESCRIPTION, json.dumps(description, indent=1, allow_nan=False).encode())
    return folder


def load_solution(path: Path, *, network: nn.Module | None = None) -> Solution:
    """Read what `save_solution` wrote, or the solution of a run directory; see `load`."""
    from pinnsolve.solution import Solution

    folder = path / "solution" if (path / "solution").is_dir() else path
    description = _read_description(folder)
    try:
        problem = problem_from_data(description["problem"], _read_meshes(folder, description))
        dtype = {"float32": torch.float32, "float64": torch.float64}[description["dtype"]]
        spec = network_from_data(description["network"])
        record, reference_spec = dict(description["record"]), reference_from_data(description["reference"])
    except ArchiveError:
        raise
    except _MALFORMED as error:
        raise ArchiveError(str(folder), f"{_DESCRIPTION} is damaged: {error}", "run the problem again") from None
    if spec is None and network is None:
        raise ArchiveError(
            str(folder), "its network was a module of the user's", "give the same module: load(path, network=module)"
        )
    try:
        _check_sum(folder, _WEIGHTS, description)
        state = safetensors.torch.load_file(folder / _WEIGHTS)
        if network is None:
            require_weights(spec, problem, sum(tensor.numel() for tensor in state.values()))
        trial = build_trial(problem, spec if network is None else network, seed=0, dtype=dtype, device="cpu")
        trial.load_state_dict(state)
    except ProblemError:
        raise
    except (OSError, SafetensorError, RuntimeError, *_MALFORMED) as error:
        raise ArchiveError(str(folder), f"{_WEIGHTS} does not fit: {error}", "run the problem again") from None
    return Solution(problem, trial, spec, record, reference_spec=reference_spec)


def load_problem(path: Path) -> Problem:
    """Read the declaration of a stored solution, or of that of a run directory, without its network.

    Raises:
        ArchiveError: Nothing usable is stored there.
    """
    folder = path / "solution" if (path / "solution").is_dir() else path
    try:
        description = _read_description(folder)
        return problem_from_data(description["problem"], _read_meshes(folder, description))
    except ArchiveError:
        raise
    except _MALFORMED as error:
        raise ArchiveError(str(folder), f"{_DESCRIPTION} is damaged: {error}", "run the problem again") from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def finite(value: Any) -> Any:
    """Return JSON data with every number that is not finite replaced by None."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def _read_description(folder: Path) -> Mapping[str, Any]:
    file = folder / _DESCRIPTION
    if not file.is_file():
        raise ArchiveError(
            str(folder), f"there is no {_DESCRIPTION}", "give a folder written by save(), or a run directory"
        )
    try:
        if file.stat().st_size > _LARGEST_DESCRIPTION:
            raise ValueError(f"more than {_LARGEST_DESCRIPTION} bytes")
        description = json.loads(file.read_bytes(), parse_float=_finite_number, parse_constant=_finite_number)
    except (OSError, ValueError, RecursionError) as error:
        raise ArchiveError(str(folder), f"{_DESCRIPTION} is not readable ({error})", "run the problem again") from None
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        found = description.get("schema") if isinstance(description, dict) else None
        raise ArchiveError(str(folder), f"schema {found!r}, not {SCHEMA}", "use the version of pinnsolve that wrote it")
    sums = description.get("sha256", {_DESCRIPTION: description_sum(description)})
    if not isinstance(sums, dict) or sums.get(_DESCRIPTION) != description_sum(description):
        raise ArchiveError(str(folder), f"{_DESCRIPTION} is damaged: its sum is another", "run the problem again")
    return description


def description_sum(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 sum of a description without its sums, however its JSON is spaced."""
    content = {key: value for key, value in description.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _check_sum(folder: Path, name: str, description: Mapping[str, Any]) -> None:
    """Raise where a file is not the one that was written; solutions stored before there were sums have none."""
    sums = description.get("sha256")
    if sums is None:
        return
    with (folder / name).open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sums.get(name):
        raise ArchiveError(str(folder), f"{name} is not the file that was written", "run the problem again")


def _read_meshes(folder: Path, description: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of meshes; a file of them cannot be larger than it is, whatever its header says."""
    if not description["problem"].get("meshes"):
        return {}
    try:
        _check_sum(folder, _MESHES, description)
        return dict(safetensors.numpy.load_file(folder / _MESHES))
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{_MESHES} is missing or damaged ({error})") from None


def _finite_number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text[:40]} is not finite")
    return number


def _storable(name: str, tensor: Any) -> torch.Tensor:
    """Return a copy in memory of its own: weights that are tied in a module are stored twice and tied again by it."""
    if not isinstance(tensor, torch.Tensor):
        found = f"its state {name} is a {type(tensor).__name__}, not a tensor"
        raise ProblemError("network", found, "keep what training changes in parameters and buffers")
    return tensor.detach().cpu().contiguous().clone()


def require_weights(spec: Any, problem: Problem, stored: int) -> None:
    """Raise when a description asks for more weights than are stored, before anything of that size is allocated."""
    windows = 1
    if isinstance(spec, Windows):
        windows, spec = len(spec.edges) - 1, spec.network
    networks = windows * (len(problem.fields) if spec.one_per_field else 1)
    read = spec.harmonics if problem.periods else 1
    if networks * fewest_weights(spec, inputs=read) > stored:
        raise ValueError(f"{stored} weights are stored, too few for {spec}")


def network_to_data(spec: Any) -> dict[str, Any] | None:
    """Return the description of a network as JSON data; None for a module of the user's."""
    if spec is None:
        return None
    parts = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    if isinstance(spec, Windows):
        parts["network"] = network_to_data(spec.network)
    return {"kind": type(spec).__name__, **parts}


def reference_to_data(spec: Any) -> dict[str, Any] | None:
    """Return closed forms and what is solved as JSON data; None for stored observations and what has no tree."""
    if not isinstance(spec, FiniteDifferences | FiniteElements | Spectral | StreamFunction | Exact):
        return None
    try:
        unknowns = [[to_tree(symbol), float(value)] for symbol, value in (spec.unknowns or {}).items()]
        if isinstance(spec, Exact):
            forms = [[field_name(key), to_tree(expression)] for key, expression in spec.fields.items()]
            return {"kind": "Exact", "fields": forms, "unknowns": unknowns}
        if isinstance(spec, Spectral):
            counts = {"modes": int(spec.modes), "steps": None if spec.steps is None else int(spec.steps)}
            return {"kind": "Spectral", **counts, "unknowns": unknowns, "seconds": spec.seconds}
        if isinstance(spec, StreamFunction):
            return {"kind": "StreamFunction", "cells": int(spec.cells), "unknowns": unknowns, "seconds": spec.seconds}
        if isinstance(spec, FiniteElements):
            size = None if spec.size is None else float(spec.size)
            return {
                "kind": "FiniteElements",
                "size": size,
                "order": int(spec.order),
                "unknowns": unknowns,
                "seconds": spec.seconds,
            }
        cells = [[to_tree(symbol), count] for symbol, count in (spec.cells or {}).items()]
    except TreeError:
        return None
    order = None if spec.order is None else int(spec.order)
    return {
        "kind": "FiniteDifferences",
        "cells": cells,
        "order": order,
        "unknowns": unknowns,
        "seconds": spec.seconds,
    }


def reference_from_data(
    data: Mapping[str, Any] | None,
) -> FiniteDifferences | FiniteElements | Spectral | StreamFunction | Exact | None:
    """Return the reference that `reference_to_data` wrote."""
    if data is None:
        return None
    unknowns = {from_tree(symbol): float(value) for symbol, value in data["unknowns"]} or None
    if data["kind"] == "Exact":
        return Exact({Function(str(name)): from_tree(e) for name, e in data["fields"]}, unknowns=unknowns)
    if data["kind"] == "Spectral":
        if max(data["modes"], data["steps"] or 0) > _MOST_CELLS:
            raise ValueError(f"a reference of more than {_MOST_CELLS} modes or steps")
        return Spectral(data["modes"], steps=data["steps"], unknowns=unknowns, seconds=float(data["seconds"]))
    if data["kind"] == "StreamFunction":
        return StreamFunction(data["cells"], unknowns=unknowns, seconds=float(data["seconds"]))
    if data["kind"] == "FiniteElements":
        size = None if data["size"] is None else float(data["size"])
        return FiniteElements(size, order=data["order"], unknowns=unknowns, seconds=float(data["seconds"]))
    if data["kind"] != "FiniteDifferences":
        raise ValueError(f"a reference of the kind {str(data['kind'])[:40]!r}")
    cells = {from_tree(symbol): count for symbol, count in data["cells"]} or None
    if cells is not None and max(cells.values()) > _MOST_CELLS:
        raise ValueError(f"a reference of more than {_MOST_CELLS} cells")
    order = data.get("order")  # solutions stored before there was a choice have none
    return FiniteDifferences(cells, order=order, unknowns=unknowns, seconds=float(data["seconds"]))


def network_from_data(data: Mapping[str, Any] | None) -> Any:
    """Return the description that `network_to_data` wrote."""
    if data is None:
        return None
    arguments = dict(data)
    kind = _SPECS[arguments.pop("kind")]
    if kind is Windows:
        network = network_from_data(arguments["network"])
        if not isinstance(network, Architecture):
            raise ValueError("windows of windows")
        numbers = {name: tuple(map(float, arguments.get(name, ()))) for name in ("edges", "sizes")}
        arguments |= {"network": network, **numbers}
    return kind(**arguments)

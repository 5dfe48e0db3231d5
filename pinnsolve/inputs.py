"""Inputs: everything that the numbers of a run follow from, and the same as data in its run directory, from which it is resumed.

What is stored is read as the rest of a run directory is: trees of known nodes, kinds from tables, numbers; nothing is executed.
What has no such form, a network or a phase of the user's own, is missing there, and is given again by whoever resumes the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sympy import Symbol
from torch import nn

from pinnsolve.archive import network_from_data, network_to_data, reference_from_data, reference_to_data
from pinnsolve.choice import Choice
from pinnsolve.declaration.losses import Loss
from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.declaration.terms import Term
from pinnsolve.declaration.trees import TreeError, from_tree, to_tree
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem
from pinnsolve.schedule_storage import training_from_data, training_to_data
from pinnsolve.training.schedule import Training
from pinnsolve.training.state import State, StateError, digest_of, read_state, write_state


class InputsError(ProblemError):
    """Stored inputs that are missing, damaged, or not those that are given."""

    exit_code = 8


@dataclass(frozen=True)
class Inputs:
    """What a run begins with.

    Attributes:
        problem: The declaration, with the conditions that are met exactly built in.
        network: As given to `solve`.
        training: As given to `solve`.
        reference: As given to `solve`.
        exactness: How the conditions came to be built in.
        name: Of the problem.
        seed: Of everything random.
        device: As given to `solve`.
        dtype: As given to `solve`.
        threads: As given to `solve`.
        ambient: Threads that torch had when the run began.
        compile: As given to `solve`.
        quick: As given to `solve`.
    """

    problem: Problem
    network: Any
    training: Training | None
    reference: Any
    exactness: tuple[Choice, ...]
    name: str
    seed: int
    device: str
    dtype: str
    threads: int | None
    ambient: int
    compile: str
    quick: bool


_SETTINGS: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("name", "device", "dtype", "compile"), lambda value: isinstance(value, str)),
    "seed": lambda value: type(value) is int and value >= 0,
    "threads": lambda value: value is None or (type(value) is int and 0 < value <= _MOST_THREADS),
    "ambient": lambda value: type(value) is int and 0 < value <= _MOST_THREADS,
    "quick": lambda value: isinstance(value, bool),
}
"""What is stored as it is, and whether it is what it should be."""

_MOST_THREADS = 4_096

_LOSSES: Mapping[str, type[Loss]] = {kind.__name__: kind for kind in get_args(Loss)}
"""Losses of measurements that can be read."""


def write_inputs(folder: Path, inputs: Inputs, *, begun: State) -> str:
    """Store inputs in a folder that does not exist, and return what tells this run from others.

    Args:
        folder: Where to.
        inputs: What the run begins with.
        begun: What else is to be known on resumption: plain data.

    Raises:
        OSError: There is no room, or no right to write.
    """
    storers: dict[str, Callable[[], Any]] = {
        "problem": lambda: _problem_to_data(inputs.problem),
        "network": lambda: _network_to_data(inputs.network),
        "training": lambda: None if inputs.training is None else training_to_data(inputs.training),
        "reference": lambda: _reference_to_data(inputs.reference),
    }
    stored: dict[str, Any] = {"begun": begun, **{name: getattr(inputs, name) for name in _SETTINGS}}
    stored["exactness"] = [asdict(choice) for choice in inputs.exactness]
    missing = {}
    for name, store in storers.items():
        try:
            stored[name] = store()
        except TreeError as error:
            stored[name], missing[name] = None, str(error)
    write_state(folder, stored, head={"missing": missing})
    return digest_of(folder)


def read_inputs(folder: Path) -> tuple[State, dict[str, str]]:
    """Return stored inputs as data, and what is missing there, with the reasons.

    Raises:
        InputsError: They are not as they were written.
    """
    try:
        head, stored = read_state(folder)
        return stored, {str(name): str(reason) for name, reason in head["missing"].items()}
    except (StateError, LookupError, AttributeError) as error:
        found = f"the inputs of the run are not usable: {error}"
        raise InputsError(str(folder), found, "run the problem again") from None


def inputs_from_data(stored: State, given: Mapping[str, Any]) -> Inputs:
    """Return the inputs that `write_inputs` stored.

    Args:
        stored: As data.
        given: What is used instead, by the name of the attribute.

    Raises:
        InputsError: The data are malformed.
    """
    readers: dict[str, Callable[[Any], Any]] = {
        "problem": _problem_from_data,
        "network": network_from_data,
        "training": lambda data: None if data is None else training_from_data(data),
        "reference": _reference_from_data,
        "exactness": lambda choices: tuple(Choice(**choice) for choice in choices),
    }
    try:
        parts = {name: reader(stored[name]) for name, reader in readers.items() if name not in given}
        settings = {name: stored[name] for name in _SETTINGS}
        for name, sound in _SETTINGS.items():
            if not sound(settings[name]):
                raise ValueError(f"{name}={str(settings[name])[:40]!r}")
        return Inputs(**{**settings, **parts, **given})
    except ProblemError as error:
        found = str(error)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        found = f"{error!r}"
    raise InputsError("inputs", f"those stored with the run are malformed: {found}", "run the problem again")


def _problem_to_data(problem: Problem) -> dict[str, Any]:
    """Return a declaration with its observations, and their terms' columns, which a stored solution leaves out."""
    columns = {term.name: _arrays_to_data(term.columns) for term in problem.terms if term.columns}
    measured = {term.name: _measured_to_data(term) for term in problem.terms if term.misfit is not None}
    observed = {name: _observations_to_data(observations) for name, observations in problem.data.items()}
    arrays: dict[str, NDArray[Any]] = {}
    declaration = problem_to_data(problem, arrays)
    meshes = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {"declaration": declaration, "meshes": meshes, "columns": columns, "measured": measured, "data": observed}


def _problem_from_data(data: Mapping[str, Any]) -> Problem:
    problem = problem_from_data(data["declaration"], {name: t.numpy() for name, t in data.get("meshes", {}).items()})
    columns = {name: _arrays_from_data(stored) for name, stored in data["columns"].items()}
    measured = {name: _measured_from_data(stored) for name, stored in data["measured"].items()}
    terms = tuple(
        replace(term, columns=columns.get(term.name, {}), **measured.get(term.name, {})) for term in problem.terms
    )
    for term in terms:
        known = {*problem.coordinates, *problem.unknowns, *problem.normal, *problem.indicators, *term.columns}
        if unknown := term.residual.free_symbols - known:
            raise TreeError(f"{term.name} reads {unknown}, of which there are no values")
        if len({len(column) for column in term.columns.values()}) > 1:
            raise TreeError(f"{term.name} has columns of different lengths")
    observed = {name: _observations_from_data(stored) for name, stored in data["data"].items()}
    object.__setattr__(problem, "terms", terms)  # reading a declaration makes it without its checks; see there
    object.__setattr__(problem, "data", MappingProxyType(observed))
    return problem


def _measured_to_data(term: Term) -> dict[str, Any]:
    """Return what a misfit has beside its residual and its columns."""
    return {
        "misfit": None if term.misfit is None else to_tree(term.misfit),
        "held_out": {name: _arrays_to_data(columns) for name, columns in term.held_out.items()},
        "checked": _arrays_to_data(term.checked),
        "loss": None if term.loss is None else {"kind": type(term.loss).__name__, "with": asdict(term.loss)},
        "deviation": term.deviation,
    }


def _measured_from_data(data: Mapping[str, Any]) -> dict[str, Any]:
    loss, deviation = data["loss"], float(data["deviation"])
    if not 0 < deviation < math.inf:
        raise ValueError(f"deviation={deviation!r}")
    return {
        "misfit": from_tree(data["misfit"]),
        "held_out": {str(name): _arrays_from_data(stored) for name, stored in data["held_out"].items()},
        "checked": _arrays_from_data(data["checked"]),
        "loss": None if loss is None else _LOSSES[loss["kind"]](**loss["with"]),
        "deviation": deviation,
    }


def _network_to_data(network: Any) -> dict[str, Any] | None:
    if isinstance(network, nn.Module):
        raise TreeError("a module of your own")
    return network_to_data(network)


def _reference_to_data(reference: Any) -> dict[str, Any] | None:
    if isinstance(reference, Observations):
        return {"kind": "Observations", "observations": _observations_to_data(reference)}
    data = reference_to_data(reference)
    if data is None and reference is not None:
        raise TreeError("without a form that can be stored")
    return data


def _reference_from_data(data: Mapping[str, Any] | None) -> Any:
    if data is not None and data["kind"] == "Observations":
        return _observations_from_data(data["observations"])
    return reference_from_data(data)


def _observations_to_data(observed: Observations) -> dict[str, Any]:
    return {
        "at": _arrays_to_data(observed.at),
        "values": _arrays_to_data(observed.values),
        "noise": _noise_to_data(observed.noise),
        "source": observed.source,
    }


def _observations_from_data(data: Mapping[str, Any]) -> Observations:
    noise = _noise_from_data(data["noise"])
    at, values = _arrays_from_data(data["at"]), _arrays_from_data(data["values"])
    return Observations(at=at, values=values, noise=noise, source=str(data["source"]))


def _noise_to_data(noise: Any) -> Any:
    if noise is None:
        return None
    return {"tree": to_tree(noise)} if isinstance(noise, Symbol) else torch.from_numpy(np.asarray(noise))


def _noise_from_data(data: Any) -> Any:
    if data is None:
        return None
    return from_tree(data["tree"]) if isinstance(data, Mapping) else data.numpy()


def _arrays_to_data(arrays: Mapping[Any, Any]) -> list[Any]:
    """Return arrays (points,) by expressions as pairs of tree and tensor; complex ones have a column for each part."""
    found = []
    for key, array in arrays.items():
        whole = np.asarray(array)
        parts = np.stack([whole.real, whole.imag], axis=1) if np.iscomplexobj(whole) else whole
        found.append([to_tree(key), torch.from_numpy(np.array(parts, dtype=np.float64))])
    return found


def _arrays_from_data(data: Any) -> dict[Any, Any]:
    found = {}
    for tree, tensor in data:
        array = tensor.numpy()
        found[from_tree(tree)] = array if array.ndim == 1 else array[:, 0] + 1j * array[:, 1]
    return found

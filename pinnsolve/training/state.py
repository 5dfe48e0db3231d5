"""States: all that a run needs to go on, as plain mappings with tensors inside, in a folder that is trusted with nothing.

The tensors go into `state.safetensors`, everything else as JSON into `state.json`, with the SHA-256 of the tensors and of itself:
a bit that flips in either is noticed. Lists in the JSON are tagged, so that no name a user chose can be taken for a tensor, and
numbers that are not finite keep their value. Tensors that are one object are stored once and read back as one object.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

State = Mapping[str, Any]
"""Text, numbers, None, tensors, and lists and mappings of them."""

SCHEMA = 1

TENSORS, DESCRIPTION = "state.safetensors", "state.json"

_LARGEST_DESCRIPTION = 500_000_000
"""Bytes; a history of a million steps has a tenth of it."""

_OPENING, _MIDDLE, _CLOSING = b'{"sha256":"', b'","content":', b"}"
_DIGITS = 64


class StateError(ValueError):
    """A folder that holds no usable state; the message says why."""


def write_state(folder: Path, state: State, *, head: Mapping[str, Any]) -> None:
    """Write a state into an empty folder, down to the disk.

    Args:
        folder: Created; it must not exist.
        state: What to store.
        head: What `read_head` returns without reading the tensors: text, numbers and None.

    Raises:
        OSError: There is no room, or no right to write.
        TypeError: Something in the state is not plain.
    """
    tensors: dict[str, Tensor] = {}
    packed = {"head": _pack(dict(head), tensors, {}, ""), "state": _pack(state, tensors, {}, "")}
    content = safetensors.torch.save(tensors)
    described = {"schema": SCHEMA, "tensors": hashlib.sha256(content).hexdigest(), **packed}
    text = json.dumps(described, allow_nan=False, separators=(",", ":")).encode()
    digest = hashlib.sha256(text).hexdigest().encode()
    folder.mkdir(parents=True)
    _write(folder / TENSORS, content)
    _write(folder / DESCRIPTION, _OPENING + digest + _MIDDLE + text + _CLOSING)
    sync_folder(folder)


def read_head(folder: Path) -> dict[str, Any]:
    """Return the head of a state, having checked that both files are as they were written.

    Raises:
        StateError: They are not, or were written by another version.
    """
    return _described(folder)[0]


def read_state(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the head and the state of a folder, tensors on the CPU.

    Raises:
        StateError: They are not as they were written.
    """
    head, packed = _described(folder)
    try:
        tensors = safetensors.torch.load_file(folder / TENSORS)
        return head, _Reader(tensors).read(packed)
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise StateError(f"{TENSORS} is not readable ({error})") from None


def digest_of(folder: Path) -> str:
    """Return the SHA-256 of the description, which names that of the tensors: what makes one state another."""
    return hashlib.sha256((folder / DESCRIPTION).read_bytes()).hexdigest()


def on_device(state: Any, device: torch.device) -> Any:
    """Return a state with its tensors on a device; those that are one object stay one object."""
    moved: dict[int, Tensor] = {}

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return moved.setdefault(id(value), value.to(device))
        if isinstance(value, Mapping):
            return {key: move(entry) for key, entry in value.items()}
        return [move(entry) for entry in value] if isinstance(value, list | tuple) else value

    return move(state)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system has a way to."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _described(folder: Path) -> tuple[dict[str, Any], Any]:
    """Return head and packed state, both files checked against their sums; no tensor is read yet."""
    try:
        for path, is_kind in (
            (folder, stat.S_ISDIR),
            (folder / DESCRIPTION, stat.S_ISREG),
            (folder / TENSORS, stat.S_ISREG),
        ):
            if not is_kind(path.lstat().st_mode):  # no link that leads out of the folder, no pipe that never ends
                raise StateError(f"{path.name} is not what it should be")
        if (folder / DESCRIPTION).stat().st_size > _LARGEST_DESCRIPTION:
            raise StateError(f"{DESCRIPTION} has more than {_LARGEST_DESCRIPTION} bytes")
        described = _checked((folder / DESCRIPTION).read_bytes())
        with (folder / TENSORS).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != described["tensors"]:
                raise StateError(f"{TENSORS} is not as it was written")
        head = _Reader({}).read(described["head"])
        if not isinstance(head, dict):
            raise StateError(f"{DESCRIPTION} has no head")
        return head, described["state"]
    except FileNotFoundError as error:
        raise StateError(f"there is no {Path(error.filename).name}") from None
    except StateError:
        raise
    except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise StateError(f"{DESCRIPTION} is not readable ({error})") from None


def _checked(raw: bytes) -> dict[str, Any]:
    """Parse a description whose sum is right."""
    begin = len(_OPENING) + _DIGITS
    text = raw[begin + len(_MIDDLE) : -len(_CLOSING)]
    digest = hashlib.sha256(text).hexdigest().encode()
    if raw != _OPENING + digest + _MIDDLE + text + _CLOSING:
        raise StateError(f"{DESCRIPTION} is not as it was written")
    described = json.loads(text, parse_constant=_refuse)
    if not isinstance(described, dict) or described.get("schema") != SCHEMA:
        found = described.get("schema") if isinstance(described, dict) else None
        raise StateError(f"it has the schema {str(found)[:40]}, and this version reads {SCHEMA}")
    return described


def _refuse(text: str) -> float:
    raise StateError(f"the number {text} is not written so")


def _pack(value: Any, tensors: dict[str, Tensor], names: dict[int, str], path: str) -> Any:
    if isinstance(value, Tensor):
        order = _order(value)
        if id(value) not in names:
            names[id(value)] = f"{len(tensors)}{path}"
            tensors[names[id(value)]] = value.detach().cpu().permute(order).contiguous().clone()
        return ["tensor", names[id(value)], *order]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{path} has keys that are not text: {list(value)[:3]}")
        return {key: _pack(entry, tensors, names, f"{path}/{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return ["list", *(_pack(entry, tensors, names, f"{path}/{k}") for k, entry in enumerate(value))]
    if isinstance(value, float) and not math.isfinite(value):
        return ["number", repr(float(value))]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{path} is a {type(value).__name__}, which is not plain")


def _order(tensor: Tensor) -> list[int]:
    """Return the dimensions in the order in which they lie in memory: products of matrices round differently by it."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)


class _Reader:
    """Reads a packed state; each tensor once, in memory of its own, laid out as it was.

    Args:
        tensors: By name.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors, self._read = tensors, dict[str, Tensor]()

    def read(self, value: Any) -> Any:
        """Return what was packed."""
        if isinstance(value, dict):
            return {key: self.read(entry) for key, entry in value.items()}
        if not isinstance(value, list):
            return value
        kind, *entries = value
        if kind == "list":
            return [self.read(entry) for entry in entries]
        if kind == "tensor":
            return self._tensor(*entries)
        if kind == "number" and entries in (["nan"], ["inf"], ["-inf"]):
            return float(entries[0])
        raise ValueError(f"an entry of the kind {str(kind)[:40]!r}")

    def _tensor(self, name: str, *order: int) -> Tensor:
        if name not in self._read:
            stored = self._tensors[name].clone()  # a file's memory lies anywhere, and sums round differently by that
            if sorted(order) != list(range(stored.ndim)):
                raise ValueError(f"dimensions in the order {str(order)[:40]}")
            self._read[name] = stored.permute([order.index(k) for k in range(stored.ndim)])
        return self._read[name]

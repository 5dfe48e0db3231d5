"""Meshes as JSON data and arrays, and read back from them by the constructor that checks what a user gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinnsolve.declaration.trees import TreeError, from_tree, to_tree
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.surfaces import Surface

_LONGEST_NAME = 1_000
_MOST_GROUPS = 100_000
"""Names in a stored mesh; more would be there only to exhaust whoever reads them."""


def mesh_to_data(mesh: Mesh | Surface, number: int, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return what a mesh is called and made of; its arrays are added to others, under names that begin with its number."""
    arrays[f"{number} nodes"] = np.array(mesh.nodes)
    about = {"source": mesh.source, "coordinates": list(map(to_tree, mesh.coordinates))}
    if isinstance(mesh, Surface):
        arrays[f"{number} triangles"] = np.array(mesh.triangles)
        return {**about, "surface": True}
    arrays[f"{number} blocks"] = np.array(mesh.blocks)
    for place, rows in enumerate(mesh.cells.values()):
        arrays[f"{number} cells {place}"] = np.array(rows)
    for place, rows in enumerate(mesh.groups.values()):
        arrays[f"{number} group {place}"] = np.array(rows)
    for place, kinds in enumerate(mesh.parts.values()):
        for kind, rows in kinds.items():
            arrays[f"{number} part {place} {kind}"] = np.array(rows)
    return {
        **about,
        "cells": list(mesh.cells),
        "groups": list(mesh.groups),
        "parts": [[name, list(kinds)] for name, kinds in mesh.parts.items()],
    }


def mesh_from_data(data: Mapping[str, Any], number: int, arrays: Mapping[str, NDArray[Any]]) -> Mesh | Surface:
    """Return the mesh that `mesh_to_data` wrote.

    Raises:
        TreeError: The data are malformed; also other errors of values, which the reader of a declaration turns into this one.
    """
    if data.get("surface"):
        nodes, triangles = _array(arrays, f"{number} nodes", "f"), _array(arrays, f"{number} triangles", "i")
        return Surface(nodes, triangles, tuple(map(from_tree, data["coordinates"])), _name(data["source"]))
    if max(len(data["cells"]), len(data["groups"]), len(data["parts"])) > _MOST_GROUPS:
        raise TreeError(f"a mesh of more than {_MOST_GROUPS} groups")
    return Mesh(
        _array(arrays, f"{number} nodes", "f"),
        {_name(kind): _array(arrays, f"{number} cells {k}", "i") for k, kind in enumerate(data["cells"])},
        tuple(map(from_tree, data["coordinates"])),
        {_name(name): _array(arrays, f"{number} group {k}", "i") for k, name in enumerate(data["groups"])},
        {
            _name(name): {_name(kind): _array(arrays, f"{number} part {k} {kind}", "i") for kind in kinds}
            for k, (name, kinds) in enumerate(data["parts"])
        },
        _name(data["source"]),
        _array(arrays, f"{number} blocks", "i"),
    )


def _array(arrays: Mapping[str, NDArray[Any]], name: str, kind: str) -> NDArray[Any]:
    array = arrays[name]
    if array.dtype.kind != kind or array.dtype.itemsize != 8:
        raise TreeError(f"an array of {array.dtype} in a mesh")
    return array


def _name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise TreeError(f"a name of more than {_LONGEST_NAME} letters, or none")
    return name

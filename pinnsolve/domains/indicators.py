"""Indicators: the symbols that are 1 in a group of cells and 0 elsewhere, and their values at points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from sympy import Symbol

from pinnsolve.domains.images import Array
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.shapes import Shape, factors_of


def find_indicators(domain: Shape) -> dict[Symbol, tuple[Mesh, str]]:
    """Return the indicators of all meshes among the factors of a domain, each with its mesh and group."""
    meshes = [factor for factor in factors_of(domain) if isinstance(factor, Mesh)]
    return {symbol: (mesh, name) for mesh in meshes for symbol, name in mesh.indicators.items()}


def indicator_values(domain: Shape, wanted: Iterable[Symbol], columns: Mapping[Symbol, Array]) -> dict[Symbol, Array]:
    """Return the values of those of some symbols that are indicators; on a boundary, those of the cell behind it.

    Args:
        domain: The region.
        wanted: Any symbols.
        columns: An array (points,) for every coordinate of the meshes.
    """
    known = find_indicators(domain)
    found: dict[Symbol, Array] = {}
    for symbol in wanted:
        if symbol in known:
            mesh, name = known[symbol]
            points = np.stack([columns[c] for c in mesh.coordinates], axis=1)
            found[symbol] = mesh.members(name, points).astype(np.float64)
    return found

"""Regions and boundaries as plain data, and read back from it by the constructors that check what a user writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sympy import Add, Symbol

from pinnsolve.declaration.trees import TreeError, from_tree, to_tree
from pinnsolve.domains.balls import Ball
from pinnsolve.domains.combinations import Combination
from pinnsolve.domains.facets import Facets
from pinnsolve.domains.halfspaces import HalfSpace
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.parts import Part, Wall
from pinnsolve.domains.pieces import Face, Facet, Piece, Sphere
from pinnsolve.domains.polygons import Polygon
from pinnsolve.domains.regions import Boundary, Box, Region
from pinnsolve.domains.shapes import Product, Shape, product
from pinnsolve.domains.surfaces import Surface

_KINDS = ("union", "intersection", "difference")

_MOST_VERTICES = 10_000
"""Of a polygon; its sides are compared in pairs, and more would be there only to exhaust whoever reads them."""


def region_to_data(region: Region, meshes: list[Mesh | Surface]) -> dict[str, Any]:
    """Return a region or a boundary as JSON data; meshes are put into a list, once each, and known by their place in it."""
    if isinstance(region, Mesh | Surface):
        return _mesh_to_data(region, meshes)
    if isinstance(region, Box):
        return {"box": _bounds_to_data(region.bounds)}
    if isinstance(region, Ball):
        return {"ball": _numbers_to_data(region.centre), "radius": region.radius}
    if isinstance(region, Polygon):
        holes = [list(map(list, hole)) for hole in region.holes]
        return {
            "polygon": list(map(list, region.vertices)),
            "holes": holes,
            "coordinates": list(map(to_tree, region.coordinates)),
        }
    if isinstance(region, HalfSpace):
        slopes = dict(zip(region.coordinates, region.outward, strict=True))
        return {"half": _numbers_to_data(slopes), "offset": region.offset}
    if isinstance(region, Product):
        return {"product": [region_to_data(factor, meshes) for factor in region.factors]}
    if isinstance(region, Combination):
        return {region.kind: [region_to_data(side, meshes) for side in (region.first, region.second)]}
    if isinstance(region, Boundary):
        pieces = [_piece_to_data(piece, meshes) for piece in region.pieces]
        return {"pieces": pieces, "coordinates": list(map(to_tree, region.coordinates))}
    raise TreeError(f"a region of the kind {type(region).__name__} cannot be stored")


def region_from_data(data: Mapping[str, Any], meshes: Sequence[Mesh | Surface]) -> Shape | Boundary:
    """Return the region or boundary that `region_to_data` wrote.

    Raises:
        TreeError: The data are malformed; also other errors of values, which the reader of a declaration turns into this one.
    """
    if "pieces" in data or "faces" in data:  # "faces" alone: as boundaries of boxes were once stored
        pieces = data["pieces"] if "pieces" in data else [{"face": face} for face in data["faces"]]
        return _boundary(
            tuple(_piece_from_data(piece, meshes) for piece in pieces),
            tuple(map(symbol_from_data, data["coordinates"])),
        )
    return _shape_from_data(data, meshes)


def symbol_from_data(tree: Any) -> Symbol:
    """Return a symbol from its tree."""
    read = from_tree(tree)
    if not isinstance(read, Symbol):
        raise TreeError(f"{str(tree)[:80]} is not a Symbol")
    return read


def number_from_data(value: Any) -> float:
    """Return a finite number."""
    number = float(value)
    if isinstance(value, str | bool) or not math.isfinite(number):
        raise TreeError(f"{str(value)[:80]} is not a finite number")
    return number


def _shape_from_data(data: Mapping[str, Any], meshes: Sequence[Mesh | Surface]) -> Shape:
    if "mesh" in data:
        return _mesh_from_data(data, meshes)
    if "box" in data:
        return Box(_bounds_from_data(data["box"]))
    if "ball" in data:
        return Ball(_numbers_from_data(data["ball"]), radius=number_from_data(data["radius"]))
    if "polygon" in data:
        coordinates = tuple(map(symbol_from_data, data["coordinates"]))
        return Polygon(_ring(data["polygon"]), coordinates=coordinates, holes=tuple(map(_ring, data["holes"])))
    if "half" in data:
        slopes = _numbers_from_data(data["half"])
        return HalfSpace(
            Add(*(s * c for c, s in slopes.items())) <= number_from_data(data["offset"]), coordinates=tuple(slopes)
        )
    if "product" in data:
        return product(*(_shape_from_data(factor, meshes) for factor in data["product"]))
    for kind in _KINDS:
        if kind in data:
            first, second = (_shape_from_data(side, meshes) for side in data[kind])
            return Combination(kind, first, second)
    raise TreeError(f"a region of the kinds {str(list(data))[:80]}")


def _piece_to_data(piece: Piece, meshes: list[Mesh | Surface]) -> dict[str, Any]:
    if isinstance(piece, Face):
        return {"face": [to_tree(piece.coordinate), piece.value, piece.outward, _bounds_to_data(piece.bounds)]}
    if isinstance(piece, Facet):
        place = dict(zip(piece.coordinates, piece.corner, strict=True))
        return {"facet": _numbers_to_data(place), "edges": list(map(list, piece.edges)), "outward": list(piece.outward)}
    if isinstance(piece, Sphere):
        return {"sphere": _numbers_to_data(piece.centre), "radius": piece.radius}
    if isinstance(piece, Facets):
        return {"facets": list(map(list, [[piece.key[0]], *piece.key[1:]])), **_mesh_to_data(piece.mesh, meshes)}
    if isinstance(piece, Wall):
        return {"wall": _piece_to_data(piece.piece, meshes), "times": region_to_data(piece.region, meshes)}
    if isinstance(piece, Part):
        return {
            "part": _piece_to_data(piece.piece, meshes),
            "of": None if piece.of is None else region_to_data(piece.of, meshes),
            "within": [region_to_data(region, meshes) for region in piece.within],
            "without": [region_to_data(region, meshes) for region in piece.without],
        }
    raise TreeError(f"a boundary of the kind {type(piece).__name__} cannot be stored")


def _piece_from_data(data: Mapping[str, Any], meshes: Sequence[Mesh | Surface]) -> Piece:
    if "facets" in data:
        (kind,), first, second = (tuple(map(str, names)) for names in data["facets"])
        mesh = _mesh_from_data(data, meshes)
        return mesh.piece if isinstance(mesh, Surface) else mesh.piece((kind, first, second))
    if "face" in data:
        coordinate, value, outward, bounds = data["face"]
        ranges = MappingProxyType(_bounds_from_data(bounds))
        return Face(symbol_from_data(coordinate), number_from_data(value), 1 if outward > 0 else -1, ranges)
    if "facet" in data:
        corner = _numbers_from_data(data["facet"])
        edges = tuple(tuple(map(number_from_data, edge)) for edge in data["edges"])
        outward = tuple(map(number_from_data, data["outward"]))
        if {len(row) for row in (*edges, outward)} != {len(corner)} or len(edges) != len(corner) - 1:
            raise TreeError("a facet of other dimensions than its corner")
        return Facet(tuple(corner), tuple(corner.values()), edges, outward)
    if "sphere" in data:
        ball = Ball(_numbers_from_data(data["sphere"]), radius=number_from_data(data["radius"]))
        return Sphere(ball.centre, ball.radius)
    if "wall" in data:
        return Wall(_piece_from_data(data["wall"], meshes), _shape_from_data(data["times"], meshes))
    piece = _piece_from_data(data["part"], meshes)
    of = None if data["of"] is None else _shape_from_data(data["of"], meshes)
    within, without = (tuple(region_from_data(region, meshes) for region in data[key]) for key in ("within", "without"))
    for region in (*within, *without, *([of] if of is not None else [])):
        if set(region.coordinates) != set(piece.coordinates):
            raise TreeError("a part of a boundary cut by a region of other coordinates")
    return Part(piece, of, within, without)


def _mesh_to_data(mesh: Mesh | Surface, meshes: list[Mesh | Surface]) -> dict[str, Any]:
    whole, group = mesh.of if isinstance(mesh, Mesh) and mesh.of is not None else (mesh, None)
    if whole not in meshes:
        meshes.append(whole)
    return {"mesh": meshes.index(whole), "group": group}


def _mesh_from_data(data: Mapping[str, Any], meshes: Sequence[Mesh | Surface]) -> Mesh | Surface:
    mesh = meshes[int(data["mesh"])]
    if data["group"] is None or isinstance(mesh, Surface):
        return mesh
    found = mesh[str(data["group"])]
    if not isinstance(found, Mesh):
        raise TreeError("a group of sides in place of one of cells")
    return found


def _boundary(pieces: tuple[Piece, ...], coordinates: tuple[Symbol, ...]) -> Boundary:
    if not pieces or any(sorted(map(str, p.coordinates)) != sorted(map(str, coordinates)) for p in pieces):
        raise TreeError("a boundary whose pieces do not have its coordinates")
    return Boundary(pieces, coordinates)


def _ring(data: Any) -> list[tuple[float, ...]]:
    if len(data) > _MOST_VERTICES:
        raise TreeError(f"a polygon of more than {_MOST_VERTICES} vertices")
    return [tuple(map(number_from_data, vertex)) for vertex in data]


def _numbers_to_data(values: Mapping[Symbol, float]) -> list[list[Any]]:
    return [[to_tree(c), value] for c, value in values.items()]


def _numbers_from_data(data: Any) -> dict[Symbol, float]:
    return {symbol_from_data(c): number_from_data(value) for c, value in data}


def _bounds_to_data(bounds: Mapping[Symbol, tuple[float, float]]) -> list[list[Any]]:
    return [[to_tree(c), low, high] for c, (low, high) in bounds.items()]


def _bounds_from_data(data: Any) -> dict[Symbol, tuple[float, float]]:
    return {symbol_from_data(c): (number_from_data(low), number_from_data(high)) for c, low, high in data}

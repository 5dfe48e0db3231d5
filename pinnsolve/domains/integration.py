"""Integration: points and weights with which functions are integrated over regions and boundaries, for any of them.

Products of Gauss-Legendre rules in the unit cube go through the map that makes points of a region; where a part of the image is
rejected, every line along the last coordinate of the cube is cut at the ends of what is kept, found by bisection, so that arcs are
exact to rounding, and areas converge although their edge follows no grid: with the number of lines to the power -3/2, where an edge
is tangent to one. Sides and cells of meshes have rules of their own, exact for polynomials (Stroud, Approximate Calculation of
Multiple Integrals, 1971, chapter 2.4). Above three dimensions there are Sobol points.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import roots_legendre
from scipy.stats import qmc
from sympy import Symbol

from pinnsolve.domains.boundaries import Boundary
from pinnsolve.domains.cells import Whole
from pinnsolve.domains.combinations import Combination
from pinnsolve.domains.facets import Facets
from pinnsolve.domains.images import Array, Image, Mask, Solid, columns
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.mesh_quadrature import simplex_rule
from pinnsolve.domains.parts import Part, Wall
from pinnsolve.domains.pieces import Piece
from pinnsolve.domains.shapes import Product, Shape

_ORDER = 4
"""Points of Gauss on each part of a line."""

_LOOKS = 16
"""Places of a line that are looked at for each part of it that has points of Gauss of its own."""

_HALVINGS = 45
"""Bisections of an interval of the unit cube: to rounding."""

_MOST_DIMENSIONS = 3


@dataclass(frozen=True)
class Rule:
    """Points and weights.

    Attributes:
        points: Array (points, coordinates), in the order of the region's coordinates.
        weights: Array (points,); its sum is the measure.
        normals: Outward unit normals (points, coordinates) on boundaries, else nothing.
    """

    points: Array
    weights: Array
    normals: Array | None = None


def integration_rule(region: Shape | Boundary, count: int) -> Rule:
    """Return a rule for a region or a boundary.

    Args:
        region: Where to integrate.
        count: About how many points, of a boundary for each of its pieces; the more, the more accurate.
    """
    if isinstance(region, Boundary):
        return _joined(_in_order(_rule(piece, count), piece.coordinates, region.coordinates) for piece in region.pieces)
    return _rule(region, count)


def _rule(part: Shape | Piece | Solid, count: int) -> Rule:
    if isinstance(part, Mesh):
        degree = _degree(part.count, len(part.coordinates), count)
        return Rule(*part.quadrature(degree))
    if isinstance(part, Facets):
        return _over_facets(part, count)
    if isinstance(part, Product):
        return _product([_rule(f, _share(count, f.dimension, part.dimension)) for f in part.factors])
    if isinstance(part, Wall):
        sides = (part.piece, part.region)
        return _product([_rule(side, _share(count, side.dimension, part.dimension)) for side in sides])
    if isinstance(part, Part) and isinstance(_whole(part), Facets | Wall):
        return _chosen(part, _rule(part.piece, count))
    if isinstance(part, Combination) and part.kind == "union":
        return _joined((_rule(part.first, count), _rule(Combination("difference", part.second, part.first), count)))
    if part.dimension > _MOST_DIMENSIONS:
        return _by_sobol(part, count)
    return _along_lines(part, count)


def _along_lines(part: Shape | Piece | Solid, count: int) -> Rule:
    """Return Gauss points on the parts of lines through the unit cube whose image is kept."""
    if part.dimension == 0:
        points, kept, normals = part.image(np.zeros((1, 0)))
        return Rule(points, np.where(kept, part.extent, 0.0), normals)
    panels = max(2, round(count ** (1 / part.dimension) / _ORDER))
    places, weights = _composite(panels)
    starts = np.array(list(itertools.product(places, repeat=part.dimension - 1)))
    sizes = np.array([math.prod(some) for some in itertools.product(weights, repeat=part.dimension - 1)])
    low, high, lines = _kept_intervals(part, starts, panels)
    nodes, shares = _gauss()
    lengths = high - low
    last = low[:, None] + lengths[:, None] * nodes
    cube = np.concatenate([np.repeat(starts[lines], _ORDER, axis=0), last.reshape(-1, 1)], axis=1)
    points, _, normals = part.image(cube)
    return Rule(points, part.extent * np.outer(sizes[lines] * lengths, shares).ravel(), normals)


def _kept_intervals(part: Shape | Piece | Solid, starts: Array, panels: int) -> tuple[Array, Array, Whole]:
    """Return the ends of the intervals along the last coordinate of the cube whose image is kept, and the line of each.

    Between two places where a line is looked at its image is taken to enter or leave what is kept at most once.
    """

    def kept(lines: Whole, last: Array) -> Mask:
        return part.image(np.concatenate([starts[lines], last[:, None]], axis=1)).kept

    looks = np.linspace(0, 1, _LOOKS * panels + 1)
    every = np.arange(len(starts))
    seen = kept(np.repeat(every, len(looks)), np.tile(looks, len(starts))).reshape(len(starts), len(looks))
    rows, cells = np.nonzero(seen[:, :-1] != seen[:, 1:])
    before, after = looks[cells], looks[cells + 1]
    for _ in range(_HALVINGS if len(rows) else 0):
        middle = (before + after) / 2
        same = kept(rows, middle) == seen[rows, cells]
        before, after = np.where(same, middle, before), np.where(same, after, middle)
    lines = np.concatenate([np.repeat(every, panels + 1), rows])
    ends = np.concatenate([np.tile(looks[::_LOOKS], len(starts)), before])
    order = np.lexsort((ends, lines))
    lines, ends = lines[order], ends[order]
    within = np.flatnonzero((lines[:-1] == lines[1:]) & (ends[:-1] < ends[1:]))
    within = within[kept(lines[within], (ends[within] + ends[within + 1]) / 2)]
    return ends[within], ends[within + 1], lines[within]


def _over_facets(facets: Facets, count: int) -> Rule:
    dimension = facets.dimension
    if dimension == 0:
        return Rule(facets.corners[:, 0], facets.sizes, facets.normals)
    shares, weights = simplex_rule(dimension, _degree(len(facets.corners), dimension, count))
    points = np.einsum("qk,fkc->fqc", shares, facets.corners).reshape(-1, dimension + 1)
    normals = np.repeat(facets.normals, len(shares), axis=0)
    return Rule(points, np.outer(facets.sizes, weights).ravel(), normals)


def _chosen(part: Part, rule: Rule) -> Rule:
    """Return what of a rule for a piece lies on a part of it, point by point, with the normals turned where they must be."""
    outward = part.piece.normals_at(rule.points) if rule.normals is None else rule.normals
    kept, normals = part.choose(rule.points, outward)
    return Rule(rule.points[kept], rule.weights[kept], normals[kept])


def _whole(part: Piece) -> Piece:
    """Return the piece of which a part is a part, of a part or not."""
    while isinstance(part, Part):
        part = part.piece
    return part


def _by_sobol(part: Shape | Piece | Solid, count: int) -> Rule:
    sobol = qmc.Sobol(part.dimension, scramble=True, rng=np.random.default_rng(23))
    cube = sobol.random_base2(math.ceil(math.log2(count)))
    image: Image = part.image(cube)
    normals = None if image.normals is None else image.normals[image.kept]
    kept = image.points[image.kept]
    return Rule(kept, np.full(len(kept), part.extent / len(cube)), normals)


def _product(rules: Sequence[Rule]) -> Rule:
    """Return the rule for a product of a region or a piece, which comes first, with regions of other coordinates."""
    first, *others = rules
    for other in others:
        m, n = len(first.weights), len(other.weights)
        points = np.concatenate([np.repeat(first.points, n, axis=0), np.tile(other.points, (m, 1))], axis=1)
        normals = None
        if first.normals is not None:
            flat = np.zeros((m * n, other.points.shape[1]))
            normals = np.concatenate([np.repeat(first.normals, n, axis=0), flat], axis=1)
        first = Rule(points, np.outer(first.weights, other.weights).ravel(), normals)
    return first


def _joined(rules: Iterable[Rule]) -> Rule:
    rules = list(rules)
    normals = [rule.normals for rule in rules if rule.normals is not None]
    return Rule(
        np.concatenate([rule.points for rule in rules]),
        np.concatenate([rule.weights for rule in rules]),
        np.concatenate(normals) if normals else None,
    )


def _in_order(rule: Rule, given: Sequence[Symbol], wanted: Sequence[Symbol]) -> Rule:
    normals = None if rule.normals is None else columns(rule.normals, given, wanted)
    return Rule(columns(rule.points, given, wanted), rule.weights, normals)


def _degree(cells: int, dimension: int, count: int) -> int:
    """Return the lowest degree above one whose rule over so many simplices has at least so many points."""
    return max(3, 2 * math.ceil((count / cells) ** (1 / dimension)) - 1)


def _share(count: int, dimension: int, whole: int) -> int:
    return max(1, math.ceil(count ** (dimension / max(whole, 1))))


def _gauss() -> tuple[Array, Array]:
    nodes, weights = roots_legendre(_ORDER)
    return (1 + nodes) / 2, weights / 2


def _composite(panels: int) -> tuple[Array, Array]:
    """Return Gauss points and weights on equal parts of the unit interval."""
    nodes, weights = _gauss()
    return ((np.arange(panels)[:, None] + nodes) / panels).ravel(), np.tile(weights / panels, panels)

"""Shapes: measures, points, normals and distances of every region, and of random combinations, against brute force."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sympy import Symbol, pi, symbols

from pinnsolve.domains.balls import Ball, Cylinder, Disk
from pinnsolve.domains.halfspaces import HalfSpace
from pinnsolve.domains.images import unit_sphere
from pinnsolve.domains.polygons import Polygon
from pinnsolve.domains.regions import Box, Interval
from pinnsolve.domains.sampling import METHODS, Graded, draw
from pinnsolve.domains.shapes import Product, Shape
from pinnsolve.errors import ProblemError

x, y, z, t = symbols("x y z t")
DISK = Disk({x: 0.5, y: -1}, radius=2)
BALL = Ball({x: 1, y: 0, z: -2}, radius=0.5)
L_SHAPE = Polygon([(-1, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1)], coordinates=(x, y))
FRAME = Polygon([(0, 0), (0, 4), (5, 3), (4, 0)], coordinates=(x, y), holes=[[(1, 1), (2, 1), (1, 2)]])
SQUARE = Box({x: (-1, 1), y: (-1, 1)})
HOLED = SQUARE - Disk({x: 0, y: 0}, radius=0.5)
LENS = Disk({x: 0, y: 0}, radius=1) & Disk({x: 1, y: 0}, radius=1)
HALF = Disk({x: 0, y: 0}, radius=1) & HalfSpace(x + y <= 0, coordinates=(x, y))
PAIR = Disk({x: 0, y: 0}, radius=1) | Disk({x: 1, y: 0}, radius=1)
TUBE = Cylinder({x: 0, y: 0}, radius=1, along={z: (0, 3)})
SHELL = Ball({x: 0, y: 0, z: 0}, radius=1) - Ball({x: 0, y: 0, z: 0}, radius=0.5)
LASTING = HOLED * Interval(t, 0, 2)
BALL_5 = Ball(dict.fromkeys(symbols("a:5"), 0), radius=1)

LENS_AREA = 2 * math.pi / 3 - math.sqrt(3) / 2
REGIONS: dict[str, tuple[Any, float, float]] = {
    "disk": (DISK, 4 * math.pi, 4 * math.pi),
    "ball": (BALL, math.pi / 6, math.pi),
    "ball in five dimensions": (BALL_5, 8 * math.pi**2 / 15, 8 * math.pi**2 / 3),
    "polygon": (L_SHAPE, 3, 8),
    "polygon with a hole": (FRAME, 16 - 0.5, 4 + math.sqrt(26) + math.sqrt(10) + 4 + 2 + math.sqrt(2)),
    "box without a disk": (HOLED, 4 - math.pi / 4, 8 + math.pi),
    "lens": (LENS, LENS_AREA, 4 * math.pi / 3),
    "half of a disk": (HALF, math.pi / 2, math.pi + 2),
    "two disks": (PAIR, 2 * math.pi - LENS_AREA, 8 * math.pi / 3),
    "cylinder": (TUBE, 3 * math.pi, 8 * math.pi),
    "shell": (SHELL, 7 * math.pi / 6, 5 * math.pi),
    "box without a disk, for some time": (LASTING, 8 - math.pi / 2, 2 * (8 + math.pi) + 2 * (4 - math.pi / 4)),
    "interval with a gap": (Interval(x, 0, 1) - Interval(x, 0.25, 0.5), 0.75, 4),
}
"""Each with its measure and that of its boundary."""

every_region = pytest.mark.parametrize(("region", "measure", "surface"), REGIONS.values(), ids=REGIONS.keys())


def size(region: Any) -> float:
    return max(high - low for low, high in region.bounds.values())


@every_region
def test_measures_are_those_of_formulas(region: Any, measure: float, surface: float) -> None:
    assert region.measure == pytest.approx(measure, rel=2e-3)
    assert region.boundary.measure == pytest.approx(surface, rel=2e-3)


@pytest.mark.parametrize("region", [DISK, BALL, BALL_5, L_SHAPE, FRAME, TUBE], ids=str)
def test_measures_of_primitives_are_exact(region: Any) -> None:
    measure, surface = next((m, s) for r, m, s in REGIONS.values() if r is region)
    assert region.measure == pytest.approx(measure, rel=1e-14)
    assert region.boundary.measure == pytest.approx(surface, rel=1e-14)


@every_region
def test_the_divergence_theorem_holds(region: Any, measure: float, surface: float) -> None:
    """The integral of div F over the region is that of F . n over its boundary, with independent points for both."""
    count = 8192
    inside, walls = draw(region, count, seed=1).coordinates, draw(region.boundary, count, seed=2)
    assert walls.normals is not None
    phases = np.arange(1, region.dimension + 1)

    def flow(points: np.ndarray) -> np.ndarray:
        return np.sin(points.sum(axis=1, keepdims=True) + phases) + points

    divergence = np.cos(inside.sum(axis=1, keepdims=True) + phases).sum(axis=1) + region.dimension
    through = (flow(walls.coordinates) * walls.normals).sum(axis=1)
    # Sobol points do better than independent ones, whose error is the spread over the square root of the count.
    spread = 4 * (measure * divergence.std() + surface * through.std()) / math.sqrt(count)
    assert surface * through.mean() == pytest.approx(measure * divergence.mean(), abs=spread + 1e-12)


@pytest.mark.parametrize("method", METHODS)
@every_region
def test_every_way_of_spreading_integrates(region: Any, measure: float, surface: float, method: str) -> None:
    count = 4000
    points = draw(region, count, method=method, seed=3).coordinates
    truth = draw(region, 60_000, method="uniform", seed=4).coordinates
    assert points.shape == (count, region.dimension) and region.contains(points).all()
    for function in (lambda p: p[:, 0], lambda p: np.cos(3 * p.sum(axis=1)), lambda p: (p**2).sum(axis=1)):
        values = function(truth)
        error = 4 * values.std() * (1 / math.sqrt(count) + 1 / math.sqrt(len(truth)))
        # A grid of n points in d dimensions sees a boundary to the power -1/d of n.
        error += values.std() * count ** (-1 / region.dimension) * (method == "grid")
        assert function(points).mean() == pytest.approx(values.mean(), abs=error)


@every_region
def test_boundary_points_lie_on_the_boundary_with_unit_normals_outwards(
    region: Any, measure: float, surface: float
) -> None:
    drawn = draw(region.boundary, 2000, seed=5)
    assert drawn.normals is not None and drawn.coordinates.shape == (2000, region.dimension)
    np.testing.assert_allclose(np.linalg.norm(drawn.normals, axis=1), 1, rtol=0, atol=1e-12)
    assert np.abs(region.signed_distance(drawn.coordinates)).max() < 1e-12 * max(1, size(region))
    assert region.contains(drawn.coordinates).all() and region.boundary.contains(drawn.coordinates).all()
    step = 1e-7 * size(region)
    within, without = (region.contains(drawn.coordinates + sign * step * drawn.normals) for sign in (-1, 1))
    assert within.mean() > 0.999 and without.mean() < 0.001  # but for points this close to an edge
    np.testing.assert_allclose(region.boundary.normals_at(drawn.coordinates), drawn.normals, atol=1e-9)


@pytest.mark.parametrize("region", [DISK, BALL, L_SHAPE, FRAME, SQUARE, TUBE, BALL_5], ids=str)
def test_signed_distances_are_those_to_the_nearest_of_many_boundary_points(region: Any) -> None:
    points = np.random.default_rng(6).normal(size=(60, region.dimension)) * size(region)
    points[:30] = draw(region, 30, seed=7).coordinates
    many = draw(region.boundary, 40_000, method="sobol", seed=8).coordinates
    nearest = np.min([np.linalg.norm(many - p, axis=1) for p in points], axis=1)
    found = region.signed_distance(points)
    assert (found[:30] <= 0).all() and np.array_equal(found <= 0, region.contains(points))
    gap = 3 * (region.boundary.measure / 40_000) ** (1 / (region.dimension - 1))
    assert (nearest >= np.abs(found) - 1e-12).all() and (nearest <= np.abs(found) + gap).all()


@pytest.mark.parametrize("region", [HOLED, LENS, HALF, PAIR, SHELL, LASTING], ids=lambda r: r.text[:40])
def test_signed_distances_of_combinations_are_bounds_with_the_right_sign(region: Any) -> None:
    generator = np.random.default_rng(9)
    low, high = np.array(list(region.bounds.values())).T
    points = low - 0.5 + (high - low + 1) * generator.random((300, region.dimension))
    many = draw(region.boundary, 20_000, seed=8).coordinates
    nearest = np.min([((points - p) ** 2).sum(axis=1) for p in many], axis=0) ** 0.5
    found = region.signed_distance(points)
    assert (np.abs(found) <= nearest + 1e-12).all() and np.array_equal(found <= 0, region.contains(points))


def leaf(generator: np.random.Generator) -> tuple[Shape, Callable[[np.ndarray], np.ndarray]]:
    """A random primitive, and whether points are inside as anybody would write it."""
    a, b = generator.uniform(-1, 1, 2)
    r, s = generator.uniform(0.3, 1.2, 2)
    kind = generator.integers(4)
    if kind == 0:
        return Disk({x: a, y: b}, radius=r), lambda p: (p[:, 0] - a) ** 2 + (p[:, 1] - b) ** 2 <= r**2
    if kind == 1:
        box = Box({x: (a, a + r), y: (b, b + s)})
        return box, lambda p: (a <= p[:, 0]) & (p[:, 0] <= a + r) & (b <= p[:, 1]) & (p[:, 1] <= b + s)
    if kind == 2:
        triangle = Polygon([(a, b), (a + r, b), (a, b + s)], coordinates=(x, y))
        return triangle, lambda p: (p[:, 0] >= a) & (p[:, 1] >= b) & ((p[:, 0] - a) / r + (p[:, 1] - b) / s <= 1)
    half = HalfSpace(float(a) * x + float(b) * y <= float(r) / 2, coordinates=(x, y))
    return half, lambda p: a * p[:, 0] + b * p[:, 1] <= r / 2


def tree(generator: np.random.Generator, depth: int) -> tuple[Shape, Callable[[np.ndarray], np.ndarray]]:
    """A random tree of combinations; one that is empty is replaced by its first branch."""
    if depth == 0:
        return leaf(generator)
    (one, inside), (other, beside) = tree(generator, depth - 1), tree(generator, int(generator.integers(depth)))
    try:
        match generator.integers(3):
            case 0:
                return one | other, lambda p: inside(p) | beside(p)
            case 1:
                return one & other, lambda p: inside(p) & beside(p)
            case _:
                return one - other, lambda p: inside(p) & ~beside(p)
    except ProblemError as error:
        assert "nothing" in str(error)
        return one, inside


@pytest.mark.parametrize("seed", range(100))
def test_random_combinations_agree_with_brute_force(seed: int) -> None:
    generator = np.random.default_rng(seed)
    drawn_from = Box({x: (-1.5, 1.5), y: (-1.5, 1.5)})
    combined, inside = tree(generator, 3)
    try:
        region, inside_box = combined & drawn_from, lambda p: inside(p) & (np.abs(p) <= 1.5).all(axis=1)
    except ProblemError:  # nothing of it is in the box
        points = draw(drawn_from, 4000, seed=seed).coordinates
        assert inside(points).mean() < 1e-3
        return
    points = generator.uniform(-2, 2, (4000, 2))
    np.testing.assert_array_equal(region.contains(points), inside_box(points))
    np.testing.assert_array_equal(region.signed_distance(points) <= 0, inside_box(points))
    found = draw(region, 500, seed=seed).coordinates
    assert inside_box(found).all()
    assert region.measure == pytest.approx(16 * inside_box(generator.uniform(-2, 2, (200_000, 2))).mean(), abs=0.05)
    walls = draw(region.boundary, 500, seed=seed)
    assert walls.normals is not None
    assert np.abs(region.signed_distance(walls.coordinates)).max() < 1e-12
    step = 1e-6
    within, without = (inside_box(walls.coordinates + sign * step * walls.normals) for sign in (-1, 1))
    assert within.mean() > 0.995 and without.mean() < 0.005
    # The divergence theorem for F = (x, y) / 2: nothing of the boundary is missing, nothing stands twice.
    area = region.boundary.measure * (walls.coordinates * walls.normals).sum(axis=1).mean() / 2
    spread = (walls.coordinates * walls.normals).sum(axis=1).std() * region.boundary.measure / math.sqrt(500)
    assert area == pytest.approx(region.measure, abs=2 * spread + 1e-3)


def test_boundaries_that_coincide_count_once_or_not_at_all() -> None:
    left, right = Box({x: (0, 1), y: (0, 1)}), Box({x: (1, 2), y: (0, 1)})
    assert (left | right).boundary.measure == pytest.approx(6, rel=1e-12)
    assert (left | left).boundary.measure == pytest.approx(4, rel=1e-12)
    corner = Box({x: (0, 2), y: (0, 2)}) - Box({x: (1, 2), y: (1, 2)})
    assert corner.boundary.measure == pytest.approx(8, rel=1e-3)
    assert corner.measure == pytest.approx(3, rel=1e-3)
    dangling = np.array([[2, 1.5], [1.5, 2]])
    assert not corner.boundary.contains(dangling).any()
    assert (corner | Box({x: (1, 2), y: (1, 2)})).boundary.measure == pytest.approx(8, rel=1e-3)


def test_named_parts_of_a_boundary_subtract_and_add() -> None:
    box, hole = Box({x: (0, 4), y: (0, 1)}), Disk({x: 1, y: 0.5}, radius=0.25)
    cavity = box - hole
    lid = box.face(y, 1)
    assert (cavity.boundary - lid).measure == pytest.approx(6 + math.pi / 2, rel=1e-9)
    assert ((cavity.boundary - lid) + lid).measure == pytest.approx(10 + math.pi / 2, rel=1e-9)
    assert (cavity.boundary - box.boundary).measure == pytest.approx(math.pi / 2, rel=1e-9)
    assert (cavity.boundary - hole.boundary).measure == pytest.approx(10, rel=1e-9)
    inner = cavity.boundary & Box({x: (0.5, 1.5), y: (0.1, 0.9)})
    drawn = draw(inner, 50)
    assert drawn.normals is not None
    towards = np.array([1, 0.5]) - drawn.coordinates  # out of the cavity is into the hole
    assert (drawn.normals * towards).sum(axis=1) == pytest.approx(0.25)
    with pytest.raises(ProblemError, match="no part of the boundary is left"):
        hole.boundary - cavity.boundary
    half = hole.boundary & HalfSpace(x <= 1, coordinates=(x, y))
    assert half.measure == pytest.approx(math.pi / 4, rel=1e-3)
    assert (hole.boundary - half).measure == pytest.approx(math.pi / 4, rel=1e-3)


def test_sides_and_holes_of_a_polygon_have_names() -> None:
    side = FRAME.side(1)
    assert side.measure == pytest.approx(math.sqrt(26))
    drawn = draw(side, 3)
    assert drawn.normals is not None
    np.testing.assert_allclose(drawn.normals, np.tile(np.array([1, 5]) / math.sqrt(26), (3, 1)))
    assert (FRAME.boundary - FRAME.hole(0)).measure == pytest.approx(4 + math.sqrt(26) + math.sqrt(10) + 4)
    clockwise = Polygon(L_SHAPE.vertices[::-1], coordinates=(x, y))
    assert clockwise.measure == L_SHAPE.measure
    normals = draw(clockwise.side(5), 2).normals
    assert normals is not None and normals.tolist() == draw(L_SHAPE.side(5), 2).normals.tolist()  # type: ignore[union-attr]


def test_ends_of_a_cylinder_are_faces() -> None:
    assert TUBE.face(z, 3).measure == pytest.approx(math.pi)  # type: ignore[attr-defined]
    side = TUBE.boundary - TUBE.face(z, 0) - TUBE.face(z, 3)  # type: ignore[attr-defined]
    assert side.measure == pytest.approx(6 * math.pi)
    with pytest.raises(ProblemError, match="z has an interval of its own"):
        TUBE.face(x, 1)  # type: ignore[attr-defined]


def test_products_keep_the_order_of_their_factors() -> None:
    lasting = Interval(t, 0, 2) * DISK * Interval(z, 0, 1)
    assert isinstance(lasting, Product) and lasting.coordinates == (t, x, y, z)
    assert dict(lasting.intervals) == {t: (0, 2), z: (0, 1)}
    assert (Interval(t, 0, 2) * DISK.boundary).coordinates == (x, y, t)
    normals = draw(DISK.boundary * Interval(t, 0, 2), 40).normals
    assert normals is not None and not normals[:, 2].any()


def test_regions_without_bounds_still_tell_inside_from_outside() -> None:
    corner = HalfSpace(x <= 0, coordinates=(x, y)) & HalfSpace(x + y <= 1, coordinates=(x, y))
    points = np.array([[-5, 3], [-5, 7], [1, -9], [0, 0]])
    assert corner.contains(points).tolist() == [True, False, False, True]
    upper = DISK.boundary & (HalfSpace(y >= -1, coordinates=(x, y)) | HalfSpace(x >= 9, coordinates=(x, y)))
    assert upper.measure == pytest.approx(2 * math.pi, rel=1e-3)


def test_points_on_a_boundary_to_rounding_are_inside() -> None:
    edge = np.array([[2.5 + 1e-10, -1], [0.5, 1 + 1e-10], [2.5 + 1e-6, -1]])
    assert DISK.contains(edge).tolist() == [True, True, False]
    assert L_SHAPE.contains(np.array([[0, 0], [0, 0.5], [1e-11, 0.5], [1e-6, 0.5], [-1, -1]])).tolist() == [
        True, True, True, False, True,
    ]  # fmt: skip
    assert HOLED.contains(np.array([[0.5, 0], [0.5 - 1e-11, 0], [0.5 - 1e-6, 0], [1, 1]])).tolist() == [
        True, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("dimension", [2, 3, 4, 7])
def test_the_map_onto_the_sphere_keeps_areas(dimension: int) -> None:
    points = unit_sphere(np.random.default_rng(0).random((40_000, dimension - 1)))
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(points.T @ points / 40_000, np.eye(dimension) / dimension, atol=0.01)
    fourth = (points**4).mean(axis=0)  # 3 / (n (n + 2)) in every direction
    np.testing.assert_allclose(fourth, 3 / dimension / (dimension + 2), atol=0.01)


@pytest.mark.parametrize("region", [DISK, L_SHAPE, HOLED, LASTING], ids=lambda r: r.text[:30])
def test_graded_points_have_their_share_in_the_layer(region: Any) -> None:
    points = draw(region, 4000, method=Graded(thickness=0.05, share=0.6)).coordinates
    assert len(points) == 4000 and region.contains(points).all()
    uniform = draw(region, 4000).coordinates
    near, before = (float((-region.signed_distance(p) <= 0.05).mean()) for p in (points, uniform))
    assert near == pytest.approx(0.6 + 0.4 * before, abs=0.02)


def test_points_are_graded_towards_one_boundary_alone() -> None:
    hole = Disk({x: 0, y: 0}, radius=0.5).boundary
    lasting = HOLED * Interval(t, 0, 2)
    points = draw(lasting, 2000, method=Graded(thickness=0.1, share=1.0, towards=hole)).coordinates
    assert np.hypot(points[:, 0], points[:, 1]).max() <= 0.6 + 1e-12 and np.ptp(points[:, 2]) > 1.9
    elsewhere = draw(Interval(t, 0, 2), 100, method=Graded(thickness=0.1, share=1.0, towards=hole)).coordinates
    assert np.ptp(elsewhere) > 1.8


@pytest.mark.parametrize(
    ("declare", "pieces"),
    [
        (lambda: Disk({x: 0}, radius=1), ("Disk", "{x: 0, y: 0}")),
        (lambda: Disk([0, 0], radius=1), ("Disk", "{x: 0, y: 0}")),  # type: ignore[arg-type]
        (lambda: Disk({"x": 0, "y": 0}, radius=1), ("'x' is a str", "symbols")),
        (lambda: Disk({x: 0, y: 0}, radius=0), ("Ball", "radius 0 is not positive")),
        (lambda: Disk({x: 0, y: 0}, radius=-pi), ("radius -pi is not positive",)),
        (lambda: Disk({x: 0, y: 0}, radius=y), ("the radius y is not a real number",)),
        (lambda: Disk({x: math.nan, y: 0}, radius=1), ("nan", "not finite")),
        (lambda: Disk({x: 0, Symbol("x", real=True): 0}, radius=1), ("different assumptions",)),
        (lambda: Ball({x: 0}, radius=1), ("Ball", "Interval")),
        (lambda: Cylinder({x: 0, y: 0}, radius=1, along=z), ("along=z", "along={z: (0, 2)}")),
        (lambda: Cylinder({x: 0, y: 0}, radius=1, along={x: (0, 1)}), ("both factors have x",)),
        (lambda: Polygon([(0, 0), (1, 1)], coordinates=(x, y)), ("Polygon", "three")),
        (lambda: Polygon([(0, 0), (1, 1), (2, 2)], coordinates=(x, y)), ("no area",)),
        (lambda: Polygon([(0, 0), (1, 0), (1, 0), (0, 1)], coordinates=(x, y)), ("vertices 1 and 2 are both (1, 0)",)),
        (lambda: Polygon([(0, 0), (1, 0), (0, 1), (0, 0)], coordinates=(x, y)), ("vertices 3 and 0", "by itself")),
        (lambda: Polygon([(0, 0), (2, 2), (2, 0), (0, 1)], coordinates=(x, y)), ("from (0, 0) to (2, 2)", "cross")),
        (lambda: Polygon([(0, 0), (2, 0), (1, 0), (1, 1)], coordinates=(x, y)), ("cross or touch",)),
        (lambda: Polygon([(0, 0), (1, 0), (0, "a")], coordinates=(x, y)), ("'a' is not a real number",)),
        (lambda: Polygon(5, coordinates=(x, y)), ("vertices 5",)),  # type: ignore[arg-type]
        (lambda: Polygon([(0, 0), (1, 0), (0, 1)], coordinates=x), ("coordinates=x", "coordinates=(x, y)")),
        (lambda: Polygon([(0, 0), (1, 0), (0, 1)], coordinates=(x, x)), ("stands twice",)),
        (
            lambda: Polygon([(0, 0), (3, 0), (0, 3)], coordinates=(x, y), holes=[[(4, 4), (5, 4), (4, 5)]]),
            ("hole 0", "not inside"),
        ),
        (
            lambda: Polygon([(0, 0), (3, 0), (0, 3)], coordinates=(x, y), holes=[[(1, 1), (5, 1), (1, 2)]]),
            ("cross or touch",),
        ),
        (lambda: HalfSpace(x, coordinates=(x, y)), ("x is not an inequality",)),
        (lambda: HalfSpace(x * y <= 1, coordinates=(x, y)), ("not linear in x, y",)),
        (lambda: HalfSpace(x + z <= 1, coordinates=(x, y)), ("not linear",)),
        (lambda: HalfSpace(x <= 1, coordinates=(x,)), ("Interval",)),
        (lambda: HalfSpace(x <= 1, coordinates=(x, y)).boundary, ("not bounded", "combine")),
        (lambda: draw(SQUARE | HalfSpace(x <= 1, coordinates=(x, y)), 5), ("not bounded",)),
        (lambda: DISK & Disk({x: 9, y: 9}, radius=1), ("region & region", "nothing")),
        (lambda: Disk({x: 0.5, y: -1}, radius=1) - DISK, ("region - region", "nothing, or next to nothing")),
        (lambda: DISK | BALL, ("region | region", "(x, y) and in (x, y, z)", "multiply")),
        (lambda: DISK | Disk({y: 0, x: 0}, radius=1), ("(x, y) and in (y, x)", "one order")),
        (lambda: DISK * L_SHAPE, ("both factors have x, y",)),
        (lambda: L_SHAPE.side(6), ("side(6)", "0 to 5")),
        (lambda: L_SHAPE.hole(0), ("hole(0)", "0 holes")),
        (lambda: DISK.boundary & Disk({x: 9, y: 9}, radius=1), ("no part of it lies in the disk",)),
        (lambda: DISK.boundary & BALL, ("(x, y) and in (x, y, z)",)),
        (lambda: DISK.boundary.faces, ("circle", "faces of a box")),
        (lambda: Graded(thickness=0), ("thickness=0",)),
        (lambda: Graded(thickness=0.1, share=2), ("share=2",)),
        (lambda: Graded(thickness=0.1, method="halt"), ("method='halt'", "halton")),
        (lambda: Graded(thickness=0.1, towards=DISK), ("towards=disk.boundary",)),
    ],
)
def test_shapes_that_cannot_be_meant_are_refused(declare: Callable[[], Any], pieces: tuple[str, ...]) -> None:
    with pytest.raises(ProblemError) as caught:
        declare()
    assert all(piece in str(caught.value) for piece in pieces), str(caught.value)


def test_a_shape_and_a_number_do_not_combine() -> None:
    for combine in (lambda: DISK | 2, lambda: DISK & 2, lambda: DISK - 2, lambda: DISK * 2):  # type: ignore[operator]
        with pytest.raises(TypeError):
            combine()

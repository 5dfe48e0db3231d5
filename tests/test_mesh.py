"""Meshes: reading, groups, measures, normals, sampling, quadrature and location, against exact values and brute force."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
from sympy import symbols

from pinnsolve.domains.cells import KINDS, divide, pulled
from pinnsolve.domains.location import Locator, Nearest
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.regions import Boundary, Box, Interval
from pinnsolve.domains.sampling import METHODS, Graded, draw
from pinnsolve.domains.shapes import Shape
from pinnsolve.domains.simplices import distances_to, signed_measures
from pinnsolve.domains.spreading import ON_MESHES
from pinnsolve.domains.topology import find_facets
from pinnsolve.errors import MeshError, ProblemError

FOLDER = Path(__file__).parent / "meshes"
x, y, z, t = symbols("x y z t")

PLATES = ["plate_2.2_text.msh", "plate_2.2_binary.msh", "plate_4.1_text.msh", "plate_4.1_binary.msh", "plate_quads.msh"]
BRICKS = ["brick_tetra.msh", "brick_prisms.msh", "brick_hexahedra.msh"]
SQUARES = ["scikit_fem_triangles.vtu", "scikit_fem_quads.vtu"]
FILES = [*PLATES, *BRICKS, *SQUARES]


def read(name: str) -> Mesh:
    return Mesh.read(FOLDER / name, coordinates=(x, y, z) if "brick" in name else (x, y))


@pytest.fixture(scope="module", params=FILES)
def mesh(request: pytest.FixtureRequest) -> Iterator[Mesh]:
    yield read(request.param)


@pytest.mark.parametrize("name", PLATES)
def test_every_form_of_gmsh_has_the_same_groups_and_measures(name: str) -> None:
    plate = read(name)
    assert sorted(plate.groups) == ["air", "steel"]
    assert sorted(plate.parts) == ["hole", "inlet", "joint", "outlet", "walls"]
    exact = {"steel": 1, "air": 0.75, "inlet": 1, "outlet": 1, "hole": 2, "walls": 4, "joint": 1}
    for group, measure in exact.items():
        assert plate[group].measure == pytest.approx(measure, rel=1e-12)
        assert isinstance(plate[group], Shape if group in plate.groups else Boundary)
    assert plate.measure == pytest.approx(1.75, rel=1e-12)
    assert plate.boundary.measure == pytest.approx(8, rel=1e-12)
    assert plate.bounds == {x: (0, 2), y: (0, 1)}


@pytest.mark.parametrize("name", BRICKS)
def test_cells_in_space_have_the_same_groups_and_measures(name: str) -> None:
    brick = read(name)
    for group, measure in {"near": 1, "far": 1, "clamp": 1}.items():
        assert brick[group].measure == pytest.approx(measure, rel=1e-12)
    assert brick.boundary.measure == pytest.approx(10, rel=1e-12)
    assert brick.interface("near", "far").measure == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("name", SQUARES)
def test_what_scikit_fem_writes_has_its_groups(name: str) -> None:
    square = read(name)
    for group, measure in {"low": 0.5, "high": 0.5, "left": 1}.items():
        assert square[group].measure == pytest.approx(measure, rel=1e-12)
    points = draw(square["left"], 20)
    assert points.normals is not None
    np.testing.assert_allclose(points.coordinates[:, 0], 0, atol=1e-15)
    np.testing.assert_allclose(points.normals, [[-1, 0]] * 20, atol=1e-15)


def save(plate: Mesh, path: Path, *, lines: bool = True) -> None:
    """Write the plate by meshio in the format of an ending, with its groups as the format has them."""
    steel, inlet = plate.groups["steel"], plate.parts["inlet"]["line"]
    none = np.zeros(0, dtype=int)
    cells = [("triangle", plate.cells["triangle"]), ("line", inlet)][: 2 if lines else 1]
    tags = [np.where(np.isin(np.arange(plate.count), steel), 1, 2), np.full(len(inlet), 7)][: len(cells)]
    key = {".bdf": "nastran:ref", ".mesh": "medit:ref", ".avs": "avsucd:material", ".vtu": "gmsh:physical"}
    more: dict[str, Any] = {"cell_data": {key.get(path.suffix, "cell_tags"): tags}}
    if path.suffix == ".inp":
        sets = {"1": [steel, none], "2": [plate.groups["air"], none], "7": [none, np.arange(len(inlet))]}
        more = {"cell_sets": sets, "point_sets": {"rim": np.unique(plate.parts["hole"]["line"])}}
    meshio.Mesh(np.pad(plate.nodes, ((0, 0), (0, 1))), cells, **(more if lines else {})).write(path)


@pytest.mark.parametrize("ending", ["vtk", "vtu", "inp", "bdf", "mesh", "avs"])
def test_formats_with_groups(ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(read("plate_4.1_text.msh"), tmp_path / f"plate.{ending}")
    capsys.readouterr()
    plate = Mesh.read(tmp_path / f"plate.{ending}", coordinates=(x, y))
    for group, measure in {"1": 1, "2": 0.75, "7": 1}.items():
        assert plate[group].measure == pytest.approx(measure, rel=1e-12)
    if ending == "inp":  # points that are all corners of some sides
        assert plate["rim"].measure == pytest.approx(2, rel=1e-12)
    told = capsys.readouterr()
    assert told.out == told.err == ""


@pytest.mark.parametrize("ending", ["ply", "off", "obj", "stl", "xml", "wkt"])
def test_formats_without_groups(ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(read("plate_4.1_text.msh"), tmp_path / f"plate.{ending}", lines=False)
    plate = Mesh.read(tmp_path / f"plate.{ending}", coordinates=(x, y))
    assert plate.measure == pytest.approx(1.75, rel=1e-6 if ending == "stl" else 1e-12)  # stored with seven digits
    assert plate.boundary.measure == pytest.approx(8, rel=1e-6 if ending == "stl" else 1e-12)


def test_cells_of_higher_order_are_read_by_their_corners_with_a_notice() -> None:
    with pytest.warns(UserWarning, match=r"higher order \(line3, triangle6\) are read by their corners"):
        plate = read("plate_second_order.msh")
    assert plate.measure == pytest.approx(1.75, rel=1e-12) and plate["hole"].measure == pytest.approx(2, rel=1e-12)


def test_normals_are_unit_and_outward_and_points_lie_on_the_boundary(mesh: Mesh) -> None:
    points = draw(mesh.boundary, 500)
    size = mesh.size
    assert points.normals is not None
    np.testing.assert_allclose(np.linalg.norm(points.normals, axis=1), 1, rtol=0, atol=1e-12)
    assert mesh.boundary.distance(points.coordinates).max() <= 1e-12 * size
    assert mesh.boundary.contains(points.coordinates).all() and mesh.contains(points.coordinates).all()
    step = 1e-6 * size * points.normals
    assert mesh.contains(points.coordinates - step).mean() > 0.999
    assert not mesh.contains(points.coordinates + step).any()
    np.testing.assert_array_equal(mesh.boundary.normals_at(points.coordinates - 1e-3 * step).shape, step.shape)


def test_the_divergence_theorem_holds(mesh: Mesh) -> None:
    """The integral of div F over the mesh, by quadrature, is that of F . n over its boundary, facet by facet."""
    places, weights = mesh.quadrature(4)
    inside = float(weights @ (3 * places[:, 0] ** 2 * places[:, 1]))
    through = 0.0
    for piece in mesh.boundary.pieces:
        cube = np.random.default_rng(0).random((200_000, len(mesh.coordinates) - 1))
        points, _, normals = piece.image(cube)
        assert normals is not None
        through += piece.measure * float(np.mean(points[:, 0] ** 3 * points[:, 1] * normals[:, 0]))
    assert through == pytest.approx(inside, rel=2e-2)


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 5, 8])
def test_quadrature_is_exact_for_polynomials(degree: int) -> None:
    plate, brick = read("plate_4.1_text.msh"), read("brick_hexahedra.msh")
    places, weights = plate.quadrature(degree)
    a = degree // 2
    b = degree - a
    whole = 2 ** (a + 1) / (a + 1) / (b + 1)
    hole = (1.75 ** (a + 1) - 1.25 ** (a + 1)) / (a + 1) * (0.75 ** (b + 1) - 0.25 ** (b + 1)) / (b + 1)
    assert weights @ (places[:, 0] ** a * places[:, 1] ** b) == pytest.approx(whole - hole, rel=1e-12)
    places, weights = brick.quadrature(degree)
    assert weights @ (places[:, 0] ** a * places[:, 2] ** b) == pytest.approx(whole, rel=1e-12)
    assert plate.contains(plate.quadrature(degree)[0]).all()


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ON_MESHES])
def test_samples_integrate_functions_within_monte_carlo_error(method: str) -> None:
    plate = read("plate_4.1_text.msh")
    places, weights = plate.quadrature(12)
    points = draw(plate, 4096, method=method, seed=1)

    def function(p: np.ndarray) -> np.ndarray:
        return np.sin(3 * p[:, 0]) * np.exp(p[:, 1])

    exact = weights @ function(places) / plate.measure
    error = abs(function(points.coordinates).mean() - exact)
    assert error < 4 * function(points.coordinates).std() / math.sqrt(4096)
    if method in ("sobol", "halton", "hammersley"):  # evenly over the whole, not only in every cell
        assert error < function(points.coordinates).std() / math.sqrt(4096)
    assert plate.contains(points.coordinates).all()


def test_nodes_and_points_of_a_quadrature_are_samples_too() -> None:
    plate = read("plate_4.1_text.msh")
    nodes = draw(plate, 40, method="nodes").coordinates
    assert {tuple(p) for p in nodes} <= {tuple(p) for p in plate.nodes} and len(np.unique(nodes, axis=0)) == 40
    every = draw(plate, 100, method="nodes").coordinates
    assert {tuple(p) for p in plate.nodes} <= {tuple(p) for p in every} and plate.contains(every).all()
    assert (draw(plate["air"], 300, method="nodes").coordinates[:, 0] >= 1).all()
    whole = draw(plate, 130, method="quadrature").coordinates
    np.testing.assert_array_equal(np.unique(whole, axis=0), np.unique(plate.quadrature(1)[0], axis=0))
    some = draw(plate, 1000, method="quadrature", seed=1).coordinates
    cells = np.bincount(plate.cells_at(some), minlength=130)
    assert len(some) == 1000 and cells.min() >= 4 and cells.max() <= 9  # about as many in every cell, whatever its size
    lasting = draw(plate * Interval(t, 0, 1), 200, method="nodes").coordinates
    assert lasting.shape == (200, 3) and np.ptp(lasting[:, 2]) > 0.9
    walls = draw(plate.boundary, 50, method="nodes")
    assert walls.normals is not None and plate.boundary.contains(walls.coordinates).all()


def test_samples_of_a_boundary_are_uniform_by_measure() -> None:
    plate = read("plate_4.1_text.msh")
    points = draw(plate["walls"] + plate["hole"], 6000).coordinates
    on_hole = plate["hole"].contains(points)
    assert on_hole.mean() == pytest.approx(1 / 3, abs=1e-3)
    assert points[~on_hole, 0].mean() == pytest.approx(1, abs=0.01)


def test_points_graded_towards_a_part() -> None:
    plate = read("plate_4.1_text.msh")
    points = draw(plate, 2000, method=Graded(thickness=0.05, share=0.5, towards=plate["hole"])).coordinates
    assert (plate["hole"].distance(points) <= 0.05).mean() > 0.5 and plate.contains(points).all()
    points = draw(plate, 2000, method=Graded(thickness=0.02, share=0.5)).coordinates
    assert (-plate.signed_distance(points) <= 0.02).mean() > 0.5


def test_boundaries_add_subtract_and_are_cut() -> None:
    plate = read("plate_4.1_text.msh")
    rest = plate.boundary - plate["inlet"] - plate["hole"]
    assert rest.measure == pytest.approx(5, rel=1e-12)
    assert (plate["inlet"] + plate["hole"]).measure == pytest.approx(3, rel=1e-12)
    assert (plate["walls"] & plate["steel"]).measure == pytest.approx(2, rel=1e-12)
    assert (plate["walls"] & Box({x: (0, 0.5), y: (0, 1)})).measure == pytest.approx(1, rel=1e-3)
    with pytest.raises(ProblemError, match="no part of the boundary is left"):
        plate["inlet"] - plate["inlet"]


def test_a_group_of_cells_is_a_region_with_its_own_boundary() -> None:
    plate = read("plate_4.1_text.msh")
    air = plate["air"]
    assert air.boundary.measure == pytest.approx(6, rel=1e-12) and air is plate["air"]
    assert air.text == '"air" of plate_4.1_text.msh'
    points = draw(air, 500).coordinates
    assert (points[:, 0] >= 1).all() and plate.members("air", points).all() and not plate.members("steel", points).any()
    assert air["joint"].measure == pytest.approx(1, rel=1e-12)
    with pytest.raises(MeshError, match="5 of 5 entries of the group 'inlet' are no sides"):
        air["inlet"]


def test_interfaces_have_a_normal_out_of_the_first_group() -> None:
    plate = read("plate_4.1_text.msh")
    for first, second, sign in (("steel", "air", 1), ("air", "steel", -1)):
        points = draw(plate.interface(first, second), 50)
        np.testing.assert_allclose(points.coordinates[:, 0], 1, atol=1e-12)
        assert points.normals is not None
        np.testing.assert_allclose(points.normals, [[sign, 0]] * 50, atol=1e-12)
    assert plate["joint"].measure == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(plate.boundary.contains(draw(plate["joint"], 50).coordinates).mean(), 0)


def test_products_and_combinations_with_other_regions() -> None:
    plate = read("plate_4.1_text.msh")
    lasting = plate * Interval(t, 0, 10)
    assert lasting.measure == pytest.approx(17.5) and lasting.boundary.measure == pytest.approx(80 + 3.5)
    points = draw(lasting.boundary, 200)
    assert points.coordinates.shape == (200, 3) and points.normals is not None
    half = plate & Box({x: (0, 1.5), y: (0, 1)})
    assert half.measure == pytest.approx(1.5 - 0.125, rel=2e-3)
    assert half.boundary.measure == pytest.approx(5.5, rel=1e-3)


def test_location_agrees_with_brute_force(mesh: Mesh) -> None:
    low, high = np.array(list(mesh.bounds.values())).T
    points = low - 0.1 + (high - low + 0.2) * np.random.default_rng(3).random((400, len(low)))
    corners = np.concatenate([mesh.nodes[divide(kind, rows)[0]] for kind, rows in mesh.cells.items()])
    edges = corners[:, 1:] - corners[:, :1]
    shares = np.einsum("sij,psj->psi", np.linalg.inv(edges.transpose(0, 2, 1)), points[:, None] - corners[None, :, 0])
    inside = ((shares >= 0).all(axis=2) & (shares.sum(axis=2) <= 1)).any(axis=1)
    np.testing.assert_array_equal(mesh.contains(points), inside)
    facets = np.concatenate([piece.corners for piece in mesh.boundary.pieces])  # type: ignore[attr-defined]
    brute = np.array([distances_to(np.tile(p, (len(facets), 1)), facets).min() for p in points])
    np.testing.assert_allclose(mesh.signed_distance(points), np.where(inside, -brute, brute), rtol=1e-12, atol=1e-14)


def test_location_does_not_mind_grading() -> None:
    """Triangles a million times smaller at one end."""
    ends = np.concatenate([[0.0], np.geomspace(1e-6, 1, 60)])
    grid = np.stack(np.meshgrid(ends, ends, indexing="ij"), axis=-1).reshape(-1, 2)
    corner = (np.arange(60)[:, None] * 61 + np.arange(60)).ravel()
    quads = np.stack([corner, corner + 61, corner + 62, corner + 1], axis=1)
    graded = Mesh(grid, {"quad": quads}, (x, y))
    points = np.random.default_rng(0).random((20_000, 2)) ** 8
    cells = graded.cells_at(points)
    expected = [np.searchsorted(ends, p, side="right") - 1 for p in points.T]
    np.testing.assert_array_equal(cells, expected[0] * 60 + expected[1])


def test_a_million_points_are_located_on_a_hundred_thousand_cells_in_seconds() -> None:
    side = 224
    steps = np.linspace(0, 1, side + 1)
    nodes = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    low = (np.arange(side)[:, None] * (side + 1) + np.arange(side)).ravel()
    halves = [(low, low + side + 1, low + side + 2), (low, low + side + 2, low + 1)]
    triangles = np.concatenate([np.stack(half, axis=1) for half in halves])
    corners = nodes[triangles]
    points = np.random.default_rng(0).random((1_000_000, 2))
    start = time.process_time()
    found = Locator(corners).find(points)
    spent = time.process_time() - start
    assert len(triangles) > 100_000 and (found >= 0).all()
    assert spent < 10  # 1.5 s where nothing else runs
    row, column = (np.minimum((points[:, k] * side).astype(int), side - 1) for k in (0, 1))
    square = row * side + column
    assert (found % (side * side) == square).mean() > 0.999999


def test_the_nearest_facet_is_found_whatever_the_sizes() -> None:
    generator = np.random.default_rng(5)
    corners = generator.random((300, 1, 3)) + generator.random((300, 3, 3)) * 10.0 ** -generator.integers(
        0, 5, (300, 1, 1)
    )
    points = 2 * generator.random((300, 3))
    distances, which = Nearest(corners).find(points)
    brute = np.array([distances_to(np.tile(p, (300, 1)), corners) for p in points])
    np.testing.assert_allclose(distances, brute.min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(which, brute.argmin(axis=1))
    near, _ = Nearest(corners).find(points, within=0.05)
    np.testing.assert_array_equal(np.isfinite(near), distances <= 0.05)
    for distance in (1e-3, 0.05, 0.3):
        np.testing.assert_array_equal(Nearest(corners).near(points, distance), distances <= distance)


@pytest.mark.parametrize("kind", [k for k, entry in KINDS.items() if entry.dimension > 1])
def test_cells_are_divided_without_gaps_whatever_their_numbers(kind: str) -> None:
    corners = {
        "triangle": [(0, 0), (1, 0), (0, 1)],
        "quad": [(0, 0), (1, 0), (1, 1), (0, 1)],
        "tetra": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)],
        "pyramid": [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0.5, 0.5, 1)],
        "wedge": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)],
        "hexahedron": [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)],
    }[kind]
    volume = {"triangle": 1 / 2, "quad": 1, "tetra": 1 / 6, "pyramid": 1 / 3, "wedge": 1 / 2, "hexahedron": 1}[kind]
    nodes = np.array(corners, dtype=float)
    generator = np.random.default_rng(0)
    for _ in range(40):
        names = generator.permutation(len(nodes))
        places = np.empty_like(nodes)
        places[names] = nodes
        simplices, owners = divide(kind, names[None, :])
        sizes = signed_measures(places[simplices])
        assert abs(sizes).sum() == pytest.approx(volume, rel=1e-14) and (owners == 0).all()
        assert (np.sign(sizes) == np.sign(sizes[0])).all()
        assert find_facets(simplices).counts.max() <= 2
        assert (signed_measures(places[pulled(kind, names[None, :])[0]]) > 0).all()


def test_neighbouring_hexahedra_with_sides_that_are_not_plane_meet_without_gaps() -> None:
    steps = np.arange(4.0)
    nodes = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    moved = nodes + 0.15 * (np.random.default_rng(2).random(nodes.shape) - 0.5)
    low = (np.arange(3)[:, None, None] * 16 + np.arange(3)[:, None] * 4 + np.arange(3)).ravel()
    shifts = [0, 16, 20, 4, 1, 17, 21, 5]
    cells = {"hexahedron": low[:, None] + shifts}
    with pytest.warns(
        UserWarning, match=r"mesh: \d+ sides of cells are not plane, by up to 0\.\d+; each is taken as two"
    ):
        mesh = Mesh(moved, cells, (x, y, z))
    assert mesh.boundary.measure == pytest.approx(54, rel=0.05)
    places, weights = mesh.quadrature(2)
    assert mesh.contains(places).all() and weights.sum() == pytest.approx(mesh.measure, rel=1e-14)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Mesh(nodes, cells, (x, y, z))


def test_segments_are_a_mesh_too() -> None:
    nodes, lines = np.array([[0.0], [0.5], [2.0]]), np.array([[0, 1], [1, 2]])
    parts = {"end": {"vertex": np.array([[2]])}}
    rod = Mesh(nodes, {"line": lines}, (x,), {"thin": np.array([1])}, parts)
    assert rod.measure == 2 and rod["thin"].measure == 1.5 and rod.boundary.measure == 2
    points = draw(rod["end"], 3)
    np.testing.assert_array_equal(points.coordinates, [[2.0]] * 3)
    np.testing.assert_array_equal(points.normals, [[1.0]] * 3)
    np.testing.assert_allclose(rod.signed_distance(np.array([[0.25], [3.0]])), [-0.25, 1.0])


def test_names_are_answered_with_those_that_exist() -> None:
    plate = read("plate_4.1_text.msh")
    with pytest.raises(MeshError, match=r"no group 'inlett'.*'inlet'.*perhaps 'inlet'"):
        plate["inlett"]
    with pytest.raises(MeshError, match="no group of cells 'steal'"):
        plate.where({"steal": 1, "air": 2})
    with pytest.raises(MeshError, match="of 130 cells are in none of 'steel'"):
        plate.where({"steel": 1})
    with pytest.raises(MeshError, match="have no side in common"):
        plate.interface("air", "air")

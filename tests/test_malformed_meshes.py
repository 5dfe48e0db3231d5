"""Malformed meshes: each is refused in one sentence and with exit code 4, in a problem file as from Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import meshio
import numpy as np
import pytest
from sympy import symbols

from pinnsolve.cli import main
from pinnsolve.domains.mesh import Mesh
from pinnsolve.errors import MeshError

FOLDER = Path(__file__).parent / "meshes"
x, y, z = symbols("x y z")

PROBLEM = """
from sympy import Eq, symbols
import pinnsolve as ps
x, y, z = symbols("x y z")
mesh = ps.Mesh.read("{name}", coordinates=({coordinates}))
u = ps.fields("u", {coordinates})
problem = ps.Problem(
    domain=mesh,
    equations=Eq(ps.laplacian(u, {coordinates}), 1),
    conditions={{"part": ps.on(mesh["{part}"], Eq(u, 0)), "rest": ps.on(mesh.boundary - mesh["{part}"], Eq(u, 0))}},
)
"""

NODES = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2)]
TRIANGLES = [(0, 1, 4), (0, 4, 3), (1, 2, 5), (1, 5, 4), (3, 4, 7), (3, 7, 6), (4, 5, 8), (4, 8, 7)]


def text(name: str, *changes: tuple[str, str]) -> bytes:
    """A file of the tests with a first occurrence of some texts replaced."""
    found = (FOLDER / name).read_text()
    for old, new in changes:
        changed = re.sub(old, new.replace("\\", r"\\"), found, count=1, flags=re.DOTALL)
        assert changed != found, old
        found = changed
    return found.encode()


def binary(name: str, at: bytes, offset: int, new: bytes) -> bytes:
    """A binary file with some bytes behind a mark replaced."""
    found = (FOLDER / name).read_bytes()
    place = found.index(at) + len(at) + offset
    return found[:place] + new + found[place + len(new) :]


def cut(name: str, share: float) -> bytes:
    found = (FOLDER / name).read_bytes()
    return found[: int(share * len(found))]


def plate(
    nodes: object = NODES, triangles: object = TRIANGLES, lines: object = ((0, 1),), **more: object
) -> Callable[[Path], None]:
    """A square of eight triangles, written by meshio as .vtu with a group of sides that Gmsh would call 7."""

    def write(path: Path) -> None:
        points = np.array(nodes, dtype=float)
        cells = [("triangle", np.array(triangles)), ("line", np.array(lines))]
        tags = [np.full(len(rows), k) for k, (_, rows) in enumerate(cells, start=6)]
        meshio.Mesh(np.pad(points, ((0, 0), (0, 1))), cells, cell_data={"gmsh:physical": tags}, **more).write(path)

    return write


def swapped(rows: Sequence[tuple[int, ...]], number: int, new: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [*rows[:number], new, *rows[number + 1 :]]


def moved(number: int, place: tuple[float, float]) -> list[tuple[float, float]]:
    return [*NODES[:number], place, *NODES[number + 1 :]]


def strip(count: int, turned: int) -> Callable[[Path], None]:
    """A strip of squares of which one is listed the other way round."""
    nodes = [(k, h) for k in range(count + 1) for h in (0, 1)]
    quads = [(2 * k, 2 * k + 2, 2 * k + 3, 2 * k + 1) for k in range(count)]
    quads[turned] = quads[turned][::-1]

    def write(path: Path) -> None:
        cells = [("quad", np.array(quads)), ("line", np.array([(0, 1)]))]
        tags = [np.full(len(rows), k) for k, (_, rows) in enumerate(cells, start=6)]
        meshio.Mesh(np.pad(np.array(nodes, float), ((0, 0), (0, 1))), cells, cell_data={"gmsh:physical": tags}).write(
            path
        )

    return write


OLD, NEW = "plate_2.2_text.msh", "plate_4.1_text.msh"
OLD_BINARY, NEW_BINARY = "plate_2.2_binary.msh", "plate_4.1_binary.msh"
SIDES = len(re.findall(r"\n\d+ 1 2 ", (FOLDER / OLD).read_text()))
COUNT = r"\$Nodes\n\d+"

CASES: dict[str, tuple[str, bytes | Callable[[Path], None], str]] = {
    "empty": ("a.msh", b"", "not readable"),
    "no mesh at all": ("a.msh", b"\x00\xff" * 200, "not readable"),
    "a picture": ("a.msh", b"\x89PNG\r\n\x1a\n" + bytes(500), "not readable"),
    "a program": ("a.msh", b"import os\nos.system('true')\n", "not readable"),
    "a pickle": ("a.msh", b"cposix\nsystem\n(S'true'\ntR.", "not readable"),
    "an unknown ending": ("a.xyzzy", text(OLD), "not readable"),
    "a version that does not exist": ("a.msh", text(NEW, (r"4\.1 0 8", "9.7 0 8")), "not readable"),
    "text that says it is binary": ("a.msh", text(NEW, (r"4\.1 0 8", "4.1 1 8")), "bytes"),
    "binary that says it is text": ("a.msh", binary(NEW_BINARY, b"$MeshFormat\n4.1 ", 0, b"0"), "MeshFormat"),
    "the other order of bytes": ("a.msh", binary(OLD_BINARY, b"2.2 1 8\n", 0, b"\x00\x00\x00\x01"), "order of bytes"),
    "cut in the header": ("a.msh", cut(NEW, 0.002), "not readable"),
    "cut in the names": ("a.msh", cut(NEW, 0.02), "PhysicalNames"),
    "cut in the entities": ("a.msh", cut(NEW, 0.15), "Entities"),
    "cut in the points": ("a.msh", cut(NEW, 0.4), "Nodes holds no end"),
    "cut in the cells": ("a.msh", cut(NEW, 0.9), "Elements holds no end"),
    "cut at the very end": ("a.msh", cut(NEW, 0.998), "Elements"),
    "version 2 cut in the points": ("a.msh", cut(OLD, 0.3), "Nodes"),
    "version 2 cut in the cells": ("a.msh", cut(OLD, 0.8), "Elements"),
    "binary cut in the points": ("a.msh", cut(NEW_BINARY, 0.3), "fewer numbers than it declares"),
    "binary cut in the cells": ("a.msh", cut(NEW_BINARY, 0.8), "fewer numbers than it declares"),
    "binary version 2 cut": ("a.msh", cut(OLD_BINARY, 0.6), "fewer numbers than it declares"),
    "a trillion points": ("a.msh", text(OLD, (COUNT, "$Nodes\n1000000000000")), "fewer numbers than it declares"),
    "a trillion points in version 4": (
        "a.msh",
        text(NEW, (r"\$Nodes\n\d+ \d+", "$Nodes\n1 1000000000000")),
        "declares 1,000,000,000,000",
    ),
    "a trillion points in binary": (
        "a.msh",
        binary(NEW_BINARY, b"$Nodes\n", 8, (10**12).to_bytes(8, "little")),
        "declares 1,000,000,000,000",
    ),
    "a trillion points of a block": (
        "a.msh",
        binary(NEW_BINARY, b"$Nodes\n", 44, (10**12).to_bytes(8, "little")),
        "fewer numbers than it declares (1,000,000,000,000",
    ),
    "a negative number of points": ("a.msh", text(OLD, (COUNT, "$Nodes\n-5")), "'-5' where a number of entries"),
    "a number of points that is a word": ("a.msh", text(OLD, (COUNT, "$Nodes\nmany")), "'many' where a number"),
    "one point less than declared": ("a.msh", text(OLD, (COUNT, "$Nodes\n85")), "Nodes"),
    "fewer points declared": ("a.msh", text(OLD, (COUNT, "$Nodes\n50")), "numbers more than it declares"),
    "fewer cells declared": (
        "a.msh",
        text(OLD, (r"\$Elements\n\d+", "$Elements\n100")),
        "more elements than it declares",
    ),
    "more cells declared": (
        "a.msh",
        text(OLD, (r"\$Elements\n\d+", "$Elements\n500")),
        "fewer elements than it declares",
    ),
    "a word for a coordinate": ("a.msh", text(OLD, (r"\n1 0 0 0\n", "\n1 zero 0 0\n")), "not a number"),
    "a coordinate that is not a number": (
        "a.msh",
        text(OLD, (r"\n1 0 0 0\n", "\n1 nan 0 0\n")),
        "1 of 86 points (number 1)",
    ),
    "an infinite coordinate": ("a.msh", text(OLD, (r"\n1 0 0 0\n", "\n1 0 inf 0\n")), "not finite numbers"),
    "a coordinate out of this world": ("a.msh", text(OLD, (r"\n1 0 0 0\n", "\n1 1e300 0 0\n")), "extend over 1e+300"),
    "two points with one number": ("a.msh", text(OLD, (r"\n2 1 0 0\n", "\n1 1 0 0\n")), "a number that another has"),
    "no section of points": ("a.msh", text(OLD, (r"\$Nodes.*\$EndNodes\n", "")), "no section of points"),
    "no section of cells": ("a.msh", text(OLD, (r"\$Elements.*\$EndElements\n", "")), "no section of elements"),
    "an element of no type": ("a.msh", text(OLD, (r"\n1 1 2 (\d+)", "\n1 77 2 3")), "unknown type 77"),
    "a thousand million tags": ("a.msh", text(OLD, (r"\n1 1 2 (\d+)", "\n1 1 2000000000 3")), "impossible size"),
    "a name without quotes": ("a.msh", text(OLD, (r'"steel"', '"steel')), "dimension tag"),
    "points that do not exist": (
        "a.msh",
        text(OLD, (r"\n(\d+) 2 2 (\d+) (\d+) (\d+) ", "\n70 2 2 6 1 9999 ")),
        "do not exist",
    ),
    "point number zero": ("a.msh", text(OLD, (r"\n(\d+) 2 2 (\d+) (\d+) (\d+) ", "\n70 2 2 6 1 0 ")), "do not exist"),
    "a surface in space": ("a.msh", text(OLD, (r"\n1 0 0 0\n", "\n1 0 0 0.5\n")), "a surface in space"),
    "only sides": (
        "a.msh",
        text(OLD, (r"\n\d+ 2 2 .*\$EndElements", "\n$EndElements"), (r"\$Elements\n\d+", f"$Elements\n{SIDES}")),
        "its cells are segments, of 1 dimensions, and the coordinates are (x, y)",
    ),
    "a missing group": ("b.vtu", plate(lines=((0, 1), (1, 2)), nodes=NODES), "no group"),
    "sides of no cell": ("a.vtu", plate(lines=((0, 8),)), "1 of 1 entries of the group '7' are no sides"),
    "a point that is not a number": ("a.vtu", plate(nodes=moved(4, (float("nan"), 1))), "1 of 9 points (number 5) has"),
    "a corner beyond the points": (
        "a.vtu",
        plate(triangles=swapped(TRIANGLES, 2, (1, 2, 55))),
        "do not exist; there are 9",
    ),
    "a negative corner": ("a.vtu", plate(triangles=swapped(TRIANGLES, 2, (1, 2, -4))), "do not exist"),
    "a corner twice": (
        "a.vtu",
        plate(triangles=swapped(TRIANGLES, 2, (1, 2, 2))),
        "1 of 8 triangles (number 3) has a point twice",
    ),
    "a cell twice": ("a.vtu", plate(triangles=[*TRIANGLES, (4, 0, 1)]), "(number 9) stands there for the second time"),
    "a flat cell": ("a.vtu", plate(nodes=moved(4, (1, 0))), "2 of 8 triangles (numbers 1, 4) have no area"),
    "an inverted cell": ("a.vtu", plate(nodes=moved(4, (1, -0.5)), triangles=TRIANGLES), "overlap"),
    "an inverted cell among many": ("a.vtu", strip(20, 7), "1 of 20 quadrilaterals (number 8) is inverted"),
    "a quadrilateral with crossing sides": (
        "a.vtu",
        lambda path: meshio.Mesh(
            [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]],
            [("quad", np.array([[0, 1, 3, 2]])), ("line", np.array([[0, 1]]))],
        ).write(path),
        "not convex, or its corners are out of order",
    ),
    "three cells at one side": (
        "a.vtu",
        plate(nodes=[*NODES, (0.4, 0.5)], triangles=[*TRIANGLES, (0, 4, 9)]),
        "belong to more than two cells",
    ),
    "cells on each other": (
        "a.vtu",
        plate(nodes=[*NODES, (0.1, 0.1), (1.9, 0.2), (0.2, 1.8)], triangles=[*TRIANGLES, (9, 10, 11)]),
        "cells overlap",
    ),
    "parts that are not joined": (
        "a.vtu",
        plate(
            nodes=[*NODES, (0, 1), (1, 1), (2, 1)],
            triangles=[*TRIANGLES[:4], (9, 10, 7), (9, 7, 6), (10, 11, 8), (10, 8, 7)],
        ),
        "4 sides of the boundary lie on each other and are not joined",
    ),
    "a hole where a cell is missing": (
        "a.vtu",
        plate(
            nodes=[(0, 0), (6, 0), (3, 6), (2, 1.5), (4, 1.5), (3, 3.5)],
            triangles=[(0, 1, 3), (1, 4, 3), (1, 2, 4), (2, 5, 4), (2, 0, 5), (0, 3, 5)],
        ),
        "1 hole of the size of one cell, without a name: a cell is missing at (3, 2.16667)",
    ),
    "a polygon for a cell": (
        "a.vtk",
        b"# vtk DataFile Version 3.0\nm\nASCII\nDATASET UNSTRUCTURED_GRID\nPOINTS 5 double\n0 0 0 1 0 0 2 1 0 1 2 0 0 1 0\n"
        b"CELLS 1 6\n5 0 1 2 3 4\nCELL_TYPES 1\n7\n",
        "polygon",
    ),
    "a damaged .vtk": (
        "a.vtk",
        b"# vtk DataFile Version 3.0\nm\nASCII\nDATASET UNSTRUCTURED_GRID\nPOINTS 9999999 double\n0 0",
        "",
    ),
    "a damaged .vtu": ("a.vtu", cut("scikit_fem_quads.vtu", 0.5), "not readable"),
    "a damaged .stl": ("a.stl", b"solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0\n", ""),
    "a damaged .obj": ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", ""),
    "a damaged .inp": ("a.inp", b"*NODE\n1, 0, 0, 0\n2, 1, 0\n*ELEMENT, TYPE=CPS3\n1, 1, 2, 3\n", ""),
    "a damaged .mesh": ("a.mesh", b"MeshVersionFormatted 2\nDimension 2\nVertices\n4\n0 0 1\n1 0", ""),
    "a damaged .su2": ("a.su2", b"NDIME= 2\nNELEM= 3\n5 0 1 2 0\nNPOIN= 3\n0 0\n1 0\n", ""),
    "a damaged .xdmf": ("a.xdmf", b"<Xdmf><Domain><Grid>", "not readable"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_malformed_mesh_is_one_sentence_and_exit_4(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, expected = CASES[case]
    target = tmp_path / name
    if callable(content):
        content(target)
    else:
        target.write_bytes(content)
    capsys.readouterr()
    part = {"a.msh": "inlet", "b.vtu": "outlet"}.get(name, "7")
    file = tmp_path / "problem.py"
    file.write_text(PROBLEM.format(name=name, coordinates="x, y", part=part))
    assert main(["check", str(file)]) == 4
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: problem.py, line ") and told.err.count("\n") == 1, told.err
    assert expected in told.err and "Traceback" not in told.err and len(told.err) < 600
    assert told.err.count(" · ") == 2


def test_there_are_sixty() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", [OLD, OLD_BINARY, NEW, NEW_BINARY, "plate_quads.msh", "scikit_fem_triangles.vtu"])
def test_random_damage_never_escapes(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is read in spite of it has the same cells; no more than some places, names and tags can be others."""
    whole = (FOLDER / name).read_bytes()
    intact = Mesh.read(FOLDER / name, coordinates=(x, y))
    generator = np.random.default_rng(8)
    refused = 0
    for number in range(60):
        damaged = bytearray(whole)
        if number % 3 == 0:
            for place in generator.integers(0, len(whole), 3):
                damaged[place] = generator.integers(256)
        elif number % 3 == 1:
            del damaged[generator.integers(len(whole)) :]
        else:
            place = int(generator.integers(len(whole)))
            del damaged[place : place + int(generator.integers(1, 30))]
        (tmp_path / name).write_bytes(bytes(damaged))
        try:
            found = Mesh.read(tmp_path / name, coordinates=(x, y))
        except MeshError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 500
        else:
            assert found.count == intact.count
    told = capsys.readouterr()
    assert refused > 35 and told.out == told.err == ""


def test_what_python_gives_is_checked_too() -> None:
    square, triangles = np.array(NODES, dtype=float), np.array(TRIANGLES)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"nodes": square[:, :1]}, "nodes in an array"),
        ({"nodes": "corners"}, "nodes are not an array of numbers"),
        ({"nodes": [[0, 0], [1]]}, "nodes are not an array of numbers"),
        ({"cells": {}}, "no cells"),
        ({"cells": {"triangle": triangles[:, :2]}}, "cells 'triangle' with corners"),
        ({"cells": {"triangle": triangles + 0.5}}, "not an array of whole numbers"),
        ({"cells": {"tetra": triangles}}, "in 2 dimensions"),
        ({"groups": {"a": [99]}}, "the group 'a' names cells that do not exist; there are 8"),
        ({"parts": {"a": {"line": [[0, 99]]}}}, "do not exist"),
        ({"parts": {"a": {"line": [[0, 1, 2]]}}}, "the group 'a' of sides"),
        ({"blocks": [0, 1]}, "numbers of blocks"),
    ]
    for changes, expected in wrong:
        given = {"nodes": square, "cells": {"triangle": triangles}, "coordinates": (x, y), **changes}
        with pytest.raises(MeshError, match=re.escape(expected)):
            Mesh(**given)  # type: ignore[arg-type]

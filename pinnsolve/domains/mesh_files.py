"""Mesh files by meshio, which is imported here and nowhere else, and late.

meshio prints what it does not like, ends the process where it cannot go on, and takes much for numbers that is none. Here it is
listened to: whatever it says, raises or warns of while it reads becomes one `MeshError`.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pinnsolve.domains.cells import Whole
from pinnsolve.domains.gmsh_files import read_gmsh, reads
from pinnsolve.domains.images import Array
from pinnsolve.domains.raw_mesh import Block, RawMesh, gather
from pinnsolve.errors import MeshError

_TAGS = frozenset(
    {
        "gmsh:physical",
        "medit:ref",
        "cell_tags",
        "nastran:ref",
        "su2:tag",
        "avsucd:material",
        "tetgen:ref",
        "MaterialIDs",
        "CellEntityIds",
        "subdomain",
        "flac3d:group",
    }
)
"""Numbers of cells that stand for groups, as formats call them."""

_CELLS, _SIDES = "skfem:s:", "skfem:b:"
"""Prefixes by which scikit-fem stores groups of cells, as 0 and 1, and of sides, as a number with a binary digit for each."""

_SKFEM_SIDES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "line": ((0,), (1,)),
    "triangle": ((0, 1), (1, 2), (0, 2)),
    "quad": ((0, 1), (1, 2), (2, 3), (0, 3)),
    "tetra": ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)),
}
"""Local sides in the order of scikit-fem."""

_SIDE_KINDS = {1: "vertex", 2: "line", 3: "triangle"}

_ALARMING = re.compile(r"not closed|unexpected|error|expected|couldn't|could not", flags=re.IGNORECASE)
"""What meshio says of files that are cut off or worse."""

_LONGEST = 160


def read_raw(path: Path) -> RawMesh:
    """Read a mesh file.

    Raises:
        MeshError: It is missing, of an unknown format, or not readable.
    """
    if not path.is_file():
        raise MeshError(path.name, f"there is no file {path}", "give a path relative to the problem file")
    if path.suffix.lower() == ".msh":
        content = path.read_bytes()
        if reads(content):
            return read_gmsh(content, path.name)
    return _from_meshio(_listened(path), path.name)


def write_raw(path: Path, points: Array, cells: Mapping[str, Whole], values: Mapping[str, Array]) -> None:
    """Write points, cells and values at the points, in the format of the file's ending."""
    import meshio

    padded = np.pad(points, ((0, 0), (0, 3 - points.shape[1])))
    meshio.Mesh(padded, [(kind, rows) for kind, rows in cells.items()], point_data=dict(values)).write(path)


def _listened(path: Path) -> Any:
    said = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            import meshio

            found = meshio.read(path)
    except ImportError as error:
        package = str(error.name or error)
        raise MeshError(
            path.name, f"its format needs {package}", f"pip install {package}, or write it as .msh"
        ) from None
    except (Exception, SystemExit) as error:  # whatever it is, the file is at fault
        heard = " ".join(said.getvalue().split())
        reason = heard if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
        raise MeshError(path.name, f"not readable ({_brief(reason)})", _remedy(path)) from None
    trouble = [
        str(w.message) for w in warned if issubclass(w.category, DeprecationWarning)
    ]  # of text that is no number
    if trouble or _ALARMING.search(said.getvalue()):
        heard = _brief(" ".join([*trouble, *said.getvalue().split()]))
        raise MeshError(path.name, f"damaged ({heard})", _remedy(path))
    return found


def _from_meshio(mesh: Any, source: str) -> RawMesh:
    points = np.asarray(mesh.points)
    if points.ndim != 2 or points.dtype.kind not in "iuf":
        raise MeshError(source, "points that are not rows of numbers", "write the mesh again")
    blocks: list[Block] = []
    for number, block in enumerate(mesh.cells):
        rows = block.data
        if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "iu":
            raise MeshError(source, f"cells of the kind {block.type!r}", "use cells with up to 8 corners")
        blocks.append(Block(block.type, rows.astype(np.int64), _entities(mesh, number, len(rows))))
    sets: dict[str, dict[int, Whole]] = {}
    for name, parts in mesh.cell_sets.items():
        for number, rows in enumerate(parts):
            if not name.startswith("gmsh:") and rows is not None:
                gather(sets, name, number, _rows(rows, len(blocks[number].corners), name, source))
    for key, parts in mesh.cell_data.items():
        for number, values in enumerate(parts):
            _read_tags(key, np.asarray(values), number, blocks, sets, mesh.field_data)
    point_sets = {
        name: _rows(rows, len(points), name, source)
        for name, rows in mesh.point_sets.items()
        if not name.startswith("gmsh:")
    }
    return RawMesh(points.astype(np.float64), blocks, sets, point_sets)


def _read_tags(
    key: str, values: Any, number: int, blocks: list[Block], sets: dict[str, dict[int, Whole]], named: Mapping[str, Any]
) -> None:
    """Read the groups that numbers of cells stand for."""
    block = blocks[number]
    whole = (
        values.ndim == 1 and np.isfinite(values).all() and (values == np.round(values)).all() if values.size else False
    )
    if not whole or len(values) != len(block.corners):
        return
    if key.startswith(_CELLS):
        gather(sets, key.removeprefix(_CELLS), number, np.flatnonzero(values))
    elif key.startswith(_SIDES) and block.kind in _SKFEM_SIDES:
        for digit, side in enumerate(_SKFEM_SIDES[block.kind]):
            rows = np.flatnonzero(values.astype(np.int64) >> digit & 1)
            if len(rows):
                corners = block.corners[rows][:, side]
                gather(sets, key.removeprefix(_SIDES), len(blocks), np.arange(len(corners)))
                blocks.append(Block(_SIDE_KINDS[len(side)], corners, np.zeros(len(corners), dtype=np.int64)))
    elif key in _TAGS:
        words = {int(tag): name for name, (tag, *_) in named.items()} if key == "gmsh:physical" else {}
        for tag in np.unique(values[values != 0]):
            gather(sets, words.get(int(tag), str(int(tag))), number, np.flatnonzero(values == tag))


def _entities(mesh: Any, number: int, count: int) -> Whole:
    for key in ("gmsh:geometrical", *sorted(_TAGS)):
        if key in mesh.cell_data:
            return np.asarray(mesh.cell_data[key][number]).astype(np.int64)
    return np.zeros(count, dtype=np.int64)


def _rows(rows: Any, count: int, name: str, source: str) -> Whole:
    array = np.asarray(rows)
    if array.size and (array.dtype.kind not in "iu" or array.ndim != 1 or array.min() < 0 or array.max() >= count):
        raise MeshError(
            source, f"the group {name!r} names what does not exist; there are {count}", "write the mesh again"
        )
    return array.astype(np.int64)


def _remedy(path: Path) -> str:
    return (
        "write the mesh again, for example as .msh in Gmsh" if path.suffix != ".msh" else "write it as .msh 4.1 in Gmsh"
    )


def _brief(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[:_LONGEST]}…"

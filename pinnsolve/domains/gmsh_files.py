"""Gmsh's files of the versions 2.2 and 4.1, as text and binary, after "MSH file format" in the reference manual of Gmsh 4.13.

They are read strictly: every section must hold exactly what it declares, every cell must name points that the file has. A number of
points or cells is compared with the length of the file before anything of that size is allocated.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import NoReturn

import numpy as np

from pinnsolve.domains.cells import Whole
from pinnsolve.domains.images import Array
from pinnsolve.domains.raw_mesh import Block, RawMesh, gather
from pinnsolve.errors import MeshError

_TYPES: Mapping[int, tuple[str, int]] = {
    **{1: ("line", 2), 2: ("triangle", 3), 3: ("quad", 4), 4: ("tetra", 4), 5: ("hexahedron", 8), 6: ("wedge", 6)},
    **{7: ("pyramid", 5), 15: ("vertex", 1), 8: ("line3", 3), 9: ("triangle6", 6), 10: ("quad9", 9)},
    **{11: ("tetra10", 10), 12: ("hexahedron27", 27), 13: ("wedge18", 18), 14: ("pyramid14", 14), 16: ("quad8", 8)},
    **{17: ("hexahedron20", 20), 18: ("wedge15", 15), 19: ("pyramid13", 13), 21: ("triangle10", 10)},
    **{23: ("triangle15", 15), 25: ("triangle21", 21), 26: ("line4", 4), 27: ("line5", 5), 28: ("line6", 6)},
    **{29: ("tetra20", 20), 30: ("tetra35", 35), 31: ("tetra56", 56), 36: ("quad16", 16), 37: ("quad25", 25)},
    **{38: ("quad36", 36), 92: ("hexahedron64", 64), 93: ("hexahedron125", 125)},
}
"""Kind and number of points of the cells by their numbers in Gmsh."""

_DIMENSIONS = {"vertex": 0, "line": 1, "triangle": 2, "quad": 2, "tetra": 3, "hexahedron": 3, "wedge": 3, "pyramid": 3}
_HEADER = re.compile(rb"\s*\$MeshFormat\s+(2(?:\.[0-9]+)?|4\.1)\s+([01])\s+([48])[ \t\r]*\n")
_REMEDY = "write the mesh again in Gmsh"

_MOST_TAGS = 1_000

Elements = tuple[int, Whole, Whole, list[Whole]]
"""Elements of one type: its number, the tags of their points, their entities, and their physical groups."""

Physicals = dict[tuple[int, int], list[int]]
"""For each dimension and entity the tags of its physical groups."""


def reads(content: bytes) -> bool:
    """Return whether a file is one of the versions that are read here."""
    return _HEADER.match(content) is not None


def read_gmsh(content: bytes, source: str) -> RawMesh:
    """Read a file.

    Raises:
        MeshError: It does not hold what it declares.
    """
    header = _HEADER.match(content)
    if header is None:
        raise MeshError(source, "no header of Gmsh's format 2.2 or 4.1", _REMEDY)
    file = _File(content, source, binary=header[2] == b"1", width=int(header[3]), place=header.end())
    if file.binary and file.whole(1, 4)[0] != 1:
        raise MeshError(
            source, "numbers in another order of bytes", "write the mesh on this kind of machine, or as text"
        )
    file.finish("MeshFormat")
    old = header[1] != b"4.1"
    names: dict[tuple[int, int], str] = {}
    physicals: Physicals = {}
    nodes: tuple[Whole, Array] | None = None
    cells: list[Elements] | None = None
    for section in file.sections():
        if section == "PhysicalNames":
            names |= _read_names(file)
        elif section == "Entities" and not old:
            physicals = _read_entities(file)
        elif section == "Nodes" and nodes is None:
            nodes = _read_nodes_2(file) if old else _read_nodes_4(file)
        elif section == "Elements" and cells is None:
            cells = list(_read_elements_2(file) if old else _read_elements_4(file, physicals))
        else:
            file.skip(section)
            continue
        file.finish(section)
    if nodes is None or cells is None:
        raise MeshError(source, f"no section of {'points' if nodes is None else 'elements'}", _REMEDY)
    return _assemble(*nodes, cells, names, source)


class _File:
    """Numbers of a file in order, as text or binary."""

    def __init__(self, content: bytes, source: str, *, binary: bool, width: int, place: int) -> None:
        self.content, self.source, self.binary, self.width, self.place = content, source, binary, width, place
        self._words: list[bytes] | None = None
        self._next = 0
        self._end = place
        self.section = "MeshFormat"

    def sections(self) -> Iterator[str]:
        """Yield the name of every section; whoever takes it reads it to its end."""
        while True:
            line = self.line() if self.content[self.place :].strip() else b""
            while not line.strip() and self.content[self.place :].strip():
                line = self.line()
            if not line.strip():
                return
            name = line.strip().decode("utf-8", "replace")
            if not re.fullmatch(r"\$[A-Za-z]+", name) or name.startswith("$End"):
                self.refuse(f"{name[:40]!r} where a section should begin")
            self.section = name[1:]
            self._words = None
            yield self.section

    def line(self) -> bytes:
        """Return the next line."""
        end = self.content.find(b"\n", self.place)
        end = len(self.content) if end < 0 else end
        line, self.place = self.content[self.place : end], end + 1
        return line

    def whole(self, count: int, width: int | None = None) -> Whole:
        """Return whole numbers of 4 or 8 bytes, of 8 or as the header says where nothing is told."""
        if self.binary:
            return np.frombuffer(self._bytes(count, width or self.width), dtype=f"<i{width or self.width}").astype(
                np.int64
            )
        words = self._take(count)
        try:
            return np.array(words, dtype=np.bytes_).astype(np.int64)
        except (ValueError, OverflowError):
            self.refuse("something that is not a whole number")

    def rest(self) -> list[int]:
        """Return all whole numbers that are left of a section of text."""
        self._take(0)
        return list(self.whole(len(self._words or []) - self._next).tolist())

    def real(self, count: int) -> Array:
        """Return numbers."""
        if self.binary:
            return np.frombuffer(self._bytes(count, 8), dtype="<f8").astype(np.float64)
        words = self._take(count)
        try:
            return np.array(words, dtype=np.bytes_).astype(np.float64)
        except ValueError:
            self.refuse("something that is not a number")

    def records(self, count: int, kind: list[tuple[str, str, int]]) -> np.ndarray:
        """Return records of a binary file."""
        dtype = np.dtype([(name, of, (n,)) for name, of, n in kind])
        return np.frombuffer(self._bytes(count, dtype.itemsize), dtype=dtype)

    def count(self) -> int:
        """Return a number of things that stands in a line of its own, also in binary files of version 2."""
        word = self.line().strip()
        if not re.fullmatch(rb"[0-9]{1,15}", word):
            self.refuse(f"{word[:40].decode('utf-8', 'replace')!r} where a number of entries should be")
        return int(word)

    def finish(self, section: str) -> None:
        """Raise unless the section ends here."""
        if self._words is not None:
            if self._next < len(self._words):
                self.refuse(f"{len(self._words) - self._next} numbers more than it declares")
            self.place, self._words = self._end, None
        line = self.line()
        while not line.strip() and self.place < len(self.content):
            line = self.line()
        if line.strip() != b"$End" + section.encode():
            self.refuse("more than it declares, or no end")

    def skip(self, section: str) -> None:
        """Go beyond a section that says nothing about geometry."""
        found = re.compile(rb"\n\s*\$End" + section.encode() + rb"[ \t\r]*(\n|\Z)").search(self.content, self.place - 1)
        if found is None:
            self.refuse("no end")
        self.place = found.end()

    def refuse(self, found: str) -> NoReturn:
        """Raise."""
        raise MeshError(self.source, f"its section {self.section} holds {found}", _REMEDY)

    def _take(self, count: int) -> list[bytes]:
        if self._words is None:
            self._end = self.content.find(b"$End", self.place)
            if self._end < 0:
                self.refuse("no end")
            self._words, self._next = self.content[self.place : self._end].split(), 0
        if not 0 <= count <= len(self._words) - self._next:
            self.refuse(f"fewer numbers than it declares ({count:,} are asked for)")
        taken = self._words[self._next : self._next + count]
        self._next += count
        return taken

    def _bytes(self, count: int, width: int) -> bytes:
        if not 0 <= count * width <= len(self.content) - self.place:
            self.refuse(f"fewer numbers than it declares ({count:,} are asked for)")
        taken = self.content[self.place : self.place + count * width]
        self.place += count * width
        return taken


def _read_names(file: _File) -> dict[tuple[int, int], str]:
    names = {}
    for _ in range(file.count()):
        try:
            dimension, tag, name = shlex.split(file.line().decode("utf-8"))
            names[int(dimension), int(tag)] = name
        except ValueError:
            file.refuse('a line that is not: dimension tag "name"')
    return names


def _read_nodes_2(file: _File) -> tuple[Whole, Array]:
    count = file.count()
    if file.binary:
        rows = file.records(count, [("tag", "<i4", 1), ("place", "<f8", 3)])
        return rows["tag"].ravel().astype(np.int64), rows["place"].astype(np.float64)
    numbers = file.real(4 * count).reshape(count, 4)
    tags = (
        numbers[:, 0].astype(np.int64) if np.isfinite(numbers[:, 0]).all() else file.refuse("a point without a number")
    )
    return tags, numbers[:, 1:]


def _read_elements_2(file: _File) -> Iterator[Elements]:
    count = file.count()
    tables: dict[tuple[int, int], list[Whole]] = {}
    for kind, tags, table in _tables_as_bytes(file, count) if file.binary else _tables_as_text(file, count):
        tables.setdefault((kind, tags), []).append(table)
    for (kind, tags), parts in tables.items():
        table = np.concatenate(parts)
        none = np.zeros(len(table), dtype=np.int64)
        yield kind, table[:, 1 + tags :], table[:, 2] if tags > 1 else none, [table[:, 1]] if tags else []


def _tables_as_bytes(file: _File, left: int) -> Iterator[tuple[int, int, Whole]]:
    """Yield type, number of tags, and rows of number, tags and points."""
    while left > 0:
        kind, many, tags = map(int, file.whole(3, 4))
        size = 1 + tags + _type(file, kind)[1]
        if not 0 < many <= left or not 0 <= tags < _MOST_TAGS:
            file.refuse("a block of elements of an impossible size")
        yield kind, tags, file.whole(many * size, 4).reshape(many, size)
        left -= many


def _tables_as_text(file: _File, count: int) -> Iterator[tuple[int, int, Whole]]:
    """Yield the same; every element has a row of number, type, number of tags, tags and points."""
    numbers = file.rest()
    rows: dict[tuple[int, int], list[list[int]]] = {}
    place = 0
    for _ in range(count):
        if place + 3 > len(numbers):
            file.refuse("fewer elements than it declares")
        kind, tags = numbers[place + 1 : place + 3]
        end = place + 3 + tags + _type(file, kind)[1]
        if not 0 <= tags < _MOST_TAGS or end > len(numbers):
            file.refuse("an element of an impossible size")
        rows.setdefault((kind, tags), []).append([numbers[place], *numbers[place + 3 : end]])
        place = end
    if place < len(numbers):
        file.refuse("more elements than it declares")
    yield from ((kind, tags, np.array(table)) for (kind, tags), table in rows.items())


def _read_entities(file: _File) -> Physicals:
    found: Physicals = {}
    for dimension, count in enumerate(file.whole(4)):
        for _ in range(int(count)):
            tag = int(file.whole(1, 4)[0])
            file.real(3 if dimension == 0 else 6)
            found[dimension, tag] = file.whole(int(file.whole(1)[0]), 4).tolist()
            if dimension:
                file.whole(int(file.whole(1)[0]), 4)
    return found


def _read_nodes_4(file: _File) -> tuple[Whole, Array]:
    blocks, total, _, _ = map(int, file.whole(4))
    tags, places = [np.zeros(0, dtype=np.int64)], [np.zeros((0, 3))]
    for _ in range(blocks):
        dimension, _, parametric = map(int, file.whole(3, 4))
        count, width = int(file.whole(1)[0]), 3 + (max(0, min(dimension, 3)) if parametric else 0)
        tags.append(file.whole(count))
        places.append(file.real(width * count).reshape(count, width)[:, :3])
    found = np.concatenate(tags)
    if len(found) != total:
        file.refuse(f"{len(found):,} points, and declares {total:,}")
    return found, np.concatenate(places)


def _read_elements_4(file: _File, physicals: Physicals) -> Iterator[Elements]:
    blocks, total, _, _ = map(int, file.whole(4))
    seen = 0
    for _ in range(blocks):
        dimension, entity, kind = map(int, file.whole(3, 4))
        count, size = int(file.whole(1)[0]), 1 + _type(file, kind)[1]
        table = file.whole(count * size).reshape(count, size)
        seen += count
        groups = [np.full(count, tag) for tag in physicals.get((dimension, entity), [])]
        yield kind, table[:, 1:], np.full(count, entity), groups
    if seen != total:
        file.refuse(f"{seen:,} cells, and declares {total:,}")


def _type(file: _File, kind: int) -> tuple[str, int]:
    if kind not in _TYPES:
        file.refuse(f"an element of the unknown type {kind}")
    return _TYPES[kind]


def _assemble(
    tags: Whole,
    points: Array,
    cells: list[Elements],
    names: dict[tuple[int, int], str],
    source: str,
) -> RawMesh:
    order = np.argsort(tags, kind="stable")
    known = tags[order]
    if (known[1:] == known[:-1]).any():
        again = known[1:][known[1:] == known[:-1]]
        raise MeshError(source, f"{len(again)} points have a number that another has, such as {again[0]}", _REMEDY)
    blocks: list[Block] = []
    sets: dict[str, dict[int, Whole]] = {}
    unnamed = {
        (_dimension(kind), int(tag)) for kind, _, _, groups in cells for column in groups for tag in np.unique(column)
    } - set(names)
    for kind, asked, entity, groups in cells:
        place = np.minimum(np.searchsorted(known, asked), max(0, len(known) - 1))
        lost = (known[place] != asked).any(axis=1) if len(known) else np.ones(len(asked), dtype=bool)
        if lost.any():
            found = (
                f"{int(lost.sum())} of {len(lost)} elements of the kind {_TYPES[kind][0]} name points that do not exist"
            )
            raise MeshError(source, f"{found}, such as {asked[int(np.argmax(lost))].tolist()}", _REMEDY)
        for column in groups:
            for tag in np.unique(column[column != 0]):
                group = (_dimension(kind), int(tag))
                alone = sum(other[1] == tag for other in unnamed) < 2
                word = str(tag) if alone else f"{('point', 'curve', 'surface', 'volume')[group[0]]} {tag}"
                gather(sets, names.get(group, word), len(blocks), np.flatnonzero(column == tag))
        blocks.append(Block(_TYPES[kind][0], order[place], entity))
    return RawMesh(points, blocks, sets)


def _dimension(kind: int) -> int:
    return _DIMENSIONS[_TYPES[kind][0].rstrip("0123456789")]

"""Observations: measured values at points, from arrays or from a table.

Nothing here is executed: tables are read as text, `.npz` files without pickled objects, and every number is checked when it is
read, so that a fault is named by its row and column instead of appearing later as a loss of NaN.
"""

from __future__ import annotations

import csv
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Symbol

from pinnsolve.declaration.losses import Loss
from pinnsolve.declaration.privacy import Privacy
from pinnsolve.declaration.splits import GroupSplit, Rows, Split, hold_out
from pinnsolve.errors import DataError

_UNREADABLE = (ValueError, OSError, EOFError, LookupError, NotImplementedError, RuntimeError, BadZipFile, zlib.error)
"""What numpy and zipfile raise over a damaged archive; the last ones before BadZipFile over a cipher or a compression."""


@dataclass(frozen=True)
class Observations:
    """Values of expressions of the fields, measured at points.

    Args:
        at: One array (points,) or number for each coordinate.
        values: One array (points,) for each expression of the fields, `{u: us}` or `{v.diff(x) - u.diff(y): vorticity}`.
        noise: Standard deviation of the values, a number or an array (points,): where it differs between values, the misfit of
            each is weighted by its inverse, relative to the least. Or an unknown of the problem, a positive symbol, which is then
            found by maximum likelihood.
        source: What messages call them.
        table: The file they were read from.
        privacy: Bound on what a run may tell of any one point; None where the values are public.
        loss: How a misfit counts: `Huber()` or `StudentT()`, where some values may be far off; None for its square.
        split: Which rows are held out of the training, a `RandomSplit`, `GroupSplit`, `BlockSplit` or `RangeSplit`, or a list of
            several, each choosing among the rows that those before it left. The result tells the misfit of each.

    Everything given may be an array, a list or a number; it is kept as arrays (points,).

    Raises:
        DataError: Arrays of different lengths, entries that are not finite, noise that is not positive, a split that leaves none.

    Example:
        >>> sensors = ps.Observations(at={x: [0.2, 0.7], t: [0.1, 0.5]}, values={u: [1.0, 2.0]}, noise=0.01)
        >>> sensors.values[u]
        array([1., 2.])
    """

    at: Mapping[Symbol, Any]
    values: Mapping[Expr, Any]
    noise: Any = None
    source: str = "observations"
    table: Path | None = None
    privacy: Privacy | None = None
    loss: Loss | None = None
    split: Any = None

    held_out: Mapping[str, Rows] = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.at, Mapping) or not isinstance(self.values, Mapping) or not self.values:
            raise DataError(self.source, "no values", "write Observations(at={x: xs, t: ts}, values={u: us})")
        if not isinstance(self.privacy, Privacy | None):
            raise DataError(self.source, f"privacy={self.privacy!r}", "write ps.Privacy(epsilon=2, delta=1e-5)")
        for key in self.at:
            if not isinstance(key, Symbol):
                raise DataError(self.source, f"the key {key!r} of `at`", "use the coordinate's symbol as the key")
        for key in self.values:
            if not isinstance(key, Expr):
                raise DataError(
                    self.source, f"the key {key!r} of `values`", "use a SymPy expression of the fields as the key"
                )
        at = {key: self._numbers(f"at[{key}]", array, real=True) for key, array in self.at.items()}
        values = {key: self._numbers(f"values[{key}]", array, real=False) for key, array in self.values.items()}
        count = max(array.size for array in (*at.values(), *values.values()))
        at = {key: self._column(f"at[{key}]", array, count) for key, array in at.items()}
        values = {key: self._column(f"values[{key}]", array, count) for key, array in values.items()}
        object.__setattr__(self, "at", MappingProxyType(at))
        object.__setattr__(self, "values", MappingProxyType(values))
        if isinstance(self.noise, Symbol):
            if not self.noise.is_positive:
                raise DataError(
                    self.source, f"the noise {self.noise}", f'declare it symbols("{self.noise}", positive=True)'
                )
        elif self.noise is not None:
            noise = self._column("noise", self._numbers("noise", self.noise, real=True), count)
            if not (noise > 0).all():
                row = int(np.argmin(noise > 0))
                raise DataError(
                    self.source, f"noise {noise[row]:g} in row {row + 1}", "give positive standard deviations"
                )
            object.__setattr__(self, "noise", noise)
        if not isinstance(self.loss, Loss | None):
            raise DataError(self.source, f"loss={self.loss!r}", "write Huber() or StudentT(), or leave it out")
        held_out = hold_out(self._splits(), at, count, source=self.source)
        object.__setattr__(self, "held_out", MappingProxyType(held_out))

    @property
    def count(self) -> int:
        """The number of points."""
        return next(len(array) for array in self.values.values())

    @property
    def trained(self) -> Rows:
        """Which rows are not held out, shape (points,)."""
        return ~np.logical_or.reduce([np.zeros(self.count, dtype=bool), *self.held_out.values()])

    def _splits(self) -> tuple[Split, ...]:
        splits = () if self.split is None else self.split if isinstance(self.split, list | tuple) else (self.split,)
        for split in splits:
            if isinstance(split, type) or not isinstance(split, Split):
                remedy = "write RandomSplit(), GroupSplit(...), BlockSplit(...) or RangeSplit(...), or a list of these"
                raise DataError(self.source, f"split={split!r}", remedy)
        object.__setattr__(self, "split", tuple(splits))
        return self.split

    @staticmethod
    def read(
        path: str | Path,
        *,
        at: Mapping[Symbol, str | float],
        values: Mapping[Expr, str],
        noise: str | float | Symbol | None = None,
        privacy: Privacy | None = None,
        loss: Loss | None = None,
        split: Any = None,
    ) -> Observations:
        """Read a table `.csv` (with a header line) or `.npz`, its columns named.

        Args:
            path: Relative paths start at the folder of the file that calls this.
            at: A column's name, or a number, for each coordinate.
            values: A column's name for each expression.
            noise: A column's name, a number, or an unknown of the problem.
            privacy: Bound on what a run may tell of any one row.
            loss: As for `Observations`.
            split: As for `Observations`; the groups of a `GroupSplit` may be a column's name.

        Raises:
            DataError: The file is missing or unreadable, a column does not exist, or an entry is not a finite number.
        """
        caller = sys._getframe(1).f_globals.get("__file__")
        file = Path(path) if caller is None else Path(caller).resolve().parent / path
        table = read_table(file)
        columns = {"at": at, "values": values}
        picked = {
            group: {key: _pick(table, name, file) for key, name in chosen.items()} for group, chosen in columns.items()
        }
        spread = None if noise is None else _pick(table, noise, file)
        splits = [
            replace(s, groups=_pick(table, s.groups, file))
            if isinstance(s, GroupSplit) and isinstance(s.groups, str)
            else s
            for s in (split if isinstance(split, list | tuple) else [] if split is None else [split])
        ]
        return Observations(
            at=picked["at"],
            values=picked["values"],
            noise=spread,
            source=file.name,
            table=file,
            privacy=privacy,
            loss=loss,
            split=splits,
        )

    def _numbers(self, name: str, array: Any, *, real: bool) -> NDArray[Any]:
        try:
            column = np.asarray(array)
            if real and np.iscomplexobj(column):
                raise TypeError("they are complex")
            column = column.astype(complex if np.iscomplexobj(column) else float)
        except (TypeError, ValueError) as error:
            raise DataError(self.source, f"{name} is not numbers: {error}", "give an array of numbers") from None
        if column.ndim > 1 and max(column.shape) != column.size:
            raise DataError(
                self.source, f"{name} has the shape {column.shape}", "give one number a point: flatten the arrays"
            )
        return column.ravel()

    def _column(self, name: str, column: NDArray[Any], count: int) -> NDArray[Any]:
        if column.size == 0 or column.size not in (1, count):
            raise DataError(
                self.source, f"{name} has {column.size} entries, others {count}", "give arrays of one length"
            )
        finite = np.isfinite(column)
        if not finite.all():
            row = int(np.argmin(finite))
            raise DataError(
                self.source,
                f"{name} is {column[row]} in row {row + 1} ({(~finite).sum()} such rows)",
                "remove these rows before reading",
            )
        return np.array(np.broadcast_to(column, (count,)))


def read_table(file: Path) -> Mapping[str, NDArray[Any]]:
    """Read the columns of a `.csv`, `.txt`, `.tsv`, `.dat` or `.npz` table by their names.

    Raises:
        DataError: The file is missing, unreadable, or holds something that is not a number.
    """
    if not file.is_file():
        raise DataError(file.name, f"there is no file {file}", "give a path relative to the problem file")
    if file.suffix == ".npz":
        try:
            # A stream of our own: numpy leaves one open that it could not read.
            with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except _UNREADABLE as error:
            raise DataError(file.name, f"not a readable .npz file ({error})", "write it with numpy.savez") from None
    if file.suffix in {".csv", ".txt", ".tsv", ".dat"}:
        return _read_text(file)
    raise DataError(file.name, f"tables of the kind {file.suffix!r} are not read", "use .csv or .npz")


def _pick(table: Mapping[str, NDArray[Any]], name: str | float | Symbol, file: Path) -> Any:
    if not isinstance(name, str):
        return name
    if name not in table:
        raise DataError(file.name, f"no column {name!r}", f"choose among {', '.join(map(repr, table))}")
    return table[name]


def _read_text(file: Path) -> Mapping[str, NDArray[Any]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(file.name, f"not readable as text ({error})", "save it as UTF-8 text") from None
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) < 2:
        raise DataError(file.name, "no rows below the header", "write a header line and one row a point")
    delimiter = next((d for d in (",", ";", "\t") if d in lines[0]), None)
    rows = [line.split() for line in lines] if delimiter is None else list(csv.reader(lines, delimiter=delimiter))
    header = [name.strip() for name in rows[0]]
    if all(_is_number(name) for name in header):
        raise DataError(file.name, f"the first line holds numbers, not names: {lines[0][:60]}", "add a header line")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(file.name, f"several columns named {repeated[0]!r}", "give every column its own name")
    columns: list[list[float]] = [[] for _ in header]
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise DataError(
                file.name, f"row {number} has {len(row)} entries, the header {len(header)}", "complete the row"
            )
        for name, entry, column in zip(header, row, columns, strict=True):
            if not _is_number(entry):
                raise DataError(
                    file.name, f"column {name!r}, row {number} holds {entry.strip()!r}", "write a number there"
                )
            column.append(float(entry))
    return {name: np.array(column) for name, column in zip(header, columns, strict=True)}


def _is_number(entry: str) -> bool:
    try:
        float(entry)
    except ValueError:
        return False
    return True

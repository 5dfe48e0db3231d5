"""Streams: rows of measurements as they come in, from a table, from standard input or from a program, each checked by itself.

A monitor outlives a sensor that fails for a moment: a row that cannot be used is named with its column and left out. When too
many of the rows are of that kind, it is the stream that cannot be used.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from pinnsolve.errors import DataError

_MOST_UNUSABLE, _FIRST_ROWS = 0.1, 100
"""Part of the rows that may be unusable, and how many rows must be read before that is asked."""

_LONGEST_LINE = 1_000_000
"""Characters; a longer one is no row of a table."""


@dataclass(frozen=True)
class Row:
    """A usable row: its number from 1, and a finite number for every column that is read."""

    number: int
    values: Mapping[str, float]


@dataclass
class Stream:
    """Rows with numbers in the columns that a solution can be compared in.

    Args:
        rows: Mappings from columns to numbers or text; one that is missing, or is no finite number, makes a row unusable.
        coordinates: Columns that every row must have.
        fields: Columns of which the stream must have one; those that the first row has are read.
        inside: From arrays of the coordinates to whether each point lies in the domain.
        source: What messages call it.
        tell: Called with one line of text for every row that is left out.
    """

    rows: Iterable[Mapping[str, Any]]
    coordinates: Sequence[str]
    fields: Sequence[str]
    inside: Callable[[Mapping[str, NDArray[np.float64]]], NDArray[np.bool_]]
    source: str
    tell: Callable[[str], object]

    def __post_init__(self) -> None:
        self.read = 0
        self.unusable: list[str] = []
        self.measured: tuple[str, ...] = ()

    def usable(self) -> Iterator[Row]:
        """Yield the rows that can be used, in their order.

        Raises:
            DataError: A coordinate, or every field, is missing from the first row, or too many rows are unusable.
        """
        for values in self.rows:
            self.read += 1
            if not self.measured:
                self._read_columns(values)
            row, fault = self._checked(values)
            if row is not None:
                yield row
                continue
            self.unusable.append(fault)
            self.tell(f"left out: {self.source}, {fault}")
            if self.read >= _FIRST_ROWS:
                self._require_usable()
        self._require_usable()

    def _read_columns(self, first: Mapping[str, Any]) -> None:
        columns = ", ".join(map(str, first)) or "none"
        if missing := [name for name in self.coordinates if name not in first]:
            raise DataError(self.source, f"no column {missing[0]!r} among {columns}", "give every coordinate a column")
        self.measured = tuple(name for name in self.fields if name in first)
        if not self.measured:
            wanted = " or ".join(map(repr, self.fields))
            raise DataError(self.source, f"no measured field among the columns {columns}", f"add a column {wanted}")

    def _checked(self, values: Mapping[str, Any]) -> tuple[Row | None, str]:
        """Return the row, or None and what is wrong with it."""
        read: dict[str, float] = {}
        for name in (*self.coordinates, *self.measured):
            try:
                number = float(values[name])
            except (KeyError, TypeError, ValueError):
                number = math.nan
            if not math.isfinite(number):
                found = "nothing" if values.get(name) in (None, "") else repr(str(values[name])[:40])
                return None, f"row {self.read}, column {name!r} holds {found}, not a finite number"
            read[name] = number
        place = {name: np.array([read[name]]) for name in self.coordinates}
        if not self.inside(place)[0]:
            found = ", ".join(f"{name} = {read[name]:g}" for name in self.coordinates)
            return None, f"row {self.read} lies outside the domain ({found})"
        return Row(self.read, read), ""

    def _require_usable(self) -> None:
        if len(self.unusable) > _MOST_UNUSABLE * self.read:
            found = f"{len(self.unusable)} of {self.read} rows cannot be used, the first: {self.unusable[0]}"
            raise DataError(self.source, found, "correct the source of the measurements")


def rows_of_table(path: Path) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a .csv as they are read; nothing is kept.

    Raises:
        DataError: The file is missing, is no text, or has no header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from rows_of_text(stream, path.name)
    except OSError as error:
        raise DataError(path.name, f"not readable ({error.strerror or error})", "give a .csv file") from None


def rows_of_text(stream: TextIO, source: str) -> Iterator[Mapping[str, str]]:
    """Yield the rows of text with a header line, each as soon as its line is there.

    Raises:
        DataError: The text has no header or is none.
    """
    lines = _lines(stream, source)
    header = next(lines, "")
    delimiter = next((d for d in (",", ";", "\t") if d in header), ",")
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    if not names or len(set(names)) < len(names) or not all(names):
        raise DataError(
            source, f"the header {header[:60]!r}", "write a header line that gives every column its own name"
        )
    for line in lines:
        entries = next(csv.reader([line], delimiter=delimiter), [])
        yield dict(zip(names, entries, strict=False))  # a short row lacks its last columns, which is noticed and named


def _lines(stream: TextIO, source: str) -> Iterator[str]:
    """Yield lines that are neither empty nor comments."""
    try:
        while line := stream.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                raise DataError(source, f"a line of more than {_LONGEST_LINE} characters", "give a table of rows")
            if line.strip() and not line.startswith("#"):
                yield line
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(source, f"not readable as text ({error})", "save it as UTF-8 text") from None

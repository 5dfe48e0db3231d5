"""Tables of values: points in from a grid or a file, fields out as CSV or NumPy archive."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from pinnsolve.archive import write_atomically
from pinnsolve.declaration.observations import read_table
from pinnsolve.errors import DataError
from pinnsolve.solution import Solution, load

Columns = dict[str, np.ndarray]


def evaluate_at(
    run: Path,
    *,
    points: Path | None = None,
    grid: Mapping[str, tuple[float, float, int]] | None = None,
    output: Path | None = None,
) -> None:
    """Evaluate the fields of a stored solution and write a table with a column for each coordinate and field.

    Args:
        run: A run directory or a stored solution.
        points: A table with a column for each coordinate.
        grid: Low, high and count for each coordinate.
        output: A `.csv`, `.npz` or, of a grid, `.vtu` file; None prints CSV on stdout.

    Raises:
        DataError: A coordinate that is missing, does not exist or is not a finite number, or an ending that is not known.
    """
    solution = load(run)
    names = [c.name for c in solution.problem.coordinates]
    given = _point_columns(points, names) if points is not None else _grid_columns(grid or {}, names)
    if output is not None and output.suffix == ".vtu":
        from pinnsolve.writing import write_grid  # which writes tables, too

        if grid is None:
            raise DataError(str(output), "points without cells between them", "use --grid, or write .csv or .npz")
        write_grid(solution, grid, output)
        return
    columns = given | field_columns(solution, given)
    if output is None:
        sys.stdout.write(as_csv(columns))
    else:
        write_table(columns, output)


def write_table(columns: Columns, output: Path) -> Path:
    """Write columns of equal length as `.csv` or `.npz`.

    Raises:
        DataError: Another ending.
    """
    if output.suffix == ".csv":
        write_atomically(output, as_csv(columns).encode())
    elif output.suffix == ".npz":
        content = io.BytesIO()
        write_npz(columns, content)
        write_atomically(output, content.getvalue())
    else:
        raise DataError(str(output), f"the ending {output.suffix!r}", "use .csv, .npz or, of a grid, .vtu")
    return output


def field_columns(solution: Solution, given: Columns) -> Columns:
    """Return the values of every declared field at points, those of a complex one by its parts."""
    fields = [field.func.__name__ for field in solution.problem.declared_fields]
    found = solution(**given)
    columns: Columns = {}
    for name, values in zip(fields, found if len(fields) > 1 else [found], strict=True):
        if np.iscomplexobj(values):
            columns |= {f"{name}_re": values.real, f"{name}_im": values.imag}
        else:
            columns[name] = values
    return columns


def _point_columns(file: Path, names: list[str]) -> Columns:
    """Return the named columns of a table: numbers, finite, as many in each."""
    table = read_table(file)
    _require(names, table, file.name)
    for name in names:
        column = table[name]
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            found = f"column {name!r} is an array of shape {column.shape} and type {column.dtype}"
            raise DataError(file.name, found, "give one number a row")
        if len(column) != len(table[names[0]]):
            found = f"column {name!r} has {len(column)} rows, {names[0]!r} has {len(table[names[0]])}"
            raise DataError(file.name, found, "complete the rows")
        if not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column)))
            raise DataError(file.name, f"column {name!r}, row {row + 1} holds {column[row]}", "write a finite number")
    return {name: table[name] for name in names}


def _grid_columns(grid: Mapping[str, tuple[float, float, int]], names: list[str]) -> Columns:
    _require(names, grid, "--grid")
    if surplus := [name for name in grid if name not in names]:
        raise DataError("--grid", f"no coordinate {', '.join(surplus)}", f"the coordinates are {', '.join(names)}")
    axes = [np.linspace(low, high, count) for low, high, count in grid.values()]
    mesh = np.meshgrid(*axes, indexing="ij")
    return {name: values.ravel() for name, values in zip(grid, mesh, strict=True)}


def _require(names: list[str], given: Collection[str], source: str) -> None:
    if missing := [name for name in names if name not in given]:
        raise DataError(source, f"no values of {', '.join(missing)}", f"give every coordinate: {', '.join(names)}")


def write_npz(table: Columns, stream: io.BytesIO) -> None:
    """Write what `numpy.load` reads; `numpy.savez` takes columns of some names, such as "file", for arguments of its own."""
    with zipfile.ZipFile(stream, "w") as archive:
        for name, column in table.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, column, allow_pickle=False)


def as_csv(table: Columns) -> str:
    """Return a table as text, every number with all its digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([[repr(float(v)) for v in row] for row in zip(*table.values(), strict=True)])
    return text.getvalue()

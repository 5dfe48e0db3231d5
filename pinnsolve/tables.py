"""Tables of values: points in from a grid or a file, fields out as CSV or NumPy archive."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping
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
        output: A `.csv` or `.npz` file; None prints CSV on stdout.

    Raises:
        DataError: A missing coordinate, or an ending that is not known.
    """
    solution = load(run)
    names = [c.name for c in solution.problem.coordinates]
    columns = _grid_columns(grid) if grid is not None else dict(read_table(points)) if points is not None else {}
    missing = [name for name in names if name not in columns]
    if missing:
        raise DataError(
            str(points or "--grid"), f"no values of {', '.join(missing)}", f"give every coordinate: {', '.join(names)}"
        )
    given = {name: columns[name] for name in names}
    table = given | _fields(solution, given)
    if output is None:
        sys.stdout.write(_as_csv(table))
    elif output.suffix == ".csv":
        write_atomically(output, _as_csv(table).encode())
    elif output.suffix == ".npz":
        content = io.BytesIO()
        np.savez(content, **table)
        write_atomically(output, content.getvalue())
    else:
        raise DataError(str(output), f"the ending {output.suffix!r}", "use .csv or .npz")


def _fields(solution: Solution, given: Columns) -> Columns:
    columns: Columns = {}
    for field in solution.problem.declared_fields:
        name, values = field.func.__name__, solution.evaluate(field, **given)
        if np.iscomplexobj(values):
            columns |= {f"{name}_re": values.real, f"{name}_im": values.imag}
        else:
            columns[name] = values
    return columns


def _grid_columns(grid: Mapping[str, tuple[float, float, int]]) -> Columns:
    axes = [np.linspace(low, high, count) for low, high, count in grid.values()]
    mesh = np.meshgrid(*axes, indexing="ij")
    return {name: values.ravel() for name, values in zip(grid, mesh, strict=True)}


def _as_csv(table: Columns) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([[repr(float(v)) for v in row] for row in zip(*table.values(), strict=True)])
    return text.getvalue()

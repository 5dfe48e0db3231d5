"""Writing: a solution as files for other programs, on the mesh it was solved on or on a regular grid.

`.vtu` and `.pvd` are for ParaView, one instant and a series of them; `.csv` and `.npz` are tables; in `.gif` and `.mp4` the fields
move. All others have the fields, the derivatives that the equations read and all first ones, the residual of every equation, and,
where there is a reference, the error.
Where a field or an equation is not declared the value is NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Symbol

from pinnsolve.declaration.terms import evaluations, with_ends_of_integrals
from pinnsolve.domains.cells import Whole
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.mesh_files import write_raw
from pinnsolve.domains.regions import Array
from pinnsolve.domains.shapes import factors_of
from pinnsolve.drawing.views import field_values, ordering_coordinates, reference_values, residual_values
from pinnsolve.errors import DataError, UnsupportedError
from pinnsolve.points import term_region
from pinnsolve.problem import Problem
from pinnsolve.solution import Solution
from pinnsolve.tables import Columns, write_table

ENDINGS = (".vtu", ".pvd", ".csv", ".npz", ".gif", ".mp4")

_INSTANTS = 21
"""Of a series whose instants are not told."""

_GRID_POINTS = {1: 1001, 2: 151, 3: 41}
"""Along the longest side of a region that has no mesh, by its dimension."""

_MOST_DIMENSIONS = 3


@dataclass(frozen=True, eq=False)
class Lattice:
    """Points with cells between them.

    Args:
        axes: The one to three coordinates that range over it.
        points: (points, axes).
        cells: Rows of points by kind.
    """

    axes: tuple[Symbol, ...]
    points: Array
    cells: Mapping[str, Whole]

    def whole(self, problem: Problem, held: Mapping[Symbol, float]) -> Array:
        """Return the points (points, all coordinates) with the others held."""
        columns = dict(zip(self.axes, self.points.T, strict=True))
        count = len(self.points)
        return np.stack([columns[c] if c in columns else np.full(count, held[c]) for c in problem.coordinates], axis=1)


def write_solution(solution: Solution, path: Path, held: Mapping[str, float]) -> Path:
    """Write a solution; see `Solution.write`."""
    problem = solution.problem
    given = _held(problem, held)
    if path.suffix in (".gif", ".mp4"):
        from pinnsolve.drawing.animation import write_animation

        return write_animation(solution, path, given)
    ordering = ordering_coordinates(problem)
    if set(problem.coordinates) <= {*ordering, *given}:
        ordering = ()  # what evolves in all that is left is a curve, not a series of instants
    lattice = make_lattice(problem, [c for c in problem.coordinates if c not in given and c not in ordering])
    free = [c for c in ordering if c not in given]
    time = free[0] if free else None
    parameters = {c: sum(problem.bounds[c]) / 2 for c in free[1:]}
    instants = [] if time is None else np.linspace(*problem.bounds[time], _INSTANTS).tolist()
    if path.suffix == ".vtu":
        end = {} if time is None else {time: problem.bounds[time][1]}
        return write_lattice(solution, lattice, path, given | parameters | end)
    if path.suffix == ".pvd":
        if time is None:
            raise DataError(path.name, "nothing evolves, so that there is no series", "write one .vtu")
        return _write_series(solution, lattice, path, given | parameters, time, instants)
    if path.suffix in (".csv", ".npz"):
        places = [given | parameters | ({} if time is None else {time: t}) for t in (instants or [0.0])]
        tables = [_table(solution, lattice, place) for place in places]
        return write_table({name: np.concatenate([t[name] for t in tables]) for name in tables[0]}, path)
    raise DataError(path.name, f"the ending {path.suffix!r}", f"use one of {', '.join(ENDINGS)}")


def write_lattice(solution: Solution, lattice: Lattice, path: Path, held: Mapping[Symbol, float]) -> Path:
    """Write one `.vtu`: points, cells, and every quantity at the points."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_raw(path, lattice.points, lattice.cells, quantities(solution, lattice.whole(solution.problem, held)))
    return path


def write_grid(solution: Solution, grid: Mapping[str, tuple[float, float, int]], path: Path) -> Path:
    """Write a grid as `.vtu`: low end, high end and number of points of each coordinate; those with one point are held.

    Raises:
        DataError: A coordinate that is missing or does not exist.
        UnsupportedError: Other than one to three coordinates range.
    """
    names = {c.name: c for c in solution.problem.coordinates}
    if set(names) != set(grid):
        raise DataError("--grid", f"the coordinates {', '.join(grid)}", f"give each of {', '.join(names)}")
    ranges = {names[name]: ends for name, ends in grid.items() if ends[2] > 1}
    if not 0 < len(ranges) <= _MOST_DIMENSIONS:
        raise UnsupportedError("--grid", f"{len(ranges)} coordinates range", "let one to three range")
    held = {names[name]: low for name, (low, _, count) in grid.items() if count == 1}
    return write_lattice(solution, grid_lattice(ranges), path, held)


def make_lattice(problem: Problem, axes: list[Symbol]) -> Lattice:
    """Return the mesh of a problem where its coordinates are the axes, else a grid of the places that lie inside.

    Raises:
        UnsupportedError: More than three axes.
    """
    for factor in factors_of(problem.domain):
        if isinstance(factor, Mesh) and set(factor.coordinates) == set(axes):
            return Lattice(factor.coordinates, factor.nodes, factor.cells)
    if not 0 < len(axes) <= _MOST_DIMENSIONS:
        names = ", ".join(c.name for c in axes)
        raise UnsupportedError(
            "write(...)", f"{len(axes)} coordinates range ({names})", "hold all but three: write(path, x4=0.5)"
        )
    lengths = [problem.bounds[c][1] - problem.bounds[c][0] for c in axes]
    longest = _GRID_POINTS[len(axes)]
    counts = [max(2, round(longest * length / max(lengths))) for length in lengths]
    ends = [(*problem.bounds[c], count) for c, count in zip(axes, counts, strict=True)]
    return _inside(grid_lattice(dict(zip(axes, ends, strict=True))), problem)


def grid_lattice(ranges: Mapping[Symbol, tuple[float, float, int]]) -> Lattice:
    """Return a regular grid, known by low end, high end and number of points of each coordinate."""
    counts = [count for _, _, count in ranges.values()]
    steps = [np.linspace(*ends) for ends in ranges.values()]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*steps, indexing="ij")], axis=1)
    numbers = np.arange(len(points)).reshape(counts)
    corners = {1: ((0,), (1,)), 2: ((0, 0), (1, 0), (1, 1), (0, 1))}.get(len(counts))
    if corners is None:
        corners = tuple((a, b, c) for c in (0, 1) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)))
    shifted = [
        numbers[tuple(slice(s, n - 1 + s) for s, n in zip(shift, counts, strict=True))].ravel() for shift in corners
    ]
    kind = {1: "line", 2: "quad", 3: "hexahedron"}[len(counts)]
    return Lattice(tuple(ranges), points, {kind: np.stack(shifted, axis=1)})


def quantities(solution: Solution, points: Array) -> dict[str, Array]:
    """Return every quantity by its name at points (points, all coordinates); of complex ones both parts."""
    found: dict[str, NDArray[np.generic]] = {}
    problem = solution.problem
    for field in problem.declared_fields:
        name = field.func.__name__
        found[name] = field_values(solution, field, points)
        truth = reference_values(solution, field, points)
        if truth is not None:
            found[f"error {name}"] = found[name] - truth
    for name, derivative in _derivatives(problem):
        found[name] = field_values(solution, derivative, points)
    for term in problem.terms:
        region = term_region(term, problem) if term.kind == "equation" else None
        if region is not None and set(term.free) <= set(problem.coordinates):
            found[f"residual {term.name}"] = residual_values(solution, term.name, region, points)
    parts: dict[str, Array] = {}
    for name, values in found.items():
        split = {f"{name}_re": values.real, f"{name}_im": values.imag} if np.iscomplexobj(values) else {name: values}
        parts |= {key: np.asarray(part, dtype=np.float64) for key, part in split.items()}
    return parts


def _derivatives(problem: Problem) -> Iterator[tuple[str, Expr]]:
    """Yield all first derivatives of the declared fields, and others that equations read, each once, with a name such as u_xx."""
    slots = {f.func.__name__: f for f in problem.declared_fields}
    wanted = [
        (name, tuple(int(k == j) for j in range(len(f.args)))) for name, f in slots.items() for k in range(len(f.args))
    ]
    for term in problem.terms:
        if term.kind == "equation":
            readings = evaluations(with_ends_of_integrals(term.residual)).values()
            wanted += [(r.field, r.orders) for r in readings if r.field in slots and sum(r.orders) > 1]
    for name, orders in dict.fromkeys(wanted):
        field = slots[name]
        subscript = "".join(c.name * order for c, order in zip(field.args, orders, strict=True))
        yield f"{name}_{subscript}", field.diff(*((c, k) for c, k in zip(field.args, orders, strict=True) if k))


def _held(problem: Problem, held: Mapping[str, float]) -> dict[Symbol, float]:
    names = {c.name: c for c in problem.coordinates}
    for name, value in held.items():
        if name not in names:
            raise DataError("write(...)", f"there is no coordinate {name}", f"the coordinates are {', '.join(names)}")
        low, high = problem.bounds[names[name]]
        if not isinstance(value, int | float) or not low <= value <= high:
            raise DataError(
                "write(...)", f"{name} = {value!r}, outside ({low:g}, {high:g})", "give one value in the range"
            )
    return {names[name]: float(value) for name, value in held.items()}


def _inside(lattice: Lattice, problem: Problem) -> Lattice:
    """Return what lies in the domain of a grid over the box around it: the cells all of whose corners do."""
    for factor in factors_of(problem.domain):
        if set(factor.coordinates) == set(lattice.axes):
            order = [lattice.axes.index(c) for c in factor.coordinates]
            inside = factor.contains(lattice.points[:, order])
            ((kind, rows),) = lattice.cells.items()
            kept = rows[inside[rows].all(axis=1)]
            used, numbers = np.unique(kept, return_inverse=True)
            return Lattice(lattice.axes, lattice.points[used], {kind: numbers.reshape(kept.shape)})
    return lattice


def _write_series(
    solution: Solution,
    lattice: Lattice,
    path: Path,
    held: Mapping[Symbol, float],
    time: Symbol,
    instants: list[float],
) -> Path:
    """Write one `.vtu` for each instant into a folder, and the `.pvd` that lists them."""
    root = ElementTree.Element("VTKFile", type="Collection", version="0.1", byte_order="LittleEndian")
    listed = ElementTree.SubElement(root, "Collection")
    for number, instant in enumerate(instants):
        part = Path(path.stem) / f"{path.stem}_{number:04d}.vtu"
        write_lattice(solution, lattice, path.parent / part, {**held, time: instant})
        ElementTree.SubElement(listed, "DataSet", timestep=repr(instant), part="0", file=part.as_posix())
    ElementTree.ElementTree(root).write(path, xml_declaration=True, encoding="utf-8")
    return path


def _table(solution: Solution, lattice: Lattice, held: Mapping[Symbol, float]) -> Columns:
    points = lattice.whole(solution.problem, held)
    columns = {c.name: points[:, k] for k, c in enumerate(solution.problem.coordinates)}
    return columns | quantities(solution, points)

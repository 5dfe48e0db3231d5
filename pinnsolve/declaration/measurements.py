"""Measurements: the statements that observations make, and whether they were made where the problem is, in its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sympy import Symbol
from sympy.core.function import AppliedUndef
from sympy.physics.units import Quantity

from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.terms import Statement
from pinnsolve.declaration.units import Units, measured_in_numbers
from pinnsolve.domains.regions import Box
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import DataError, ProblemError


def read_data(data: Mapping[str, Observations]) -> list[Statement]:
    """Return a statement for every measured expression.

    Raises:
        ProblemError: Something that is no observations.
    """
    if not isinstance(data, Mapping):
        raise ProblemError("data", f"{type(data).__name__}", 'write data={"sensors": ps.Observations(...)}')
    read = []
    for name, observations in data.items():
        if not isinstance(observations, Observations):
            raise ProblemError(
                str(name), f"{type(observations).__name__}", "give a ps.Observations(at=..., values=...)"
            )
        for index, key in enumerate(observations.values):
            label = name if len(observations.values) == 1 else f"{name}[{index}]"
            read.append(Statement(label, name, key, key, None))
    return read


def check_units_of_data(
    statements: Sequence[Statement], data: Mapping[str, Observations], units: Units, fields: Sequence[AppliedUndef]
) -> None:
    """Raise where values are not numbers in the units of the problem, or a noise to be found is in another unit than they.

    Raises:
        DataError: A quantity in a key, or a noise in another unit.
        ProblemError: Dimensions that do not go together, or summands in different units.
    """
    own = {field: units.fields.get(field.func.__name__) for field in fields}
    for statement in statements:
        key, noise = statement.written, data[statement.group].noise
        if key.has(Quantity):
            found = f"a quantity in the key {key}"
            raise DataError(statement.name, found, "give numbers in the units of its fields and coordinates")
        measured_in_numbers(statement.name, statement.expression, units, fields)
        unit = units.symbols.get(noise) if isinstance(noise, Symbol) else None
        if unit is not None and unit != own.get(key):
            found = f"the noise {noise} in {unit.text}, which is not the unit of {key}"
            raise DataError(statement.name, found, f"leave {noise} out of units: noise is in the unit of the values")


def check_places_of_data(
    statement: Statement, observations: Observations, free: Sequence[Symbol], domain: Shape
) -> None:
    """Raise unless observations tell every coordinate that their key leaves free, and lie in the domain.

    Args:
        statement: That of one measured expression.
        observations: What it is of.
        free: The coordinates that it depends on.
        domain: The region.

    Raises:
        DataError: A coordinate that is missing or does not exist, or rows outside the domain.
    """
    columns = {c: observations.at[c] for c in domain.coordinates if c in observations.at}
    for extra in sorted(set(observations.at) - set(domain.coordinates), key=str):
        twin = extra.name in [c.name for c in domain.coordinates]
        raise DataError(
            statement.name,
            f"{extra} in `at` is not a coordinate"
            + (", but another symbol of this name with other assumptions" if twin else ""),
            f"use {', '.join(map(str, domain.coordinates))}, each symbol declared once",
        )
    for coordinate in set(free) - set(columns):
        raise DataError(statement.name, f"no values of the coordinate {coordinate}", f"give at={{{coordinate}: ...}}")
    count = observations.count
    points = np.stack([columns.get(c, np.full(count, low)) for c, (low, _) in domain.bounds.items()], axis=1)
    # Where a coordinate is pinned in the key, only the ranges of the others can be asked about.
    region = domain if set(columns) == set(domain.coordinates) else Box(domain.bounds)
    inside = region.contains(points)
    if not inside.all():
        row = int(np.argmin(inside))
        place = ", ".join(f"{c} = {columns[c][row]:g}" for c in columns)
        raise DataError(
            statement.name,
            f"row {row + 1} lies outside the domain ({place}; {(~inside).sum()} such rows)",
            "remove these rows or enlarge the domain",
        )

"""Fields on elements: what a vector of unknowns, or a path of them in time, is at any point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import BSpline, make_interp_spline

from pinnsolve.domains.images import Array
from pinnsolve.reference.assembly import Part, Programs
from pinnsolve.reference.elements import Elements

_DEGREE = 5


@dataclass(frozen=True)
class Fields:
    """Unknown fields between the nodes, by the elements' own functions; between times by a spline of degree five.

    Args:
        elements: The elements.
        coefficients: Values at nodes, or the spline's coefficients for them (coefficients, fields, nodes).
        knots: The spline's; none for steady fields.
        degree: The spline's.
        space: Positions of the coordinates of space.
        time: Position of the other.
    """

    elements: Elements
    coefficients: Array
    knots: Array
    degree: int
    space: tuple[int, ...]
    time: int | None

    def groups(self, points: Array) -> Array:
        """Return the values by groups of cells at points (groups, points)."""
        if not len(self.elements.groups):
            return np.zeros((0, len(points)))
        return self.elements.groups_of(self.elements.locate(points[:, list(self.space)]).cells)

    def read(self, points: Array, parts: Sequence[Part]) -> list[Array]:
        """Return values and derivatives of fields at points (points, coordinates); outside, those of the nearest triangle."""
        places, number = np.unique(points[:, list(self.space)], axis=0, return_inverse=True)
        located = self.elements.locate(places)
        nodes = located.numbers[number.ravel()]
        found = []
        for field, part in parts:
            basis = located.values if part == 0 else located.slopes[:, :, part - 1]
            weights = basis[number.ravel()]
            if self.time is None:
                found.append((weights * self.coefficients[0, field][nodes]).sum(axis=1))
                continue
            times = np.clip(points[:, self.time], self.knots[0], self.knots[-1])
            design = BSpline.design_matrix(times, self.knots, self.degree)
            rows = design.indices.reshape(len(points), -1)
            shares = design.data.reshape(len(points), -1)
            values = self.coefficients[:, field][rows[:, :, None], nodes[:, None, :]]
            found.append(np.einsum("pk,pi,pki->p", shares, weights, values))
        return found


@dataclass(frozen=True)
class FieldFunction:
    """An expression of fields on elements as a function of points.

    Args:
        fields: The fields.
        programs: The expression.
    """

    fields: Fields
    programs: Programs

    def __call__(self, points: Array) -> Array:
        """Return the values at points (points, coordinates)."""
        points = np.asarray(points, dtype=np.float64)
        slots = self.fields.read(points, self.programs.slots)
        groups = self.fields.groups(points)
        time: Array | float = 0.0 if self.fields.time is None else points[:, self.fields.time]
        places = points[:, list(self.fields.space)].T
        return self.programs.call(self.programs.value, time, places, groups, np.zeros_like(places), slots)[0]


def steady_fields(elements: Elements, values: Array, space: tuple[int, ...]) -> Fields:
    """Return fields from their values at nodes (fields, nodes)."""
    return Fields(elements, values[None], np.zeros(0), 0, space, None)


def evolving_fields(elements: Elements, times: Array, states: Array, space: tuple[int, ...], time: int) -> Fields:
    """Return fields from states (times, fields, nodes)."""
    degree = min(_DEGREE, len(times) - 1)
    degree -= degree % 2 == 0 and degree > 0
    spline = make_interp_spline(times, states, k=degree)
    return Fields(elements, np.asarray(spline.c), np.asarray(spline.t), degree, space, time)

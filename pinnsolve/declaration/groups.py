"""Groups of cells in declarations: coefficients by groups, and where a field is declared if that is not everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from sympy import Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import Statement, Term, evaluations, with_ends_of_integrals
from pinnsolve.domains.facets import Facets
from pinnsolve.domains.images import Array, Mask
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.regions import Boundary
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import ProblemError, UnsupportedError

_LOOKS = 256
"""Points at which the place of a term is looked at."""

_NEGLIGIBLE = 0.01
"""Share of these that may lie at ends, where rounding decides."""


def check_groups(statement: Statement, indicators: Mapping[Symbol, tuple[Mesh, str]]) -> None:
    """Raise where a coefficient by groups has no value, or two: on an interface, or where coordinates are pinned.

    Raises:
        ProblemError: It stands on what lies between two groups.
        UnsupportedError: It stands where a coordinate is pinned, or under an integral.
    """
    symbols = with_ends_of_integrals(statement.expression).free_symbols & set(indicators)
    if not symbols:
        return
    if isinstance(statement.region, Boundary) and any(
        isinstance(piece, Facets) and piece.inner for piece in statement.region.pieces
    ):
        raise ProblemError(
            statement.name,
            f"a coefficient by mesh.where on {statement.region.text}, where it has two values",
            "write the value of the side that is meant",
        )
    across = {c for symbol in symbols for c in indicators[symbol][0].coordinates}
    for reading in evaluations(with_ends_of_integrals(statement.expression)).values():
        if not across <= set(reading.location):
            raise UnsupportedError(
                statement.name,
                f"a coefficient by mesh.where in {statement.written}, which does not range over all of the mesh",
                "write the value of the group that is meant, or name the place by a group of sides: ps.on(mesh[...], ...)",
            )


def check_homes(terms: Sequence[Term], known: Mapping[str, Sequence[Shape]]) -> None:
    """Raise where a term reads a field beside the groups of cells in which this is declared.

    Args:
        terms: Every term.
        known: The regions of those fields that are declared on some only.

    Raises:
        ProblemError: Names the term, the field and its groups.
    """
    for term in terms:
        if not isinstance(term.region, Boundary | Mesh):
            continue
        points = draw(term.region, _LOOKS).coordinates
        places = dict(zip(term.region.coordinates, points.T, strict=True))
        for reading in evaluations(with_ends_of_integrals(term.residual)).values():
            regions = [r for r in known.get(reading.field, ()) if set(r.coordinates) <= set(places)]
            if not regions:
                continue
            inside = [r.contains(np.stack([places[c] for c in r.coordinates], axis=1)) for r in regions]
            if np.any(inside, axis=0).mean() < 1 - _NEGLIGIBLE:
                raise ProblemError(
                    term.name,
                    f"{reading.field} on {term.region.text}; it is declared in {' and '.join(r.text for r in regions)} alone",
                    "state it on the part beside that: mesh[sides] & mesh[cells], or for the field that lives there",
                )


def homes(terms: Sequence[Term]) -> dict[str, tuple[Shape, ...]]:
    """Return for each real field that is declared on some regions only, by equations, conditions and data, which they are."""
    found: dict[str, list[Shape] | None] = {}
    for term in terms:
        for reading in evaluations(with_ends_of_integrals(term.residual)).values():
            if isinstance(term.region, Boundary):
                continue
            if not isinstance(term.region, Mesh):
                if term.kind != "condition":
                    found[reading.field] = None
                continue
            known = found.setdefault(reading.field, [])
            if known is not None and term.region not in known:
                known.append(term.region)
    return {name: tuple(regions) for name, regions in found.items() if regions}


def away_from_home(
    known: Mapping[str, Sequence[Shape]], fields: Iterable[AppliedUndef], places: Mapping[Symbol, Array], count: int
) -> Mask:
    """Return at which of so many places (count,) one of some fields is declared in other groups of cells."""
    away = np.zeros(count, dtype=bool)
    for applied in fields:
        regions = known.get(applied.func.__name__, ())
        if regions and all(c in applied.args and c in places for c in regions[0].coordinates):
            points = np.stack([places[c] for c in regions[0].coordinates], axis=1)
            away |= ~np.logical_or.reduce([region.contains(points) for region in regions])
    return away

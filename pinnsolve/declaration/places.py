"""Places: the region over which a term ranges, within a domain of any shape.

A term without a region of its own holds wherever its free coordinates range: over the factors of the domain that have them.
Where only some coordinates of a factor are free, as in u(0, y) on a disk, it holds on the section at the others' values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sympy import Expr, Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals
from pinnsolve.domains.boundaries import is_turned
from pinnsolve.domains.images import Bounds
from pinnsolve.domains.parts import Part
from pinnsolve.domains.regions import ROUNDING, Boundary, Box, Region
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.sections import Section
from pinnsolve.domains.shapes import Shape, factors_of, product
from pinnsolve.errors import ProblemError, UnsupportedError

_TRIED = 256
"""Points of a term's region that must lie in the domain."""


def region_of(term: Term, domain: Shape, fields: Sequence[AppliedUndef]) -> Region | None:
    """Return where a term holds: its own region, times the ranges of the free coordinates that this does not cover.

    None stands for a single point.

    Args:
        term: The term.
        domain: Gives the ranges.
        fields: The real fields, each at its own coordinates.

    Raises:
        UnsupportedError: A region in some coordinates of a factor of the domain whose coordinates do not range independently.
    """
    own: Region | None = term.region
    if isinstance(own, Shape):
        own = _restricted(term, own, domain)
    parts: list[Shape] = [own] if isinstance(own, Shape) else []
    for factor in factors_of(domain):
        covered = () if own is None else own.coordinates
        rest = [c for c in factor.coordinates if c in term.free and c not in covered]
        if not rest:
            continue
        if isinstance(factor, Box):
            parts.append(Box({c: factor.bounds[c] for c in rest}))
        else:
            parts.append(_section(term, factor, rest, fields))
    if isinstance(own, Boundary):
        return own * product(*parts) if parts else own
    if parts and all(isinstance(part, Box) for part in parts):
        ranges = {c: ends for part in parts for c, ends in part.bounds.items()}
        return Box({c: ranges[c] for c in domain.coordinates if c in ranges})
    return product(*parts) if parts else None


def facing_out(region: Region | None, domain: Shape, residual: Expr) -> Region | None:
    """Return a region; a boundary whose normal a residual reads with that out of the domain, as out of a plate into its hole."""
    if not isinstance(region, Boundary) or not residual.free_symbols & set(region.normal):
        return region
    pieces = []
    for piece in region.pieces:
        around = [factor for factor in factors_of(domain) if set(factor.coordinates) <= set(piece.coordinates)]
        parts = [part for factor in around if is_turned(part := Part(piece, of=factor))]
        pieces.append(parts[0] if parts else piece)
    return Boundary(tuple(pieces), region.coordinates)


def check_domain(domain: Any) -> None:
    """Raise unless this is a region that is bounded."""
    if not isinstance(domain, Shape):
        remedy = "write domain=ps.Box({x: (-1, 1), t: (0, 1)})"
        raise ProblemError("domain", f"{domain!r} is not a region", remedy)
    if not np.isfinite(list(domain.bounds.values())).all():
        raise ProblemError("domain", f"{domain.text} is not bounded", "intersect it with a box")


def check_region(name: str, region: Region, bounds: Bounds) -> None:
    """Raise when the region of a statement has other coordinates than the domain, or exceeds the ranges of these."""
    for coordinate, (low, high) in region.bounds.items():
        if coordinate not in bounds:
            raise ProblemError(
                name,
                f"its region has the coordinate {coordinate}",
                "use a region of the domain's coordinates",
            )
        slack = ROUNDING * (bounds[coordinate][1] - bounds[coordinate][0])
        if low < bounds[coordinate][0] - slack or high > bounds[coordinate][1] + slack:
            raise ProblemError(
                name,
                f"its region has {coordinate} from {low:g} to {high:g}, the domain from "
                f"{bounds[coordinate][0]:g} to {bounds[coordinate][1]:g}",
                "keep the region inside the domain",
            )


def check_pinned(term: Term, coordinate: Symbol) -> None:
    """Raise when a condition would hold everywhere."""
    readings = evaluations(with_ends_of_integrals(term.residual)).values()
    plain = all(argument.is_Symbol for reading in readings for argument in reading.location)
    if term.region is None and plain:
        raise ProblemError(
            term.name,
            f"{term.statement} would hold everywhere in the domain",
            f"pin a coordinate, such as {coordinate} = 0, or say where with ps.on(region, ...)",
        )


def check_inside(terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape) -> None:
    """Raise when an equation or a condition holds where a domain that is no box is not.

    Raises:
        ProblemError: Names the term and a point outside.
    """
    for term in terms:
        if term.kind != "data" and not isinstance(domain, Box):
            region = region_of(term, domain, fields)
            if region is not None:
                _check_points(term, region, domain)


def _check_points(term: Term, region: Region, domain: Shape) -> None:
    if isinstance(region, Shape) and region.fraction == 0:
        raise ProblemError(term.name, f"{term.statement} holds nowhere in {domain.text}", "pin a value that it has")
    points = draw(region, _TRIED).coordinates
    for factor in factors_of(domain):
        if set(factor.coordinates) <= set(region.coordinates):
            columns = [region.coordinates.index(c) for c in factor.coordinates]
            outside = ~factor.contains(points[:, columns])
            if outside.any():
                row = points[int(np.argmax(outside))]
                place = ", ".join(f"{c} = {row[k]:g}" for c, k in zip(factor.coordinates, columns, strict=True))
                found = f"its region has points outside the domain, such as {place}"
                raise ProblemError(term.name, found, "keep to the part inside: region & domain, boundary & domain")


def _restricted(term: Term, own: Shape, domain: Shape) -> Shape | None:
    """Return a region without coordinates that are not free, widened to whole factors of the domain that it cuts."""
    if isinstance(own, Box):
        ranges = {c: ends for c, ends in own.bounds.items() if c in term.free}
        for factor in factors_of(domain):
            some = set(factor.coordinates) & set(ranges)
            if some and not isinstance(factor, Box) and set(factor.coordinates) <= set(term.free):
                cut = Box({c: ranges.pop(c, factor.bounds[c]) for c in factor.coordinates}) & factor
                return product(cut, Box(ranges)) if ranges else cut
        return Box(ranges) if ranges else None
    missing = [str(c) for c in own.coordinates if c not in term.free]
    if missing:
        found = f"it ranges over {own.text}, but not over {', '.join(missing)}"
        raise UnsupportedError(term.name, found, "give a region of the coordinates that range")
    return own


def _section(term: Term, factor: Shape, rest: Sequence[Symbol], fields: Sequence[AppliedUndef]) -> Shape:
    """Return the part of a factor over which some of its coordinates range."""
    held = [c for c in factor.coordinates if c not in rest]
    if not held:
        return factor
    places = list(_pinned(term, held, fields))
    if not places:  # the term does not speak of the others: fields that do not depend on them
        return Box({c: factor.bounds[c] for c in rest})
    return Section(factor, tuple(places))


def _pinned(term: Term, held: Sequence[Symbol], fields: Sequence[AppliedUndef]) -> Iterator[Mapping[Symbol, float]]:
    """Yield the values that the readings of a term give to some coordinates, each combination once."""
    slots = {f.func.__name__: f.args for f in fields}
    seen = []
    for reading in evaluations(with_ends_of_integrals(term.residual)).values():
        location = dict(zip(slots[reading.field], reading.location, strict=True))
        place = {c: float(location[c]) for c in held if c in location and location[c].is_number}
        if len(place) == len(held) and place not in seen:
            seen.append(place)
            yield place

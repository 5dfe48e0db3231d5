"""Coverage: whether conditions stand on all of a boundary that is not made of the ends of intervals.

Where the roots of the characteristic polynomial along every coordinate of a region lie evenly to both sides (n, n), with time
frozen as a growth rate, the equations are elliptic there, and n conditions belong at every point of the boundary, whatever its
shape. Where this is not certain, as for waves, at least one condition is asked for somewhere.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sympy import Integral, Symbol
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.characteristics import degree, split_between_ends
from pinnsolve.declaration.counting import orders
from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals
from pinnsolve.domains.facets import Facets
from pinnsolve.domains.images import Mask
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.pieces import Piece
from pinnsolve.domains.regions import ROUNDING, Array, Boundary, Box
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.shapes import Shape, factors_of, product
from pinnsolve.errors import ProblemError

_LOOKS = 256
"""Points on each piece of boundary at which conditions are looked for."""

_AT_INTERFACES = (
    "ps.on(mesh.interface(...), Eq(u, v), Eq(...)): continuity of the value and of the flux, or their jumps"
)

_NEGLIGIBLE = 0.01
"""Share of these that may lie at the ends of pieces, where rounding decides."""


@dataclass(frozen=True)
class Stretch:
    """A piece of the boundary, and at each of some points on it which conditions stand there.

    Args:
        factor: The factor of the domain whose boundary it is.
        piece: The piece.
        conditions: For each condition a mask (points,).
        equations: Those that stand on all of it, without their regions; None where one stands on a part, and nothing is certain.
    """

    factor: Shape
    piece: Piece
    conditions: Mapping[str, Mask]
    equations: tuple[Term, ...] | None

    @property
    def counts(self) -> Array:
        """The number of conditions at each point."""
        return np.sum([np.zeros(_LOOKS), *self.conditions.values()], axis=0)

    @property
    def standing(self) -> tuple[str, ...] | None:
        """The names of the equations."""
        return None if self.equations is None else tuple(t.name for t in self.equations)

    @property
    def names(self) -> list[str]:
        """The conditions that stand on some of it."""
        return [name for name, mask in self.conditions.items() if mask.mean() > _NEGLIGIBLE]

    def covered_by(self, names: Collection[str]) -> bool:
        """Return whether one or another of some conditions stands on all of it."""
        masks = [mask for name, mask in self.conditions.items() if name in names]
        return bool(masks) and float(np.any(masks, axis=0).mean()) >= 1 - _NEGLIGIBLE


def stretches(terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape) -> Iterator[Stretch]:
    """Yield every piece of the boundary of those factors of a domain that are not boxes, with what stands on it."""
    slots = {f.func.__name__: f.args for f in fields}
    conditions = [t for t in terms if t.kind == "condition"]
    factors = factors_of(domain)
    for factor in factors:
        if isinstance(factor, Box):
            continue
        others = [other for other in factors if other is not factor]
        for piece in (*factor.boundary.pieces, *_interfaces(terms, factor)):
            walls = Boundary((piece,), factor.coordinates)
            drawn = draw(walls * product(*others) if others else walls, _LOOKS).coordinates
            order = (*factor.coordinates, *(c for other in others for c in other.coordinates))
            points = dict(zip(order, drawn.T, strict=True))
            stands = {t.name: _stands(t, slots, points, factor, domain) for t in conditions}
            yield Stretch(factor, piece, stands, _standing(terms, points))


def check_coverage(
    terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape, *, free_unknowns: bool
) -> None:
    """Raise when a part of the boundary has no condition, or more than the equations can bear.

    Args:
        terms: Every term of the problem.
        fields: The real fields.
        domain: The region.
        free_unknowns: Whether unknown parameters or fields are sought, which extra conditions may determine.

    Raises:
        ProblemError: Names the piece, what is needed, and what was found.
    """
    if free_unknowns or any(t.kind == "data" for t in terms):
        return
    found = list(stretches(terms, fields, domain))
    for factor in factors_of(domain):
        here = [s for s in found if s.factor is factor]
        if here:
            _check_factor(factor, here, terms, fields, domain)


def _check_factor(
    factor: Shape, here: Sequence[Stretch], terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape
) -> None:
    different = {stretch.standing: stretch.equations for stretch in here}
    known = {names: _limits(some, factor, terms, fields, domain) for names, some in different.items()}
    stand_in = any(t.kind == "condition" and _stands_in(t, factor) for t in terms)
    where = ", ".join(map(str, factor.coordinates))
    example = f"ps.on(region.boundary, Eq({fields[0]}, ...)), or give a slope along region.normal"
    if not stand_in and any(most for _, most in known.values()) and not any(s.names for s in here):
        raise ProblemError(f"conditions in {where}", f"none on the boundary of {factor.text}", f"add {example}")
    for stretch in here:
        needed, most = known[stretch.standing]
        few = stretch.counts < needed - 0.5
        if few.mean() > _NEGLIGIBLE and not stand_in:
            names = f" ({', '.join(stretch.names)})" if stretch.names else ""
            share = "" if few.all() else f" on {100 * few.mean():.0f} % of it"
            raise ProblemError(
                f"conditions on {stretch.piece.text}",
                f"the equations need {needed} at every point of the boundary, found {stretch.counts[few].max():.0f}{share}{names}",
                f"add {_AT_INTERFACES if isinstance(stretch.piece, Facets) and stretch.piece.inner else example}",
            )
        many = stretch.counts > most + 0.5
        if many.mean() > _NEGLIGIBLE:
            raise ProblemError(
                ", ".join(stretch.names),
                f"{stretch.counts.max():.0f} conditions on {stretch.piece.text}, where the equations bear {most}",
                "remove one, or state each on its own part: region.boundary - part",
            )


def _limits(
    equations: tuple[Term, ...] | None,
    factor: Shape,
    terms: Sequence[Term],
    fields: Sequence[AppliedUndef],
    domain: Shape,
) -> tuple[int, int]:
    """Return how many conditions belong at every point of the boundary of a factor where some equations hold, and the most.

    The first is 0 where this is not certain.
    """
    here = [t for t in terms if t.kind == "equation"] if equations is None else list(equations)
    if not here:  # beside a group of cells that no equation is for
        return 0, 0
    names = {r.field for t in here for r in evaluations(with_ends_of_integrals(t.residual)).values()}
    present = [f for f in fields if f.func.__name__ in names]
    bounds, coordinates = domain.bounds, factor.coordinates
    highest = orders(here, present)
    most = sum(math.ceil(max(highest.get((f.func.__name__, c), 0) for c in coordinates) / 2) for f in present)
    times = {c: 1 for c in domain.intervals if degree(here, present, c, bounds) == 1}
    splits = {split_between_ends(here, present, c, bounds, evolution=times) for c in coordinates}
    split = splits.pop() if len(splits) == 1 else None
    return (split[0] if split is not None and split[0] == split[1] else 0), most


def _standing(terms: Sequence[Term], points: Mapping[Symbol, Array]) -> tuple[Term, ...] | None:
    """Return the equations that hold up to some points of a boundary, as if they held everywhere."""
    found = []
    for term in terms:
        if term.kind == "equation" and isinstance(term.region, Mesh):
            share = term.region.contains(np.stack([points[c] for c in term.region.coordinates], axis=1)).mean()
            if _NEGLIGIBLE < share < 1 - _NEGLIGIBLE:
                return None
            if share >= 1 - _NEGLIGIBLE:
                found.append(replace(term, region=None))
        elif term.kind == "equation":
            found.append(term)
    return tuple(found)


def _interfaces(terms: Sequence[Term], factor: Shape) -> Iterator[Piece]:
    """Yield what lies between groups of cells with equations of their own for different fields."""
    fields: dict[str, set[str]] = {}
    for term in terms:
        if term.kind == "equation" and isinstance(term.region, Mesh) and term.region.of and term.region.of[0] is factor:
            readings = evaluations(with_ends_of_integrals(term.residual)).values()
            fields.setdefault(term.region.of[1], set()).update(r.field for r in readings)
    for first, second in itertools.combinations(fields, 2):
        if isinstance(factor, Mesh) and not fields[first] & fields[second]:
            piece = factor.between(first, second)
            if piece is not None:
                yield piece


def _stands_in(term: Term, factor: Shape) -> bool:
    """Return whether a condition in a volume, or an integral, may stand for conditions on the boundary."""
    volume = isinstance(term.region, Shape) and bool(set(term.region.coordinates) & set(factor.coordinates))
    return volume or term.residual.has(Integral)


def _stands(
    term: Term,
    slots: Mapping[str, tuple[Symbol, ...]],
    points: Mapping[Symbol, Array],
    factor: Shape,
    domain: Shape,
) -> Mask:
    """Return at which points of the boundary of a factor a condition stands."""
    if isinstance(term.region, Boundary):
        if not set(factor.coordinates) & set(term.region.coordinates):
            return np.zeros(_LOOKS, dtype=bool)
        return term.region.contains(np.stack([points[c] for c in term.region.coordinates], axis=1))
    found = np.zeros(_LOOKS, dtype=bool)
    for reading in evaluations(with_ends_of_integrals(term.residual)).values():
        location = dict(zip(slots[reading.field], reading.location, strict=True))
        pinned = {c: float(a) for c, a in location.items() if a.is_number}
        if pinned and set(pinned) <= set(factor.coordinates):
            here = np.ones(_LOOKS, dtype=bool)
            for c, value in pinned.items():
                low, high = domain.bounds[c]
                here &= np.abs(points[c] - value) <= ROUNDING * (high - low)
            found |= here
    return found

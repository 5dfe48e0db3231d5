"""Singularities: where a solution is known to have unbounded slopes, and states at which equations have no value.

An elastic body that is clamped on one face and loaded, or free, on the next has unbounded stresses where they meet (Williams,
Stress singularities resulting from various boundary conditions in angular corners of plates in extension, Journal of Applied
Mechanics 19, 1952). Smooth fields that are exactly zero at the clamp can balance them only by bending less as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from sympy import Dummy, Expr, Integer, Lambda, Pow, Symbol, lambdify, log
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.counting import Bounds, marching, planes
from pinnsolve.declaration.evaluation import SYMPY_FAILS
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.domains.sampling import draw
from pinnsolve.domains.shapes import Shape

_FaceOfBox = tuple[Symbol, float | None]

_PLACES = 64
"""Points of the domain at which divisors are looked at."""


def clamp_beside_traction(
    terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape, exact: Collection[str]
) -> tuple[str, str] | None:
    """Return the names of a condition that fixes fields on a face and of one that couples their slopes on another that meets it.

    Args:
        terms: All terms of the problem.
        fields: The real fields.
        domain: The region.
        exact: Names of the conditions that would be met exactly; the others are tractions if they read slopes of several fields.
    """
    slots = {f.func.__name__: f.args for f in fields}
    times = set(marching(terms, fields, domain))
    conditions = [term for term in terms if term.kind == "condition"]
    faces = {t.name: [f for f in _faces(t, slots, domain.bounds, domain) if f[0] not in times] for t in conditions}
    fixed: dict[_FaceOfBox, dict[str, str]] = {}
    for clamp in (term for term in conditions if term.name in exact):
        named = {r.field: clamp.name for r in evaluations(clamp.residual).values() if not any(r.orders)}
        for face in faces[clamp.name]:
            fixed[face] = named | fixed.get(face, {})
    for traction in conditions:
        sloped = {r.field for r in evaluations(traction.residual).values() if any(r.orders)}
        if traction.name in exact or len(sloped) < 2:
            continue
        for face in faces[traction.name]:
            # A roller fixes one field and leaves the other free: it is the plane of symmetry of twice the body.
            around = [names for other, names in fixed.items() if other[0] != face[0] and sloped <= set(names)]
            if around and not sloped & set(fixed.get(face, ())):
                return around[0][min(sloped)], traction.name
    return None


def kept_away_from(
    terms: Sequence[Term], fields: Sequence[AppliedUndef], domain: Shape, ansatz: Mapping[AppliedUndef, Expr]
) -> Expr | None:
    """Return what an equation divides by, or takes the logarithm or a broken power of, if it has one sign where networks are zero.

    Beyond its zero the equation has other values or none, and a network that starts there does not come back.

    Args:
        terms: All terms of the problem.
        fields: The real fields.
        domain: The region.
        ansatz: Of fields.
    """
    places = draw(domain, _PLACES, method="sobol", seed=0).coordinates
    start = {f.func: Lambda(f.args, ansatz.get(f, f).xreplace({f: Integer(0)})) for f in fields}
    for term in terms:
        for base in _divisors(term) if term.kind == "equation" else ():
            try:
                value = lambdify(domain.coordinates, base.subs(start).doit(), "numpy")
                with np.errstate(all="ignore"):
                    values = np.asarray(value(*places.T) + np.zeros(_PLACES), dtype=np.float64)
            except (*SYMPY_FAILS, NameError, SyntaxError):
                continue
            if np.isfinite(values).all() and (values.min() > 0 or values.max() < 0):
                return base
    return None


def _divisors(term: Term) -> list[Expr]:
    """Return what an equation cannot read beyond a zero, if it reads fields."""
    values = {place: Dummy(real=True) for place in evaluations(term.residual)}
    opened, reads = term.residual.xreplace(values), set(values.values())
    back = {symbol: place for place, symbol in values.items()}
    found = []
    for part in sorted(opened.atoms(Pow, log), key=str):
        base, power = (
            part.args[0],
            part.args[1] if isinstance(part, Pow) else Integer(-1),
        )  # a logarithm ends as 1/u does
        sharp = power.is_negative
        broken = sharp or (power.is_number and not power.is_integer)
        never = base.is_positive if sharp else base.is_nonnegative
        if broken and not never and base.free_symbols & reads:
            found.append(base.xreplace(back))
    return found


def _faces(term: Term, slots: dict[str, tuple[Symbol, ...]], bounds: Bounds, domain: Shape) -> list[_FaceOfBox]:
    """Return the faces on which a condition holds, as a coordinate and its value."""
    found = planes(term, slots, bounds, domain=domain)
    return [(plane.coordinate, plane.value) for plane in found if not plane.stand_in]

"""Gauges: fields that the declaration fixes only up to a constant, or a function of some coordinates.

A pressure that enters only by its gradient can be shifted by any function of time. Such a field is compared without its mean,
and needs no condition to pin it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sympy import Dummy, Symbol, expand
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals


def find_gauges(terms: Sequence[Term], fields: Sequence[AppliedUndef]) -> Mapping[str, tuple[Symbol, ...]]:
    """Return for each field with a gauge the coordinates of the function that may be added: () for a constant."""
    gauges: dict[str, tuple[Symbol, ...]] = {}
    for field in fields:
        name = field.func.__name__
        differentiated: set[Symbol] = set()
        shift = Dummy()
        invariant = True
        for term in terms:
            residual = with_ends_of_integrals(term.residual)
            shifted = residual
            for place, reading in evaluations(residual).items():
                if reading.field == name:
                    differentiated |= {c for c, order in zip(field.args, reading.orders, strict=True) if order}
                    if not any(reading.orders):
                        shifted = shifted.xreplace({place: place + shift})
            invariant = invariant and expand(shifted - residual) == 0
        if invariant:
            gauges[name] = tuple(c for c in field.args if c not in differentiated)
    return gauges

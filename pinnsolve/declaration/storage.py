"""A problem as plain data: what a stored solution keeps of its declaration, and the problem read back from it.

Reading repeats no check (the problem passed them when it was written) and runs nothing: the mathematics comes as trees, the
numbers as numbers. Observations are not stored; their terms are, without the measured columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sympy import Symbol

from pinnsolve.declaration.complexes import Parts
from pinnsolve.declaration.terms import Term
from pinnsolve.declaration.trees import TreeError, from_tree, to_tree
from pinnsolve.domains.regions import Boundary, Box, Face, Region
from pinnsolve.problem import Problem


def problem_to_data(problem: Problem) -> dict[str, Any]:
    """Return the problem as JSON data."""
    return {
        "domain": _region_to_data(problem.domain),
        "declared_fields": [to_tree(f) for f in problem.declared_fields],
        "fields": [to_tree(f) for f in problem.fields],
        "complex_fields": [
            [to_tree(p.whole), to_tree(p.real), to_tree(p.imaginary)] for p in problem.complex_fields.values()
        ],
        "unknowns": [[to_tree(symbol), value] for symbol, value in problem.unknowns.items()],
        "ansatz": [[to_tree(f), to_tree(e)] for f, e in problem.ansatz.items()],
        "gauges": {name: [to_tree(c) for c in coordinates] for name, coordinates in problem.gauges.items()},
        "exact": sorted(problem.exact),
        "terms": [_term_to_data(term) for term in problem.terms],
    }


def problem_from_data(data: Mapping[str, Any]) -> Problem:
    """Return the problem that `problem_to_data` wrote.

    Raises:
        TreeError: The data are malformed.
    """
    try:
        parts = [Parts(*map(from_tree, triple)) for triple in data["complex_fields"]]
        values = {
            "domain": _region_from_data(data["domain"]),
            "declared_fields": tuple(map(from_tree, data["declared_fields"])),
            "fields": tuple(map(from_tree, data["fields"])),
            "complex_fields": MappingProxyType({p.whole.func.__name__: p for p in parts}),
            "unknowns": MappingProxyType({from_tree(symbol): float(value) for symbol, value in data["unknowns"]}),
            "ansatz": MappingProxyType({from_tree(f): from_tree(e) for f, e in data["ansatz"]}),
            "gauges": MappingProxyType({str(k): tuple(map(from_tree, v)) for k, v in data["gauges"].items()}),
            "exact": frozenset(map(str, data["exact"])),
            "terms": tuple(map(_term_from_data, data["terms"])),
            "equations": {},
            "conditions": {},
            "data": {},
        }
    except TreeError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TreeError(f"malformed declaration: {error!r}") from None
    problem = object.__new__(Problem)
    for name, value in values.items():
        object.__setattr__(problem, name, value)
    return problem


def _term_to_data(term: Term) -> dict[str, Any]:
    return {
        "name": term.name,
        "group": term.group,
        "kind": term.kind,
        "residual": to_tree(term.residual),
        "statement": str(term.statement),
        "free": [to_tree(c) for c in term.free],
        "region": None if term.region is None else _region_to_data(term.region),
    }


def _term_from_data(data: Mapping[str, Any]) -> Term:
    return Term(
        str(data["name"]),
        str(data["group"]),
        str(data["kind"]),
        from_tree(data["residual"]),
        str(data["statement"]),
        tuple(map(from_tree, data["free"])),
        None if data["region"] is None else _region_from_data(data["region"]),
    )


def _region_to_data(region: Region) -> dict[str, Any]:
    if isinstance(region, Box):
        return {"box": _bounds_to_data(region.bounds)}
    if isinstance(region, Boundary):
        faces = [[to_tree(f.coordinate), f.value, f.outward, _bounds_to_data(f.bounds)] for f in region.faces]
        return {"faces": faces, "coordinates": [to_tree(c) for c in region.coordinates]}
    raise TreeError(f"a region of the kind {type(region).__name__} cannot be stored")


def _region_from_data(data: Mapping[str, Any]) -> Region:
    if "box" in data:
        return Box(_bounds_from_data(data["box"]))
    faces = tuple(
        Face(from_tree(c), float(value), int(outward), MappingProxyType(_bounds_from_data(bounds)))
        for c, value, outward, bounds in data["faces"]
    )
    return Boundary(faces, tuple(map(from_tree, data["coordinates"])))


def _bounds_to_data(bounds: Mapping[Symbol, tuple[float, float]]) -> list[list[Any]]:
    return [[to_tree(c), low, high] for c, (low, high) in bounds.items()]


def _bounds_from_data(data: list[list[Any]]) -> dict[Symbol, tuple[float, float]]:
    return {from_tree(c): (float(low), float(high)) for c, low, high in data}

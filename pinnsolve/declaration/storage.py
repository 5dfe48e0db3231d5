"""A problem as plain data: what a stored solution keeps of its declaration, and the problem read back from it.

Reading runs nothing: the mathematics comes as trees, the numbers as numbers. It does not repeat the checks of a declaration,
which this one passed when it was written, but asks that the parts fit each other, in case somebody else wrote the file.
Observations are not stored; their terms are, without the measured columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray
from sympy import Eq, Expr, Symbol, SympifyError, sympify
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.complexes import Parts
from pinnsolve.declaration.measures import Unit, dimension_of, powers_of
from pinnsolve.declaration.mesh_storage import mesh_from_data, mesh_to_data
from pinnsolve.declaration.quantities import Quantity
from pinnsolve.declaration.region_storage import number_from_data, region_from_data, region_to_data, symbol_from_data
from pinnsolve.declaration.residual_sizes import HUGE
from pinnsolve.declaration.scales import Scales
from pinnsolve.declaration.terms import Term
from pinnsolve.declaration.trees import TreeError, from_tree, to_tree
from pinnsolve.declaration.units import Units
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.shapes import Shape
from pinnsolve.domains.surfaces import Surface
from pinnsolve.problem import Problem


def problem_to_data(problem: Problem, arrays: dict[str, NDArray[Any]] | None = None) -> dict[str, Any]:
    """Return the problem as JSON data.

    Args:
        problem: The declaration.
        arrays: Takes the arrays of its meshes, if there are any, by name.

    Raises:
        TreeError: Something that cannot be stored.
    """
    meshes: list[Mesh | Surface] = []
    data = {
        "domain": region_to_data(problem.domain, meshes),
        "declared_fields": [to_tree(f) for f in problem.declared_fields],
        "fields": [to_tree(f) for f in problem.fields],
        "complex_fields": [
            [to_tree(p.whole), to_tree(p.real), to_tree(p.imaginary)] for p in problem.complex_fields.values()
        ],
        "unknowns": [[to_tree(symbol), value] for symbol, value in problem.unknowns.items()],
        "ansatz": [[to_tree(f), to_tree(e)] for f, e in problem.ansatz.items()],
        "periods": [[to_tree(c), period] for c, period in problem.periods.items()],
        "gauges": {name: [to_tree(c) for c in coordinates] for name, coordinates in problem.gauges.items()},
        "exact": sorted(problem.exact),
        "scales": {
            "fields": [[to_tree(f), centre, size] for f, (centre, size) in problem.scales.fields.items()],
            "terms": dict(problem.scales.terms),
        },
        "units": [[to_tree(owner), _unit_to_data(unit)] for owner, unit in problem.units.given.items()],
        "terms": [_term_to_data(term, meshes) for term in problem.terms],
        "quantities": {name: _quantity_to_data(wanted, meshes) for name, wanted in problem.quantities.items()},
    }
    if meshes and arrays is None:
        raise TreeError("a mesh without a place for its arrays")
    return data | {"meshes": [mesh_to_data(mesh, k, {} if arrays is None else arrays) for k, mesh in enumerate(meshes)]}


def problem_from_data(data: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None) -> Problem:
    """Return the problem that `problem_to_data` wrote.

    Args:
        data: As JSON.
        arrays: Those of its meshes.

    Raises:
        TreeError: The data are malformed.
    """
    try:
        meshes = [mesh_from_data(mesh, k, arrays or {}) for k, mesh in enumerate(data.get("meshes", []))]
        parts = [Parts(*map(_field, triple)) for triple in data["complex_fields"]]
        values: dict[str, Any] = {
            "domain": region_from_data(data["domain"], meshes),
            "declared_fields": tuple(map(_field, data["declared_fields"])),
            "fields": tuple(map(_field, data["fields"])),
            "complex_fields": MappingProxyType({p.whole.func.__name__: p for p in parts}),
            "unknowns": MappingProxyType(
                {symbol_from_data(symbol): number_from_data(value) for symbol, value in data["unknowns"]}
            ),
            "ansatz": MappingProxyType({_field(f): _expression(e) for f, e in data["ansatz"]}),
            "periods": MappingProxyType(
                {symbol_from_data(c): number_from_data(period) for c, period in data["periods"]}
            ),
            "gauges": MappingProxyType({str(k): tuple(map(symbol_from_data, v)) for k, v in data["gauges"].items()}),
            "exact": frozenset(map(str, data["exact"])),
            "scales": _scales_from_data(data.get("scales", {"fields": (), "terms": {}})),  # older ones have none
            "units": Units({_expression(owner): _unit_from_data(unit) for owner, unit in data.get("units", ())}),
            "terms": tuple(_term_from_data(term, meshes) for term in data["terms"]),
            "quantities": _quantities_from_data(data.get("quantities", {}), meshes),  # older ones have none
            "equations": {},
            "conditions": {},
            "data": {},
            "hard": None,
        }
        problem = object.__new__(Problem)
        for name, value in values.items():
            object.__setattr__(problem, name, value)
        _require_fit(problem)
    except TreeError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise TreeError(f"malformed declaration: {error!r}") from None
    return problem


def _scales_from_data(data: Mapping[str, Any]) -> Scales:
    fields = {_field(f): (number_from_data(centre), _size_from_data(size)) for f, centre, size in data["fields"]}
    terms = {str(name): _size_from_data(size) for name, size in data["terms"].items()}
    return Scales(MappingProxyType(fields), MappingProxyType(terms))


def _size_from_data(value: Any) -> float:
    """Return a positive number that can be squared."""
    if not 1 / HUGE <= (size := number_from_data(value)) <= HUGE:
        raise TreeError(f"{size!r} is no size")
    return size


def _unit_to_data(unit: Unit) -> dict[str, Any]:
    """Return a unit by factor and dimension, so that one of the user's own can be read back, and as written where it has a tree."""
    try:
        written = to_tree(unit.expression)
    except TreeError:
        written = to_tree(Symbol(unit.text))
    return {"factor": to_tree(unit.factor), "dimension": powers_of(unit.dimension), "written": written}


def _unit_from_data(data: Mapping[str, Any]) -> Unit:
    factor = _expression(data["factor"])
    if not (factor.is_Rational and factor.is_positive):  # no expression, which would have to be carried out
        raise TreeError(f"{str(factor)[:80]} is not the factor of a unit")
    return Unit(factor, dimension_of(data["dimension"]), _expression(data["written"]))


def _term_to_data(term: Term, meshes: list[Mesh | Surface]) -> dict[str, Any]:
    return {
        "name": term.name,
        "group": term.group,
        "kind": term.kind,
        "residual": to_tree(term.residual),
        "statement": str(term.statement),
        "sides": _sides_to_data(term),
        "free": [to_tree(c) for c in term.free],
        "region": None if term.region is None else region_to_data(term.region, meshes),
        "unit": term.unit,
    }


def _sides_to_data(term: Term) -> list[Any] | None:
    """Return both sides of what the user wrote, or the expression; None for complex parts and what has no tree."""
    if term.name.endswith((".re", ".im")):
        return None
    statement = term.statement
    try:
        return [to_tree(side) for side in (statement.args if isinstance(statement, Eq) else (sympify(statement),))]
    except (TreeError, SympifyError):
        return None


def _statement_from_data(data: Mapping[str, Any]) -> Any:
    """Return what the user wrote as mathematics if it was stored so, else as text."""
    sides = [_expression(side) for side in data.get("sides") or ()]  # solutions stored at first have none
    if len(sides) == 2:
        return Eq(*sides, evaluate=False)
    return sides[0] if sides else str(data["statement"])


def _term_from_data(data: Mapping[str, Any], meshes: Sequence[Mesh | Surface]) -> Term:
    return Term(
        str(data["name"]),
        str(data["group"]),
        str(data["kind"]),
        _expression(data["residual"]),
        _statement_from_data(data),
        tuple(map(symbol_from_data, data["free"])),
        None if data["region"] is None else region_from_data(data["region"], meshes),
        unit=str(data.get("unit", "")),  # solutions stored at first have none
    )


def _quantity_to_data(wanted: Quantity, meshes: list[Mesh | Surface]) -> dict[str, Any]:
    over = None if wanted.over is None else region_to_data(wanted.over, meshes)
    unit = None if wanted.unit is None else _unit_to_data(wanted.unit)
    return {"expression": to_tree(wanted.expression), "over": over, "known": wanted.known, "unit": unit}


def _quantities_from_data(data: Mapping[str, Any], meshes: Sequence[Mesh | Surface]) -> Mapping[str, Quantity]:
    found = {
        str(name): Quantity(
            _expression(one["expression"]),
            None if one["over"] is None else region_from_data(one["over"], meshes),
            None if one["known"] is None else number_from_data(one["known"]),
            None if one.get("unit") is None else _unit_from_data(one["unit"]),  # older ones have none
        )
        for name, one in data.items()
    }
    return MappingProxyType(found)


def _require_fit(problem: Problem) -> None:
    """Raise unless fields read the domain's coordinates, and terms, ansatz and complex parts read the fields."""
    if not isinstance(problem.domain, Shape):
        raise TreeError("a domain that is a boundary")
    names = [f.func.__name__ for f in problem.fields]
    declared = [f.func.__name__ for f in problem.declared_fields]
    whole = [n for n in declared if n not in problem.complex_fields]
    parts = [p.func.__name__ for c in problem.complex_fields.values() for p in (c.real, c.imaginary)]
    if not names or sorted(names) != sorted(whole + parts) or not set(problem.complex_fields) <= set(declared):
        raise TreeError("fields that do not belong together")
    for field in (*problem.fields, *problem.declared_fields):
        if len(set(field.args)) != len(field.args) or not set(field.args) <= set(problem.coordinates):
            raise TreeError(f"the field {field} of something else than the coordinates")
    wanted = (quantity.expression for quantity in problem.quantities.values())
    for expression in (*(t.residual for t in problem.terms), *problem.ansatz.values(), *wanted):
        if not {f.func.__name__ for f in expression.atoms(AppliedUndef)} <= set(names):
            raise TreeError(f"a field that is not declared in {str(expression)[:80]}")
    for name, quantity in problem.quantities.items():
        if quantity.over is not None and not set(quantity.over.coordinates) <= set(problem.coordinates):
            raise TreeError(f"the quantity {name[:80]} over other coordinates")
    if not set(problem.scales.fields) <= set(problem.fields):
        raise TreeError("a scale for a field that is not declared")
    if not set(problem.scales.terms) <= {term.name for term in problem.terms}:
        raise TreeError("a scale for a term that is not there")
    if not set(problem.ansatz) <= set(problem.fields) or not set(problem.gauges) <= set(names):
        raise TreeError("an ansatz or a free constant for a field that is not declared")
    if not set(problem.units.given) <= {*problem.coordinates, *problem.unknowns, *problem.declared_fields}:
        raise TreeError("a unit of something that is not in the problem")
    if not set(problem.periods) <= set(problem.coordinates) or not all(p > 0 for p in problem.periods.values()):
        raise TreeError("a period of something else than a coordinate, or none")
    for term in problem.terms:
        if term.kind not in _KINDS or not set(term.free) <= set(problem.coordinates):
            raise TreeError(f"the term {term.name[:80]} of an unknown kind, or over other coordinates")


def _expression(tree: Any) -> Expr:
    return _checked(tree, Expr)


def _field(tree: Any) -> AppliedUndef:
    return _checked(tree, AppliedUndef)


def _checked(tree: Any, kind: type) -> Any:
    read = from_tree(tree)
    if not isinstance(read, kind):
        raise TreeError(f"{str(tree)[:80]} is not a {kind.__name__}")
    return read


_KINDS = ("equation", "condition", "data")

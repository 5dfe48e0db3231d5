"""Problem: the mathematics as declared, checked when it is written.

A problem is a region, equations and conditions in SymPy, and optionally observations, unknowns and an ansatz. Building one reads
every statement into terms (residuals that vanish somewhere) and refuses, with the term, what was found and what to write
instead, everything that cannot mean what was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from sympy import Expr, I, Integral, MatrixBase, Symbol, conjugate
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.ansatz import check_ansatz, conditions_met
from pinnsolve.declaration.coefficients import check_coefficients
from pinnsolve.declaration.complexes import Parts, as_real, find_complex_fields, split
from pinnsolve.declaration.corners import check_corners
from pinnsolve.declaration.counting import check_counts
from pinnsolve.declaration.coverage import check_coverage
from pinnsolve.declaration.exactness import exact_conditions
from pinnsolve.declaration.gauges import find_gauges
from pinnsolve.declaration.groups import check_groups, check_homes, homes
from pinnsolve.declaration.measurements import check_places_of_data, check_units_of_data, read_data
from pinnsolve.declaration.meetings import check_meetings
from pinnsolve.declaration.misfits import misfit_terms, noise_symbols
from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.places import check_domain, check_inside, check_pinned, check_region, facing_out
from pinnsolve.declaration.quantities import Quantity, read_quantities
from pinnsolve.declaration.scales import Scales
from pinnsolve.declaration.slots import check_places, check_reach, check_symbols, find_fields
from pinnsolve.declaration.terms import (
    Statement,
    Term,
    evaluations,
    read_statements,
    refuse_repeated_names,
    resolve,
    with_ends_of_integrals,
)
from pinnsolve.declaration.units import Converted, field_in_numbers, in_numbers, measured_in_numbers, read_units
from pinnsolve.declaration.unknowns import read_unknowns
from pinnsolve.domains.indicators import find_indicators
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.regions import Boundary
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import DataError, ProblemError, UnsupportedError


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A differential equation with its region, conditions, data and unknowns.

    Args:
        domain: The region; its coordinates are the only ones.
        equations: What holds inside: a mapping from names to equations, a list, or one equation.
        conditions: What holds on planes, faces, at points or between two ends.
        data: Observations by name.
        unknowns: Parameters to be found, with their initial values; an unknown declared `positive=True` stays positive.
        ansatz: For a field, an expression of coordinates and the field itself that the network is put into.
        hard: Whether to build the ansatz from the conditions, those that can be met exactly: values on whole faces of a box, first
            slopes beside them, periodicity, values on all of the boundary of another region. None: `solve` decides.
        units: Of coordinates, fields and unknowns, `{x: millimeter, T: kelvin}` by `sympy.physics.units`; what has none is a pure
            number. Ranges, places, observations, starts and results are numbers in these units; statements, `ansatz` and
            `Exact` are written with quantities, `300*kelvin`, and checked for their dimensions.
        quantities: Numbers wanted of the solution, by name; they change nothing in the training.

    Raises:
        ProblemError: A declaration that cannot mean what was written (exit code 3).
        DataError: Observations that cannot be used (exit code 4).
        UnsupportedError: Valid mathematics that is not implemented.

    Example:
        >>> problem = ps.Problem(
        ...     domain=ps.Box({x: (0, 1), t: (0, 1)}),
        ...     equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        ...     conditions={"initial": Eq(u(x, 0), sin(pi * x)), "ends": [Eq(u(0, t), 0), Eq(u(1, t), 0)]},
        ... )
        >>> [term.name for term in problem.terms]
        ['heat', 'initial', 'ends[0]', 'ends[1]']
    """

    domain: Shape
    equations: Any
    conditions: Any = None
    data: Mapping[str, Observations] = field(default_factory=dict)
    unknowns: Mapping[Symbol, float] = field(default_factory=dict)
    ansatz: Mapping[AppliedUndef, Expr] = field(default_factory=dict)
    hard: bool | None = None
    units: Any = field(default_factory=dict)
    quantities: Mapping[str, Quantity] = field(default_factory=dict)

    declared_fields: tuple[AppliedUndef, ...] = field(init=False)
    fields: tuple[AppliedUndef, ...] = field(init=False)
    complex_fields: Mapping[str, Parts] = field(init=False)
    terms: tuple[Term, ...] = field(init=False)
    gauges: Mapping[str, tuple[Symbol, ...]] = field(init=False)
    periods: Mapping[Symbol, float] = field(init=False)
    exact: frozenset[str] = field(init=False)
    scales: Scales = field(init=False, default=Scales())

    def __post_init__(self) -> None:
        check_domain(self.domain)
        object.__setattr__(self, "unknowns", read_unknowns(self.unknowns, self.coordinates))
        declared = (
            read_statements(self.equations, "equation"),
            read_statements(self.conditions, "condition"),
            read_data(self.data),
        )
        equations, conditions, data = _resolved(declared)
        if not equations:
            raise ProblemError("equations", "none", "state at least one equation")
        refuse_repeated_names([equations, conditions, data])
        self._read_fields(equations, conditions, data)
        object.__setattr__(self, "units", read_units(self.units, self.coordinates, self.unknowns, self.declared_fields))
        self._check_symbols([*equations, *conditions, *data])
        equations, conditions = self._in_numbers(equations), self._in_numbers(conditions)
        check_units_of_data(data, self.data, self.units, self.declared_fields)
        self._check_statements([*equations, *conditions, *data])
        object.__setattr__(self, "ansatz", self._read_ansatz())
        terms = [t for s in equations for t in self._terms(s, "equation")]
        terms += [t for s in conditions for t in self._terms(s, "condition")]
        terms += [t for s in data for t in self._data_terms(s)]
        object.__setattr__(self, "terms", tuple(terms))
        self._check_terms()
        periods: Mapping[Symbol, float] = {}
        if self.hard:
            ansatz, periods = self._exact_conditions()
            object.__setattr__(self, "ansatz", ansatz)
        object.__setattr__(self, "periods", MappingProxyType(dict(periods)))
        free = [f for f in self.fields if f not in self.ansatz]
        object.__setattr__(self, "gauges", MappingProxyType(dict(find_gauges(self.terms, free))))
        met = conditions_met(self.terms, self.fields, self.bounds, self.ansatz, periods, domain=self.domain)
        object.__setattr__(self, "exact", met)
        object.__setattr__(self, "quantities", read_quantities(self.quantities, self))

    @property
    def coordinates(self) -> tuple[Symbol, ...]:
        """The coordinates, in the domain's order."""
        return self.domain.coordinates

    @property
    def bounds(self) -> Mapping[Symbol, tuple[float, float]]:
        """The range of each coordinate."""
        return self.domain.bounds

    @cached_property
    def indicators(self) -> Mapping[Symbol, tuple[Mesh, str]]:
        """The symbols of groups of cells that coefficients by `mesh.where` contain, each with its mesh and group."""
        return find_indicators(self.domain)

    @cached_property
    def homes(self) -> Mapping[str, tuple[Shape, ...]]:
        """For each real field that is declared in some groups of cells only, these."""
        return homes(self.terms)

    @property
    def normal(self) -> MatrixBase:
        """The outward normal of the domain as a SymPy column."""
        return self.domain.normal

    def term(self, name: str) -> Term:
        """Return a term by its name.

        Raises:
            ProblemError: No term has this name.
        """
        for term in self.terms:
            if term.name == name:
                return term
        raise ProblemError(name, "no such term", f"choose among {', '.join(t.name for t in self.terms)}")

    def observing(self, data: Mapping[str, Observations]) -> Problem:
        """Return the same problem with other observations in place of its own; a stored one can be given some as well.

        Raises:
            DataError: Observations that cannot be used.
        """
        other = copy(self)
        object.__setattr__(other, "data", dict(data))
        (statements,) = _resolved([read_data(data)])
        check_units_of_data(statements, data, self.units, self.declared_fields)
        measured = [term for statement in statements for term in other._data_terms(statement)]
        object.__setattr__(other, "terms", (*(term for term in self.terms if term.kind != "data"), *measured))
        return other

    def _repr_html_(self) -> str:
        from pinnsolve.problem_view import problem_html

        return problem_html(self)

    def _repr_latex_(self) -> str:
        from pinnsolve.problem_view import problem_latex

        return problem_latex(self)

    def split(self, expression: Expr) -> tuple[Expr, Expr]:
        """Return the real and the imaginary part of an expression of the declared fields, in the real fields."""
        return split(expression, self.complex_fields)

    def convert(self, name: str, statement: Expr) -> Converted:
        """Return what vanishes by a statement as numbers in the units of the problem, which may contain quantities.

        Raises:
            ProblemError: Dimensions that do not go together.
        """
        sizes = {c: max(map(abs, ends)) for c, ends in self.bounds.items()} | dict(self.unknowns)
        normals = dict(zip(self.normal, self.coordinates, strict=True))
        return in_numbers(name, statement, self.units, self.declared_fields, sizes=sizes, normals=normals)

    def form(self, name: str, field: AppliedUndef, expression: Expr) -> Expr:
        """Return what a field is, written with quantities, as numbers in its unit.

        Raises:
            ProblemError: It has another dimension than the field.
        """
        return field_in_numbers(name, field, expression, self.units, self.declared_fields)

    def checked_expression(self, name: str, expression: Expr) -> Expr:
        """Return an expression to be evaluated, as numbers.

        Raises:
            ProblemError: It contains a field, symbol or place that this problem does not have, or has no unit of its own.
        """
        slots = self.require_declared(name, expression)
        expression = measured_in_numbers(name, expression, self.units, self.declared_fields)
        check_places(name, expression, slots, self.bounds)
        return expression

    def require_declared(self, name: str, expression: Expr) -> dict[str, AppliedUndef]:
        """Return the fields of this problem by name; a field or symbol of an expression that is not its own is a ProblemError."""
        slots = {f.func.__name__: f for f in (*self.declared_fields, *self.fields)}
        for applied in expression.atoms(AppliedUndef):
            if applied.func.__name__ not in slots:
                raise ProblemError(name, f"the field {applied} is not declared", f"the fields are {', '.join(slots)}")
        allowed = [*self.coordinates, *self.unknowns, *self.normal, *self.indicators]
        check_symbols(name, with_ends_of_integrals(expression), allowed)
        return slots

    def _read_fields(self, equations: list[Statement], conditions: list[Statement], data: list[Statement]) -> None:
        named = [[(s.name, s.expression) for s in group] for group in (equations, conditions, data)]
        found = find_fields(named[0], named[1] + named[2], self.coordinates)
        if not found:
            first = equations[0]
            raise ProblemError(first.name, f"no field in {first.written}", 'declare one with u = ps.fields("u", x, t)')
        written = [s.expression for s in (*equations, *conditions, *data)]
        parts = find_complex_fields(written, found)
        real: list[AppliedUndef] = []
        for f in found:
            both = parts.get(f.func.__name__)
            real += [f] if both is None else [both.real, both.imaginary]
        object.__setattr__(self, "declared_fields", tuple(found))
        object.__setattr__(self, "complex_fields", MappingProxyType(parts))
        object.__setattr__(self, "fields", tuple(real))

    def _check_symbols(self, statements: list[Statement]) -> None:
        for statement in statements:
            normals = list(self.normal) if isinstance(statement.region, Boundary) else []
            allowed = [*self.coordinates, *self.unknowns, *normals, *self.indicators]
            check_symbols(statement.name, with_ends_of_integrals(statement.expression), allowed)

    def _in_numbers(self, statements: list[Statement]) -> list[Statement]:
        pairs = [(s, self.convert(s.name, s.expression)) for s in statements]
        return [replace(s, expression=numbers.expression, unit=numbers.text) for s, numbers in pairs]

    def _check_statements(self, statements: list[Statement]) -> None:
        slots = {f.func.__name__: f for f in self.declared_fields}
        for statement in statements:
            if statement.region is not None:
                check_region(statement.name, statement.region, self.bounds)
            within = statement.region.bounds if statement.region is not None else None
            check_places(statement.name, statement.expression, slots, self.bounds, within=within)
            check_groups(statement, self.indicators)
            if statement.region is None:
                check_reach(statement, self.coordinates)
        used = noise_symbols(self.data, self.unknowns)
        used = used.union(*(with_ends_of_integrals(s.expression).free_symbols for s in statements))
        for symbol in self.unknowns:
            if symbol not in used:
                raise ProblemError(
                    f"unknowns, {symbol}",
                    "it appears in no equation, condition or observation",
                    "use it there, or remove it from unknowns",
                )

    def _terms(self, statement: Statement, kind: str) -> list[Term]:
        real, imaginary = self.split(statement.expression)
        parts = [("", real)] if imaginary == 0 else [(".re" if real != 0 else "", real), (".im", imaginary)]
        made = []
        for suffix, residual in parts:
            if residual == 0:
                continue
            free = _free(residual, statement, self.coordinates)
            if not evaluations(with_ends_of_integrals(residual)):
                raise ProblemError(statement.name, f"no field in {statement.written}", "name a field on one side")
            name = statement.name + suffix
            region = facing_out(statement.region, self.domain, residual)
            part = Term(name, statement.group, kind, residual, statement.written, free, region)
            made.append(replace(part, unit=statement.unit))
        if not made:
            found = f"{statement.written} is 0 once it is carried out"
            raise ProblemError(statement.name, found, "check the two sides; a field must remain")
        return made

    def _data_terms(self, statement: Statement) -> list[Term]:
        observations = self.data[statement.group]
        key = statement.written
        measured = observations.values[key]
        if not evaluations(with_ends_of_integrals(statement.expression)):
            fields = ", ".join(map(str, self.declared_fields))
            raise DataError(statement.name, f"no field in the key {key}", f"observe an expression of {fields}")
        columns = {c: observations.at[c] for c in self.coordinates if c in observations.at}
        free = _free(statement.expression, statement, self.coordinates)
        check_places_of_data(statement, self.data[statement.group], free, self.domain)
        both = self.split(statement.expression)
        parts = list(zip(both, (measured.real, np.imag(measured)), ("re", "im"), strict=True))
        if parts[1][0] == 0 and np.any(parts[1][1] != 0):
            raise DataError(statement.name, f"complex values for {key}, which is real", "give real values")
        whole = parts[1][0] == 0
        pairs = [
            (statement.name if whole else f"{statement.name}.{suffix}", expression, numbers)
            for expression, numbers, suffix in parts
            if expression != 0
        ]
        return misfit_terms(pairs, statement.group, key, self.data, unknowns=self.unknowns, columns=columns)

    def _read_ansatz(self) -> Mapping[AppliedUndef, Expr]:
        if not isinstance(self.ansatz, Mapping):
            raise ProblemError("ansatz", f"{self.ansatz!r} is not a mapping", "write ansatz={u: t*u + sin(x)}")
        return check_ansatz(self.ansatz, self.declared_fields, self.complex_fields, self.coordinates, self.units)

    def _exact_conditions(self) -> tuple[Mapping[AppliedUndef, Expr], Mapping[Symbol, float]]:
        if self.ansatz:
            raise ProblemError("hard=True", "an ansatz is given as well", "leave one of the two out")
        ansatz, periods = exact_conditions(self.terms, self.fields, self.domain, self.unknowns)
        if not ansatz and not periods:
            found = "no condition gives a smooth value on a whole face or boundary, or declares a coordinate periodic"
            raise UnsupportedError("hard=True", found, "leave hard out: conditions are then met approximately")
        return MappingProxyType(ansatz), periods

    def _check_terms(self) -> None:
        equations = [t for t in self.terms if t.kind == "equation"]
        fields = ", ".join(f.func.__name__ for f in self.fields)
        for term in equations:
            readings = evaluations(with_ends_of_integrals(term.residual)).values()
            spread = term.region is not None or term.residual.has(Integral)
            if all(any(a.is_number for a in r.location) for r in readings) and not spread:
                raise ProblemError(
                    term.name, f"{term.statement} holds only where a coordinate is pinned", "move it to conditions"
                )
        for term in self.terms:
            if term.kind == "condition":
                check_pinned(term, self.coordinates[-1])
        whole = [t for t in equations if t.region is None]
        parameters = set(self.unknowns) - noise_symbols(self.data, self.unknowns)
        sought = bool(parameters) or any(t.kind == "data" for t in self.terms)
        if len(whole) > len(self.fields):
            names = ", ".join(t.name for t in whole)
            raise ProblemError(
                names,
                f"{len(whole)} equations for {len(self.fields)} fields ({fields})",
                "remove an equation, or declare the field it is for",
            )
        if len(equations) < len(self.fields) and not sought:
            raise ProblemError(
                "equations",
                f"{len(equations)} for {len(self.fields)} fields ({fields})",
                "add an equation for each field, or observations that determine it",
            )
        check_coefficients(equations)
        free_unknowns = bool(parameters) or len(equations) != len(self.fields)
        check_counts(self.terms, self.fields, self.bounds, domain=self.domain, free_unknowns=free_unknowns)
        check_inside(self.terms, self.fields, self.domain)
        check_coverage(self.terms, self.fields, self.domain, free_unknowns=free_unknowns)
        check_corners(self.terms, self.fields, self.bounds, domain=self.domain)
        check_homes(self.terms, self.homes)
        check_meetings(self.terms, self.fields, self.domain)


def _free(expression: Expr, statement: Statement, coordinates: Sequence[Symbol]) -> tuple[Symbol, ...]:
    symbols = with_ends_of_integrals(expression).free_symbols
    if isinstance(statement.region, Boundary):
        symbols = symbols | set(statement.region.coordinates)
    return tuple(c for c in coordinates if c in symbols)


def _resolved(kinds: Sequence[list[Statement]]) -> list[list[Statement]]:
    """Carry out derivatives; where nothing is complex, SymPy's re and im (its derivative of Abs) are those of real numbers."""
    real = not any(s.expression.has(I, conjugate) for statements in kinds for s in statements)
    return [
        [replace(s, expression=resolve(as_real(s.expression) if real else s.expression, s.name)) for s in statements]
        for statements in kinds
    ]

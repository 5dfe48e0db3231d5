"""A problem in words: what `check` prints, the mathematics as it was understood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sympy import Derivative, Eq, Expr, Subs, Symbol
from sympy.core.function import AppliedUndef
from sympy.printing.str import StrPrinter

from pinnsolve.choice import Choice, describe
from pinnsolve.choices import Plan
from pinnsolve.compiler.compile import CompiledProblem, CompiledTerm
from pinnsolve.declaration.counting import planes
from pinnsolve.declaration.coverage import stretches
from pinnsolve.declaration.places import region_of
from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals
from pinnsolve.domains.regions import ROUNDING, Boundary, Box, Face
from pinnsolve.domains.shapes import Shape, factors_of
from pinnsolve.problem import Problem


def describe_problem(compiled: CompiledProblem, plan: Plan, *, name: str) -> str:
    """Return every term with the place where it holds, the derivatives it needs, conditions per face, and the choices made."""
    problem = compiled.problem
    lines = [f"problem      {name}"]
    lines += [
        f"coordinates  {', '.join(f'{_number(a)} <= {c} <= {_number(b)}' for c, (a, b) in problem.bounds.items())}"
    ]
    if not isinstance(problem.domain, Box):
        lines += [f"domain       {problem.domain.text}"]
    lines += [f"fields       {', '.join(map(str, problem.fields))}"]
    for parts in problem.complex_fields.values():
        lines.append(f"             {parts.whole} = {parts.real} + i {parts.imaginary}")
    for field, coordinates in problem.gauges.items():
        of = f"a function of {', '.join(map(str, coordinates))}" if coordinates else "a constant"
        lines.append(f"             {field} is fixed only up to {of}")
    for symbol, value in problem.unknowns.items():
        sign = ", positive" if symbol.is_positive else ", negative" if symbol.is_negative else ""
        lines.append(f"unknown      {symbol}, from {value:g}{sign}")
    for field, expression in problem.ansatz.items():
        lines.append(f"ansatz       {field} = {expression}, with the network in place of {field}")
    by_name = {term.name: term for term in compiled.terms}
    for kind, title in (("equation", "equations"), ("condition", "conditions"), ("data", "observations")):
        terms = [t for t in problem.terms if t.kind == kind]
        if terms:
            lines += ["", title]
        for term in terms:
            lines += _describe_term(term, by_name.get(term.name), problem, plan)
    lines += ["", "conditions by face", *_faces(problem)]
    if plan.choices:
        lines += ["", "chosen for you", *_choices(plan.choices)]
    lines += ["", f"network      {plan.network}"]
    return "\n".join(lines)


def place(term: Term, problem: Problem) -> str:
    """Return where a term holds, such as `x = -1, 0 <= t <= 1`."""
    if term.columns:
        return f"at {len(next(iter(term.columns.values())))} measured points"
    parts = []
    ranges = dict(problem.bounds)
    on_boundary = isinstance(term.region, Boundary)
    if term.region is not None:
        parts += [f"on {term.region.text}"] if on_boundary else []
        ranges |= term.region.bounds
    pinned = _pinned(term, problem)
    parts += [f"{c} = {' and '.join(_number(v) for v in values)}" for c, values in pinned.items()]
    region = region_of(term, problem.domain, problem.fields)
    for factor in factors_of(region) if isinstance(region, Shape) and not on_boundary else ():
        if not isinstance(factor, Box):
            parts.append(f"in {factor.text}")
            ranges = {c: ends for c, ends in ranges.items() if c not in factor.coordinates}
    if isinstance(term.region, Boundary) and not all(isinstance(piece, Face) for piece in term.region.pieces):
        ranges = {c: ends for c, ends in ranges.items() if c not in term.region.coordinates}
    for coordinate in (c for c in term.free if c in ranges):
        low, high = ranges[coordinate]
        if low < high:
            parts.append(f"{_number(low)} <= {coordinate} <= {_number(high)}")
    text = ", ".join(parts)
    return f"{text} (outward normal known)" if on_boundary else text or "everywhere"


class _Shorthand(StrPrinter):
    """Prints derivatives as subscripts, and a field at its own coordinates by its name: u_t + u*u_x."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self._slots = {f.func.__name__: f.args for f in (*problem.declared_fields, *problem.fields)}

    def _print_AppliedUndef(self, expression: AppliedUndef) -> str:
        return self._evaluation(expression)

    def _print_Derivative(self, expression: Derivative) -> str:
        return self._evaluation(expression)

    def _print_Subs(self, expression: Subs) -> str:
        return self._evaluation(expression)

    def _evaluation(self, expression: Expr) -> str:
        (reading,) = evaluations(expression).values()
        slots = self._slots[reading.field]
        subscript = "".join(str(c) * order for c, order in zip(slots, reading.orders, strict=True))
        name = f"{reading.field}_{subscript}" if subscript else reading.field
        return name if reading.location == slots else f"{name}({', '.join(map(self._print, reading.location))})"


def _describe_term(term: Term, compiled: CompiledTerm | None, problem: Problem, plan: Plan) -> Iterable[str]:
    statement = term.statement
    show = _Shorthand(problem).doprint
    text = f"{show(statement.lhs)} = {show(statement.rhs)}" if isinstance(statement, Eq) else f"{show(statement)} = 0"
    if term.kind == "data" and isinstance(statement, Symbol):
        text = f"the likelihood of the noise {show(statement)}"
    elif term.kind == "data":
        text = f"{show(statement)} as measured"
    elif term.name.endswith((".re", ".im")):
        text = f"{show(term.residual)} = 0"
    yield f"  {term.name}"
    yield f"    {text}"
    yield f"    where {place(term, problem)}"
    if compiled is None:
        yield "    holds exactly by the ansatz, and is left out of the loss"
        return
    needed = sorted(
        {_derivative(r.field, r.orders, problem) for r in evaluations(with_ends_of_integrals(term.residual)).values()}
    )
    points = plan.counts.get(term.name)
    count = f", {points} points" if points else ""
    weight = plan.weights[term.name]
    yield f"    needs {', '.join(needed) or 'no field'}{count}{'' if weight == 1 else f', weight {weight:g}'}"


def _derivative(field: str, orders: Sequence[int], problem: Problem) -> str:
    slots = next(f.args for f in problem.fields if f.func.__name__ == field)
    subscript = "".join(str(c) * order for c, order in zip(slots, orders, strict=True))
    return f"{field}_{subscript}" if subscript else field


def _pinned(term: Term, problem: Problem) -> dict[Symbol, list[float]]:
    slots = {f.func.__name__: f.args for f in problem.fields}
    found: dict[Symbol, list[float]] = {}
    for reading in evaluations(term.residual).values():
        for coordinate, argument in zip(slots[reading.field], reading.location, strict=True):
            if argument.is_number and coordinate not in term.free:
                values = found.setdefault(coordinate, [])
                if float(argument) not in values:
                    values.append(float(argument))
    return {c: sorted(v) for c, v in found.items()}


def _faces(problem: Problem) -> Iterable[str]:
    slots = {f.func.__name__: f.args for f in problem.fields}
    stands = [(t, p) for t in problem.terms if t.kind == "condition" for p in planes(t, slots, problem.bounds)]
    for stretch in stretches(problem.terms, problem.fields, problem.domain):
        yield f"  {stretch.piece.text}: {', '.join(stretch.names) or 'none'}"
    for coordinate, ends in problem.domain.intervals.items():
        slack = ROUNDING * (ends[1] - ends[0])
        for end in ends:
            names = [
                t.name
                for t, p in stands
                if p.coordinate == coordinate and p.value is not None and abs(p.value - end) <= slack
            ]
            yield f"  {coordinate} = {_number(end)}: {', '.join(names) or 'none'}"
        both = [t.name for t, p in stands if p.coordinate == coordinate and p.value is None]
        if both:
            yield f"  both ends of {coordinate} together: {', '.join(both)}"


def _choices(choices: Sequence[Choice]) -> Iterable[str]:
    return (f"  {line}" for line in describe(choices))


def _number(value: float) -> str:
    return f"{value:.6g}"

"""A problem in words: what `check` prints, the mathematics as it was understood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pinnsolve.choice import Choice, describe
from pinnsolve.choices import Plan
from pinnsolve.compiler.compile import CompiledProblem, CompiledTerm
from pinnsolve.declaration.ansatz import with_networks
from pinnsolve.declaration.counting import planes
from pinnsolve.declaration.coverage import stretches
from pinnsolve.declaration.extents import number, place
from pinnsolve.declaration.terms import Term, evaluations, with_ends_of_integrals
from pinnsolve.domains.regions import ROUNDING, Box
from pinnsolve.problem import Problem
from pinnsolve.typesetting import plain_expression, plain_statement


def describe_problem(compiled: CompiledProblem, plan: Plan, *, name: str) -> str:
    """Return every term with the place where it holds, the derivatives it needs, conditions per face, and the choices made."""
    problem = compiled.problem
    units = problem.units
    lines = [f"problem      {name}"]
    ranges = [f"{number(a)} <= {c} <= {number(b)}{units.suffix(c.name)}" for c, (a, b) in problem.bounds.items()]
    lines += [f"coordinates  {', '.join(ranges)}"]
    if not isinstance(problem.domain, Box):
        lines += [f"domain       {problem.domain.text}"]
    lines += [f"fields       {', '.join(map(str, problem.fields))}"]
    lines += [f"units        {', '.join(f'{name} in {text}' for name, text in units.texts.items())}"] if units else []
    for parts in problem.complex_fields.values():
        lines.append(f"             {parts.whole} = {parts.real} + i {parts.imaginary}")
    for field, coordinates in problem.gauges.items():
        of = f"a function of {', '.join(map(str, coordinates))}" if coordinates else "a constant"
        lines.append(f"             {field} is fixed only up to {of}")
    for symbol, value in problem.unknowns.items():
        sign = ", positive" if symbol.is_positive else ", negative" if symbol.is_negative else ""
        lines.append(f"unknown      {symbol}, from {value:g}{units.suffix(symbol.name)}{sign}")
    for field, expression in with_networks(problem.ansatz).items():
        lines.append(
            f"ansatz       {field.func.__name__} = {plain_expression(expression, problem)}, N from the network"
        )
    by_name = {term.name: term for term in compiled.terms}
    for kind, title in (("equation", "equations"), ("condition", "conditions"), ("data", "observations")):
        terms = [t for t in problem.terms if t.kind == kind]
        if terms:
            lines += ["", title]
        for term in terms:
            lines += _describe_term(term, by_name.get(term.name), problem, plan)
    if problem.quantities:
        lines += ["", "quantities", *_quantities(problem)]
    lines += ["", "conditions by face", *_faces(problem)]
    if plan.choices:
        lines += ["", "chosen for you", *_choices(plan.choices)]
    lines += ["", f"network      {plan.network}"]
    return "\n".join(lines)


def _describe_term(term: Term, compiled: CompiledTerm | None, problem: Problem, plan: Plan) -> Iterable[str]:
    needed = sorted(
        {_derivative(r.field, r.orders, problem) for r in evaluations(with_ends_of_integrals(term.residual)).values()}
    )
    yield f"  {term.name}"
    yield f"    {plain_statement(term, problem)}"
    if needed:
        yield f"    where {place(term, problem)}"
    if compiled is None:
        yield "    holds exactly by the ansatz, and is left out of the loss"
        return
    points = plan.counts.get(term.name)
    count = f", {points} points" if points else ""
    opening, weight = plan.opening[term.name], plan.weights[term.name]
    before = "" if opening == weight else f" after {opening:g}"
    weighs = "" if opening == weight == 1 else f", weight {weight:g}{before}"
    yield f"    needs {', '.join(needed) or 'no field'}{count}{weighs}"


def _quantities(problem: Problem) -> Iterable[str]:
    for name, wanted in problem.quantities.items():
        over = "" if wanted.over is None else f" over {wanted.over.text}"
        unit = "" if wanted.unit is None or not wanted.unit.text else f" {wanted.unit.text}"
        known = f", in{unit}" if unit else ""
        known = known if wanted.known is None else f", known to be {wanted.known:.6g}{unit}"
        yield f"  {name}"
        yield f"    {plain_expression(wanted.expression, problem)}{over}{known}"


def _derivative(field: str, orders: Sequence[int], problem: Problem) -> str:
    slots = next(f.args for f in problem.fields if f.func.__name__ == field)
    subscript = "".join(str(c) * order for c, order in zip(slots, orders, strict=True))
    return f"{field}_{subscript}" if subscript else field


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
            yield f"  {coordinate} = {number(end)}: {', '.join(names) or 'none'}"
        both = [t.name for t, p in stands if p.coordinate == coordinate and p.value is None]
        if both:
            yield f"  both ends of {coordinate} together: {', '.join(both)}"


def _choices(choices: Sequence[Choice]) -> Iterable[str]:
    return (f"  {line}" for line in describe(choices))

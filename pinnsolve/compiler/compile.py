"""The compiler: the passes in order, and the compiled problem they give.

Terms that hold at the same points share one evaluation of the network there, with all the derivatives that any of them needs;
and evaluations that need the same derivatives are one batch, all boundary values of a problem, say, because at a few hundred
points a call costs its overhead and not its arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from sympy import Expr, Symbol
from torch import Tensor, nn

from pinnsolve.compiler.lowering import LoweredTerm, lower
from pinnsolve.compiler.torchcode import Program, emit
from pinnsolve.compiler.trial import Trial
from pinnsolve.declaration.terms import Term
from pinnsolve.jets import Derivative, JetPlan, derivatives, fixed_statistics, plan_jets
from pinnsolve.problem import Problem

Points = Mapping[str, Tensor]
Values = dict[Derivative, Tensor]

Differentiate = Callable[..., Values]
"""How derivatives of a network are found: `jets.derivatives`, or another function with its arguments."""


@dataclass(frozen=True)
class CompiledLocation:
    """A place to evaluate the network, one program for each coordinate, and the derivatives needed there.

    Two locations with equal `key` on the same points are the same place.
    """

    key: Hashable
    place: tuple[Program, ...]
    fields: tuple[tuple[Derivative, frozenset[int]], ...]

    def points(self, inputs: Tensor) -> Tensor:
        """Return the points (points, coordinates) where the network is evaluated."""
        columns = inputs.unbind(1) if inputs.shape[1] else ()
        count = inputs.shape[0]
        values = [program(*columns) for program in self.place]
        return torch.stack([v if isinstance(v, Tensor) else inputs.new_full((count,), v) for v in values], dim=1)


@dataclass(frozen=True)
class CompiledTerm:
    """A residual as a program of inputs, derivatives and unknowns.

    Args:
        name: The term's name.
        inputs: The symbols of the columns of its points.
        locations: Where the network is evaluated.
        slots: For each derivative read: location, derivative, field.
        program: From input columns, derivatives and unknowns to the residual.
    """

    name: str
    inputs: tuple[Symbol, ...]
    locations: tuple[CompiledLocation, ...]
    slots: tuple[tuple[int, Derivative, int], ...]
    program: Program

    def residual(self, inputs: Tensor, values: Sequence[Values], unknowns: Sequence[Tensor]) -> Tensor:
        """Return one residual per point from the derivatives at each location."""
        columns = inputs.unbind(1) if inputs.shape[1] else ()
        read = (values[location][derivative][:, field] for location, derivative, field in self.slots)
        result = self.program(*columns, *read, *unknowns)
        if not isinstance(result, Tensor):
            return inputs.new_full((inputs.shape[0],), result)
        return result.expand(inputs.shape[0]) if result.ndim == 0 else result


@dataclass(frozen=True)
class CompiledProblem:
    """Every term that is trained, compiled.

    Args:
        problem: The declaration.
        terms: The terms in the declaration's order, without those an ansatz meets exactly.
        differentiate: How derivatives are found.
        losses: For terms whose loss is not the square, what replaces their residual.
    """

    problem: Problem
    terms: tuple[CompiledTerm, ...]
    differentiate: Differentiate = derivatives
    losses: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """The most Taylor coefficients that a point costs at one place."""
        needed: dict[Hashable, set[Derivative]] = {}
        for term in self.terms:
            for location in term.locations:
                needed.setdefault(location.key, set()).update(which for which, _ in location.fields)
        dimension = len(self.problem.coordinates)
        return max((_plan(frozenset(some), dimension).size for some in needed.values()), default=1)

    def residuals(self, trial: Trial, points: Points) -> dict[str, Tensor]:
        """Return the residual vector of every term that points are given for.

        Args:
            trial: Network and unknowns.
            points: A tensor (points, inputs of the term) for every term to evaluate.
        """
        terms = [term for term in self.terms if term.name in points]
        values = _evaluate([(term, points[term.name]) for term in terms], trial.network, self.differentiate)
        unknowns = trial.unknowns()
        found = {term.name: term.residual(points[term.name], values[k], unknowns) for k, term in enumerate(terms)}
        return {name: self.losses[name](part) if name in self.losses else part for name, part in found.items()}


def compile_problem(problem: Problem) -> CompiledProblem:
    """Compile every term of a problem that is to be trained.

    Raises:
        UnsupportedError: A function or operator without a rule.
    """
    trained = [term for term in problem.terms if term.name not in problem.exact]
    return CompiledProblem(problem, tuple(compile_term(term, problem) for term in trained))


def compile_term(term: Term, problem: Problem) -> CompiledTerm:
    """Compile one declared term; its inputs are its free coordinates, then normals or measured values."""
    return compile_expression(term.name, term.residual, term_inputs(term, problem), problem=problem)


def compile_expression(name: str, expression: Expr, inputs: Sequence[Symbol], *, problem: Problem) -> CompiledTerm:
    """Compile any real expression of the problem's real fields.

    Args:
        name: For messages.
        expression: What to evaluate.
        inputs: The symbols of the columns of its points.
        problem: Gives fields, ansatz and unknowns.

    Raises:
        UnsupportedError: A function or operator without a rule.
    """
    lowered = lower(name, expression, inputs, problem=problem)  # first: only now is every derivative visible
    locations = tuple(
        CompiledLocation(
            (lowered.inputs, location.place),
            tuple(emit(e, lowered.inputs, name=name) for e in location.place),
            location.fields,
        )
        for location in lowered.locations
    )
    slots = tuple((slot.location, slot.derivative, slot.field) for slot in lowered.slots)
    return CompiledTerm(name, lowered.inputs, locations, slots, _emit(lowered, problem))


def evaluate_term(term: CompiledTerm, inputs: Tensor, trial: Trial) -> Tensor:
    """Evaluate one compiled expression at points (points, inputs)."""
    values = _evaluate([(term, inputs)], trial.network)
    return term.residual(inputs, values[0], trial.unknowns())


def term_inputs(term: Term, problem: Problem) -> tuple[Symbol, ...]:
    """Return the symbols that come with each point of a term."""
    if term.columns:
        return tuple(term.columns)
    symbols = term.residual.free_symbols
    return (*term.free, *(s for s in (*problem.normal, *problem.indicators) if s in symbols))


def _emit(lowered: LoweredTerm, problem: Problem) -> Program:
    symbols = (*lowered.inputs, *(slot.symbol for slot in lowered.slots), *problem.unknowns)
    return emit(lowered.expression, symbols, name=lowered.name)


def _evaluate(
    terms: Sequence[tuple[CompiledTerm, Tensor]], network: nn.Module, differentiate: Differentiate = derivatives
) -> list[list[Values]]:
    """Evaluate the network at every location of every term: once for each place, one batch for each set of derivatives."""
    places: dict[tuple[int, Hashable], _Place] = {}
    for term, inputs in terms:
        for location in term.locations:
            place = places.setdefault((id(inputs), location.key), _Place(location, inputs))
            for derivative, fields in location.fields:
                place.fields.setdefault(derivative, set()).update(fields)
    batches: dict[frozenset[Derivative], list[_Place]] = {}
    for place in places.values():
        batches.setdefault(frozenset(place.fields), []).append(place)
    points = {needed: [place.location.points(place.inputs) for place in members] for needed, members in batches.items()}
    # One network for all terms: what it normalises by is taken over the points of all of them.
    with fixed_statistics(network, [part for parts in points.values() for part in parts]):
        for needed, members in batches.items():
            plan = _plan(needed, points[needed][0].shape[1])
            wanted = {which: set().union(*(place.fields[which] for place in members)) for which in members[0].fields}
            parts = points[needed]
            found = differentiate(network, torch.cat(parts) if len(parts) > 1 else parts[0], plan, wanted=wanted)
            sizes = [part.shape[0] for part in parts]  # `len` would fix the number of points of a traced program
            for derivative, tensor in found.items():
                for place, part in zip(members, tensor.split(sizes), strict=True):
                    place.values[derivative] = part
    return [[places[id(inputs), location.key].values for location in term.locations] for term, inputs in terms]


class _Place:
    """A distinct place of one call: where, which derivatives of which fields, and their values."""

    def __init__(self, location: CompiledLocation, inputs: Tensor) -> None:
        self.location, self.inputs = location, inputs
        self.fields: dict[Derivative, set[int]] = {}
        self.values: Values = {}


@cache
def _plan(needed: frozenset[Derivative], dimension: int) -> JetPlan:
    return plan_jets(needed, dimension=dimension)

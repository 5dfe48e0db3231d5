"""Weak forms on elements: from one triangulation to the solution on it, steady or in time."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import sparse
from sympy import Add, Expr, Symbol

from pinnsolve.domains.images import Array
from pinnsolve.reference.assembly import Assembly, Block, Nodal, Part, Programs, Symbols
from pinnsolve.reference.continuation import solve_continued
from pinnsolve.reference.elements import Elements
from pinnsolve.reference.factors import Factor, factor_by_columns, factor_by_degrees
from pinnsolve.reference.fields import FieldFunction, Fields, evolving_fields, steady_fields
from pinnsolve.reference.natural_conditions import Wall
from pinnsolve.reference.newton import UnresolvedError, refusal, solve_newton
from pinnsolve.reference.pressures import leak_sizes
from pinnsolve.reference.reading import Reading
from pinnsolve.reference.refinement import difference
from pinnsolve.reference.regional import refusal as no_elements
from pinnsolve.reference.result import Level
from pinnsolve.reference.rosenbrock import OutOfTimeError, StepTooSmallError, integrate
from pinnsolve.reference.taylor_hood import taylor_hood
from pinnsolve.reference.triangulation import Numbers
from pinnsolve.reference.weak_form import WeakForm

_NULL = 1e-9
_UNBALANCED = 1e-2
"""Residual, relative to that of zero, which a solution determined up to a constant may keep on a coarse mesh."""

_LOOSER, _ERROR_OF_LOOSE = 32.0, 20.0
"""Steps twice as long in a method of order five: the error grows 32 times; two thirds of that are believed."""

_WORTH_SECONDS = 1.0


@dataclass(frozen=True)
class Pin:
    """The value of a pressure at one point, where everything else leaves it open up to a constant.

    Args:
        name: The condition's name.
        place: The point (1, coordinates).
        value: The value there.
    """

    name: str
    place: Array
    value: float


@dataclass(frozen=True)
class Discretisation:
    """Everything that is integrated or holds at nodes, as programs, for any triangulation.

    Args:
        form: The equations.
        inner: What is integrated over triangles, and what it is tested by.
        mass: The same for the rates.
        outflows: For each kind of wall what is integrated over its edges.
        values: For each kind of wall what vanishes at its nodes, by unknown.
        initial: What vanishes at the start, by unknown.
        functions: Every field of the problem, by name.
        span: The first and the last time.
        leak: The equation for a pressure, such as div v, and the sum of its terms' sizes, as integrals.
        pin: What fixes the constant of a pressure.
    """

    form: WeakForm
    inner: tuple[Programs, tuple[Part, ...]]
    mass: tuple[Programs, tuple[Part, ...]]
    outflows: tuple[tuple[Programs, tuple[Part, ...]], ...]
    values: tuple[tuple[tuple[int, Programs], ...], ...]
    initial: tuple[tuple[int, Programs], ...]
    functions: Mapping[str, Programs]
    span: tuple[float, float]
    leak: tuple[tuple[Programs, tuple[Part, ...]], ...] = ()
    pin: Pin | None = None

    def assemble(self, elements: Elements, kinds: Numbers) -> tuple[Assembly, sparse.csc_array]:
        """Return the residual on elements without its rates, and the mass matrix, which is zero in rows of nodal values.

        Args:
            elements: The elements.
            kinds: For each curve the kind of wall that it is.
        """
        blocks = [Block(*self.inner, elements.inside)]
        nodal = []
        for kind, (outflow, values) in enumerate(zip(self.outflows, self.values, strict=True)):
            curves = np.flatnonzero(kinds == kind)
            if outflow[1]:
                blocks.append(Block(*outflow, elements.on_edges(curves)))
            for unknown, programs in values:
                nodes = elements.nodes_on(curves)
                nodal.append(Nodal(programs, unknown, nodes, elements.nodes[nodes].T, elements.groups[:, :1]))
        fields = len(self.form.unknowns.fields)
        rest = Assembly(tuple(blocks), tuple(nodal), fields, elements.count)
        mass = Assembly((Block(*self.mass, elements.inside),), (), fields, elements.count).jacobian(
            np.zeros(rest.size), self.span[0]
        )
        free = np.ones((fields, elements.count))
        for some in nodal:
            free[some.field, some.nodes] = 0.0
        mass = sparse.csc_array(sparse.diags_array(free.ravel()) @ mass)
        mass.eliminate_zeros()
        return rest, mass

    def level(self, elements: Elements, fields: Fields, *, points: Array, free: Sequence[int] = ()) -> Level:
        """Return fields on elements as a level of a refinement, to be compared at points."""
        functions = {name: FieldFunction(fields, programs) for name, programs in self.functions.items()}
        names = [self.form.names[self.form.unknowns.fields[n][0]] for n in free]
        word = "triangles" if len(self.form.space) == 2 else "tetrahedra"
        label = f"{len(elements.triangulation.cells)} {word}"
        pressure = self.form.pressure
        orders = {} if pressure is None else {self.form.names[self.form.unknowns.fields[pressure][0]]: elements.order}
        return Level(label, {}, functions, points, frozenset(names), orders)


def discretise(
    form: WeakForm,
    walls: Sequence[Wall],
    initial: Sequence[Reading],
    *,
    normals: tuple[Symbol, ...],
    span: tuple[float, float],
) -> Discretisation:
    """Compile a weak form.

    Args:
        form: The equations.
        walls: What holds on the boundary.
        initial: What holds at the start.
        normals: The symbols of the normal.
        span: The first and the last time; any numbers for steady problems.
    """
    unknowns = form.unknowns
    slots: dict[Symbol, Part] = {value: (n, 0) for n, value in enumerate(unknowns.values)}
    slots |= {s: (n, a + 1) for n, some in enumerate(unknowns.slopes) for a, s in enumerate(some)}
    symbols = Symbols((*form.coordinates, *form.groups), normals, slots, form.time)

    def programs(*expressions: Expr) -> Programs:
        return symbols.programs([e.xreplace(dict(form.fluxes)) for e in expressions])

    inner: list[tuple[Part, Expr]] = []
    for row in form.rows:
        inner += [((row.target, 0), row.rest)] if row.rest != 0 else []
        inner += [((row.target, a + 1), -density) for a, density in enumerate(row.density()) if density != 0]
    masses = [
        ((row.target, 0), Add(*(factor * unknowns.values[n] for n, factor in row.mass.items())))
        for row in form.rows
        if row.mass
    ]
    outflows = [[((row, 0), flux) for row, flux in wall.outflow.items() if flux != 0] for wall in walls]

    def compiled(tested: Sequence[tuple[Part, Expr]]) -> tuple[Programs, tuple[Part, ...]]:
        return programs(*(e for _, e in tested)), tuple(part for part, _ in tested)

    names = {form.names[f]: unknowns.values[n] for n, (f, k) in enumerate(unknowns.fields) if k == 0}
    names |= {form.names[f]: symbol for f, symbol in form.placed.items()}
    return Discretisation(
        form,
        compiled(inner),
        compiled(masses),
        tuple(compiled(some) for some in outflows),
        tuple(tuple((n, programs(e)) for n, e in wall.values.items()) for wall in walls),
        tuple((n, programs(e)) for n, e in _starts(form, initial).items()),
        {name: programs(names[name]) for name in form.names},
        span,
        tuple(compiled([((0, 0), expression)]) for expression in leak_sizes(form)),
    )


def steady_level(
    discretisation: Discretisation, elements: Elements, kinds: Numbers, *, previous: Level | None, points: Array
) -> Level:
    """Return the solution of a steady problem on elements, with that on coarser ones as a first guess.

    Raises:
        UnresolvedError: A singular system, no convergence, sources that do not balance.
    """
    form = discretisation.form
    rest, _ = discretisation.assemble(elements, kinds)
    start = np.zeros(rest.size)
    if previous is not None:
        places = np.zeros((elements.count, len(form.coordinates)))
        places[:, list(form.space)] = elements.nodes
        start = np.concatenate([previous.functions[form.names[f]](places) for f, _ in form.unknowns.fields])
    elif not np.isfinite(rest.residual(start)).all():
        start = np.ones(rest.size)  # 1/u and log(u) have no value at zero
    free = _free_constants(rest, start)
    inside = elements.inside
    weights = np.bincount(
        inside.numbers.ravel(), np.einsum("iep,ep->ie", inside.values, inside.weights).ravel(), minlength=rest.count
    )
    constants = [np.zeros((rest.fields, rest.count)) for _ in free]
    for one, field in zip(constants, free, strict=True):
        one[field] = weights
    found = _root(rest, elements, form.pressure, start, tuple(one.ravel() for one in constants))
    values = found.reshape(rest.fields, rest.count)
    if free:
        left, scale = (
            (float(np.abs(rest.residual(at)).max()) for at in (found, np.zeros(rest.size)))
            if form.pressure is None
            else (
                abs(float(Block(*own, inside).vector(own[0].value, 0.0, values).sum())) for own in discretisation.leak
            )
        )
        if left > _UNBALANCED * scale:
            sources = "sources do" if form.pressure is None else "what flows in and out does"
            found_there = f"the conditions leave a field free and contradict the equations: {sources} not balance"
            raise refusal("conditions", found_there)
    fields = steady_fields(elements, values, form.space)
    if discretisation.pin is not None and form.pressure is not None:
        pin, pressure = discretisation.pin, form.pressure
        if pressure not in free:
            raise no_elements(pin.name, "a value at a point, where the other conditions leave nothing open")
        values[pressure] += pin.value - fields.read(pin.place, [(pressure, 0)])[0]
        free.remove(pressure)
    return discretisation.level(elements, fields, points=points, free=free)


def _root(
    rest: Assembly, elements: Elements, pressure: int | None, start: Array, constants: tuple[Array, ...]
) -> Array:
    """Return the values at nodes where the residual vanishes."""
    if pressure is None:
        return solve_newton(rest, start, name="equations", constants=constants, factor=_factor(elements)).values
    mixed = taylor_hood(rest, elements, pressure)
    own = tuple(mixed.spread.T @ one for one in constants)
    found = solve_continued(mixed, mixed.gathered(start), name="equations", constants=own, factor=_factor(elements))
    return mixed.spread @ found.values


def evolution_level(
    discretisation: Discretisation,
    elements: Elements,
    kinds: Numbers,
    *,
    points: Array,
    tolerance: float,
    steps: int,
    deadline: float,
    first: bool,
) -> Level:
    """Return the solution of an evolution on elements, with the error of the time steps where measuring it costs little.

    Raises:
        UnresolvedError: The initial state does not exist, or the solution cannot be followed to the end.
        OutOfTimeError: The deadline has come.
    """
    began = clock.monotonic()
    march = partial(_march, discretisation, elements, kinds, deadline=deadline)
    level = discretisation.level(elements, march(tolerance=tolerance, steps=steps), points=points)
    if not first and clock.monotonic() - began > _WORTH_SECONDS:
        return level
    try:
        loose = march(tolerance=_LOOSER * tolerance, steps=steps // 2)
    except (OutOfTimeError, UnresolvedError):
        return level
    gaps = difference(level, discretisation.level(elements, loose, points=points), points=points)
    return replace(level, time_error={name: gap / _ERROR_OF_LOOSE for name, gap in gaps.items()})


def _factor(elements: Elements) -> Factor:
    return factor_by_degrees if elements.order == 2 else factor_by_columns


def _march(
    discretisation: Discretisation,
    elements: Elements,
    kinds: Numbers,
    *,
    tolerance: float,
    steps: int,
    deadline: float,
) -> Fields:
    form, (begin, end) = discretisation.form, discretisation.span
    rest, mass = discretisation.assemble(elements, kinds)
    everywhere = np.arange(elements.count)
    starts = [
        Nodal(programs, n, everywhere, elements.nodes.T, elements.groups[:, :1])
        for n, programs in discretisation.initial
    ]
    first = replace(rest, nodal=(*rest.nodal, *starts))
    zero = np.zeros(rest.size)
    state = solve_newton(first, zero, time=begin, name="initial conditions", factor=_factor(elements)).values
    try:
        path = integrate(
            lambda t, y: -rest.residual(y, t),
            lambda t, y: -rest.jacobian(y, t),
            lambda t, y: -rest.rate(y, t),
            mass=mass,
            start=state,
            span=(begin, end),
            tolerance=tolerance,
            longest=(end - begin) / steps,
            deadline=deadline,
            factor=_factor(elements),
        )
    except StepTooSmallError as error:
        found = f"the solution cannot be followed to the end, {error}"
        raise refusal("equations", found) from error
    states = path.states.reshape(-1, rest.fields, rest.count)
    return evolving_fields(elements, path.times, states, form.space, form.time or 0)


def _starts(form: WeakForm, initial: Sequence[Reading]) -> dict[int, Expr]:
    """Return the initial conditions by the unknown that each determines."""
    found: dict[int, Expr] = {}
    unknowns = form.unknowns
    time = form.time
    for reading in sorted(initial, key=lambda r: max(slot.orders[time or 0] for slot in r.slots)):
        plain = {replace(slot, places=()): symbol for slot, symbol in reading.slots.items()}
        expression = form.canonical(replace(reading, slots=plain))
        open_targets = [
            n
            for n, value in enumerate(unknowns.values)
            if expression.has(value) and n not in found and form.depth[unknowns.fields[n][0]]
        ]
        if not open_targets or expression.free_symbols & {s for some in unknowns.slopes for s in some}:
            raise no_elements(reading.name, "not a condition for the initial state")
        found[max(open_targets, key=lambda n: unknowns.fields[n][1])] = expression
    return found


def _free_constants(rest: Assembly, guess: Array) -> list[int]:
    """Return the fields whose constant is in the null space of the Jacobian."""
    jacobian = rest.jacobian(guess)
    if not np.isfinite(jacobian.data).all():
        return []
    size = abs(jacobian)
    free = []
    for field in range(rest.fields):
        one = np.zeros((rest.fields, rest.count))
        one[field] = 1.0
        if np.all(np.abs(jacobian @ one.ravel()) <= _NULL * np.maximum(size @ one.ravel(), 1e-300)):
            free.append(field)
    return free

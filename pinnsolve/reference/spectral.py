"""Evolutions with one periodic coordinate: Fourier series in space, exponential time differencing in time.

The declaration, read as M u_t + A u + n(x, t, u, u_x, ...) = 0 with the terms of constant coefficients in M and A, becomes for the
Fourier coefficients c of wavenumber kappa

    c' = L c - M^-1 F n,    L = -M^-1 A with (i kappa)^m for every derivative of order m,

and n is formed at the nodes (pseudo-spectral: Canuto et al., Spectral Methods, 2006, section 3.3). The initial coefficients are
integrals by Gauss' formula over every cell and not sums over the nodes: data whose slopes differ at the seam have coefficients
that decay like kappa^-2 only, and a sum would fold all of them onto the wavenumbers that are kept.
"""

from __future__ import annotations

import functools
import math
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray
from sympy import Add, Expr, Matrix, Symbol, expand_mul, lambdify

from pinnsolve.domains.regions import Box
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.problem import Problem
from pinnsolve.reference.etdrk4 import Blocks, Semilinear, Spectra, integrate
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.method_of_lines import Evolution, find_time, read_evolution
from pinnsolve.reference.newton import UnresolvedError
from pinnsolve.reference.reading import REMEDY, Slot, read
from pinnsolve.reference.refinement import difference, refine
from pinnsolve.reference.result import Level, Reference, comparison_grid, counts_within
from pinnsolve.reference.rosenbrock import OutOfTimeError
from pinnsolve.reference.waves import Waves

_FEWEST_MODES, _FEWEST_STEPS = 64, 64
_FIRST_STEPS = 256
_BELIEVED = 3
"""Order of the time steps that the estimated error counts on: four where the solution is smooth, less while rough initial values
are smoothed (Hochbruck and Ostermann, SIAM Journal on Numerical Analysis 43, 2005)."""

_CLOSE = 1e-6
"""Halving the steps on the coarsest grid may change the solution by this: two more halvings divide its error by 256."""

_MOST_KEPT = 2_048
"""States that are kept of a run; polynomials in time go through eight of them."""

_TIMES = 64
_WATCHED = 49
"""Times at which grids are compared. The numbers of steps are even, so that nearly all of these lie between steps: the
interpolation in time is judged too."""

_MOST_PLACES = 512
_GAUSS = 8


@dataclass(frozen=True)
class Spectral:
    """Solve an evolution with one periodic space coordinate by a Fourier method of order four in time.

    Args:
        modes: Nodes of the finest grid along the period, a multiple of 8; grids of half and a quarter give the error.
        steps: Time steps on the finest grid, a multiple of 4; chosen on the coarsest grid when omitted.
        unknowns: Values at which unknown parameters are held; the values given to `solve` otherwise.
        seconds: Time limit.

    Raises:
        ProblemError: Numbers that are too small, or a time limit that is not positive.

    Example:
        >>> reference = ps.Spectral(modes=256)
    """

    modes: int = 1_024
    _: KW_ONLY
    steps: int | None = None
    unknowns: Mapping[Symbol, float] | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        for name, count, fewest, factor in (
            ("modes", self.modes, _FEWEST_MODES, 8),
            ("steps", _FEWEST_STEPS if self.steps is None else self.steps, _FEWEST_STEPS, 4),
        ):
            if not isinstance(count, int | np.integer) or count < fewest or count % factor:
                found = f"{name}={count!r}"
                raise ProblemError("Spectral", found, f"give a multiple of {factor}, {fewest} or more")
        if not self.seconds > 0:
            raise ProblemError("Spectral", f"seconds={self.seconds!r}", "give a positive number of seconds")


@dataclass(frozen=True)
class Periodic:
    """An evolution with constant coefficients apart from the rest, before any grid.

    Args:
        evolution: The same as laws.
        coordinate: Position of the periodic coordinate.
        mass: For each law and field, the coefficients of the rates by the order of derivative.
        linear: The same for the fields.
        rest: What is left of each law.
        slots: The functionals in the rest.
        initial: The fields at the start, as functions of the periodic coordinate.
    """

    evolution: Evolution
    coordinate: int
    mass: Mapping[tuple[int, int, int], float]
    linear: Mapping[tuple[int, int, int], float]
    rest: tuple[Expr, ...]
    slots: Mapping[Slot, Symbol]
    initial: tuple[Callable[[Array], Array], ...]

    @property
    def low(self) -> float:
        """The low end of the period."""
        return self.evolution.bounds[self.coordinate][0]

    @property
    def length(self) -> float:
        """The period."""
        low, high = self.evolution.bounds[self.coordinate]
        return high - low

    def system(self, modes: int) -> Semilinear:
        """Return the system for the coefficients of so many nodes; the highest wavenumber, which has no sine, is left out."""
        kept = np.arange(modes // 2)
        factor = 2j * np.pi * kept / self.length
        size = len(self.rest)

        def symbol(coefficients: Mapping[tuple[int, int, int], float]) -> Blocks:
            blocks = np.zeros((size, size, len(kept)), dtype=np.complex128)
            for (i, j, order), value in coefficients.items():
                blocks[i, j] += value * factor**order
            return blocks

        mass = np.moveaxis(symbol(self.mass), 2, 0)
        if (np.abs(np.linalg.det(mass)) == 0).any():
            raise _refusal("equations", "the time derivatives do not determine the rate of every wave")
        inverse = np.moveaxis(np.linalg.inv(mass), 0, 2)
        linear = -np.einsum("ijk,jlk->ilk", inverse, symbol(self.linear))
        nodes = self.low + self.length * np.arange(modes) / modes
        function = lambdify([*self.evolution.coordinates, *self.slots.values()], list(self.rest), "scipy", cse=True)
        powers = [(slot.field, factor ** slot.orders[self.coordinate]) for slot in self.slots]

        def rest(spectra: Spectra, time: float) -> Spectra:
            at = [time if c == self.evolution.time else nodes for c in range(2)]
            fields = [np.fft.irfft(power * spectra[f], modes, norm="forward") for f, power in powers]
            values = np.array([np.broadcast_to(v, modes) for v in function(*at, *fields)], dtype=np.float64)
            spectrum = np.fft.rfft(values, norm="forward")[:, : len(kept)]
            return np.asarray(-(inverse * spectrum).sum(axis=1))

        return Semilinear(linear, rest, self._start(modes))

    def _start(self, modes: int) -> Spectra:
        cell = self.length / modes
        left = self.low + cell * np.arange(modes)
        total = np.zeros((len(self.initial), modes // 2), dtype=np.complex128)
        for place, weight in zip(*np.polynomial.legendre.leggauss(_GAUSS), strict=True):
            shift = (1 + place) / 2
            values = np.array([f(left + cell * shift) for f in self.initial])
            phase = np.exp(-2j * np.pi * np.arange(modes // 2) * shift / modes)
            total += weight / 2 * phase * np.fft.rfft(values, norm="forward")[:, : modes // 2]
        return total


def spectral_reference(problem: Problem, spec: Spectral, *, unknowns: Mapping[Symbol, float]) -> Reference:
    """Return the solution of an evolution with one periodic coordinate.

    Raises:
        UnsupportedError: Another kind of problem, with what is in the way.
    """
    began = clock.monotonic()
    deadline = began + spec.seconds
    try:
        periodic = read_periodic(problem, unknowns)
        steps = spec.steps or 4 * _sufficient(problem, periodic, spec.modes // 4, deadline)
        refinement = refine(
            lambda part, _: _level(problem, periodic, spec.modes // part, steps // part, deadline),
            (4, 2, 1),
            accuracy=_BELIEVED,
            all_grids=True,
            growth=4.0,
            deadline=deadline,
        )
    except OutOfTimeError as error:
        found = f"no spectral reference: {error}"
        raise UnsupportedError("equations", found, "give ps.Spectral(seconds=...) more time") from error
    finest = refinement.levels[-1]

    def evaluate(points: Array) -> dict[str, Array]:
        points = np.asarray(points, dtype=np.float64)
        inside = problem.domain.contains(points)
        return {name: np.where(inside, f(points), np.nan) for name, f in finest.functions.items()}

    sides = _sides(periodic, finest.cells[periodic.coordinate], times=_TIMES)
    points, shape = comparison_grid(sides)
    return Reference(
        kind="spectral",
        points=points,
        values=evaluate(points),
        shape=shape,
        evaluate=evaluate,
        estimated_relative_l2=refinement.error,
        seconds=clock.monotonic() - began,
        table=refinement.table,
        method=f"Fourier series in space, ETDRK4 in time, on {finest.label}",
        levels=refinement.levels,
    )


def read_periodic(problem: Problem, unknowns: Mapping[Symbol, float]) -> Periodic:
    """Split a declaration into what a Fourier series solves exactly and the rest.

    Raises:
        UnsupportedError: Not an evolution in one periodic coordinate.
    """
    if not isinstance(problem.domain, Box) or len(problem.coordinates) != 2:
        raise _refusal("domain", "it is not a box of one space coordinate and time")
    bounds = [problem.bounds[c] for c in problem.coordinates]
    try:
        readings = read(problem, unknowns)
        time = find_time(readings, len(problem.fields), bounds=bounds)
        if time is None:
            raise _refusal("conditions", "no coordinate has initial conditions for all fields")
        evolution = read_evolution(problem, readings, time=time)
    except UnsupportedError as error:  # what stands in the way of finite differences stands in the way here
        found = error.found.replace("no finite-difference reference", "no spectral reference")
        raise UnsupportedError(error.term, found, error.remedy) from error
    if not evolution.periodic:
        raise _refusal("conditions", f"nothing declares {problem.coordinates[1 - time]} periodic", _PERIODIC)
    if faced := [law.name for law in evolution.laws if law.face is not None]:
        raise _refusal(faced[0], "a condition at an end of the period", _PERIODIC)
    slots = {slot: symbol for law in evolution.laws for slot, symbol in law.slots.items()}
    same = {symbol: slots[slot] for law in evolution.laws for slot, symbol in law.slots.items()}
    mass: dict[tuple[int, int, int], float] = {}
    linear: dict[tuple[int, int, int], float] = {}
    rest: list[Expr] = []
    for number, law in enumerate(evolution.laws):
        for slot, symbol in law.rates.items():
            slope = law.expression.diff(symbol)
            if not slope.is_number or slot.places:
                raise _refusal(law.name, "a time derivative with a coefficient that is not constant")
            mass[number, slot.field, slot.orders[1 - time]] = float(slope)
        still = law.expression.subs(dict.fromkeys(law.rates.values(), 0)).xreplace(same)
        rest.append(_collect(still, {s: slot for slot, s in slots.items()}, number, 1 - time, linear))
    used = {slot: symbol for slot, symbol in slots.items() if any(symbol in r.free_symbols for r in rest)}
    if any(slot.places for slot in used):
        raise _refusal("equations", "a field at a fixed place")
    return Periodic(evolution, 1 - time, mass, linear, tuple(rest), used, _initial(evolution, 1 - time))


def _collect(
    expression: Expr,
    slots: Mapping[Symbol, Slot],
    law: int,
    coordinate: int,
    linear: dict[tuple[int, int, int], float],
) -> Expr:
    """Move the terms number times slot of an expression to the linear part, and return what is left."""
    left: list[Expr] = []
    for term in Add.make_args(expand_mul(expression)):
        coefficient, factor = term.as_independent(*slots, as_Add=False)
        if coefficient.is_number and factor in slots and not slots[factor].places:
            key = (law, slots[factor].field, slots[factor].orders[coordinate])
            linear[key] = linear.get(key, 0.0) + float(coefficient)
        else:
            left.append(term)
    return Add(*left)


def _initial(evolution: Evolution, coordinate: int) -> tuple[Callable[[Array], Array], ...]:
    """Return the fields at the start, from conditions linear in them."""
    fields = {k: Symbol(f"u{k}") for k in range(len(evolution.fields))}
    expressions = []
    for law in evolution.initial:
        if any(any(slot.orders) or slot.places for slot in law.slots):
            raise _refusal(law.name, "an initial condition on a derivative in space")
        expressions.append(law.expression.subs({symbol: fields[slot.field] for slot, symbol in law.slots.items()}))
    matrix = Matrix(expressions).jacobian(list(fields.values()))
    if not all(entry.is_number for entry in matrix) or matrix.shape[0] != len(fields) or matrix.det() == 0:
        raise _refusal("conditions", "initial conditions that are not linear and independent")
    start = {evolution.coordinates[evolution.time]: evolution.bounds[evolution.time][0]}
    right = -Matrix(expressions).subs(dict.fromkeys(fields.values(), 0)).subs(start)
    place = evolution.coordinates[coordinate]

    def values(function: Callable[[Array], Array], x: Array) -> Array:
        return np.array(np.broadcast_to(function(x), np.shape(x)), dtype=np.float64)

    return tuple(functools.partial(values, lambdify([place], form, "scipy")) for form in matrix.LUsolve(right))


def _sufficient(problem: Problem, periodic: Periodic, modes: int, deadline: float) -> int:
    """Return a number of steps with which a coarse grid's error of the time steps is small."""
    steps, coarse = _FIRST_STEPS, None
    while True:
        try:
            fine = _level(problem, periodic, modes, steps, deadline)
        except UnresolvedError:
            if steps > _FIRST_STEPS * 2**8:
                raise
            fine = None
        if fine and coarse and max(difference(fine, coarse, points=fine.points).values()) <= _CLOSE:
            return steps
        steps, coarse = 2 * steps, fine


def _level(problem: Problem, periodic: Periodic, modes: int, steps: int, deadline: float) -> Level:
    """Return the solution with so many nodes and time steps."""
    keep = 2 ** max(0, math.ceil(math.log2(steps / _MOST_KEPT)))
    keep = math.gcd(keep, steps)
    span = periodic.evolution.bounds[periodic.evolution.time]
    times, states = integrate(periodic.system(modes), span=span, steps=steps, keep=keep, deadline=deadline)
    functions = {}
    for number, field in enumerate(problem.fields):
        unknown = periodic.evolution.fields.index((number, 0))
        functions[field.func.__name__] = Waves.of(
            states[:, unknown],
            times,
            columns=(periodic.coordinate, periodic.evolution.time),
            low=periodic.low,
            length=periodic.length,
            initial=periodic.initial[unknown],
        )
    points, _ = comparison_grid(_sides(periodic, modes, times=_WATCHED))
    names = {c: problem.coordinates[c].name for c in (periodic.coordinate, periodic.evolution.time)}
    label = f"{names[periodic.coordinate]} {modes}, {names[periodic.evolution.time]} {steps}"
    return Level(label, {periodic.coordinate: modes}, functions, points)


def _sides(periodic: Periodic, modes: int, *, times: int) -> list[Array]:
    """Return the places of comparison: nodes along the period, equally spaced times."""
    (places,) = counts_within([modes], most=_MOST_PLACES + 1)
    counts = {periodic.coordinate: places, periodic.evolution.time: times}
    return [np.linspace(*periodic.evolution.bounds[c], counts[c] + 1) for c in sorted(counts)]


def _refusal(term: str, found: str, remedy: str = REMEDY) -> UnsupportedError:
    return UnsupportedError(term, f"no spectral reference: {found}", remedy)


_PERIODIC = "declare it as in Eq(u(-1, t), u(1, t)), slopes too, or write reference = ps.FiniteDifferences()"

Coefficients = NDArray[np.complex128]

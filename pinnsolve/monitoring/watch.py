"""monitor(): a trained solution watched on incoming measurements, changes found, and acted upon by a policy.

Watched are the misfit r of every measured field and the residual of every equation at the places of measurement. The first rows
say what is usual: |r|^(2/3), nearly normal where r is (Wilson and Hilferty 1931), is standardised by their mean and standard
deviation, and a detector looks for a rise. A residual depends on places alone, not on what is measured there: a rise says that rows
come from where the solution is less good. What is below its root mean square on held-out points counts as that, and its spread
there is the least that it is measured by, so that rows in the order of a coordinate raise no alarm as long as it is small.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy.core.function import AppliedUndef

from pinnsolve.declaration.observations import Observations
from pinnsolve.domains.shapes import lies_in
from pinnsolve.errors import ProblemError
from pinnsolve.fitting import Limits
from pinnsolve.monitoring.adaptation import adapt, check_adaptable
from pinnsolve.monitoring.detectors import Change, Detector, PageHinkley
from pinnsolve.monitoring.streams import Row, Stream, rows_of_table
from pinnsolve.points import term_points
from pinnsolve.solution import Solution
from pinnsolve.tables import field_columns
from pinnsolve.training.schedule import Training

POLICIES = ("report", "retrain", "reset")
"""What to do about a change: tell; train on from the present state; begin anew."""

BATCH = 64
"""Rows of a table that are evaluated at a time."""

_GOOD_AS_BEFORE = 1.5
"""Misfit after an adaptation, relative to the usual one before the change, at which it has done its work."""

_POWER = 2 / 3
"""Of sizes: it makes those of normal numbers nearly normal."""

_HELD_OUT, _HELD_OUT_SEED = 2_048, 4
_REMEMBERED = 100_000
"""Rows back to which the beginning of a change can be named."""

_ROUNDING = 1e-9
"""Spread of misfits, relative to what is measured, that is none."""


@dataclass(frozen=True)
class Finding:
    """A change that was found, and what came of it.

    Attributes:
        row: At which it was noticed, from 1.
        since: The first row after it, as far as can be told.
        watched: What changed, "misfit of u" or "residual of heat".
        action: What was done, one of `POLICIES`; or why nothing could be.
        before: Root mean square of the misfit of every field in the rows that say what is usual.
        after: That in the rows after the change, until they were adapted to.
        adapted: That of the adapted solution, in the rows that follow where there are any; None without adaptation.
        unknowns: The unknowns found by the adaptation.
        seconds: What the adaptation took.
    """

    row: int
    since: int
    watched: str
    action: str
    before: Mapping[str, float]
    after: Mapping[str, float] = field(default_factory=dict)
    adapted: Mapping[str, float] | None = None
    unknowns: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def resolved(self) -> bool:
        """Whether the misfit is about what it was before the change."""
        found = self.adapted
        return found is not None and all(found[name] <= _GOOD_AS_BEFORE * usual for name, usual in self.before.items())


@dataclass(frozen=True)
class Monitoring:
    """What came of watching a stream.

    Attributes:
        rows: Rows read.
        unusable: What was wrong with each row that was left out.
        usual: Root mean square of every misfit in the last rows that said what is usual; empty when there were too few.
        findings: The changes, in their order.
        solution: The last adapted one, or that which was given.
    """

    rows: int
    unusable: tuple[str, ...]
    usual: Mapping[str, float]
    findings: tuple[Finding, ...]
    solution: Solution

    @property
    def sound(self) -> bool:
        """Whether the solution describes the last rows: nothing changed, or the last change was adapted to."""
        return not self.findings or self.findings[-1].resolved


def monitor(
    solution: Solution,
    rows: str | Path | Iterable[Mapping[str, Any]],
    *,
    detector: Detector | None = None,
    policy: str = "report",
    reference: int = 100,
    recent: int = 200,
    training: Training | None = None,
    seconds: float | None = 30.0,
    seed: int = 0,
    batch: int = BATCH,
    tell: Callable[[str], object] = lambda line: None,
    adapted: Callable[[Solution], object] = lambda solution: None,
) -> Monitoring:
    """Watch a solution on incoming measurements.

    Args:
        solution: Trained; it stays as it is.
        rows: A .csv, or mappings from columns to numbers: every coordinate, and at least one field, by their names.
        detector: `PageHinkley()`, the default, or `ADWIN()`.
        policy: "report"; "retrain", from the present state, or "reset", anew, on the rows that follow a change.
        reference: Rows that say what is usual: the first, and those after each change.
        recent: Rows that are adapted to.
        training: Of adaptations, as for `solve`.
        seconds: Limit on the training of each adaptation; None for none.
        seed: Of points and new weights.
        batch: Rows that are evaluated at a time; a change is noticed once the batch is complete.
        tell: Called with one line of text for every event.
        adapted: Called with every adapted solution.

    Raises:
        ProblemError: An argument that makes no sense.
        DataError: A stream that cannot be used.
        UnsupportedError: Nothing in the solution can follow a change, and the policy is not "report".

    Example:
        >>> chance = np.random.default_rng(0)
        >>> rows = [{"t": t, "q": np.exp(-t) + 0.01 * chance.normal()} for t in chance.uniform(size=300)]
        >>> ps.monitor(solution, rows).sound
        True
    """
    if policy not in POLICIES:
        raise ProblemError("policy", f"{policy!r}", f"write one of {', '.join(POLICIES)}")
    if not isinstance(solution, Solution):
        raise ProblemError("monitor(...)", f"{solution!r} is not a solution", "give ps.load(...) or ps.solve(...)")
    for name, number in (("reference", reference), ("recent", recent), ("batch", batch)):
        if number < (2 if name == "reference" else 1):
            raise ProblemError(name, f"{number}", "write a number of rows, such as 100")
    if isinstance(detector, type) or not isinstance(detector, Detector | None):
        raise ProblemError("detector", f"{detector!r}", "write PageHinkley() or ADWIN()")
    if policy != "report":
        check_adaptable(solution)
    domain = solution.problem.domain
    coordinates = {c.name: c for c in solution.problem.coordinates}
    stream = Stream(
        rows_of_table(Path(rows)) if isinstance(rows, str | Path) else rows,
        tuple(coordinates),
        tuple(field_columns(solution, {name: np.empty(0) for name in coordinates})),
        lambda place: lies_in(domain, {coordinates[name]: values for name, values in place.items()}),
        Path(rows).name if isinstance(rows, str | Path) else "stream",
        tell,
    )
    policies = _Policy(policy, recent, training, Limits(seconds), seed, adapted)
    watching = _Watching(solution, stream, detector or PageHinkley(), policies, reference, tell)
    watching.run(batch)
    findings = tuple(watching.findings)
    return Monitoring(stream.read, tuple(stream.unusable), dict(watching.usual), findings, watching.solution)


@dataclass(frozen=True)
class _Policy:
    """What is done about a change, and with what means."""

    name: str
    recent: int
    training: Training | None
    limits: Limits
    seed: int
    adapted: Callable[[Solution], object]


class _Watching:
    """The moving parts: the solution in force, what is usual, the detectors' states, and rows that are collected."""

    def __init__(
        self,
        solution: Solution,
        stream: Stream,
        detector: Detector,
        policy: _Policy,
        reference: int,
        tell: Callable[[str], object],
    ) -> None:
        self.stream, self.detector, self.policy, self.reference, self.tell = stream, detector, policy, reference, tell
        self.findings: list[Finding] = []
        self.usual: Mapping[str, float] = {}
        self._numbers: deque[int] = deque(maxlen=_REMEMBERED)
        self._use(solution)

    def run(self, batch: int) -> None:
        """Take in all rows of the stream."""
        for rows in _batches(self.stream.usable(), batch):
            left = rows
            while left:
                misfits, residuals = self._misfits(left), self._residuals(left)
                for k, row in enumerate(left):
                    changed = self._take(
                        row, {n: v[k] for n, v in misfits.items()}, {n: v[k] for n, v in residuals.items()}
                    )
                    if changed:
                        break
                left = left[k + 1 :]
        if self._collecting:
            self._end_of_rows()

    def _use(self, solution: Solution) -> None:
        """Begin with a solution: the next rows say what is usual."""
        self.solution = solution
        problem = solution.problem
        self._equations = {
            term.name: (term, *_held_out_residual(solution, term))
            for term in problem.terms
            if term.kind == "equation" and term.region is None
        }
        self._restart()

    def _restart(self) -> None:
        self._first: list[Mapping[str, float]] = []
        self._first_residuals: list[Mapping[str, float]] = []
        self._sizes: list[float] = []
        self._collecting: list[Row] = []
        self._collected: list[Mapping[str, float]] = []
        self._yardsticks: dict[str, tuple[float, float]] = {}
        self._states: dict[str, Any] = {}
        self._numbers.clear()

    def _misfits(self, rows: list[Row]) -> dict[str, NDArray[np.float64]]:
        places = self._places(rows)
        found = field_columns(self.solution, places)
        return {name: found[name] - np.array([row.values[name] for row in rows]) for name in self.stream.measured}

    def _residuals(self, rows: list[Row]) -> dict[str, NDArray[np.float64]]:
        """Return the sizes of the residuals to the power 2/3, at least that of their root mean square on held-out points."""
        places = self._places(rows)
        found = {}
        for name, (term, usual, _) in self._equations.items():
            free = {c.name: places[c.name] for c in term.free}
            sizes = np.broadcast_to(np.abs(self.solution.residual(name, **free)), (len(rows),))
            found[name] = np.maximum(sizes, usual) ** _POWER
        return found

    def _places(self, rows: list[Row]) -> dict[str, NDArray[np.float64]]:
        return {name: np.array([row.values[name] for row in rows]) for name in self.stream.coordinates}

    def _take(self, row: Row, misfits: Mapping[str, float], residuals: Mapping[str, float]) -> bool:
        """Take in one row; return whether the solution changed."""
        if self._collecting:
            self._collecting.append(row)
            self._collected.append(misfits)
            return len(self._collecting) > self.policy.recent and self._adapt()
        if len(self._first) < self.reference:
            self._first.append(misfits)
            self._first_residuals.append(residuals)
            self._sizes += [abs(row.values[name]) for name in self.stream.measured]
            if len(self._first) == self.reference:
                self._learn()
            return False
        self._numbers.append(row.number)
        values = {f"misfit of {name}": abs(misfit) ** _POWER for name, misfit in misfits.items()}
        values |= {f"residual of {name}": size for name, size in residuals.items()}
        for watched, value in values.items():
            mean, spread = self._yardsticks[watched]
            state = self._states.get(watched) or self.detector.start()
            self._states[watched], change = self.detector.update(state, (value - mean) / spread)
            if change is not None:
                self._notice(row, watched, change)
                return False
        return False

    def _learn(self) -> None:
        """Learn what is usual from the first rows, and what became of the last change."""
        self.usual = _root_mean_squares(self._first)
        rounding = (_ROUNDING * float(np.max(self._sizes))) ** _POWER
        for name in self.stream.measured:
            sizes = [abs(misfits[name]) ** _POWER for misfits in self._first]
            self._yardsticks[f"misfit of {name}"] = _mean_and_spread(sizes, rounding)
        for name, (_, _, least) in self._equations.items():
            sizes = [residuals[name] for residuals in self._first_residuals]
            self._yardsticks[f"residual of {name}"] = _mean_and_spread(sizes, least)
        if self.findings:
            last = self.findings[-1]
            if last.adapted is None:
                self.findings[-1] = replace(last, after=self.usual)
            else:
                self.findings[-1] = replace(last, adapted=self.usual)

    def _notice(self, row: Row, watched: str, change: Change) -> None:
        back = min(change.at - change.since, len(self._numbers) - 1)
        since = self._numbers[-1 - back]
        self.findings.append(Finding(row.number, since, watched, self.policy.name, self.usual))
        self.tell(f"row {row.number}: the {watched} has risen, since about row {since}")
        self._restart()
        if self.policy.name != "report":
            self._collecting = [row]  # a sign to collect; this row itself may be of the old world and is not trained on

    def _adapt(self) -> bool:
        rows = self._collecting[1:]
        names = {c.name: c for c in self.solution.problem.coordinates}
        fields = _field_of_column(self.solution)
        values = {fields[name]: [row.values[name] for row in rows] for name in self.stream.measured}
        at = {symbol: [row.values[name] for row in rows] for name, symbol in names.items()}
        observations = Observations(at=at, values=values, source=self.stream.source)
        policy, begin = self.policy, time.perf_counter()
        anew, seed = policy.name == "reset", policy.seed + len(self.findings)
        found = adapt(self.solution, observations, anew=anew, training=policy.training, limits=policy.limits, seed=seed)
        after = _root_mean_squares(self._collected)
        self._use(found)
        level = _root_mean_squares(_by_row(self._misfits(rows)))
        seconds, unknowns = time.perf_counter() - begin, dict(found.unknowns)
        last = replace(self.findings[-1], after=after, adapted=level, unknowns=unknowns, seconds=seconds)
        self.findings[-1] = last
        told = ", ".join(f"{name} = {value:.6g}" for name, value in unknowns.items())
        self.tell(
            f"adapted to {len(rows)} rows in {seconds:.1f} s: {', '.join([_levels(level), *filter(None, [told])])}"
        )
        policy.adapted(found)
        return True

    def _end_of_rows(self) -> None:
        """Say that too few rows came after the last change."""
        count = len(self._collecting) - 1
        action = f"{self.policy.name} waits for {self.policy.recent} rows after the change, {count} came"
        after = _root_mean_squares(self._collected) if self._collected else {}
        self.findings[-1] = replace(self.findings[-1], action=action, after=after)
        self.tell(action)


def _held_out_residual(solution: Solution, term: Any) -> tuple[float, float]:
    """Return the root mean square of an equation's residual on held-out points, and the spread of its power above that."""
    points = term_points(term, solution.problem, _HELD_OUT, seed=_HELD_OUT_SEED)
    columns = {symbol.name: points[:, k] for k, symbol in enumerate(term.free)}
    sizes = np.abs(np.atleast_1d(solution.residual(term.name, **columns)))
    usual = float(np.sqrt(np.mean(sizes**2)))
    return usual, float(np.std(np.maximum(sizes, usual) ** _POWER))


def _mean_and_spread(sizes: Sequence[float], least: float) -> tuple[float, float]:
    return float(np.mean(sizes)), max(float(np.std(sizes, ddof=1)), least) or 1.0


def _field_of_column(solution: Solution) -> dict[str, AppliedUndef]:
    """Return the field that each column measures; of a complex one, the real and the imaginary part."""
    problem = solution.problem
    fields = {f.func.__name__: f for f in problem.fields}
    for name, parts in problem.complex_fields.items():
        fields |= {f"{name}_re": parts.real, f"{name}_im": parts.imaginary}
    return fields


def _batches(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while batch := list(islice(rows, size)):
        yield batch


def _by_row(columns: Mapping[str, NDArray[np.float64]]) -> list[Mapping[str, float]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _root_mean_squares(rows: list[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.sqrt(np.mean([row[name] ** 2 for row in rows]))) for name in rows[0]}


def _levels(levels: Mapping[str, float]) -> str:
    return ", ".join(f"misfit of {name} {level:.3g}" for name, level in levels.items())

"""The referee of a run: solves the reference, watches the error during training, ends the run at a tolerance, and judges it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from pinnsolve.classical import COMPUTED, Classical, automatic, solve_beside
from pinnsolve.closed_forms import contradictions
from pinnsolve.comparison import compare, thinned
from pinnsolve.declaration.observations import Observations
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.reference.exact import Exact
from pinnsolve.reference.finite_elements import FiniteElements
from pinnsolve.reference.forward import lacks_equations
from pinnsolve.reference.result import Reference
from pinnsolve.reference.solve import FiniteDifferences, solve_reference
from pinnsolve.reference.spectral import Spectral
from pinnsolve.reference.stream_function import StreamFunction
from pinnsolve.solution import Solution
from pinnsolve.trained_state import trained_state
from pinnsolve.training.loop import Progress
from pinnsolve.training.status import Status

Watch = Callable[[Mapping[str, float]], object]
"""Called with the relative L2 error of each field."""

_METHODS = {
    FiniteDifferences: "finite differences",
    FiniteElements: "finite elements",
    Spectral: "Fourier series",
    StreamFunction: "a stream function",
}

_TOLERANCE_EVERY = 50
"""Steps between two comparisons with the reference when a tolerance is set."""

_WATCH_EVERY, _WATCH_SHARE = 5.0, 0.1
"""Most seconds between two reports of the error, and, early on, most as a part of the time so far."""

_FIRST_REPORT = 0.2

_WATCH_COST = 0.01
"""Most that the reports take of the time, once the first has told what one takes: other ranks wait for it."""

_WATCHED_POINTS = 20_000
"""Points of the reference on which the error is reported: near corners fewer would miss most of it. The final one uses all."""


class Referee:
    """The reference of a run: solved before training where it can be, so that the error can be watched.

    Args:
        solution: What is trained.
        spec: `FiniteDifferences`, `FiniteElements`, `Spectral`, `StreamFunction`, `Exact` or `Observations`; None for the
            first that reads the problem.
        notify: Called with one line of text for what was found.
    """

    def __init__(self, solution: Solution, spec: Any, notify: Callable[[str], object]) -> None:
        self.solution, self.spec, self.notify = solution, spec, notify
        self._specs: tuple[Any, ...] = automatic(solution.problem) if spec is None else (spec,)
        self.reference: Reference | None = None
        self.errors: dict[str, dict[str, float]] = {}

    def prepare(self, tolerance: float | None) -> None:
        """Solve the reference, unless it needs unknowns or fields that training is to find.

        Raises:
            ProblemError: The reference does not fit the problem, or a tolerance is set and there is nothing to compare with.
        """
        held = set(getattr(self.spec, "unknowns", None) or {})
        problem = self.solution.problem
        known = set(problem.unknowns) <= held and not lacks_equations(problem)
        settled = isinstance(self.spec, Observations) or known
        # A closed form costs nothing: a mistake in it shows now, not after the training.
        if settled or isinstance(self.spec, Exact):
            self._solve()
        if not settled:
            self.reference = None
        if tolerance is not None and self.reference is None:
            raise ProblemError(
                f"--tol {tolerance:g}",
                "there is no reference to compare with before training",
                "give reference=..., or leave it out",
            )

    def judge(self) -> None:
        """Compare the trained solution, solving the reference with the unknowns found if that had to wait."""
        if self.reference is None and self._specs:
            try:
                self._solve()
            except ProblemError as error:  # after the training, no fault of the reference may cost the solution
                self.notify(f"no reference: {error}")
        if self.reference is not None:
            self.errors = compare(self.solution, self.reference)
            self.solution.reference, self.solution.reference_spec = self.reference, self.spec

    def beside(self, seconds: float) -> Classical | None:
        """Return error and time of a classical solver, given so many seconds if it has not solved the problem already."""
        if not self._specs:
            return None
        unknowns = {s: self.solution.unknowns[s.name] for s in self.solution.problem.unknowns}
        problem = self.solution.problem
        if not isinstance(self.spec, COMPUTED):
            self.notify(f"solving the problem by a classical solver too, at most {seconds:.2g} s")
        return solve_beside(problem, self.spec, self.reference, unknowns=unknowns, seconds=seconds)

    def observers(self, tolerance: float | None, watch: Watch | None) -> list[Callable[[Progress], None]]:
        """Return the observers that end the run at a tolerance and report the error now and then."""
        if self.reference is None:
            return []
        found: list[Callable[[Progress], None]] = []
        if tolerance is not None:
            found.append(partial(self._stop_at, tolerance, self.reference))
        if watch is not None:
            found.append(_Reporter(self.solution, thinned(self.reference, _WATCHED_POINTS), watch))
        return found

    def _stop_at(self, tolerance: float, reference: Reference, progress: Progress) -> None:
        if progress.step % _TOLERANCE_EVERY == 0:
            errors = compare(self.solution, reference)
            if errors and all(e["relative_l2"] < tolerance for e in errors.values()):
                raise StopIteration(Status.TOLERANCE)

    def _solve(self) -> None:
        unknowns = {s: self.solution.unknowns[s.name] for s in self.solution.problem.unknowns}
        refusals: list[UnsupportedError] = []
        for spec in self._specs:
            if isinstance(spec, COMPUTED):
                self.notify(f"solving the reference by {_METHODS[type(spec)]}, at most {spec.seconds:g} s")
            try:
                self.reference = solve_reference(
                    self.solution.problem, spec, unknowns=unknowns, state=trained_state(self.solution)
                )
            except UnsupportedError as error:
                refusals.append(error)
                continue
            self.spec = spec
            self.notify(f"reference: {self.reference.method}")
            for contradiction in contradictions(self.solution.problem, spec) if isinstance(spec, Exact) else ():
                self.notify(f"warning: {contradiction}")
            return
        self.notify(f"no reference: {refusals[0]}")
        self._specs = ()


class _Reporter:
    """Reports the errors of the best state so far, by the held-out loss, every few seconds of training.

    Without held-out points it is the present state: the training loss tells no state from an over-fitted one.
    """

    def __init__(self, solution: Solution, reference: Reference, report: Watch) -> None:
        self.solution, self.reference, self.report = solution, reference, report
        self._next = _FIRST_REPORT
        self._trained: tuple[int, nn.Module] | None = None
        self._lowest = math.inf
        self._best: dict[str, Tensor] = {}

    def __call__(self, progress: Progress) -> None:
        trained = progress.window, self.solution.trial.network  # which another has taken the place of once it was stuck
        if trained != self._trained:
            self._trained, self._lowest, self._best = trained, math.inf, {}
        if progress.held_out is not None and progress.held_out < self._lowest:
            self._lowest = progress.held_out
            self._best = {name: tensor.clone() for name, tensor in self.solution.trial.state_dict().items()}
        if progress.seconds < self._next:
            return
        begin = time.perf_counter()
        present = {name: tensor.clone() for name, tensor in self.solution.trial.state_dict().items()}
        try:
            self.solution.trial.load_state_dict(self._best or present)
            errors = compare(self.solution, self.reference)
        finally:
            self.solution.trial.load_state_dict(present)
        pause = min(_WATCH_EVERY, max(_FIRST_REPORT, _WATCH_SHARE * progress.seconds))
        self._next = progress.seconds + max(pause, (time.perf_counter() - begin) / _WATCH_COST)
        self.report({name: e["relative_l2"] for name, e in errors.items()})

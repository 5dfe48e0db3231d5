"""Privacy of a run: how its private observations are trained on, what that spends, and the ledger that adds up runs.

The ledger is a file of whoever holds the observations, beside them; it says how often they were used, and nothing that they say.
A run is entered with all that it may spend before it begins, and corrected to what it spent when it ends: one that is killed has
spent the whole. Runs are added up whatever rows a table held at the time, which errs on the safe side.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pinnsolve.archive import write_atomically
from pinnsolve.choice import Choice
from pinnsolve.compiler.compile import CompiledProblem, CompiledTerm
from pinnsolve.compiler.trial import Trial
from pinnsolve.declaration.observations import Observations
from pinnsolve.declaration.privacy import Privacy
from pinnsolve.errors import DataError, ProblemError
from pinnsolve.problem import Problem
from pinnsolve.training.accountant import Release, noise_for, spent
from pinnsolve.training.first_order import FirstOrder
from pinnsolve.training.phase import Phase
from pinnsolve.training.private_gradients import Mechanism, PrivateGradient
from pinnsolve.training.schedule import Training

_ROWS = 1_000
"""Rows that a step takes by choice, about: the more, the less noise, and the slower."""

_ROUNDING = 1e-9


class PrivacyError(ProblemError):
    """A use of private observations that would tell more of them than was allowed."""


@dataclass(frozen=True)
class Account:
    """What a run may do with one set of private observations.

    Attributes:
        name: Of the observations.
        privacy: What was declared.
        mechanism: How rows are hidden.
        earlier: What earlier runs released, from the ledger.
        ledger: Its file, or None.
        number: Of this run in the ledger.
    """

    name: str
    privacy: Privacy
    mechanism: Mechanism
    earlier: tuple[Release, ...]
    ledger: Path | None
    number: int

    def settle(self, releases: int) -> dict[str, Any]:
        """Enter what was spent into the ledger, and return it for the record."""
        release = Release(self.mechanism.noise, self.mechanism.sample, releases)
        if self.ledger is not None:
            with _opened(self.ledger) as runs:
                runs[self.number] = release
        delta = self.privacy.delta
        return {
            "epsilon": spent([release], delta=delta),
            "delta": delta,
            "allowed": self.privacy.epsilon,
            "with_earlier_runs": spent([*self.earlier, release], delta=delta),
            "budget": self.privacy.limit,
            "ledger": None if self.ledger is None else self.ledger.name,
            "clip": self.privacy.clip,
            **asdict(release),
        }


def private_observations(problem: Problem) -> dict[str, Observations]:
    """Return the private observations of a problem."""
    return {name: o for name, o in problem.data.items() if o.privacy is not None}


def without_private(problem: Problem) -> Problem:
    """Return the problem without its private observations: all that a solution may keep of it."""
    private = private_observations(problem)
    return problem.observing({n: o for n, o in problem.data.items() if n not in private}) if private else problem


def check_private(problem: Problem, network: Any, training: Training | None, reference: Any) -> None:
    """Refuse what would look at private observations outside of the accounted steps.

    Raises:
        PrivacyError: A reference that is private, the same table public as well, second-order phases, windows, or normalization by
            batch, through which every row would act on the gradients of all.
    """
    private = private_observations(problem)
    if isinstance(reference, Observations) and reference.privacy is not None:
        found = "a comparison with private observations would tell of them"
        raise PrivacyError("reference", found, "compare with public ones, or leave the reference out")
    if not private:
        return
    tables = {o.table for o in private.values() if o.table is not None}
    public = [*(o for n, o in problem.data.items() if n not in private), reference]
    for observations in public:
        if isinstance(observations, Observations) and observations.table in tables:
            found = f"{observations.source} is private in one place and public in another"
            raise PrivacyError("privacy", found, "read it with privacy= everywhere")
    if getattr(network, "normalization", None) == "batch":
        found = "normalization by batch lets every row act on the gradients of all"
        raise PrivacyError("network", found, 'write normalization="layer" or "group"')
    training = training or Training()
    for phase in training.phases or ():
        if not isinstance(phase, FirstOrder):
            method = type(phase).__name__
            found = f"{method} would look at private observations again and again, in line searches or for curvature"
            raise PrivacyError("phases", found, "write first-order phases, such as ps.Adam(steps=1_000)")
    if any(count > 1 for count in (training.windows or {}).values()):
        raise PrivacyError("windows", "every window would spend the budget anew", "leave windows out")


def open_accounts(problem: Problem, phases: Sequence[Phase], *, steps: int | None = None) -> dict[str, Account]:
    """Choose how the private observations are hidden in a run, and enter it into their ledgers.

    Args:
        problem: The declaration.
        phases: What the run does.
        steps: Limit on the steps of all phases.

    Raises:
        PrivacyError: The budget would be exceeded.
        DataError: A ledger that cannot be read.
    """
    accounts: dict[str, Account] = {}
    try:
        for name, observations in private_observations(problem).items():
            accounts[name] = _opened_account(name, observations, _releases(phases, steps))
    except ProblemError:
        for account in accounts.values():  # nothing was released yet
            account.settle(0)
        raise
    return accounts


def public_part(compiled: CompiledProblem, accounts: Mapping[str, Account]) -> CompiledProblem:
    """Return the compiled problem without the misfits to private observations; the size of their noise reads no row."""
    terms = tuple(term for term in compiled.terms if not any(_misses(compiled, term, name) for name in accounts))
    return replace(compiled, terms=terms)


def _misses(compiled: CompiledProblem, term: CompiledTerm, name: str) -> bool:
    """Return whether a term is a misfit to the rows of some observations."""
    declared = compiled.problem.term(term.name)
    return declared.group == name and bool(declared.columns)


def private_gradients(
    compiled: CompiledProblem, accounts: Mapping[str, Account], trial: Trial, weights: Mapping[str, float]
) -> dict[str, PrivateGradient]:
    """Return for each account the gradients of the misfits to its observations, in one device's memory.

    Args:
        compiled: With the misfits.
        accounts: By the names of the observations.
        trial: Network and unknowns.
        weights: Of the terms.
    """
    problem = compiled.problem
    sources = {}
    for name, account in accounts.items():
        terms = tuple(term for term in compiled.terms if _misses(compiled, term, name))
        part = replace(compiled, terms=terms)
        columns = {term.name: problem.term(term.name).columns for term in terms}
        points = {n: torch.as_tensor(np.stack(list(c.values()), axis=1)) for n, c in columns.items()}
        sources[name] = PrivateGradient(trial, partial(part.residuals, trial), points, weights, account.mechanism)
    return sources


def account_choices(accounts: Mapping[str, Account]) -> tuple[Choice, ...]:
    """Say how the private observations are hidden."""
    made = []
    for name, account in accounts.items():
        mechanism = account.mechanism
        text = f"noise {mechanism.noise:.3g} times clip {mechanism.clip:g}, rows drawn with probability {mechanism.sample:.3g}"
        recorded = (
            f"recorded in {account.ledger.name}" if account.ledger else "recorded nowhere: name a ledger to add up runs"
        )
        reason = f"{mechanism.releases} steps spend epsilon {account.privacy.epsilon:g}; {recorded}"
        made.append(
            Choice(f"privacy of {name}", text, reason, "ps.Privacy(epsilon=..., delta=..., clip=..., sample=...)")
        )
    return tuple(made)


def _releases(phases: Sequence[Phase], limit: int | None) -> int:
    """Return how many gradients the phases may take: one for each step, each start and each draw of the points.

    Two more are never taken, so that the last step is not the one that the budget forbids.
    """
    total = 0
    for phase in phases:
        steps = phase.steps if limit is None else min(phase.steps, limit)
        total += steps + 3 + (steps // phase.resample if phase.resample else 0)
    return total


def _opened_account(name: str, observations: Observations, releases: int) -> Account:
    privacy = observations.privacy
    if privacy is None:
        raise ValueError(f"{name} is not private")
    sample = privacy.sample or min(1.0, _ROWS / observations.count)
    try:
        noise = noise_for(privacy.epsilon, delta=privacy.delta, sample=sample, steps=releases)
    except ValueError as error:
        raise PrivacyError(name, str(error), "take fewer steps, or allow a larger epsilon") from None
    mechanism = Mechanism(privacy.clip, noise, sample, releases)
    ledger = _ledger(observations, privacy)
    if ledger is None:
        return Account(name, privacy, mechanism, (), None, 0)
    with _opened(ledger) as runs:
        earlier = tuple(runs)
        total = spent([*earlier, Release(noise, sample, releases)], delta=privacy.delta)
        if total > privacy.limit * (1 + _ROUNDING):
            before = spent(earlier, delta=privacy.delta)
            found = f"{len(earlier)} earlier runs spent epsilon {before:.3g}, with this one {total:.3g} of {privacy.limit:g}"
            raise PrivacyError(name, found, "use other measurements, spend less in a run, or allow a larger budget=")
        runs.append(Release(noise, sample, releases))
    return Account(name, privacy, mechanism, earlier, ledger, len(earlier))


def _ledger(observations: Observations, privacy: Privacy) -> Path | None:
    if privacy.ledger is not None:
        return Path(privacy.ledger)
    table = observations.table
    return None if table is None else table.with_name(f"{table.name}.privacy.json")


@contextmanager
def _opened(ledger: Path) -> Iterator[list[Release]]:
    """Read the runs of a ledger, and write them back when they changed, while nobody else does."""
    lock = ledger.with_name(f"{ledger.name}.lock")
    try:
        lock.touch(exist_ok=False)
    except FileExistsError:
        found = f"{lock.name} is there: another run has the ledger open, or was killed while it had"
        raise DataError(ledger.name, found, "try again, and remove it if no run is alive") from None
    try:
        runs = _read(ledger)
        before = list(runs)
        yield runs
        if runs != before:
            content = {"schema": 1, "runs": [asdict(run) for run in runs]}
            write_atomically(ledger, (json.dumps(content, indent=1) + "\n").encode())
    finally:
        lock.unlink()


def _read(ledger: Path) -> list[Release]:
    if not ledger.exists():
        return []
    try:
        content = json.loads(ledger.read_bytes())
        if content["schema"] != 1:
            raise ValueError(f"schema {content['schema']!r}")
        runs = [Release(float(r["noise"]), float(r["sample"]), int(r["steps"])) for r in content["runs"]]
        for run in runs:
            if not (0 < run.noise < math.inf and 0 < run.sample <= 1 and run.steps >= 0):
                raise ValueError(f"{run}")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        found = f"the ledger is damaged ({error!r})"
        raise DataError(ledger.name, found, "restore it: without it nobody knows what was spent") from None
    return runs

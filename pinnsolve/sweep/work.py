"""Work: what one process of a sweep does, trial after trial, until none is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pinnsolve.errors import ProblemError
from pinnsolve.inputs import InputsError
from pinnsolve.lock import LockError
from pinnsolve.running import Signals
from pinnsolve.summary import brief, brief_seconds
from pinnsolve.sweep.results import told
from pinnsolve.sweep.runs import Recipe, Run
from pinnsolve.sweep.settings import Numerics
from pinnsolve.sweep.study import SEED, Claim, SharedStudy
from pinnsolve.training.checkpoint import StorageError

_PAUSE = 1.0
"""Seconds between two looks at what other processes are doing."""

_OUTSIDE = (LockError, InputsError, StorageError)
"""Errors that say nothing about the settings of a trial."""


@dataclass(frozen=True)
class Worker:
    """One process of a sweep.

    Args:
        study: What it shares with others.
        recipe: What all runs have in common.
        numerics: What is varied.
        signals: Asked whether to end.
        tell: Called with one line of text for every run.
        argv: The command line, for the records of runs.
    """

    study: SharedStudy
    recipe: Recipe
    numerics: Numerics
    signals: Signals
    tell: Callable[[str], object]
    argv: Sequence[str]

    def work(self) -> None:
        """Make trials until none is left, those of processes that die included, or a signal asks to end."""
        while self.signals.status() is None:
            claim = self.study.claim()
            if claim is not None:
                self._carry_out(claim)
            elif self.study.running():
                time.sleep(_PAUSE)  # one that dies leaves its trial to those who wait
            else:
                return

    def _carry_out(self, claim: Claim) -> None:
        """Make the runs of a trial."""
        settings = self.numerics.settings()
        values = {settings[name]: value for name, value in claim.values.items() if name != SEED}
        try:
            network, training = self.numerics.put(values)
            for seed in claim.seeds:
                if any(run.seed == seed for run in claim.runs):
                    continue
                place, beat = claim.folder / f"s{seed}", (claim.beat,)
                run = self.recipe.run(place, seed, network=network, training=training, observers=beat, argv=self.argv)
                if run is None:
                    claim.put_back()
                    return
                claim.add(run)
                self.tell(_line(claim, run))
        except _OUTSIDE:
            claim.put_back()
            raise
        except ProblemError as error:
            claim.fail(str(error))
            self.tell(f"trial {claim.number}: {told(claim.values)}: {error}")
            return
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "memory" not in str(error):
                claim.fail(f"{type(error).__name__}: {error}")
                raise
            claim.fail("out of memory · leave the largest settings out, or use fewer workers")
            self.tell(f"trial {claim.number}: {told(claim.values)}: out of memory")
            return
        except BaseException:  # a second signal, a full disk: whoever comes next goes on
            claim.put_back()
            raise
        claim.finish()


def _line(claim: Claim, run: Run) -> str:
    values = told({name: value for name, value in claim.values.items() if name != SEED})
    error = "" if run.error is None else f", error {brief(run.error)}"
    held_out = brief(run.held_out) if run.held_out < float("inf") else "not finite"
    found = f"held-out loss {held_out}{error} after {brief_seconds(run.seconds)}"
    return f"trial {claim.number}, seed {run.seed}{f': {values}' if values else ''}: {found}"

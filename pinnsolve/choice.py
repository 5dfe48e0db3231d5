"""A choice: one decision of a run that the user did not make, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One decision: what, its value, why, and what to write to override it."""

    what: str
    value: str
    reason: str
    override: str


def describe(choices: Sequence[Choice]) -> list[str]:
    """Return one line a choice, to be printed before a run."""
    return [f"{c.what}: {c.value} ({c.reason}; override: {c.override})" for c in choices]

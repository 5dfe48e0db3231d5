"""A finished run in a few lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def summarise(record: Mapping[str, Any]) -> str:
    """Return the contents of result.json as lines for people."""
    seconds = record["seconds"]
    lines = [
        f"problem    {record['problem']}  ({record['status']}, seed {record['seed']}, {record['device']}, "
        f"{record['dtype']}, {record['threads']} threads)",
        f"network    {record['parameters']} parameters",
        f"points     {', '.join(f'{name} {count}' for name, count in record['points'].items()) or 'as measured'}",
    ]
    for phase in record["phases"]:
        lines.append(
            f"phase      {phase['name']}: {phase['steps']} steps, {phase['evaluations']} evaluations, "
            f"{phase['seconds']:.1f} s, loss {_number(phase['loss'])}, ended: {phase['ended']}"
        )
    terms = record["loss"]["terms"]
    lines.append(
        f"loss       {_number(record['loss']['total'])} = " + ", ".join(f"{n} {_number(v)}" for n, v in terms.items())
    )
    lines.append(
        f"seconds    {record['wall_seconds']:.1f} in all: "
        + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    )
    lines.append(f"reference  {_reference(record['reference'])}")
    for name, error in record["errors"].items():
        lines.append(f"error      {name}: relative L2 {_number(error['relative_l2'])}, max {_number(error['max'])}")
    for name, value in record["unknowns"].items():
        lines.append(f"unknown    {name} = {value:.6g}")
    return "\n".join([*lines, f"outcome    {record['message']}"])


def _reference(reference: Mapping[str, Any]) -> str:
    if reference["kind"] == "none":
        return "none"
    own = reference["estimated_relative_l2"]
    error = "own error unknown" if own is None else f"own error {own:.1e}"
    return f"{reference['method']}; {error}; {reference['seconds']:.1f} s"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2e}"

"""The outcome of `pinnsolve monitor`: the stream opened, what was found printed and stored, and the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from pinnsolve.archive import finite, write_atomically
from pinnsolve.monitoring.detectors import ADWIN, Detector, PageHinkley
from pinnsolve.monitoring.streams import rows_of_text
from pinnsolve.monitoring.watch import BATCH, Finding, Monitoring, monitor
from pinnsolve.solution import Solution, load

_CHANGED = 6
"""Exit code where the last rows are not described by the solution: its accuracy is missed."""

_DETECTORS: Mapping[str, Detector] = {"page-hinkley": PageHinkley(), "adwin": ADWIN()}


def monitor_run(
    run: Path,
    stream: str,
    *,
    policy: str,
    detector: str,
    reference: int,
    recent: int,
    max_time: float,
    out: Path | None,
    as_json: bool,
) -> int:
    """Watch the solution of a run on a stream and return the exit code; the options are those of the command line."""
    solution = load(run)
    folder = out or run / "monitor"
    stored: list[str] = []

    def store(adapted: Solution) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        stored.append(str(adapted.save(folder / f"adapted-{len(stored) + 1}")))

    rows: Path | Iterable[Mapping[str, Any]] = Path(stream)
    if stream == "-":
        rows = rows_of_text(sys.stdin, "standard input")
    found = monitor(
        solution,
        rows,
        detector=_DETECTORS[detector],
        policy=policy,
        reference=reference,
        recent=recent,
        seconds=max_time,
        batch=1 if stream == "-" else BATCH,  # whoever types or pipes row by row is answered row by row
        tell=lambda line: click.echo(line, err=True),
        adapted=store,
    )
    record = _record(found, stored)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(finite(record), indent=1, allow_nan=False) + "\n"
    write_atomically(folder / "monitor.json", text.encode())
    click.echo(text if as_json else _text(found, stored), nl=not as_json)
    return 0 if found.sound else _CHANGED


def _record(found: Monitoring, stored: list[str]) -> dict[str, Any]:
    return {
        "schema": 1,
        "sound": found.sound,
        "rows": found.rows,
        "unusable": list(found.unusable),
        "usual_misfit": dict(found.usual),
        "findings": [asdict(finding) | {"resolved": finding.resolved} for finding in found.findings],
        "solutions": stored,
    }


def _text(found: Monitoring, stored: list[str]) -> str:
    lines = [f"rows       {found.rows}, of which {len(found.unusable)} could not be used"]
    usual = ", ".join(f"{name} {level:.2e}" for name, level in found.usual.items())
    lines.append(f"misfit     {usual or 'too few rows to say what is usual'} (root mean square)")
    lines += [f"change     {line}" for finding in found.findings for line in _finding_lines(finding)]
    lines += [f"adapted    {folder}" for folder in stored]
    if not found.findings:
        return "\n".join([*lines, "outcome    no change was found"])
    said = "the last change was adapted to" if found.sound else "the solution does not describe the last rows"
    return "\n".join([*lines, f"outcome    {said}"])


def _finding_lines(finding: Finding) -> list[str]:
    lines = [f"{finding.watched}: noticed at row {finding.row}, since about row {finding.since}; {finding.action}"]
    for name, usual in finding.before.items():
        levels = [f"{usual:.2e} before"]
        levels += [f"{finding.after[name]:.2e} after"] if finding.after else []
        levels += [f"{finding.adapted[name]:.2e} once adapted"] if finding.adapted else []
        lines.append(f"  misfit of {name}: {', '.join(levels)}")
    found = ", ".join(f"{name} = {value:.6g}" for name, value in finding.unknowns.items())
    return [*lines, f"  found {found} in {finding.seconds:.1f} s"] if found else lines

"""Listings: runs side by side, all below a folder or two in detail."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from pinnsolve.archive import ArchiveError
from pinnsolve.run_directory import read_result
from pinnsolve.summary import brief, brief_seconds, suffix

_LONGEST = 60
"""Letters of an entry in a table."""

_FIRST = (
    *("problem", "status", "errors.*.relative_l2", "errors.*.max", "unknowns.*", "quantities.*.value"),
    *("seconds.train", "loss.total"),
)
"""Patterns of the names that are printed first, whether they differ or not."""

_SETTINGS = (
    *("seed", "device", "dtype", "threads", "parameters", "points.*", "phases.*.steps", "phases.*.ended"),
    *("choices.*.value", "loss.weights.*", "reference.kind"),
)
"""Patterns of the names that are printed where they differ."""

_MOST = 1_000
"""Entries of a record that are compared."""

_DAMAGED = (LookupError, TypeError, ValueError, AttributeError)


def list_runs(folder: Path, *, as_json: bool) -> None:
    """Print a line for every finished run below a folder, the newest last, with its error, times and status.

    Args:
        folder: Usually `runs`.
        as_json: Print JSON in place of a table.
    """
    found = []
    for path in sorted(folder.rglob("result.json"), key=lambda p: p.stat().st_mtime):
        try:
            found.append({"run": str(path.parent), **_row(read_result(path.parent))})
        except (ArchiveError, *_DAMAGED) as error:
            click.echo(f"{path.parent}: result.json is damaged ({str(error)[:_LONGEST]})", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    elif not found:
        click.echo(f"no finished runs below {folder}", err=True)
    else:
        rows = [[_short(value) for value in row.values()] for row in found]
        click.echo(table([list(found[0]), *rows]))


def compare_runs(first: Path, second: Path, *, as_json: bool, everything: bool = False) -> None:
    """Print two runs side by side: their errors and times, and the settings in which they differ.

    Args:
        first: A run directory.
        second: Another.
        as_json: Print JSON, of all entries that differ, in place of a table.
        everything: Print a table of these.

    Raises:
        ArchiveError: One of the two is no finished run.
    """
    records = [_flat(read_result(path)) for path in (first, second)]
    names = list(dict.fromkeys(name for record in records for name in record))
    rows: list[list[Any]] = []
    for name in sorted(names, key=_rank)[:_MOST]:
        pair = [record.get(name) for record in records]
        if pair[0] != pair[1] or _rank(name) < len(_FIRST):
            rows.append([name, *pair])
    if as_json:
        click.echo(json.dumps({name: pair for name, *pair in rows}, indent=1))
        return
    shown = rows if everything else [row for row in rows if _rank(row[0]) < len(_FIRST) + len(_SETTINGS)]
    heading = ["", _tail(first), _tail(second), "ratio"]
    click.echo(table([heading, *([name, *map(_short, pair), _ratio(*pair)] for name, *pair in shown)]))
    if len(shown) < len(rows):
        click.echo(f"{len(rows) - len(shown)} more entries of result.json differ: --all", err=True)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells, the heading first, with every column as wide as its widest cell."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join("  ".join(f"{v:<{w}}" for v, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    errors = [e["relative_l2"] for e in record["errors"].values()]
    worst = None if not errors or None in errors else float(max(errors))
    return {
        "problem": str(record["problem"]),
        "status": str(record["status"]),
        "seed": int(record["seed"]),
        "parameters": int(record["parameters"]),
        "error": "unknown" if worst is None else brief(worst),
        "train": brief_seconds(float(record["seconds"]["train"])),
        "unknowns": ", ".join(
            f"{name} = {float(value):.5g}{suffix(record, name)}" for name, value in record["unknowns"].items()
        ),
    }


def _rank(name: str) -> int:
    """Return the place of an entry: the outcome comes first, settings follow."""
    patterns = (*_FIRST, *_SETTINGS)
    return next((k for k, pattern in enumerate(patterns) if fnmatchcase(name, pattern)), len(patterns))


def _flat(data: Any, name: str = "") -> dict[str, Any]:
    """Return nested JSON data as one mapping of dotted names to plain values."""
    if isinstance(data, dict):
        pairs: Iterable[tuple[Any, Any]] = data.items()
    elif isinstance(data, list):
        pairs = ((_named(entry, k), entry) for k, entry in enumerate(data))
    else:
        return {name: data}
    return {key: value for k, v in pairs for key, value in _flat(v, f"{name}.{k}" if name else str(k)).items()}


def _named(entry: Any, number: int) -> str:
    """Return what an entry of a list is called: a phase or a choice by its own name."""
    own = entry.get("name", entry.get("what")) if isinstance(entry, dict) else None
    return str(number) if own is None else str(own)


def _ratio(first: Any, second: Any) -> str:
    numbers = isinstance(first, int | float) and isinstance(second, int | float) and not isinstance(first, bool)
    return f"{second / first:.3g}" if numbers and first and second else ""


def _short(value: Any) -> str:
    text = "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)
    text = "".join(
        c if c.isprintable() else "�" for c in text
    )  # a record may come from a stranger, a terminal obeys codes
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _tail(path: Path) -> str:
    return "/".join(path.resolve().parts[-2:])

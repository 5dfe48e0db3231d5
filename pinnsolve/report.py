"""The report: a finished run as one self-contained page, readable offline, without scripts.

Nothing of a run directory is trusted: every text is escaped, formulas are built from known elements (see `typesetting`), pictures
are embedded only if they are PNG files of a bounded size, and a policy inside the page forbids every request.
"""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateError
from markupsafe import Markup, escape

from pinnsolve.archive import ArchiveError, finite, load_problem, write_atomically
from pinnsolve.comparison import verdict
from pinnsolve.declaration.ansatz import with_networks
from pinnsolve.declaration.extents import place
from pinnsolve.declaration.terms import Term
from pinnsolve.domains.regions import Box
from pinnsolve.problem import Problem
from pinnsolve.run_directory import read_result
from pinnsolve.summary import brief_seconds, parts_of_loss, place_text
from pinnsolve.typesetting import coordinates_mathml, expression_mathml, statement_mathml

NAME = "report.html"

_PICTURES = {
    "fields": "The solution, and what it was compared with",
    "error": "Where the solution differs from the reference",
    "residual": "Where the equations are not met",
    "loss": "The training: loss, held-out loss and the mean square of every term",
}
_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST_PICTURE, _LARGEST_TEXT = 8_000_000, 200_000
"""Bytes of a picture, and of a text file, that is embedded."""

_MOST_ROWS, _LONGEST, _LONGEST_PLACE = 200, 2_000, 160
"""Rows of a table, letters of a text, and letters of the place of a term, that are shown."""

_DAMAGED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, TemplateError)
"""What a record of the wrong form may raise."""


def write_report(path: Path, *, record: Mapping[str, Any] | None = None, problem: Problem | None = None) -> Path:
    """Write `report.html` into a run directory.

    Args:
        path: The run directory.
        record: The contents of its `result.json`; read from there when left out.
        problem: What was solved; read from the stored solution when left out.

    Returns:
        The file written.

    Raises:
        ArchiveError: The directory is not that of a finished run, or it is damaged.
    """
    record = read_result(path) if record is None else record
    problem = load_problem(path) if problem is None else problem
    page = build_report(
        record, problem, circumstances=_circumstances(path), pictures=_pictures(path), source=_source(path)
    )
    write_atomically(path / NAME, page.encode())
    return path / NAME


def build_report(
    record: Mapping[str, Any],
    problem: Problem,
    *,
    circumstances: Mapping[str, Any] | None = None,
    pictures: Mapping[str, bytes] | None = None,
    source: str = "",
) -> str:
    """Return the page.

    Args:
        record: The outcome, in the form of `result.json`.
        problem: What was solved.
        circumstances: How it was made, in the form of `run.json`.
        pictures: PNG files by name.
        source: The problem file.

    Raises:
        ArchiveError: The record has another form.
    """
    try:
        return _template().render(
            record=record,
            domain=_domain(problem),
            terms=_terms(problem, record),
            errors=_errors(record),
            beside=_beside(record),
            embedded=_embedded(pictures or {}),
            circumstances=dict(circumstances or {}),
            command=_command(circumstances or {}),
            source=source,
        )
    except _DAMAGED as error:
        raise ArchiveError("report", f"result.json is damaged: {error!r}", "run the problem again") from None


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "seconds": _seconds,
        "exactly": _exactly,
        "short": _short,
        "at": place_text,
        "few": _few,
    }
    return environment.get_template(NAME)


def _domain(problem: Problem) -> dict[str, Any]:
    """Return coordinates, fields, ansatz and unknowns as formulas."""
    symbols = {field: expression_mathml(field.func(*field.args), problem) for field in problem.declared_fields}
    return {
        "coordinates": _formula(coordinates_mathml(problem.coordinates, problem)),
        "text": "" if isinstance(problem.domain, Box) else problem.domain.text,
        "fields": [_formula(text) for text in symbols.values()],
        "unknowns": [
            (_formula(expression_mathml(s, problem)), value, problem.units.suffix(s.name))
            for s, value in problem.unknowns.items()
        ],
        "units": problem.units.texts,
        "ansatz": [
            (_formula(expression_mathml(field, problem)), _formula(expression_mathml(expression, problem)))
            for field, expression in with_networks(problem.ansatz).items()
        ],
        "periods": [_formula(expression_mathml(c, problem)) for c in problem.periods],
    }


def _terms(problem: Problem, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every term with its formula, where it holds, its points, its residual and its share of the loss."""
    losses = {name: value for name, value in parts_of_loss(record).items() if value is not None}
    return [
        {
            "name": term.name,
            "kind": term.kind,
            "formula": _formula(statement_mathml(term, problem)),
            "place": _place(term, problem),
            "points": record["points"].get(term.name),
            "exact": term.name in problem.exact,
            "residual": record.get("residuals", {}).get(term.name),
            "loss": losses.get(term.name),
        }
        for term in problem.terms
    ]


def _place(term: Term, problem: Problem) -> str:
    """Return where a term holds, cut where it is one of very many coordinates."""
    if term.kind == "data" and not term.columns:
        return "where it was measured"  # observations are not stored
    text = place(term, problem).replace("<=", "≤").replace("-", "−")
    return text if len(text) <= _LONGEST_PLACE else f"{text[:_LONGEST_PLACE]} …"


def _errors(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    own = record["reference"].get("estimated_relative_l2")
    known = math.nan if own is None else float(own)
    return [
        {
            "field": name,
            **error,
            "verdict": verdict(math.nan if error["relative_l2"] is None else float(error["relative_l2"]), known),
        }
        for name, error in record["errors"].items()
    ]


def _beside(record: Mapping[str, Any]) -> str:
    """Return how network and classical solver compare, in a sentence; empty where one of the two is not known."""
    classical = record.get("classical")
    errors = [e["relative_l2"] for e in record["errors"].values() if e["relative_l2"]]
    if not classical or not classical["error"] or not errors:
        return ""
    faster, better = record["seconds"]["train"] / classical["seconds"], max(errors) / classical["error"]
    time = f"{_ratio(faster)} faster" if faster >= 1 else f"{_ratio(1 / faster)} slower"
    error = f"{_ratio(better)} more accurate" if better >= 1 else f"{_ratio(1 / better)} less accurate"
    return f"The classical solver was {time} than the training and its solution {error}."


def _formula(text: str) -> Markup:
    return Markup(text)  # noqa: S704 (`typesetting` writes known elements only, and escapes all text)


def _ratio(value: float) -> str:
    return f"{value:.1f} times" if value < 10 else f"{float(f'{value:.2g}'):,.0f} times"


def _embedded(pictures: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    return {
        name: {"title": title, "data": base64.b64encode(pictures[name]).decode()}
        for name, title in _PICTURES.items()
        if name in pictures
    }


def _command(circumstances: Mapping[str, Any]) -> str:
    words = circumstances.get("argv")
    if not isinstance(words, list) or not words:
        return ""
    return shlex.join(["pinnsolve", *(str(word) for word in words[1:])])


def _pictures(path: Path) -> dict[str, bytes]:
    """Return the pictures of a run directory: PNG files that are not links."""
    found = {}
    for name in _PICTURES:
        content = _read(path / "plots" / f"{name}.png", _LARGEST_PICTURE)
        if content is not None and content.startswith(_PNG):
            found[name] = content
    return found


def _source(path: Path) -> str:
    content = _read(path / "problem.py", _LARGEST_TEXT)
    return "" if content is None else content.decode(errors="replace")


def _circumstances(path: Path) -> dict[str, Any]:
    content = _read(path / "run.json", _LARGEST_TEXT)
    try:
        made = {} if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return dict(finite(made)) if isinstance(made, dict) else {}


def _read(path: Path, largest: int) -> bytes | None:
    """Return a file, None if it is missing, too large, or leads out of the directory."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > largest:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _number(value: Any) -> Markup:
    """Return a number with two or three digits, if need be times a power of ten."""
    if value is None or not math.isfinite(float(value)):
        return Markup("not finite")
    value = float(value)
    if value == 0 or 1e-2 <= abs(value) < 1e4:
        return escape(f"{value:.3g}".replace("-", "−"))
    mantissa, exponent = f"{value:.1e}".replace("-", "−").split("e")
    power = int(exponent.replace("−", "-"))
    return Markup("{}&#8239;×&#8239;10<sup>{}</sup>").format(mantissa, str(power).replace("-", "−"))


def _exactly(value: Any) -> str:
    return "not finite" if value is None else f"{float(value):.6g}".replace("-", "−")


def _seconds(value: Any) -> str:
    return "unknown" if value is None else brief_seconds(float(value))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _few(rows: Sequence[Any] | Mapping[str, Any]) -> list[Any]:
    """Return the rows of a table that are shown, those of a mapping as pairs."""
    found: Iterable[Any] = rows.items() if isinstance(rows, Mapping) else rows
    return list(islice(found, _MOST_ROWS))

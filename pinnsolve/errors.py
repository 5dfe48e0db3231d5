"""The errors a user can cause, each with the exit code of the command line.

Every message has the same three parts, on one line: which term, what was found there, what to write instead.
"""

from __future__ import annotations

_LONGEST = 400
"""Characters of what was found; the middle of a longer text is left out."""


class ProblemError(ValueError):
    """A declaration that cannot mean what was written.

    Args:
        term: Where it is: the name of the equation, condition or argument.
        found: What was found there, with its values.
        remedy: What to write instead.
    """

    exit_code = 3

    def __init__(self, term: str, found: str, remedy: str) -> None:
        term, found = _line(term), _line(found)
        super().__init__(f"{term} · {found} · {remedy}")
        self.term = term
        self.found = found
        self.remedy = remedy


def _line(text: str) -> str:
    """Put a text that may quote an expression or a stranger's file on one line, as much of it as is read."""
    line = " ".join(text.splitlines())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 4 :]}"


class UnsupportedError(ProblemError):
    """Mathematics that is valid but not implemented: names the function or operator and the nearest thing that works."""


class DataError(ProblemError):
    """Observations or tables that cannot be used: names the row and the column."""

    exit_code = 4


class MeshError(ProblemError):
    """A mesh that cannot be used: says what is wrong with how many of its points or cells, and with which."""

    exit_code = 4

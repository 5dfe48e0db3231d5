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

    Example:
        >>> try:
        ...     ps.Problem(domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -k * q)}, conditions=Eq(q(0), 1))
        ... except ps.ProblemError as error:
        ...     print(error)
        decay · the symbol k is not declared · add it to the domain or to unknowns={...}, or give it a value
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
    """Mathematics that is valid but not implemented: names the function or operator and the nearest thing that works.

    Example:
        >>> try:
        ...     ps.Problem(domain=ps.Interval(t, 0, 1), equations=Eq(q.diff(t), -q(q)), conditions=Eq(q(0), 1))
        ... except ps.UnsupportedError as error:
        ...     print(error)
        q(q(t)) · a field inside the argument of a field · evaluate fields at coordinates or numbers
    """


class DataError(ProblemError):
    """Observations or tables that cannot be used: names the row and the column.

    Example:
        >>> try:
        ...     ps.Observations(at={t: [0.0, 1.0]}, values={q: [1.0, float("nan")]})
        ... except ps.DataError as error:
        ...     print(error)
        observations · values[q(t)] is nan in row 2 (1 such rows) · remove these rows before reading
    """

    exit_code = 4


class MeshError(ProblemError):
    """A mesh that cannot be used: says what is wrong with how many of its points or cells, and with which.

    Example:
        >>> try:
        ...     ps.Mesh(np.array([[0, 0], [1, 0], [2, 0]]), {"triangle": np.array([[0, 1, 2]])}, (x, y))
        ... except ps.MeshError as error:
        ...     print(error)
        mesh · 1 of 1 triangles (number 1) has no area · remove degenerate cells in the mesher
    """

    exit_code = 4

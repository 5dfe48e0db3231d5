"""Figures of a solution: fields, error, residual, loss. They are returned, never shown, and pyplot is not involved.

What a figure shows follows from the coordinates of a field: a curve over one; over two a map, and if one of them is time or a
parameter, curves at several of its values too; over more, planes at several instants or through one point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from pinnsolve.drawing.errors import error_figure
from pinnsolve.drawing.fields import fields_figure
from pinnsolve.drawing.losses import loss_figure, read_history
from pinnsolve.drawing.residuals import residual_figure
from pinnsolve.errors import ProblemError
from pinnsolve.solution import Solution
from pinnsolve.training.loop import Progress

__all__ = ["draw", "error_figure", "fields_figure", "loss_figure", "read_history", "residual_figure", "write_plots"]

DOTS_PER_INCH = 150

_FIGURES: Mapping[str, Callable[[Solution], Figure | None]] = {
    "fields": fields_figure,
    "error": error_figure,
    "residual": residual_figure,
    "loss": lambda solution: loss_figure(solution.history),
}


def draw(solution: Solution, what: str) -> Figure:
    """Draw one figure of a solution; see `Solution.plot`."""
    if what not in _FIGURES:
        raise ProblemError(f"plot({what!r})", "no such figure", f"choose among {', '.join(_FIGURES)}")
    figure = _FIGURES[what](solution)
    if figure is None:
        missing = {"error": "no reference to compare with", "loss": "no history of a training"}
        raise ProblemError(f"plot({what!r})", missing.get(what, "no equation in the interior"), "draw another")
    return figure


def write_plots(solution: Solution, folder: Path, *, history: Sequence[Progress] | None = None) -> list[Path]:
    """Write `fields.png`, `error.png`, `residual.png` and `loss.png`, those that apply.

    Args:
        solution: What was trained.
        folder: Created if need be.
        history: Of the training, for a solution that was loaded (see `read_history`); its own when left out.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "fields": fields_figure(solution),
        "error": error_figure(solution),
        "residual": residual_figure(solution),
        "loss": loss_figure(solution.history if history is None else history),
    }
    written = []
    for name, figure in figures.items():
        if figure is not None:
            written.append(folder / f"{name}.png")
            figure.savefig(written[-1], dpi=DOTS_PER_INCH, metadata={"Software": None})
    return written

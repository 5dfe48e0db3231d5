"""The display in a notebook: one output however many steps, with the outcome in the end, and none where somebody else is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from pinnsolve.notebook_display import NotebookDisplay, in_notebook
from pinnsolve.training.progress import Progress

SOLVED = """
from sympy import Eq, symbols
import pinnsolve as ps

t = symbols("t")
q = ps.fields("q<b>", t)
problem = ps.Problem(
    domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
)
training = ps.Training(points={"decay": 16}, phases=[ps.Adam(steps=400), ps.LBFGS(steps=5)])
solution = ps.solve(problem, ps.MLP(width=4, depth=1), training, compile="off")
"""
QUIET = """
told = []
ps.solve(problem, ps.MLP(width=4, depth=1), training, compile="off", notify=told.append).status
"""


@pytest.mark.thorough
def test_a_run_has_one_output_which_ends_as_its_outcome(tmp_path: Path) -> None:
    sources = ("import warnings; warnings.simplefilter('ignore')", SOLVED, "solution.message", QUIET)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    _, solved, message, quiet = (cell["outputs"] for cell in notebook.cells)
    (shown,) = solved
    assert shown["output_type"] == "display_data"
    assert repr(shown["data"]["text/plain"]) == message[0]["data"]["text/plain"]
    page = shown["data"]["text/html"]
    assert "choices and events" in page and "exact conditions: start" in page and "<b>" not in page
    assert [output["data"]["text/plain"] for output in quiet] == ["'done'"]


class Handle:
    """What IPython gives to update an output by."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def update(self, contents: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.pages.append(contents["text/html"])


def test_it_is_updated_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    handle, first = Handle(), []

    def display(contents: dict[str, Any], **options: Any) -> Handle:
        first.append(contents)
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    ticks = iter([0.0, 0.1, 0.6, 0.7, 1.2])
    monkeypatch.setattr("pinnsolve.notebook_display.time.monotonic", lambda: next(ticks))
    shown = NotebookDisplay(limit=100.0)
    shown.note("network: MLP <script>")
    for step in range(1, 5):
        shown.watch({"u": 1e-3})
        shown.observe(Progress("adam", step, 10, 0.5, {"a<b": 0.25}, None, 1.0, step, 2.0, 1e-3))
    shown.end("done")
    assert len(first) == 1 and len(handle.pages) == 4
    assert "value='2' max='10'" in handle.pages[1] and "error u 1.0e-03" in handle.pages[1]
    assert "a&lt;b 2.5e-01" in handle.pages[1] and "MLP &lt;script&gt;" in handle.pages[1]
    assert "<progress" not in handle.pages[3] and ">done<" in handle.pages[3]


def test_here_is_no_notebook() -> None:
    assert not in_notebook()

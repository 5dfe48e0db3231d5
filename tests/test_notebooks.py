"""Notebooks run from top to bottom; each ends by printing its error against the truth and asserting it in its last cell."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))


@pytest.mark.thorough
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs_to_its_end(notebook: Path, capsys: pytest.CaptureFixture[str]):
    last = notebook.read_text(encoding="utf-8").split("# %%\n")[-1]
    assert "assert error <" in last and "markdown" not in last
    before = plt.get_fignums()
    runpy.run_path(str(notebook))
    for number in set(plt.get_fignums()) - set(before):
        plt.figure(number).canvas.draw()
        plt.close(number)
    assert "error" in capsys.readouterr().out

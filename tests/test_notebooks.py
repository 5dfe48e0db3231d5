"""Notebooks run from top to bottom; each ends by asserting its error against the truth."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.py"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs_to_its_end(notebook: Path, capsys: pytest.CaptureFixture[str]):
    assert "assert error <" in notebook.read_text(encoding="utf-8")
    runpy.run_path(str(notebook))
    assert "relative L2 error" in capsys.readouterr().out

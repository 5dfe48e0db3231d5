"""Templates: each declares, is checked, trains for a few steps, and gives an error against its reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pinnsolve as ps
from pinnsolve.cli import _TEMPLATES, main
from pinnsolve.fitting import Limits
from pinnsolve.problem_file import load_problem_file

FOLDER = Path(ps.__file__).with_name("templates")


def test_the_templates_offered_are_those_that_exist() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == set(_TEMPLATES)


@pytest.mark.parametrize("template", _TEMPLATES)
def test_a_new_file_is_a_copy_that_checks(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my file", "--template", template]) == 0
    assert "next: pinnsolve check" in capsys.readouterr().out
    text = (FOLDER / f"{template}.py").read_text(encoding="utf-8")
    assert (tmp_path / "my file.py").read_text(encoding="utf-8") == text.replace("mesh.msh", "my file.msh")
    meshes = [tmp_path / "my file.msh"] if template == "mesh" else []
    assert list(tmp_path.glob("*.msh")) == meshes
    assert all(path.read_bytes() == (FOLDER / "mesh.msh").read_bytes() for path in meshes)
    assert main(["check", "my file.py"]) == 0
    output = capsys.readouterr()
    assert output.err == "" and output.out.startswith("problem      my file\n")
    assert main(["new", "my file.py", "--template", template]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_mesh_that_lies_there_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part.msh").write_text("mine")
    assert main(["new", "part", "--template", "mesh"]) == 2
    assert (tmp_path / "part.msh").read_text() == "mine" and not (tmp_path / "part.py").exists()


@pytest.mark.parametrize("template", _TEMPLATES)
def test_a_template_can_be_solved_and_compared(template: str) -> None:
    file = load_problem_file(FOLDER / f"{template}.py")
    training = replace(file.training or ps.Training(), points=None)
    solution = ps.solve(
        file.problem,
        ps.MLP(width=8, depth=1),
        training,
        file.reference,
        quick=True,
        limits=Limits(steps=3),
        device="cpu",
    )
    kind = "finite_element" if template == "mesh" else "finite_difference"
    assert solution.status == "done" and solution.record["reference"]["kind"] == kind
    assert solution.record["reference"]["estimated_relative_l2"] < 1e-3
    assert all(np.isfinite(error["relative_l2"]) for error in solution.errors.values()) and solution.errors


@pytest.mark.parametrize("template", _TEMPLATES)
def test_a_template_explains_its_four_parts(template: str) -> None:
    text = (FOLDER / f"{template}.py").read_text(encoding="utf-8")
    for number in "1234":
        assert f"\n# {number}. " in text
    assert "pinnsolve check" in text and "pinnsolve run" in text

"""Mutations: ten small wrongs in the package, each of which the tests named beside it must notice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutation:
    """A wrong: the file, the text that is right, what it becomes, and the test file that must fail."""

    file: str
    right: str
    wrong: str
    noticed_by: str


MUTATIONS = {
    "a curl with a flipped sign": Mutation(
        "operators.py",
        "return _derivative(v, x) - _derivative(u, y)",
        "return _derivative(v, x) + _derivative(u, y)",
        "test_operators.py",
    ),
    "normals that point inwards": Mutation("domains/regions.py", "2 * side - 1", "1 - 2 * side", "test_regions.py"),
    "a pinned argument that is dropped": Mutation(
        "declaration/terms.py",
        "tuple(entry.xreplace(place) for entry in inner.location)",
        "tuple(entry for entry in inner.location)",
        "test_terms.py",
    ),
    "an equation without its right-hand side": Mutation(
        "declaration/terms.py", "entry = entry.lhs - entry.rhs", "entry = entry.lhs", "test_terms.py"
    ),
    "a sum whose coefficients have the other sign": Mutation(
        "compiler/functions.py",
        "torch.add(total, term, alpha=factor)",
        "torch.add(total, term, alpha=-factor)",
        "test_zero_residual.py",
    ),
    "quadrature with nodes and weights swapped": Mutation(
        "compiler/quadrature.py", "places, weights = np", "weights, places = np", "test_lowering.py"
    ),
    "tanh with the slope 1 + y^2": Mutation(
        "jets/elementary.py",
        "Riccati(_tanh, 1.0, 0.0, -1.0)",
        "Riccati(_tanh, 1.0, 0.0, 1.0)",
        "test_jets.py",
    ),
    "self-scaling by the reciprocal": Mutation(
        "training/inverse_hessian.py",
        "phi = (1 - theta) / sigma",
        "phi = (1 + theta) / sigma",
        "test_inverse_hessian.py",
    ),
    "a stencil with the offset of the wrong node": Mutation(
        "reference/finite_differences.py",
        "lower - before * last[m]",
        "lower + before * last[m]",
        "test_reference_finite_differences.py",
    ),
    "an error relative to nothing": Mutation(
        "comparison.py", "error / size if size > 0 else error", "error", "test_comparison.py"
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_suite_notices(name: str, tmp_path: Path):
    mutation = MUTATIONS[name]
    copy = tmp_path / "pinnsolve"
    shutil.copytree(ROOT / "pinnsolve", copy, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / mutation.file
    text = file.read_text(encoding="utf-8")
    assert text.count(mutation.right) == 1, f"{mutation.file} no longer has this text exactly once"
    file.write_text(text.replace(mutation.right, mutation.wrong), encoding="utf-8")
    assert not _passes(mutation.noticed_by, tmp_path)


def _passes(tests: str, package_parent: Path) -> bool:
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(ROOT / "tests" / tests)],
        env={**os.environ, "PYTHONPATH": str(package_parent), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=package_parent,
        capture_output=True,
        check=False,
    )
    assert finished.returncode in (0, 1), finished.stdout.decode()[-2000:]
    return finished.returncode == 0

"""The layers: three bans on imports, and a package that is imported without torch or SymPy."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "pinnsolve"

BANS = {
    "the training stack knows no SymPy": (("jets", "networks", "training"), {"sympy"}),
    "declarations and references know no torch": (
        ("problem", "operators", "domains", "declaration", "reference", "manufactured_solutions", "smooth_solutions"),
        {"torch"},
    ),
    "the referee shares no code with the player": (
        ("reference",),
        {f"pinnsolve.{name}" for name in ("compiler", "jets", "networks", "training")},
    ),
}


def modules(name: str) -> list[Path]:
    """The files of a module or of a package of this name."""
    single = PACKAGE / f"{name}.py"
    found = [single] if single.exists() else sorted((PACKAGE / name).rglob("*.py"))
    assert found, f"there is no {name}"
    return found


@cache
def imported(path: Path) -> frozenset[str]:
    """Every module a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            assert node.module is not None
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def reached(path: Path) -> set[str]:
    """Every module that importing a file brings in, through the files of the package."""
    seen: set[Path] = set()
    names: set[str] = set()
    pending = [path]
    while pending:
        file = pending.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in imported(file):
            names.add(name)
            inside = PACKAGE.parent.joinpath(*name.split("."))
            pending += [p for p in (inside.with_suffix(".py"), inside / "__init__.py") if p.exists()]
    return names


def breaks(name: str, banned: set[str]) -> bool:
    return any(name == ban or name.startswith(f"{ban}.") for ban in banned)


@pytest.mark.parametrize("ban", BANS)
def test_imports_point_downwards(ban: str):
    packages, banned = BANS[ban]
    for package in packages:
        for path in modules(package):
            found = sorted(name for name in reached(path) if breaks(name, banned))
            assert not found, f"{path.relative_to(PACKAGE)} reaches {', '.join(found)}: {ban}"


def test_the_ban_would_be_noticed():
    assert "torch" in reached(PACKAGE / "compiler" / "compile.py")
    assert "sympy" in reached(PACKAGE / "problem.py")
    assert "pinnsolve.domains.regions" in reached(PACKAGE / "problem.py")


def test_meshes_are_read_in_one_place_only():
    importers = [path for path in PACKAGE.rglob("*.py") if any(breaks(n, {"meshio"}) for n in imported(path))]
    assert {path.name for path in importers} == {"mesh_files.py"}


@pytest.mark.parametrize("statement", ["import pinnsolve", "import pinnsolve; pinnsolve.__version__; dir(pinnsolve)"])
def test_importing_the_package_imports_neither_torch_nor_sympy(statement: str):
    program = (
        f"import sys; {statement}; print([m for m in ('torch', 'sympy', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout.strip() == "[]"


def test_declaring_a_problem_does_not_import_torch():
    program = "import sys, pinnsolve.problem, pinnsolve.operators; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_is_short_says_what_it_holds_and_runs_no_text(path: Path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert ast.get_docstring(tree)
    assert len(source.splitlines()) <= 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            assert node.end_lineno is not None
            assert not body or node.end_lineno - body[0].lineno < 60, f"{node.name} is long"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec", "compile", "__import__"}, node.lineno
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "marshal", "shelve", "dill"}, node.lineno

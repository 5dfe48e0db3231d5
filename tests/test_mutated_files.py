"""A campaign of mutated files: every kind that pinnsolve opens is refused in a sentence, or means what it says; nothing hangs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_trials import limited
from sympy import symbols

import pinnsolve as ps
from pinnsolve.archive import ArchiveError
from pinnsolve.cli import main
from pinnsolve.declaration.observations import read_table
from pinnsolve.errors import DataError, MeshError, ProblemError
from pinnsolve.monitoring.streams import rows_of_table

HERE = Path(__file__).parent
MESHES = sorted(p for p in (HERE / "meshes").iterdir() if p.suffix != ".py")
SECONDS = 10
x, y, z, t = symbols("x y z t")
q = ps.fields("q", t)

DECLARED = '''"""Heat in a bar."""
import numpy as np
from sympy import Eq, exp, pi, sin, symbols

import pinnsolve as ps

x, t, nu = symbols("x t nu")
u = ps.fields("u", x, t)
times = np.linspace(0.1, 0.9, 5)
problem = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 0.5)}),
    equations={"heat": Eq(u.diff(t), nu * u.diff(x, 2))},
    conditions={"start": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u.diff(x).subs(x, 1), -pi)},
    unknowns={nu: 0.3},
    data={"gauge": ps.Observations(at={x: 0.5, t: times / 2}, values={u: np.exp(-times)})},
)
network = ps.MLP(width=12, depth=2, activation="tanh")
training = ps.Training(points={"heat": 64}, phases=[ps.Adam(steps=5, lr=1e-2), ps.SSBroyden(steps=20)])
reference = ps.FiniteDifferences(cells={x: 32}, unknowns={nu: 0.3})
'''


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """Damage a file as disks, editors and strangers do."""
    damaged, size = bytearray(content), max(1, len(content))
    first, second = sorted(int(k) for k in generator.integers(0, size, 2))
    kind = int(generator.integers(8))
    if kind == 0:  # flipped bits
        for place in generator.integers(0, size, int(generator.integers(1, 5))):
            damaged[place] ^= 1 << int(generator.integers(8))
    elif kind == 1:
        del damaged[first:]
    elif kind == 2:
        del damaged[first : first + int(generator.integers(1, 40))]
    elif kind == 3:
        damaged[first:first] = generator.bytes(int(generator.integers(1, 20)))
    elif kind == 4:  # a part twice
        damaged[first:first] = damaged[first : min(second, first + 200)]
    elif kind == 5:  # zeros, as after a power failure
        damaged[first : first + 64] = bytes(len(damaged[first : first + 64]))
    elif kind == 6:  # another digit
        digits = [place for place, byte in enumerate(damaged) if chr(byte).isdigit()]
        for place in generator.choice(digits, min(3, len(digits)), replace=False) if digits else []:
            damaged[place] = ord("0") + int(generator.integers(10))
    else:  # something that stands elsewhere in the file
        length = int(generator.integers(1, 12))
        damaged[first : first + length] = damaged[second : second + length]
    return bytes(damaged)


def refused(read: Callable[[], Any], error: type[Exception] | tuple[type[Exception], ...]) -> bool:
    """Whether reading a file was refused, in a sentence and in time."""
    try:
        with limited(SECONDS):
            read()
    except error as told:
        assert str(told) and "\n" not in str(told) and len(str(told)) < 700, str(told)
        return True
    return False


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::UserWarning")  # cells of higher order and sides that are not plane are told
@pytest.mark.parametrize("name", [path.name for path in MESHES])
def test_meshes(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, generator = (HERE / "meshes" / name).read_bytes(), np.random.default_rng(1)
    coordinates = (x, y, z) if name.startswith("brick") else (x, y)
    count = 0
    for _ in range(60):
        path = tmp_path / name
        path.write_bytes(mutated(content, generator))
        count += refused(partial(_checked_mesh, path, coordinates), MeshError)
    assert count > 20
    assert capsys.readouterr() == ("", "")


def _checked_mesh(path: Path, coordinates: tuple[Any, ...]) -> None:
    mesh = ps.Mesh.read(path, coordinates=coordinates)
    assert 0 < mesh.measure < np.inf and np.isfinite(mesh.nodes).all() and mesh.contains(mesh.nodes).all()


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_tables(kind: str, tmp_path: Path) -> None:
    columns = {"t": np.linspace(0, 1, 12), "level": np.exp(-np.linspace(0, 1, 12))}
    path, generator = tmp_path / f"gauge.{kind}", np.random.default_rng(2)
    if kind == "npz":
        np.savez(path, t=columns["t"], level=columns["level"])
    else:
        lines = [",".join(columns), *(f"{a:.6f},{b:.6f}" for a, b in zip(*columns.values(), strict=True))]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    content, count = path.read_bytes(), 0
    for _ in range(200):
        path.write_bytes(mutated(content, generator))
        count += refused(lambda: _checked_table(path), DataError)
    assert 60 < count < 200


def _checked_table(path: Path) -> None:
    read = ps.Observations.read(path, at={t: "t"}, values={q: "level"})
    assert np.isfinite(read.at[t]).all() and read.at[t].shape == read.values[q].shape
    assert set(read_table(path)) >= {"t", "level"}


@pytest.mark.soak
def test_streams(tmp_path: Path) -> None:
    path, generator = tmp_path / "stream.csv", np.random.default_rng(3)
    content = ("t,level\n" + "".join(f"{s:.4f},{np.exp(-s):.6f}\n" for s in np.linspace(0, 1, 30))).encode()
    for _ in range(100):
        path.write_bytes(mutated(content, generator))
        refused(lambda: list(rows_of_table(path)), DataError)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_stored_solutions(name: str, begun: Path, tmp_path: Path) -> None:
    """What is read in spite of the damage is the same solution, but for the words of its record."""
    stored, generator, count = begun.parent / "stored", np.random.default_rng(4), 0
    whole = ps.load(stored)
    expected = whole(t=np.linspace(0, 1, 5))
    for other in ("model.json", "model.safetensors"):
        shutil.copy(stored / other, tmp_path / other)
    for _ in range(200):
        (tmp_path / name).write_bytes(mutated((stored / name).read_bytes(), generator))
        found: list[Any] = []
        if refused(partial(_append_solution, found, tmp_path), ArchiveError):
            count += 1
        else:
            np.testing.assert_array_equal(found[0](t=np.linspace(0, 1, 5)), expected)
    assert count > 150


def _append_solution(found: list[Any], folder: Path) -> None:
    found.append(ps.load(folder))


@pytest.mark.soak
def test_runs_to_be_resumed(begun: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged run ends where an intact one ends, or is refused; never from another state and never at step 0."""
    asked = ["--no-plots", "-q", "--max-steps", "6"]
    shutil.copytree(begun, tmp_path / "intact")
    assert main(["resume", str(tmp_path / "intact"), *asked]) in {0, 6}
    expected = ps.load(tmp_path / "intact")(t=np.linspace(0, 1, 5))
    generator, files = np.random.default_rng(5), sorted(p for p in begun.rglob("*") if p.is_file() and p.stat().st_size)
    refusals = 0
    for number in range(400):
        run = tmp_path / f"run{number}"
        shutil.copytree(begun, run)
        file = files[number % len(files)].relative_to(begun)
        (run / file).write_bytes(mutated((begun / file).read_bytes(), generator))
        capsys.readouterr()
        with limited(SECONDS):
            code = main(["resume", str(run), *asked])
        told = capsys.readouterr()
        assert "Traceback" not in told.err and code in {0, 6, 8}, (file, code, told.err)
        if code == 8:
            refusals += 1
            assert told.err.startswith("error: ") and told.err.count("\n") <= 2, told.err
        else:
            np.testing.assert_array_equal(ps.load(run)(t=np.linspace(0, 1, 5)), expected, err_msg=str(file))
        shutil.rmtree(run)
    assert 20 < refusals < 300


@pytest.mark.soak
def test_problem_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, generator = tmp_path / "bar.py", np.random.default_rng(6)
    codes = []
    for _ in range(400):
        path.write_bytes(mutated(DECLARED.encode(), generator))
        capsys.readouterr()
        with limited(SECONDS):
            codes.append(main(["check", str(path)]))
        told = capsys.readouterr().err
        assert "Traceback" not in told and codes[-1] in {0, 3, 4}, (codes[-1], told)
        assert (codes[-1] == 0) != told.startswith("error: bar.py"), told
    assert codes.count(3) > 150 and codes.count(0) > 20


@pytest.mark.soak
def test_ledgers(tmp_path: Path) -> None:
    """What was spent is never taken for less because a file is damaged past reading."""
    from pinnsolve.privacy import _read

    path, generator = tmp_path / "gauge.csv.privacy.json", np.random.default_rng(7)
    content = json.dumps({"schema": 1, "runs": [{"noise": 1.25, "sample": 0.125, "steps": 300}] * 3}, indent=1)
    count = 0
    for _ in range(100):
        path.write_bytes(mutated(content.encode(), generator))
        count += refused(lambda: _read(path), ProblemError)
    assert count > 40


def test_mutations_change_the_file() -> None:
    generator = np.random.default_rng(0)
    changed = [mutated(DECLARED.encode(), generator) != DECLARED.encode() for _ in range(200)]
    assert sum(changed) > 180

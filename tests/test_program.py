"""The program in processes of its own: exit codes, signals, streams that close, narrow terminals, and the time to help."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pinnsolve as ps
from pinnsolve.cli import main

DECAY = '''"""Exponential decay."""
from sympy import Eq, exp, symbols
import pinnsolve as ps

t = symbols("t")
q = ps.fields("q", t)
problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)})
network = ps.MLP(width=5, depth=1)
training = ps.Training(points={"decay": 24}, phases=[ps.Adam(steps=STEPS), ps.LBFGS(steps=STEPS)])
reference = ps.Exact({q: exp(-t)})
'''
INTERNAL = """
import torch

class Broken(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, points):
        self.calls += 1
        if self.calls > 20:
            raise RuntimeError("a fault of nobody's")
        return self.weight * points

network = Broken()
"""
DIVERGING = (
    "\nimport torch\nnetwork = torch.nn.Linear(1, 1)\ntraining = ps.Training(phases=[ps.Adam(steps=200, lr=1e30)])\n"
)


def written(folder: Path, *, steps: int = 30, more: str = "", name: str = "decay.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(DECAY.replace("STEPS", str(steps)) + more, encoding="utf-8")
    return path


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "PYTHONIOENCODING"}}
    return kept | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"} | dict(more or {})


def program(*arguments: Any, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pinnsolve", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment(more), capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory made by the command line, in a folder with spaces and accents."""
    folder = tmp_path_factory.mktemp("cli") / "Übung no 1"
    path = folder / "ein Lauf"
    code = main(["run", str(written(folder)), "--out", str(path), "--no-plots", "-q", "--threads", "1"])
    assert code == 0
    return path


def test_help_is_there_in_a_third_of_a_second_and_without_heavy_imports(tmp_path: Path) -> None:
    walls = []
    for _ in range(5):
        began = time.perf_counter()
        found = program("--help", cwd=tmp_path)
        walls.append(time.perf_counter() - began)
    assert min(walls) < 0.3, walls
    assert found.returncode == 0 and found.stderr == ""
    for verb in ("new", "check", "run", "verify", "eval", "plot", "show"):
        assert re.search(rf"^  {verb} ", found.stdout, re.MULTILINE), verb
    code = (
        "import sys, pinnsolve, pinnsolve.cli\n"
        "try: pinnsolve.cli.main(['run', '--help'])\n"
        "finally: print(sorted({'torch', 'sympy', 'numpy', 'scipy', 'matplotlib', 'rich'} & set(sys.modules)))"
    )
    light = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert light.stdout.splitlines()[-1] == "[]"


@pytest.mark.thorough
def test_every_kind_of_failure_has_its_exit_code_and_no_traceback(tmp_path: Path, run: Path) -> None:
    fine, wrong = written(tmp_path, steps=3), written(tmp_path, more="x = u\n", name="wrong.py")
    unreadable = 'ps.Observations.read("nowhere.csv", at={t: "t"}, values={q: "q"})\n'
    cases: list[tuple[int, list[Any]]] = [
        (1, ["run", written(tmp_path, more=INTERNAL, name="internal.py"), "--out", "one", "--no-plots"]),
        (2, ["run", fine, "--seed", "x"]),
        (3, ["check", wrong]),
        (4, ["check", written(tmp_path, more=unreadable, name="data.py")]),
        (5, ["run", written(tmp_path, more=DIVERGING, name="wild.py"), "--out", "five", "--no-plots"]),
        (6, ["verify", run, "--tol", "1e-12"]),
        (7, ["run", fine, "--out", "decay.py/below"]),
        (8, ["show", tmp_path]),
    ]
    for code, arguments in cases:
        found = program(*arguments, cwd=tmp_path)
        assert found.returncode == code, (arguments, found.stderr)
        assert "Traceback" not in found.stderr + found.stdout, (arguments, found.stderr)
        if code not in (5, 6):
            assert found.stdout == "" and found.stderr
    log = (tmp_path / "one" / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" in log and "a fault of nobody's" in log
    assert not (tmp_path / "one" / "result.json").exists()


@pytest.mark.thorough
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_a_signal_ends_the_run_after_the_step_with_everything_written(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    file = written(tmp_path, steps=10**7)
    command = [sys.executable, "-m", "pinnsolve", "run", str(file), "--out", "r", "--no-plots", "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        metrics = tmp_path / "r" / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    record = json.loads(out)
    assert record == json.loads((tmp_path / "r" / "result.json").read_bytes())
    assert record["status"] == "interrupted" and "interrupted after a complete step" in record["message"]
    assert np.isfinite(ps.load(tmp_path / "r")(t=0.5)) and "Traceback" not in err


def test_a_reader_of_stdout_who_leaves_is_no_fault(run: Path, tmp_path: Path) -> None:
    for arguments, reader, read in (
        (f'eval "{run}" --grid t=0:1:50000', "head -1", "t,q\n"),
        ("--help", "true", ""),
    ):
        command = f'set -o pipefail; "{sys.executable}" -m pinnsolve {arguments} | {reader}'
        found = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=60
        )
        assert found.stdout == read and found.stderr == "" and found.returncode == 0


def test_a_narrow_terminal_in_the_c_locale_without_colour(tmp_path: Path) -> None:
    folder = tmp_path / "ein Übungsordner"
    written(folder, steps=30, name="wärme.py")
    more = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "COLUMNS": "40", "NO_COLOR": "1", "TERM": "xterm-256color"}
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "pinnsolve", "run", "wärme.py", "--out", "ein Lauf", "--no-plots", "--json"],
            cwd=folder,
            env=environment(more | {"HOME": "/nonexistent"}),
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        ) as process:
            os.close(theirs)
            out = process.stdout.read() if process.stdout else ""
            process.wait(timeout=60)
        shown = _all(ours)
    finally:
        os.close(ours)
    assert process.returncode == 0, shown
    assert json.loads(out) == json.loads((folder / "ein Lauf" / "result.json").read_bytes())
    assert "Traceback" not in shown and "lbfgs step" in shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", shown)


def _all(terminal: int) -> str:
    found = b""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # Linux says so when the other end is closed
            return found.decode(errors="replace")
        if not part:
            return found.decode(errors="replace")
        found += part

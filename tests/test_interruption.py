"""The program killed, signalled, starved and deceived: what it stored is intact, and goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pinnsolve as ps
from pinnsolve.cli import main
from pinnsolve.declaration.scales import Scales

PROBLEM = '''"""How fast does it decay?"""
import numpy as np
from sympy import Eq, exp, symbols
import pinnsolve as ps

t, k = symbols("t"), symbols("k", positive=True)
q = ps.fields("q", t)
ts = np.linspace(0, 1, 9)
problem = ps.Problem(
    domain=ps.Interval(t, 0, 1),
    equations={"decay": Eq(q.diff(t), -k * q)},
    conditions={"start": Eq(q(0), 1)},
    unknowns={k: 0.5},
    data={"sensor": ps.Observations(at={t: ts}, values={q: np.exp(-2 * ts)})},
)
network = ps.MLP(width=12, depth=2)
first, second, third = STEPS
training = ps.Training(
    points={"decay": POINTS},
    phases=[
        ps.Adam(steps=first, resample=50),
        ps.SSBroyden(steps=second, resample=50),
        ps.LevenbergMarquardt(steps=third, resample=1),
    ],
)
reference = ps.Exact({q: exp(-2 * t)})
'''
QUIET = ("--no-plots", "-q")


def written(folder: Path, *steps: int, points: int = 64, more: str = "") -> Path:
    path = folder / "decay.py"
    text = PROBLEM.replace("STEPS", str(steps)).replace("POINTS", str(points))
    path.write_text(text + more, encoding="utf-8")
    return path


def begin(*arguments: Any, cwd: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    command = [sys.executable, "-m", "pinnsolve", *map(str, arguments), *QUIET]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def begun(*arguments: Any, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of the program, which does not outlive the test."""
    process = begin(*arguments, cwd=cwd)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait(condition: Callable[[], bool], process: subprocess.Popen[str], *, seconds: float = 120) -> bool:
    """Wait for a condition as long as the process lives; return whether it came true."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.0005)
    return condition()


def newest(run: Path) -> int:
    """The number of the last checkpoint."""
    return max((int(p.name) for p in (run / "checkpoints").glob("*") if p.name.isdigit()), default=0)


def outcome(run: Path) -> dict[str, Any]:
    """All of a result that does not depend on time, and the weights to the bit."""
    record = json.loads((run / "result.json").read_bytes())
    phases = [{**phase, "seconds": 0} for phase in record["phases"]]
    kept = {key: record[key] for key in ("loss", "errors", "residuals", "unknowns", "points", "threads", "status")}
    return {**kept, "phases": phases, "weights": (run / "solution" / "model.safetensors").read_bytes()}


def kill(process: subprocess.Popen[str], run: Path, dice: random.Random, *, target: int, during_save: bool) -> str:
    """Kill a process at a random moment after it has come to a step, or while it stores a checkpoint; say where."""
    before = newest(run)
    wait(lambda: newest(run) > before and newest(run) >= target, process)
    time.sleep(dice.uniform(0.0, 0.1))
    if during_save:
        wait(lambda: any((run / "checkpoints").glob("ckpt.tmp-*")), process)
        time.sleep(dice.uniform(0.0, 0.003))
    process.kill()
    process.wait()
    torn = "during a save" if any((run / "checkpoints").glob("ckpt.tmp-*")) else "between saves"
    return f"{torn}, last checkpoint {newest(run)}"


def campaign(folder: Path, steps: tuple[int, int, int], *, kills: int, threads: int, points: int) -> list[str]:
    """Break a run off so many times by kill -9, and check that it ends as a run that was never broken off."""
    file, dice = written(folder, *steps, points=points), random.Random(threads)  # noqa: S311
    options = ("--compile", "off", "--threads", str(threads), *QUIET)
    whole, run = folder / "whole", folder / "run"
    assert main(["run", str(file), "--out", str(whole), *options]) == 0
    made = sum(phase["steps"] for phase in json.loads((whole / "result.json").read_bytes())["phases"])
    places = []
    arguments: list[Any] = ["run", file, "--out", run, *options, "--save-every", "0.05"]
    for number, target in enumerate(sorted(dice.sample(range(1, made - made // 20), kills))):
        with begun(*arguments, cwd=folder) as process:
            places.append(kill(process, run, dice, target=target, during_save=number % 2 == 1))
        assert process.returncode == -signal.SIGKILL
        arguments = ["resume", run]
    assert main(["resume", str(run), *QUIET]) == 0
    assert outcome(run) == outcome(whole)
    return places


@pytest.mark.thorough
def test_kill_at_random_moments_and_the_run_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    campaign(tmp_path, (200, 200, 60), kills=2, threads=1, points=64)
    assert "which is no more: taken over" in (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("threads", "steps", "points"), [(1, (1_000, 1_000, 200), 64), (2, (100, 100, 15), 3_000)])
def test_twenty_kills_across_all_phases(threads: int, steps: tuple[int, int, int], points: int, tmp_path: Path) -> None:
    """With 3,000 points torch divides its work among the threads; with few it does not."""
    places = campaign(tmp_path, steps, kills=20, threads=threads, points=points)
    print("\n".join(places))
    assert sum(place.startswith("during a save") for place in places) >= 3


@pytest.mark.thorough
def test_signals_store_and_stop_and_a_second_process_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = written(tmp_path, 10**6, 1, 1), tmp_path / "run"
    metrics = run / "metrics.jsonl"
    with begun("run", file, "--out", run, cwd=tmp_path) as process:
        assert wait(lambda: metrics.exists() and metrics.stat().st_size > 0, process)
        assert newest(run) == 0  # the first minute is not over
        process.send_signal(signal.SIGUSR1)
        assert wait(lambda: newest(run) > 0, process)
        stored = newest(run)
        assert main(["resume", str(run), *QUIET]) == 8
        assert f"{run} · process {process.pid}, begun " in capsys.readouterr().err
        assert main(["run", str(file), "--out", str(run), *QUIET]) == 8
        assert process.poll() is None and not (run / "result.json").exists()
        process.send_signal(signal.SIGINT)
        wait(lambda: newest(run) > stored, process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert newest(run) >= stored and not list((run / "checkpoints").glob("ckpt.tmp-*"))
    last = newest(run)
    assert main(["resume", str(run), "--max-steps", str(last + 5), *QUIET]) == 0
    assert json.loads((run / "result.json").read_bytes())["phases"][0]["steps"] == last + 5


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write files beyond a size: what a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_fills_up_costs_no_checkpoint_and_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dense matrix of the second phase does not fit any more; the state of the first did."""
    file, run, whole = written(tmp_path, 20, 20, 3), tmp_path / "run", tmp_path / "whole"
    assert main(["run", str(file), "--out", str(whole), *QUIET]) == 0
    with largest_file(150_000):
        assert main(["run", str(file), "--out", str(run), "--save-every", "0", *QUIET]) == 7
    told = capsys.readouterr().err
    assert "checkpoint of step 21 · not stored: File too large · the one of step 20 is intact: make room" in told
    assert "Traceback" not in told and not (run / "result.json").exists()
    assert not list((run / "checkpoints").glob("ckpt.tmp-*"))
    assert main(["resume", str(run), *QUIET]) == 0
    assert outcome(run) == outcome(whole)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that a limit ended in its second phase."""
    folder = tmp_path_factory.mktemp("stopped")
    file = written(folder, 20, 20, 3)
    assert main(["run", str(file), "--out", str(folder / "run"), "--max-steps", "25", *QUIET]) == 0
    return folder


def copied(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    return target


def test_a_problem_file_is_executed_only_if_it_is_the_very_one(
    stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, trap = copied(stopped / "run", tmp_path / "run"), tmp_path / "executed"
    edited = tmp_path / "decay.py"
    edited.write_text(
        (stopped / "decay.py").read_text(encoding="utf-8") + f"open({str(trap)!r}, 'w')\n", encoding="utf-8"
    )
    (run / "problem.py").write_bytes(edited.read_bytes())
    assert main(["resume", str(run), str(edited), *QUIET]) == 8
    assert "decay.py · an edited problem: not the file that the run was begun with" in capsys.readouterr().err
    assert main(["resume", str(run), str(stopped / "decay.py"), "--max-steps", "27", *QUIET]) == 0
    assert main(["resume", str(run), "--max-steps", "29", *QUIET]) == 0
    assert json.loads((run / "result.json").read_bytes())["phases"][1]["steps"] == 9
    assert not trap.exists()


def test_a_network_of_ones_own_comes_from_the_named_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else, which is stored: another version might build other conditions in, or choose other scales."""
    layers = "torch.nn.Linear(1, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)"
    own = f"import torch\ntorch.manual_seed(3)\nnetwork = torch.nn.Sequential({layers})\n"
    file = written(tmp_path, 12, 9, 2, more=own)
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert main(["run", str(file), "--out", str(whole), *QUIET]) == 0
    assert main(["run", str(file), "--out", str(run), "--max-steps", "15", *QUIET]) == 0
    capsys.readouterr()
    assert main(["resume", str(run), *QUIET]) == 8
    assert (
        "network (a module of your own) · name the problem file, pinnsolve resume RUN PROBLEM.py"
        in capsys.readouterr().err
    )
    monkeypatch.setattr("pinnsolve.scaling.find_scales", lambda *_, **__: Scales(terms={"decay": 10.0}))
    assert main(["resume", str(run), str(file), "--max-steps", "100", *QUIET]) == 0
    assert outcome(run) == outcome(whole)


FILES = (
    "run.json",
    "metrics.jsonl",
    "declaration/state.json",
    "declaration/state.safetensors",
    "checkpoints/000000025/state.json",
    "checkpoints/000000025/state.safetensors",
)


@pytest.mark.thorough
@given(st.sampled_from(FILES), st.integers(0, 2**31), st.integers(0, 60), st.binary(max_size=60))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_directory_from_a_stranger_is_gone_on_with_or_refused(
    stopped: Path, tmp_path_factory: pytest.TempPathFactory, capsys: Any, name: str, place: int, length: int, new: bytes
) -> None:
    run = copied(stopped / "run", tmp_path_factory.mktemp("mutated") / "run")
    content = (run / name).read_bytes()
    place %= len(content) + 1
    (run / name).write_bytes(content[:place] + new + content[place + length :])
    code = main(["resume", str(run), "--max-steps", "26", *QUIET])
    told = capsys.readouterr().err
    assert code in (0, 8), told
    assert "Traceback" not in told and "internal error" not in told
    if code == 0:
        steps = [phase["steps"] for phase in json.loads((run / "result.json").read_bytes())["phases"]]
        assert steps == [20, 6]


def test_a_deadline_can_be_given_anew(stopped: Path, tmp_path: Path) -> None:
    run = copied(stopped / "run", tmp_path / "run")
    assert main(["resume", str(run), "--max-steps", "1000", "--max-time", "1e-6", *QUIET]) == 0
    record = json.loads((run / "result.json").read_bytes())
    assert record["phases"][-1]["ended"] == "time" and [p["steps"] for p in record["phases"]] == [20, 5]
    assert main(["resume", str(run), "--max-steps", "1000", "--max-time", "1000", *QUIET]) == 0
    assert [p["steps"] for p in json.loads((run / "result.json").read_bytes())["phases"]] == [20, 20, 1, 2]
    assert ps.load(run)(t=0.0) == pytest.approx(1.0, abs=0.5)

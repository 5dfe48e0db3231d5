"""The program on several ranks: who writes and who is silent, how they end together, and what goes on from what they stored."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from test_interruption import QUIET, newest, wait, written
from test_ranks import begin

from pinnsolve.cli import main

ENDLESS = (5, 10**6, 10**6)
RUN = ("--save-every", "0", "--compile", "off")


@contextmanager
def ranks(size: int, *arguments: Any, cwd: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes of the program, which do not outlive the test."""
    processes = begin(size, "-m", "pinnsolve", *arguments, cwd=cwd)
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@contextmanager
def torchrun(*arguments: Any, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Two ranks as users begin them."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "pinnsolve",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()  # it ends its ranks
        process.communicate()


def pid_of(rank: int, launcher: int) -> int:
    """The process of a rank."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher and f"\0RANK={rank}\0".encode() in (folder / "environ").read_bytes():
                return int(folder.name)
        except OSError:  # it ended meanwhile
            continue
    raise AssertionError(f"there is no rank {rank}")


def ended(processes: list[subprocess.Popen[str]]) -> tuple[list[int], list[str], list[str]]:
    """Exit codes, and what was printed, once all have ended by themselves."""
    printed = [process.communicate(timeout=300) for process in processes]
    return [process.returncode for process in processes], [out for out, _ in printed], [err for _, err in printed]


def weights(run: Path) -> np.ndarray:
    return np.concatenate(
        [tensor.ravel() for _, tensor in sorted(load_file(run / "solution/model.safetensors").items())]
    )


@pytest.mark.thorough
def test_a_signal_to_one_rank_ends_all_and_others_go_on_from_what_they_stored(tmp_path: Path) -> None:
    """A run of two ranks, interrupted at some step, is gone on with by one and by three."""
    run = tmp_path / "run"
    path = written(tmp_path, *ENDLESS, points=33)
    with ranks(2, "run", path, "--out", run, *RUN, "--no-plots", cwd=tmp_path) as processes:
        assert wait(lambda: newest(run) > 6, processes[0])
        processes[1].send_signal(signal.SIGTERM)
        codes, out, err = ended(processes)
    assert codes == [143, 143], err
    record = json.loads((run / "result.json").read_text())
    step = sum(phase["steps"] for phase in record["phases"])
    assert record["status"] == "interrupted" and newest(run) == step
    assert "outcome" in out[0] and "adam step" in err[0] and (out[1], err[1]) == ("", "")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["decay.py", "run"]
    assert not (run / "lock").exists()

    three = Path(shutil.copytree(run, tmp_path / "three"))
    steps = ("--max-steps", str(step + 6))
    assert main(["resume", str(run), *steps, *QUIET]) == 0
    with ranks(3, "resume", three, *steps, *QUIET, cwd=tmp_path) as processes:
        codes, out, err = ended(processes)
    assert codes == [0, 0, 0], err
    assert (out[1], out[2], *err[1:]) == ("", "", "", "")
    one, other = (json.loads((folder / "result.json").read_text()) for folder in (run, three))
    assert sum(phase["steps"] for phase in one["phases"]) == step + 6
    assert other["loss"]["total"] == pytest.approx(one["loss"]["total"], rel=1e-9)
    np.testing.assert_allclose(weights(three), weights(run), rtol=1e-7, atol=1e-9)


@pytest.mark.thorough
def test_one_rank_killed_under_torchrun(tmp_path: Path) -> None:
    run = tmp_path / "run"
    path = written(tmp_path, *ENDLESS, points=33)
    with torchrun("run", path, "--out", run, *RUN, *QUIET, cwd=tmp_path) as launcher:
        assert wait(lambda: newest(run) > 6, launcher)
        os.kill(pid_of(1, launcher.pid), signal.SIGKILL)
        (code,), _, (err,) = ended([launcher])
    assert code == 1
    assert "another rank has ended" in err or "-9" in err  # whichever is noticed first
    before = newest(run)
    assert not (run / "result.json").exists()
    assert main(["resume", str(run), "--max-steps", str(before + 3), *QUIET]) == 0
    record = json.loads((run / "result.json").read_text())
    assert sum(phase["steps"] for phase in record["phases"]) == before + 3


@pytest.mark.thorough
def test_a_rank_that_is_killed_is_noticed_without_torchrun(tmp_path: Path) -> None:
    run = tmp_path / "run"
    path = written(tmp_path, *ENDLESS, points=33)
    with ranks(2, "run", path, "--out", run, *RUN, *QUIET, cwd=tmp_path) as processes:
        assert wait(lambda: newest(run) > 6, processes[0])
        processes[1].kill()
        codes, _, err = ended(processes)
    assert codes == [1, -signal.SIGKILL]
    assert err[0].startswith("error: torchrun · another rank has ended · ") and err[0].count("\n") == 1


@pytest.mark.thorough
def test_a_signal_to_torchrun_and_the_time_end_all_at_one_step(tmp_path: Path) -> None:
    run, timed = tmp_path / "run", tmp_path / "timed"
    path = written(tmp_path, *ENDLESS, points=33)
    with torchrun("run", path, "--out", run, *RUN, *QUIET, cwd=tmp_path) as launcher:
        assert wait(lambda: (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").stat().st_size > 0, launcher)
        launcher.send_signal(signal.SIGTERM)
        ended([launcher])
    record = json.loads((run / "result.json").read_text())
    assert record["status"] == "interrupted"
    assert newest(run) == sum(phase["steps"] for phase in record["phases"])
    with ranks(2, "run", path, "--out", timed, "--max-time", "1.5", *RUN, *QUIET, cwd=tmp_path) as processes:
        codes, _, err = ended(processes)
    assert codes == [0, 0], err
    assert json.loads((timed / "result.json").read_text())["phases"][-1]["ended"] == "time"


def test_different_problems_are_refused_in_one_sentence(tmp_path: Path) -> None:
    """The same file, which declares one thing here and another there."""
    more = '\nimport os\nproblem = __import__("dataclasses").replace(problem, unknowns={k: 0.5 + int(os.environ["RANK"])})\n'
    path = written(tmp_path, 5, 5, 1, more=more)
    with ranks(2, "run", path, *QUIET, cwd=tmp_path) as processes:
        codes, _, err = ended(processes)
    assert codes == [3, 3]
    told = "".join(err)
    assert told.startswith("error: torchrun · not all 2 ranks have the same problem: rank 1 differs from rank 0 · ")
    assert told.count("\n") == 1


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("more", "found"),
    [
        (
            '\nnetwork = ps.MLP(width=8, depth=1, normalization="batch")\n',
            "error: network · 2 ranks, and normalization",
        ),
        ('\nimport os\nif os.environ["RANK"] == "1":\n    problem = None\n', "error: "),
    ],
)
def test_what_cannot_be_shared_and_what_one_rank_alone_finds_wrong_is_told_once(
    more: str, found: str, tmp_path: Path
) -> None:
    with ranks(2, "run", written(tmp_path, 5, 5, 1, more=more), *QUIET, cwd=tmp_path) as processes:
        codes, _, err = ended(processes)
    told = "".join(err)
    assert 3 in codes and 0 not in codes
    assert told.startswith(found) and told.count("\n") == 1, err


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors that nothing else uses")
def test_two_ranks_on_two_processors_are_nearly_twice_as_fast_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "ranks", "--points", "50000", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    taken = {(row["phase"], row["ranks"]): row["milliseconds"] for row in rows}
    for phase in ("adam", "lbfgs", "levenberg_marquardt"):
        assert taken[phase, 1] > 1.8 * taken[phase, 2], phase

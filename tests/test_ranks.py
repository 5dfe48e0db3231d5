"""Ranks: several processes find what one does, and all of them the same."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranked
import torch
from torch import nn

import pinnsolve as ps
from pinnsolve.choices import DeviceError
from pinnsolve.errors import ProblemError
from pinnsolve.inputs import Inputs
from pinnsolve.ranks import require_separable, require_shared
from pinnsolve.training.distributed import ALONE, Group

HERE = Path(__file__).parent
TOLERANCE = 1e-12


def begin(size: int, *arguments: Any, cwd: Path) -> list[subprocess.Popen[str]]:
    """Begin a Python program on so many ranks, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
    where |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=os.environ | where | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def found_by(size: int, folder: Path, *more: str) -> list[dict[str, list[float]]]:
    """What each of so many ranks finds."""
    processes = begin(size, HERE / "ranked.py", folder, *more, cwd=folder)
    try:
        errors = [process.communicate(timeout=500)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert [process.returncode for process in processes] == [0] * size, "\n".join(errors)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]


def check(name: str, alone: list[float], ranks: list[dict[str, list[float]]]) -> None:
    """Compare what ranks found with what one process did, and with each other."""
    expected, size = np.array(alone), len(ranks)
    assert len(expected) and np.isfinite(expected).all()
    for rank, found in enumerate(ranks):
        assert found[name] == ranks[0][name], f"rank {rank} of {size} is not where the first is"
    difference = np.abs(np.array(ranks[0][name]) - expected) / np.maximum(np.abs(expected), 1e-300)
    assert difference.max() < TOLERANCE, f"{size} ranks: {difference.max():.1e}"


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[float]]]:
    """What each of two ranks finds in every case."""
    return found_by(2, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("name", ranked.CASES)
def test_two_ranks_find_what_one_process_finds(name: str, together: list[dict[str, list[float]]]) -> None:
    check(name, ranked.CASES[name](ALONE), together)


LEAVING = """
import os
from ranked import PHASES, by_phase
from pinnsolve.ranks import joined
with joined() as group:
    by_phase(group, phase=PHASES["levenberg_marquardt"])
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.thorough
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux lists them")
def test_threads_that_talk_to_other_ranks_end_before_python_does(tmp_path: Path) -> None:
    """One that lives on may want Python when it is no more, which ended a run in 25 with SIGABRT."""
    script = tmp_path / "leaving.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(HERE)!r})\n{LEAVING}")
    processes = begin(2, script, cwd=tmp_path)
    ended = [process.communicate(timeout=200) for process in processes]
    assert [out for out, _ in ended] == ["1\n"] * 2, ended


@pytest.mark.slow
@pytest.mark.parametrize("name", ranked.SLOW)
def test_ranks_compile_as_one_process_does(name: str, tmp_path: Path) -> None:
    check(name, ranked.SLOW[name](ALONE), found_by(2, tmp_path, "slow"))


def test_private_observations_are_for_one_process() -> None:
    """Before the ranks say anything to each other: here there is but one."""
    problem = ranked.sought(privacy=ps.Privacy(epsilon=2.0, delta=1e-3))
    inputs = Inputs(problem, None, None, None, (), "decay", 0, "cpu", "float64", None, 1, "off", False)
    require_shared(inputs, ps.Limits(), ALONE)
    with pytest.raises(ProblemError, match="privacy · 2 ranks, and observations that are private"):
        require_shared(inputs, ps.Limits(), Group(0, 2))


def test_ranks_do_not_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    module, gpu = nn.Linear(2, 1), torch.device("cuda")
    for local in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", local)
        monkeypatch.setenv("RANK", local)
        with pytest.raises(DeviceError, match="than its 1 GPUs") if local == "1" else nullcontext():
            require_separable(module, gpu, Group(int(local), 2))
    with pytest.raises(ProblemError, match="normalization by batch"):
        require_separable(nn.Sequential(module, nn.BatchNorm1d(1)), torch.device("cpu"), Group(0, 2))

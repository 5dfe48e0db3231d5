"""Ranks: several processes find what one does, and all of them the same."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ranked

from pinnsolve.training.distributed import ALONE

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


@pytest.mark.slow
@pytest.mark.parametrize("name", ranked.SLOW)
def test_ranks_compile_as_one_process_does(name: str, tmp_path: Path) -> None:
    check(name, ranked.SLOW[name](ALONE), found_by(2, tmp_path, "slow"))

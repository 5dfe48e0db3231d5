"""Ranks of a run: joining the processes that torchrun began with this one, and refusing what they cannot do together.

The first rank alone talks, writes and compares; the others train with it. Of several that fail, the first to do so says why.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from pinnsolve.choices import DeviceError
from pinnsolve.errors import ProblemError
from pinnsolve.fitting import Limits
from pinnsolve.inputs import Inputs, write_inputs
from pinnsolve.networks.normalization import BatchNormalization
from pinnsolve.privacy import private_observations
from pinnsolve.run_directory import versions
from pinnsolve.training.distributed import ALONE, Group

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables by which torchrun tells a process who the others are."""

_PATIENCE = timedelta(hours=2)
"""How long ranks wait for the first, which solves the reference before the training; one that has died is noticed at once."""

_TOLD = "pinnsolve/told"


@contextmanager
def joined() -> Iterator[Group]:
    """Join the ranks that torchrun began; inside, an error after one that another rank has told ends the process silently.

    Numbers that the processes decide by go from processor to processor; of several GPUs each rank of a machine has its own.
    """
    if any(name not in os.environ for name in _NEEDED) or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    # Before there are any: it keeps those that it finds for good, and threads that outlive Python end it with SIGABRT.
    importlib.import_module("torch.distributed.nn.functional")
    store, rank, size = next(dist.rendezvous("env://"))
    try:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if _local() < torch.cuda.device_count():
            torch.cuda.set_device(_local())
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
        with warnings.catch_warnings():
            if rank:  # the first is warned of the same
                warnings.simplefilter("ignore")
            group = Group(rank, size)
            yield replace(group, alike=len(set(group.texts(_digest_of_machine()))) == 1)
    except Exception as error:
        if not _first(store):
            raise SystemExit(getattr(error, "exit_code", 1)) from error
        raise
    dist.destroy_process_group()


def require_shared(inputs: Inputs, limits: Limits, group: Group) -> None:
    """Refuse ranks that were not given the same, and observations whose use is accounted by one process.

    Raises:
        ProblemError: They are so.
    """
    if group.size == 1:
        return
    if private_observations(inputs.problem):
        found = f"{group.size} ranks, and observations that are private: their noise and their ledger are one process's"
        raise ProblemError("privacy", found, "run it without torchrun")
    bounds = {name: value for name, value in vars(limits).items() if name != "stop"}
    with tempfile.TemporaryDirectory() as folder:
        digest = write_inputs(Path(folder, "inputs"), inputs, begun={"limits": bounds, "versions": versions()})
    digests = group.texts(digest)
    others = [str(rank) for rank, other in enumerate(digests) if other != digests[0]]
    if others:
        found = f"not all {group.size} ranks have the same problem: rank {', '.join(others)} differs from rank 0"
        raise ProblemError("torchrun", found, "start all ranks with the same file, tables, options and versions")


def require_separable(module: nn.Module, device: torch.device, group: Group) -> None:
    """Refuse a module in which the points of one rank act on those of another, and ranks that would share a GPU.

    Raises:
        ProblemError: It normalises by statistics over the points.
        DeviceError: There are more ranks on this machine than GPUs.
    """
    if group.size == 1:
        return
    mixing = (BatchNormalization, nn.modules.batchnorm._BatchNorm)
    if any(isinstance(layer, mixing) for layer in module.modules()):
        found = f"{group.size} ranks, and normalization by batch, by which all points of a step depend on each other"
        raise ProblemError("network", found, 'write normalization="layer" or "group", or run it without torchrun')
    if device.type == "cuda" and _local() >= (count := torch.cuda.device_count()):
        found = f"more ranks on this machine than its {count} GPUs"
        raise DeviceError("--device cuda", found, f"write torchrun --nproc-per-node {count}, or --device cpu")


def _digest_of_machine() -> str:
    """Return a digest of all by which the rounding of this process may differ from that of another."""
    processor = Path("/proc/cpuinfo")
    told = processor.read_text().split("\n\n")[0] if processor.exists() else platform.processor()
    lines = [line for line in told.splitlines() if line.startswith(("model", "flags", "Features", "CPU"))]
    features = torch.backends.cpu.get_cpu_capability(), torch.__config__.show(), os.cpu_count(), torch.get_num_threads()
    return hashlib.sha256(repr((platform.platform(), lines or told, features)).encode()).hexdigest()


def _local() -> int:
    """Return the number of this rank among those of its machine."""
    return int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))


def _first(store: dist.Store) -> bool:
    """Whether no other rank has told of an error."""
    try:
        return store.add(_TOLD, 1) == 1
    except RuntimeError:  # who kept count is no more
        return True

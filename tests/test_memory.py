"""Memory that tensors free is kept inside, and the kernel's again afterwards."""

import platform
import resource
from pathlib import Path

import pytest
import torch

from pinnsolve.memory import memory_kept

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")

_LENGTH = 5 * 2**20
_PAGES = _LENGTH * 8 // resource.getpagesize()
"""Of a tensor below, which is larger than what glibc takes from its heap by itself."""

_SETTLED = 12
"""Tensors after which glibc, which sets the first few gaps between aligned blocks aside, finds one where the last one was."""


def _faults_of_tensors(count: int) -> int:
    """Return how many pages the kernel had to provide for tensors that are filled and freed, one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.ones(_LENGTH, dtype=torch.float64)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])


def test_tensors_use_the_memory_of_those_before():
    with memory_kept():
        _faults_of_tensors(_SETTLED)
        assert _faults_of_tensors(8) < _PAGES


def test_outside_every_large_tensor_is_mapped_anew():
    with memory_kept():
        pass
    assert _faults_of_tensors(8) >= 8 * _PAGES


def test_what_is_free_afterwards_goes_back_to_the_kernel():
    before = _resident()
    with memory_kept():
        _faults_of_tensors(1)
        assert _resident() > before + _PAGES // 2
    assert _resident() < before + _PAGES // 2


def test_memory_goes_back_after_an_error():
    before = _resident()
    with pytest.raises(ZeroDivisionError), memory_kept():
        _faults_of_tensors(1)
        _ = 1 / 0
    assert _resident() < before + _PAGES // 2

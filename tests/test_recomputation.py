"""Blocks evaluated again on the way back: the same gradients from less memory, beside chunks of points, which cost less time."""

from __future__ import annotations

import time
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from pinnsolve.bench.engine import peak_bytes
from pinnsolve.jets import derivatives, operator, plan_jets
from pinnsolve.networks import ResNet, build
from pinnsolve.training.objective import Objective, Points

LAPLACIAN = operator({(2, 0): 1, (0, 2): 1})
PLAN = plan_jets({LAPLACIAN}, dimension=2)


def residual_of(network: nn.Module, points: Points) -> dict[str, Tensor]:
    found = derivatives(network, points["inside"], PLAN, wanted={LAPLACIAN: [0]})
    return {"inside": found[LAPLACIAN][:, 0] + 1}


def objective(count: int, *, blocks: int, checkpointing: bool = False, chunk: int | None = None) -> Objective:
    generator = torch.Generator().manual_seed(0)
    spec = ResNet(32, blocks, "silu", checkpointing=checkpointing)
    ranges = [(0.0, 1.0)] * 2
    network = build(spec, inputs=2, outputs=1, ranges=ranges, generator=generator, dtype=torch.float64)
    points = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return Objective(network, partial(residual_of, network), {"inside": points}, chunk=chunk)


def test_gradients_are_those_of_blocks_that_are_kept():
    plain, again = (objective(50, blocks=4, checkpointing=flag) for flag in (False, True))
    kept, found = plain.evaluate(), again.evaluate()
    assert found.loss == kept.loss
    torch.testing.assert_close(found.gradient, kept.gradient, rtol=1e-13, atol=1e-13)
    rows = plain.jacobian().rows()
    torch.testing.assert_close(again.jacobian().rows(), rows, rtol=1e-12, atol=1e-12 * float(rows.abs().max()))


def peak(one: Objective) -> int:
    one.evaluate()
    return peak_bytes(one.evaluate, dict(one.points))


def test_less_is_remembered_for_the_reverse_pass():
    plain, again = (peak(objective(1_000, blocks=10, checkpointing=flag)) for flag in (False, True))
    assert again < 0.45 * plain


@pytest.mark.slow
def test_the_trade_of_memory_and_time_is_as_stated():
    """25 blocks of 32 units, 4,000 points, a Laplacian: see the README for the figures."""
    ways = {
        "kept": objective(4_000, blocks=25),
        "again": objective(4_000, blocks=25, checkpointing=True),
        "chunks": objective(4_000, blocks=25, chunk=500),
    }
    memory = {name: peak(way) for name, way in ways.items()}
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(3):
        for name, way in ways.items():
            start = time.perf_counter()
            way.evaluate()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    print({name: (round(memory[name] / 2**20), round(seconds[name], 3)) for name in ways})
    assert memory["again"] < 0.4 * memory["kept"] and memory["chunks"] < 0.2 * memory["kept"]
    assert seconds["again"] < 2 * seconds["kept"] and seconds["chunks"] < 1.5 * seconds["kept"]

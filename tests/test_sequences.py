"""Sequences: the loss and both ways of reading against all paths of short traces, and heat pulses read from a sensor's trace."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pinnsolve.training.loop import train
from pinnsolve.training.objective import Objective
from pinnsolve.training.optimizers import Adam
from pinnsolve.training.sequences import ctc_residual, decode_by_beam, decode_greedily, read_path

SYMBOLS = 3


def probabilities(traces: int, instants: int, *, seed: int, symbols: int = 2, sharpness: float = 1.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = sharpness * torch.randn(traces, instants, 1 + symbols, generator=generator, dtype=torch.float64)
    return scores.log_softmax(2)


def by_enumeration(trace: Tensor) -> dict[tuple[int, ...], float]:
    """Return the probability of every sequence, from all paths."""
    total: dict[tuple[int, ...], float] = defaultdict(float)
    numbers = trace.tolist()
    for path in itertools.product(range(trace.shape[1]), repeat=len(numbers)):
        total[read_path(path)] += math.exp(sum(now[k] for now, k in zip(numbers, path, strict=True)))
    return total


def test_a_path_reads_with_repetitions_joined_before_blanks_are_taken_out() -> None:
    assert read_path([0, 1, 1, 0, 1, 2, 2, 0]) == (1, 1, 2)
    assert read_path([]) == () == read_path([0, 0])


@pytest.mark.parametrize("labels", [(), (1,), (1, 1), (2, 1), (1, 2, 1), (2, 2, 1)])
def test_the_residual_sums_over_all_paths(labels: tuple[int, ...]) -> None:
    traces = probabilities(3, 5, seed=1)
    padded = torch.tensor([(*labels, 9, 9, 9)[:3]] * 3)
    found = ctc_residual(traces, padded, torch.full((3,), len(labels)))
    for trace, residual in zip(traces, found, strict=True):
        assert float(residual) ** 2 == pytest.approx(-math.log(by_enumeration(trace)[labels]), rel=1e-9)


def test_the_gradient_of_the_residual_is_right() -> None:
    scores = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    labels, lengths = torch.tensor([[1, 2], [2, 0]]), torch.tensor([2, 1])
    assert torch.autograd.gradcheck(lambda s: ctc_residual(s.log_softmax(2), labels, lengths), (scores,))


def test_a_sequence_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="more than the 3 instants"):
        ctc_residual(probabilities(1, 3, seed=3), torch.tensor([[1, 1, 2]]), torch.tensor([3]))
    with pytest.raises(ValueError, match="at least one"):
        decode_by_beam(probabilities(1, 3, seed=3), width=0)


def test_a_wide_beam_finds_the_most_probable_sequence_and_the_greedy_path_need_not() -> None:
    traces = probabilities(60, 6, seed=4, sharpness=0.7)
    found, greedy = decode_by_beam(traces, width=200), decode_greedily(traces)
    missed = 0
    for trace, sequence, path in zip(traces, found, greedy, strict=True):
        total = by_enumeration(trace)
        assert total[sequence] == pytest.approx(max(total.values()), rel=1e-12)
        missed += total[path] < max(total.values()) * (1 - 1e-12)
    assert missed > 10, "greedy reading must differ somewhere, or the beam is of no use"


def test_a_narrow_beam_is_at_least_as_probable_as_the_greedy_path_on_the_average() -> None:
    traces = probabilities(100, 12, seed=5, symbols=3)

    def mean(sequences: list[tuple[int, ...]]) -> float:
        padded = torch.tensor([(*s, *(1,) * (12 - len(s))) for s in sequences])
        lengths = torch.tensor([len(s) for s in sequences])
        return float(ctc_residual(traces, padded, lengths).square().mean())

    assert mean(decode_by_beam(traces, width=4)) < mean(decode_greedily(traces))


LONGEST = 5
INSTANTS = 80
STEP = 0.375


def pulse(kind: int, age: np.ndarray) -> np.ndarray:
    """Temperature at a sensor after a pulse of heat in a rod, of greatest value 1: the farther its place, the later and broader.

    Of u_t = u_xx - u / 20 and a pulse at the distance d, exp(-d² / (4 t) - t / 20) / sqrt(t).
    """
    distance = (1.0, 2.5, 4.5)[kind - 1]
    later = np.arange(1, 400) / 4
    shape = [np.exp(-(distance**2) / (4 * t) - t / 20) / np.sqrt(t) for t in (np.maximum(age, 1e-9), later)]
    return np.where(age > 0, shape[0], 0.0) / shape[1].max()


def recorded(count: int, *, seed: int) -> tuple[Tensor, list[tuple[int, ...]]]:
    """Make traces of two to five pulses of three kinds at random times, with noise of 2 %, and what fired in which order.

    A row holds the trace, the labels filled up with zeros, and how many there are.
    """
    rng = np.random.default_rng(seed)
    time, rows, fired = STEP * np.arange(INSTANTS), [], []
    for _ in range(count):
        number = int(rng.integers(2, LONGEST + 1))
        gaps = rng.uniform(2.5, 5.0, number)
        starts = np.cumsum(gaps) - gaps[0] + rng.uniform(0, 3)
        kinds = rng.integers(1, SYMBOLS + 1, number)
        strengths = rng.uniform(0.7, 1.3, number)
        trace = sum(s * pulse(k, time - start) for s, k, start in zip(strengths, kinds, starts, strict=True))
        noisy = trace + 0.02 * rng.normal(size=INSTANTS)
        rows.append(np.concatenate([noisy, kinds, np.zeros(LONGEST - number), [number]]))
        fired.append(tuple(int(kind) for kind in kinds))
    return torch.tensor(np.stack(rows), dtype=torch.float32), fired


class Reader(nn.Module):
    """Convolutions in time, each twice as far apart as the one before; log-probabilities at every other instant."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv1d(1, width, 5, padding=2, stride=2), nn.GELU()]
        for spacing in (1, 2, 4, 8):
            layers += [nn.Conv1d(width, width, 3, padding=spacing, dilation=spacing), nn.GELU()]
        self.net = nn.Sequential(*layers, nn.Conv1d(width, 1 + SYMBOLS, 1))

    def forward(self, traces: Tensor) -> Tensor:
        return self.net(traces[:, None, :]).transpose(1, 2).log_softmax(2)


def read_by_a_trained_network(steps: int, *, count: int) -> tuple[float, float]:
    """Train and return the shares of 200 held-out traces that are read without a mistake, greedily and by a beam."""
    torch.manual_seed(0)
    module = Reader()
    seen, _ = recorded(count, seed=1)

    def residuals(points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        rows = points["traces"]
        labels, lengths = rows[:, INSTANTS:-1], rows[:, -1]
        return {"traces": ctc_residual(module(rows[:, :INSTANTS]), labels, lengths)}

    def another(step: int) -> Mapping[str, Tensor]:
        chosen = torch.randperm(count, generator=torch.Generator().manual_seed(step))[:64]
        return {"traces": seen[chosen]}

    objective = Objective(module, residuals, {"traces": seen[:64]})
    train(objective, [Adam(steps=steps, lr=1e-2, clip=1.0, resample=2)], resample=another, judged=False)
    held_out, fired = recorded(200, seed=2)
    with torch.no_grad():
        found = module(held_out[:, :INSTANTS])
    return tuple(  # type: ignore[return-value]
        float(np.mean([one == other for one, other in zip(read, fired, strict=True)]))
        for read in (decode_greedily(found), decode_by_beam(found))
    )


@pytest.mark.slow
def test_which_heat_pulses_fired_and_in_which_order_is_read_from_a_trace() -> None:
    greedy, beam = read_by_a_trained_network(800, count=4_000)
    print(f"\nof 200 held-out traces read without a mistake: {greedy:.3f} greedily, {beam:.3f} by a beam of 16")
    assert greedy >= 0.95 and beam >= 0.95

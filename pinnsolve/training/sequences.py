"""Sequences: which symbols a trace holds, and in which order, learnt and read without knowing when (Graves et al. 2006).

A network gives for each of T instants the probabilities of the symbols and of a blank, symbol 0. A path names one of them at each
instant; it reads as what is left when repetitions are joined and blanks are taken out. The probability of a sequence is the sum
over the paths that read so,

    P(l | trace) = sum over paths reading l of  prod_t y_t(path_t),

found by a recursion forward in time (Graves, Fernández, Gomez and Schmidhuber, Connectionist temporal classification: labelling
unsegmented sequence data with recurrent neural networks, ICML 2006, equations 3 to 8); torch has it. A residual of a trace is
sqrt(-log P), whose mean square is the loss.

What is read is the most probable path, which need not be the most probable sequence, or the best of some sequences that are kept
while time goes on: a beam of prefixes, each with the probability of the paths that end in its last symbol, and of those that end
in a blank, since only the latter can go on with the same symbol once more (their section 3.2; as a beam, Hannun et al. 2014).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

BLANK = 0
"""The symbol between symbols."""

_LEAST = 1e-12
"""Added to -log P under the root, whose slope would be infinite where a sequence is certain."""


def ctc_residual(log_probabilities: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Return sqrt(-log P) of the labels of each trace, shape (traces,).

    Args:
        log_probabilities: Of blank and symbols, shape (traces, instants, 1 + symbols), each instant's adding up to 1.
        labels: Symbols from 1, filled up at the end with anything, shape (traces, longest).
        lengths: How many of them are meant, shape (traces,).

    Raises:
        ValueError: A sequence that no path of so many instants reads: each symbol takes one, and a blank between equal ones.
    """
    traces, instants, _ = log_probabilities.shape
    labels, lengths = labels.long(), lengths.long()
    meant = torch.arange(labels.shape[1], device=labels.device) < lengths[:, None]
    repeated = (labels[:, 1:] == labels[:, :-1]) & meant[:, 1:]
    if bool((lengths + repeated.sum(1) > instants).any()):
        raise ValueError(f"a sequence needs more than the {instants} instants of its trace")
    negative = torch.nn.functional.ctc_loss(
        log_probabilities.transpose(0, 1),
        torch.where(meant, labels, 1),
        torch.full((traces,), instants, dtype=torch.long),
        lengths,
        blank=BLANK,
        reduction="none",
    )
    return (negative.clamp(min=0.0) + _LEAST).sqrt()


def read_path(path: Sequence[int]) -> tuple[int, ...]:
    """Return the sequence that a path reads: repetitions joined, then blanks taken out."""
    joined = [symbol for k, symbol in enumerate(path) if k == 0 or symbol != path[k - 1]]
    return tuple(symbol for symbol in joined if symbol != BLANK)


def decode_greedily(log_probabilities: Tensor) -> list[tuple[int, ...]]:
    """Return what the most probable path of each trace reads.

    Args:
        log_probabilities: As for `ctc_residual`.
    """
    return [read_path(path) for path in log_probabilities.argmax(2).tolist()]


def decode_by_beam(log_probabilities: Tensor, *, width: int = 16) -> list[tuple[int, ...]]:
    """Return the most probable sequence of each trace among those that a beam of so many prefixes finds.

    Args:
        log_probabilities: As for `ctc_residual`.
        width: Prefixes that are kept at each instant.

    Raises:
        ValueError: No prefix is to be kept.
    """
    if width < 1:
        raise ValueError(f"width={width}; keep at least one prefix")
    return [_search(trace, width) for trace in log_probabilities.detach().double().cpu().tolist()]


def _search(trace: Sequence[Sequence[float]], width: int) -> tuple[int, ...]:
    """Return the best prefix after the last instant; each is kept with log P of its paths that end in a blank, and in a symbol."""
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -math.inf)}
    for now in trace:
        longer: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [-math.inf, -math.inf])
        for prefix, (blank, symbol) in beam.items():
            either = _log_sum(blank, symbol)
            stays = longer[prefix]
            stays[0] = _log_sum(stays[0], either + now[BLANK])
            if prefix:
                stays[1] = _log_sum(stays[1], symbol + now[prefix[-1]])
            for k in range(1, len(now)):
                before = blank if prefix and k == prefix[-1] else either
                grows = longer[(*prefix, k)]
                grows[1] = _log_sum(grows[1], before + now[k])
        best = sorted(longer.items(), key=lambda item: -_log_sum(*item[1]))[:width]
        beam = {prefix: (blank, symbol) for prefix, (blank, symbol) in best}
    return max(beam, key=lambda prefix: _log_sum(*beam[prefix]))


def _log_sum(one: float, other: float) -> float:
    """Return log(exp a + exp b)."""
    larger = max(one, other)
    return larger if larger == -math.inf else larger + math.log1p(math.exp(-abs(one - other)))

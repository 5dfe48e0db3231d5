"""Ranks: processes that train one network together, each on a share of the points.

Every rank knows all points, and holds the same parameters; it evaluates residuals, gradients and rows of Jacobians on its share
alone. What is a sum over the points is added up over the ranks, in another order than one process adds it: it differs from what one
process finds by rounding, and is the same on all ranks to the last bit. All else every rank does for itself, by the same numbers.
What its clock, its user or the rounding of its processor could make different decides only once the ranks agree on it: otherwise
one of them would wait for ever for what the others never do. Ranks whose processors are alike round alike, and say nothing of it;
that they are still at one place is seen once a step (`training/agreement.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pinnsolve.errors import ProblemError
from pinnsolve.training.chunks import part_of, rows_of

_SHORT = 2**18
"""Numbers that all ranks send, up to which a sum is gathered."""


class RankError(ProblemError):
    """A rank that is no longer there, which the others cannot do without."""

    exit_code = 1


@dataclass(frozen=True)
class Group:
    """One of several processes, and what they do together; all of them must ask for the same in the same order.

    Attributes:
        rank: Number of this process, from 0.
        size: How many there are; with one, nothing here does anything.
        alike: Whether processors and libraries of all ranks are the same: what they compute of the same numbers then is.

    Raises:
        RankError: Another rank has ended.
    """

    rank: int = 0
    size: int = 1
    alike: bool = False

    @property
    def leads(self) -> bool:
        """Whether this is the rank that talks to the user, and writes."""
        return self.rank == 0

    def total(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return tensors of one kind added up over the ranks, which send them as one flat vector.

        Gloo gathers a short one in less than half the time in which it adds it up; the sums are then formed here, rank by rank.
        """
        if self.size == 1:
            return tensors
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        if flat.device.type == "cpu" and self.size * flat.numel() <= _SHORT:
            flat = self.gathered(flat[None], [1] * self.size).sum(0)
        else:
            with _together():
                dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        return tuple(part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True))

    def led(self, tensor: Tensor) -> Tensor:
        """Return what the first rank has in place of this tensor, which is overwritten by it."""
        if self.size > 1:
            sent = tensor.contiguous()
            with _together():
                dist.broadcast(sent, 0)
            if sent is not tensor:
                tensor.copy_(sent)
        return tensor

    def same(self, tensor: Tensor) -> Tensor:
        """Return what every rank computed of the same numbers: where their rounding may differ, what the first has.

        Processors alone are trusted with it: GPUs add up in any order.
        """
        return tensor if self.alike and tensor.device.type == "cpu" else self.led(tensor)

    def numbers(self, tensor: Tensor) -> list[float]:
        """Return the numbers in such a vector, which all ranks are to decide by."""
        found: list[float] = self.same(tensor).tolist()
        return found

    def most(self, number: int) -> int:
        """Return the largest number that a rank has."""
        if self.size == 1:
            return number
        return int(self.gathered(torch.tensor([number]), [1] * self.size).max())

    def any(self, flag: bool) -> bool:
        """Return whether it is so on any rank."""
        return bool(self.most(int(flag)))

    def gathered(self, rows: Tensor, heights: Sequence[int]) -> Tensor:
        """Return the rows of all ranks, one after the other.

        Args:
            rows: Those of this rank, shape (rows, ...).
            heights: How many each of the ranks has.
        """
        if self.size == 1:
            return rows
        highest = max(heights)
        filled = rows.new_zeros(highest, *rows.shape[1:])
        filled[: len(rows)] = rows
        found = [torch.empty_like(filled) for _ in range(self.size)]
        with _together():
            dist.all_gather(found, filled)
        return torch.cat([part[:height] for part, height in zip(found, heights, strict=True)])

    def turned(self, rows: Tensor, heights: Sequence[int]) -> Tensor:
        """Return from a matrix of which each rank has some rows some of its columns, in all rows.

        Args:
            rows: Those of this rank, shape (rows, columns).
            heights: How many each of the ranks has.
        """
        if self.size == 1:
            return rows
        widths = [len(rows_of(rows.shape[1], rank, self.size)) for rank in range(self.size)]
        width = widths[self.rank]
        sent = torch.cat([part.reshape(-1) for part in rows.split(widths, dim=1)])
        found = rows.new_empty(sum(heights) * width)
        with _together():
            dist.all_to_all_single(found, sent, [h * width for h in heights], [len(rows) * w for w in widths])
        return found.view(-1, width)

    def texts(self, text: str) -> list[str]:
        """Return the texts of all ranks, which are plain ASCII and of one length."""
        if self.size == 1:
            return [text]
        letters = torch.tensor(list(text.encode("ascii")), dtype=torch.uint8)
        found = self.gathered(letters, [len(letters)] * self.size)
        return [bytes(part.tolist()).decode("ascii") for part in found.split(len(letters))]


ALONE = Group()
"""The only process that there is."""


def lead(module: nn.Module, group: Group) -> None:
    """Give a module on all ranks the parameters and buffers of the first."""
    for tensor in module.state_dict().values():
        group.led(tensor)


def evaluated_in_shares(
    evaluate: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]], points: Mapping[str, Tensor], group: Group
) -> Mapping[str, Tensor]:
    """Evaluate at all points, each rank at its share, and return on every rank the values at all of them.

    Args:
        evaluate: From points to a vector for each of their sets, or some, a row from a row.
        points: Tensors by the name of their set.
        group: The ranks.
    """
    if group.size == 1:
        return evaluate(points)
    found = evaluate(part_of(points, group.rank, group.size))
    return rows_of_all(found, {name: len(points[name]) for name in found}, group)


def rows_of_all(vectors: Mapping[str, Tensor], counts: Mapping[str, int], group: Group) -> dict[str, Tensor]:
    """Return vectors over all points from those over the shares, each filled up as by `part_of`.

    Args:
        vectors: Of this rank, by the name of their set.
        counts: Rows of every set.
        group: The ranks.
    """
    lengths = [len(vector) for vector in vectors.values()]
    flat = torch.cat(list(vectors.values()))
    parts = group.gathered(flat, [len(flat)] * group.size).view(group.size, -1).split(lengths, dim=1)
    return {name: part.reshape(-1)[: counts[name]] for name, part in zip(vectors, parts, strict=True)}


@contextmanager
def _together() -> Iterator[None]:
    """Say of an exchange that fails what it means: the other side is no longer there."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        remedy = "see what it told; pinnsolve resume RUN goes on from the last checkpoint, with any number of ranks"
        raise RankError("torchrun", "another rank has ended", remedy) from error

"""What ranks agree on between two steps: whether there is another, and where they are."""

from __future__ import annotations

import torch
from torch import Tensor

from pinnsolve.training.distributed import lead
from pinnsolve.training.objective import Objective
from pinnsolve.training.status import Status


def agreed(status: Status | None, objective: Objective) -> Status | None:
    """Return why all ranks end, if any of them has a reason to: a clock or a signal may be known to one alone.

    Ranks whose rounding has led them to other parameters after all are brought back to where the first is.
    """
    group = objective.group
    if group.size == 1:
        return status
    reasons = (None, *Status)
    place = checksum(objective.vector) if group.alike and objective.device.type == "cpu" else 0
    found = group.gathered(torch.tensor([[reasons.index(status), place]]), [1] * group.size)
    if len(found[:, 1].unique()) > 1:
        lead(objective.module, group)
    return reasons[int(found[:, 0].max())]


def checksum(vector: Tensor) -> int:
    """Return a number that another vector of this precision and length, be it in a last digit, hardly ever has."""
    bits = vector.view(torch.int64 if vector.element_size() == 8 else torch.int32)
    return int((bits * torch.arange(1, 2 * len(bits), 2, device=bits.device)).sum())  # modulo 2^64

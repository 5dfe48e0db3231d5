"""Sums of second derivatives of networks that read many coordinates through few linear features.

A network N(x) = n(W x) with m features changes only along the rows of W. Let the columns of V be orthonormal and span those of
(W D)^T, D = diag(sqrt a_i). Then W D V V^T = W D, and

    Σ_i a_i ∂_i² N = Σ_jk n_jk (W D D W^T)_jk = Σ_jk n_jk (W D V V^T D W^T)_jk = Σ_l (∂ along D v_l)² N,

which are m directions in place of d: in more dimensions than the first layer has units a Laplacian costs what it would in m. V is
held while differentiating: a change E of W changes W D V V^T D W^T by E D V V^T D W^T and its transpose, where V V^T D W^T = D W^T,
so that first derivatives with respect to the parameters are exact. Those of slopes along single coordinates would not be.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from pinnsolve.jets.plan import Derivative, MultiIndex, operator


@dataclass(frozen=True)
class Spanning:
    """What is wanted of a network, in fewer directions.

    Args:
        directions: Shape (directions, coordinates).
        stand_ins: For every derivative wanted the one that takes its place, of so many directions.
    """

    directions: Tensor
    stand_ins: dict[Derivative, Derivative]


def spanning(wanted: Collection[Derivative], reading: Tensor) -> Spanning | None:
    """Find directions that span all a network can see of an operator.

    Args:
        wanted: Multi-indices and operators of as many coordinates.
        reading: W, shape (features, coordinates).

    Returns:
        Fewer directions than coordinates that will do; None where there are none: the features are too many, or what is wanted is
        not one Σ a_i ∂_i², all a_i of one sign, and derivatives in other coordinates.
    """
    sums = [which for which in wanted if isinstance(which, frozenset)]
    if len(sums) != 1:
        return None
    factors = {_square(index): float(a) for index, a in sums[0]}
    summed = sorted(i for i in factors if i is not None)
    if len(summed) != len(sums[0]) or len(summed) <= len(reading) or len({a > 0 for a in factors.values()}) != 1:
        return None
    others = [i for i in range(reading.shape[1]) if i not in factors]
    count = len(others) + len(reading)
    stand_ins: dict[Derivative, Derivative] = {}
    for which in wanted:
        if isinstance(which, frozenset):
            sign = 1 if factors[summed[0]] > 0 else -1
            stand_ins[which] = operator({_double(k, count): sign for k in range(len(others), count)})
        elif any(which[i] for i in summed):
            return None
        else:
            stand_ins[which] = (*(which[i] for i in others), *(0 for _ in reading))
    roots = reading.new_tensor([abs(factors[i]) for i in summed]).sqrt()
    basis = torch.linalg.qr((reading.detach()[:, summed] * roots).t())[0]
    directions = reading.new_zeros(count, reading.shape[1])
    directions[range(len(others)), others] = 1.0
    directions[len(others) :, summed] = (basis * roots[:, None]).t()
    return Spanning(directions, stand_ins)


def _square(index: MultiIndex) -> int | None:
    """The coordinate that is differentiated twice, if that is all."""
    return index.index(2) if sum(index) == 2 and 2 in index else None


def _double(k: int, count: int) -> MultiIndex:
    return tuple(2 * (i == k) for i in range(count))

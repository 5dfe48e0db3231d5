"""Estimates of long sums of derivatives from a few of their terms, drawn at random.

Of an operator L = Σ_{i=1..d} a_i D_i the terms of a random subset S of k, scaled up, L̂ = (d / k) Σ_{i in S} a_i D_i, are an
unbiased estimate that costs k directions in place of d (Hu, Shukla, Karniadakis, Kawaguchi, Tackling the curse of dimensionality
with physics-informed neural networks, 2024; Shi, Hu, Lin, Kawaguchi, Stochastic Taylor derivative estimator, 2024). For subsets
drawn without replacement

    Var L̂ u = d² / k · (1 - k / d) · s²,      s² = Σ_i (a_i D_i u - mean)² / (d - 1),

which vanishes where all terms are equal, as for a radial Laplacian at the centre. The square of an estimated residual has the mean
r² + Var L̂ u: its minimum is biased towards fields whose terms are equal, by an amount that falls as 1 / k.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from pinnsolve.jets.derivatives import Fields, Network, derivatives
from pinnsolve.jets.plan import Derivative, JetPlan, Operator, plan_jets


class SampledDerivatives:
    """Derivatives in which operators of many terms are estimated from a few, the same at every point.

    It is used in place of `derivatives`.

    Args:
        terms: How many terms of an operator are evaluated; operators of no more are evaluated whole.
        seed: Everything drawn follows from it and the number of the draw.

    Raises:
        ValueError: Less than one term.
    """

    def __init__(self, terms: int, *, seed: int) -> None:
        if terms < 1:
            raise ValueError(f"at least one term must be evaluated, not {terms}")
        self._terms, self._seed = terms, seed
        self.number = 0
        """Of the draw in use."""

    def redraw(self, number: int) -> None:
        """Evaluate other terms from now on; a number gives the same ones each time."""
        self.number = number

    def __call__(
        self, network: Network, points: Tensor, plan: JetPlan, *, wanted: Fields | None = None
    ) -> dict[Derivative, Tensor]:
        """Evaluate, as `derivatives` does."""
        if wanted is None:
            wanted = dict.fromkeys(plan.derivatives, ())
        stand_ins: dict[Derivative, Derivative] = {which: self._sampled(which) for which in wanted}
        if all(which == stand_in for which, stand_in in stand_ins.items()):
            return derivatives(network, points, plan, wanted=wanted)
        fewer = plan_jets(stand_ins.values(), dimension=plan.dimension)
        fields: dict[Derivative, set[int]] = {}
        for which, some in wanted.items():
            fields.setdefault(stand_ins[which], set()).update(some)
        found = derivatives(network, points, fewer, wanted=fields)
        return {which: found[stand_in] for which, stand_in in stand_ins.items()}

    def _sampled(self, which: Derivative) -> Derivative:
        if not isinstance(which, frozenset) or len(which) <= self._terms:
            return which
        pairs = sorted(which)
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self.number)
        chosen = torch.randperm(len(pairs), generator=generator)[: self._terms].tolist()
        scale = Fraction(len(pairs), self._terms)
        return Operator((pairs[k][0], scale * pairs[k][1]) for k in chosen)

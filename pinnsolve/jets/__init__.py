"""Truncated Taylor series of tensors: derivatives of a network of any order in one forward pass.

    plan = plan_jets({(0, 1), (2, 0)}, dimension=2)          # u_t and u_xx, and what they need
    u = derivatives(network, points, plan)                   # {(0, 0): u, (1, 0): u_x, (0, 1): u_t, (2, 0): u_xx}

`plan` chooses the coefficients, `jet` is the series that a network sees as a tensor, `series` and `fusion` are the arithmetic, and
`elementary`, `activations`, `arithmetic`, `linear`, `shapes`, `normalization` hold the rules: one for each function of torch.
"""

from __future__ import annotations

# Imported for the rules they declare.
from pinnsolve.jets import activations, arithmetic, elementary, linear, normalization, shapes  # noqa: F401
from pinnsolve.jets.derivatives import derivatives, nested_derivatives
from pinnsolve.jets.estimates import SampledDerivatives
from pinnsolve.jets.jet import Jet, MissingRuleError, rule, variables
from pinnsolve.jets.plan import HIGHEST_ORDER, Derivative, JetPlan, MultiIndex, Operator, operator, plan_jets
from pinnsolve.jets.statistics import fixed_statistics, mixes_points

__all__ = [
    "HIGHEST_ORDER",
    "Derivative",
    "Jet",
    "JetPlan",
    "MissingRuleError",
    "MultiIndex",
    "Operator",
    "SampledDerivatives",
    "derivatives",
    "fixed_statistics",
    "mixes_points",
    "nested_derivatives",
    "operator",
    "plan_jets",
    "rule",
    "variables",
]

"""Random faults: thousands of evaluations spoilt in every way, in every algorithm, and no parameter that is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pinnsolve as ps
from pinnsolve.training.loop import Progress, train
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import Phase

X = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
TARGET = torch.sin(3 * X[:, 0])
PHASES: Mapping[str, Phase] = {
    "adam": ps.Adam(60, lr=1e-2),
    "soap": ps.SOAP(60),
    "lbfgs": ps.LBFGS(60),
    "ssbroyden": ps.SSBroyden(60),
    "bfgs": ps.BFGS(60),
    "ssbfgs": ps.SSBFGS(60),
    "spring": ps.SPRING(60, resample=0),
    "gauss_newton_cg": ps.GaussNewtonCG(60, iterations=8, rank=4, resample=0),
    "levenberg_marquardt": ps.LevenbergMarquardt(60),
}
SPOILT = (math.nan, math.inf, -math.inf, 1e200, 1e-200)
"""Factors on a residual: not a number, infinite, so large that its square is, and so small that its square is nothing."""


class Faulty:
    """Residuals of a fit, some of which are spoilt, whole or in one row."""

    def __init__(self, network: nn.Module, seed: int) -> None:
        self.network, self.dice = network, np.random.default_rng(seed)
        self.rate = float(self.dice.uniform(0.05, 0.5))
        self.count = 0

    def __call__(self, points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        residual = self.network(points["fit"])[:, 0] - TARGET[: len(points["fit"])]
        if self.dice.random() < self.rate:
            self.count += 1
            factor = torch.ones(len(residual), dtype=residual.dtype)
            rows = slice(None) if self.dice.random() < 0.5 else int(self.dice.integers(len(residual)))
            factor[rows] = float(self.dice.choice(SPOILT))
            residual = residual * factor
        return {"fit": residual}


@pytest.mark.thorough
@pytest.mark.parametrize("name", PHASES)
def test_a_thousand_random_faults_leave_no_parameter_that_is_not_finite(name: str) -> None:
    faults, seed = 0, 0
    while faults < 1_000:
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1)).double()
        faulty = Faulty(network, seed)
        objective = Objective(network, faulty, {"fit": X})

        def check(_: Progress, objective: Objective = objective) -> None:
            assert objective.vector.isfinite().all()

        train(objective, [PHASES[name]], observers=[check])
        assert objective.vector.isfinite().all()
        faults, seed = faults + faulty.count, seed + 1
        assert seed < 2_000
    assert faults >= 1_000

"""What a quasi-Newton step costs beside the gradients that it asks for."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
import torch

from pinnsolve.choices import choose, meet_conditions
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.networks import MLP
from pinnsolve.points import TermPoints
from pinnsolve.problem_file import load_problem_file
from pinnsolve.training.objective import Evaluation, Objective
from pinnsolve.training.quasi_newton import SSBroyden

BURGERS = Path(__file__).resolve().parents[1] / "problems" / "burgers.py"


class Timed(Objective):
    """An objective that counts the seconds spent in it."""

    seconds = 0.0

    def evaluate(self, vector: torch.Tensor | None = None) -> Evaluation:
        begin = time.perf_counter()
        try:
            return super().evaluate(vector)
        finally:
            self.seconds += time.perf_counter() - begin


@pytest.mark.slow
def test_a_step_at_two_thousand_parameters_is_nearly_all_gradient() -> None:
    problem, _ = meet_conditions(load_problem_file(BURGERS).problem)
    compiled = compile_problem(problem)
    network = MLP(width=30, depth=3)
    plan = choose(compiled, network)
    trial = build_trial(problem, network, seed=0, dtype=torch.float64, device="cpu")
    points = TermPoints(compiled, plan.counts, plan.sampling, 0, plan.device, "rad")
    objective = Timed(trial, partial(compiled.residuals, trial), points.training(), weights=plan.weights)
    assert 1_900 < objective.size < 2_100
    stepper = SSBroyden(steps=60).start(objective)
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads or before)  # as a run does
    try:
        for _ in range(20):
            stepper.step(objective)
        objective.seconds, begin = 0.0, time.perf_counter()
        for _ in range(40):
            stepper.step(objective)
        seconds = time.perf_counter() - begin
    finally:
        torch.set_num_threads(before)
    assert objective.seconds / seconds >= 0.85

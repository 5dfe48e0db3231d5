"""Objectives: the loss against its definition, the flat vector, and results that are not finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pinnsolve.training.objective import Evaluation, Objective, Points

POINTS = {"inside": torch.linspace(0, 1, 7, dtype=torch.float64)[:, None], "wall": torch.zeros(2, 1).double()}


class Curve(nn.Module):
    """A small network, an unknown, a frozen parameter, one that no residual uses, and a buffer."""

    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first = nn.Parameter(torch.randn(1, 4, generator=generator, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(4, 1, generator=generator, dtype=torch.float64))
        self.unknown = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.tensor(2.0, dtype=torch.float64), requires_grad=False)
        self.register_buffer("shift", torch.tensor(0.5, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh((x - self.shift) @ self.first) @ self.second * self.frozen

    def residuals(self, points: Points) -> dict[str, Tensor]:
        return {
            "equation": self(points["inside"])[:, 0] - self.unknown,
            "boundary": self(points["wall"])[:, 0],
        }


@pytest.fixture
def curve() -> Curve:
    return Curve()


@pytest.fixture
def objective(curve: Curve) -> Objective:
    return Objective(curve, curve.residuals, POINTS, weights={"boundary": 5.0})


def test_the_loss_is_the_weighted_sum_of_mean_squares(objective: Objective) -> None:
    residuals = {name: vector.detach() for name, vector in objective.residuals().items()}
    means = {name: float((vector @ vector) / len(vector)) for name, vector in residuals.items()}
    expected = means["equation"] + 5 * means["boundary"]
    evaluation = objective.evaluate()
    assert evaluation.terms == pytest.approx(means, rel=1e-14)
    assert evaluation.loss == pytest.approx(expected, rel=1e-14)
    assert float(objective.loss().detach()) == evaluation.loss
    assert objective.value().loss == evaluation.loss
    assert objective.value().terms == evaluation.terms


def test_the_gradient_is_that_of_central_differences(objective: Objective) -> None:
    start, h = objective.vector, 1e-6
    evaluation = objective.evaluate()
    differences = []
    for direction in torch.eye(objective.size, dtype=torch.float64):
        ahead, behind = (objective.evaluate(start + sign * h * direction).loss for sign in (1, -1))
        differences.append((ahead - behind) / (2 * h))
    assert torch.allclose(evaluation.gradient, torch.tensor(differences).double(), atol=1e-8)
    assert evaluation.gradient_norm == pytest.approx(float(evaluation.gradient.norm()), rel=1e-14)


def test_what_is_frozen_is_no_part_of_the_vector_and_what_is_unused_has_no_gradient(
    objective: Objective, curve: Curve
) -> None:
    assert objective.size == 4 + 4 + 1 + 2
    assert torch.equal(objective.evaluate().gradient[-2:], torch.zeros(2).double())
    objective.vector = torch.zeros(objective.size, dtype=torch.float64)
    assert float(curve.frozen.detach()) == 2.0


def test_the_vector_is_a_copy_and_sets_every_parameter(objective: Objective, curve: Curve) -> None:
    before = objective.vector
    objective.vector = torch.arange(11, dtype=torch.float64)
    assert torch.equal(curve.second.detach()[:, 0], torch.tensor([4.0, 5, 6, 7]).double())
    assert float(curve.unknown.detach()) == 8
    objective.vector.zero_()
    assert torch.equal(objective.vector, torch.arange(11, dtype=torch.float64))
    objective.vector = before
    assert torch.equal(objective.vector, before)
    with pytest.raises(RuntimeError):
        objective.vector = torch.zeros(12, dtype=torch.float64)


def test_evaluating_at_a_vector_leaves_the_parameters_there(objective: Objective) -> None:
    vector = objective.vector + 0.1
    evaluation = objective.evaluate(vector)
    assert torch.equal(objective.vector, vector)
    assert objective.evaluate().loss == evaluation.loss


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_results_that_are_not_finite_are_returned(objective: Objective, bad: float) -> None:
    vector = objective.vector
    vector[8] = bad
    evaluation = objective.evaluate(vector)
    assert not evaluation.finite
    assert not math.isfinite(objective.value().loss)


def test_a_gradient_that_is_not_finite_shows_although_the_loss_is_finite() -> None:
    module = nn.ParameterDict({"x": torch.zeros(1, dtype=torch.float64)})
    objective = Objective(module, lambda _: {"root": module["x"].sqrt()}, {})
    evaluation = objective.evaluate()
    assert evaluation.loss == 0
    assert not evaluation.finite


def test_a_residual_that_is_too_large_to_be_squared_is_not_finite() -> None:
    module = nn.ParameterDict({"x": torch.full((1,), 1e200, dtype=torch.float64)})
    assert not Objective(module, lambda _: {"large": module["x"]}, {}).evaluate().finite


def test_changing_the_precision_moves_no_point(objective: Objective, curve: Curve) -> None:
    objective.to(torch.float32)
    assert objective.dtype == curve.shift.dtype == objective.points["inside"].dtype == torch.float32
    assert objective.evaluate().gradient.dtype == torch.float32
    objective.to(torch.float64)
    assert torch.equal(objective.points["inside"], POINTS["inside"])
    assert objective.evaluate().gradient.dtype == torch.float64


def test_replaced_points_are_used_and_the_others_stay(objective: Objective) -> None:
    before = objective.evaluate().terms
    objective.replace_points({"wall": torch.full((5, 1), 3.0)})
    after = objective.evaluate().terms
    assert after["equation"] == before["equation"]
    assert after["boundary"] != before["boundary"]
    assert objective.points["wall"].dtype == torch.float64
    assert objective.count == 7 + 5
    with pytest.raises(ValueError, match=r"wal.*inside.*wall"):
        objective.replace_points({"wal": torch.ones(5, 1)})


def test_residuals_may_differentiate_with_autograd_and_run_without_gradients_too() -> None:
    module = nn.Linear(1, 1).double()

    def residuals(points: Points) -> dict[str, Tensor]:
        x = points["x"].clone().requires_grad_()
        slope = torch.autograd.grad(module(x).sum(), x, create_graph=True)[0]
        return {"slope": slope[:, 0] - 1}

    objective = Objective(module, residuals, {"x": torch.zeros(3, 1)})
    with torch.no_grad():
        value, evaluation = objective.value(), objective.evaluate()
    assert value.loss == evaluation.loss
    assert evaluation.gradient_norm > 0


def test_a_weight_for_no_term_is_an_error_that_names_the_terms(curve: Curve) -> None:
    objective = Objective(curve, curve.residuals, POINTS, weights={"bundary": 2.0})
    with pytest.raises(ValueError, match=r"bundary.*equation.*boundary"):
        objective.evaluate()


def test_a_module_without_anything_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to train"):
        Objective(nn.Identity(), lambda _: {}, {})


def test_an_evaluation_survives_its_state(objective: Objective) -> None:
    evaluation = objective.evaluate()
    read = Evaluation.load(evaluation.state())
    assert read is not None
    assert (read.loss, read.gradient_norm, read.terms) == (
        evaluation.loss,
        evaluation.gradient_norm,
        evaluation.terms,
    )
    assert torch.equal(read.gradient, evaluation.gradient)
    assert Evaluation.load({"steps": 3}) is None


def test_no_global_setting_is_touched(objective: Objective) -> None:
    before = torch.get_default_dtype(), torch.random.get_rng_state(), torch.is_grad_enabled()
    objective.evaluate()
    objective.value()
    assert torch.get_default_dtype() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert torch.is_grad_enabled() == before[2]

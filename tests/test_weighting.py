"""Weightings: weights by hand from small residuals, what they balance, invariants, the loop that updates them, and solutions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sympy import Eq, exp, pi, sin, symbols
from torch import Tensor, nn

import pinnsolve as ps
from pinnsolve.training.loop import Progress, train
from pinnsolve.training.objective import Objective, Points
from pinnsolve.training.weighting import NTK, Causal, GradientNorm, Place, ResidualAttention, SelfAdaptive, Weighting
from pinnsolve.training.weights import Weights, normalised

PLACES = {
    "inside": Place("equation", {"x": 0, "t": 1}),
    "wall": Place("condition", {"t": 0}),
    "sensor": Place("data", {"t": 0}),
}


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


class Given(nn.Module):
    """Residuals that are a parameter each, one for every point: whatever a test says they are."""

    def __init__(self, **residuals: list[float]) -> None:
        super().__init__()
        made = {name: nn.Parameter(torch.tensor(r, dtype=torch.float64)) for name, r in residuals.items()}
        self.values = nn.ParameterDict(made)

    def residuals(self, points: Points) -> dict[str, Tensor]:
        return {name: self.values[name][: len(points[name])] for name in points}


def given_objective(points: Mapping[str, Tensor] | None = None, **residuals: list[float]) -> Objective:
    module = Given(**residuals)
    if points is None:
        points = {name: torch.linspace(0, 1, len(r)).double()[:, None].expand(-1, 2) for name, r in residuals.items()}
    return Objective(module, module.residuals, points)


def known(objective: Objective) -> dict[str, Place]:
    return {name: PLACES[name] for name in objective.points}


class Net(nn.Module):
    """A small network with three terms of different scale, two on the same points."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.first = nn.Parameter(torch.randn(2, 5, generator=generator, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(5, generator=generator, dtype=torch.float64))

    def forward(self, points: Tensor) -> Tensor:
        return torch.tanh(points @ self.first) @ self.second

    def residuals(self, points: Points) -> dict[str, Tensor]:
        terms = {"inside": lambda v: 30 * v - 7, "other": lambda v: 0.1 * v.square(), "wall": lambda v: v - 1}
        return {name: term(self(points[name])) for name, term in terms.items() if name in points}

    def objective(self, **more: Any) -> Objective:
        generator = torch.Generator().manual_seed(2)
        inside = torch.rand(12, 2, generator=generator, dtype=torch.float64)
        wall = torch.rand(5, 2, generator=generator, dtype=torch.float64)
        return Objective(self, self.residuals, {"inside": inside, "other": inside, "wall": wall}, **more)


NET_PLACES = {name: Place("equation", {"x": 0, "t": 1}) for name in ("inside", "other")} | {
    "wall": Place("condition", {"x": 0, "t": 1})
}


def listed(weights: Weights, name: str = "inside") -> list[float]:
    return weights.points[name].tolist()


def test_attention_is_the_moving_average_of_relative_residuals_squared() -> None:
    objective = given_objective(inside=[1.0, -3.0])
    objective.weights = ResidualAttention(decay=0.9).update(objective, known(objective))
    assert listed(objective.weights) == pytest.approx([0.5**2 / 1.25, 1.5**2 / 1.25])
    objective.vector = torch.tensor([2.0, 2.0]).double()
    found = ResidualAttention(decay=0.9).update(objective, known(objective))
    factors = [0.9 * 0.5 + 0.1, 0.9 * 1.5 + 0.1]
    mean = sum(f * f for f in factors) / 2
    assert listed(found) == pytest.approx([f * f / mean for f in factors])


def test_ascent_multiplies_by_the_squared_residual_relative_to_the_largest() -> None:
    objective = given_objective(inside=[1.0, -2.0, 0.0])
    rule = SelfAdaptive(rate=0.5)
    growth = torch.tensor([1 + 0.5 / 4, 1.5, 1.0]).double().square()
    objective.weights = rule.update(objective, known(objective))
    assert torch.allclose(objective.weights.points["inside"], growth / growth.mean(), rtol=1e-14)
    twice = rule.update(objective, known(objective)).points["inside"]
    assert torch.allclose(twice, growth.square() / growth.square().mean(), rtol=1e-14)


def test_ascent_goes_along_the_gradient_of_the_loss_by_the_factors() -> None:
    residual = torch.tensor([0.3, -1.0, 2.0, 0.7]).double()
    factors = torch.tensor([1.0, 2.0, 0.5, 1.5], dtype=torch.float64, requires_grad=True)
    ((factors * residual).square().mean()).backward()
    assert factors.grad is not None
    objective = given_objective(inside=residual.tolist())
    before = normalised(factors.detach().square())
    objective.weights = Weights(points={"inside": before})
    step = 1e-5
    after = SelfAdaptive(rate=step).update(objective, known(objective)).points["inside"]
    ascended = (factors + step / 2 * len(residual) * factors.grad / residual.square().max()).detach()
    assert torch.allclose(after, normalised(ascended.square()), rtol=1e-12)


def test_causal_weights_are_exponentials_of_what_is_left_at_earlier_times() -> None:
    # Bins [0, 1/2) and [1/2, 1]; the mean square in the first is (1 + 4) / 2.
    places = torch.tensor([[9.0, 0.0], [9.0, 0.9], [9.0, 0.4], [9.0, 1.0]]).double()
    objective = given_objective({"inside": places}, inside=[1.0, 5.0, 2.0, 7.0])
    found = Causal("t", bins=2, tolerances=[0.2]).update(objective, known(objective))
    late = math.exp(-0.2 * 2.5)
    mean = (1 + late) / 2
    assert listed(found) == pytest.approx([1 / mean, late / mean, 1 / mean, late / mean])


def test_causal_weights_count_every_equation_once_and_no_condition() -> None:
    times = {"a": column(0.0, 1.0), "b": column(0.2, 0.8, 1.0), "wall": column(0.0, 1.0)}
    places = {name: Place("equation" if name != "wall" else "condition", {"t": 0}) for name in times}
    objective = given_objective(times, a=[1.0, 9.0], b=[2.0, 9.0, 9.0], wall=[50.0, 50.0])
    found = Causal("t", bins=2, tolerances=[0.1]).update(objective, places)
    late = math.exp(-0.1 * (1 + 4))
    assert set(found.points) == {"a", "b"}
    assert listed(found, "a") == pytest.approx([2 / (1 + late), 2 * late / (1 + late)])
    assert listed(found, "b") == pytest.approx([v / ((1 + 2 * late) / 3) for v in (1, late, late)])


def test_what_happens_late_does_not_change_what_matters_early() -> None:
    objective = Net().objective()
    rule = Causal("t", bins=4, tolerances=[1e-3])
    time = objective.points["inside"][:, 1]
    found = rule.update(objective, NET_PLACES).points["inside"]
    ordered = found[time.argsort()]
    assert (ordered.diff() <= 0).all() and ordered[0] > 1.5 * ordered[-1]
    assert rule.update(objective, NET_PLACES).points["other"] is not None
    weights = rule.update(objective, NET_PLACES)
    assert weights.points["inside"] is weights.points["other"]  # the same points at the same times


def test_the_next_tolerance_has_its_turn_when_the_last_time_matters() -> None:
    objective = given_objective({"inside": torch.rand(8, 2).double()}, inside=[1e-2] * 8)
    rule = Causal("t", bins=2, tolerances=[1.0, 1e6], threshold=0.99)
    objective.weights = rule.update(objective, known(objective))
    assert objective.weights.stage == 1 and min(listed(objective.weights)) > 0.99
    objective.weights = rule.update(objective, known(objective))
    assert objective.weights.stage == 1 and min(listed(objective.weights)) < 1e-6
    objective.vector = torch.zeros(8).double()
    assert rule.update(objective, known(objective)).stage == 1  # there is no further one
    assert listed(rule.update(objective, known(objective))) == [1.0] * 8


def test_a_time_that_no_equation_ranges_over_is_named() -> None:
    with pytest.raises(ps.ProblemError, match=r"Causal · time=tau"):
        Causal("tau").update(given_objective(inside=[1.0, 2.0]), {"inside": PLACES["inside"]})


def test_gradients_of_weighted_terms_become_equally_long() -> None:
    objective = Net().objective()
    before = [float(gradient.norm()) for gradient in objective.gradients().values()]
    assert max(before) > 100 * min(before)
    objective.weights = GradientNorm().update(objective, NET_PLACES)
    lengths = [objective.weights.terms[name] * float(g.norm()) for name, g in objective.gradients().items()]
    assert lengths == pytest.approx([lengths[0]] * 3, rel=1e-12)
    assert sum(objective.weights.terms.values()) == pytest.approx(3, rel=1e-14)


def test_weights_of_terms_are_averaged_with_those_before() -> None:
    # The mean square of two parameters has the gradient r: the lengths are 5 and 10, and the balance 4/3 to 2/3.
    objective = given_objective(a=[3.0, 4.0], b=[6.0, -8.0])
    objective.weights = Weights({"a": 0.5, "b": 1.5})
    found = GradientNorm(momentum=0.75).update(objective, {})
    assert found.terms == pytest.approx({"a": 0.75 * 0.5 + 0.25 * 4 / 3, "b": 0.75 * 1.5 + 0.25 * 2 / 3})


def test_kernels_of_weighted_terms_have_equal_mean_rates() -> None:
    objective = Net().objective()
    found = NTK().update(objective, NET_PLACES).terms
    rates = []
    for name, residual in objective.residuals().items():
        rows = [torch.autograd.grad(r, parameters_of(objective), retain_graph=True) for r in residual]
        trace = sum(float(part.square().sum()) for row in rows for part in row)
        rates.append(found[name] * trace / len(residual))
    assert rates == pytest.approx([rates[0]] * 3, rel=1e-12)
    assert sum(found.values()) == pytest.approx(3, rel=1e-14)


def parameters_of(objective: Objective) -> list[nn.Parameter]:
    return [p for p in objective.module.parameters() if p.requires_grad]


def test_a_part_of_the_points_stands_for_the_kernel_of_all() -> None:
    objective = Net().objective()
    every_third = {name: points[::3] for name, points in objective.points.items()}
    every_third["wall"] = objective.points["wall"][::2]
    part = Net().objective()
    part.replace_points(every_third)
    assert NTK(points=4).update(objective, {}).terms == pytest.approx(NTK().update(part, {}).terms, rel=1e-12)


def test_the_weight_of_a_term_without_gradient_is_bounded() -> None:
    objective = given_objective(met=[0.0, 0.0], unmet=[1.0, 1.0], less=[0.5, 0.5])
    terms = GradientNorm().update(objective, {}).terms
    assert terms["less"] == pytest.approx(2 * terms["unmet"]) and terms["met"] == pytest.approx(3, rel=1e-5)
    assert terms["met"] / terms["unmet"] == pytest.approx(1e6 * 1 / 1.5)


RULES: list[Weighting] = [GradientNorm(), NTK(), ResidualAttention(), SelfAdaptive(), Causal("t")]
NAMES = [type(rule).__name__ for rule in RULES]


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_residuals_that_are_not_finite_change_nothing(rule: Weighting, bad: float) -> None:
    module = Net()
    objective = module.objective()
    objective.weights = rule.update(objective, NET_PLACES)
    before = objective.weights
    with torch.no_grad():
        module.second[0] = bad
    assert rule.update(objective, NET_PLACES) is before


@pytest.mark.parametrize("rule", [GradientNorm(), ResidualAttention(), SelfAdaptive()], ids=lambda r: type(r).__name__)
def test_residuals_that_vanish_everywhere_change_nothing(rule: Weighting) -> None:
    objective = given_objective(inside=[0.0, 0.0], wall=[0.0, 0.0])
    assert rule.update(objective, known(objective)) is objective.weights


@pytest.mark.parametrize("rule", RULES[2:4], ids=NAMES[2:4])
def test_measured_values_and_single_points_keep_their_weight(rule: Weighting) -> None:
    objective = given_objective(inside=[1.0, 2.0], wall=[3.0], sensor=[1.0, 9.0])
    assert set(rule.update(objective, known(objective)).points) == {"inside"}


residuals = st.lists(st.floats(-1e160, 1e160, allow_subnormal=False), min_size=6, max_size=6)


@pytest.mark.parametrize("rule", [*RULES[2:4], Causal("t", bins=3)], ids=NAMES[2:])
@given(st.lists(residuals, min_size=1, max_size=8))
def test_weights_of_points_are_always_positive_with_mean_one(rule: Weighting, history: list[list[float]]) -> None:
    objective = given_objective(inside=[1.0] * 6)
    for values in history:
        objective.vector = torch.tensor(values, dtype=torch.float64)
        objective.weights = rule.update(objective, known(objective))
        for weights in objective.weights.points.values():
            assert weights.isfinite().all() and (weights > 0).all()
            assert float(weights.mean()) == pytest.approx(1, abs=1e-12)


def test_weights_stay_usable_in_float32_and_at_the_change_to_float64() -> None:
    objective = Net().objective()
    objective.to(torch.float32)
    for rule in RULES:
        objective.weights = rule.update(objective, NET_PLACES)
    assert objective.evaluate().finite
    objective.to(torch.float64)
    for rule in RULES:
        objective.weights = rule.update(objective, NET_PLACES)
    assert all(w.dtype == torch.float64 for w in objective.weights.points.values()) and objective.evaluate().finite


def test_points_take_over_the_weights_of_the_nearest_relative_to_the_ranges() -> None:
    before = torch.tensor([[0.0, 0.0], [1000.0, 1.0]]).double()
    after = torch.tensor([[400.0, 0.0], [400.0, 0.9], [100.0, 0.2]]).double()
    weights = Weights(points={"a": torch.tensor([0.5, 1.5]).double()}).moved({"a": before}, {"a": after})
    expected = torch.tensor([0.5, 1.5, 0.5]).double()
    assert torch.allclose(weights.points["a"], expected / expected.mean())


def test_weights_on_the_same_points_stay_as_they_are_and_shared_ones_stay_shared() -> None:
    points, others = torch.rand(5, 2).double(), torch.rand(5, 2).double()
    factors = normalised(torch.rand(5).double())
    weights = Weights({"a": 2.0}, {"a": factors, "b": factors}, stage=2)
    same = weights.moved({"a": points, "b": points}, {"a": points, "b": points})
    assert same.points["a"] is factors
    moved = weights.moved({"a": points, "b": points}, {"a": others, "b": others})
    assert moved.points["a"] is moved.points["b"] and (moved.terms, moved.stage) == ({"a": 2.0}, 2)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_run_goes_on_from_its_state_bit_for_bit(rule: Weighting) -> None:
    def advance(module: Net, weights: Weights, steps: int) -> Objective:
        objective = module.objective()
        objective.weights = weights
        stepper = ps.Adam(6, 0.01).start(objective)
        for _ in range(steps):
            objective.weights = rule.update(objective, NET_PLACES)
            stepper.restart(objective)
            objective.vector = objective.vector - 1e-3 * objective.evaluate().gradient
        return objective

    whole = advance(Net(), Weights(), 6)
    first = advance(Net(), Weights(), 3)
    module = Net()
    module.load_state_dict(first.module.state_dict())
    resumed = advance(module, Weights.load(first.weights.state()), 3)
    assert torch.equal(whole.vector, resumed.vector)
    assert whole.weights.terms == resumed.weights.terms and whole.weights.stage == resumed.weights.stage
    assert all(torch.equal(w, resumed.weights.points[name]) for name, w in whole.weights.points.items())


@dataclass
class Kept:
    """A weighting that keeps all it gave."""

    rule: Weighting
    given: list[Weights] = field(default_factory=list)

    @property
    def every(self) -> int:
        return self.rule.every

    def update(self, objective: Objective, places: Mapping[str, Place]) -> Weights:
        self.given.append(self.rule.update(objective, places))
        return self.given[-1]


@pytest.mark.parametrize("phase", [ps.Adam(30, 0.01), ps.LBFGS(30), ps.SSBroyden(30)], ids=lambda p: p.name)
def test_the_loop_updates_weights_at_the_start_of_a_phase_and_every_so_many_steps(phase: Any) -> None:
    kept = Kept(ResidualAttention(every=8))
    objective = Net().objective()
    seen: list[int] = []
    train(objective, [phase], weighting=kept, places=NET_PLACES, observers=[lambda p: seen.append(len(kept.given))])
    assert seen == [1 + step // 8 for step in range(30)]
    assert objective.weights is kept.given[-1]


def test_every_step_is_made_on_the_loss_with_the_weights_in_force() -> None:
    objective = Net().objective()
    losses: list[tuple[float, float]] = []

    def look(progress: Progress) -> None:
        losses.append((progress.loss, objective.value().loss))

    rule = ResidualAttention(every=3)
    train(objective, [ps.Adam(7, 0.01), ps.LBFGS(7)], weighting=rule, places=NET_PLACES, observers=[look])
    assert all(told == pytest.approx(found, rel=1e-12) for told, found in losses)


def test_the_best_state_is_told_by_the_weights_given_at_the_start() -> None:
    @dataclass(frozen=True)
    class Falling:
        """Weights that fall so fast that the weighted loss falls whatever the parameters do."""

        every: int = 1

        def update(self, objective: Objective, places: Mapping[str, Place]) -> Weights:
            before = objective.weights.terms.get("inside", 1.0)
            return Weights(dict.fromkeys(("inside", "other", "wall"), before * 1e-3))

    objective = Net().objective(weights={"wall": 7.0})
    fixed = Net().objective(weights={"wall": 7.0})
    losses: dict[int, float] = {0: fixed.value().loss}

    def look(progress: Progress) -> None:
        fixed.vector = objective.vector
        losses[progress.step] = fixed.value().loss

    result = train(objective, [ps.Adam(12, 0.3)], weighting=Falling(), observers=[look])
    assert result.best_step == min(losses, key=lambda step: losses[step]) < 12
    assert result.best_loss == pytest.approx(losses[result.best_step], rel=1e-12)


def test_held_out_losses_keep_their_weights() -> None:
    module = Net()
    objective, held_out = module.objective(), module.objective()
    rule = GradientNorm(every=5)
    result = train(objective, [ps.Adam(20, 0.01)], held_out=held_out, weighting=rule, check_every=1)
    assert held_out.weights.terms == {} and objective.weights.terms
    assert result.best_loss == pytest.approx(held_out.value().loss, rel=1e-12)


def test_weights_follow_redrawn_points() -> None:
    objective = Net().objective()
    generator = torch.Generator().manual_seed(5)

    def resample(step: int) -> dict[str, Tensor]:
        inside = torch.rand(12, 2, generator=generator, dtype=torch.float64)
        return {"inside": inside, "other": inside}

    seen: list[Weights] = []

    def look(progress: Progress) -> None:
        seen.append(objective.weights)

    rule = SelfAdaptive(every=100, rate=3.0)
    train(objective, [ps.Adam(4, resample=2)], resample=resample, weighting=rule, places=NET_PLACES, observers=[look])
    first, moved = seen[1].points, seen[2].points
    assert torch.equal(first["wall"], moved["wall"]) and not torch.equal(first["inside"], moved["inside"])
    assert float(moved["inside"].mean()) == pytest.approx(1) and len(moved["inside"].unique()) > 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientNorm(every=0), r"GradientNorm · every=0 · .*at least 1"),
        (lambda: GradientNorm(momentum=1.0), r"momentum=1\.0"),
        (lambda: NTK(momentum=-0.1), r"momentum=-0\.1"),
        (lambda: NTK(points=0), r"NTK · points=0"),
        (lambda: ResidualAttention(decay=1.0), r"decay=1\.0"),
        (lambda: SelfAdaptive(rate=0.0), r"rate=0\.0"),
        (lambda: SelfAdaptive(rate=math.nan), r"rate=nan"),
        (lambda: Causal("t", bins=1), r"bins=1"),
        (lambda: Causal("t", tolerances=()), r"tolerances=\(\)"),
        (lambda: Causal("t", tolerances=(1.0, 0.1)), r"tolerances=\(1\.0, 0\.1\)"),
        (lambda: Causal("t", threshold=1.0), r"threshold=1\.0"),
        (lambda: ps.Training(weighting="ntk"), r"weighting · 'ntk' is not a weighting · .*GradientNorm"),  # type: ignore[arg-type]
        (lambda: ps.Training(weighting=NTK), r"NTK.* is not a weighting"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(make: Any, message: str) -> None:
    with pytest.raises(ps.ProblemError, match=message):
        make()


x, t, tau = symbols("x t tau")
u = ps.fields("u", x, t)


def heat() -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2) / pi**2)},
        conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
        hard=False,
    )


def test_a_time_that_is_no_coordinate_is_refused_before_the_training() -> None:
    with pytest.raises(ps.ProblemError, match=r"Causal · time=tau.*write one of x, t"):
        ps.solve(heat(), ps.MLP(width=4, depth=1), ps.Training(weighting=Causal(tau)), ps.Exact({u: 0 * x}))


@pytest.mark.parametrize("rule", [*RULES[:4], Causal(t, tolerances=(1.0, 10.0, 100.0))], ids=NAMES)
def test_an_equation_is_solved_with_changing_weights(rule: Weighting) -> None:
    kept = Kept(rule)
    training = ps.Training(
        points={"heat": 150, "initial": 30, "left": 15, "right": 15},
        phases=[ps.Adam(100, 0.01), ps.SSBroyden(120)],
        resample=60,
        weighting=kept,
    )
    exact = ps.Exact({u: exp(-t) * sin(pi * x)})
    solution = ps.solve(heat(), ps.MLP(width=8, depth=2), training, exact, device="cpu", compile="off", plots=False)
    assert solution.errors["u"]["relative_l2"] < 1e-2
    assert len(kept.given) == 1 + -(-100 // rule.every) + -(-120 // rule.every)
    for weights in kept.given:
        terms = list(weights.terms.values())
        assert not terms or (sum(terms) == pytest.approx(4) and min(terms) > 0)
        for factors in weights.points.values():
            assert float(factors.mean()) == pytest.approx(1) and float(factors.min()) > 0
    assert kept.given[-1].terms or kept.given[-1].points

"""First-order optimizers: against torch's own to rounding, resumed bit for bit, and what they do when something goes wrong."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pinnsolve.errors import ProblemError
from pinnsolve.training.decays import Cosine, Decay, Descent, Exponential, Plateau, constant, warm_stable_decay
from pinnsolve.training.first_order import FirstOrder
from pinnsolve.training.loop import train
from pinnsolve.training.objective import Objective, Points
from pinnsolve.training.optimizers import SGD, AdaGrad, Adam, AdamW, RMSprop
from pinnsolve.training.soap import SOAP

ALL = [
    Adam(40, 1e-2, clip=1.0),
    AdamW(40, 1e-2, weight_decay=0.1, decay=Cosine()),
    SGD(40, 1e-2, clip=1.0, nesterov=True, decay=Exponential()),
    AdaGrad(40, clip_value=0.1),
    RMSprop(40, 1e-2, momentum=0.5, decay=Plateau(patience=1, threshold=0.1)),
    SOAP(40, 1e-2, precondition=3),
]
"""Every optimizer, with every decay and way of clipping among them."""

every = pytest.mark.parametrize("phase", ALL, ids=lambda phase: phase.name)


def rosenbrock(dtype: torch.dtype = torch.float64) -> Objective:
    x = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=dtype))
    module = nn.ParameterDict({"x": x})
    return Objective(module, lambda _: {"valley": 10 * (x[1:] - x[:-1] ** 2), "wall": 1 - x}, {})


def regression(dtype: torch.dtype = torch.float64) -> Objective:
    """Fit a layer of neurons to numbers: in its vector come three biases, then a weight matrix of shape (3, 4)."""
    generator = torch.Generator().manual_seed(0)
    inputs, values, weight = (torch.randn(*shape, generator=generator).to(dtype) for shape in ((5, 4), (5, 3), (3, 4)))
    module = nn.ParameterDict({"bias": nn.Parameter(torch.zeros(3, dtype=dtype)), "weight": nn.Parameter(weight)})
    return Objective(
        module, lambda _: {"r": (torch.tanh(inputs @ module["weight"].T + module["bias"]) - values).flatten()}, {}
    )


def faulty(bad: float, *, when: int, loss_too: bool) -> Objective:
    """A parabola whose gradient, and on request whose loss, is not finite at one evaluation."""
    x = nn.Parameter(torch.tensor([[3.0, -2.0], [1.0, 4.0]], dtype=torch.float64))
    calls = 0

    def residuals(_: Points) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        residual = x.flatten() * 1.0
        if calls == when and loss_too:
            return {"r": residual * bad}
        if calls == when:
            residual.register_hook(lambda gradient: gradient * bad)
        return {"r": residual}

    return Objective(nn.ParameterDict({"x": x}), residuals, {})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decay", [constant, warm_stable_decay])
def test_parameters_are_those_of_torch_to_rounding(dtype: torch.dtype, decay: Decay) -> None:
    steps, lr = 200, 3e-2
    ours, theirs = rosenbrock(dtype), rosenbrock(dtype)
    stepper = Adam(steps, lr, betas=(0.8, 0.99), eps=1e-6, decay=decay).start(ours)
    x = theirs.vector.requires_grad_()
    optimizer = torch.optim.Adam([x], lr=lr, betas=(0.8, 0.99), eps=1e-6)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * decay(step / steps)
        x.grad = theirs.evaluate(x.detach()).gradient
        optimizer.step()
        rate = stepper.step(ours).rate
        assert rate == optimizer.param_groups[0]["lr"]
    assert torch.allclose(ours.vector, x.detach(), rtol=100 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("phase", "theirs"),
    [
        (AdamW(100, 1e-2, weight_decay=0.3), torch.optim.AdamW),
        (SGD(100, 1e-2, momentum=0.0), torch.optim.SGD),
        (SGD(100, 1e-2), torch.optim.SGD),
        (SGD(100, 1e-2, momentum=0.8, nesterov=True), torch.optim.SGD),
        (AdaGrad(100), torch.optim.Adagrad),
        (RMSprop(100, 1e-2, alpha=0.9), torch.optim.RMSprop),
        (RMSprop(100, 1e-3, momentum=0.7), torch.optim.RMSprop),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_they_go_where_those_of_torch_go(phase: FirstOrder, theirs: Any, dtype: torch.dtype) -> None:
    ours, other = regression(dtype), regression(dtype)
    own = {"weight_decay", "momentum", "nesterov", "alpha", "eps", "betas"}
    options = {"lr": phase.lr, **{name: value for name, value in asdict(phase).items() if name in own}}
    bias, weight = (part.requires_grad_() for part in other.vector.split([3, 12]))
    optimizer = theirs([{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}], **options)
    stepper = phase.start(ours)
    assert callable(phase.decay)
    for step in range(phase.steps):
        rate = phase.lr * phase.decay(step / phase.steps)
        gradient = other.evaluate(torch.cat([bias, weight]).detach()).gradient
        bias.grad, weight.grad = gradient.split([3, 12])
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        assert stepper.step(ours).rate == rate
    assert torch.allclose(ours.vector, torch.cat([bias, weight]), rtol=0, atol=100 * torch.finfo(dtype).eps)


def test_weights_decay_and_vectors_do_not() -> None:
    module = nn.ParameterDict({"weight": nn.Parameter(torch.ones(2, 3)), "coefficient": nn.Parameter(torch.ones(2))})
    flat = Objective(module, lambda _: {"r": torch.stack([0.0 * p.sum() for p in module.values()])}, {})
    stepper = AdamW(2, 0.1, weight_decay=0.5, decay=constant).start(flat)
    stepper.step(flat)
    stepper.step(flat)
    assert torch.allclose(module["weight"], torch.tensor(0.95**2)) and torch.equal(module["coefficient"], torch.ones(2))


@every
def test_the_returned_loss_belongs_to_the_parameters_it_leaves(phase: FirstOrder) -> None:
    objective, other = regression(), regression()
    stepper = phase.start(objective)
    for _ in range(10):
        step = stepper.step(objective)
        assert step.loss == other.evaluate(objective.vector).loss


@every
def test_a_step_costs_one_evaluation_and_the_first_and_every_restart_one_more(phase: FirstOrder) -> None:
    objective = regression()
    stepper = phase.start(objective)
    counts = [stepper.step(objective).evaluations for _ in range(3)]
    stepper.restart(objective)
    counts += [stepper.step(objective).evaluations for _ in range(2)]
    assert counts == [2, 1, 1, 2, 1]


@every
def test_a_run_lowers_the_loss_and_its_record_is_json(phase: FirstOrder) -> None:
    objective = regression()
    start = objective.value().loss
    result = train(objective, [replace(phase, steps=100)])
    assert objective.value().loss < 0.95 * start
    (record,) = json.loads(json.dumps([asdict(phase) for phase in result.phases]))
    assert record["name"] == phase.name and record["steps"] == 100 and record["ended"] == "steps"


@pytest.mark.parametrize(("clip", "clip_value"), [(0.3, None), (None, 0.1), (0.3, 0.1), (1e9, 1e9)])
def test_gradients_are_clipped_as_by_torch(clip: float | None, clip_value: float | None) -> None:
    objective = regression()
    x = objective.vector.requires_grad_()
    x.grad = objective.evaluate().gradient.clone()
    assert x.grad.norm() > 0.3 and x.grad.abs().max() > 0.1
    if clip is not None:
        torch.nn.utils.clip_grad_norm_([x], clip)
    if clip_value is not None:
        torch.nn.utils.clip_grad_value_([x], clip_value)
    expected = x.detach() - 0.5 * x.grad
    SGD(1, 0.5, momentum=0, decay=constant, clip=clip, clip_value=clip_value).start(objective).step(objective)
    assert torch.allclose(objective.vector, expected, rtol=0, atol=1e-6 if clip == 0.3 else 1e-15)


@every
def test_clipping_shortens_what_every_rule_is_given(phase: FirstOrder) -> None:
    def moved(scale: float, clip: float | None) -> Tensor:
        x = nn.Parameter(torch.eye(2, dtype=torch.float64) + 1)
        factors = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64)
        objective = Objective(nn.ParameterDict({"x": x}), lambda _: {"r": (scale**0.5 * factors * x).flatten()}, {})
        stepper = replace(phase, clip=clip, clip_value=None, decay=constant).start(objective)
        stepper.step(objective)
        return objective.vector

    assert torch.allclose(moved(7.0, 1e-3), moved(1.0, 1e-3), rtol=1e-12)


def test_it_finds_the_minimum_of_a_quadratic_whatever_its_scale() -> None:
    x = nn.Parameter(torch.ones(3, dtype=torch.float64))
    scale = torch.tensor([1.0, 30.0, 1000.0], dtype=torch.float64)
    objective = Objective(nn.ParameterDict({"x": x}), lambda _: {"r": scale * x}, {})
    stepper = Adam(500, 3e-2).start(objective)
    for _ in range(500):
        stepper.step(objective)
    assert float(objective.vector.abs().max()) < 1e-6


def test_the_default_decay_rises_to_one_and_falls_to_a_hundredth() -> None:
    rates = [warm_stable_decay(done / 1000) for done in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert set(rates[20:701]) == {1.0}
    assert rates[-1] == pytest.approx(0.01)
    assert all(a < b for a, b in pairwise(rates[:21]))
    assert all(a > b for a, b in pairwise(rates[701:]))
    assert max(abs(a - b) for a, b in pairwise(rates)) < 0.06


@pytest.mark.parametrize("decay", [Cosine(), Cosine(warm=0.2, floor=0.1), Exponential(), Exponential(0.3, warm=0.1)])
def test_decays_rise_to_one_and_fall_to_their_floor(decay: Cosine | Exponential) -> None:
    top = round(decay.warm * 1000)
    rates = [decay(done / 1000) for done in range(1001)]
    assert rates[0] == pytest.approx(decay.floor) and rates[top] == 1.0 and rates[-1] == pytest.approx(decay.floor)
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a > b for a, b in pairwise(rates[top:]))


def test_a_cosine_is_that_of_torch_and_an_exponential_falls_by_equal_factors() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, eta_min=0.05)
    cosine, exponential = Cosine(warm=0, floor=0.05), Exponential(0.01, warm=0.5)
    for step in range(50):
        assert cosine(step / 50) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        schedule.step()
    assert [exponential(done) for done in (0.5, 0.75, 1.0)] == pytest.approx([1.0, 0.1, 0.01])


@pytest.mark.parametrize("plateau", [Plateau(patience=3), Plateau(0.1, patience=0, threshold=0.2), Plateau(0.9, 7)])
def test_a_plateau_is_that_of_torch(plateau: Plateau) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=plateau.factor,
        patience=plateau.patience,
        threshold=plateau.threshold,
        min_lr=plateau.floor,
        eps=0.0,
    )
    descent = Descent()
    noise = torch.rand(300, generator=torch.Generator().manual_seed(0), dtype=torch.float64).tolist()
    for step, part in enumerate(noise):
        loss = math.exp(-step / 60) + 0.2 * part
        descent = plateau.after(descent, loss)
        theirs.step(loss)
        assert descent.factor == optimizer.param_groups[0]["lr"]
    assert descent.factor < 0.6


def test_the_learning_rate_falls_where_the_loss_stays() -> None:
    stuck = Objective(nn.ParameterDict({"x": (x := nn.Parameter(torch.zeros(2)))}), lambda _: {"r": 1 + 0 * x}, {})
    stepper = Adam(9, 1.0, decay=Plateau(0.5, patience=2, floor=0.25)).start(stuck)
    assert [stepper.step(stuck).rate for _ in range(9)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


@every
@pytest.mark.parametrize("moment", [0, 1, 17])
def test_a_loaded_state_continues_bit_for_bit(phase: FirstOrder, moment: int) -> None:
    straight, first, second = regression(), regression(), regression()
    stepper = phase.start(straight)
    expected = [stepper.step(straight) for _ in range(40)]
    before = phase.start(first)
    for _ in range(moment):
        before.step(first)
    state = before.state()
    second.vector = first.vector
    before.step(first)  # the state is a copy: going on does not change it
    after = phase.start(second)
    after.load(state)
    assert [after.step(second) for _ in range(40 - moment)] == expected[moment:]
    assert torch.equal(second.vector, straight.vector)


@every
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
@pytest.mark.parametrize("when", [1, 2, 5])
@pytest.mark.parametrize("loss_too", [True, False])
def test_a_loss_or_gradient_that_is_not_finite_is_reported_and_spoils_no_parameter(
    phase: FirstOrder, bad: float, when: int, loss_too: bool
) -> None:
    objective = faulty(bad, when=when, loss_too=loss_too)
    stepper = phase.start(objective)
    losses = []
    for _ in range(6):
        losses.append(stepper.step(objective).loss)
        assert objective.vector.isfinite().all()
    assert any(math.isnan(loss) for loss in losses)
    stepper.damp(objective, 0.5)
    assert math.isfinite(stepper.step(objective).loss)
    assert objective.vector.isfinite().all()
    assert all(torch.as_tensor(v).isfinite().all() for name, v in stepper.state().items() if name != "lowest")


@every
def test_damping_lowers_the_rate_and_forgets_the_momentum(phase: FirstOrder) -> None:
    objective = regression()
    stepper = replace(phase, lr=1e-2, decay=constant).start(objective)
    assert stepper.step(objective).rate == 1e-2
    stepper.damp(objective, 0.5)
    stepper.damp(objective, 0.5)
    state = stepper.state()
    assert not any(torch.as_tensor(state[name]).any() for name in ("mean", "velocity") if name in state)
    assert not {"mean", "velocity", "sum"}.isdisjoint(state)
    assert stepper.step(objective).rate == 2.5e-3


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Adam, {"steps": 0}, r"Adam · steps=0 · .*at least 1"),
        (Adam, {"lr": -1e-3}, r"lr=-0\.001"),
        (Adam, {"lr": math.nan}, r"lr=nan"),
        (Adam, {"betas": (0.9, 1.0)}, r"betas"),
        (Adam, {"betas": (0.9,)}, r"betas"),
        (Adam, {"eps": 0.0}, r"eps"),
        (Adam, {"clip": 0.0}, r"clip"),
        (Adam, {"clip_value": -1.0}, r"clip_value"),
        (Adam, {"decay": 0.9}, r"decay=0\.9 · .*Cosine\(\)"),
        (Adam, {"decay": Cosine}, r"decay=.* · .*Cosine\(\)"),
        (Adam, {"resample": -1}, r"resample"),
        (Adam, {"dtype": "float16"}, r"dtype='float16' · .*float32.*float64"),
        (AdamW, {"betas": (0.9, 1.0)}, r"AdamW · betas"),
        (AdamW, {"weight_decay": -1.0}, r"weight_decay=-1"),
        (AdamW, {"weight_decay": 1e3}, r"weight_decay=1000"),
        (SGD, {"momentum": 1.0}, r"SGD · momentum"),
        (SGD, {"momentum": 0.0, "nesterov": True}, r"nesterov=True"),
        (AdaGrad, {"eps": 0.0}, r"AdaGrad · eps"),
        (RMSprop, {"alpha": 1.0}, r"RMSprop · alpha"),
        (RMSprop, {"momentum": -0.1}, r"momentum"),
        (RMSprop, {"eps": -1.0}, r"eps"),
        (SOAP, {"precondition": 0}, r"SOAP · precondition"),
        (SOAP, {"betas": (-0.1, 0.5)}, r"betas"),
        (Cosine, {"warm": 1.0}, r"Cosine · warm=1"),
        (Cosine, {"floor": -0.1}, r"floor"),
        (Exponential, {"floor": 0}, r"Exponential · floor=0 · .*positive"),
        (Plateau, {"factor": 1.0}, r"Plateau · factor=1"),
        (Plateau, {"factor": 0}, r"factor=0 · .*positive"),
        (Plateau, {"patience": -1}, r"patience=-1"),
        (Plateau, {"threshold": math.nan}, r"threshold=nan"),
    ],
)
def test_arguments_without_a_meaning_are_refused_when_written(
    kind: Any, arguments: dict[str, Any], message: str
) -> None:
    steps = {"steps": 5} if issubclass(kind, FirstOrder) else {}
    with pytest.raises(ProblemError, match=message):
        kind(**{**steps, **arguments})

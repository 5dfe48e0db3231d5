"""Regularization: what sees thinned networks and what the mean one, penalties by their definitions, and held-out errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, symbols
from torch import Tensor, nn

import pinnsolve as ps
from pinnsolve.networks import MLP, Architecture, BatchNormalization, Dropout, ResNet, build, random_layers, thinned
from pinnsolve.training.decays import constant
from pinnsolve.training.loop import Progress, train
from pinnsolve.training.modes import changes, in_training
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import Phase

x = symbols("x")
u = ps.fields("u", x)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(spec: Architecture, seed: int = 0) -> nn.Sequential:
    return build(spec, inputs=1, outputs=1, ranges=[(-1, 1)], generator=seeded(seed), dtype=torch.float64)


def table(seed: int = 0, *, count: int = 40, noise: float = 0.3) -> Tensor:
    """Noisy values of sin 3x, shape (points, 2)."""
    at = 2 * torch.rand(count, 1, generator=seeded(100 + seed), dtype=torch.float64) - 1
    errors = torch.randn(count, 1, generator=seeded(200 + seed), dtype=torch.float64)
    return torch.cat([at, torch.sin(3 * at) + noise * errors], 1)


def fitting(network: nn.Module, rows: Tensor) -> Objective:
    return Objective(network, lambda p: {"fit": network(p["fit"][:, :1])[:, 0] - p["fit"][:, 1]}, {"fit": rows})


def modes_of(phase: Phase, spec: Architecture) -> tuple[list[bool], list[bool]]:
    """Whether the network was in training in each evaluation of a phase, and when observers were called."""
    network = built(spec).eval()
    inside: list[bool] = []
    outside: list[bool] = []

    def residuals(points: Any) -> dict[str, Tensor]:
        inside.append(network.training)
        return {"fit": network(points["fit"][:, :1])[:, 0] - points["fit"][:, 1]}

    def look(progress: Progress) -> None:
        outside.append(network.training)

    train(Objective(network, residuals, {"fit": table()}), [phase], observers=[look])
    assert not network.training
    return inside, outside


def test_steps_of_first_order_phases_see_a_network_that_changes_and_nothing_else_does():
    inside, outside = modes_of(ps.Adam(5), MLP(6, 2, dropout=0.2))
    assert inside == [False, *[True] * 6] and not any(outside)  # the loss to start from, then every step
    for phase in (ps.LBFGS(3), ps.LevenbergMarquardt(3), ps.SSBroyden(3)):
        inside, outside = modes_of(phase, MLP(6, 2, dropout=0.2))
        assert inside and not any(inside) and not any(outside)


def test_masks_follow_from_seed_and_step():
    network = built(MLP(50, 2, dropout=0.5))
    drawn: dict[tuple[int, int], Tensor] = {}
    for seed, step in [(0, 0), (0, 1), (1, 0)] * 2:
        with in_training(network, seed=seed, step=step):
            mask = torch.cat([layer.mask for layer in random_layers(network) if isinstance(layer, Dropout)])
        assert torch.equal(drawn.setdefault((seed, step), mask), mask)
    assert len({tuple(mask.tolist()) for mask in drawn.values()}) == 3


def test_equal_seeds_train_alike_and_others_differ():
    def trained(seed: int) -> Tensor:
        objective = fitting(built(MLP(8, 2, dropout=0.3)), table())
        train(objective, [ps.Adam(20, 1e-2)], seed=seed)
        return objective.vector

    assert torch.equal(trained(0), trained(0)) and not torch.equal(trained(0), trained(1))


@pytest.mark.parametrize(
    ("spec", "changing"),
    [
        (MLP(8, 2), False),
        (MLP(8, 2, normalization="layer"), False),
        (MLP(8, 2, normalization="batch"), True),
        (MLP(8, 2, dropout=0.1), True),
        (ResNet(8, 2, stochastic_depth=0.1), True),
    ],
)
def test_what_changes_from_step_to_step_is_known_and_said(spec: Architecture, changing: bool):
    assert changes(built(spec)) is changing
    problem = ps.Problem(domain=ps.Interval(x, 0, 1), equations=Eq(u.diff(x), -u), conditions=Eq(u(0), 1))
    training = ps.Training(points={"equation": 16}, phases=[ps.Adam(3), ps.LBFGS(2)])
    told: list[str] = []
    ps.solve(problem, spec, training, notify=told.append, compile="on" if changing else "off")
    lines = [line for line in told if line.startswith("thinned network: the mean one in LBFGS")]
    assert len(lines) == changing
    assert any("changes from step to step, which a compiled one would not" in line for line in told) is changing


def test_a_batch_normalised_problem_has_one_network_for_all_its_terms(monkeypatch: pytest.MonkeyPatch):
    """The statistics are taken once in a step, over the points of equation and condition together."""
    seen: list[int] = []
    original = BatchNormalization._statistics

    def counted(layer: BatchNormalization, z: Any) -> Any:
        if layer.keeping:
            seen.append(len(z))
        return original(layer, z)

    monkeypatch.setattr(BatchNormalization, "_statistics", counted)
    problem = ps.Problem(domain=ps.Interval(x, 0, 1), equations=Eq(u.diff(x), -u), conditions=Eq(u(0), 1), hard=False)
    training = ps.Training(points={"equation": 16}, phases=[ps.Adam(3)])
    ps.solve(problem, MLP(8, 1, normalization="batch"), training)
    assert seen == [17] * 4


def test_the_averages_of_a_batch_are_those_of_the_state_that_is_kept():
    """The best state comes before the last, the averages go on: the network is left with both as they were then."""
    network, rows = built(MLP(8, 2, normalization="batch")), table()
    held = fitting(network, table(7))
    losses: list[float] = []
    values: list[dict[str, Tensor]] = []

    def look(progress: Progress) -> None:
        assert progress.held_out is not None
        losses.append(progress.held_out)
        values.append({name: value.clone() for name, value in network.state_dict().items()})

    found = train(
        fitting(network, rows), [ps.Adam(60, 0.2, decay=constant)], held_out=held, observers=[look], check_every=1
    )
    best = found.best_step - 1
    assert 0 <= best < 59 and losses[best] == min(losses) == held.value().loss
    for name, value in network.state_dict().items():
        assert torch.equal(value, values[best][name])


def test_squares_of_weights_are_penalised_as_by_torch():
    """torch's `weight_decay` adds its multiple of a parameter to the gradient; here biases have none."""
    ours = nn.Linear(2, 3, dtype=torch.float64)
    theirs = nn.Linear(2, 3, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    at = torch.rand(9, 2, generator=seeded(), dtype=torch.float64)
    objective = Objective(ours, lambda p: {"fit": ours(p["fit"]).sum(1) - 1}, {"fit": at})
    stepper = ps.Adam(steps=20, lr=0.05, decay=constant, l2=0.2).start(objective)
    groups: list[dict[str, Any]] = [{"params": [theirs.weight], "weight_decay": 0.4}, {"params": [theirs.bias]}]
    optimizer = torch.optim.Adam(groups, lr=0.05)
    for _ in range(20):
        stepper.step(objective)
        optimizer.zero_grad()
        (theirs(at).sum(1) - 1).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-10, atol=1e-12)


def test_a_clipped_gradient_is_that_of_the_penalised_loss():
    layer = nn.Linear(2, 2, bias=False, dtype=torch.float64)
    before = layer.weight.detach().clone()
    objective = Objective(layer, lambda p: {"fit": 0 * layer(p["fit"]).sum(1)}, {"fit": torch.ones(3, 2).double()})
    ps.SGD(steps=1, lr=1.0, momentum=0, decay=constant, l2=50.0, clip=0.1).start(objective).step(objective)
    torch.testing.assert_close(layer.weight.detach(), before * (1 - 0.1 / before.norm()))


def test_sizes_of_weights_are_penalised_to_the_known_minimum_with_exact_zeros():
    """Of (w_k - c_k)² + l |w_k| it is c_k shrunk by l/2: Tibshirani (1996), section 2.2, for orthonormal inputs."""
    wanted = torch.tensor([[1.0, -0.5, 0.05, -0.02]], dtype=torch.float64)
    layer = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    objective = Objective(layer, lambda p: {"fit": 2 * (layer.weight - wanted)[0]}, {"fit": torch.zeros(4, 1).double()})
    phase = ps.SGD(steps=400, lr=0.1, momentum=0, decay=constant, l1=0.2)
    stepper = phase.start(objective)
    for _ in range(phase.steps):
        stepper.step(objective)
    expected = torch.nn.functional.softshrink(wanted, 0.1)
    torch.testing.assert_close(layer.weight.detach(), expected, rtol=0, atol=1e-12)
    assert layer.weight[0, 2:].tolist() == [0.0, 0.0]


def solved(spec: Any) -> ps.Solution:
    rows = table()
    observations = ps.Observations(at={x: rows[:, 0].numpy()}, values={u: rows[:, 1].numpy()}, noise=0.3)
    domain = ps.Interval(x, -1, 1)
    problem = ps.Problem(domain=domain, equations=Eq(u.diff(x, 2), -9 * u), data={"sensors": observations})
    return ps.solve(problem, spec, ps.Training(points={"equation": 16}, phases=[ps.Adam(50)]), seed=1)


def test_thinned_networks_spread_and_the_solution_is_the_mean_one():
    solution = solved(MLP(16, 2, dropout=0.2))
    at = np.linspace(-1, 1, 7)
    first = solution(x=at)
    spread = solution.spread(30, x=at)
    assert spread.shape == (7,) and (spread > 1e-3).all()
    assert np.array_equal(spread, solution.spread(30, x=at)) and not np.array_equal(
        spread, solution.spread(30, seed=1, x=at)
    )
    assert np.array_equal(first, solution(x=at))
    assert isinstance(solution.spread(3, x=torch.tensor([0.5])), Tensor)
    drawn, generator = [], seeded()
    for _ in range(30):
        with thinned(solution.trial, generator):
            drawn.append(solution(x=at))
    np.testing.assert_allclose(spread, np.std(drawn, axis=0, ddof=1), rtol=1e-12)


def test_a_solution_of_which_nothing_is_left_out_has_no_spread():
    solution = solved(MLP(4, 1))
    with pytest.raises(ps.ProblemError, match=r"nothing is left out · train ps.MLP\(dropout=0.1\)"):
        solution.spread(x=0.5)
    with pytest.raises(ps.ProblemError, match=r"1 samples · write at least 2"):
        solved(MLP(4, 1, dropout=0.1)).spread(1, x=0.5)


def test_thinned_solutions_are_stored_and_read_back(tmp_path: Any):
    for spec in (ResNet(8, 2, dropout=0.2, stochastic_depth=0.3), MLP(8, 2, normalization="batch")):
        solution = solved(spec)
        read = ps.load(solution.save(tmp_path / type(spec).__name__))
        assert read.network_spec == spec and read(x=0.3) == solution(x=0.3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(dropout=1), r"MLP dropout · found 1 · write a probability such as 0.1"),
        (lambda: ResNet(stochastic_depth=-0.1), r"ResNet stochastic_depth · found -0.1"),
        (
            lambda: MLP(normalization="instance"),
            r"MLP normalization · 'instance' does not exist · use one of layer, group",
        ),
        (lambda: MLP(10, normalization="group"), r"MLP groups · found 4 of 10 units · write a divisor of the width"),
        (lambda: MLP(initialization="zeros"), r"MLP initialization · 'zeros' does not exist · use one of xavier, he"),
        (
            lambda: ResNet(checkpointing=True, normalization="batch"),
            r"ResNet checkpointing .* write normalization=\"group\"",
        ),
        (lambda: ResNet(checkpointing=1), r"ResNet checkpointing · found 1 · write True or False"),  # type: ignore[arg-type]
        (lambda: ps.Adam(5, l2=-1), r"Adam · l2=-1 · write a small positive number such as 1e-4, or 0"),
    ],
)
def test_a_mistake_is_refused_where_it_is_written(make: Callable[[], object], message: str):
    with pytest.raises(ps.ProblemError, match=message):
        make()


def held_out_error(spec: Architecture, phase: Phase, seed: int) -> float:
    """Fit 40 noisy values to the end and return the rms error against the truth between them."""
    network = built(spec, seed)
    rows = table(seed)
    # The best state by the training loss of the mean network: the end of the training, as good as.
    train(fitting(network, rows), [phase], held_out=fitting(network, rows), seed=seed)
    at = torch.linspace(-1, 1, 401, dtype=torch.float64)[:, None]
    with torch.no_grad():
        return float((network(at) - torch.sin(3 * at)).square().mean().sqrt())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_regularization_lowers_the_held_out_error_of_an_over_sized_network():
    """12,000 weights, 40 values with noise of 0.3, medians of seeds 0 to 4: see the README for the figures."""
    plain, adam = ResNet(32, 6, "silu"), ps.Adam(2_000, 3e-3)
    cases: dict[str, tuple[Architecture, Phase]] = {
        "plain": (plain, adam),
        "dropout": (replace(plain, dropout=0.3), adam),
        "stochastic depth": (replace(plain, stochastic_depth=0.6), adam),
        "l2": (plain, ps.Adam(2_000, 3e-3, l2=1e-3)),
        "weight decay": (plain, ps.AdamW(2_000, 3e-3, weight_decay=3.0)),
    }
    found = {name: median(held_out_error(*case, seed) for seed in range(5)) for name, case in cases.items()}
    print(found)
    for name in ("dropout", "stochastic depth", "l2", "weight decay"):
        assert 1.3 * found[name] < found["plain"], name

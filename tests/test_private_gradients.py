"""Private gradients: against the gradient they stand for, the bound on a record's part, the noise, and a membership attack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pinnsolve.training.accountant import noise_for
from pinnsolve.training.loop import train
from pinnsolve.training.objective import Objective
from pinnsolve.training.optimizers import Adam
from pinnsolve.training.private_gradients import Mechanism, PrivateGradient, PrivateObjective

WEIGHTS = {"value": 3.0, "slope": 6.0}


class Cubic(nn.Module):
    """A small nonlinear function of one coordinate."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 2)).double()


def misfits(module: Cubic, points: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Two measured quantities of each record, column 1 the measured value; and a public term."""
    found = {}
    for name, tensor in points.items():
        values = module.net(tensor[:, :1])
        found[name] = values[:, 0] * 0.1 if name == "public" else values[:, int(name == "slope")] - tensor[:, 1]
    return found


def made(count: int, *, seed: int = 0) -> tuple[Cubic, dict[str, Tensor]]:
    torch.manual_seed(seed)
    module = Cubic()
    x = torch.linspace(-1, 1, count, dtype=torch.float64)
    values = {"value": torch.sin(3 * x), "slope": 3 * torch.cos(3 * x)}
    return module, {name: torch.stack([x, v], 1) for name, v in values.items()}


def source(module: Cubic, points: Mapping[str, Tensor], mechanism: Mechanism) -> PrivateGradient:
    return PrivateGradient(module, partial(misfits, module), points, WEIGHTS, mechanism)


def vector(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def test_without_clip_noise_and_sampling_it_is_the_gradient_of_the_weighted_misfits() -> None:
    module, points = made(20)
    expected = Objective(module, partial(misfits, module), points, weights=WEIGHTS).evaluate().gradient
    found = source(module, points, Mechanism(1e9, 0.0, 1.0, 1)).release(vector(module))
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_a_record_changes_the_sum_by_no_more_than_the_clip() -> None:
    """With every record but one, however large that one is: all its terms together are bounded, not each."""
    clip, count = 0.2, 12
    module, points = made(count)
    for tensor in points.values():
        tensor[3, 1] = 1e6
    mechanism = Mechanism(clip, 0.0, 1.0, 2)
    scale = max(WEIGHTS.values())
    whole = source(module, points, mechanism).release(vector(module)) * count / scale
    fewer = {name: torch.cat([tensor[:3], tensor[4:]]) for name, tensor in points.items()}
    without = source(module, fewer, mechanism).release(vector(module)) * (count - 1) / scale
    assert float((whole - without).norm()) == pytest.approx(clip, rel=1e-9)


def test_a_record_that_is_not_finite_has_no_part() -> None:
    module, points = made(5)
    points["slope"][2, 1] = math.inf
    assert bool(torch.isfinite(source(module, points, Mechanism(1.0, 0.0, 1.0, 1)).release(vector(module))).all())


def test_noise_and_sampling_are_those_of_the_mechanism() -> None:
    module, points = made(8)
    noised = source(module, points, Mechanism(0.5, 3.0, 1.0, 150))
    drawn = torch.stack([noised.release(vector(module)) for _ in range(150)])
    assert float(drawn.std(0).mean()) == pytest.approx(max(WEIGHTS.values()) * 3.0 * 0.5 / 8, rel=0.06)
    # Records that all pull by the whole clip in one direction: the sum counts those that were drawn.
    level = nn.Linear(1, 1, bias=False).double()

    def pull(points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: level(tensor)[:, 0] - 1e3 for name, tensor in points.items()}

    counting = PrivateGradient(
        level, pull, {"ones": torch.ones(50, 1, dtype=torch.float64)}, {}, Mechanism(0.5, 0.0, 0.3, 300)
    )
    counts = [-float(counting.release(vector(level))) * 0.3 * 50 / 0.5 for _ in range(300)]
    assert np.mean(counts) == pytest.approx(15, abs=0.6) and np.var(counts) == pytest.approx(10.5, rel=0.35)
    assert np.allclose(counts, np.rint(counts))


def test_noise_does_not_repeat_from_run_to_run() -> None:
    module, points = made(4)
    torch.manual_seed(0)
    one = source(module, points, Mechanism(1.0, 1.0, 1.0, 1)).release(vector(module))
    torch.manual_seed(0)
    assert not torch.equal(one, source(module, points, Mechanism(1.0, 1.0, 1.0, 1)).release(vector(module)))


def test_beyond_the_planned_releases_there_are_none() -> None:
    module, points = made(4)
    asked = source(module, points, Mechanism(1.0, 1.0, 1.0, 2))
    for _ in range(2):
        asked.release(vector(module))
    with pytest.raises(RuntimeError, match="beyond the budget"):
        asked.release(vector(module))


def test_losses_are_those_of_public_terms_and_the_last_state_is_kept() -> None:
    module, points = made(6)
    public = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    objective = PrivateObjective(module, partial(misfits, module), {"public": public})
    before = objective.evaluate()
    objective.observe([source(module, points, Mechanism(1.0, 5.0, 1.0, 100))])
    noised = objective.evaluate()
    assert noised.loss == before.loss and set(noised.terms) == {"public"}
    assert not torch.allclose(noised.gradient, before.gradient)
    seen: list[Tensor] = []
    result = train(
        objective, [Adam(steps=10, lr=0.1)], observers=[lambda p: seen.append(objective.vector)], judged=False
    )
    assert torch.equal(objective.vector, seen[-1]) and result.best_step == 10


class Waves(nn.Module):
    """Enough waves to remember every record; linear, so that a hundred trainings take seconds."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(count, dtype=torch.float64))
        self.frequencies = torch.linspace(0.5, 12, count, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cos(x[:, None] * self.frequencies) @ self.weights / math.sqrt(len(self.weights))


def remembered(records: Tensor, members: Tensor, *, epsilon: float | None) -> np.ndarray:
    """Train on the members alone and return how large the misfit of every record is afterwards."""
    module, steps = Waves(40), 40

    def terms(points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: 1e-3 * module(p[:, 0]) if name == "public" else module(p[:, 0]) - p[:, 1]
            for name, p in points.items()
        }

    objective = PrivateObjective(module, terms, {"public": records[:, :1]})
    noise = 0.0 if epsilon is None else noise_for(epsilon, delta=1e-3, sample=1.0, steps=steps + 1)
    clip = 1e9 if epsilon is None else 0.5
    objective.observe(
        [PrivateGradient(module, terms, {"seen": records[members]}, {}, Mechanism(clip, noise, 1.0, steps + 1))]
    )
    train(objective, [Adam(steps=steps, lr=0.5)], judged=False)
    with torch.no_grad():
        return terms({"seen": records})["seen"].abs().numpy()


def advantage(*, epsilon: float | None, trainings: int = 16, count: int = 24) -> float:
    """How much more often a record is taken for a member when it is one.

    The attack knows everything but who the members were: a record is one where its misfit is below the record's own median
    over trainings with and without it (Carlini et al., Membership inference attacks from first principles, 2022).
    """
    generator = torch.Generator().manual_seed(3)
    places = 6 * torch.rand(count, generator=generator, dtype=torch.float64)
    records = torch.stack([places, torch.randn(count, generator=generator, dtype=torch.float64)], 1)
    members = torch.rand(trainings, count, generator=generator) < 0.5
    sizes = np.stack([remembered(records, chosen, epsilon=epsilon) for chosen in members])
    inside = members.numpy()
    taken = sizes < np.median(sizes, axis=0)
    return float(taken[inside].mean() - taken[~inside].mean())


def test_a_membership_attack_does_no_better_than_the_guarantee_allows() -> None:
    """True less false positives are at most (e^epsilon - 1 + 2 delta) / (e^epsilon + 1) (Humphries et al. 2023, theorem 3.1)."""
    epsilon, delta = 0.3, 1e-3
    bound = (math.exp(epsilon) - 1 + 2 * delta) / (math.exp(epsilon) + 1)
    chance = 2 / math.sqrt(16 * 24)  # two standard deviations of a difference of shares among so many trials
    open_to_all, hidden = advantage(epsilon=None), advantage(epsilon=epsilon)
    print(
        f"\nadvantage of the attack: {open_to_all:.2f} without privacy, {hidden:.2f} with epsilon {epsilon}, bound {bound:.2f}"
    )
    assert open_to_all > 0.6, "the attack must be able to find members where nothing hides them"
    assert hidden < bound + chance

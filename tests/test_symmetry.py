"""Symmetry: layers whose units start identical are refused or repaired, and others are let through."""

from __future__ import annotations

import pytest
import torch
from sympy import Eq, symbols
from torch import nn

import pinnsolve as ps
from pinnsolve.networks import ACTIVATIONS, MLP, ModifiedMLP, PirateNet, ResNet, build
from pinnsolve.networks.architectures import INITIALIZATIONS
from pinnsolve.networks.symmetry import break_symmetry, require_different_units
from pinnsolve.training.objective import Objective

RANGES = [(0.0, 1.0), (-1.0, 1.0)]
x, y = symbols("x y")
u = ps.fields("u", x, y)
PROBLEM = ps.Problem(
    domain=ps.Box({x: (0, 1), y: (-1, 1)}),
    equations=Eq(u.diff(x, 2) + u.diff(y, 2), 1),
    conditions=ps.on(ps.Box({x: (0, 1), y: (-1, 1)}).boundary, Eq(u, 0)),
)


def network(outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, outputs)).double()


def dense(network: nn.Sequential, number: int) -> nn.Linear:
    layer = network[number]
    assert isinstance(layer, nn.Linear)
    return layer


def repeat(network: nn.Sequential) -> None:
    """Make the weights into one unit of the second layer those into another."""
    layer = dense(network, 2)
    with torch.no_grad():
        layer.weight[4], layer.bias[4] = layer.weight[1].clone(), layer.bias[1].clone()


def repaired(network: nn.Sequential) -> nn.Sequential:
    assert break_symmetry(network, seed=3) is network
    return network


def constant(layer: int, value: float = 0.1) -> nn.Sequential:
    found = network()
    nn.init.constant_(dense(found, layer).weight, value)
    nn.init.zeros_(dense(found, layer).bias)
    return found


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_a_network_of_constant_weights_is_refused_with_the_layer(value: float):
    found = network()
    for parameter in found.parameters():
        nn.init.constant_(parameter, value)
    with pytest.raises(ps.ProblemError, match=r"network, 0 · units 0 and 1 start identical.*break_symmetry"):
        require_different_units(found, ranges=RANGES)
    with pytest.raises(ps.ProblemError, match=r"network, 0 · units 0 and 1"):
        ps.solve(PROBLEM, found)
    require_different_units(break_symmetry(found), ranges=RANGES)


def test_two_units_among_many_are_found():
    found = network()
    repeat(found)
    with torch.no_grad():
        dense(found, 4).weight[:, 4] = dense(found, 4).weight[:, 1]
    with pytest.raises(ps.ProblemError, match=r"network, 2 · units 1 and 4"):
        require_different_units(found, ranges=RANGES)


@pytest.mark.parametrize("layer", [0, 2])
def test_equal_weights_that_the_first_step_tells_apart_are_let_through(layer: int):
    """Their gradients differ, because the next layer weighs them differently; after one step they do."""
    found = constant(layer)
    require_different_units(found, ranges=RANGES)
    points = torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    objective = Objective(found, lambda p: {"fit": found(p["fit"])[:, 0] - p["fit"][:, 0]}, {"fit": points})
    ps.SGD(steps=1, lr=0.1).start(objective).step(objective)
    assert len(torch.unique(dense(found, layer).weight, dim=0)) == 6


def test_identical_units_do_stay_identical():
    found = constant(0)
    nn.init.constant_(dense(found, 2).weight, 0.3)
    points = torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    objective = Objective(found, lambda p: {"fit": found(p["fit"])[:, 0] - p["fit"][:, 0]}, {"fit": points})
    stepper = ps.Adam(steps=50, lr=0.05).start(objective)
    for _ in range(50):
        stepper.step(objective)
    rows = dense(found, 0).weight
    assert (rows - rows[0]).abs().max() < 1e-12


def test_a_last_layer_of_zeros_is_let_through():
    found = network(outputs=2)
    nn.init.zeros_(dense(found, 4).weight)
    nn.init.zeros_(dense(found, 4).bias)
    require_different_units(found, ranges=RANGES)


def test_repair_draws_only_what_is_repeated_and_follows_the_seed():
    found = network()
    repeat(found)
    before = {name: value.clone() for name, value in found.state_dict().items()}
    once = dense(repaired(found), 2).weight[4].clone()
    for name, value in found.state_dict().items():
        changed = (value != before[name]).reshape(len(value), -1).any(1)
        assert changed.nonzero().flatten().tolist() == ([4] if name == "2.weight" else [])
    found.load_state_dict(before)
    assert torch.equal(dense(repaired(found), 2).weight[4], once)


@pytest.mark.parametrize("kind", [None, *INITIALIZATIONS])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_description_starts_symmetric(activation: str, kind: str | None):
    for spec in (MLP, ModifiedMLP, ResNet, PirateNet):
        made = build(
            spec(8, 3, activation, initialization=kind),
            inputs=2,
            outputs=2,
            ranges=RANGES,
            generator=torch.Generator().manual_seed(0),
            dtype=torch.float64,
        )
        require_different_units(made, ranges=RANGES)
        for layer in made.modules():
            if isinstance(layer, nn.Linear):
                assert len(torch.unique(layer.weight, dim=0)) == layer.out_features

"""Sums of second derivatives in the few directions that a network can see: against nested passes, and where it must not be done."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from pinnsolve.jets import Derivative, derivatives, nested_derivatives, plan_jets
from pinnsolve.jets.fusion import differentiable_arithmetic
from pinnsolve.jets.jet import RULES
from pinnsolve.jets.plan import JetPlan, MultiIndex, operator
from pinnsolve.jets.spanning import spanning
from pinnsolve.networks import MLP, ModifiedMLP, PirateNet, ResNet
from pinnsolve.networks.architectures import Architecture
from pinnsolve.networks.fields import FieldNetwork, build_fields

DIMENSION = 12
ZERO: MultiIndex = (0,) * DIMENSION


def unit(*coordinates: int) -> MultiIndex:
    """One derivative in each of the coordinates."""
    return tuple(coordinates.count(k) for k in range(DIMENSION))


def weighted(sign: float = 1.0, *, coordinates: Iterable[int] = range(1, DIMENSION)) -> Derivative:
    """Σ (1 + k) ∂_k², or minus that."""
    return operator({unit(k, k): sign * (1 + k) for k in coordinates})


def network(spec: Architecture, fields: int = 1, *, inputs: tuple[int, ...] = tuple(range(DIMENSION))) -> FieldNetwork:
    return build_fields(
        spec,
        inputs_per_field=[inputs, *(tuple(range(DIMENSION)) for _ in range(fields - 1))],
        ranges=[(0.0, 1.0 + 0.2 * k) for k in range(DIMENSION)],
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
    )


def points(count: int = 20) -> Tensor:
    return torch.rand(count, DIMENSION, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def relative(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().max() / expected.abs().max()).detach())


def asked(*which: Derivative, fields: int = 1) -> tuple[JetPlan, dict[Derivative, range]]:
    """The plan, and what is wanted of how many fields."""
    return plan_jets(which, dimension=DIMENSION), {one: range(fields) for one in which}


SEEING_LITTLE = [
    MLP(width=5, depth=3),
    MLP(width=5, depth=2, factorised=True),
    MLP(width=6, depth=2, fourier=1.0),
    MLP(width=8, depth=2, activation="sine"),
    ResNet(width=6, blocks=2),
    ModifiedMLP(width=3, depth=2),
    PirateNet(width=4, blocks=1),
]


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("spec", SEEING_LITTLE, ids=str)
def test_values_and_parameter_gradients_are_those_of_nested_passes(spec: Architecture, sign: float) -> None:
    """Also those of a slope and a mixed derivative in coordinates outside the sum."""
    net, at = network(spec), points()
    total = weighted(sign, coordinates=range(2, DIMENSION))
    plan, wanted = asked(total, ZERO, unit(0), unit(1))
    reading = net.reading
    assert reading is not None
    fewer = spanning(wanted, reading)
    assert fewer is not None
    assert len(fewer.directions) == len(reading) + 2 < DIMENSION
    found, expected = (f(net, at, plan, wanted=wanted) for f in (derivatives, nested_derivatives))
    for which in wanted:
        assert relative(found[which], expected[which]) < 1e-12
    ours, theirs = (
        torch.autograd.grad(
            torch.cat([v.ravel() for v in values.values()]).pow(2).sum(), list(net.parameters()), allow_unused=True
        )
        for values in (found, expected)
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None and other is not None:
            assert torch.allclose(
                mine, other, rtol=1e-10, atol=1e-12 * max(float(g.abs().max()) for g in theirs if g is not None)
            )


def test_the_network_is_read_through_as_many_directions_as_it_has_features(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(MLP(width=5, depth=2))
    sizes = []
    linear = nn.functional.linear

    def recording(input: object, weight: Tensor, bias: Tensor | None = None) -> object:
        sizes.append(len(input.coefficients))  # type: ignore[attr-defined]
        return rule(input, weight, bias)

    rule = RULES[linear]
    monkeypatch.setitem(RULES, linear, recording)
    plan, wanted = asked(weighted(), ZERO)
    derivatives(net, points(), plan, wanted=wanted)
    assert sizes == [1 + 5, 1 + 5 + 1, 1 + 5 + 1]  # where order two begins there is the sum as well


def test_fields_of_different_coordinates_are_read_together() -> None:
    net, at = network(MLP(width=3, depth=2), 2, inputs=(0, 2, 4)), points()
    plan, wanted = asked(weighted(), ZERO, fields=2)
    assert net.reading is not None
    assert net.reading.shape == (6, DIMENSION)
    found, expected = (f(net, at, plan, wanted=wanted) for f in (derivatives, nested_derivatives))
    for which in wanted:
        assert relative(found[which], expected[which]) < 1e-12


def test_features_that_depend_on_one_another_do_no_harm() -> None:
    net, at = network(MLP(width=5, depth=2)), points()
    first = net.networks[0][1]  # type: ignore[index]
    with torch.no_grad():
        first.weight[1] = first.weight[0]
        first.weight[2] = 0.0
    plan, wanted = asked(weighted())
    found, expected = (f(net, at, plan, wanted=wanted)[weighted()] for f in (derivatives, nested_derivatives))
    assert relative(found, expected) < 1e-12
    ours, theirs = (torch.autograd.grad((v**2).sum(), first.weight)[0] for v in (found, expected))
    assert relative(ours, theirs) < 1e-10


class Summed(nn.Module):
    """The sum of second derivatives, as a function of the points."""

    def __init__(self, net: FieldNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, at: Tensor) -> Tensor:
        with differentiable_arithmetic():
            plan, wanted = asked(weighted())
            return derivatives(self.net, at, plan, wanted=wanted)[weighted()]


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")  # torch's own forward differentiation uses it.
def test_directional_derivatives_in_the_parameters_are_exact() -> None:
    """Forward in mode, where the directions are held as well."""
    summed, at = Summed(network(MLP(width=5, depth=3))), points()
    parameters = dict(summed.named_parameters())
    generator = torch.Generator().manual_seed(2)
    tangents = {k: torch.randn(p.shape, dtype=p.dtype, generator=generator) for k, p in parameters.items()}
    along = torch.func.jvp(lambda p: torch.func.functional_call(summed, p, (at,)), (parameters,), (tangents,))[1]
    step = 1e-5
    ahead, behind = (
        torch.func.functional_call(summed, {k: p + s * tangents[k] for k, p in parameters.items()}, (at,))
        for s in (step, -step)
    )
    assert relative(along, (ahead - behind) / (2 * step)) < 1e-7


@pytest.mark.parametrize(
    "wanted",
    [
        [weighted(), unit(3)],  # a slope inside the sum
        [weighted(), unit(0, 3)],
        [operator({unit(k, k): (-1) ** k for k in range(DIMENSION)})],  # both signs
        [operator({unit(k, k + 1): 1 for k in range(DIMENSION - 1)})],  # mixed
        [operator({unit(k): 1 for k in range(DIMENSION)})],  # of order one
        [weighted(), operator({unit(k, k): 1 for k in range(DIMENSION)})],  # two sums
        [ZERO],
    ],
)
def test_what_needs_every_direction_gets_it(wanted: list[Derivative]) -> None:
    assert spanning(wanted, torch.ones(2, DIMENSION)) is None


def test_wide_networks_and_those_of_waves_on_a_circle_or_of_the_user_get_every_direction() -> None:
    assert spanning([weighted()], torch.ones(DIMENSION - 1, DIMENSION)) is None
    circle = build_fields(
        MLP(width=4, depth=2),
        inputs_per_field=[(0, 1)],
        ranges=[(0, 1), (0, 1)],
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
        periodic=[1],
    )
    assert circle.reading is None
    own = build_fields(
        nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)),
        inputs_per_field=[(0, 1)],
        ranges=[(0, 1), (0, 1)],
        generator=torch.Generator(),
        dtype=torch.float64,
    )
    assert own.reading is None

"""Networks: what a description builds, what a seed fixes, and that jets pass through all of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pinnsolve.errors import ProblemError
from pinnsolve.jets import derivatives, nested_derivatives, operator, plan_jets
from pinnsolve.networks import (
    ACTIVATIONS,
    MLP,
    Architecture,
    FieldNetwork,
    ModifiedMLP,
    PirateNet,
    ResNet,
    build,
    build_fields,
)
from pinnsolve.networks.architectures import fewest_weights
from pinnsolve.networks.layers import AdaptiveBlock, FactorisedLinear, FourierFeatures

RANGES = [(-1.0, 1.0), (0.0, 3.0)]
BOTH = (0, 1)
ARCHITECTURES: list[type[Architecture]] = [MLP, ModifiedMLP, ResNet, PirateNet]
PLAIN: list[Architecture] = [MLP(width=6, depth=3), ModifiedMLP(6, 3), ResNet(width=6, blocks=2), PirateNet(6, 2)]
OPTIONS: list[dict[str, Any]] = [{"fourier": 1.5}, {"factorised": True}, {"fourier": 0.7, "factorised": True}]
SPECS = [replace(spec, **options) for spec in PLAIN for options in [{}, *OPTIONS]]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fields(
    spec: Architecture | nn.Module,
    inputs: Sequence[tuple[int, ...]] = (BOTH,),
    *,
    ranges: Sequence[tuple[float, float]] = RANGES,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> FieldNetwork:
    return build_fields(spec, inputs_per_field=inputs, ranges=ranges, generator=seeded(seed), dtype=dtype)


def awake(network: FieldNetwork) -> FieldNetwork:
    """The same with its adaptive blocks in use, which they are not at the start."""
    for module in network.modules():
        if isinstance(module, AdaptiveBlock):
            nn.init.constant_(module.alpha, 0.4)
    return network


def points(count: int, ranges: Sequence[tuple[float, float]] = RANGES) -> Tensor:
    low, high = torch.tensor(ranges, dtype=torch.float64).T
    return low + (high - low) * torch.rand(count, len(ranges), generator=seeded(1), dtype=torch.float64)


def scaled_input(network: nn.Module, at: Tensor) -> Tensor:
    return next(iter(network.children()))(at)


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def agree(network: FieldNetwork, at: Tensor, wanted: set[Any]) -> None:
    """Compare jets with nested passes, and the gradients of both with respect to the parameters."""
    plan = plan_jets(wanted, dimension=at.shape[1])
    fields_of = dict.fromkeys(wanted, range(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Falling back would compare nested passes with themselves.
        found = derivatives(network, at, plan, wanted=fields_of)
    expected = nested_derivatives(network, at, plan, wanted=fields_of)
    for index in wanted:
        torch.testing.assert_close(found[index], expected[index], rtol=1e-10, atol=1e-10)
    one, other = (
        torch.autograd.grad(
            torch.stack([*values.values()]).square().sum(), [*network.parameters()], materialize_grads=True
        )
        for values in (found, expected)
    )
    for some, same in zip(one, other, strict=True):
        torch.testing.assert_close(some, same, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_jets_through_every_architecture_are_its_nested_derivatives(
    architecture: type[Architecture], activation: str
) -> None:
    network = awake(fields(architecture(width=5, activation=activation), (BOTH, (1,), BOTH)))
    agree(network, points(7), {(0, 0), (0, 1), (1, 1), (2, 1), (0, 3)})


@pytest.mark.parametrize("periodic", [(), (0,)])
@pytest.mark.parametrize("spec", SPECS)
def test_jets_of_fourth_order_and_sums_through_every_option_are_nested_derivatives(
    spec: Architecture, periodic: tuple[int, ...]
) -> None:
    network = build_fields(
        replace(spec, width=4, harmonics=2),
        inputs_per_field=[BOTH, (1,), BOTH],
        ranges=RANGES,
        generator=seeded(),
        dtype=torch.float64,
        periodic=periodic,
    )
    laplacian = operator({(2, 0): 1, (0, 2): 1})
    agree(awake(network), points(5), {(2, 2), (1, 3), (0, 4)})
    agree(awake(network), points(5), {(0, 0), laplacian})
    agree(awake(network), points(5), {operator({(4, 0): 1, (2, 2): 2, (0, 4): 1}), laplacian})


@pytest.mark.parametrize("spec", SPECS)
def test_a_laplacian_in_many_directions_is_that_of_nested_passes(spec: Architecture) -> None:
    ranges = [(0.0, 1.0)] * 11
    every = tuple(range(11))
    network = awake(fields(spec, (every, every, every), ranges=ranges))
    laplacian = operator({tuple(2 * (i == j) for j in every): 1 for i in every})
    assert plan_jets({laplacian}, dimension=11).diagonal is not None
    agree(network, points(6, ranges), {laplacian, (0,) * 11})


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_maps_points_to_fields(spec: Architecture, dtype: torch.dtype) -> None:
    network = build(spec, inputs=2, outputs=3, ranges=RANGES, generator=seeded(), dtype=dtype)
    out = network(points(4).to(dtype))
    assert (out.shape, out.dtype) == ((4, 3), dtype)
    assert network(points(4).to(dtype)[:0]).shape == (0, 3)


def test_width_and_depth_count_hidden_units_and_layers() -> None:
    shapes = [tuple(layer.weight.shape) for layer in linear_layers(fields(MLP(width=7, depth=3)))]
    assert shapes == [(7, 2), (7, 7), (7, 7), (1, 7)]
    shapes = [tuple(layer.weight.shape) for layer in linear_layers(fields(ResNet(width=7, blocks=2)))]
    assert shapes == [(7, 2), *[(7, 7)] * 4, (1, 7)]
    assert len(linear_layers(fields(MLP(width=7, depth=1)))) == 2


def test_a_residual_block_adds_to_its_input() -> None:
    network = build(
        ResNet(width=4, blocks=1), inputs=2, outputs=1, ranges=RANGES, generator=seeded(), dtype=torch.float64
    )
    first, inner, outer, last = linear_layers(network)
    h = first(scaled_input(network, points(5)))
    h = h + outer(torch.tanh(inner(torch.tanh(h))))
    torch.testing.assert_close(network(points(5)), last(torch.tanh(h)))


@pytest.mark.parametrize("fourier", [None, 2.0])
def test_layers_of_a_modified_mlp_mix_two_encoders(fourier: float | None) -> None:
    network = build(
        ModifiedMLP(width=4, depth=2, fourier=fourier),
        inputs=2, outputs=1, ranges=RANGES, generator=seeded(), dtype=torch.float64,
    )  # fmt: skip
    read = scaled_input(network, points(5))
    if fourier is not None:
        waves = next(module for module in network.modules() if isinstance(module, FourierFeatures))
        angles = read @ waves.frequencies.t()
        read = torch.cat([angles.cos(), angles.sin()], 1)
    *encoders, one, two, last = linear_layers(network)
    u, v = (torch.tanh(encoder(read)) for encoder in encoders)
    h = read
    for layer in (one, two):
        z = torch.tanh(layer(h))
        h = (1 - z) * u + z * v
    torch.testing.assert_close(network(points(5)), last(h))


@pytest.mark.parametrize("fourier", [None, 2.0])
def test_a_piratenet_starts_as_a_linear_map_of_its_embedding_and_deepens(fourier: float | None) -> None:
    spec = PirateNet(width=4, blocks=2, fourier=fourier)
    network = build(spec, inputs=2, outputs=1, ranges=RANGES, generator=seeded(), dtype=torch.float64)
    embedding, last = nn.Sequential(*list(network)[:-2])(points(5)), network[-1]
    assert embedding.shape == (5, 4)
    assert torch.equal(network(points(5)), last(embedding))
    blocks = [module for module in network.modules() if isinstance(module, AdaptiveBlock)]
    assert [block.alpha.tolist() for block in blocks] == [[0.0], [0.0]]
    of_u, of_v = (linear_layers(network[-2])[k] for k in (0, 1))
    u, v = (torch.tanh(layer(embedding)) for layer in (of_u, of_v))
    h = embedding
    for block, alpha in zip(blocks, (0.3, 0.8), strict=True):
        nn.init.constant_(block.alpha, alpha)
        g, third = h, linear_layers(block)[2]
        for layer in linear_layers(block)[:2]:
            f = torch.tanh(layer(g))
            g = f * u + (1 - f) * v
        h = alpha * torch.tanh(third(g)) + (1 - alpha) * h
    torch.testing.assert_close(network(points(5)), last(h))


@pytest.mark.parametrize("spec", PLAIN)
@pytest.mark.parametrize("fourier", [None, 2.0])
def test_factorised_weights_start_as_the_same_function(spec: Architecture, fourier: float | None) -> None:
    spec = replace(spec, fourier=fourier)
    plain, factorised = (
        awake(fields(replace(spec, factorised=some), (BOTH, (1,), BOTH), seed=3)) for some in (False, True)
    )
    torch.testing.assert_close(factorised(points(9)), plain(points(9)), rtol=1e-13, atol=1e-13)
    assert not linear_layers(factorised)
    factors = [module for module in factorised.modules() if isinstance(module, FactorisedLinear)]
    assert len(factors) == len(linear_layers(plain))
    exponents = torch.cat([module.exponents for module in factors]).detach()
    assert abs(float(exponents.mean()) - 1.0) < 0.1
    assert 0.05 < float(exponents.std()) < 0.15


def test_random_frequencies_have_the_deviation_asked_for_and_are_not_trained() -> None:
    network = fields(MLP(width=400, depth=1, fourier=5.0))
    waves = next(module for module in network.modules() if isinstance(module, FourierFeatures))
    assert waves.frequencies.shape == (200, 2)
    assert 4.5 < float(waves.frequencies.std()) < 5.5
    assert not any(name.endswith("frequencies") for name, _ in network.named_parameters())
    stored = network.state_dict()
    assert sum(name.endswith(("frequencies", "phases")) for name in stored) == 2
    again = fields(MLP(width=400, depth=1, fourier=5.0), seed=1)
    again.load_state_dict(stored)
    assert torch.equal(again(points(3)), network(points(3)))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("width", [2, 8])
def test_the_fewest_weights_are_no_more_than_there_are(spec: Architecture, width: int) -> None:
    spec = replace(spec, width=width, harmonics=9)
    network = build(
        spec, inputs=2, outputs=1, ranges=RANGES, generator=seeded(), dtype=torch.float64, periodic=(0,)
    )  # fmt: skip
    stored = sum(tensor.numel() for tensor in network.state_dict().values())
    assert stored / 6 < fewest_weights(spec, inputs=9) <= stored


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_are_scaled_from_their_ranges(dtype: torch.dtype) -> None:
    ranges = [(-1.0, 3.0), (1e6, 1e6 + 1), (5.0, 5.0)]
    network = build(MLP(), inputs=3, outputs=1, ranges=ranges, generator=seeded(), dtype=dtype)
    corners = torch.tensor([[-1.0, 1e6, 5.0], [3.0, 1e6 + 1, 5.0], [1.0, 1e6 + 0.5, 5.0]], dtype=dtype)
    expected = torch.tensor([[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=dtype)
    torch.testing.assert_close(scaled_input(network, corners), expected, rtol=0, atol=0)
    assert network(corners).isfinite().all()


def test_a_network_does_not_see_units() -> None:
    in_metres, in_millimetres = (fields(MLP(), ranges=[(0.0, 2.0 * unit), (0.0, 3.0)]) for unit in (1.0, 1000.0))
    at = points(6, [(0.0, 2.0), (0.0, 3.0)])
    torch.testing.assert_close(in_metres(at), in_millimetres(at * torch.tensor([1000.0, 1.0])), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("spec", SPECS)
def test_a_seed_fixes_every_bit_and_leaves_the_global_generator_alone(spec: Architecture) -> None:
    before = torch.get_rng_state()
    one, again, other = (fields(spec, (BOTH, (0,)), seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.keys() == again.keys()
    assert all(torch.equal(one[name], again[name]) for name in one)
    drawn = [name for name in one if name.endswith(("weight", "exponents", "directions", "frequencies"))]
    assert drawn and not any(torch.equal(one[name], other[name]) for name in drawn)


@pytest.mark.parametrize("spec", SPECS)
def test_a_seed_starts_the_same_function_in_every_precision(spec: Architecture) -> None:
    at = points(6)
    single = fields(spec, dtype=torch.float32)(at.float())
    torch.testing.assert_close(single.double(), fields(spec)(at), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_two_units_start_alike_and_none_starts_dead(architecture: type[Architecture], activation: str) -> None:
    network = awake(fields(architecture(width=16, activation=activation)))
    layers = linear_layers(network)
    for layer in layers[:-1]:
        assert torch.pdist(layer.weight).min() > 1e-3
    # The units of the first layer are centred at points of the domain, each its own.
    assert layers[0].bias.unique().numel() == 16
    assert (layers[0].bias.abs() <= layers[0].weight.abs().sum(1)).all()
    network(points(50)).square().sum().backward()
    for layer in layers:
        assert layer.weight.grad is not None
        assert (layer.weight.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("fourier", [None, 1.0])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_new_network_is_neither_constant_nor_large(
    architecture: type[Architecture], fourier: float | None, activation: str
) -> None:
    spec = architecture(width=32, activation=activation, fourier=fourier)
    spread = [fields(spec, seed=seed)(points(200)).std().item() for seed in range(10)]
    assert 0.03 < sum(spread) / 10 < 3.0


def test_fields_of_the_same_coordinates_share_a_network_and_keep_their_order() -> None:
    network = fields(MLP(width=5, depth=2), ((1,), BOTH, (1,), BOTH))
    assert len(network.networks) == 2
    at = points(6)
    of_t, of_both = (module(x) for module, x in zip(network.networks, (at[:, 1:], at), strict=True))
    expected = torch.stack([of_t[:, 0], of_both[:, 0], of_t[:, 1], of_both[:, 1]], dim=1)
    assert torch.equal(network(at), expected)


def test_a_field_does_not_depend_on_coordinates_it_does_not_read() -> None:
    found = derivatives(fields(MLP(), (BOTH, (1,))), points(5), plan_jets({(1, 1)}, dimension=2))
    assert found[(1, 0)][:, 0].abs().min() > 0
    assert not found[(1, 0)][:, 1].any()
    assert not found[(1, 1)][:, 1].any()


def test_one_network_per_field_shares_no_parameter() -> None:
    network = fields(MLP(width=5, depth=2, one_per_field=True), (BOTH, BOTH))
    assert len(network.networks) == 2
    network(points(6))[:, 1].sum().backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in network.networks[0].parameters())
    assert not torch.equal(*(linear_layers(module)[0].weight for module in network.networks))


def test_groups_that_do_not_give_each_field_once_are_refused() -> None:
    with pytest.raises(ValueError, match="each field exactly once"):
        FieldNetwork([nn.Linear(2, 2)], columns=[BOTH], fields=[(0, 2)], coordinates=2)


def test_ranges_and_inputs_must_agree() -> None:
    with pytest.raises(ValueError, match="2 inputs need 2 ranges, not 1"):
        build(MLP(), inputs=2, outputs=1, ranges=RANGES[:1], generator=seeded(), dtype=torch.float64)


def test_a_module_is_used_as_it_is_in_the_dtype_asked_for() -> None:
    module = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 2))
    before = torch.get_rng_state()
    network = fields(module, (BOTH, (1,)))
    assert torch.equal(torch.get_rng_state(), before)
    assert network.networks[0] is module
    assert module.training
    assert module[0].weight.dtype == torch.float64
    module.eval()
    assert torch.equal(network(points(3)), module(points(3)))


class Pair(nn.Module):
    def forward(self, at: Tensor) -> tuple[Tensor, Tensor]:
        return at, at


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (nn.Linear(2, 3), r"gives shape \(2, 3\) at points of shape \(2, 2\)"),
        (nn.Linear(3, 2), r"fails at points of shape \(2, 2\): .*2x2 and 3x2"),
        (nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), r"gives shape \(2,\)"),
        (Pair(), "gives a tuple"),
    ],
)
def test_a_module_of_another_width_is_refused_with_the_shapes(module: nn.Module, found: str) -> None:
    with pytest.raises(ProblemError, match=rf"network · the module {found}.* · .*\(points, 2\) to \(points, 2\)"):
        fields(module, (BOTH, BOTH))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP(width=0), "MLP width · found 0 · .*at least 1"),
        (lambda: MLP(depth=-1), "MLP depth · found -1 · "),
        (lambda: MLP(width=2.5), r"MLP width · found 2\.5 · .*whole number"),  # type: ignore[arg-type]
        (lambda: MLP(depth=True), "MLP depth · found True"),
        (lambda: ResNet(blocks=0), "ResNet blocks · found 0 · "),
        (lambda: ModifiedMLP(depth=0), "ModifiedMLP depth · found 0 · "),
        (lambda: PirateNet(harmonics=0), "PirateNet harmonics · found 0 · "),
        (lambda: PirateNet(activation="relu"), "PirateNet activation · 'relu' .*second derivative"),
        (lambda: MLP(fourier=0.0), "MLP fourier · found 0.0 · write a positive number"),
        (lambda: ResNet(fourier=float("nan")), "ResNet fourier · found nan · "),
        (lambda: ResNet(fourier=True), "ResNet fourier · found True · "),
        (lambda: MLP(fourier="2"), "MLP fourier · found '2' · "),  # type: ignore[arg-type]
        (lambda: PirateNet(width=7, fourier=2), "PirateNet width · found 7 with fourier=2, .*pairs · write an even"),
        (lambda: MLP(factorised=0.1), r"MLP factorised · found 0\.1 · write True or False"),  # type: ignore[arg-type]
        (
            lambda: MLP(activation="tanhh"),
            "MLP activation · 'tanhh' does not exist · use one of tanh, sine, silu, gelu, ",
        ),
        (lambda: ResNet(activation="relu"), "ResNet activation · 'relu' .*second derivative .* use one of tanh"),
    ],
)
def test_a_mistaken_description_is_refused_where_it_is_written(make: object, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        make()  # type: ignore[operator]


def test_a_description_never_takes_the_numbers_of_inputs_and_outputs() -> None:
    with pytest.raises(TypeError):
        MLP(inputs=2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "spec",
    [
        MLP(width=7, depth=2),
        ResNet(width=7, blocks=1, activation="sine"),
        ModifiedMLP(width=7, depth=2, factorised=True),
        PirateNet(width=7, blocks=1),
        PirateNet(width=8, blocks=1, fourier=1.0, harmonics=2),
        MLP(width=8, depth=1, fourier=1.0),
    ],
)
def test_a_periodic_coordinate_closes_with_all_derivatives(spec):
    network = build_fields(
        spec,
        inputs_per_field=[(0, 1), (1,), (0,)],
        ranges=[(0.0, 3.0), (-1.0, 1.0)],
        generator=seeded(0),
        dtype=torch.float64,
        periodic=[1],
    )
    awake(network)
    x = torch.linspace(0.2, 2.8, 5, dtype=torch.float64)
    ends = [torch.stack([x, torch.full_like(x, end)], 1).requires_grad_() for end in (-1.0, 1.0)]
    values = [network(points) for points in ends]
    for _ in range(4):
        torch.testing.assert_close(values[0], values[1], rtol=1e-12, atol=1e-12)
        values = [
            torch.autograd.grad(value.sum(), points, create_graph=True)[0][:, 1:]
            for value, points in zip(values, ends, strict=True)
        ]
    assert float(values[0].detach().abs().max()) > 1e-3


def test_a_module_of_the_user_is_not_periodic():
    with pytest.raises(ProblemError, match="periodic"):
        build_fields(
            torch.nn.Linear(1, 1),
            inputs_per_field=[(0,)],
            ranges=[(0.0, 1.0)],
            generator=seeded(0),
            dtype=torch.float64,
            periodic=[0],
        )

"""Steps: plain, chunked, traced and compiled ones against nested reverse passes; what happens when compiling or memory fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_plans import multi_indices
from torch import Tensor, nn

from pinnsolve.jets import Derivative, derivatives, nested_derivatives, operator, plan_jets
from pinnsolve.networks.layers import ResidualBlock, Scaling, Sine
from pinnsolve.training.chunks import split
from pinnsolve.training.gradients import CompilationError, CompiledStep
from pinnsolve.training.objective import Objective


class Features(nn.Module):
    """Sine and cosine features, a product with an unfactored one, a quotient, powers."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.randn(d, 3))
        self.out = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        phase = x @ self.frequencies
        h = self.out(torch.cat([phase.sin(), phase.cos()], 1))
        return h[:, :2] * h[:, 2:] / (2 + h[:, :2] ** 2) + h[:, 1:3] ** 3 + torch.exp(-(h[:, 2:] ** 2))


class Separable(nn.Module):
    """A sum over ranks of products of functions of one coordinate each."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 6)) for _ in range(d))

    def forward(self, x: Tensor) -> Tensor:
        factors = [part(x[:, i : i + 1]).reshape(len(x), 2, 3) for i, part in enumerate(self.parts)]
        out = factors[0]
        for factor in factors[1:]:
            out = torch.einsum("nfr,nfr->nfr", out, factor)
        return out.sum(2)


class Factorised(nn.Module):
    """A layer with weights diag(exp s) V, and one with softmax gates."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.scale, self.weight, self.bias = (nn.Parameter(torch.randn(*s)) for s in ((5,), (5, d), (5,)))
        self.out = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = F.linear(x, self.scale.exp().unsqueeze(1) * self.weight, self.bias)
        return self.out(torch.tanh(h) * torch.softmax(h, 1))


class Masked(nn.Module):
    """Dropout and stochastic depth with masks that are fixed for the step, and a normalisation over features."""

    keep: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.first, self.second, self.out = nn.Linear(d, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.register_buffer("keep", torch.tensor([1.0, 0.0, 2.0, 1.0, 0.0, 2.0]))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.sin(self.first(x)) * self.keep
        h = h + 0.0 * self.second(h) + 2.0 * torch.sigmoid(self.second(h))
        centred = h - h.mean(1, keepdim=True)
        return self.out(centred * torch.rsqrt((centred * centred).mean(1, keepdim=True) + 0.1))


def plain(activation: Callable[[], nn.Module]) -> Callable[[int], nn.Module]:
    return lambda d: nn.Sequential(nn.Linear(d, 4), activation(), nn.Linear(4, 4), activation(), nn.Linear(4, 2))


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "tanh": plain(nn.Tanh),
    "sine": plain(Sine),
    "silu": plain(nn.SiLU),
    "gelu": plain(nn.GELU),
    "softplus": plain(nn.Softplus),
    "sigmoid": plain(nn.Sigmoid),
    "mish": plain(nn.Mish),
    "elu": plain(nn.ELU),
    "residual": lambda d: nn.Sequential(
        Scaling([(-1.0, 2.0)] * d, dtype=torch.float64),
        nn.Linear(d, 5),
        ResidualBlock(nn.Sequential(nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5))),
        nn.Tanh(),
        nn.Linear(5, 2),
    ),
    "layers of no bias": lambda d: nn.Sequential(
        nn.Linear(d, 5, bias=False), nn.Tanh(), nn.Linear(5, 5, bias=False), nn.Tanh(), nn.Linear(5, 2, bias=False)
    ),
    "features": Features,
    "separable": Separable,
    "factorised": Factorised,
    "masked": Masked,
}

COMMON = {"tanh", "sine", "residual", "separable"}
"""Those that are traced every day."""


EVERYDAY = {1: 6, 2: 4, 3: 3, 4: 2}
THOROUGH = {1: 6, 2: 6, 3: 4, 4: 3}
"""The highest order for each dimension: nested passes take minutes beyond."""


@st.composite
def settings_of_steps(draw: st.DrawFn, orders: dict[int, int]) -> tuple[int, list[Derivative], list[float], int]:
    """A dimension, derivatives and operators up to order six, coefficients and a seed."""
    dimension = draw(st.integers(1, 4))
    highest = orders[dimension]
    needed: list[Derivative] = [(0,) * dimension]
    for _ in range(draw(st.integers(1, 3))):
        indices = multi_indices(dimension, draw(st.integers(1, highest)))
        some = draw(st.lists(st.sampled_from(indices), min_size=1, max_size=3, unique=True))
        factors = st.sampled_from([Fraction(1), Fraction(-2), Fraction(1, 3)])
        needed.append(some[0] if len(some) == 1 else operator({index: draw(factors) for index in some}))
    coefficients = draw(st.lists(st.floats(-2, 2), min_size=len(needed), max_size=len(needed)))
    return dimension, needed, coefficients, draw(st.integers(0, 10**6))


def residuals_of(
    network: nn.Module, case: tuple[int, list[Derivative], list[float], int], differentiate: Callable[..., Any]
) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
    """Two terms on one set: a sum of derivatives of both fields with a product, and one more of the first alone."""
    dimension, needed, coefficients, _ = case
    plan = plan_jets(needed, dimension=dimension)

    def evaluate(points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = differentiate(network, points["first"], plan, wanted={which: {0, 1} for which in needed})
        columns = [values[which] for which in needed]
        total = sum(c * column[:, 0] for c, column in zip(coefficients, columns, strict=True))
        return {"first": total + columns[0][:, 1] * columns[-1][:, 0] - 0.3, "second": torch.sin(columns[-1][:, 1])}

    return evaluate


def random_network(name: str, dimension: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = NETWORKS[name](dimension).double()
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.8, 0.8)
    return network


def assert_equal_steps(found: Any, expected: Any, tolerance: float) -> None:
    assert found.loss == pytest.approx(expected.loss, rel=tolerance)
    size = expected.gradient.abs().max().item()
    assert (found.gradient - expected.gradient).abs().max().item() <= tolerance * size + 1e-300


def check_steps(name: str, case: tuple[int, list[Derivative], list[float], int]) -> None:
    """Compare plain, chunked and traced steps with one of nested passes."""
    dimension, *_, seed = case
    network = random_network(name, dimension, seed)
    tensor = torch.rand(5, dimension, dtype=torch.float64)
    points = {"first": tensor, "second": tensor}
    weights = {"second": 0.5}
    nested = Objective(network, residuals_of(network, case, nested_derivatives), points, weights=weights)
    expected = nested.evaluate()
    ours = residuals_of(network, case, derivatives)
    assert_equal_steps(Objective(network, ours, points, weights=weights).evaluate(), expected, 1e-10)
    chunked = Objective(network, ours, points, weights=weights, chunk=3)
    assert [len(chunk.points["first"]) for chunk in chunked.chunks] == [3, 3]
    assert_equal_steps(chunked.evaluate(), expected, 1e-10)
    assert chunked.value().loss == pytest.approx(expected.loss, rel=1e-12)
    chunked.compile()
    assert_equal_steps(chunked.evaluate(), expected, 1e-10)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a compiled step be the graph that the compiler would be given, without the seconds that it takes."""
    monkeypatch.setattr(torch, "compile", lambda graph, **_: graph)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in COMMON else [pytest.mark.thorough]) for n in NETWORKS]
)
@pytest.mark.usefixtures("uncompiled")
def test_plain_chunked_and_traced_steps_agree_with_nested_passes(name: str) -> None:
    @settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(settings_of_steps(EVERYDAY))
    def agree(case: tuple[int, list[Derivative], list[float], int]) -> None:
        check_steps(name, case)

    agree()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.usefixtures("uncompiled")
def test_they_agree_at_high_order_too(name: str) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(settings_of_steps(THOROUGH))
    def agree(case: tuple[int, list[Derivative], list[float], int]) -> None:
        check_steps(name, case)

    agree()


KURAMOTO: tuple[int, list[Derivative], list[float], int] = (
    2, [(0, 0), (0, 1), (1, 0), (2, 0), (4, 0), operator({(2, 0): 1, (0, 2): -3})], [0.1, 1, 0.5, 1, 1, 0.2], 3
)  # fmt: skip


@pytest.fixture
def compiled() -> tuple[Objective, Objective, nn.Module]:
    """A compiled objective in chunks, the nested one, and their network."""
    network = random_network("tanh", 2, 3)
    tensor = torch.rand(50, 2, dtype=torch.float64)
    points = {"first": tensor, "second": tensor}
    nested = Objective(network, residuals_of(network, KURAMOTO, nested_derivatives), points)
    ours = Objective(network, residuals_of(network, KURAMOTO, derivatives), points, chunk=30)
    ours.compile()
    return ours, nested, network


def test_a_compiled_step_agrees_with_nested_passes_wherever_it_is_evaluated(
    compiled: tuple[Objective, Objective, nn.Module],
) -> None:
    ours, nested, _ = compiled
    assert len(ours.chunks) == 2
    generator = torch.Generator().manual_seed(8)
    for _ in range(3):
        vector = 0.5 * torch.randn(ours.size, generator=generator, dtype=torch.float64)
        tensor = torch.rand(50, 2, generator=generator, dtype=torch.float64)
        for objective in (ours, nested):
            objective.replace_points({"first": tensor, "second": tensor})
        assert_equal_steps(ours.evaluate(vector), nested.evaluate(vector), 1e-10)
    ours.to(torch.float32)
    single = ours.evaluate()
    ours.to(torch.float64)
    assert_equal_steps(single, ours.evaluate(), 1e-4)


def test_a_step_that_does_not_compile_is_refused_and_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = random_network("tanh", 2, 3)
    tensor = torch.rand(10, 2, dtype=torch.float64)
    objective = Objective(network, residuals_of(network, KURAMOTO, derivatives), {"first": tensor, "second": tensor})
    before = objective.evaluate()

    def broken(graph: Any, **_: Any) -> Any:
        raise RuntimeError("no C++ compiler\nand much more")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(CompilationError, match=r"no C\+\+ compiler$"):
        objective.compile()
    assert torch.equal(objective.evaluate().gradient, before.gradient)


def test_a_compiled_step_that_is_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network("tanh", 2, 3)
    tensor = torch.rand(10, 2, dtype=torch.float64)
    objective = Objective(network, residuals_of(network, KURAMOTO, derivatives), {"first": tensor, "second": tensor})

    def wrong(graph: Any, **_: Any) -> Any:
        return lambda *arguments: [part * (1 + 1e-6) for part in graph(*arguments)]

    monkeypatch.setattr(torch, "compile", wrong)
    with pytest.raises(CompilationError, match="differs from the plain one"):
        objective.compile()


def test_a_step_that_fails_to_compile_later_goes_on_uncompiled_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = random_network("tanh", 2, 3)
    tensor = torch.rand(10, 2, dtype=torch.float64)
    objective = Objective(network, residuals_of(network, KURAMOTO, derivatives), {"first": tensor, "second": tensor})
    monkeypatch.setattr(torch, "compile", lambda graph, **_: graph)
    objective.compile()
    before = objective.evaluate()
    monkeypatch.setattr(CompiledStep, "_compile", _refuse)
    longer = torch.cat([tensor, tensor])
    with pytest.warns(UserWarning, match="go on uncompiled: it does not"):
        objective.replace_points({"first": longer, "second": longer})
        after = objective.evaluate()
    assert_equal_steps(after, before, 1e-12)


def _refuse(*_: Any) -> Any:
    raise CompilationError("it does not")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory: you tried")])
def test_when_memory_runs_out_the_chunks_are_halved_and_the_gradient_is_the_same(error: Exception) -> None:
    network = random_network("tanh", 2, 3)
    tensor = torch.rand(40, 2, dtype=torch.float64)
    inner = residuals_of(network, KURAMOTO, derivatives)
    seen: list[int] = []

    def limited(points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        seen.append(len(points["first"]))
        if len(points["first"]) > 12:
            raise error
        return inner(points)

    points = {"first": tensor, "second": tensor}
    found = Objective(network, limited, points, chunk=40).evaluate()
    assert_equal_steps(found, Objective(network, inner, points).evaluate(), 1e-12)
    assert seen[:3] == [40, 20, 10]


def test_memory_that_does_not_suffice_for_one_point_is_an_error() -> None:
    network = random_network("tanh", 2, 3)
    tensor = torch.rand(5, 2, dtype=torch.float64)

    def never(points: Mapping[str, Tensor]) -> dict[str, Tensor]:
        raise MemoryError

    with pytest.raises(MemoryError):
        Objective(network, never, {"first": tensor, "second": tensor}, chunk=5).evaluate()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 11])
def test_chunks_hold_every_row_once_and_keep_what_is_shared(count: int) -> None:
    shared, other = torch.arange(7.0)[:, None], torch.arange(3.0)[:, None]
    chunks = split({"a": shared, "b": shared, "c": other}, count)
    assert len(chunks) == count
    for name, whole in (("a", shared), ("c", other)):
        rows = [
            row.item()
            for chunk in chunks
            for row, mask in zip(
                chunk.points[name],
                torch.ones(len(chunk.points[name])) if chunk.masks is None else chunk.masks[name],
                strict=True,
            )
            if mask
        ]
        assert rows == whole[:, 0].tolist()
    assert all(chunk.points["a"] is chunk.points["b"] for chunk in chunks)
    assert len({len(chunk.points["a"]) for chunk in chunks}) == 1

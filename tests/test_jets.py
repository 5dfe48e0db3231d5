"""Jets against nested reverse passes, against SymPy's exact derivatives, and against the algebra they claim to be."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, cast

import numpy as np
import pytest
import sympy as sp
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from pinnsolve.errors import UnsupportedError
from pinnsolve.jets import (
    HIGHEST_ORDER,
    Derivative,
    Jet,
    JetPlan,
    MissingRuleError,
    MultiIndex,
    derivatives,
    nested_derivatives,
    plan_jets,
    rule,
    variables,
)
from pinnsolve.jets.jet import RULES

Function = Callable[[Tensor], Tensor]

ALL_TO_FOUR: dict[int, set[MultiIndex]] = {
    1: {(4,)},
    2: {(k, 4 - k) for k in range(5)},
    3: {(2, 1, 1), (0, 0, 4), (1, 3, 0)},
}


def uniform(
    *shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0, dtype: torch.dtype = torch.float64
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low).to(dtype)


def assert_same(found: dict[Derivative, Tensor], expected: dict[Derivative, Tensor], tolerance: float = 1e-11) -> None:
    assert found.keys() == expected.keys()
    for index, exact in expected.items():
        assert found[index].shape == exact.shape
        scale = max(1.0, float(exact.detach().abs().max()))
        assert float((found[index] - exact).detach().abs().max()) <= tolerance * scale, index


def assert_jets_agree(
    function: Function, points: Tensor, *, plan: JetPlan | None = None, tolerance: float = 1e-11
) -> None:
    dimension = points.shape[1]
    plan = plan or plan_jets(ALL_TO_FOUR[dimension], dimension=dimension)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # No case may pass by falling back to what it is compared with.
        found = derivatives(function, points, plan)
    assert_same(found, nested_derivatives(function, points, plan), tolerance)


def curved(points: Tensor, low: float, high: float) -> Tensor:
    """Two functions of the points, curved in every direction, with values between two bounds."""
    weights = uniform(points.shape[1], 2, seed=7)
    phase = points @ weights + 0.3 * (points * points) @ weights.flip(1)
    return (low + high) / 2 + (high - low) / 2 * torch.sin(phase)


# Functions of one argument, with bounds inside the domain and away from kinks.
UNARY: dict[str, tuple[Function, float, float]] = {
    "exp": (torch.exp, -2, 2),
    "expm1": (torch.expm1, -2, 2),
    "log": (torch.log, 0.3, 3),
    "log2": (torch.log2, 0.3, 3),
    "log10": (torch.log10, 0.3, 3),
    "log1p": (torch.log1p, -0.6, 3),
    "sin": (torch.sin, -3, 3),
    "cos": (torch.cos, -3, 3),
    "tan": (torch.tan, -1, 1),
    "asin": (torch.asin, -0.8, 0.8),
    "acos": (torch.acos, -0.8, 0.8),
    "atan": (torch.atan, -3, 3),
    "sinh": (torch.sinh, -2, 2),
    "cosh": (torch.cosh, -2, 2),
    "tanh": (torch.tanh, -3, 3),
    "asinh": (torch.asinh, -3, 3),
    "acosh": (torch.acosh, 1.3, 3),
    "atanh": (torch.atanh, -0.8, 0.8),
    "sigmoid": (torch.sigmoid, -4, 4),
    "expit": (torch.special.expit, -4, 4),
    "erf": (torch.erf, -2, 2),
    "erfc": (torch.erfc, -2, 2),
    "sqrt": (torch.sqrt, 0.3, 3),
    "rsqrt": (torch.rsqrt, 0.3, 3),
    "reciprocal": (torch.reciprocal, 0.3, 3),
    "square": (torch.square, -2, 2),
    "neg": (torch.neg, -2, 2),
    "abs, negative": (torch.abs, -3, -1),
    "pow 0": (lambda z: z**0, -2, 2),
    "pow 1": (lambda z: z**1, -2, 2),
    "pow 3": (lambda z: z**3, -2, 2),
    "pow 4.0": (lambda z: z**4.0, -2, 2),
    "pow 7 across zero": (lambda z: torch.pow(z, 7), -2, 2),
    "pow -2": (lambda z: z**-2, 0.4, 2),
    "pow 2.5": (lambda z: z**2.5, 0.3, 2),
    "pow by a tensor": (lambda z: z ** torch.tensor([2.0, 0.7], dtype=z.dtype), 0.3, 2),
    "pow of a number": (lambda z: 1.7**z, -2, 2),
    "pow of a tensor": (lambda z: torch.tensor([1.3, 0.6], dtype=z.dtype) ** z, -2, 2),
    "pow of itself": (lambda z: z**z, 0.4, 2),
    "softplus": (F.softplus, -4, 4),
    "softplus, beta": (lambda z: F.softplus(z, beta=2.5), -2, 2),
    "softplus over its threshold": (lambda z: F.softplus(z, beta=3.0, threshold=4.0), 2, 3),
    "softplus both sides of its threshold": (lambda z: F.softplus(z, beta=2.0, threshold=1.0), -3, 3),
    "gelu": (F.gelu, -3, 3),
    "gelu, tanh": (lambda z: F.gelu(z, approximate="tanh"), -3, 3),
    "silu": (F.silu, -4, 4),
    "mish": (F.mish, -4, 4),
    "logsigmoid": (F.logsigmoid, -4, 4),
    "tanhshrink": (F.tanhshrink, -3, 3),
    "softsign": (F.softsign, 0.5, 3),
    "softmax": (lambda z: F.softmax(z, dim=-1), -3, 3),
    "relu": (F.relu, -2, 2),
    "leaky_relu": (lambda z: F.leaky_relu(z, 0.2), -2, 2),
    "elu": (lambda z: F.elu(z, 1.5), -2, 2),
    "celu": (lambda z: F.celu(z, 1.5), -2, 2),
    "selu": (F.selu, -2, 2),
    "relu6": (F.relu6, 4, 8),
    "hardtanh": (lambda z: F.hardtanh(z, -0.7, 0.8), -2, 2),
    "clamp": (lambda z: z.clamp(min=-0.5), -2, 2),
    "sign": (lambda z: z * torch.sign(z), -2, 2),
    "detach": (lambda z: z * z.detach(), -2, 2),
}


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("name", UNARY)
def test_a_function_has_the_derivatives_of_nested_reverse_passes(name: str, dimension: int) -> None:
    function, low, high = UNARY[name]
    assert_jets_agree(lambda points: function(curved(points, low, high)), uniform(11, dimension, seed=1))


@pytest.mark.parametrize("name", UNARY)
def test_a_function_has_the_parameter_gradients_of_nested_reverse_passes(name: str) -> None:
    function, low, high = UNARY[name]
    shift = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    weight = torch.eye(2, dtype=torch.float64).add(0.1).requires_grad_()
    points = uniform(9, 2, seed=2)
    plan = plan_jets({(2, 0), (1, 1)}, dimension=2)

    def field(points: Tensor) -> Tensor:
        return function(curved(F.linear(points, weight, shift), low, high))

    def gradients(evaluate: Callable[..., dict[Derivative, Tensor]]) -> tuple[Tensor, ...]:
        values = evaluate(field, points, plan)
        loss = sum((k + 1) * (value - 0.3).square().mean() for k, value in enumerate(values.values()))
        return torch.autograd.grad(loss, (weight, shift))  # type: ignore[arg-type]

    for found, expected in zip(gradients(derivatives), gradients(nested_derivatives), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


W = uniform(3, 2, seed=3)
M = uniform(5, 2, 4, seed=4)

# Functions of two jets a, b of shape (points, 2) with values in [0.5, 2].
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": lambda a, b: a + b,
    "sum with alpha": lambda a, b: torch.add(a, b, alpha=3),
    "difference": lambda a, b: torch.sub(a, b, alpha=2) - a,
    "product": lambda a, b: a * b,
    "quotient": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "numbers on the left": lambda a, b: (2 - a) * (3 / b) + (1 + a),
    "numbers on the right": lambda a, b: (a - 2) / 4 + b * 3,
    "tensors on the left": lambda a, b: (W[0] - a) * (W[1] / b) + (W[2] + a) + W[0] * b,
    "tensors on the right": lambda a, b: (a - W[0]) * W[1] + b / W[2],
    "numpy numbers on the left": lambda a, b: np.float64(1.5) * a + np.float64(0.5) - b,
    "reversed difference": lambda a, b: torch.rsub(a, b),
    "addcmul": lambda a, b: torch.addcmul(W[0], a, b, value=0.5),
    "lerp": lambda a, b: torch.lerp(a, b, 0.3),
    "broadcast over a column": lambda a, b: a[:, :1] * b + a[:, 1:],
    "broadcast over a new dimension": lambda a, b: a[:, None, :] * b[:, :, None],
    "broadcast to fewer dimensions": lambda a, b: a * b.mean(0) + b.mean(),
    "atan2": lambda a, b: torch.atan2(a - 1, b),
    "atan2 with a constant": lambda a, b: torch.atan2(a, W[0]),
    "hypot": torch.hypot,
    "remainder": torch.remainder,
    "remainder of a constant": lambda a, b: torch.remainder(W[0], b),
    "where": lambda a, b: torch.where(a > b, a * b, b - a),
    "where with a number": lambda a, b: torch.where(a >= 1.0, a * b, 0.5),
    "where with a constant": lambda a, b: torch.where(W[0] < 0, W[1], b),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "linear": lambda a, b: F.linear(a, W, W[:, 0]) + F.linear(b, W),
    "linear with varying weights": lambda a, b: F.linear(b[:3], a[:4], b[:4, 0]),
    "matmul": lambda a, b: a @ W.T + torch.matmul(b, W.T),
    "matmul with a vector": lambda a, b: a @ W[0] + torch.mv(b, W[1]),
    "matmul from the left": lambda a, b: torch.ones(3, len(a), dtype=a.dtype) @ (a * b),
    "matmul of batches": lambda a, b: (
        torch.bmm(a[:5, None, :], M) + (b[:5, None, :] @ M) + (b @ M).sum(1, keepdim=True)[:, :1]
    ),
    "matmul of jets": lambda a, b: a @ b.t(),
    "addmm": lambda a, b: torch.addmm(b[:, :1], a, W.T, beta=2, alpha=0.5),
    "bilinear": lambda a, b: F.bilinear(a, b, M[:, :, :2], M[:, 0, 0]),
    "einsum": lambda a, b: torch.einsum("nr,nr->n", a, b)[:, None],
    "einsum of three": lambda a, b: torch.einsum("nr,ns,nr->ns", a, b, a * b),
    "einsum with a constant": lambda a, b: torch.einsum("nr,kr,nr->nk", a, W, b),
    "cat": lambda a, b: torch.cat([a * b, W, b]),
    "cat of features": lambda a, b: torch.cat((a, b, a * a), dim=-1),
    "stack": lambda a, b: torch.stack([a, b, torch.ones_like(b)], dim=1),
    "stack at the end": lambda a, b: torch.stack([a, b * a], dim=-1),
    "prod": lambda a, b: torch.cat([a, b], 1).prod(1, keepdim=True),
}


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")  # torch's own forward differentiation uses it.
@pytest.mark.parametrize("name", BINARY)
def test_an_operation_on_two_jets_has_the_derivatives_of_each_channel(name: str) -> None:
    def channelwise(points: Tensor) -> Tensor:
        a, b = curved(points, 0.5, 2.0), curved(points.flip(1) * 0.7, 0.6, 1.9)
        return BINARY[name](a, b)

    assert_rearrangement_agrees(channelwise)


SHAPES: dict[str, Function] = {
    "item": lambda z: z[:, 1],
    "negative item": lambda z: z[..., -1:],
    "rows": lambda z: z[2:5],
    "row": lambda z: z[3],
    "new dimension": lambda z: z[:, None],
    "list of columns": lambda z: z[:, [3, 0]],
    "mask of rows": lambda z: z[torch.arange(6) % 2 == 0],
    "two index tensors": lambda z: z[torch.tensor([0, 2]), torch.tensor([1, 3])],
    "two index tensors apart": lambda z: z.reshape(6, 2, 2)[torch.tensor([0, 2]), :, torch.tensor([1, 0])],
    "reshape": lambda z: z.reshape(-1, 2),
    "reshape to a tuple": lambda z: torch.reshape(z, (3, 8)),
    "view": lambda z: z.view(6, 2, 2),
    "flatten": lambda z: z.reshape(6, 2, 2).flatten(1),
    "flatten all": lambda z: torch.flatten(z),
    "unflatten": lambda z: z.unflatten(1, (2, 2)),
    "unsqueeze": lambda z: z.unsqueeze(0).unsqueeze(-1),
    "squeeze": lambda z: z.unsqueeze(1).squeeze(1),
    "squeeze all": lambda z: z[:, None, :, None].squeeze(),
    "transpose": lambda z: z.transpose(0, -1),
    "t": lambda z: z.t(),
    "permute": lambda z: z.view(6, 2, 2).permute(2, 0, 1),
    "movedim": lambda z: z.view(6, 2, 2).movedim(-1, 0),
    "expand": lambda z: z[:, :1].expand(-1, 3),
    "expand by dimensions": lambda z: z.expand(2, 6, 4),
    "expand_as": lambda z: z[:, :1].expand_as(z),
    "repeat": lambda z: z.repeat(2, 1, 2),
    "unbind": lambda z: torch.unbind(z, dim=1)[2],
    "split": lambda z: torch.split(z, 3, dim=1)[1],
    "chunk": lambda z: z.chunk(2, dim=-1)[1],
    "narrow": lambda z: z.narrow(1, 1, 2),
    "select": lambda z: z.select(1, 2),
    "index_select": lambda z: z.index_select(1, torch.tensor([2, 0])),
    "flip": lambda z: z.flip(1),
    "roll": lambda z: torch.roll(z, 1, dims=1),
    "sum": lambda z: z.sum(1),
    "sum of all": lambda z: z.sum()[None],
    "sum, keeping": lambda z: torch.sum(z, dim=-1, keepdim=True),
    "sum over several": lambda z: z.view(6, 2, 2).sum((1, 2)),
    "mean": lambda z: z.mean(dim=1),
    "mean of all": lambda z: torch.mean(z)[None],
    "cumsum": lambda z: z.cumsum(1),
    "clone": lambda z: z.clone().contiguous(),
    "casts": lambda z: z.to(torch.float64).double(),
    "size": lambda z: z * z.size(1) + z.size()[0] * z.dim() + z.numel() + len(z) + z.ndim,
    "iteration": lambda z: torch.stack([row * k for k, row in enumerate(z)]),
    "in evaluation, dropout": lambda z: F.dropout(z, 0.5, training=False),
    "prelu": lambda z: F.prelu(z - 1.2, torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=z.dtype)),
    "batch_norm": lambda z: F.batch_norm(z, M[0, 0], M[1, 1].abs(), M[2, 0], M[3, 0]),
}


def assert_rearrangement_agrees(function: Function) -> None:
    """Derivatives along a line of all entries, against nested forward differentiation, whatever becomes of the points."""
    base, direction = uniform(6, 2, seed=5), uniform(1, 2, seed=6)
    plan = plan_jets({(4,)}, dimension=1)
    s = torch.zeros(1, 1, dtype=torch.float64)
    found = cast(Any, function)(base + variables(s, plan) * direction)
    assert isinstance(found, Jet)

    def along(s: Tensor) -> Tensor:
        return function(base + s * direction)

    for k in range(plan.size):
        torch.testing.assert_close(found.derivative((k,)), along(s), rtol=1e-10, atol=1e-10)
        along = partial(_forward_derivative, along)


def _forward_derivative(function: Function, s: Tensor) -> Tensor:
    return torch.func.jvp(function, (s,), (torch.ones_like(s),))[1]


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")
@pytest.mark.parametrize("name", SHAPES)
def test_a_rearrangement_acts_on_every_coefficient_alike(name: str) -> None:
    def rearranged(points: Tensor) -> Tensor:
        return SHAPES[name](torch.cat([curved(points, 0.5, 2.0), curved(points * 0.7, 0.6, 1.9)], 1))

    assert_rearrangement_agrees(rearranged)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.SiLU, nn.GELU, nn.Softplus, nn.Sigmoid, nn.Mish, nn.Tanhshrink])
def test_a_module_written_for_tensors_runs_on_jets(activation: type[nn.Module]) -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lift, self.inner = nn.Linear(2, 6), nn.Linear(6, 6)
            self.activation, self.slope = activation(), nn.Parameter(torch.ones(6))

        def forward(self, x: Tensor) -> Tensor:
            h = self.activation(self.lift(x))
            h = h + self.slope * self.activation(self.inner(h))
            return torch.cat([h.sum(-1, keepdim=True), x[..., :1] * h[..., 2:3]], dim=-1)

    torch.manual_seed(0)
    network = Residual().double()
    assert_jets_agree(network, uniform(7, 2, seed=8))


def test_a_sequential_with_every_common_layer_runs_on_jets() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 8, bias=False), nn.ELU(),
        nn.GroupNorm(2, 8), nn.Unflatten(1, (2, 4)), nn.LayerNorm(4), nn.Flatten(), nn.PReLU(8), nn.Identity(),
        nn.RMSNorm(8), nn.CELU(), nn.LeakyReLU(), nn.LogSigmoid(), nn.Softsign(), nn.Linear(8, 2),
    ).double().eval()  # fmt: skip
    # To second order only: see the test below.
    assert_jets_agree(network, uniform(5, 3, seed=9), plan=plan_jets({(2, 0, 0), (0, 1, 1)}, dimension=3))


def _standardised(z: Tensor, eps: float = 1e-5) -> Tensor:
    centred = z - z.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()


def test_normalisation_has_the_derivatives_of_its_formula_at_every_order() -> None:
    # Not those of nested passes through torch's own layer_norm: its third derivatives are wrong (measured with torch 2.13).
    points, plan = uniform(6, 2, seed=13), plan_jets({(3, 0), (1, 2)}, dimension=2)

    def features(points: Tensor) -> Tensor:
        return torch.cat([curved(points, 0.5, 2.0), curved(points * 0.7, -1.0, 1.9)], 1)

    def grouped(points: Tensor) -> Tensor:
        return _standardised(features(points).reshape(-1, 2, 2)).reshape(-1, 4)

    cases: list[tuple[Function, Function]] = [
        (nn.LayerNorm(4, dtype=torch.float64), lambda p: _standardised(features(p))),
        (nn.GroupNorm(2, 4, dtype=torch.float64), grouped),
        (
            nn.RMSNorm(4, eps=0.1, dtype=torch.float64),
            lambda p: features(p) / (features(p).square().mean(1, True) + 0.1).sqrt(),
        ),
    ]
    for module, formula in cases:
        found = derivatives(lambda p, module=module: module(features(p)), points, plan)  # type: ignore[misc]
        assert_same(found, nested_derivatives(formula, points, plan))


def test_dropout_in_training_drops_all_coefficients_of_a_unit_together() -> None:
    plan = plan_jets({(2,)}, dimension=1)
    z = variables(uniform(200, 1, low=0.5), plan).exp()
    dropped = cast(Any, F.dropout)(z, 0.3)
    ratio = dropped.coefficients / z.coefficients
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
    assert set(ratio[0].flatten().round(decimals=6).tolist()) == {0.0, round(1 / 0.7, 6)}


X, Y, T = sp.symbols("x y t")


@pytest.mark.parametrize(
    ("expression", "function"),
    [
        (sp.sin(X * Y) * sp.exp(-T), lambda x, y, t: torch.sin(x * y) * torch.exp(-t)),
        (sp.tanh(X + 2 * Y) / (1 + T**2), lambda x, y, t: torch.tanh(x + 2 * y) / (1 + t**2)),
        (sp.log(2 + X * T) * sp.atan(Y), lambda x, y, t: torch.log(2 + x * t) * torch.atan(y)),
        (sp.sqrt(3 + X + Y * T), lambda x, y, t: (3 + x + y * t).sqrt()),
        (sp.erf(X - Y) * sp.cosh(T), lambda x, y, t: torch.erf(x - y) * torch.cosh(t)),
        (1 / (1 + sp.exp(-X * Y * T)), lambda x, y, t: torch.sigmoid(x * y * t)),
        (X**3 * Y**2 * T, lambda x, y, t: x**3 * y**2 * t),
    ],
)
def test_derivatives_are_those_of_sympy(expression: sp.Expr, function: Callable[..., Tensor]) -> None:
    points = uniform(13, 3, seed=10)
    plan = plan_jets({(2, 1, 1), (0, 3, 1), (4, 0, 0)}, dimension=3)
    found = derivatives(lambda p: function(p[:, :1], p[:, 1:2], p[:, 2:]), points, plan)
    for index, values in found.items():
        exact = sp.lambdify((X, Y, T), sp.diff(expression, *zip((X, Y, T), index, strict=True)), ["scipy", "numpy"])
        expected = torch.as_tensor(exact(*points.numpy().T), dtype=torch.float64).expand(13)
        torch.testing.assert_close(values[:, 0], expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("expression", "function"),
    [
        (sp.tanh(X), torch.tanh),
        (1 / (1 + sp.exp(-X)), torch.sigmoid),
        (sp.sin(X), torch.sin),
        (X * (1 + sp.erf(X / sp.sqrt(2))) / 2, F.gelu),
        (X / (1 + sp.exp(-X)), F.silu),
        (sp.log(1 + sp.exp(X)), F.softplus),
        (sp.exp(sp.sin(X)), lambda x: torch.exp(torch.sin(x))),
    ],
)
def test_the_highest_order_is_exact_to_rounding(expression: sp.Expr, function: Function) -> None:
    at = sp.Rational(3, 10)
    found = derivatives(
        function, torch.tensor([[0.3]], dtype=torch.float64), plan_jets({(HIGHEST_ORDER,)}, dimension=1)
    )
    for (order,), value in found.items():
        exact = float(sp.diff(expression, X, order).subs(X, at).evalf(30))
        assert value.item() == pytest.approx(exact, rel=1e-10, abs=1e-10)


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Module, Tensor, JetPlan]:
    dimension = draw(st.integers(1, 3))
    width, depth, outputs = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    activations = draw(
        st.lists(st.sampled_from([nn.Tanh, nn.SiLU, nn.GELU, nn.Sigmoid]), min_size=depth, max_size=depth)
    )
    index = st.tuples(*[st.integers(0, 3)] * dimension).filter(lambda index: sum(index) <= 4)
    plan = plan_jets(draw(st.sets(index, min_size=1, max_size=3)), dimension=dimension)
    sizes = [dimension, *[width] * depth]
    layers = [
        layer
        for fan_in, fan_out, activation in zip(sizes, sizes[1:], activations, strict=False)
        for layer in (nn.Linear(fan_in, fan_out), activation())
    ]
    network = nn.Sequential(*layers, nn.Linear(width, outputs)).double()
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -1.5, 1.5, generator=generator)
    return network, torch.rand(draw(st.integers(0, 6)), dimension, generator=generator, dtype=torch.float64), plan


@settings(max_examples=40, deadline=None)
@given(networks())
def test_random_networks_agree_in_derivatives_and_gradients(case: tuple[nn.Module, Tensor, JetPlan]) -> None:
    network, points, plan = case
    found, expected = derivatives(network, points, plan), nested_derivatives(network, points, plan)
    parameters = list(network.parameters())

    def gradients(values: dict[Derivative, Tensor]) -> tuple[Tensor, ...]:
        total = torch.stack([value.square().sum() for value in values.values()]).sum()
        return torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)

    for index in plan.indices:
        torch.testing.assert_close(found[index], expected[index], rtol=1e-9, atol=1e-10)
    for one, other in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), max_size=4))
def test_a_plan_is_the_smallest_closed_one(required: set[MultiIndex]) -> None:
    plan = plan_jets(required, dimension=3)
    present = set(plan.indices)
    assert plan.indices[0] == (0, 0, 0)
    assert required <= present
    assert present == {(0, 0, 0)} | {low for top in required for low in product(*(range(n + 1) for n in top))}
    assert [sum(index) for index in plan.indices] == sorted(sum(index) for index in plan.indices)


def test_a_plan_contains_nothing_that_is_not_needed() -> None:
    assert plan_jets({(0, 1), (2, 0)}, dimension=2).indices == ((0, 0), (1, 0), (0, 1), (2, 0))
    assert plan_jets((), dimension=2).indices == ((0, 0),)


def test_a_product_of_jets_is_a_truncated_product_of_polynomials() -> None:
    plan = plan_jets({(2, 1), (1, 3)}, dimension=2)
    a, b = uniform(plan.size, 1, seed=11), uniform(plan.size, 1, seed=12)
    found = (Jet(a, plan) * Jet(b, plan)).coefficients[:, 0]
    series = [
        sp.Poly(sum(c.item() * X**i * Y**j for c, (i, j) in zip(coefficients[:, 0], plan.indices, strict=True)), X, Y)
        for coefficients in (a, b)
    ]
    expected = series[0] * series[1]
    assert found.tolist() == pytest.approx([float(expected.coeff_monomial(X**i * Y**j)) for i, j in plan.indices])


def test_an_order_above_the_highest_is_refused_with_a_remedy() -> None:
    with pytest.raises(
        UnsupportedError, match=r"\(13, 0\).*order is 13, the highest supported is 12.*system of lower order"
    ):
        plan_jets({(HIGHEST_ORDER + 1, 0)}, dimension=2)


@pytest.mark.parametrize("index", [(1,), (1, 0, 0), (-1, 2)])
def test_a_malformed_multi_index_is_refused(index: MultiIndex) -> None:
    with pytest.raises(ValueError, match="counts"):
        plan_jets({index}, dimension=2)


@pytest.mark.parametrize(
    ("indices", "fault"),
    [
        (((0, 0), (2, 0)), "downward closed"),
        ((), "downward closed"),
        (((0, 0), (0, 2), (0, 1)), "graded"),
        (((0, 0), (0, 1), (0, 1)), "distinct"),
        (((0,), (1,)), "counts"),
    ],
)
def test_a_plan_that_is_no_algebra_is_refused(indices: tuple[MultiIndex, ...], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        JetPlan(2, indices)


def test_low_degrees_store_no_vanishing_coefficients() -> None:
    plan = plan_jets({(4, 0), (0, 1)}, dimension=2)
    x = variables(uniform(5, 2), plan)
    assert len(x.coefficients) == 3
    assert len((x @ W.T).coefficients) == 3
    assert len((x * x).coefficients) == 4
    assert len((x * W[:1]).coefficients) == 3
    assert len(x.tanh().coefficients) == plan.size
    assert not x.derivative((3, 0)).any()


def test_derivatives_of_polynomials_beyond_their_degree_vanish() -> None:
    plan = plan_jets({(3, 0)}, dimension=2)
    points = uniform(4, 2)
    for function in (lambda p: p, lambda p: p @ W.T, lambda p: torch.ones_like(p), lambda p: p.detach()):
        assert_same(derivatives(function, points, plan), nested_derivatives(function, points, plan))


def test_a_coordinate_that_is_not_differentiated_costs_no_channel() -> None:
    plan = plan_jets({(0, 2)}, dimension=2)
    assert len(variables(uniform(4, 2), plan).coefficients) == 2
    network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    points = uniform(4, 2)
    assert_same(derivatives(network, points, plan), nested_derivatives(network, points, plan))


def test_points_of_another_dimension_than_the_plan_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(points, 2\)"):
        derivatives(nn.Linear(3, 1), torch.zeros(4, 3), plan_jets({(1, 0)}, dimension=2))


def test_values_alone_are_a_plain_call() -> None:
    seen: list[type] = []

    def network(points: Tensor) -> Tensor:
        seen.append(type(points))
        return points * 2

    found = derivatives(network, uniform(3, 2), plan_jets((), dimension=2))
    assert seen == [Tensor]
    torch.testing.assert_close(found[(0, 0)], uniform(3, 2) * 2)


def test_jets_of_different_plans_do_not_mix() -> None:
    one, other = (variables(uniform(3, 1), plan_jets({(order,)}, dimension=1)) for order in (1, 2))
    with pytest.raises(ValueError, match="different plans"):
        one + other


def test_a_jet_looks_like_its_value() -> None:
    jet = variables(uniform(5, 2, dtype=torch.float32), plan_jets({(2, 0)}, dimension=2))
    assert (jet.shape, jet.ndim, jet.dim(), jet.numel(), len(jet)) == ((5, 2), 2, 2, 10, 5)
    assert (jet.dtype, jet.device, jet.size(1)) == (torch.float32, torch.device("cpu"), 2)
    assert torch.equal(jet.value, uniform(5, 2, dtype=torch.float32))
    with pytest.raises(KeyError):
        jet.derivative((0, 1))
    with pytest.raises(AttributeError, match="no attribute 'foo'"):
        jet.foo  # noqa: B018


def test_without_gradients_the_derivatives_are_the_same_and_keep_no_graph() -> None:
    network = nn.Sequential(nn.Linear(2, 5), nn.SiLU(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    points, plan = uniform(4, 2), plan_jets({(2, 1)}, dimension=2)
    recorded = derivatives(network, points, plan)
    with torch.no_grad():
        for evaluate in (derivatives, nested_derivatives):
            found = evaluate(network, points, plan)
            assert not any(value.requires_grad for value in found.values())
            assert_same(found, recorded)


def test_float32_agrees_to_its_precision() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 1))
    points, plan = uniform(50, 2, dtype=torch.float32), plan_jets({(3, 0), (1, 1)}, dimension=2)
    single = derivatives(network, points, plan)
    double = derivatives(network.double(), points.double(), plan)
    assert all(value.dtype == torch.float32 for value in single.values())
    assert_same({index: value.double() for index, value in single.items()}, double, tolerance=2e-5)


def test_long_channels_are_worked_on_in_runs_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    first = nn.Linear(2, 7)
    network = nn.Sequential(first, nn.Tanh(), nn.Linear(7, 7), nn.GELU(), nn.Linear(7, 1)).double()
    points, plan = uniform(37, 2), plan_jets({(2, 1)}, dimension=2)
    whole = derivatives(network, points, plan)
    gradient = torch.autograd.grad(whole[(2, 1)].sum(), first.weight)[0]
    monkeypatch.setattr("pinnsolve.jets.fusion.CACHE_ELEMENTS", 10)
    parts = derivatives(network, points, plan)
    for index in plan.indices:
        torch.testing.assert_close(parts[index], whole[index], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(torch.autograd.grad(parts[(2, 1)].sum(), first.weight)[0], gradient)


def test_a_second_reverse_pass_is_an_error_and_not_wrong() -> None:
    weight = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
    found = derivatives(lambda p: torch.tanh(p @ weight), uniform(3, 2), plan_jets({(2, 0)}, dimension=2))
    (gradient,) = torch.autograd.grad(found[(2, 0)].square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


class Unruly(nn.Module):
    """tanh of a cumulative maximum, for which there is no rule."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(2, 3).double()

    def forward(self, points: Tensor) -> Tensor:
        return torch.tanh(torch.logcumsumexp(self.dense(points), 1))


def test_an_operation_without_a_rule_is_named_once_and_answered_by_nested_passes() -> None:
    network, points, plan = Unruly(), uniform(5, 2), plan_jets({(2, 0)}, dimension=2)
    expected = nested_derivatives(network, points, plan)
    with pytest.warns(
        UserWarning, match=r"Unruly .*no jet rule for torch\.logcumsumexp; .*@rule\(torch\.logcumsumexp\)"
    ):
        assert_same(derivatives(network, points, plan), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(derivatives(network, points, plan), expected)
    with pytest.warns(UserWarning, match="Unruly"):  # Another network is another warning.
        derivatives(Unruly(), points, plan)


def test_a_declared_rule_makes_an_operation_run_on_jets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinnsolve.jets.jet.RULES", dict(RULES))

    @rule(torch.sinc)
    def _(z: Jet) -> Jet:
        return (math.pi * z).sin() / (math.pi * z)

    assert_jets_agree(lambda points: torch.sinc(points + 2) * (points + 2).sinc(), uniform(5, 2))


IN_PLACE: dict[str, Function] = {
    "method": lambda z: (z * 2).add_(1),
    "operator": lambda z: _add_in_place(z * 2),
    "activation": lambda z: F.relu(z * 2, inplace=True),
    "assignment": lambda z: _assign(z * 2),
    "dropout": lambda z: F.dropout(z * 2, 0.0, inplace=True),
}


def _add_in_place(z: Tensor) -> Tensor:
    z += 1
    return z


def _assign(z: Tensor) -> Tensor:
    z[:, 0] = 1.0
    return z


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_operations_are_refused_and_answered_by_nested_passes(name: str) -> None:
    points, plan = uniform(5, 2), plan_jets({(2, 0)}, dimension=2)

    def network(points: Tensor) -> Tensor:
        return torch.tanh(IN_PLACE[name](points))

    with pytest.raises(MissingRuleError):
        network(variables(points, plan))  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="nested reverse passes"):
        found = derivatives(network, points, plan)
    assert_same(found, nested_derivatives(network, points, plan))


@pytest.mark.parametrize(
    "operation",
    [
        lambda z: torch.div(z, 2, rounding_mode="floor"),
        lambda z: F.batch_norm(z, None, None, training=True),
        lambda z: F.softmax(z, dim=1, dtype=torch.float32),
        lambda z: z.mT,
        lambda z: torch.linalg.inv(z),
    ],
)
def test_what_has_no_rule_is_never_guessed(operation: Function) -> None:
    with pytest.raises(MissingRuleError, match="no jet rule for"):
        operation(variables(uniform(4, 2), plan_jets({(1, 0)}, dimension=2)))  # type: ignore[arg-type]


def test_a_network_that_mixes_its_points_is_refused_and_not_differentiated() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1)).double()
    points, plan = uniform(5, 2), plan_jets({(2, 0)}, dimension=2)
    with pytest.raises(UnsupportedError, match="depend on all others"):
        derivatives(network, points, plan)
    assert (2, 0) in derivatives(network.eval(), points, plan)


def test_a_condition_of_more_dimensions_than_its_branches_does_not_meet_the_channels() -> None:
    plan = plan_jets({(2,)}, dimension=1)
    z = variables(uniform(4, 1), plan).reshape(4)
    condition = torch.tensor([[True], [False], [True]]).expand(3, 4)
    chosen: Any = torch.where(condition, z * z, 0.0)
    expected = (z * z).expand(3, 4) * condition
    torch.testing.assert_close(chosen.coefficients, expected.coefficients)


def test_an_argument_that_a_rule_does_not_know_is_answered_by_nested_passes() -> None:
    def network(points: Tensor) -> Tensor:
        return torch.tanh(points).sum(1, keepdim=True, dtype=torch.float64)

    points, plan = uniform(5, 2), plan_jets({(2, 0)}, dimension=2)
    with pytest.warns(UserWarning, match="dtype"):
        assert_same(derivatives(network, points, plan), nested_derivatives(network, points, plan))


def test_a_fault_of_the_network_is_raised_and_not_hidden() -> None:
    def network(points: Tensor) -> Tensor:
        return points.reshape(7, 7)

    with pytest.raises(RuntimeError, match="shape"):
        derivatives(network, uniform(5, 2), plan_jets({(1, 0)}, dimension=2))


def test_jets_and_their_gradient_can_be_traced_whole() -> None:
    network = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 5), nn.SiLU(), nn.Linear(5, 1)).double()
    points, plan = uniform(9, 2), plan_jets({(2, 0), (0, 1)}, dimension=2)
    names, start = zip(*network.named_parameters(), strict=True)

    def gradient(points: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        leaves = [value.detach().requires_grad_() for value in values]
        named = dict(zip(names, leaves, strict=True))
        u = derivatives(lambda x: torch.func.functional_call(network, named, (x,)), points, plan)
        loss = (u[(0, 1)] + u[(0, 0)] * u[(1, 0)] - 0.1 * u[(2, 0)]).square().mean()
        return torch.autograd.grad(loss, leaves, materialize_grads=True, allow_unused=True)

    expected = gradient(points, *start)
    traced = make_fx(gradient)(points, *start)
    elsewhere = [uniform(*value.shape, seed=9) for value in start]
    assert not {"aten::copy_", "aten::select_scatter"} & {str(node.target) for node in traced.graph.nodes}
    for one, other in zip(traced(points, *start), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
    for one, other in zip(traced(points + 1, *elsewhere), gradient(points + 1, *elsewhere), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
def test_jets_are_faster_than_nested_passes_at_fourth_order() -> None:
    torch.manual_seed(0)
    layers = [layer for _ in range(3) for layer in (nn.Tanh(), nn.Linear(64, 64))]
    network = nn.Sequential(nn.Linear(2, 64), *layers, nn.Tanh(), nn.Linear(64, 1)).double()
    points, plan = uniform(2_000, 2), plan_jets({(4, 0), (0, 1)}, dimension=2)

    def seconds(evaluate: Callable[..., dict[Derivative, Tensor]]) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            u = evaluate(network, points, plan)
            (u[(0, 1)] + u[(0, 0)] * u[(1, 0)] + u[(2, 0)] + u[(4, 0)]).square().mean().backward()
            times.append(time.perf_counter() - start)
        return min(times)

    assert 2.0 * seconds(derivatives) < seconds(nested_derivatives)

"""Composition, product and affine maps of series as single autograd functions: one allocation forward, one backward.

For y = f(z) in a truncated algebra dy = w dz with w = f'(z), again a series, whatever f. The backward pass is therefore the
transposed product of the upstream gradient with w, ḡ_γ = Σ_{α >= γ} g_α w_{α-γ}, and needs neither f again nor any intermediate
coefficient. The same transposed product differentiates a product of two series.

The arithmetic is done in one of three ways. *In buffers*, in place, over runs of points that stay in cache: the default, and the
fastest without a compiler. *Traced*: the same functions without writing into parts of tensors, so that a compiler sees plain
elementwise operations and fuses them; chosen where torch traces. *Differentiable*: without functions of our own, so that every
transformation of torch applies, forward mode and vectorising maps among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from pinnsolve.jets.laplacian import FEWEST_DIRECTIONS, compose_laplacian
from pinnsolve.jets.plan import JetPlan
from pinnsolve.jets.series import Series, Solve, Target, multiply, multiply_transposed

Slope = Callable[[Series, Target, JetPlan], None]
"""Given y = f(z), fill w = f'(z): arguments y, w, plan."""

CACHE_ELEMENTS = 32768
"""Elements of a channel that a thread works on at a time: measured best for float64 from 2,048 to all; also the least that torch
gives to a thread."""

_DIFFERENTIABLE: ContextVar[bool] = ContextVar("differentiable arithmetic", default=False)


@contextmanager
def differentiable_arithmetic() -> Iterator[None]:
    """Do arithmetic that every transformation of torch can differentiate, inside."""
    token = _DIFFERENTIABLE.set(True)
    try:
        yield
    finally:
        _DIFFERENTIABLE.reset(token)


def transformed() -> bool:
    """Whether a transformation of torch looks on, for rows of a Jacobian, or a compiler."""
    return _DIFFERENTIABLE.get() or traced()


def traced() -> bool:
    """Whether a compiler is looking on."""
    return torch.compiler.is_compiling() or get_proxy_mode() is not None


def _fused() -> bool:
    """Whether to use functions of our own."""
    return torch.compiler.is_compiling() or not _DIFFERENTIABLE.get()


def compose(
    z: Tensor,
    plan: JetPlan,
    solve: Solve,
    *,
    slope: Slope | None = None,
    shift: Tensor | None = None,
    tails: Tensor | None = None,
) -> Tensor:
    """The series of y = f(z).

    Args:
        z: Channels, shape (channels, ...); the plan's first ones.
        plan: Of the result.
        solve: Fills y and w = f'(z), all of them unless `slope` is given.
        slope: Fills w from y alone, where that is cheap: the backward pass then remembers y, which the next layer keeps anyway.
        shift: Added to the first channel of z, shape (last dimension of z,).
        tails: Further channels of z, the same at every point, shape (channels, last dimension of z).

    Returns:
        Channels, shape (plan.size, ...).
    """
    complete = len(z) == (plan.size if tails is None else 1)
    if _fused() and complete and plan.channels(1) > FEWEST_DIRECTIONS and plan.diagonal is not None:
        return compose_laplacian(z, shift, tails, plan, solve, None if traced() else _run(z))
    if _fused():
        return _Composition.apply(z, shift, tails, plan, solve, slope)
    channels = [*z.unbind(0), *(() if tails is None else tails.unbind(0))]
    if shift is not None:
        channels[0] = channels[0] + shift
    y: Target = [None] * plan.size
    solve(channels, y, [None] * plan.size, plan)
    return torch.stack(y)


def convolve(a: Tensor, b: Tensor, plan: JetPlan) -> Tensor:
    """The series of the product a b, of as many channels as its degree asks.

    Args:
        a: Channels, shape (channels, ...).
        b: Channels, the same shape but for their number.
        plan: Of the result.
    """
    if _fused():
        return _Product.apply(a, b, plan)
    out: Target = [None] * _product_channels(a, b, plan)
    multiply(out, a.unbind(0), b.unbind(0), plan)
    return torch.stack(out)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """The series of W x: a linear map acts on every channel.

    Args:
        x: Channels, shape (channels, ..., inputs).
        weight: Shape (outputs, inputs).
    """
    return _Linear.apply(x, weight) if _fused() else x @ weight.t()


def shifted(x: Tensor, shift: Tensor) -> Tensor:
    """The series of x + b.

    Args:
        x: Channels, shape (channels, ..., features).
        shift: Shape (features,).
    """
    return torch.cat([x[:1] + shift, x[1:]]) if len(x) > 1 else x + shift


class _Composition(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        shift: Tensor | None,
        tails: Tensor | None,
        plan: JetPlan,
        solve: Solve,
        slope: Slope | None,
    ) -> Tensor:
        size = plan.size
        remember = slope is None and any(ctx.needs_input_grad[:3])
        constants = () if tails is None else tails.unbind(0)

        def body(out: Target, spare: Target, z: Series) -> None:
            channels = [*z, *constants]
            if shift is not None:
                channels[0] = torch.add(z[0], shift, out=spare[0])
            y, w = out[:size], out[size:] if remember else spare[1:]
            solve(channels, y, w, plan)
            out[:] = [*y, *w] if remember else y

        found = _filled((2 if remember else 1) * size, body, z, spare=1 if remember else 1 + size)
        ctx.save_for_backward(found[size:] if remember else found)
        ctx.channels, ctx.constants, ctx.plan, ctx.slope = len(z), len(constants), plan, slope
        return found[:size] if remember else found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (saved,) = ctx.saved_tensors
        size = ctx.plan.size
        sums: list[Tensor] = []

        def body(out: Target, spare: Target, upstream: Series, saved: Series) -> None:
            w: Series = saved
            if ctx.slope is not None:
                found = spare[:size]
                ctx.slope(saved, found, ctx.plan)
                w = found
            gradients = [*out, *spare[size:]]
            multiply_transposed(gradients, upstream, w, ctx.plan)
            out[:] = gradients[: ctx.channels]
            if ctx.constants:
                # Of a channel that is the same at every point only the sum over the points is wanted.
                sums.append(torch.stack([channel.sum(0) for channel in gradients[ctx.channels :]]))

        gradient = _filled(ctx.channels, body, upstream, saved, spare=size + ctx.constants)
        for_shift = gradient[0].reshape(-1, gradient.shape[-1]).sum(0) if ctx.needs_input_grad[1] else None
        for_tails = sum(sums[1:], start=sums[0]) if sums else None
        return gradient, for_shift, for_tails, None, None, None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, plan: JetPlan) -> Tensor:
        def body(out: Target, spare: Target, a: Series, b: Series) -> None:
            multiply(out, a, b, plan)

        ctx.save_for_backward(a, b)
        ctx.plan = plan
        return _filled(_product_channels(a, b, plan), body, a, b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        def body(out: Target, spare: Target, upstream: Series, other: Series) -> None:
            multiply_transposed(out, upstream, other, ctx.plan)

        first, second = ctx.saved_tensors
        for_first, for_second, _ = ctx.needs_input_grad
        return (
            _filled(len(first), body, upstream, second) if for_first else None,
            _filled(len(second), body, upstream, first) if for_second else None,
            None,
        )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight = ctx.needs_input_grad
        rows = upstream.reshape(-1, len(weight))
        # Written as a product of numbers where it is one: an outer product of a single output has nothing to sum.
        single = len(weight) == 1
        return (
            (upstream * weight[0] if single else upstream @ weight) if for_x else None,
            rows.t() @ x.reshape(-1, weight.shape[1]) if for_weight else None,
        )


def _product_channels(a: Tensor, b: Tensor, plan: JetPlan) -> int:
    return plan.channels(plan.degree(len(a)) + plan.degree(len(b)))


def _filled(count: int, body: Callable[..., None], *tensors: Tensor, spare: int = 0) -> Tensor:
    """Return new channels of the shape of the given ones, filled by `body(out, spare, *series)` run after run.

    A recurrence passes over its channels many times, so on a processor it is limited by memory unless they stay in cache; `spare`
    channels are shared by all runs.
    """
    shape = tensors[0].shape[1:]
    if traced():
        found: Target = [None] * count
        body(found, [None] * spare, *(tensor.unbind(0) for tensor in tensors))
        return torch.stack(found)
    last = shape[-1] if shape else 1
    length = math.prod(shape[:-1])
    run = min(length, _run(tensors[0]))
    out = tensors[0].new_empty((count, *shape))
    buffers = tensors[0].new_empty((spare, run, last))
    flat = [tensor.reshape(len(tensor), length, last) for tensor in (out, *tensors)]
    for start in range(0, length, max(run, 1)):
        target, *series = (list(tensor[:, start : start + run].unbind(0)) for tensor in flat)
        body(target, list(buffers[:, : len(target[0])].unbind(0)), *series)
    return out


def _run(tensor: Tensor) -> int:
    """Rows to work on at a time: as many as stay in cache on a processor."""
    last = tensor.shape[-1] if tensor.ndim > 1 else 1
    if tensor.device.type != "cpu" or not last:
        return max(1, tensor[0].numel())
    return max(1, CACHE_ELEMENTS * torch.get_num_threads() // last)

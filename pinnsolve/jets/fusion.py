"""Composition, product and affine maps of series as single autograd functions: one allocation forward, one backward.

For y = f(z) in a truncated algebra dy = w dz with w = f'(z), again a series, whatever f. The backward pass is therefore the
transposed product of the upstream gradient with w, ḡ_γ = Σ_{α >= γ} g_α w_{α-γ}, and needs neither f again nor any intermediate
coefficient. The same transposed product differentiates a product of two series.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pinnsolve.jets.plan import JetPlan
from pinnsolve.jets.series import Series, Solve, multiply, multiply_transposed

Slope = Callable[[Series, Series, JetPlan], None]
"""Given y = f(z), fill w = f'(z): arguments y, w, plan."""

CACHE_ELEMENTS = 32768
"""Elements of a channel that a thread works on at a time: measured best for float64 from 2,048 to all; also the least that torch
gives to a thread."""


def compose(z: Tensor, plan: JetPlan, solve: Solve, *, slope: Slope | None = None) -> Tensor:
    """The series of y = f(z).

    Args:
        z: Coefficients, shape (channels, ...); the plan's first ones.
        plan: Of the result.
        solve: Fills y and w = f'(z), all of them unless `slope` is given.
        slope: Fills w from y alone, where that is cheap: the backward pass then remembers y, which the next layer keeps anyway.

    Returns:
        Coefficients, shape (plan.size, ...).
    """
    return _Composition.apply(z, plan, solve, slope)


def convolve(a: Tensor, b: Tensor, plan: JetPlan) -> Tensor:
    """The series of the product a b, of as many channels as its degree asks.

    Args:
        a: Coefficients, shape (channels, ...).
        b: Coefficients, the same shape but for the number of channels.
        plan: Of the result.
    """
    return _Product.apply(a, b, plan)


def affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The series of W x + b: a linear map acts on every channel, a constant on the first.

    Args:
        x: Coefficients, shape (channels, ..., inputs).
        weight: Shape (outputs, inputs).
        bias: Shape (outputs,) or none.
    """
    return _Affine.apply(x, weight, bias)


class _Composition(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, plan: JetPlan, solve: Solve, slope: Slope | None) -> Tensor:
        y = z.new_empty((plan.size, *z.shape[1:]))
        if slope is None and ctx.needs_input_grad[0]:
            w = torch.empty_like(y)
            for zs, ys, ws in _runs(z, y, w):
                solve(zs, ys, ws, plan)
            ctx.save_for_backward(w)
        else:
            for zs, ys, ws in _runs(z, y, scratch=plan.size):
                solve(zs, ys, ws, plan)
            ctx.save_for_backward(y)
        ctx.channels, ctx.plan, ctx.slope = len(z), plan, slope
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (saved,) = ctx.saved_tensors
        gradient = upstream.new_empty((ctx.channels, *upstream.shape[1:]))
        if ctx.slope is None:
            for gs, us, ws in _runs(gradient, upstream, saved):
                multiply_transposed(gs, us, ws, ctx.plan)
        else:
            for gs, us, ys, ws in _runs(gradient, upstream, saved, scratch=ctx.plan.size):
                ctx.slope(ys, ws, ctx.plan)
                multiply_transposed(gs, us, ws, ctx.plan)
        return gradient, None, None, None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, plan: JetPlan) -> Tensor:
        out = a.new_empty((plan.channels(plan.degree(len(a)) + plan.degree(len(b))), *a.shape[1:]))
        for outs, as_, bs in _runs(out, a, b):
            multiply(outs, as_, bs, plan)
        ctx.save_for_backward(a, b)
        ctx.plan = plan
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradients: list[Tensor | None] = [None, None]
        for k, (own, other) in enumerate([ctx.saved_tensors, ctx.saved_tensors[::-1]]):
            if ctx.needs_input_grad[k]:
                gradient = torch.empty_like(own, memory_format=torch.contiguous_format)
                for gs, us, os in _runs(gradient, upstream, other):
                    multiply_transposed(gs, us, os, ctx.plan)
                gradients[k] = gradient
        return *gradients, None


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        out = x @ weight.t()
        if bias is not None:
            # In place, which autograd could only follow by copying the gradient of every channel.
            out[0].add_(bias)
        ctx.save_for_backward(x, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        rows = upstream.reshape(-1, len(weight))
        return (
            upstream @ weight if for_x else None,
            rows.t() @ x.reshape(-1, weight.shape[1]) if for_weight else None,
            upstream[0].reshape(-1, len(weight)).sum(0) if for_bias else None,
        )


def _runs(*tensors: Tensor, scratch: int = 0) -> Iterator[tuple[Series, ...]]:
    """The same run of elements of every channel of every tensor, run after run; with `scratch` channels that all runs reuse.

    A recurrence passes over its channels many times, so on a processor it is limited by memory unless they stay in cache.
    """
    width = math.prod(tensors[0].shape[1:])
    # A compiler fuses the passes itself.
    whole = tensors[0].device.type != "cpu" or torch.compiler.is_compiling()
    run = width if whole else CACHE_ELEMENTS * torch.get_num_threads()
    flat = [tensor.reshape(len(tensor), width) for tensor in tensors]
    spare = tensors[0].new_empty((scratch, min(run, width)))
    for start in range(0, width, max(run, 1)):
        parts = [tensor[:, start : start + run] for tensor in flat]
        if scratch:
            parts.append(spare[:, : parts[0].shape[1]])
        yield tuple(part.unbind(0) for part in parts)

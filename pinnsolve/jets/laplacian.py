"""Compositions on jets of many directions and one sum of second derivatives, the forward Laplacian.

With the nilpotent part δ of z, y = f(z) is f + f' δ + f'' δ² / 2, where δ² has the single channel s = Σ γ_i z_i². So

    y_i = f' z_i,        y_Δ = f' z_Δ + f'' s / 2,

and of the gradients (g_0, g_i, g_Δ) of y those of z are f' g_i + f'' γ_i z_i g_Δ, f' g_Δ, and, for the value,
f' g_0 + f'' (Σ g_i z_i + g_Δ z_Δ) + f''' s g_Δ / 2 (the forward rule is that of Li, Li, Li et al., A computational framework for
neural network-based variational Monte Carlo with forward Laplacian, 2024). Every channel is read once, where the general rule would
form the series of f' as well: in a hundred dimensions this is a matter of memory traffic alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pinnsolve.jets.plan import JetPlan, plan_jets

FEWEST_DIRECTIONS = 8
"""Directions from which on this is used: with fewer, all channels of a run are in cache, and the general rule remembers less."""

_LINE = plan_jets({(3,)}, dimension=1)


def compose_laplacian(
    z: Tensor, shift: Tensor | None, tails: Tensor | None, plan: JetPlan, solve: Callable[..., None], run: int | None
) -> Tensor:
    """The series of y = f(z), for a plan with `diagonal`.

    Args:
        z: Channels, shape (channels, ..., features): all of the plan's, or the value alone when there are `tails`.
        shift: Added to the value of z, shape (features,).
        tails: Channels of order one that are the same at every point, shape (directions, features).
        plan: Of the result.
        solve: Fills y and f'(z), as for `fusion.compose`.
        run: Rows to work on at a time, or None to leave that to a compiler.
    """
    return _Laplacian.apply(z, shift, tails, plan, solve, run)


class _Laplacian(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        shift: Tensor | None,
        tails: Tensor | None,
        plan: JetPlan,
        solve: Callable[..., None],
        run: int | None,
    ) -> Tensor:
        gammas = plan.diagonal or ()
        rows = z.reshape(len(z), -1, z.shape[-1])
        out = None if run is None else z.new_empty((plan.size, *rows.shape[1:]))
        parts: list[Tensor] = []
        for part in _runs(rows.shape[1], run):
            own = rows[:, part]
            value, slope, curve, _ = _derivatives(own[0], shift, solve)
            block = own[1:-1] if tails is None else tails.unsqueeze(1)
            top = curve * _squares(block, gammas, whole=run is None)
            if tails is None:
                top = top.addcmul_(slope, own[-1])
            if out is None:
                parts.append(torch.cat([value.unsqueeze(0), slope * block, top.unsqueeze(0)]))
            else:
                out[0, part], out[-1, part] = value, top
                torch.mul(block, slope, out=out[1:-1, part])
        ctx.save_for_backward(z, shift, tails)
        ctx.solve, ctx.run, ctx.gammas = solve, run, gammas
        return (torch.cat(parts) if out is None else out).reshape(plan.size, *z.shape[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        z, shift, tails = ctx.saved_tensors
        gammas, run = ctx.gammas, ctx.run
        rows, above = (t.reshape(len(t), -1, t.shape[-1]) for t in (z, upstream))
        out = None if run is None else torch.empty_like(rows)
        parts: list[Tensor] = []
        sums: list[Tensor] = []
        for part in _runs(rows.shape[1], run):
            own, up = rows[:, part], above[:, part]
            _, slope, curve, third = _derivatives(own[0], shift, ctx.solve)
            block = own[1:-1] if tails is None else tails.unsqueeze(1)
            crossed = 2.0 * curve * up[-1]
            first = slope * up[0] + 3.0 * third * up[-1] * _squares(block, gammas, whole=run is None)
            into = None if out is None or tails is not None else out[1:-1, part]
            along, directions = _directions(up[1:-1], block, slope, crossed, gammas, into)
            first = first + 2.0 * curve * along
            if tails is not None:
                sums.append(directions)
                parts.append(first.unsqueeze(0))
                continue
            first = first.addcmul_(crossed, own[-1])
            last = slope * up[-1]
            if out is None:
                parts.append(torch.cat([first.unsqueeze(0), directions, last.unsqueeze(0)]))
            else:
                out[0, part], out[-1, part] = first, last
        gradient = out if parts == [] and out is not None else torch.cat(parts, 1)
        for_shift = gradient[0].sum(0) if ctx.needs_input_grad[1] else None
        return gradient.reshape(z.shape), for_shift, sum(sums[1:], start=sums[0]) if sums else None, None, None, None


def _derivatives(value: Tensor, shift: Tensor | None, solve: Callable[..., None]) -> Sequence[Tensor]:
    """f, f', f'' / 2 and f''' / 6 at the value, which are the series of f along a line."""
    at = value if shift is None else value + shift
    y: list[Any] = [None] * _LINE.size
    solve([at, torch.ones((), dtype=at.dtype, device=at.device)], y, [None] * _LINE.size, _LINE)
    return y


def _squares(block: Tensor, gammas: Sequence[float], *, whole: bool) -> Tensor:
    """Σ γ_i z_i²."""
    if whole:
        return (block * block * _column(block, gammas)).sum(0)
    total = torch.zeros_like(block[0])
    for channel, gamma in zip(block.unbind(0), gammas, strict=True):
        total.addcmul_(channel, channel, value=gamma)
    return total


def _directions(
    up: Tensor, block: Tensor, slope: Tensor, crossed: Tensor, gammas: Sequence[float], into: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Σ g_i z_i, and f' g_i + γ_i z_i f'' g_Δ; of a block that is the same at every point the sum over the points."""
    if into is None:
        directions = slope * up + _column(block, gammas) * block * crossed
        along = (up * block).sum(0)
        return along, directions.sum(1) if block.shape[1] == 1 else directions
    along = torch.zeros_like(slope)
    scaled = torch.empty_like(slope)
    for k, gamma in enumerate(gammas):
        along.addcmul_(up[k], block[k])
        torch.mul(up[k], slope, out=scaled)
        torch.addcmul(scaled, block[k], crossed, value=gamma, out=into[k])
    return along, into


def _column(block: Tensor, gammas: Sequence[float]) -> Tensor | float:
    """The factors, to be multiplied with all channels at once."""
    return gammas[0] if len(set(gammas)) == 1 else block.new_tensor(gammas).reshape(-1, 1, 1)


def _runs(length: int, run: int | None) -> Sequence[slice]:
    if run is None:
        return [slice(0, length)]
    return [slice(start, min(start + run, length)) for start in range(0, max(length, 1), max(run, 1))]

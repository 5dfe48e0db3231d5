"""Jacobians of residual vectors with respect to all parameters: rows for Gauss-Newton methods, and products with vectors both ways.

A residual at a point depends on the parameters through that point alone, so all rows follow from one reverse pass that is carried
out for every point at once: in each layer the outer product of the layer's inputs and its output gradients (Dangel, Müller and
Zeinhofer, Kronecker-factored approximate curvature for physics-informed neural networks, 2024). Never a pass for each row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pinnsolve.jets.fusion import differentiable_arithmetic
from pinnsolve.training.chunks import sharing
from pinnsolve.training.gradients import ResidualModule, Residuals

ROW_MEMORY = 256 * 2**20
"""Bytes that the rows made at a time may take; those of a layer are formed beside the result."""


class Jacobian:
    """J = ∂r/∂θ of the residuals at some points, one row for each entry of each residual vector, in the order of the terms.

    Args:
        module: Holds the parameters; those with `requires_grad` make up θ.
        residuals: Evaluates the terms whose point sets are given, each named as its set; a row from its point alone.
        points: Tensors by the name of their set.
    """

    def __init__(self, module: nn.Module, residuals: Residuals, points: Mapping[str, Tensor]) -> None:
        self._call = ResidualModule(module, residuals)
        named = {name: p for name, p in self._call.named_parameters() if p.requires_grad}
        self._parameters = {name: parameter.detach() for name, parameter in named.items()}
        self._leaves = list(named.values())
        self._residuals = residuals
        self._points = points

    def residual(self) -> Tensor:
        """Return r, shape (rows,)."""
        with torch.enable_grad():
            return torch.cat([part.detach() for part in self._residuals(self._points).values()])

    def rows(self) -> Tensor:
        """Return J, shape (rows, parameters)."""
        found: dict[str, Tensor] = {}
        for names in sharing(self._points):
            points = self._points[names[0]]
            each = sum(p.numel() for p in self._parameters.values()) * points.element_size() * len(names)
            limit = max(1, ROW_MEMORY // max(each, 1))
            by_point = torch.func.vmap(torch.func.jacrev(self._at(names)), in_dims=(None, 0), chunk_size=limit)
            with differentiable_arithmetic():
                parts = by_point(self._parameters, points)
            matrix = torch.cat([part.reshape(len(points), len(names), -1) for part in parts.values()], dim=2)
            found |= dict(zip(names, matrix.unbind(1), strict=True))
        return torch.cat([found[name] for name in self._points])

    def times(self, vector: Tensor) -> Tensor:
        """Return J v, shape (rows,), by one pass in forward mode; `vector` has the shape (parameters,)."""
        sizes = [parameter.numel() for parameter in self._parameters.values()]
        pieces = zip(self._parameters.items(), vector.split(sizes), strict=True)
        tangents = {name: part.view_as(parameter) for (name, parameter), part in pieces}

        def all_rows(parameters: dict[str, Tensor]) -> Tensor:
            return torch.cat(list(torch.func.functional_call(self._call, parameters, (self._points,)).values()))

        with differentiable_arithmetic(), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # torch's, of its own use of torch.jit, at the first call
            products = torch.func.jvp(all_rows, (self._parameters,), (tangents,))
        return products[1]

    def transposed_times(self, vector: Tensor) -> Tensor:
        """Return J' u, shape (parameters,), by one reverse pass; `vector` has the shape (rows,)."""
        with torch.enable_grad():
            residual = torch.cat(list(self._residuals(self._points).values()))
            parts = torch.autograd.grad(
                residual, self._leaves, grad_outputs=vector, allow_unused=True, materialize_grads=True
            )
        return torch.cat([part.reshape(-1) for part in parts])

    def _at(self, names: list[str]) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
        """Return the residuals of some terms at one point, as a function of the parameters and the point."""

        def one_point(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
            points = dict.fromkeys(names, point.unsqueeze(0))
            found = torch.func.functional_call(self._call, parameters, (points,))
            return torch.cat([found[name] for name in names])

        return one_point

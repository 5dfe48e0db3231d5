"""Derivatives of a network with respect to its coordinates: by jets, or by nested reverse passes.

Jets carry all derivatives forward in one evaluation. Nested differentiation computes D^(α + e_i) u = ∂_i D^α u by a reverse pass
through the reverse pass before it; it knows every operation that torch can differentiate, and costs more with every order. It
serves networks with an operation that has no rule, and as the oracle of the tests. Both can be differentiated with respect to the
parameters.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakSet

import torch
from torch import Tensor

from pinnsolve.errors import UnsupportedError
from pinnsolve.jets.jet import Jet, MissingRuleError, MixedPointsError, variables
from pinnsolve.jets.plan import JetPlan, MultiIndex

Network = Callable[[Tensor], Tensor]
"""From points, shape (points, coordinates), to fields, shape (points, outputs): each row of the result from its row alone."""

_NESTED: WeakSet[Any] = WeakSet()
"""Networks that turned out to have no jets, so that each is tried, and warned about, once."""


def derivatives(network: Network, points: Tensor, plan: JetPlan) -> dict[MultiIndex, Tensor]:
    """Evaluate the derivatives of a network that a plan contains.

    A network with an operation that jets do not know is differentiated by `nested_derivatives`, with one warning for each network.

    Args:
        network: From points to fields; with parameters if the result is to be differentiated.
        points: Shape (points, coordinates).
        plan: Which derivatives.

    Returns:
        For every multi-index of the plan the derivative, shape (points, outputs).

    Raises:
        ValueError: The points have another number of coordinates than the plan.
        UnsupportedError: The network mixes its points, as batch normalisation does in training.
    """
    if plan.order == 0:
        return {plan.indices[0]: network(points)}
    if network not in _NESTED:
        try:
            return _unpacked(cast(Callable[[Jet], Jet | Tensor], network)(variables(points, plan)), plan)
        except MixedPointsError as mixed:  # nested passes would sum over the points, and be wrong without a word
            raise UnsupportedError(
                "network",
                f"{mixed.operation} makes the field at one point depend on all others",
                "use torch.nn.LayerNorm, or put the layer into evaluation with .eval()",
            ) from mixed
        except (MissingRuleError, TypeError) as missing:
            # A TypeError is an operation that refuses jets, or a fault of the network that shows again below without them.
            reason = str(missing)
        result = nested_derivatives(network, points, plan)
        _NESTED.add(network)
        name = getattr(network, "__qualname__", type(network).__name__)
        warnings.warn(f"{name} is differentiated by nested reverse passes, which is slower: {reason}", stacklevel=2)
        return result
    return nested_derivatives(network, points, plan)


def nested_derivatives(network: Network, points: Tensor, plan: JetPlan) -> dict[MultiIndex, Tensor]:
    """Evaluate the same derivatives by nested reverse passes.

    Args:
        network: As for `derivatives`.
        points: Shape (points, coordinates).
        plan: Which derivatives.

    Returns:
        For every multi-index of the plan the derivative, shape (points, outputs).
    """
    recording = torch.is_grad_enabled()
    with torch.enable_grad():
        at = points if points.requires_grad else points.detach().requires_grad_()
        found = {plan.indices[0]: network(at)}
        gradients: dict[MultiIndex, Tensor] = {}
        for index in plan.indices[1:]:
            below = {i: (*index[:i], count - 1, *index[i + 1 :]) for i, count in enumerate(index) if count}
            # Any parent serves; one whose gradient is known costs nothing.
            i = next((i for i, parent in below.items() if parent in gradients), next(iter(below)))
            parent = below[i]
            if parent not in gradients:
                gradients[parent] = _gradient(found[parent], at)
            found[index] = gradients[parent][..., i]
    return found if recording else {index: derivative.detach() for index, derivative in found.items()}


def _gradient(values: Tensor, points: Tensor) -> Tensor:
    """∂ values / ∂ points, shape (points, outputs, coordinates)."""
    if not values.requires_grad:
        return values.new_zeros((*values.shape, points.shape[1]))
    columns = [
        torch.autograd.grad(column.sum(), points, create_graph=True, materialize_grads=True)[0]
        for column in values.unbind(1)
    ]
    return torch.stack(columns, dim=1)


def _unpacked(result: Jet | Tensor, plan: JetPlan) -> dict[MultiIndex, Tensor]:
    """Derivatives from the coefficients; those beyond the last are zero, and a tensor is a constant."""
    channels = result.coefficients.unbind(0) if isinstance(result, Jet) else (result,)
    found = {
        index: channel if factorial == 1.0 else channel * factorial
        for index, factorial, channel in zip(plan.indices, plan.factorials, channels, strict=False)
    }
    return found | {index: torch.zeros_like(channels[0]) for index in plan.indices[len(channels) :]}

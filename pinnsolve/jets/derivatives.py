"""Derivatives of a network with respect to its coordinates: by jets, or by nested reverse passes.

Jets carry all derivatives forward in one evaluation. Nested differentiation computes D^(α + e_i) u = ∂_i D^α u by a reverse pass
through the reverse pass before it; it knows every operation that torch can differentiate, and costs more with every order. It
serves networks with an operation that has no rule, and as the oracle of the tests. Both can be differentiated with respect to the
parameters.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, cast
from weakref import WeakSet

import torch
from torch import Tensor

from pinnsolve.errors import UnsupportedError
from pinnsolve.jets.jet import Jet, MissingRuleError, MixedPointsError, variables
from pinnsolve.jets.plan import Derivative, JetPlan, MultiIndex, plan_jets
from pinnsolve.jets.spanning import Spanning, spanning
from pinnsolve.jets.statistics import fixed_statistics

Network = Callable[[Tensor], Tensor]
"""From points, shape (points, coordinates), to fields, shape (points, outputs): each row of the result from its row alone.

One that reads the coordinates through linear features alone may say so by an attribute `reading`, their weights of shape (features,
coordinates) or None: see `spanning`.
"""

_NESTED: WeakSet[Any] = WeakSet()
"""Networks that turned out to have no jets, so that each is tried, and warned about, once."""


Fields = Mapping[Derivative, Collection[int]]
"""Which derivatives are wanted, and of which fields."""


def derivatives(
    network: Network, points: Tensor, plan: JetPlan, *, wanted: Fields | None = None
) -> dict[Derivative, Tensor]:
    """Evaluate derivatives of a network.

    A network with an operation that jets do not know is differentiated by `nested_derivatives`, with one warning for each network.

    Args:
        network: From points to fields; with parameters if the result is to be differentiated.
        points: Shape (points, coordinates).
        plan: The channels to carry.
        wanted: Derivatives that follow from these, and the fields they are wanted of; all single derivatives of the plan when left
            out. Jets give every field.

    Returns:
        For every one wanted the derivative, shape (points, outputs).

    Raises:
        ValueError: The points have another number of coordinates than the plan.
        KeyError: What is wanted does not follow from the plan.
        UnsupportedError: The network mixes its points, as torch's batch normalisation does in training.
    """
    with fixed_statistics(network, [points]):
        return _derivatives(network, points, plan, wanted)


def _derivatives(network: Network, points: Tensor, plan: JetPlan, wanted: Fields | None) -> dict[Derivative, Tensor]:
    if plan.order == 0:
        return {plan.indices[0]: network(points)}
    if network not in _NESTED:
        fewer = _spanning(network, plan, wanted)
        try:
            if fewer is not None:
                return _along(network, points, fewer)
            jet = cast(Callable[[Jet], Jet | Tensor], network)(variables(points, plan))
        except MixedPointsError as mixed:  # nested passes would sum over the points, and be wrong without a word
            raise UnsupportedError(
                "network",
                f"{mixed.operation} makes the field at one point depend on all others",
                "use pinnsolve.networks.BatchNormalization, whose statistics are constants of a step, or torch.nn.GroupNorm",
            ) from mixed
        except (MissingRuleError, TypeError) as missing:
            # A TypeError is an operation that refuses jets, or a fault of the network that shows again below without them.
            reason = str(missing)
        else:
            result = Jet(jet.coefficients if isinstance(jet, Jet) else jet.unsqueeze(0), plan)
            return {which: result.derivative(which) for which in (plan.derivatives if wanted is None else wanted)}
        found = nested_derivatives(network, points, plan, wanted=wanted)
        _NESTED.add(network)
        name = getattr(network, "__qualname__", type(network).__name__)
        warnings.warn(f"{name} is differentiated by nested reverse passes, which is slower: {reason}", stacklevel=2)
        return found
    return nested_derivatives(network, points, plan, wanted=wanted)


def _spanning(network: Network, plan: JetPlan, wanted: Fields | None) -> Spanning | None:
    """Return fewer directions that are enough, where there are."""
    if wanted is None or plan.diagonal is None:
        return None
    reading = getattr(network, "reading", None)
    return None if reading is None else spanning(wanted, reading)


def _along(network: Network, points: Tensor, fewer: Spanning) -> dict[Derivative, Tensor]:
    """Evaluate derivatives along other directions than the coordinates'."""
    plan = _plan(frozenset(fewer.stand_ins.values()), len(fewer.directions))
    jet = cast(Callable[[Jet], Jet], network)(variables(points, plan, directions=fewer.directions))
    return {which: jet.derivative(stand_in) for which, stand_in in fewer.stand_ins.items()}


@cache
def _plan(required: frozenset[Derivative], dimension: int) -> JetPlan:
    return plan_jets(required, dimension=dimension)


def nested_derivatives(
    network: Network, points: Tensor, plan: JetPlan, *, wanted: Fields | None = None
) -> dict[Derivative, Tensor]:
    """Evaluate the same derivatives by nested reverse passes, as few as there can be.

    Args:
        network: As for `derivatives`.
        points: Shape (points, coordinates).
        plan: Gives the derivatives that are wanted when they are left out.
        wanted: As for `derivatives`; fields that nothing is wanted of are zero.

    Returns:
        For every one wanted the derivative, shape (points, outputs).
    """
    recording = torch.is_grad_enabled()
    with torch.enable_grad(), fixed_statistics(network, [points]):
        at = points if points.requires_grad else points.detach().requires_grad_()
        passes = _Passes(network(at), at)
        every = range(passes.fields)
        fields: Fields = dict.fromkeys(plan.derivatives, every) if wanted is None else wanted
        found = {which: passes.derivative(which, frozenset(some)) for which, some in fields.items()}
    return found if recording else {index: derivative.detach() for index, derivative in found.items()}


class _Passes:
    """Reverse passes through reverse passes; each is made once, for the derivatives of one field in every direction.

    Args:
        values: Shape (points, outputs).
        points: Shape (points, coordinates), the leaf they were computed from.
    """

    def __init__(self, values: Tensor, points: Tensor) -> None:
        self.points, self.fields = points, values.shape[1]
        zero = (0,) * points.shape[1]
        self._found = {(field, zero): values[:, field] for field in range(self.fields)}
        self._gradients: dict[tuple[int, MultiIndex], Tensor] = {}

    def derivative(self, which: Derivative, fields: Collection[int]) -> Tensor:
        """Return a derivative of some fields, and zero for the others, shape (points, outputs)."""
        terms = sorted(which) if isinstance(which, frozenset) else [(which, 1)]
        zero = torch.zeros_like(self.points[:, 0])
        columns = []
        for field in range(self.fields):
            parts = [self._single(field, index) * float(a) for index, a in terms] if field in fields else [zero]
            columns.append(sum(parts[1:], start=parts[0]))
        return torch.stack(columns, dim=1)

    def _single(self, field: int, index: MultiIndex) -> Tensor:
        if (field, index) not in self._found:
            below = {i: (*index[:i], count - 1, *index[i + 1 :]) for i, count in enumerate(index) if count}
            # Any parent serves; one whose gradient is known costs nothing, and one that is known costs one pass.
            known: tuple[Mapping[Any, Tensor], ...] = (self._gradients, self._found)
            i = next((i for have in known for i in below if (field, below[i]) in have), next(iter(below)))
            parent = (field, below[i])
            if parent not in self._gradients:
                self._gradients[parent] = self._gradient(self._single(*parent))
            self._found[field, index] = self._gradients[parent][:, i]
        return self._found[field, index]

    def _gradient(self, values: Tensor) -> Tensor:
        if not values.requires_grad:
            return torch.zeros_like(self.points)
        return torch.autograd.grad(values.sum(), self.points, create_graph=True, materialize_grads=True)[0]

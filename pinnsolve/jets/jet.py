"""Jets: tensors that carry their own Taylor coefficients, and the table of rules by which torch's functions act on them.

A jet of a field u at N points is the truncated series Σ_α c_α h^α with c_α = D^α u / α!. A network written for tensors runs on jets
unchanged, because torch hands every function of a jet to `Jet.__torch_function__`, which looks it up in the table. One forward
pass then yields every derivative an equation needs, and the parameter gradient of a residual is one reverse pass (Griewank and
Walther, Evaluating Derivatives, 2nd ed. 2008, chapter 13; Bettencourt, Johnson, Duvenaud, Taylor-mode automatic differentiation for
higher-order derivatives in JAX, 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from pinnsolve.jets.fusion import shifted
from pinnsolve.jets.plan import Derivative, JetPlan

RULES: dict[Callable[..., Any], Callable[..., Any]] = {}
"""What each function of torch does to jets. `rule` adds to it when the modules beside this one are imported."""

_Rule = TypeVar("_Rule", bound=Callable[..., Any])


class MissingRuleError(NotImplementedError):
    """An operation that jets do not know, by name.

    Args:
        operation: The name, as it would be written in a program.
    """

    def __init__(self, operation: str) -> None:
        super().__init__(f"no jet rule for {operation}; declare one with @rule({operation})")
        self.operation = operation


class MixedPointsError(MissingRuleError):
    """An operation that makes the field at one point depend on all others, so that it has no derivative at a point."""


@dataclass(frozen=True, eq=False)
class Jet:
    """A truncated Taylor series of a tensor; to a network it looks like that tensor.

    All channels are one dense tensor, so that a linear map is one matrix product over channels and points. Channels beyond the last
    one stored are zero: coordinates occupy 1 + d channels and a constant one, whatever the plan.

    Args:
        coefficients: The channels, c_α = D^α u / α! or sums of such, in the order of the plan; shape (channels, *shape of the
            tensor).
        plan: Which channels there are.
    """

    coefficients: Tensor
    plan: JetPlan

    # NumPy numbers on the left leave the operation to the jet, as they do for tensors.
    __array_ufunc__ = None

    @property
    def value(self) -> Tensor:
        """The tensor itself, the coefficient of order zero."""
        return self.coefficients[0]

    @property
    def like(self) -> Tensor:
        """A tensor of the shape, type and device of the value."""
        return self.coefficients[0]

    def derivative(self, derivative: Derivative) -> Tensor:
        """D^α of the tensor, or a sum of such, of the same shape.

        Raises:
            KeyError: It does not follow from the channels of the plan.
        """
        channels = self.coefficients
        terms = [channels[k] * factor for k, factor in self.plan.reading(derivative) if k < len(channels)]
        return sum(terms[1:], start=terms[0]) if terms else torch.zeros_like(channels[0])

    def lift(self, constant: Tensor) -> Jet:
        """A tensor that does not depend on the coordinates, as a jet of this jet's plan."""
        return Jet(constant.unsqueeze(0), self.plan)

    @property
    def shape(self) -> torch.Size:
        """Shape of the value."""
        return self.like.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions of the value."""
        return self.like.ndim

    @property
    def dtype(self) -> torch.dtype:
        """Type of the coefficients."""
        return self.like.dtype

    @property
    def device(self) -> torch.device:
        """Device of the coefficients."""
        return self.like.device

    def size(self, dim: int | None = None) -> torch.Size | int:
        """Shape of the value, or one entry of it."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Number of dimensions of the value."""
        return self.ndim

    def numel(self) -> int:
        """Number of elements of the value."""
        return self.shape.numel()

    def __len__(self) -> int:
        return self.shape[0]

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func not in RULES:
            raise MissingRuleError(torch.overrides.resolve_name(func) or getattr(func, "__name__", str(func)))
        return RULES[func](*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        # Reached for names that a jet does not have: z.sin() is torch.Tensor.sin(z), as for a tensor.
        if name.startswith("__") or not hasattr(torch.Tensor, name):
            raise AttributeError(f"a jet has no attribute {name!r}")
        method = getattr(torch.Tensor, name)
        if not callable(method):
            raise MissingRuleError(f"torch.Tensor.{name}")
        return partial(Jet._apply, method, self)

    @staticmethod
    def _apply(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return Jet.__torch_function__(function, (Jet,), args, kwargs)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise MissingRuleError("torch.Tensor.__setitem__")

    def __getitem__(self, key: Any) -> Jet:
        return Jet._apply(torch.Tensor.__getitem__, self, key)

    def __neg__(self) -> Jet:
        return Jet._apply(torch.neg, self)

    def __pos__(self) -> Jet:
        return self

    def __abs__(self) -> Jet:
        return Jet._apply(torch.abs, self)

    def __add__(self, other: Any) -> Jet:
        return Jet._apply(torch.add, self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Jet:
        return Jet._apply(torch.sub, self, other)

    def __rsub__(self, other: Any) -> Jet:
        return Jet._apply(torch.sub, other, self)

    def __mul__(self, other: Any) -> Jet:
        return Jet._apply(torch.mul, self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Jet:
        return Jet._apply(torch.div, self, other)

    def __rtruediv__(self, other: Any) -> Jet:
        return Jet._apply(torch.div, other, self)

    def __pow__(self, exponent: Any) -> Jet:
        return Jet._apply(torch.pow, self, exponent)

    def __rpow__(self, base: Any) -> Jet:
        return Jet._apply(torch.pow, base, self)

    def __matmul__(self, other: Any) -> Jet:
        return Jet._apply(torch.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Jet:
        return Jet._apply(torch.matmul, other, self)

    def __gt__(self, other: Any) -> Tensor:
        return Jet._apply(torch.gt, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return Jet._apply(torch.ge, self, other)

    def __lt__(self, other: Any) -> Tensor:
        return Jet._apply(torch.lt, self, other)

    def __le__(self, other: Any) -> Tensor:
        return Jet._apply(torch.le, self, other)

    def _refuse_in_place(self, other: Any) -> Jet:
        # `h += z` changes every name of a tensor but would rebind only one name of a jet.
        raise MissingRuleError("an in-place operation")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = __imatmul__ = _refuse_in_place


class AffineJet(Jet):
    """A jet that is affine in the coordinates: its derivatives are the same at every point, and stored once.

    Rules that keep it affine say so; for all others it is a jet like any other.

    Args:
        value: Shape (points, features).
        tails: The channels of order one, shape (channels, features).
        plan: Which channels there are.
    """

    def __init__(self, value: Tensor, tails: Tensor, plan: JetPlan) -> None:
        self.__dict__.update(plan=plan, tails=tails, _value=value)

    tails: Tensor
    _value: Tensor

    @property
    def value(self) -> Tensor:
        """The tensor itself."""
        return self._value

    @property
    def like(self) -> Tensor:
        """The tensor itself."""
        return self._value

    @property
    def coefficients(self) -> Tensor:
        """The channels, those of order one repeated for every point."""
        return torch.cat([self._value.unsqueeze(0), self.tails.unsqueeze(1).expand(-1, self._value.shape[0], -1)])


class ShiftedJet(Jet):
    """A jet with a constant still to be added to its value, which an activation does on the way.

    Args:
        unshifted: The channels without it, shape (channels, ..., features).
        shift: Shape (features,).
        plan: Which channels there are.
    """

    def __init__(self, unshifted: Tensor, shift: Tensor, plan: JetPlan) -> None:
        self.__dict__.update(plan=plan, unshifted=unshifted, shift=shift)

    unshifted: Tensor
    shift: Tensor

    @property
    def like(self) -> Tensor:
        """A tensor of the shape, type and device of the value."""
        return self.unshifted[0]

    @property
    def coefficients(self) -> Tensor:
        """The channels."""
        return shifted(self.unshifted, self.shift)


def rule(*functions: Callable[..., Any]) -> Callable[[_Rule], _Rule]:
    """Declare what functions of torch do to jets.

    The decorated function has the signature of the torch function, with jets among its arguments. It also serves the methods of
    `torch.Tensor` with the same names.

    Args:
        functions: Functions such as `torch.tanh` that share the rule.
    """

    def declare(body: _Rule) -> _Rule:
        for function in functions:
            RULES[function] = body
            method = getattr(torch.Tensor, function.__name__, None)
            if callable(method):
                RULES[method] = body
        return body

    return declare


def variables(points: Tensor, plan: JetPlan, *, directions: Tensor | None = None) -> Jet:
    """The coordinates as functions of themselves, x + h, or as functions of h along some directions, x + Σ h_j v_j.

    Args:
        points: Shape (points, coordinates).
        plan: Of as many coordinates, or as many as there are directions.
        directions: The vectors v_j, shape (directions, coordinates).

    Returns:
        A jet of degree one: the points, and a vector for every channel of order one.

    Raises:
        ValueError: The points have another number of coordinates than the plan, or than the directions.
    """
    if directions is not None and len(directions) != plan.dimension:
        raise ValueError(f"a plan of {plan.dimension} coordinates needs as many directions, not {len(directions)}")
    coordinates = plan.dimension if directions is None else directions.shape[1]
    if points.ndim != 2 or points.shape[1] != coordinates:
        raise ValueError(f"points of shape (points, {coordinates}) are needed, not {tuple(points.shape)}")
    tails = points.new_tensor(plan.directions).reshape(-1, plan.dimension)
    return AffineJet(points, tails if directions is None else tails @ directions.to(points), plan)

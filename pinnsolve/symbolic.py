"""Symbolic: a trained network as a SymPy expression, layer by layer, with its weights as numbers.

Nothing is simplified on the way: SymPy would look at all of an expression for every unit that contains it.
"""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from sympy import Add, Expr, Float, I, Integer, Mul, Pow, Rational, cos, erf, exp, pi, sin, sqrt, tanh
from torch import Tensor, nn

from pinnsolve.errors import UnsupportedError
from pinnsolve.networks.fields import FieldNetwork
from pinnsolve.networks.layers import (
    Columns,
    FactorisedLinear,
    FourierFeatures,
    GatedLayers,
    Periodic,
    ResidualBlock,
    Scaling,
    Sine,
)
from pinnsolve.networks.whitening import Affine

if TYPE_CHECKING:
    from pinnsolve.solution import Solution

_LARGEST = 200_000
"""Nodes of an expression: each unit contains all units before it, so that they are multiplied by the width with every layer."""

_DIGITS = 17
"""Decimal digits that tell every number in double precision."""

_sum, _product = partial(Add, evaluate=False), partial(Mul, evaluate=False)


def _logistic(z: Expr) -> Expr:
    """1 / (1 + exp(-z))."""
    return Pow(_sum(Integer(1), exp(_product(Integer(-1), z), evaluate=False)), -1, evaluate=False)


def _normal(z: Expr) -> Expr:
    """(1 + erf(z / sqrt 2)) / 2."""
    return _product(Rational(1, 2), _sum(Integer(1), erf(_product(1 / sqrt(2), z), evaluate=False)))


_FUNCTIONS: dict[type[nn.Module], Callable[[Expr], Expr]] = {
    nn.Tanh: partial(tanh, evaluate=False),
    Sine: partial(sin, evaluate=False),
    nn.Sigmoid: _logistic,
    nn.SiLU: lambda z: _product(z, _logistic(z)),
    nn.GELU: lambda z: _product(z, _normal(z)),
}
"""Activations that are one formula everywhere."""


def fields_of(solution: Solution) -> Any:
    """Return the fields as expressions of the coordinates; see `Solution.to_sympy`."""
    problem, network = solution.problem, solution.trial.network
    if not isinstance(network, FieldNetwork):
        raise _refused("a solution in windows, which has a formula in each of them")
    with torch.no_grad():
        given = dict(zip(problem.fields, _fields(network, list(problem.coordinates)), strict=True))
    scaled = {u: _sum(_number(c), _product(_number(s), given[u])) for u, (c, s) in problem.scales.fields.items()}
    given |= scaled
    real = {u: problem.ansatz.get(u, u).xreplace({u: given[u]}) for u in problem.fields}
    found = []
    for field in problem.declared_fields:
        whole, imaginary = (part.xreplace(real) for part in problem.split(field))
        found.append(whole if imaginary == 0 else whole + I * imaginary)
    names = [field.func.__name__ for field in problem.declared_fields]
    return found[0] if len(found) == 1 else namedtuple("Fields", names, rename=True)(*found)


def _fields(network: FieldNetwork, coordinates: Sequence[Expr]) -> list[Expr]:
    groups: list[Expr] = []
    for part, columns in zip(network.networks, network.inputs, strict=True):
        groups += _through(part, _through(columns, coordinates))
    sizes: dict[int, int] = {}
    nodes = sum(_size(field, sizes) for field in groups)
    if nodes > _LARGEST:
        raise _refused(f"an expression of {float(nodes):.2g} nodes, more than {_LARGEST}")
    return _through(network.order, groups)


def _through(module: nn.Module, values: Sequence[Expr]) -> list[Expr]:
    """Return what a layer makes of expressions."""
    if type(module) in _FUNCTIONS and getattr(module, "approximate", "none") == "none":
        return [_FUNCTIONS[type(module)](value) for value in values]
    match module:
        case nn.Sequential():
            for part in module:
                values = _through(part, values)
            return list(values)
        case Columns():
            return list(values) if module.all_in_order else [values[k] for k in module.columns.tolist()]
        case Scaling():
            pairs = zip(module.centre.tolist(), module.rate.tolist(), strict=True)
            return [_product(_number(r), _sum(v, _number(-c))) for v, (c, r) in zip(values, pairs, strict=True)]
        case nn.Linear() | FactorisedLinear():
            return _affine(module.weight, module.bias, values)
        case Affine():
            return _affine(module.matrix, module.shift, values)
        case FourierFeatures():
            angles = _affine(module.frequencies, module.phases, values)
            return [wave(angle, evaluate=False) for wave in (cos, sin) for angle in angles]
        case Periodic():
            turning = _through(module.turning, values)
            harmonics = [Integer(k) for k in range(1, module.harmonics + 1)]
            angles = [[_product(pi, k, v) for v in turning] for k in harmonics]
            waves = [wave(angle, evaluate=False) for row in angles for wave in (cos, sin) for angle in row]
            return [*([] if module.others is None else _through(module.others, values)), *waves]
        case ResidualBlock():
            return [_sum(h, b) for h, b in zip(values, _through(module.branch, values), strict=True)]
        case GatedLayers():
            u, v = (_through(module.activation, _through(encoder, values)) for encoder in module.encoders)
            h = list(values)
            for layer in module.layers:
                gates = _through(module.activation, _through(layer, h))
                differences = [_sum(b, _product(Integer(-1), a)) for a, b in zip(u, v, strict=True)]
                h = [_sum(a, _product(g, d)) for a, g, d in zip(u, gates, differences, strict=True)]
            return h
    raise _refused(f"a layer {type(module).__name__}")


def _affine(weight: Tensor, bias: Tensor | None, values: Sequence[Expr]) -> list[Expr]:
    shifts = [Integer(0)] * len(weight) if bias is None else [_number(b) for b in bias.tolist()]
    return [
        _sum(shift, *(_product(_number(w), value) for w, value in zip(row, values, strict=True)))
        for shift, row in zip(shifts, weight.tolist(), strict=True)
    ]


def _number(value: float) -> Expr:
    if not math.isfinite(value):
        raise _refused(f"a weight that is {value}")
    return Float(value, _DIGITS)


def _size(expression: Expr, known: dict[int, int]) -> int:
    """Return the number of nodes of a tree whose branches may be one object."""
    if id(expression) not in known:
        known[id(expression)] = 1 + sum(_size(part, known) for part in expression.args)
    return known[id(expression)]


def _refused(found: str) -> UnsupportedError:
    return UnsupportedError("solution.to_sympy()", found, 'write solution.export("u.py"), a program for NumPy alone')

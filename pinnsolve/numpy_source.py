"""NumPy source: a traced program as a Python file that needs NumPy alone, one line for each operation.

What is written is a translation by a table; an operation without an entry is an error, never a guess.
"""

from __future__ import annotations

import operator
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

aten = torch.ops.aten
_END = 2**62
"""Ends of slices from here on stand for the end of an axis."""


class UnknownOperation(ValueError):
    """An operation without a translation."""


def numpy_source(
    program: ExportedProgram, *, coordinates: Sequence[str], fields: Sequence[str], units: Mapping[str, str]
) -> str:
    """Return a module with one function, `fields(points)`, from a program decomposed into core operations.

    Args:
        program: From points to values and derivatives.
        coordinates: Names of the columns of the points.
        fields: Names of the columns of the values.
        units: Of coordinates and fields that have one.

    Raises:
        UnknownOperation: One that has no translation.
    """
    state = {**program.state_dict, **program.constants}
    arrays: list[str] = []
    names: dict[str, str] = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            names[spec.arg.name] = "points"
            continue
        names[spec.arg.name] = f"W{len(arrays)}"
        arrays.append(f"W{len(arrays)} = np.array({state[spec.target].detach().cpu().tolist()!r})")
    lines = []
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target is not aten._assert_tensor_metadata.default:
            names[node.name] = node.name
            lines.append(f"{node.name} = {_translated(node, names)}")
        elif node.op == "output":
            values, slopes = (names[part.name] for part in node.args[0])
            lines.append(f"return {values}, {slopes}")
    body = textwrap.indent("\n".join(lines), "    ")
    weights = "\n".join(arrays)
    return f'''"""A solution of a differential equation as a function of NumPy arrays, written by pinnsolve."""

import numpy as np

COORDINATES = {list(coordinates)!r}
FIELDS = {list(fields)!r}
UNITS = {dict(units)!r}

{weights}


def fields(points):
    """Return values (points, fields) and first derivatives (points, fields, coordinates) at points (points, coordinates)."""
    points = np.asarray(points, dtype=float)
{body}
'''


def _translated(node: Node, names: dict[str, str]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, Node):
            return names[value.name]
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(text, value))}]"
        return repr(value)

    arguments = [text(a) for a in node.args]
    if node.target in _SIMPLE:
        return _SIMPLE[node.target].format(*arguments)
    if node.target in _SPECIAL:
        return _SPECIAL[node.target](node, arguments)
    raise UnknownOperation(str(node.target))


def _scaled(sign: str) -> Callable[[Node, list[str]], str]:
    """Return the translation of a sum or difference whose second part may have a factor."""

    def write(node: Node, arguments: list[str]) -> str:
        factor = node.kwargs.get("alpha", 1)
        second = arguments[1] if factor == 1 else f"{factor!r} * {arguments[1]}"
        return f"{arguments[0]} {sign} {second}"

    return write


def _joined(name: str) -> Callable[[Node, list[str]], str]:
    return lambda node, arguments: f"np.{name}({arguments[0]}, axis={arguments[1] if len(arguments) > 1 else 0})"


def _slice(node: Node, arguments: list[str]) -> str:
    axis = int(arguments[1]) if len(arguments) > 1 else 0
    start, end = (*arguments[2:4], "None")[:2] if len(arguments) > 2 else ("None", "None")
    last = node.args[3] if len(node.args) > 3 else None
    end = "None" if isinstance(last, int) and last >= _END else end
    step = arguments[4] if len(arguments) > 4 else "1"
    return f"{arguments[0]}[{':, ' * axis}{start}:{end}:{step}]"


def _full(node: Node, arguments: list[str]) -> str:
    return f"np.full({arguments[0]}, {arguments[1]})"


def _expand(node: Node, arguments: list[str]) -> str:
    """Return a broadcast; torch keeps the size of an axis where -1 stands for it, counted from the last."""
    sizes = arguments[1].strip("[]").split(", ")
    kept = [f"{arguments[0]}.shape[{k - len(sizes)}]" if size == "-1" else size for k, size in enumerate(sizes)]
    return f"np.broadcast_to({arguments[0]}, [{', '.join(kept)}])"


def _split(node: Node, arguments: list[str]) -> str:
    axis = arguments[2] if len(arguments) > 2 else "0"
    return f"np.split({arguments[0]}, np.cumsum({arguments[1]})[:-1], axis={axis})"


_SIMPLE: dict[Any, str] = {
    aten.mul.Tensor: "{0} * {1}",
    aten.mul.Scalar: "{0} * {1}",
    aten.div.Tensor: "{0} / {1}",
    aten.pow.Tensor_Scalar: "{0} ** {1}",
    aten.pow.Tensor_Tensor: "{0} ** {1}",
    aten.mm.default: "{0} @ {1}",
    aten.addmm.default: "{0} + {1} @ {2}",
    aten.bmm.default: "{0} @ {1}",
    aten.permute.default: "np.transpose({0}, {1})",
    aten.view.default: "np.reshape({0}, {1})",
    aten.reshape.default: "np.reshape({0}, {1})",
    aten.squeeze.dims: "np.squeeze({0}, axis=tuple({1}))",
    aten.squeeze.dim: "np.squeeze({0}, axis={1})",
    aten.unsqueeze.default: "np.expand_dims({0}, {1})",
    aten.select.int: "np.take({0}, {2}, axis={1})",
    aten.index_select.default: "np.take({0}, {2}, axis={1})",
    aten.full_like.default: "np.full_like({0}, {1})",
    aten.clone.default: "{0}",
    aten.alias.default: "{0}",
    aten.where.self: "np.where({0}, {1}, {2})",
    aten.ge.Scalar: "{0} >= {1}",
    aten.sym_size.int: "{0}.shape[{1}]",
    operator.getitem: "{0}[{1}]",
    operator.mul: "{0} * {1}",
    operator.add: "{0} + {1}",
    aten.reciprocal.default: "1.0 / {0}",
    aten.neg.default: "-{0}",
    aten.rsqrt.default: "1.0 / np.sqrt({0})",
    aten.sigmoid.default: "1.0 / (1.0 + np.exp(-{0}))",
    **{
        getattr(aten, name).default: f"np.{name}({{0}})"
        for name in ("exp", "log", "sin", "cos", "tan", "tanh", "sinh", "cosh", "sqrt", "abs", "sign", "log1p", "expm1")
    },
    aten.atan.default: "np.arctan({0})",
    aten.asin.default: "np.arcsin({0})",
    aten.acos.default: "np.arccos({0})",
}
_SPECIAL: dict[Any, Callable[[Node, list[str]], str]] = {
    aten.add.Tensor: _scaled("+"),
    aten.add.Scalar: _scaled("+"),
    aten.sub.Tensor: _scaled("-"),
    aten.sub.Scalar: _scaled("-"),
    aten.cat.default: _joined("concatenate"),
    aten.stack.default: _joined("stack"),
    aten.slice.Tensor: _slice,
    aten.full.default: _full,
    aten.expand.default: _expand,
    aten.split_with_sizes.default: _split,
}

"""Labels: names, numbers, places and units as they are written in pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from matplotlib.mathtext import MathTextParser
from sympy import Symbol, latex

from pinnsolve.drawing.views import View

_LONGEST_NAME, _TAIL = 48, 6


def place_of(view: View, coordinates: Sequence[Symbol]) -> str:
    """Return where a view lies, "t = 0.5, z = 1", as far as these coordinates tell."""
    return ", ".join(value_of(view, c, v) for c, v in view.held.items() if c in coordinates)


def value_of(view: View, coordinate: Symbol, value: float) -> str:
    """Return "t = 0.5", with its unit if it has one."""
    unit = view.units.get(coordinate.name, "")
    return f"{label(coordinate.name)} = {value:.3g}{f' {unit_label(unit)}' if unit else ''}"


def axis_label(view: View, axis: int) -> str:
    """Return what is written along an axis of a view, `x [mm]`."""
    name = view.axes[axis].name
    return with_unit(label(name), view.units.get(name, ""))


def with_unit(text: str, unit: str) -> str:
    """Return a text with a unit behind it, if there is one."""
    return f"{text} [{unit_label(unit)}]" if unit else text


def unit_label(unit: str) -> str:
    """Return a unit as it stands in a picture, with powers raised."""
    return re.sub(r"\^(-?\d+)", r"$^{\1}$", plain(unit))


def label(name: str) -> str:
    """Return a symbol's name as mathematics, `x_1` with an index, or as it stands where that cannot be typeset."""
    text = f"${latex(Symbol(name))}$"
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return plain(name)
    return text


def plain(name: str, *, longest: int = _LONGEST_NAME) -> str:
    """Return a name of the user's as text: shortened but for its index, and without a meaning for its dollar signs."""
    short = name if len(name) <= longest else f"{name[: longest - _TAIL - 1]}…{name[-_TAIL:]}"
    return short.replace("$", r"\$")


def number(value: float | None) -> str:
    """Return a number with two figures, if need be times a power of ten."""
    if value is None or not math.isfinite(value):
        return "not finite"
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa}\times 10^{{{int(exponent)}}}$"

"""Panels: maps, curves and colour scales, and their composition into one figure.

Fields are shown in viridis, errors and residuals in magma, differences in a map that diverges from zero: all readable without
full colour vision and, but for the last, in grey (Nuñez, Anderton, Renslow, "Optimizing colormaps with consideration for
color vision deficiency", 2018). Figures are drawn by the Agg canvas, so that neither a window nor pyplot's state is involved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from pinnsolve.domains.regions import Array
from pinnsolve.drawing.labels import axis_label, unit_label
from pinnsolve.drawing.views import Values, View

_STYLE: Any = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.linewidth": 0.6,
    "figure.facecolor": "white",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.formatter.use_mathtext": True,
}
"""Settings of the pictures, in force only while one is drawn."""

FIELD, MAGNITUDE, DIFFERENCE = "viridis", "magma", "RdBu_r"

COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#EE8866", "#999933")
"""Distinct with every kind of colour vision (Paul Tol, "Colour schemes", SRON/EPS/TN/09-002, 2021)."""

_WIDTH, _NARROW, _NARROWEST = 8.0, 6.0, 4.8
"""Inches across of a figure: with several panels side by side, with one, and with one that is tall."""

_TALLEST, _LOWEST = 3.8, 0.4
_BESIDE, _ABOVE, _TITLE = 1.0, 0.75, 0.25
"""Inches of a panel beside and above its axes, for labels, colour bar and title, and of a title above several panels."""

_FLAT = 0.4
"""Maps flatter than this, height over width, are stacked instead of set side by side."""

_SLIM = 1.5
"""Height over width of a map from which on its short side has room for few numbers."""

_OUTLIER = 3.0
"""A range that exceeds the central 99.8 % of the values by this factor is that of outliers."""

_CONSTANT = 1e-3
"""Range of a reference, relative to that of the solution, below which it counts as constant."""

_DECADES = 6
"""Most decades of a logarithmic scale."""


@dataclass(frozen=True)
class Row:
    """Panels side by side.

    Args:
        panels: How many.
        draw: Fills the axes, which it is given from left to right.
        shape: Height over width of the panels, for maps of equal aspect; None where they may have any.
        height: Inches of the axes where they may have any shape.
        title: Above all panels.
    """

    panels: int
    draw: Callable[[Sequence[Axes]], None]
    shape: float | None = None
    height: float = 2.3
    title: str = ""


@contextmanager
def style() -> Iterator[None]:
    """Put the settings of the pictures in force, and the former ones back afterwards."""
    with matplotlib.rc_context(_STYLE):
        yield


def compose(rows: Sequence[Row], *, title: str = "", width: float | None = None) -> Figure:
    """Draw rows of panels, one above the other, into a figure; to be called under `style`.

    Args:
        rows: From top to bottom; those with flat maps are stacked.
        title: Above everything.
        width: In inches; chosen by the number of panels side by side when left out.
    """
    across = [1 if _is_flat(row) else row.panels for row in rows]
    width = width or max(_width(row, count) for row, count in zip(rows, across, strict=True))
    heights, extra = [], _TITLE * bool(title)
    for row, count in zip(rows, across, strict=True):
        heights += [_height(row, width / count - _BESIDE)] * (row.panels // count)
        extra += _TITLE * bool(row.title and row.panels > 1)
    figure = Figure(
        figsize=(width, sum(heights) + _ABOVE * len(heights) + extra),
        layout=ConstrainedLayoutEngine(w_pad=0.06, wspace=0.04),
    )
    FigureCanvasAgg(figure)
    columns = math.lcm(*across)
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    line = 0
    for row, count in zip(rows, across, strict=True):
        span = columns // count
        places = [(line + k // count, k % count * span) for k in range(row.panels)]
        axes = [figure.add_subplot(grid[i, j : j + span]) for i, j in places]
        row.draw(axes)
        if row.title:
            heading = axes[(count - 1) // 2]
            heading.set_title("\n".join(filter(None, (row.title, heading.get_title()))))
        line += row.panels // count
    if title:
        figure.suptitle(title, fontsize=10.5)
    # Ticks are made when first needed, and take their font from the settings in force then. Colour bars move with maps of equal
    # aspect, and these with the layout, so that it is found in two passes; then it is kept.
    for _ in range(2):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def draw_map(axes: Axes, view: View, values: Array, *, norm: Normalize, colours: str) -> ScalarMappable:
    """Draw values (vertical, horizontal), or (nodes,) of triangles, over a plane; blank where they are not finite."""
    (left, right), (low, high) = view.ranges.values()
    image: ScalarMappable
    if view.triangles is not None:
        (x, y), corners = view.triangles[0].T, view.triangles[1]
        known = np.isfinite(values)
        drawn = corners[known[corners].all(axis=1)]
        axes.set_aspect("equal" if view.equal else "auto")
        shown = drawn if len(drawn) else corners[:1]
        image = axes.tripcolor(
            x,
            y,
            np.where(known, values, 0.0),
            triangles=shown,
            cmap=colours,
            norm=norm,
            shading="gouraud",
            rasterized=True,
        )
        image.set_visible(bool(len(drawn)))
    else:
        image = _draw_grid(axes, view, values, norm=norm, colours=colours)
    axes.set_facecolor("0.9")  # seen where there is no value
    slim, flat = (view.shape or 1.0) > _SLIM, (view.shape or 1.0) < 1 / _SLIM
    axes.xaxis.set_major_locator(round_steps(1 if slim else 5))
    axes.yaxis.set_major_locator(round_steps(2 if flat else 5))
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.set_xlabel(axis_label(view, 0))
    axes.set_ylabel(axis_label(view, 1))
    if not np.isfinite(values).any():
        say(axes, "no finite values")
    return image


def _draw_grid(axes: Axes, view: View, values: Array, *, norm: Normalize, colours: str) -> AxesImage:
    (left, right), (low, high) = view.ranges.values()
    across, up = ((b - a) / (n - 1) / 2 for (a, b), n in zip(view.ranges.values(), reversed(values.shape), strict=True))
    return axes.imshow(
        np.ma.masked_invalid(values),
        origin="lower",
        extent=(left - across, right + across, low - up, high + up),  # nodes are centres of pixels
        aspect="equal" if view.equal else "auto",
        cmap=colours,
        norm=norm,
        interpolation="bilinear",
    )


def draw_magnitudes(axes: Sequence[Axes], views: Sequence[View], arrays: Sequence[Array], *, unit: str = "") -> None:
    """Draw magnitudes on one logarithmic scale: maps with a colour bar over planes, a curve over a line."""
    scale = log_scale(*arrays)
    if scale is None:
        for ax in axes:
            ax.set(xticks=[], yticks=[])
            say(ax, "zero everywhere" if finite_values(*arrays).size else "no finite values")
    elif len(views[0].axes) == 1:
        axes[0].plot(views[0].nodes[0], np.where(arrays[0] > 0, arrays[0], np.nan), color=COLOURS[0])
        axes[0].set(yscale="log", ylim=limits(scale), xlim=views[0].ranges[views[0].axes[0]])
        axes[0].set_xlabel(axis_label(views[0], 0))
        axes[0].set_ylabel(unit_label(unit))
        tidy_powers(axes[0].yaxis, scale)
        rule(axes[0])
    else:
        for ax, view, array in zip(axes, views, arrays, strict=True):
            image = draw_map(ax, view, array, norm=scale, colours=MAGNITUDE)
        draw_bar(image, axes[-1], *arrays, unit=unit)


def draw_bar(image: ScalarMappable, axes: Axes, *arrays: Values, unit: str = "") -> None:
    """Draw the colour bar of one or several maps beside the last, as high as it, with arrows where values lie beyond.

    Args:
        image: One of the maps.
        axes: Of the last map.
        arrays: All values that are shown.
        unit: Of the values.
    """
    norm, finite = image.norm, finite_values(*arrays)
    low, high = ends(norm)
    below, above = bool((finite < low).any()), bool((finite > high).any())
    extend = {(True, False): "min", (False, True): "max", (True, True): "both"}.get((below, above), "neither")
    place = axes.get_subplotspec()
    share = 1.0 if place is None else len(place.colspan) / place.get_gridspec().ncols
    inches = share * axes.figure.bbox.width / axes.figure.dpi - _BESIDE
    beside = axes.inset_axes((1 + 0.08 / inches, 0.0, 0.11 / inches, 1.0))
    bar = axes.figure.colorbar(image, cax=beside, extend=extend)
    bar.outline.set_linewidth(0.4)
    if unit:
        bar.set_label(unit_label(unit))
    if isinstance(norm, LogNorm):
        tidy_powers(beside.yaxis, norm)
    else:
        tidy(beside.yaxis)
        beside.yaxis.set_offset_position("left")  # from there it grows away from the title of the map


def draw_place(axes: Axes, x: float, y: float) -> None:
    """Mark a place by a ring that is seen on every ground."""
    halo = [withStroke(linewidth=2.6, foreground="white")]
    axes.plot([x], [y], "o", ms=8, mfc="none", mec="black", mew=1.1, path_effects=halo, clip_on=False, zorder=5)


def draw_dots(axes: Axes, x: Values, y: Values) -> None:
    """Draw the places of observations, small and seen on every ground."""
    axes.plot(x, y, "o", ms=2.2, mfc="white", mec="black", mew=0.4, linestyle="none", zorder=4)


def say(axes: Axes, text: str) -> None:
    """Write a remark into the middle of empty axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.3")


def linear_scale(values: Values, reference: Values | None = None) -> Normalize:
    """Return a colour scale over the range of the values, or of the central 99.8 % of them where outliers would stretch it.

    With a reference the scale is that of the reference, widened on either side by at most the reference's range: a wrong
    solution shows as wrong, not as a reference without features. One that is constant but for rounding sets no scale.
    """
    low, high = _range(values)
    if reference is not None and finite_values(reference).size:
        first, last = _range(reference)
        spare = last - first if last - first > _CONSTANT * (high - low) else math.inf
        low, high = max(min(low, first), first - spare), min(max(high, last), last + spare)
        if not finite_values(values).size:
            low, high = first, last
    return Normalize(*_widened(low, high))


def centred_scale(values: Values) -> Normalize:
    """Return a colour scale symmetric about zero."""
    low, high = _range(values)
    size = max(-low, high) or 1.0
    return Normalize(-size, size)


def log_scale(*arrays: Values) -> LogNorm | None:
    """Return a logarithmic scale of one to six decades below the greatest value, or None where no value is positive."""
    finite = finite_values(*arrays)
    positive = finite[finite > np.finfo(float).tiny]
    if not positive.size:
        return None
    high = float(positive.max())
    low = max(float(np.percentile(positive, 1)), high / 10**_DECADES)
    return LogNorm(min(low, high / 10), high, clip=True)


def ends(scale: Any) -> tuple[float, float]:
    """Return the least and the greatest value of a scale made here."""
    return np.asarray(scale.vmin).item(), np.asarray(scale.vmax).item()


def limits(scale: Normalize, *, margin: float = 0.05) -> tuple[float, float]:
    """Return the ends of an axis that shows a scale with a margin."""
    low, high = ends(scale)
    if isinstance(scale, LogNorm):
        return low / (high / low) ** margin, high * (high / low) ** margin
    return low - margin * (high - low), high + margin * (high - low)


def finite_values(*arrays: Values | None) -> Array:
    """Return the finite values of several arrays as one."""
    flat = [np.ravel(a) for a in arrays if a is not None]
    joined = np.concatenate(flat) if flat else np.zeros(0)
    return np.asarray(joined[np.isfinite(joined)])


def rule(axes: Axes) -> None:
    """Rule faint lines behind curves."""
    axes.grid(color="0.9", lw=0.6)
    axes.set_axisbelow(True)


def round_steps(count: int, *, integer: bool = False) -> MaxNLocator:
    """Return what places at most `count` steps of 1, 2 or 5 times a power of ten on an axis."""
    return MaxNLocator(count, steps=[1, 2, 5, 10], integer=integer)


def tidy(axis: Axis) -> None:
    """Let a linear axis write very large and very small numbers with a common power of ten."""
    formatter = ScalarFormatter(useMathText=True)
    formatter.set_powerlimits((-2, 4))
    axis.set_major_formatter(formatter)


def tidy_powers(axis: Axis, scale: Normalize) -> None:
    """Let a logarithmic axis name the powers of ten, or where it holds fewer than two of them also 2 and 5 times these."""
    low, high = ends(scale)
    powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    if powers < 2:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(math.inf, math.inf)))
    axis.set_minor_formatter(NullFormatter())


def _is_flat(row: Row) -> bool:
    return row.shape is not None and row.shape < _FLAT


def _width(row: Row, across: int) -> float:
    """Return the inches across that a row asks for."""
    if across > 1:
        return _WIDTH
    return _NARROW if row.shape is None else min(max(_TALLEST / row.shape + _BESIDE, _NARROWEST), _NARROW)


def _height(row: Row, width: float) -> float:
    return row.height if row.shape is None else min(max(row.shape * width, _LOWEST), _TALLEST)


def _range(values: Values) -> tuple[float, float]:
    finite = finite_values(values)
    if not finite.size:
        return 0.0, 0.0
    low, high = float(finite.min()), float(finite.max())
    inner, outer = (float(v) for v in np.percentile(finite, (0.1, 99.9)))
    outliers = outer > inner and high - low > _OUTLIER * (outer - inner)
    return (inner, outer) if outliers else (low, high)


def _widened(low: float, high: float) -> tuple[float, float]:
    """Give a range of one value, to rounding, some width."""
    size = max(abs(low), abs(high))
    if high - low > 1e-9 * size:
        return low, high
    spare = 0.1 * size or 1.0
    return low - spare, high + spare

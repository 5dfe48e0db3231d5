"""Parts of the pictures that need no solution: losses, colour scales, names and numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from numpy.testing import assert_allclose

from pinnsolve.drawing.labels import label, number, plain
from pinnsolve.drawing.losses import loss_figure, read_history
from pinnsolve.drawing.panels import centred_scale, linear_scale, log_scale
from pinnsolve.training.loop import Progress


def curve(axes: Axes, name: str) -> Any:
    return next(line for line in axes.lines if line.get_label() == name)


def places_of(line: Any) -> np.ndarray:
    """The points of a line or of dots (points, 2)."""
    return np.asarray(line.get_xydata())


def progress(step: int, loss: float, **more: Any) -> Progress:
    given: dict[str, Any] = {"phase": "adam", "terms": {"heat": loss / 2, "left": loss / 4}, "held_out": 2 * loss}
    given |= {"seconds": step / 50, "evaluations": step, "steps_per_second": 50.0, "rate": 1e-3, "total_steps": 100}
    return Progress(step=step, loss=loss, **(given | more))


def test_losses_are_drawn_as_recorded_on_a_logarithmic_axis() -> None:
    history = [progress(k, 10.0**-k, phase="adam" if k < 5 else "lbfgs") for k in range(1, 9)]
    figure = loss_figure(history)
    assert figure is not None
    axes = figure.axes[0]
    assert axes.get_yscale() == "log" and axes.get_xlabel() == "steps"
    for name, factor in (("loss", 1), ("held-out loss", 2), ("heat", 0.5), ("left", 0.25)):
        assert_allclose(curve(axes, name).get_ydata(), [factor * 10.0**-k for k in range(1, 9)])
    assert curve(axes, "held-out loss").is_dashed()
    rules = [places_of(line)[0, 0] for line in axes.lines if np.ptp(places_of(line)[:, 0]) == 0]
    assert rules == [4.0]
    assert [text.get_text() for text in axes.texts] == ["adam", "lbfgs"]


def test_the_second_axis_tells_the_seconds_that_had_passed() -> None:
    history = [progress(k, 1.0 / k, seconds=(k / 10) ** 2) for k in range(1, 101)]
    figure = loss_figure(history)
    assert figure is not None
    top = figure.axes[0].child_axes[0]
    places = {text.get_text(): place for text, place in zip(top.get_xticklabels(), top.get_xticks(), strict=True)}
    assert top.get_xlabel() == "seconds"
    assert places["100"] == pytest.approx(100) and places["40"] == pytest.approx(10 * math.sqrt(40), abs=0.05)


def test_phases_of_one_name_are_ruled_apart() -> None:
    history = [progress(k, 10.0**-k, phase_number=int(k > 5)) for k in range(1, 11)]
    figure = loss_figure(history)
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].texts] == ["adam", "adam"]
    ruled = [line for line in figure.axes[0].lines if set(places_of(line)[:, 0]) == {5.0}]
    assert len(ruled) == 1


@pytest.mark.parametrize(
    "history",
    [
        [progress(1, 0.5)],
        [progress(1, 0.5), progress(2, math.nan), progress(3, math.inf), progress(4, 0.1)],
        [progress(1, 1.0), progress(2, 1e30, event="returned to the last good state"), progress(3, 0.5)],
        [progress(1, 0.5, held_out=None, terms={})],
        [progress(0, 0.5, seconds=0.0)],
        [progress(1, 0.0), progress(2, 1e-300)],
        [progress(1, 1.0, terms={f"{k} $ term_{'x' * k}": 1.0 for k in range(40)})],
    ],
    ids=["single", "not finite", "spike", "bare", "start", "zero", "many"],
)
def test_odd_histories_still_give_a_figure(history: list[Progress]) -> None:
    figure = loss_figure(history)
    assert figure is not None
    low, high = figure.axes[0].get_ylim()
    assert 0 < low < high < math.inf


def test_of_very_many_terms_the_legend_names_the_largest() -> None:
    terms = {f"term[{k}]": float(k) for k in range(1, 31)}
    figure = loss_figure([progress(1, 9.0, terms=terms), progress(2, 9.0, terms=terms)])
    assert figure is not None
    legend = figure.axes[0].get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["loss", "held-out loss", *(f"term[{k}]" for k in range(19, 31)), "(18 smaller terms)"]


@pytest.mark.parametrize("history", [[], [progress(1, math.nan)], [progress(1, 0.0)]])
def test_a_history_without_positive_losses_gives_none(history: list[Progress]) -> None:
    assert loss_figure(history) is None


def test_a_history_is_read_back_without_the_line_that_a_crash_cut_short(tmp_path: Path) -> None:
    record = {"phase": "adam", "step": 7, "seconds": 1.5, "evaluations": 9, "loss": None, "terms": {"heat": 0.5}}
    record |= {"held_out": 0.25, "rate": 1e-3, "event": ""}
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{json.dumps(record)}\n{json.dumps(record | {'loss': 0.5})}\n[1]\n{json.dumps(record)[:40]}")
    first, second = read_history(path)
    assert math.isnan(first.loss) and second.loss == 0.5
    assert (second.step, second.terms, second.held_out, second.total_steps) == (7, {"heat": 0.5}, 0.25, 7)
    assert second.phase_number == 0
    assert read_history(tmp_path / "missing.jsonl") == ()


def test_outliers_do_not_set_the_colour_scale_and_constants_have_one() -> None:
    values = np.append(np.linspace(0, 1, 10_000), 1e6)
    assert linear_scale(values).vmax == pytest.approx(1.0, rel=1e-2)
    assert linear_scale(np.append(values[:-1], math.nan)).vmax == 1.0
    for constant in (0.0, 7.0, -1e-30):
        scale = linear_scale(np.full(5, constant))
        assert scale.vmin < constant < scale.vmax  # type: ignore[operator]


def test_a_wrong_solution_does_not_wash_out_its_reference_unless_that_is_constant() -> None:
    wrong, right = np.linspace(-50, 50, 100), np.linspace(0, 1, 100)
    assert (linear_scale(wrong, right).vmin, linear_scale(wrong, right).vmax) == (-1.0, 2.0)
    assert (linear_scale(wrong, 0 * right).vmin, linear_scale(wrong, 0 * right).vmax) == (-50.0, 50.0)
    assert linear_scale(np.full(3, math.nan), right).vmax == 1.0


def test_differences_are_centred_and_logarithms_span_one_to_six_decades() -> None:
    assert (centred_scale(np.array([-3.0, 1.0])).vmin, centred_scale(np.array([-3.0, 1.0])).vmax) == (-3.0, 3.0)
    assert centred_scale(np.zeros(3)).vmax == 1.0
    narrow, wide = log_scale(np.array([2.0, 2.0])), log_scale(np.logspace(-20, 0, 300))
    assert narrow is not None and (narrow.vmin, narrow.vmax) == (0.2, 2.0)
    assert wide is not None and (wide.vmin, wide.vmax) == (pytest.approx(1e-6), 1.0)
    assert log_scale(np.zeros(3), np.array([math.nan])) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x_1", "$x_{1}$"), ("theta", r"$\theta$"), ("a$b", r"a\$b"), ("\\oops", "\\oops")],
)
def test_names_are_mathematics_where_they_can_be(name: str, expected: str) -> None:
    assert label(name) == expected


def test_long_names_are_cut_and_numbers_are_short() -> None:
    assert plain("y" * 80 + "[13]") == "y" * 41 + "…yy[13]"
    assert [number(v) for v in (0.0, 0.0123, 123.4, 1.23e-5, math.nan)] == [
        "0",
        "0.012",
        "123",
        r"$1.2\times 10^{-5}$",
        "not finite",
    ]

"""Sampling: uniformity of every method, repeatability, and adaptive choice in proportion to the residual."""

from __future__ import annotations

import numpy as np
import pytest
from sympy import symbols

from pinnsolve.domains.regions import Box
from pinnsolve.domains.sampling import METHODS, choose_adaptively, draw

x, y = symbols("x y")
BOX = Box({x: (-1, 3), y: (0, 0.5)})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 7, 64, 1000])
def test_every_method_gives_the_number_of_points_asked_for_inside(method: str, count: int):
    drawn = draw(BOX, count, method=method)
    assert drawn.coordinates.shape == (count, 2)
    assert drawn.coordinates.dtype == np.float64
    assert BOX.contains(drawn.coordinates).all()
    assert drawn.measure == 2
    assert drawn.normals is None


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_points_and_another_seed_others(method: str):
    first, again, other = (draw(BOX, 50, method=method, seed=seed).coordinates for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert np.array_equal(first, other) == (method == "grid")


@pytest.mark.parametrize(("method", "error"), [("sobol", 2e-3), ("latin", 2e-2), ("grid", 2e-3), ("uniform", 6e-2)])
def test_means_over_the_points_approach_the_integral(method: str, error: float):
    a, b = draw(BOX, 1024, method=method, seed=1).coordinates.T
    exact = (np.sin(3) - np.sin(-1)) / 4 * (np.exp(0.5) - 1) / 0.5
    assert (np.cos(a) * np.exp(b)).mean() == pytest.approx(exact, abs=error)


def test_sobol_points_fill_evenly_for_every_prefix():
    points = draw(Box({x: (0, 1), y: (0, 1)}), 256, seed=0).coordinates
    cells = np.floor(points[:256] * 16).astype(int)
    assert len(np.unique(cells, axis=0)) == 256  # a (0, 8, 2)-net: one in each cell
    assert len(np.unique(draw(BOX, 300).coordinates, axis=0)) == 300


def test_latin_hypercubes_have_one_point_in_each_slice():
    points = draw(Box({x: (0, 1), y: (0, 1)}), 40, method="latin", seed=0).coordinates
    for column in points.T:
        assert sorted(np.floor(40 * column).astype(int)) == list(range(40))


def test_a_grid_is_regular():
    points = draw(Box({x: (0, 1), y: (0, 1)}), 9, method="grid").coordinates
    assert sorted(set(points[:, 0].round(12))) == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    assert len(np.unique(points.round(12), axis=0)) == 9
    assert len(draw(Box({x: (0, 1), y: (0, 1)}), 1000, method="grid").coordinates) == 1000


def test_adaptive_choice_follows_the_density_of_wu_and_others():
    # Many small choices: the frequency of a candidate is its density |r|^k / mean |r|^k + c, up to the effect of no repetition.
    generator = np.random.default_rng(0)
    magnitudes = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    hits = np.zeros(5)
    for _ in range(20_000):
        hits[choose_adaptively(magnitudes, 1, generator=generator, exponent=2.0, floor=0.5)] += 1
    density = magnitudes**2 / (magnitudes**2).mean() + 0.5
    assert hits / hits.sum() == pytest.approx(density / density.sum(), abs=0.012)


def test_adaptive_choice_does_not_repeat_and_survives_what_is_not_finite():
    generator = np.random.default_rng(1)
    magnitudes = np.array([np.nan, np.inf, 0.0, 1.0, 1e3, 2.0])
    chosen = choose_adaptively(magnitudes, 5, generator=generator)
    assert len(set(chosen.tolist())) == 5
    assert sorted(choose_adaptively(magnitudes, 6, generator=generator).tolist()) == [0, 1, 2, 3, 4, 5]


def test_residuals_that_vanish_everywhere_give_a_uniform_choice():
    generator = np.random.default_rng(2)
    hits = np.zeros(4)
    for _ in range(8_000):
        hits[choose_adaptively(np.zeros(4), 1, generator=generator)] += 1
    assert hits / 8_000 == pytest.approx(np.full(4, 0.25), abs=0.02)


def test_the_global_generator_of_numpy_is_not_touched():
    before = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    draw(BOX, 10)
    choose_adaptively(np.ones(9), 3, generator=np.random.default_rng(0))
    assert np.array_equal(before, np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002

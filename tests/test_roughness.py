"""Roughness: what measured values are beside smooth ones, on values whose noise is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pinnsolve.declaration.roughness import roughness

PLACES = np.random.default_rng(0).random((1_000, 2)) * [1.0, 1e6]
"""In coordinates of very different units."""


def smooth(places: np.ndarray) -> np.ndarray:
    return 3 + places[:, 0] ** 2 - places[:, 0] * places[:, 1] / 1e6


@pytest.mark.parametrize("deviation", [1e-4, 1e-2, 0.3])
def test_it_is_the_noise_of_values_around_a_polynomial(deviation: float) -> None:
    noise = deviation * np.random.default_rng(1).standard_normal(len(PLACES))
    values = smooth(PLACES) + noise
    assert roughness(PLACES, values) == pytest.approx(deviation / np.ptp(values), rel=0.1)


def test_a_polynomial_of_second_degree_has_none() -> None:
    assert roughness(PLACES, smooth(PLACES)) < 1e-12


def test_it_falls_with_the_third_power_of_the_distance() -> None:
    found = [
        roughness(places, np.sin(4 * places[:, 0])) for n in (40, 80) if (places := np.linspace(0, 1, n)[:, None]).size
    ]
    assert math.log2(found[0] / found[1]) == pytest.approx(3, abs=0.3)


def test_values_at_one_place_again_and_again_are_told_apart_by_noise_alone() -> None:
    places = np.repeat(np.linspace(0, 1, 20), 10)[:, None]
    values = np.sign(places[:, 0] - 0.5) + 0.01 * np.random.default_rng(0).standard_normal(200)
    assert roughness(places, values) == pytest.approx(0.01 / np.ptp(values), rel=0.2)


def test_too_few_values_tell_nothing_and_equal_ones_have_none() -> None:
    assert roughness(np.arange(5.0)[:, None], np.arange(5.0)) == math.inf
    assert roughness(np.arange(6.0)[:, None], np.ones(6)) == 0.0

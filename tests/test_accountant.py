"""The accountant: against published values, closed forms, a known library on thirty settings, and its own inverse."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pinnsolve.declaration.observations import read_table
from pinnsolve.training.accountant import ORDERS, Release, divergences, noise_for, spent

TABLE = read_table(Path(__file__).with_name("data") / "epsilons.csv")
"""Made by data/make_epsilons.py with dp-accounting 0.6.0."""


def earlier_conversion(releases: list[Release], *, delta: float) -> float:
    """Epsilon by theorem 3 of Mironov (2017), which published values before 2020 use."""
    total = np.sum([r.steps * divergences(r.noise, r.sample) for r in releases], axis=0)
    return float(np.min(total - math.log(delta) / (ORDERS - 1)))


def test_published_values() -> None:
    # Abadi et al. (2016), section 5.1: q = 0.01, sigma = 4, 10,000 steps, delta = 1e-5 give 1.26.
    assert earlier_conversion([Release(4.0, 0.01, 10_000)], delta=1e-5) == pytest.approx(1.26, abs=0.005)
    # The tutorial of TensorFlow Privacy: digits of MNIST in batches of 256 out of 60,000.
    for noise, epochs, epsilon in ((1.3, 15, 1.19), (1.1, 60, 3.01), (0.7, 45, 7.10)):
        release = Release(noise, 256 / 60_000, round(epochs * 60_000 / 256))
        assert earlier_conversion([release], delta=1e-5) == pytest.approx(epsilon, abs=0.006)


@pytest.mark.parametrize("row", range(30))
def test_thirty_settings_agree_with_the_library_within_a_hundredth(row: int) -> None:
    noise, sample, steps, delta, epsilon = (
        float(TABLE[name][row]) for name in ("noise", "sample", "steps", "delta", "epsilon")
    )
    assert spent([Release(noise, sample, int(steps))], delta=delta) == pytest.approx(epsilon, rel=0.01)


def test_divergences_of_whole_orders_are_the_binomial_sum() -> None:
    """The grid against exact arithmetic: Mironov, Talwar and Zhang (2019), section 3.3."""
    from fractions import Fraction

    from pinnsolve.training.accountant import _by_grid, _by_sum

    for noise, sample in ((0.6, 0.01), (1.1, 0.1), (4.0, 0.5), (0.5, 0.001)):
        for order in (2, 5, 12):
            q = Fraction(sample)
            exact = sum(
                float(math.comb(order, k) * (1 - q) ** (order - k) * q**k) * math.exp(k * (k - 1) / (2 * noise**2))
                for k in range(order + 1)
            )
            expected = math.log(exact) / (order - 1)
            assert _by_grid(float(order), noise, sample) == pytest.approx(expected, rel=1e-10)
            assert _by_sum(order, noise, sample) == pytest.approx(expected, rel=1e-10)


def test_without_sampling_it_is_the_gaussian_mechanism() -> None:
    assert divergences(3.0, 1.0) == pytest.approx(ORDERS / 18)
    nearly = divergences(3.0, 1 - 1e-9)
    assert nearly[:50] == pytest.approx(ORDERS[:50] / 18, rel=1e-6)


def test_releases_add_up_whatever_their_order_and_more_of_anything_spends_more() -> None:
    one, other = Release(2.0, 0.1, 100), Release(5.0, 0.5, 10)
    both = spent([one, other], delta=1e-5)
    assert both == pytest.approx(spent([other, one], delta=1e-5), rel=1e-12)
    assert both > max(spent([one], delta=1e-5), spent([other], delta=1e-5))
    assert spent([Release(2.0, 0.1, 200)], delta=1e-5) == pytest.approx(spent([one, one], delta=1e-5), rel=1e-12)
    assert spent([Release(2.0, 0.2, 100)], delta=1e-5) > spent([one], delta=1e-5) > spent([one], delta=1e-3)
    assert spent([], delta=1e-5) == 0 and spent([Release(2.0, 0.1, 0)], delta=1e-5) == 0


@pytest.mark.parametrize(("epsilon", "sample", "steps"), [(0.5, 1.0, 50), (3.0, 0.05, 1_000)])
def test_the_least_noise_spends_the_epsilon_it_was_asked_for(epsilon: float, sample: float, steps: int) -> None:
    noise = noise_for(epsilon, delta=1e-5, sample=sample, steps=steps)
    assert 0.998 * epsilon < spent([Release(noise, sample, steps)], delta=1e-5) <= epsilon


def test_an_epsilon_that_no_noise_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="no noise"):
        noise_for(1e-9, delta=1e-12, sample=1.0, steps=1_000_000)

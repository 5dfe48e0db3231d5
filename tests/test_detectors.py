"""Detectors of change: the tests against their definitions, false alarms and delays over a hundred streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pinnsolve.errors import ProblemError
from pinnsolve.monitoring.detectors import ADWIN, Change, Detector, PageHinkley, Sums

REFERENCE = 100


def alarms(detector: Any, values: Any) -> list[Change]:
    state = detector.start()
    found: list[Change] = []
    for number, value in enumerate(values):
        state, change = detector.update(state, float(value))
        if change is not None:
            found.append(Change(change.at if not found else number + 1, change.since))
            break
    return found


def standardised(noise: np.ndarray) -> np.ndarray:
    """What `monitor` gives to a detector: sizes to the power 2/3, by the mean and spread of the first of them."""
    sizes = np.abs(noise) ** (2 / 3)
    first = sizes[:REFERENCE]
    return (sizes[REFERENCE:] - first.mean()) / first.std(ddof=1)


def test_page_and_hinkleys_sum_is_that_of_the_definition() -> None:
    values = np.random.default_rng(1).normal(size=40)
    detector = PageHinkley(tolerance=0.3, threshold=1e6)
    state = detector.start()
    for value in values:
        state, change = detector.update(state, value)
        assert change is None
    means = [values[: k + 1].mean() for k in range(len(values))]
    sums = np.cumsum(values - means - 0.3)
    assert state.mean == pytest.approx(values.mean(), rel=1e-12)
    assert state.sum == pytest.approx(sums[-1], rel=1e-12)
    assert state.least == pytest.approx(min(0.0, sums.min()), rel=1e-12) and state.least_at == int(np.argmin(sums)) + 1


def test_an_update_leaves_the_state_it_was_given_alone() -> None:
    detectors: tuple[Any, ...] = (PageHinkley(), ADWIN())
    for detector in detectors:
        state, _ = detector.update(detector.start(), 1.0)
        kept = repr(state)
        assert detector.update(state, 5.0) == detector.update(state, 5.0)
        assert repr(state) == kept


def test_a_rise_is_placed_where_it_began_and_a_fall_is_no_alarm() -> None:
    noise = np.random.default_rng(2).normal(size=600)
    rise = np.arange(600) >= 400
    for detector, latest in ((PageHinkley(), 430), (ADWIN(), 460)):
        (change,) = alarms(detector, noise + 3.0 * rise)
        assert 400 < change.at < latest and abs(change.since - 401) <= 16, detector
        assert not alarms(detector, noise - 3.0 * rise), detector


def test_page_and_hinkley_after_an_alarm_begins_anew() -> None:
    detector = PageHinkley(threshold=2.0)
    state, change = detector.update(Sums(10, 0.0, 0.0, 0.0, 10), 4.0)
    assert change == Change(11, 11) and state == detector.start()


def test_adwin_keeps_buckets_of_powers_of_two_and_every_value_of_its_window() -> None:
    values = np.clip(np.random.default_rng(3).normal(size=777), -4, 4)
    detector, state = ADWIN(confidence=1e-6), ADWIN().start()
    for value in values:
        state, _ = detector.update(state, value)
    counts = [bucket.count for bucket in state.buckets]
    assert sum(counts) == 777 and counts == sorted(counts, reverse=True)
    assert all(count & (count - 1) == 0 for count in counts) and max(map(counts.count, counts)) <= 5
    assert sum(b.count * b.mean for b in state.buckets) == pytest.approx(values.sum(), rel=1e-10)
    begin = 0
    for bucket in state.buckets:  # each holds the spread of consecutive values, the oldest first
        part = values[begin : begin + bucket.count]
        assert bucket.spread == pytest.approx(((part - part.mean()) ** 2).sum(), rel=1e-9, abs=1e-12)
        begin += bucket.count


def test_adwin_forgets_what_was_before_a_change() -> None:
    rng = np.random.default_rng(4)
    state, detector = ADWIN().start(), ADWIN()
    for value in [*rng.normal(size=500), *(2 + rng.normal(size=500))]:
        state, _ = detector.update(state, value)
    count = sum(bucket.count for bucket in state.buckets)
    assert 400 < count < 540
    assert sum(b.count * b.mean for b in state.buckets) / count == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize(("detector", "latest"), [(PageHinkley(), 30), (ADWIN(), 100)], ids=["page_hinkley", "adwin"])
def test_false_alarms_and_delay_over_a_hundred_streams(detector: Detector, latest: int) -> None:
    """2,000 rows without a change raise an alarm in under 5 % of streams; a doubled misfit is noticed soon."""
    streams = 100 if isinstance(detector, PageHinkley) else 30  # the hundred of ADWIN are in the campaign
    rng = np.random.default_rng(5)
    false = sum(bool(alarms(detector, standardised(rng.normal(size=2_000 + REFERENCE)))) for _ in range(streams))
    assert false < 0.05 * streams
    delays = []
    for _ in range(streams):
        noise = rng.normal(size=800 + REFERENCE)
        noise[400 + REFERENCE :] *= 2
        (change,) = alarms(detector, standardised(noise))
        delays.append(change.at - 400)
    assert np.median(delays) <= latest


@pytest.mark.parametrize(
    "make", [lambda: PageHinkley(tolerance=0), lambda: PageHinkley(threshold=-1), lambda: ADWIN(1.0)]
)
def test_numbers_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ProblemError, match="write a"):
        make()

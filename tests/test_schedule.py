"""Schedules: what is filled in, and what is refused where it is written."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pinnsolve.domains.sampling import METHODS
from pinnsolve.errors import ProblemError
from pinnsolve.training.optimizers import Adam
from pinnsolve.training.quasi_newton import LBFGS
from pinnsolve.training.schedule import SAMPLINGS, Training


def test_an_empty_schedule_leaves_every_choice_open() -> None:
    training = Training()
    assert (training.points, training.phases, training.weights) == (None, None, None)


def test_phases_become_a_tuple_in_order_and_inherit_the_redraws_they_do_not_set() -> None:
    training = Training(phases=[Adam(10), LBFGS(20, resample=7)], resample=3)
    assert training.phases == (Adam(10, resample=3), LBFGS(20, resample=7))


def test_the_ways_of_sampling_are_those_that_the_domains_know() -> None:
    assert set(SAMPLINGS) == set(METHODS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": {"wall": -5}}, r'points\["wall"\] · -5 · .*at least 1'),
        ({"points": {"wall": 2.5}}, r"2\.5"),
        ({"points": {"wall": True}}, r"True"),
        ({"weights": {"wall": 0.0}}, r'weights\["wall"\] · 0\.0 · .*positive'),
        ({"weights": {"wall": math.nan}}, r"nan"),
        ({"weights": {"wall": math.inf}}, r"inf"),
        ({"weights": {"wall": "high"}}, r"high"),
        ({"sampling": "sobel"}, r"sampling · 'sobel' · .*sobol"),
        ({"resample": -1}, r"resample · -1"),
        ({"phases": []}, r"phases · \[\]"),
        ({"phases": Adam(10)}, r"phases · Adam.*list of phases"),
        ({"phases": "adam"}, r"phases · 'adam'"),
        ({"phases": ["adam"]}, r"phases · 'adam' is not a phase · .*Adam\(steps"),
        ({"phases": [Adam]}, r"Adam.*is not a phase"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        Training(**arguments)


@pytest.mark.parametrize("argument", ["points", "weights"])
def test_a_number_for_all_terms_is_refused_with_the_form_to_write(argument: str) -> None:
    wrong: dict[str, Any] = {argument: 1000}
    with pytest.raises(ProblemError, match=rf"{argument} · 1000 is not a mapping · write {argument}="):
        Training(**wrong)

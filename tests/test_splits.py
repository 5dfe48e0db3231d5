"""Splits: which rows are held out, that nothing of them is trained on, and that the result tells the misfit of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, symbols

import pinnsolve as ps
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.points import TermPoints
from pinnsolve.summary import summarise

x, t = symbols("x t")
u = ps.fields("u", x, t)
RNG = np.random.default_rng(0)
XS, TS = RNG.uniform(0, 1, 60), RNG.uniform(0, 2, 60)
SENSORS = np.repeat(np.arange(12), 5)


def observed(split: Any, **others: Any) -> ps.Observations:
    return ps.Observations(at={x: XS, t: TS}, values={u: XS * np.exp(-TS)}, split=split, **others)


def problem_of(observations: ps.Observations) -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 2)}),
        equations={"decay": Eq(u.diff(t), -u)},
        conditions={"start": Eq(u(x, 0), x)},
        data={"sensors": observations},
    )


def test_single_rows_are_held_out_at_random():
    first, again, other = (observed(ps.RandomSplit(0.25, seed=s)).held_out["random"] for s in (0, 0, 1))
    assert first.sum() == 15 and np.array_equal(first, again) and not np.array_equal(first, other)
    assert observed(ps.RandomSplit(1e-3)).held_out["random"].sum() == 1


def test_groups_are_held_out_whole():
    rows = observed(ps.GroupSplit(SENSORS, 0.25)).held_out["groups"]
    assert rows.sum() == 15
    assert len(set(SENSORS[rows])) == 3 and not set(SENSORS[rows]) & set(SENSORS[~rows])
    named = ps.GroupSplit([f"sensor {k}" for k in SENSORS], 0.25)
    assert observed(named).held_out["groups"].sum() == 15


def test_blocks_are_ranges_of_equal_numbers_of_rows():
    rows = observed(ps.BlockSplit(t, 0.4, blocks=5)).held_out["blocks of t"]
    assert rows.sum() == 24
    order = rows[np.argsort(TS)]
    assert np.array_equal(order.reshape(5, 12).all(1), order.reshape(5, 12).any(1))


def test_a_range_is_held_out_where_all_its_coordinates_are_in_it():
    split = observed(ps.RangeSplit({x: (0.5, 1), t: (1, 2)}))
    assert np.array_equal(split.held_out["x from 0.5 to 1, t from 1 to 2"], (XS >= 0.5) & (TS >= 1))


def test_several_splits_hold_different_rows_out_in_their_order():
    splits = [ps.RangeSplit({t: (1.5, 2)}), ps.BlockSplit(x), ps.GroupSplit(SENSORS), ps.RandomSplit()]
    observations = observed(splits)
    held = np.stack(list(observations.held_out.values()))
    assert list(observations.held_out) == ["t from 1.5 to 2", "blocks of x", "groups", "random"]
    assert held.any(1).all() and held.sum(0).max() == 1
    assert np.array_equal(observations.trained, ~held.any(0)) and observations.trained.any()


def test_what_is_held_out_is_not_trained_on_and_only_a_range_chooses_nothing():
    observations = observed([ps.RangeSplit({t: (1.5, 2)}), ps.RandomSplit()], noise=np.linspace(0.1, 0.2, 60))
    points = TermPoints(compile_problem(problem_of(observations)), {"decay": 10}, "sobol", 0, torch.device("cpu"))
    table = np.stack([XS, TS, XS * np.exp(-TS), 0.1 / np.linspace(0.1, 0.2, 60)], 1)
    trained, chosen = observations.trained, observations.held_out["random"]
    np.testing.assert_array_equal(points.training()["sensors"].numpy(), table[trained])
    np.testing.assert_array_equal(points.held_out()["sensors"].numpy(), table[chosen])
    whole = TermPoints(compile_problem(problem_of(observed(None))), {"decay": 10}, "sobol", 0, torch.device("cpu"))
    assert torch.equal(whole.training()["sensors"], whole.held_out()["sensors"])


def test_a_table_names_the_column_of_its_groups(tmp_path: Path):
    rows = "\n".join(f"{a},{b},{a * b},{s}" for a, b, s in zip(XS, TS, SENSORS, strict=True))
    (tmp_path / "table.csv").write_text(f"x,t,u,sensor\n{rows}\n", encoding="utf-8")
    path = tmp_path / "table.csv"
    observations = ps.Observations.read(
        path, at={x: "x", t: "t"}, values={u: "u"}, split=[ps.GroupSplit("sensor"), ps.RandomSplit()]
    )
    assert np.array_equal(
        observations.held_out["groups"], observed(ps.GroupSplit(SENSORS.astype(float))).held_out["groups"]
    )
    with pytest.raises(ps.DataError, match=r"no column 'place'"):
        ps.Observations.read(path, at={x: "x", t: "t"}, values={u: "u"}, split=ps.GroupSplit("place"))


def test_the_result_tells_the_misfit_of_every_split(tmp_path: Path):
    """Against the misfits computed from the solution itself."""
    observations = observed([ps.RangeSplit({t: (1.5, 2)}), ps.RandomSplit()], noise=0.1)
    training = ps.Training(points={"decay": 50}, phases=[ps.Adam(20)])
    solution = ps.solve(problem_of(observations), ps.MLP(6, 1), training, out=tmp_path / "run", plots=False)
    found = solution.held_out["sensors"]
    misfit = solution(x=XS, t=TS) - XS * np.exp(-TS)
    parts = {"trained on": observations.trained, **observations.held_out}
    assert list(found) == list(parts)
    for name, rows in parts.items():
        assert found[name]["rows"] == rows.sum()
        assert found[name]["rms"] == pytest.approx(np.sqrt(np.mean(misfit[rows] ** 2)), rel=1e-9)
        assert found[name]["max"] == pytest.approx(np.abs(misfit[rows]).max(), rel=1e-9)
    record = json.loads((tmp_path / "run" / "result.json").read_bytes())
    assert record["held_out"] == solution.held_out
    assert "held out   sensors: trained on" in summarise(record) and f"({found['random']['rows']} rows)" in summarise(
        record
    )
    assert ps.load(tmp_path / "run").held_out == solution.held_out


def test_training_ends_early_when_the_held_out_measurements_say_so():
    """A network with nothing but noise to learn: the loss on what it trains on falls, that on the rest does not."""
    noise = np.random.default_rng(1).normal(size=60)
    observations = ps.Observations(at={x: XS, t: TS}, values={u: noise}, split=ps.RandomSplit(0.3))
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 2)}),
        equations={"rest": Eq(u.diff(t), 0)},
        data={"sensors": observations},
        conditions={"start": Eq(u(x, 0), 0)},
        hard=False,
    )
    training = ps.Training(
        points={"rest": 20, "start": 20}, phases=[ps.Adam(2_000, 1e-2)], patience=100, weights={"rest": 1e-4}
    )
    solution = ps.solve(problem, ps.MLP(20, 2), training, compile="off")
    assert solution.record["phases"][0]["ended"] == "early" and solution.record["phases"][0]["steps"] < 1_000
    assert "held-out points had not fallen" in solution.message


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (ps.RandomSplit, r"write RandomSplit\(\), GroupSplit"),
        ("random", r"split='random' · write RandomSplit\(\)"),
        (ps.GroupSplit([1, 2, 3]), r"3 groups for 60 rows · give the group of every row"),
        (ps.GroupSplit(np.zeros(60)), r"the split 'groups' leaves no row to train on"),
        (ps.RangeSplit({t: (5, 6)}), r"the split 't from 5 to 6' holds no row out"),
        (ps.RangeSplit({symbols("y"): (5, 6)}), r"y is not a coordinate of the observations · use one of x, t"),
        ([ps.RandomSplit(), ps.RandomSplit(seed=1)], r"two splits named 'random'"),
    ],
)
def test_a_split_that_cannot_be_is_refused(split: Any, message: str):
    with pytest.raises(ps.DataError, match=message):
        observed(split)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ps.RandomSplit(1.0), r"RandomSplit · share=1.0 · write a part between 0 and 1"),
        (lambda: ps.BlockSplit(t, blocks=1), r"BlockSplit · blocks=1 · write a number of blocks"),
        (lambda: ps.Training(patience=0), r"patience · 0 · write a number of steps"),
    ],
)
def test_a_mistake_is_refused_where_it_is_written(make: Any, message: str):
    with pytest.raises(ps.ProblemError, match=message):
        make()

"""The derivative benchmark: its form, and that its rows measure what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from pinnsolve.bench.engine import ENGINES, Setting, measure, residuals

KEYS = {"residual", "points", "dtype", "engine", "milliseconds", "peak_bytes", "matmul_fraction"}


def benched(*options: str) -> dict[str, Any]:
    """What the command finds in float64, with the threads that it has by itself, as tests have one."""
    command = [sys.executable, "-m", "pinnsolve", "bench", "engine", "--json", "--dtype", "float64", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def by_engine(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The rows of what could be done, by the way."""
    return {row["engine"]: row for row in rows if row["milliseconds"] is not None}


@pytest.mark.thorough
def test_the_json_holds_the_machine_and_one_row_for_each_measurement() -> None:
    found = benched("--points", "60", "--residual", "burgers")
    assert set(found) == {"machine", "rows"}
    assert {"processor", "threads", "torch"} <= set(found["machine"])
    assert [row["engine"] for row in found["rows"]] == list(ENGINES)
    for row in found["rows"]:
        assert set(row) == KEYS
        assert (row["residual"], row["points"], row["dtype"]) == ("burgers", 60, "float64")
        if row["engine"] != "compiled":  # there may be no compiler
            assert row["milliseconds"] > 0 and row["peak_bytes"] > 60 * 64 * 8 and 0 < row["matmul_fraction"] < 1


def test_there_are_the_seven_residuals_with_the_channels_they_need() -> None:
    channels = {
        "burgers": 4,
        "kdv": 5,
        "kuramoto_sivashinsky": 6,
        "biharmonic": 9,
        "laplacian_3d": 5,
        "navier_stokes_2d": 4,
        "laplacian_100d": 102,
    }
    declared = residuals()
    assert list(declared) == list(channels)
    for name, count in channels.items():
        setting = Setting.of(declared[name](), 8, "float64", "cpu")
        assert setting.compiled.channels == count
        if name == "laplacian_100d":
            continue  # nested passes take half a minute; the slow tests make them
        losses = [setting.objective(engine).evaluate() for engine in ("nested", "plain")]
        assert losses[0].loss == pytest.approx(losses[1].loss, rel=1e-12)
        torch.testing.assert_close(losses[0].gradient, losses[1].gradient, rtol=1e-9, atol=1e-12)


def test_what_memory_cannot_hold_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinnsolve.bench.engine._memory", lambda device: 2.0**20)
    (row,) = measure(["biharmonic"], [5_000], ["float64"], ["nested"])
    assert row.milliseconds is None and "GB" in row.note


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_figures_of_the_readme_are_kept() -> None:
    """Ratios of medians within one run, at 10,000 points in float64."""
    fewest = {
        "burgers": 1.3,
        "kdv": 3.0,
        "kuramoto_sivashinsky": 6.0,
        "biharmonic": 5.0,
        "laplacian_3d": 2.0,
        "navier_stokes_2d": 2.5,
    }
    for name, least in fewest.items():
        rows = by_engine(benched("--points", "10000", "--residual", name)["rows"])
        milliseconds = {engine: row["milliseconds"] for engine, row in rows.items()}
        print(name, {engine: (round(row["milliseconds"], 1), row["matmul_fraction"]) for engine, row in rows.items()})
        assert milliseconds["nested"] / min(milliseconds["plain"], milliseconds["compiled"]) >= least, name
        assert milliseconds["nested"] / milliseconds["plain"] >= 0.9, name
        assert rows["compiled"]["matmul_fraction"] >= 0.6, name
        for engine in ("plain", "compiled"):
            assert 2 * rows[engine]["peak_bytes"] <= rows["nested"]["peak_bytes"], (name, engine)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_laplacian_in_a_hundred_dimensions_is_four_times_as_fast_as_nested_passes_within_two_gigabytes() -> None:
    rows = by_engine(benched("--points", "1000", "--residual", "laplacian_100d")["rows"])
    milliseconds = {engine: row["milliseconds"] for engine, row in rows.items()}
    print(milliseconds)
    assert milliseconds["nested"] / min(milliseconds["plain"], milliseconds["compiled"]) >= 4
    assert all(rows[engine]["peak_bytes"] < 2e9 for engine in ("plain", "compiled"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_cost_and_memory_of_a_point_do_not_grow_with_their_number() -> None:
    found = benched("--points", "10000", "--points", "1000000", "--residual", "burgers")["rows"]
    few, many = (by_engine([row for row in found if row["points"] == count]) for count in (10_000, 1_000_000))
    for engine in ("plain", "compiled"):
        microseconds = [1e3 * rows[engine]["milliseconds"] / rows[engine]["points"] for rows in (few, many)]
        print(engine, microseconds)
        assert microseconds[1] <= 1.1 * microseconds[0]
        assert many[engine]["peak_bytes"] / 1_000_000 <= 1.1 * few[engine]["peak_bytes"] / 10_000

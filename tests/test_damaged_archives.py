"""A stored solution from a stranger: damaged, swapped or crafted, it is refused with one sentence, or it is mathematics."""

from __future__ import annotations

import copy
import json
import os
import pickle
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sympy import Eq, exp, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.archive import ArchiveError, description_sum
from pinnsolve.compiler.trial import build_trial
from pinnsolve.solution import Solution
from pinnsolve.verification import load_with_reference

x, t = symbols("x t")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored solution of a problem that has something of everything that is stored."""
    u, nu = ps.fields("u", x, t), symbols("nu", positive=True)
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), nu * u.diff(x, 2) - exp(-u))},
        conditions={"left": Eq(u(0, t), sin(pi * t)), "right": Eq(u.diff(x).subs(x, 1), 0)},
        unknowns={nu: 1 / 3},
        data={"sensors": ps.Observations(at={x: [0.1, 0.7], t: [0.2, 0.3]}, values={u: [1.0, 2.0]})},
    )
    network = ps.MLP(width=6, depth=2)
    trial = build_trial(problem, network, seed=3, dtype=torch.float64, device="cpu")
    solution = Solution(problem, trial, network, {"status": "done", "message": "untrained", "errors": {}})
    solution.reference_spec = ps.FiniteDifferences(cells={x: 64}, unknowns={nu: 0.1})
    return solution.save(tmp_path_factory.mktemp("archive") / "s")


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Callable[[Callable[[Any], Any]], Path]:
    """Make a copy of the folder whose description was changed, its sum made right."""

    def make(change: Callable[[Any], Any]) -> Path:
        description = json.loads((folder / "model.json").read_bytes())
        changed = change(description)
        described = description if changed is None else changed
        if isinstance(described, dict) and "sha256" in described:
            described["sha256"] = {**description["sha256"], "model.json": description_sum(described)}
        text = json.dumps(described)
        (tmp_path / "model.json").write_text(text, encoding="utf-8")
        (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
        return tmp_path

    return make


def without_sums(folder: Path, target: Path) -> None:
    """Copy the description as a former version wrote it, so that what reads the weights is on its own."""
    description = json.loads((folder / "model.json").read_bytes())
    del description["sha256"]
    (target / "model.json").write_text(json.dumps(description), encoding="utf-8")


def put(*path: Any) -> Callable[[Any], Callable[[Any], None]]:
    """Return a maker of changes: put a value at a place in the description."""

    def with_value(value: Any) -> Callable[[Any], None]:
        def change(description: Any) -> None:
            place = description
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value

        return change

    return with_value


CODE = ["__import__('os').system", ["Symbol", "x", {}]]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: [],
        lambda d: "text",
        put("schema")(2),
        put("schema")(None),
        put("problem")(None),
        put("problem")([]),
        put("problem", "domain")({"box": [[["Symbol", "x", {}], 0, float("inf")]]}),
        put("problem", "domain")({"box": [[["Symbol", "x", {}], 1, 0]]}),
        put("problem", "domain")({"box": [[["Symbol", "x", {}], 0, float("nan")]]}),
        put("problem", "domain")({"box": [[["Symbol", "x", {}], 0, 10**400]]}),
        put("problem", "domain")({"box": [[["Symbol", "x", {}], "0", 1]]}),
        put("problem", "domain")({"box": []}),
        put("problem", "domain")({"disk": 1}),
        put("problem", "domain")({"faces": [], "coordinates": []}),
        put("problem", "fields")([]),
        put("problem", "fields", 0)(["Symbol", "u", {}]),
        put("problem", "fields", 0)(["Field", "u", {}, ["Symbol", "q", {}]]),
        put("problem", "declared_fields", 0)(["Field", "w", {}, ["Symbol", "x", {}]]),
        put("problem", "unknowns", 0, 1)(float("nan")),
        put("problem", "unknowns", 0, 1)("1"),
        put("problem", "unknowns", 0, 0)(["pi"]),
        put("problem", "ansatz")([[["Symbol", "x", {}], ["pi"]]]),
        put("problem", "gauges")({"w": []}),
        put("problem", "complex_fields")([[1, 2, 3]]),
        put("problem", "terms")(7),
        put("problem", "terms", 0, "kind")("program"),
        put("problem", "terms", 0, "residual")(CODE),
        put("problem", "terms", 0, "residual")(["true"]),
        put("problem", "terms", 0, "residual")(["Field", "w", {}, ["Symbol", "x", {}]]),
        put("problem", "terms", 0, "free")([["Symbol", "q", {}]]),
        put("problem", "terms", 0, "region")({"faces": [[["Symbol", "x", {}], 0, 1, []]], "coordinates": []}),
        put("network", "kind")("Sequential"),
        put("network", "kind")(["os", "system"]),
        put("network", "width")(0),
        put("network", "width")(True),
        put("network", "fourier")(-1.0),
        put("network", "fourier")(1.0),
        put("network", "factorised")("yes"),
        put("network", "factorised")(True),
        put("network", "kind")("PirateNet"),
        put("network", "kind")("ModifiedMLP"),
        put("network", "width")("__import__('os')"),
        put("network", "width")(7),
        put("network", "activation")("relu"),
        put("network", "activation")(["tanh"]),
        put("network", "extra")(1),
        put("dtype")("float16"),
        put("dtype")("load"),
        put("dtype")(["float64"]),
        put("record")(None),
        put("reference", "kind")("Program"),
        put("reference", "cells")([[["Symbol", "x", {}], 10**400]]),
        put("reference", "seconds")(-1),
        put("reference")(7),
    ],
)
def test_a_description_that_does_not_fit_is_refused(damaged: Any, change: Any) -> None:
    with pytest.raises(ArchiveError) as refused:
        ps.load(damaged(change))
    assert refused.value.exit_code == 8


@pytest.mark.parametrize(
    ("size", "value"), [("width", 10**6), ("depth", 10**9), ("width", 10**30)], ids=["wide", "deep", "absurd"]
)
def test_a_huge_network_is_refused_before_anything_is_allocated(damaged: Any, size: str, value: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArchiveError, match="too few for MLP"):
        ps.load(damaged(put("network", size)(value)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": 1, "problem": 1e999}', b'{"schema": 1, "a": NaN}', b"null"],
    ids=["empty", "open", "bytes", "deep", "infinite", "nan", "null"],
)
def test_a_description_that_is_not_json_of_numbers_is_refused(folder: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.json").write_bytes(content)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ArchiveError):
        ps.load(tmp_path)


def _weights(folder: Path, change: str) -> bytes | None:
    content = (folder / "model.safetensors").read_bytes()
    flipped = bytearray(content)
    flipped[10] ^= 0x20
    return {
        "missing": None,
        "empty": b"",
        "header cut": content[:6],
        "data cut": content[:-8],
        "surplus": content + b"0000",
        "flipped header": bytes(flipped),
        "huge header": (2**62).to_bytes(8, "little") + content[8:],
        "text": b"not weights at all",
    }[change]


@pytest.mark.parametrize(
    "change", ["missing", "empty", "header cut", "data cut", "surplus", "flipped header", "huge header", "text"]
)
def test_weights_that_are_damaged_are_refused(folder: Path, tmp_path: Path, change: str) -> None:
    without_sums(folder, tmp_path)
    content = _weights(folder, change)
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ArchiveError, match="does not fit"):
        ps.load(tmp_path)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_flipped_bit_is_noticed(folder: Path, tmp_path: Path, name: str) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content = bytearray((folder / name).read_bytes())
    place = content.index(b"0.333") + 4 if name == "model.json" else len(content) - 3
    content[place] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArchiveError, match=name):
        ps.load(tmp_path)


@pytest.mark.parametrize("change", ["dropped", "renamed", "reshaped"])
def test_weights_of_another_network_are_refused(folder: Path, tmp_path: Path, change: str) -> None:
    without_sums(folder, tmp_path)
    state = load_file(folder / "model.safetensors")
    name = next(n for n in state if n.endswith("weight"))
    tensor = state.pop(name)
    if change == "renamed":
        state[f"{name}2"] = tensor
    if change == "reshaped":
        state[name] = torch.cat([tensor, tensor])
    state["ballast"] = torch.zeros(1000)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ArchiveError, match="does not fit"):
        ps.load(tmp_path)


def test_a_pickle_in_disguise_is_not_opened(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "sprung"),)

    for name, other in (("model.json", "model.safetensors"), ("model.safetensors", "model.json")):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        (tmp_path / other).write_bytes((folder / other).read_bytes())
        with pytest.raises(ArchiveError):
            ps.load(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_symbol_named_like_code_is_only_a_name(damaged: Any) -> None:
    name = "__import__('os').mkdir('sprung')"

    def rename(tree: Any) -> Any:
        if isinstance(tree, list):
            return ["Symbol", name, {}] if tree == ["Symbol", "x", {}] else [rename(branch) for branch in tree]
        return {key: rename(value) for key, value in tree.items()} if isinstance(tree, dict) else tree

    solution = ps.load(damaged(rename))
    assert np.isfinite(solution(**{name: 0.5, "t": 0.5}))
    assert not Path("sprung").exists()


TRAP = "(lambda *a: open('sprung', 'w').close() or 0.0)"
X = ["Symbol", "x", {}]


def forms(tree: Any) -> Callable[[Any], None]:
    """Make a closed form the reference."""
    return put("reference")({"kind": "Exact", "fields": [["u", tree]], "unknowns": []})


def test_no_field_in_a_stored_closed_form_is_run(damaged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ps.ProblemError, match="write it by elementary functions"):
        load_with_reference(damaged(forms(["Add", ["Field", TRAP, {}, X], X])))
    assert not Path("sprung").exists()


def test_no_variable_of_integration_in_a_stored_closed_form_is_run(
    damaged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    variable = ["Symbol", f"s={TRAP}()", {}]
    integral = ["Integral", variable, ["Tuple", variable, ["Rational", "0", "1"], ["Rational", "1", "1"]]]
    solution = load_with_reference(damaged(forms(integral)))
    np.testing.assert_allclose(solution.reference.values["u"], 0.5)
    assert not Path("sprung").exists()


@pytest.mark.parametrize("path", ["nowhere", "file"])
def test_what_is_no_folder_of_a_solution_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("text", encoding="utf-8")
    with pytest.raises(
        ArchiveError, match=r"there is no model.json · give a folder written by save\(\), or a run directory"
    ):
        ps.load(tmp_path / path)


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        found += _places(value, (*path, key))
    return found


VALUES: list[Any] = [None, True, -1, 0, 10**400, 1e308, "", "x", [], {}, ["pi"], ["Symbol", "q", {}], [[]], ["Add"]]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_single_change_gives_a_solution_or_an_archive_error(
    damaged: Any, folder: Path, data: st.DataObject
) -> None:
    description = json.loads((folder / "model.json").read_bytes())
    path = data.draw(st.sampled_from(_places(description)))
    value = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    try:
        solution = ps.load(damaged(put(*path)(value)))
    except ArchiveError:
        return
    assert solution.unknowns.keys() == {symbol.name for symbol in solution.problem.unknowns}

"""The archive: a stored solution gives the same numbers to the last bit, and its declaration comes back equal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, Function, I, Integral, besselj, conjugate, exp, pi, sin, symbols
from torch import nn

import pinnsolve as ps
from pinnsolve.archive import ArchiveError, finite
from pinnsolve.compiler.trial import Unknowns, build_trial
from pinnsolve.declaration.storage import problem_from_data, problem_to_data
from pinnsolve.solution import Solution

x, t, s = symbols("x t s")
NETWORK = ps.MLP(width=6, depth=2)
PLACES = {"x": np.linspace(0, 1, 9)[:, None], "t": np.linspace(0, 1, 7)}


def solution_of(problem: ps.Problem, network: Any = NETWORK, *, dtype: Any = torch.float64) -> Solution:
    trial = build_trial(problem, network, seed=3, dtype=dtype, device="cpu")
    record = {"status": "done", "message": "untrained", "errors": {"u": {"relative_l2": 0.5, "max": float("nan")}}}
    return Solution(problem, trial, None if isinstance(network, nn.Module) else network, record)


def heat(u: Any, **more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), (0.1 + 0.2) / pi * u.diff(x, 2))},
        conditions={
            "initial": Eq(u.subs(t, 0), sin(pi * x)),
            "left": Eq(u.subs(x, 0), 0),
            "right": Eq(u.subs(x, 1), 0),
        },
        **more,
    )


def plain() -> ps.Problem:
    return heat(Function("u")(x, t))


def assumed() -> ps.Problem:
    u = ps.fields("u", x, t, positive=True)
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}), equations=Eq(u.diff(t), u), conditions={"initial": Eq(u(x, 0), exp(x))}
    )


def inverse() -> ps.Problem:
    u, nu, k = ps.fields("u", x, t), symbols("nu", positive=True), symbols("k", negative=True)
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), nu * u.diff(x, 2) + k * u)},
        unknowns={nu: 1 / 3, k: -2},
        data={"sensors": ps.Observations(at={x: [0.1, 0.7], t: [0.2, 0.3]}, values={u: [1.0, 2.0]}, noise=[0.1, 0.2])},
    )


def complex_fields() -> ps.Problem:
    h = ps.fields("h", x, t)
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"schroedinger": Eq(I * h.diff(t) + h.diff(x, 2) + h * conjugate(h) * h, 0)},
        conditions={"initial": Eq(h(x, 0), 1), "left": Eq(h(0, t), 1), "right": Eq(h(1, t), 1)},
    )


def ansatz() -> ps.Problem:
    u = ps.fields("u", x, t)
    return heat(u, ansatz={u: sin(pi * x) + t * x * (1 - x) * u})


def faces() -> ps.Problem:
    u = ps.fields("u", x, t)
    box = ps.Box({x: (0, 1), t: (0, 1)})
    side = box.face(x, 0) + box.face(x, 1)
    return ps.Problem(
        domain=box,
        equations={"laplace": Eq(ps.laplacian(u, x, t), 0)},
        conditions={
            "side": ps.on(side, Eq(ps.grad(u, x, t).dot(box.normal), 0)),
            "rest": ps.on(box.boundary - side, Eq(ps.grad(u, x, t).dot(box.normal), 0)),
        },
    )


def integral() -> ps.Problem:
    u = ps.fields("u", x, t)
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"memory": Eq(u.diff(t), -Integral(u(x, s), (s, 0, t)))},
        conditions={"initial": Eq(u(x, 0), 1)},
    )


def fewer_coordinates() -> ps.Problem:
    u, a = ps.fields("u", x, t), ps.fields("a", x)
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"growth": Eq(u.diff(t), a * u), "law": Eq(a.diff(x), 1)},
        conditions={"initial": Eq(u(x, 0), 1), "zero": Eq(a(0), 0)},
    )


PROBLEMS = [plain, assumed, inverse, complex_fields, ansatz, faces, integral, fewer_coordinates]


@pytest.mark.parametrize("make", PROBLEMS, ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    "network",
    [
        ps.MLP(width=6, depth=2),
        ps.ResNet(width=4, blocks=1, one_per_field=True),
        ps.ModifiedMLP(width=4, depth=2, factorised=True),
        ps.PirateNet(width=4, blocks=1, fourier=2.0),
    ],
    ids=type,
)
def test_a_loaded_solution_gives_the_same_bits(make: Callable[[], ps.Problem], network: Any, tmp_path: Path) -> None:
    solution = solution_of(make(), network)
    if solution.unknowns:
        with torch.no_grad():
            for raw in solution.trial.unknowns.parameters():
                raw.add_(0.1)
    loaded = ps.load(solution.save(tmp_path / "burgers.solution"))
    names = [f.func.__name__ for f in solution.problem.declared_fields]
    for found, expected in zip(np.atleast_1d(loaded(**PLACES)), np.atleast_1d(solution(**PLACES)), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert loaded.unknowns == solution.unknowns
    assert [f.func.__name__ for f in loaded.problem.declared_fields] == names
    for field in solution.problem.declared_fields:
        slope = field.diff(field.args[0])
        np.testing.assert_array_equal(loaded.evaluate(slope, **PLACES), solution.evaluate(slope, **PLACES))
    for term in solution.problem.terms:
        places = {c.name: PLACES[c.name].ravel()[:7] for c in term.free}
        if term.kind != "data":
            expected = solution.residual(term.name, **places)
            np.testing.assert_array_equal(loaded.residual(term.name, **places), expected)
    assert loaded.network_spec == network and loaded.status == "done" and loaded.message == "untrained"
    assert loaded.errors == {"u": {"relative_l2": 0.5, "max": None}}


@pytest.mark.parametrize("make", PROBLEMS, ids=lambda make: make.__name__)
def test_a_declaration_read_back_is_the_one_written(make: Callable[[], ps.Problem]) -> None:
    problem = make()
    data = json.loads(json.dumps(problem_to_data(problem), allow_nan=False))
    again = problem_from_data(data)
    assert problem_to_data(again) == data
    for name in ("coordinates", "bounds", "declared_fields", "fields", "unknowns", "ansatz", "gauges", "exact"):
        assert getattr(again, name) == getattr(problem, name), name
    for term, expected in zip(again.terms, problem.terms, strict=True):
        assert (term.name, term.group, term.kind, term.residual, term.free) == (
            expected.name,
            expected.group,
            expected.kind,
            expected.residual,
            expected.free,
        )
        assert term.region == expected.region


def test_single_precision_stays_single(tmp_path: Path) -> None:
    solution = solution_of(plain(), dtype=torch.float32)
    loaded = ps.load(solution.save(tmp_path / "s"))
    assert next(loaded.trial.parameters()).dtype == torch.float32
    np.testing.assert_array_equal(loaded(**PLACES), solution(**PLACES))


class Tied(nn.Module):
    """Two layers that share their weight, as a user might write them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(points))).sum(1, keepdim=True)


def test_a_module_of_the_users_is_given_back_for_loading(tmp_path: Path) -> None:
    solution = solution_of(plain(), Tied())
    folder = solution.save(tmp_path / "s")
    with pytest.raises(ArchiveError, match="its network was a module of the user's · give the same module"):
        ps.load(folder)
    np.testing.assert_array_equal(ps.load(folder, network=Tied())(**PLACES), solution(**PLACES))
    with pytest.raises(ArchiveError, match="does not fit"):
        ps.load(folder, network=nn.Linear(2, 1))
    with pytest.raises(ps.ProblemError, match="network"):
        ps.load(folder, network=nn.Linear(2, 5))


def test_a_network_whose_state_is_no_tensor_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    class Extra(Tied):
        def get_extra_state(self) -> Any:
            return {"a": 1}

    with pytest.raises(ps.ProblemError, match=r"its state network\.networks\.0\._extra_state is a dict"):
        solution_of(plain(), Extra()).save(tmp_path / "s")
    assert not (tmp_path / "s").exists()


u = ps.fields("u", x, t)
nu = symbols("nu")


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        (ps.FiniteDifferences(cells={x: 64}, order=6, unknowns={nu: 0.1}, seconds=9.0), True),
        (ps.FiniteDifferences(), True),
        (ps.Exact({u: (0.1 + 0.2) * exp(-t) * sin(pi * x)}, unknowns={nu: 0.1}), True),
        (ps.Exact({u: besselj(0, x)}), False),
        (ps.Observations(at={x: [0.5], t: [0.5]}, values={u: [1.0]}), False),
        (None, False),
    ],
    ids=["grid", "default", "closed form", "closed form without a tree", "observations", "none"],
)
def test_a_reference_that_can_be_stored_comes_back(spec: Any, kept: bool, tmp_path: Path) -> None:
    solution = solution_of(heat(u))
    solution.reference_spec = spec
    found = ps.load(solution.save(tmp_path / "s")).reference_spec
    if kept:
        assert type(found) is type(spec) and found.unknowns == spec.unknowns
        assert getattr(found, "cells", None) == getattr(spec, "cells", None)
        assert getattr(found, "order", None) == getattr(spec, "order", None)
        if isinstance(spec, ps.Exact):
            assert list(found.fields.values()) == list(spec.fields.values())
    else:
        assert found is None


@pytest.mark.parametrize("key", [u, Function("u"), u.func], ids=["applied", "plain", "of fields"])
def test_a_closed_form_keeps_its_field_however_the_field_was_named(key: Any, tmp_path: Path) -> None:
    from pinnsolve.reference.solve import solve_reference

    solution = solution_of(heat(u))
    solution.reference_spec = ps.Exact({key: x + t})
    loaded = ps.load(solution.save(tmp_path / "s"))
    reference = solve_reference(loaded.problem, loaded.reference_spec, unknowns={})
    np.testing.assert_allclose(reference.values["u"], reference.points.sum(axis=1))


def test_saving_again_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    solution_of(plain()).save(tmp_path / "s")
    second = solution_of(assumed())
    second.save(tmp_path / "s")
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["model.json", "model.safetensors"]
    np.testing.assert_array_equal(ps.load(tmp_path / "s")(**PLACES), second(**PLACES))


def test_numbers_that_json_lacks_become_null() -> None:
    data = {"a": [1.0, float("nan")], "b": (float("inf"), {"c": -float("inf")}), "d": "text", "e": 3}
    assert finite(data) == {"a": [1.0, None], "b": [None, {"c": None}], "d": "text", "e": 3}


def test_unknowns_start_at_their_values_and_keep_their_sign() -> None:
    a, b, c = symbols("a", positive=True), symbols("b", negative=True), symbols("c")
    unknowns = Unknowns({a: 1e-3, b: -7e8, c: 0.0}, dtype=torch.float64, device="cpu")
    assert unknowns.values() == {"a": 1e-3, "b": -7e8, "c": 0.0}
    with torch.no_grad():
        for raw in unknowns.parameters():
            raw.sub_(50.0)
    found = unknowns.values()
    assert 0 < found["a"] < 1e-20 and -1e-10 < found["b"] < 0 and found["c"] == -50.0


def test_a_description_without_later_options_is_still_read(tmp_path: Path) -> None:
    solution = solution_of(plain(), ps.MLP(width=6, depth=2))
    folder = solution.save(tmp_path / "s")
    description = json.loads((folder / "model.json").read_bytes())
    for option in ("harmonics", "fourier", "factorised"):
        del description["network"][option]
    del description["sha256"]
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
    np.testing.assert_array_equal(ps.load(folder)(**PLACES), solution(**PLACES))

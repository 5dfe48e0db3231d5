"""What several test files share: one thread, figures without a screen, and solutions whose fields are known functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

# Everyday runs try the same examples everywhere; `--hypothesis-profile default` looks for new ones.
settings.register_profile("everyday", derandomize=True, deadline=None)
settings.load_profile("everyday")

Columns = Sequence[Any]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Small tensors gain nothing from threads, and several test runs may share a machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, after three steps, of a problem that has something of everything that is stored; beside it its solution, `stored`."""
    from sympy import Eq, exp, symbols

    import pinnsolve as ps

    t, k = symbols("t k")
    q = ps.fields("q", t)
    path = tmp_path_factory.mktemp("begun") / "run"
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations={"decay": Eq(q.diff(t), -k * q)},
        conditions={"start": Eq(q(0), 1)},
        unknowns={k: 0.5},
        data={"sensor": ps.Observations(at={t: [0.5, 0.7]}, values={q: [0.5, 0.3]})},
        hard=False,
    )
    training = ps.Training(points={"decay": 16}, phases=[ps.LBFGS(9, history=3)], resample=2, weighting=ps.Causal(t))
    network, truth, limits = ps.MLP(width=4, depth=1), ps.Exact({q: exp(-t)}), ps.Limits(steps=3)
    solution = ps.solve(problem, network, training, truth, out=path, limits=limits, plots=False)
    solution.save(path.parent / "stored")
    return path


@pytest.fixture(scope="session")
def known_module() -> Callable[..., Any]:
    """Make a module from functions of the coordinate columns, one for each field; its only weight is a factor of 1."""
    from torch import Tensor, cat, float64, nn, ones

    class Known(nn.Module):
        def __init__(self, *functions: Callable[..., Tensor]) -> None:
            super().__init__()
            self.functions = functions
            self.factor = nn.Parameter(ones((), dtype=float64))

        def forward(self, points: Tensor) -> Tensor:
            columns = [points[:, k : k + 1] for k in range(points.shape[1])]
            return self.factor * cat([function(*columns) for function in self.functions], 1)

    return Known


@pytest.fixture(scope="session")
def known(known_module: Callable[..., Any]) -> Callable[..., Any]:
    """Make a solution whose real fields are given functions of the coordinates, in the problem's order."""
    from torch import float64

    from pinnsolve.compiler.trial import build_trial
    from pinnsolve.solution import Solution

    def make(problem: Any, *functions: Callable[..., Any]) -> Solution:
        trial = build_trial(problem, known_module(*functions), seed=0, dtype=float64, device="cpu")
        return Solution(problem, trial, None, {"status": "done", "message": "known", "errors": {}})

    return make

"""Saddle points: every scheme against the matrix that it is on a rotation, what clipping does and does not, and refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pinnsolve.errors import ProblemError
from pinnsolve.training.decays import Exponential, Plateau, constant
from pinnsolve.training.first_order import FirstOrder
from pinnsolve.training.optimizers import SGD, Adam
from pinnsolve.training.saddle_points import SCHEMES, Game, SaddlePoint, SaddleResult, find_saddle
from pinnsolve.training.status import Status


def number(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value], dtype=torch.float64))


def descent(steps: int, lr: float, **more: Any) -> SGD:
    return SGD(steps, lr, momentum=0, **{"decay": constant, **more})


def rotate(search: SaddlePoint, start: tuple[float, float] = (1.0, 0.0)) -> tuple[np.ndarray, SaddleResult]:
    """Play f = x y and return all (x, y), shape (rounds, 2)."""
    x, y = (number(value) for value in start)
    path: list[tuple[float, float]] = []
    found = find_saddle(
        Game([x], [y], lambda: x @ y),
        search,
        observers=[lambda *_: path.append((float(x.detach()), float(y.detach())))],
    )
    return np.array(path), found


def matrix(scheme: str, lr: float) -> np.ndarray:
    """The linear map of a round on (x, y) of f = x y: simultaneous, alternating and extragradient ones."""
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])  # (f_x, -f_y) = (y, -x)
    eye = np.eye(2)
    if scheme == "alternating":
        return np.array([[1, 0], [lr, 1]]) @ np.array([[1, -lr], [0, 1]])
    return eye - lr * turn @ (eye - lr * turn if scheme == "extragradient" else eye)


@pytest.mark.parametrize("scheme", ["simultaneous", "alternating", "extragradient"])
@pytest.mark.parametrize("lr", [0.1, 0.7])
def test_a_round_is_the_map_that_the_formula_says(scheme: str, lr: float) -> None:
    path, found = rotate(SaddlePoint(descent(20, lr), scheme=scheme), (0.6, -0.8))
    expected, z = [], np.array([0.6, -0.8])
    for _ in range(20):
        z = matrix(scheme, lr) @ z
        expected.append(z)
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-14)
    assert found.status is Status.STEPS and found.payoffs[0] == pytest.approx(-0.48)
    np.testing.assert_allclose([float(m) for m in found.means], np.mean(expected, axis=0), rtol=1e-11, atol=1e-14)


def test_optimism_is_a_recurrence_of_two_terms() -> None:
    lr, turn = 0.3, np.array([[0.0, 1.0], [-1.0, 0.0]])
    path, _ = rotate(SaddlePoint(descent(30, lr), scheme="optimistic"))
    z, before = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    for point in path:
        z, before = z - lr * turn @ (2 * z - before), z
        np.testing.assert_allclose(point, z, rtol=1e-11, atol=1e-13)


def test_the_radius_changes_by_the_known_factors() -> None:
    lr, rounds = 0.1, 400
    radius = {s: np.hypot(*rotate(SaddlePoint(descent(rounds, lr), scheme=s))[0].T) for s in SCHEMES}
    assert radius["simultaneous"][-1] == pytest.approx((1 + lr**2) ** (rounds / 2), rel=1e-9)
    assert radius["extragradient"][-1] == pytest.approx((1 - lr**2 + lr**4) ** (rounds / 2), rel=1e-9)
    assert radius["alternating"].min() > 0.94 and radius["alternating"].max() < 1.06
    roots = np.roots([1, -(1 - 2j * lr), -1j * lr])  # of the recurrence, with i for the turn
    assert radius["optimistic"][-1] == pytest.approx(abs(roots).max() ** rounds, rel=0.05)


def test_clipped_gradients_go_on_spiralling_out_and_only_slower() -> None:
    """Of clipped gradients |x| + |y| is what a turn keeps, in the limit of small steps, where both are longer than the clip."""
    size = {}
    for clip, scheme in ((None, "simultaneous"), (0.1, "simultaneous"), (0.1, "alternating")):
        path, _ = rotate(SaddlePoint(descent(1_500, 0.1, clip=clip), scheme=scheme))
        size[clip, scheme] = np.abs(path).sum(axis=1)
    assert size[None, "simultaneous"][-1] > 1e3
    assert size[0.1, "simultaneous"].min() > 0.98 and 1.1 < size[0.1, "simultaneous"][-1] < 1.5
    assert size[0.1, "alternating"].min() > 0.9 and size[0.1, "alternating"].max() < 1.1


@pytest.mark.parametrize(("lr", "ascent_lr", "ascents"), [(0.1, 0.1, 1), (0.1, 1.0, 1), (0.1, 0.05, 5)])
def test_a_bound_on_the_maximiser_leaves_the_ellipse_that_fits_it(lr: float, ascent_lr: float, ascents: int) -> None:
    """x² / η + y² / (n η') is kept by the rotation in the box |y| <= b: x ends by turning within b sqrt(η / (n η'))."""
    bound = 0.1
    search = SaddlePoint(descent(1_000, lr), ascent_lr=ascent_lr, ascents=ascents, bound=bound)
    path, _ = rotate(search)
    assert np.abs(path[:, 1]).max() <= bound
    assert np.abs(path[-300:, 0]).max() == pytest.approx(bound * math.sqrt(lr / (ascents * ascent_lr)), rel=0.05)
    free, _ = rotate(SaddlePoint(descent(1_000, lr), ascent_lr=ascent_lr, ascents=ascents))
    assert np.abs(free[-300:, 0]).max() > 0.9


@pytest.mark.parametrize("scheme", ["simultaneous", "alternating"])
def test_a_bound_that_narrows_turns_the_rotation_into_convergence(scheme: str) -> None:
    narrowing = Exponential(floor=1e-3, warm=0)
    path, _ = rotate(SaddlePoint(descent(1_500, 0.1), scheme=scheme, bound=0.1, narrowing=narrowing))
    assert np.abs(path[-100:]).max() < 5e-4


@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_schemes_find_the_saddle_of_a_payoff_that_is_convex_and_concave(scheme: str) -> None:
    """f = x' A x / 2 + x' B y - y' C y / 2 + a'x + b'y, whose saddle solves a linear system."""
    generator = np.random.default_rng(0)
    a, c = np.diag([1.0, 2.0, 3.0]), np.diag([1.0, 1.5])
    b, p, q = generator.normal(size=(3, 2)), generator.normal(size=3), generator.normal(size=2)
    expected = np.linalg.solve(np.block([[a, b], [b.T, -c]]), -np.concatenate([p, q]))
    x, y = (nn.Parameter(torch.zeros(size, dtype=torch.float64)) for size in (3, 2))
    ta, tb, tc, tp, tq = (torch.as_tensor(m) for m in (a, b, c, p, q))

    def payoff() -> torch.Tensor:
        return x @ ta @ x / 2 + x @ tb @ y - y @ tc @ y / 2 + tp @ x + tq @ y

    find_saddle(Game([x], [y], payoff), SaddlePoint(descent(400, 0.1), scheme=scheme))
    np.testing.assert_allclose(np.concatenate([x.detach(), y.detach()]), expected, rtol=1e-8)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_first_order_optimizer_moves_the_sides(scheme: str) -> None:
    x, y = number(1.0), number(0.5)
    game = Game([x], [y], lambda: (x @ x - y @ y) / 2 + x @ y)
    find_saddle(game, SaddlePoint(Adam(600, 2e-2, decay=Exponential()), scheme=scheme))
    assert float(x.detach().abs() + y.detach().abs()) < 2e-3


def test_one_side_alone_is_what_the_optimizer_does_by_itself() -> None:
    """A payoff without y leaves Adam on x: compared with torch's."""
    x, y, twin = number(3.0), number(0.0), number(3.0)
    find_saddle(Game([x], [y], lambda: (x**4).sum() + 0 * y.sum()), SaddlePoint(Adam(30, 0.05, decay=constant)))
    optimizer = torch.optim.Adam([twin], lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        (twin**4).sum().backward()
        optimizer.step()
    torch.testing.assert_close(x, twin, rtol=1e-12, atol=0)


def test_points_are_redrawn_when_the_optimizer_asks_and_observers_can_end_it() -> None:
    x, y = number(1.0), number(0.0)
    redrawn: list[int] = []

    def look(rounds: int, payoff: float) -> None:
        if rounds == 7:
            raise StopIteration

    search = SaddlePoint(descent(20, 0.1, resample=3))
    found = find_saddle(Game([x], [y], lambda: x @ y), search, observers=[look], redraw=redrawn.append)
    assert redrawn == [3, 6] and found.status is Status.STOPPED and len(found.payoffs) == 7
    with pytest.raises(ValueError, match="redraw"):
        find_saddle(Game([x], [y], lambda: x @ y), search)


def test_a_payoff_that_is_not_finite_ends_the_search_at_the_state_before() -> None:
    x, y = number(1.0), number(1.0)
    found = find_saddle(
        Game([x], [y], lambda: (x * y * y).sum() ** 3), SaddlePoint(descent(50, 5.0), scheme="simultaneous")
    )
    assert found.status is Status.DIVERGED and len(found.payoffs) < 50
    assert math.isfinite(float(x.detach())) and math.isfinite(float(y.detach()))


@pytest.mark.parametrize(
    ("found", "make"),
    [
        ("scheme='both'", lambda: SaddlePoint(descent(1, 0.1), scheme="both")),
        ("ascents=2", lambda: SaddlePoint(descent(1, 0.1), scheme="optimistic", ascents=2)),
        ("ascents=0", lambda: SaddlePoint(descent(1, 0.1), ascents=0)),
        ("bound=-1", lambda: SaddlePoint(descent(1, 0.1), bound=-1)),
        ("ascent_lr=0", lambda: SaddlePoint(descent(1, 0.1), ascent_lr=0)),
        ("Plateau", lambda: SaddlePoint(descent(1, 0.1, decay=Plateau()))),
        ("l1, l2", lambda: SaddlePoint(descent(1, 0.1, l2=1e-3))),
        ("optimizer='adam'", lambda: SaddlePoint("adam")),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_written(found: str, make: Any) -> None:
    with pytest.raises(ProblemError, match=found):
        make()


def test_a_side_without_parameters_is_refused() -> None:
    assert issubclass(SGD, FirstOrder)
    with pytest.raises(ValueError, match="nothing to move"):
        Game([], [number(1.0)], lambda: torch.zeros(()))

"""Overlap of shapes: the measures against counting, the residual against the loss, small shapes, and the IoU of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, symbols
from torch import Tensor, nn

import pinnsolve as ps
from pinnsolve.comparison import compare
from pinnsolve.reference.measured import measured_reference
from pinnsolve.training.loop import train
from pinnsolve.training.objective import Objective
from pinnsolve.training.optimizers import Adam
from pinnsolve.training.overlap import overlap_residual, soft_dice, soft_iou
from pinnsolve.training.quasi_newton import BFGS


def shapes(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(50, generator=generator, dtype=torch.float64) for _ in range(2))  # type: ignore[return-value]


def test_of_sets_they_are_what_counting_gives() -> None:
    found, sought = ((part > 0.6) for part in shapes())
    both, either = int((found & sought).sum()), int((found | sought).sum())
    assert float(soft_iou(found.double(), sought.double())) == pytest.approx(both / either)
    assert float(soft_dice(found.double(), sought.double())) == pytest.approx(
        2 * both / int(found.sum() + sought.sum())
    )


def test_of_numbers_they_are_their_definitions_and_lie_between_0_and_1() -> None:
    p, q = shapes()
    product, squares = float(p @ q), float(p @ p + q @ q)
    assert float(soft_iou(p, q)) == pytest.approx(product / (squares - product), rel=1e-12)
    assert float(soft_dice(p, q)) == pytest.approx(2 * product / squares, rel=1e-12)
    assert float(soft_iou(p, p)) == 1 == float(soft_dice(q, q))
    empty = torch.zeros(4, dtype=torch.float64)
    assert float(soft_iou(empty, empty)) == 1 and float(soft_iou(empty, empty + 1)) == 0


@pytest.mark.parametrize(("measure", "of"), [("iou", soft_iou), ("dice", soft_dice)])
def test_the_mean_square_of_the_residual_is_the_loss_and_has_its_gradient(measure: str, of: Any) -> None:
    p, q = shapes()
    p.requires_grad_()
    loss = overlap_residual(p, q, measure=measure).square().mean()
    assert float(loss.detach()) == pytest.approx(1 - float(of(p.detach(), q)), rel=1e-12)
    (one,) = torch.autograd.grad(loss, p)
    assert torch.allclose(one, torch.autograd.grad(1 - of(p, q), p)[0], rtol=1e-10)
    assert torch.autograd.gradcheck(lambda x: overlap_residual(x, q, measure=measure), (p,))


def test_another_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="iou, dice"):
        overlap_residual(*shapes(), measure="hausdorff")


class Disk(nn.Module):
    """A disk with a soft edge; its place and radius are to be found, from a place where it does not touch the shape sought."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor([0.3, 0.3], dtype=torch.float64))
        self.radius = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, points: Tensor) -> Tensor:
        return torch.sigmoid((self.radius - (points[:, :2] - self.place).norm(dim=1)) / 0.02)


def recovered(loss: str) -> float:
    """Find a disk of a hundredth of the square in an image that lost three tenths of it; return its IoU with the truth."""
    axis = torch.linspace(0, 1, 64, dtype=torch.float64)
    points = torch.stack([g.reshape(-1) for g in torch.meshgrid(axis, axis, indexing="ij")], 1)
    truth = ((points - torch.tensor([0.55, 0.5])).norm(dim=1) < 0.06).double()
    seen = truth * (torch.rand(len(truth), generator=torch.Generator().manual_seed(1)) < 0.7)
    module = Disk()

    def terms(sets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        p, q = module(sets["image"]), sets["image"][:, 2]
        return {"image": p - q if loss == "squares" else overlap_residual(p, q, measure=loss)}

    image = torch.cat([points, seen[:, None]], 1)
    train(Objective(module, terms, {"image": image}), [Adam(steps=250, lr=1e-2), BFGS(steps=40)])
    with torch.no_grad():
        return float(soft_iou((module(points) > 0.5).double(), truth))


def test_a_small_shape_keeps_its_size_by_its_overlap_and_shrinks_by_squares() -> None:
    found = {loss: recovered(loss) for loss in ("iou", "dice", "squares")}
    print("\nIoU with the truth:", ", ".join(f"{value:.2f} by {loss}" for loss, value in found.items()))
    assert min(found["iou"], found["dice"]) > 0.8 and found["squares"] < 0.6


x, y = symbols("x y")
s, u = ps.fields("s u", x, y)


def test_a_reference_of_zeros_and_ones_is_compared_as_a_shape(known: Any) -> None:
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), y: (0, 1)}),
        equations={"balance": Eq(u.diff(x, 2) + u.diff(y, 2), s * u)},
        conditions={"edge": ps.on(ps.Box({x: (0, 1), y: (0, 1)}).boundary, Eq(u, 1))},
        data={"inside": ps.Observations(at={x: [0.5], y: [0.5]}, values={s: [1.0]})},
    )
    names = [f.func.__name__ for f in problem.fields]
    place = {"u": lambda x, y: 1 + 0 * x, "s": lambda x, y: torch.sigmoid(40 * (0.5 - x))}
    solution = known(problem, *(place[name] for name in names))
    xs, ys = (axis.ravel() for axis in np.meshgrid(*[(np.arange(20) + 0.5) / 20] * 2))
    truth = {x: xs, y: ys}
    shape = ps.Observations(at=truth, values={s: (xs < 0.6).astype(float)})
    errors = compare(solution, measured_reference(solution.problem, shape))
    assert errors["s"]["iou"] == pytest.approx(0.5 / 0.6)
    smooth = ps.Observations(at=truth, values={s: xs})
    assert "iou" not in compare(solution, measured_reference(solution.problem, smooth))["s"]

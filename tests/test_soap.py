"""SOAP: against algorithm 3 written out in NumPy, against Adam where the two must agree, and where it must win."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pinnsolve.training import soap
from pinnsolve.training.decays import constant
from pinnsolve.training.first_order import FirstOrder
from pinnsolve.training.objective import Objective
from pinnsolve.training.optimizers import Adam
from pinnsolve.training.soap import SOAP

Array = NDArray[np.float64]


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def least_squares(left: Tensor, right: Tensor, *shape: int) -> Objective:
    """|A (W - T) B|² / N: the curvature is the Kronecker product of A'A and BB'. W may be stored in another shape."""
    rows, columns = left.shape[1], right.shape[0]
    target = random(rows, columns, seed=3)
    weight = nn.Parameter(torch.zeros(*(shape or (rows, columns)), dtype=torch.float64))
    module = nn.ParameterDict({"weight": weight})
    return Objective(module, lambda _: {"r": (left @ (weight.flatten(1) - target) @ right).flatten()}, {})


def stretched(size: int, condition: float, *, seed: int) -> Tensor:
    """A symmetric matrix whose eigenvalues go down from 1 to 1 / condition along random directions."""
    basis = torch.linalg.qr(random(size, size, seed=seed)).Q
    return basis @ torch.logspace(0, -math.log10(condition), size, dtype=torch.float64).diag() @ basis.T


def bent(objective_seed: int = 0) -> Objective:
    """A layer with matrix and biases, as in a network."""
    inputs, values = random(9, 4, seed=objective_seed), random(9, 4, seed=objective_seed + 1)
    module = nn.Linear(4, 4, dtype=torch.float64)
    with torch.no_grad():
        module.weight.copy_(random(4, 4, seed=5))
        module.bias.zero_()
    return Objective(module, lambda _: {"r": (torch.tanh(module(inputs)) - values).flatten()}, {})


def lowest(objective: Objective, phase: FirstOrder) -> float:
    stepper = phase.start(objective)
    return min(stepper.step(objective).loss for _ in range(phase.steps))


def followed(gram: Array, basis: Array) -> tuple[Array, NDArray[np.intp]]:
    """Algorithm 4, with the columns in the order of their eigenvalues."""
    order = np.argsort(-np.diag(basis.T @ gram @ basis))
    return np.linalg.qr(gram @ basis[:, order])[0], order


def algorithm_3(objective: Objective, phase: SOAP) -> Array:
    """Vyas et al. (2024), algorithm 3 with the bias correction of Adam; the mean is kept unturned, as printed there.

    Before the first gradient the bases are unknown: the first move is Adam's.
    """
    (b1, b2), lr, f = phase.betas, phase.lr, phase.precondition
    w, bias = objective.vector.numpy()[:16].reshape(4, 4), objective.vector.numpy()[16:]
    m, v, left, right = (np.zeros((4, 4)) for _ in range(4))
    q, p = np.eye(4), np.eye(4)
    mean, square = np.zeros(4), np.zeros(4)
    for t in range(1, phase.steps + 1):
        flat = objective.evaluate(torch.from_numpy(np.concatenate([w.ravel(), bias]))).gradient.numpy()
        g, h = flat[:16].reshape(4, 4), flat[16:]
        c1, c2 = 1 - b1**t, 1 - b2**t
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * (q.T @ g @ p) ** 2
        w = w - lr * q @ ((q.T @ m @ p / c1) / (np.sqrt(v / c2) + phase.eps)) @ p.T
        mean, square = b1 * mean + (1 - b1) * h, b2 * square + (1 - b2) * h**2
        bias = bias - lr * (mean / c1) / (np.sqrt(square / c2) + phase.eps)
        left, right = b2 * left + (1 - b2) * g @ g.T, b2 * right + (1 - b2) * g.T @ g
        if t == 1:
            q, p = np.linalg.eigh(left)[1], np.linalg.eigh(right)[1]
            v = (1 - b2) * (q.T @ g @ p) ** 2
        elif t % f == 0:
            (q, rows), (p, columns) = followed(left, q), followed(right, p)
            v = v[rows][:, columns]
    return np.concatenate([w.ravel(), bias])


@pytest.mark.parametrize("precondition", [1, 2, 7])
def test_it_goes_where_algorithm_3_goes(precondition: int) -> None:
    phase = SOAP(40, 1e-2, betas=(0.9, 0.97), decay=constant, precondition=precondition)
    objective = bent()
    stepper = phase.start(objective)
    for _ in range(phase.steps):
        stepper.step(objective)
    assert np.allclose(objective.vector.numpy(), algorithm_3(bent(), phase), rtol=0, atol=1e-9)


def test_in_the_identity_basis_it_is_adam(monkeypatch: pytest.MonkeyPatch) -> None:
    # A basis that is never updated stays the identity.
    monkeypatch.setattr(soap._SOAPRule, "_refresh", lambda *_, **__: None)
    ours, other = bent(), bent()
    steppers = SOAP(60, betas=(0.9, 0.99)).start(ours), Adam(60, 1e-2, betas=(0.9, 0.99)).start(other)
    for _ in range(60):
        for stepper, objective in zip(steppers, (ours, other), strict=True):
            stepper.step(objective)
    assert torch.allclose(ours.vector, other.vector, rtol=1e-13, atol=1e-13)


def test_vectors_are_moved_by_adam() -> None:
    def valley() -> Objective:
        x = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
        return Objective(nn.ParameterDict({"x": x}), lambda _: {"v": 10 * (x[1:] - x[:-1] ** 2), "w": 1 - x}, {})

    ours, other = valley(), valley()
    first, second = SOAP(50, betas=(0.9, 0.99)).start(ours), Adam(50, 1e-2, betas=(0.9, 0.99)).start(other)
    for _ in range(50):
        first.step(ours)
        second.step(other)
    assert torch.allclose(ours.vector, other.vector, rtol=1e-14, atol=0)


@pytest.mark.parametrize("condition", [10.0, 100.0])
def test_on_kronecker_structured_curvature_it_beats_adam_at_any_rate(condition: float) -> None:
    left, right = stretched(8, condition, seed=1), stretched(6, condition, seed=2)
    adam = min(
        lowest(least_squares(left, right), Adam(500, lr, betas=betas))
        for lr in (1e-2, 3e-2, 1e-1, 3e-1)
        for betas in ((0.9, 0.999), (0.95, 0.95))
    )
    ours = lowest(least_squares(left, right), SOAP(500, 3e-2, betas=(0.9, 0.999)))
    assert ours < 1e-2 * adam
    assert lowest(least_squares(left, right), SOAP(500)) < (1e-1 if condition == 100 else 1e2) * adam


def test_further_dimensions_count_as_columns() -> None:
    left, right = stretched(4, 10, seed=1), stretched(6, 10, seed=2)
    flat, deep = least_squares(left, right), least_squares(left, right, 4, 2, 3)
    assert lowest(flat, SOAP(30)) == lowest(deep, SOAP(30))
    assert torch.equal(flat.vector, deep.vector)


@pytest.mark.parametrize("shape", [(6, 6), (1, 5), (5, 1), (7, 2)])
def test_bases_are_orthonormal_in_float32_however_few_directions_the_gradients_have(shape: tuple[int, int]) -> None:
    rows, columns = shape
    inputs, values = random(40, columns, seed=1).float(), random(40, rows, seed=2).float()
    module = nn.Linear(columns, rows)
    objective = Objective(module, lambda _: {"r": (torch.tanh(module(inputs)) - values).flatten()}, {})
    stepper = SOAP(300, precondition=1).start(objective)
    losses = [stepper.step(objective).loss for _ in range(300)]
    bases = [torch.as_tensor(value) for name, value in stepper.state().items() if name.endswith("basis")]
    assert sorted(map(len, bases)) == sorted(shape)
    for basis in bases:
        assert torch.allclose(basis.T @ basis, torch.eye(len(basis)), atol=1e-5)
    assert losses[-1] < losses[0]


def test_power_iteration_finds_the_eigenvectors_in_falling_order() -> None:
    gram = stretched(5, 1e3, seed=4)
    side = soap._Side(gram, torch.eye(5, dtype=torch.float64))
    errors = []
    for _ in range(12):
        side.follow()
        image = side.basis.T @ gram @ side.basis
        errors.append(float((image - image.diagonal().diag()).norm()))
    assert errors[-1] < 1e-8 and torch.allclose(image.diagonal(), torch.linalg.eigvalsh(gram).flip(0))
    # Off the diagonal the largest entry falls by the ratio of two neighbouring eigenvalues, 10^(-3/4), at every step.
    assert errors[-1] / errors[-2] == pytest.approx(10**-0.75, rel=0.05)

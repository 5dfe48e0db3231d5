"""Weights and matrices of finite differences: exact on polynomials, of the order asked for on sines."""

from __future__ import annotations

import numpy as np
import pytest

from pinnsolve.reference.finite_differences import Axis, derivative_rows, weights


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_weights_differentiate_polynomials_exactly(order: int) -> None:
    nodes = np.array([0.1, 0.35, 0.4, 0.8, 1.3, 1.5, 2.0])
    for degree in range(len(nodes)):
        polynomial = np.polynomial.Polynomial.basis(degree)
        expected = polynomial.deriv(order)(0.77) if order else polynomial(0.77)
        assert weights(nodes, 0.77, order=order) @ polynomial(nodes) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_weights_are_the_textbook_formulas() -> None:
    five = np.arange(-2.0, 3.0)
    np.testing.assert_allclose(12 * weights(five, 0.0, order=1), [1, -8, 0, 8, -1], atol=1e-12)
    np.testing.assert_allclose(12 * weights(five, 0.0, order=2), [-1, 16, -30, 16, -1], atol=1e-12)


@pytest.mark.parametrize("accuracy", [2, 4])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("places", ["nodes", "midpoints", "anywhere"])
def test_rows_have_the_order_asked_for_up_to_the_ends(order: int, accuracy: int, places: str) -> None:
    errors = []
    for cells in (40, 80):
        axis = Axis(-1.0, 2.0 / cells, cells + 1)
        at = {"nodes": axis.nodes, "midpoints": axis.midpoints.nodes, "anywhere": axis.nodes[:-1] + 0.3 * axis.spacing}[
            places
        ]
        rows = derivative_rows(axis, at, order=order, accuracy=accuracy)
        errors.append(
            np.abs(rows @ np.sin(3 * axis.nodes + 1) - 3**order * np.sin(3 * at + 1 + order * np.pi / 2)).max()
        )
    assert np.log2(errors[0] / errors[1]) > accuracy - 0.3


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_periodic_rows_see_no_ends(order: int) -> None:
    errors = []
    for cells in (32, 64):
        axis = Axis(0.5, 2 * np.pi / cells, cells, periodic=True)
        rows = derivative_rows(axis, axis.nodes, order=order, accuracy=4)
        errors.append(np.abs(rows @ np.sin(axis.nodes) - np.sin(axis.nodes + order * np.pi / 2)).max())
        assert np.abs(rows @ np.ones(cells)).max() < 1e-12 / axis.spacing**order
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.05)


def test_too_few_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        derivative_rows(Axis(0.0, 1.0, 4), np.zeros(1), order=2, accuracy=4)

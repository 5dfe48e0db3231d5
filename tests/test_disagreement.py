"""Seeded mistakes in the referee or in the player: each makes trained network and reference disagree, far beyond their errors.

The two share nothing but the declaration, so that a mistake in either one shows as a difference. One in the declaration itself
does not, and no test of this kind could see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sympy import Eq, Expr, Rational, cos, exp, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.comparison import compare, estimate, verdict
from pinnsolve.compiler import compile as compiler
from pinnsolve.compiler import lowering
from pinnsolve.declaration.terms import Term
from pinnsolve.jets import elementary
from pinnsolve.jets.series import Riccati
from pinnsolve.reference import finite_differences, method_of_lines
from pinnsolve.reference import solve as referee
from pinnsolve.reference.reading import Reading
from pinnsolve.reference.result import Reference

x, t = symbols("x t")
u = ps.fields("u", x, t)
SOURCE = exp(-t) * sin(3 * x)

PROBLEM = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 1)}),
    equations={"heat": Eq(u.diff(t), ((1 + x) * u.diff(x)).diff(x) / 10 + u.diff(x) / 2 - u + SOURCE)},
    conditions={
        "initial": Eq(u(x, 0), cos(pi * x / 2)),
        "left": Eq(u(0, t), 1),
        "right": Eq(u.diff(x).subs(x, 1) + u(1, t), -pi / 2),
    },
)
NETWORK = ps.MLP(width=10, depth=2, activation="tanh")
TRAINING = ps.Training(points={"heat": 400}, phases=[ps.Adam(steps=100, lr=5e-3), ps.LevenbergMarquardt(steps=30)])

FAR = 10.0
"""How many times larger than without the mistake an error must be, beside being worse than that of the reference."""

Patch = Callable[[pytest.MonkeyPatch], None]


def played() -> ps.Solution:
    """A network trained by the player as it is now; what it is compared with comes later."""
    later = ps.Observations(at={x: [0.0], t: [0.0]}, values={u: [1.0]})
    return ps.solve(PROBLEM, NETWORK, TRAINING, later, plots=False, compile="off")


def refereed() -> Reference:
    """The solution by the referee as it is now, on grids that need no second."""
    return referee.solve_reference(PROBLEM, ps.FiniteDifferences(cells={x: 64}), unknowns={})


@pytest.fixture(scope="module")
def network() -> ps.Solution:
    return played()


@pytest.fixture(scope="module")
def truth() -> Reference:
    return refereed()


# Mistakes of the player: what is trained is another problem.


def in_terms(change: Callable[[Term], Expr]) -> Patch:
    """Compile another residual for a term than the declared one."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = compiler.compile_term
        monkeypatch.setattr(
            compiler, "compile_term", lambda term, problem: right(replace(term, residual=change(term)), problem)
        )

    return patch


def without_reaction(term: Term) -> Expr:
    return term.residual - u if term.kind == "equation" else term.residual


def with_the_other_source(term: Term) -> Expr:
    return term.residual + 2 * SOURCE if term.kind == "equation" else term.residual


def at_the_other_end(term: Term) -> Expr:
    return u.diff(x).subs(x, 0) + u(1, t) + pi / 2 if term.name == "right" else term.residual


def wrong_ansatz(monkeypatch: pytest.MonkeyPatch) -> None:
    right = lowering.substitute

    def doubled(expression: Expr, ansatz: Mapping[Any, Expr]) -> Expr:
        return right(expression, {f: form + form.xreplace({f: 0}) * Rational(1, 5) for f, form in ansatz.items()})

    monkeypatch.setattr(lowering, "substitute", doubled)


def wrong_jet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementary, "TANH", Riccati(elementary._tanh, 1.0, 0.0, 1.0))


PLAYER: dict[str, Patch] = {
    "a term that is dropped": in_terms(without_reaction),
    "a source with the other sign": in_terms(with_the_other_source),
    "a slope taken at the other end": in_terms(at_the_other_end),
    "an ansatz that misses the values": wrong_ansatz,
    "tanh with the slope 1 + y^2": wrong_jet,
}

# Mistakes of the referee: what is solved on the grids is another problem.


def in_readings(change: Callable[[Reading], Reading]) -> Patch:
    """Read the declared terms in another way."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = referee.read
        monkeypatch.setattr(referee, "read", lambda *given: tuple(change(reading) for reading in right(*given)))

    return patch


def scaled(order: tuple[int, int], factor: Any, kind: str) -> Callable[[Reading], Reading]:
    """Multiply a derivative by a factor: -1 flips its sign, 0 drops it."""

    def change(reading: Reading) -> Reading:
        symbols = {s: factor * s for slot, s in reading.slots.items() if slot.orders == order and reading.kind == kind}
        return replace(reading, expression=reading.expression.xreplace(symbols))

    return change


def with_ends_swapped(reading: Reading) -> Reading:
    if reading.name not in ("left", "right"):
        return reading
    slots = {replace(slot, places=tuple((c, 1 - v) for c, v in slot.places)): s for slot, s in reading.slots.items()}
    return replace(reading, slots=slots, places={c: 1 - v for c, v in reading.places.items()})


def in_stencil(factors: Any) -> Patch:
    """Multiply the weights -1/12, 16/12, -30/12, 16/12, -1/12 of the second derivative."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        right = finite_differences.weights

        def weights(nodes: np.ndarray, place: float, *, order: int) -> np.ndarray:
            found = right(nodes, place, order=order)
            return np.asarray(found * factors) if order == 2 and len(found) == 5 else found

        monkeypatch.setattr(finite_differences, "weights", weights)

    return patch


def wrong_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    right = method_of_lines._moving
    monkeypatch.setattr(method_of_lines, "_moving", lambda law: 2 * right(law))


REFEREE: dict[str, Patch] = {
    "a slope with the other sign": in_readings(scaled((1, 0), -1, "equation")),
    "a reaction that is dropped": in_readings(scaled((0, 0), 0, "equation")),
    "a flux condition with the normal inwards": in_readings(scaled((1, 0), -1, "condition")),
    "conditions of the two ends swapped": in_readings(with_ends_swapped),
    "a stencil with another denominator": in_stencil(12 / 14),
    "a rate that counts twice": wrong_rate,
}


def said(solution: ps.Solution, reference: Reference) -> tuple[float, str]:
    error, own = compare(solution, reference)["u"]["relative_l2"], estimate(solution, reference)
    return error, verdict(error, own)


def test_without_a_mistake_they_agree(network: ps.Solution, truth: Reference) -> None:
    error, _ = said(network, truth)
    assert error < 2e-3
    assert network.defect().errors["u"]["relative_l2"] == pytest.approx(error, rel=0.05)


@pytest.mark.thorough
@pytest.mark.parametrize("name", PLAYER)
def test_a_mistake_of_the_player_is_noticed(
    name: str, network: ps.Solution, truth: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, _ = said(network, truth)
    PLAYER[name](monkeypatch)
    solution = played()
    error, words = said(solution, truth)
    assert error > FAR * healthy and words.startswith("worse than")
    if PLAYER[name] is not wrong_jet:  # the defect trusts the network's derivatives, but no residual of the player's
        assert solution.defect().errors["u"]["max"] == pytest.approx(compare(solution, truth)["u"]["max"], rel=0.05)


@pytest.mark.thorough
@pytest.mark.parametrize("name", REFEREE)
def test_a_mistake_of_the_referee_is_noticed(
    name: str, network: ps.Solution, truth: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy, _ = said(network, truth)
    REFEREE[name](monkeypatch)
    error, words = said(network, refereed())
    assert error > FAR * healthy and words.startswith("worse than")


def test_a_stencil_that_is_no_derivative_is_noticed_by_the_referee_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    in_stencil(np.array([1.0, 15 / 16, 1.0, 1.0, 1.0]))(monkeypatch)
    assert refereed().estimated_relative_l2["u"] > 0.1

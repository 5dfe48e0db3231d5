"""Plans of operators: the quotient algebra against polynomials, its size against known ranks, derivatives against nested passes."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pinnsolve.jets import Derivative, Jet, JetPlan, MultiIndex, derivatives, nested_derivatives, operator, plan_jets

LAPLACIAN = {d: operator({tuple(2 * (i == j) for j in range(d)): 1 for i in range(d)}) for d in (2, 3, 4, 100)}
BILAPLACIAN = operator({(4, 0): 1, (2, 2): 2, (0, 4): 1})


def multi_indices(dimension: int, order: int) -> list[MultiIndex]:
    if dimension == 1:
        return [(order,)]
    return [(k, *rest) for k in range(order, -1, -1) for rest in multi_indices(dimension - 1, order - k)]


@st.composite
def required(draw: st.DrawFn) -> tuple[int, list[Derivative]]:
    """A dimension, and derivatives and sums of derivatives of one order."""
    dimension = draw(st.integers(1, 4))
    found: list[Derivative] = []
    for _ in range(draw(st.integers(1, 3))):
        indices = multi_indices(dimension, draw(st.integers(1, 4 if dimension > 2 else 6)))
        some = draw(st.lists(st.sampled_from(indices), min_size=1, max_size=4, unique=True))
        factor = st.sampled_from(
            [Fraction(1), Fraction(-1), Fraction(2), Fraction(1, 3), Fraction(5, 2), Fraction(0.01)]
        )
        found.append(some[0] if len(some) == 1 else operator({index: draw(factor) for index in some}))
    return dimension, found


def symbol_polynomial(derivative: Derivative, h: tuple[sp.Symbol, ...]) -> sp.Expr:
    pairs = derivative if isinstance(derivative, frozenset) else [(derivative, Fraction(1))]
    return sum(
        sp.Rational(a.numerator, a.denominator) * sp.prod([x**n for x, n in zip(h, index, strict=True)])
        for index, a in pairs
    )


@pytest.mark.parametrize(
    ("needed", "dimension", "size"),
    [
        ({LAPLACIAN[2]}, 2, 4),
        ({LAPLACIAN[3]}, 3, 5),
        ({LAPLACIAN[100]}, 100, 102),
        ({BILAPLACIAN}, 2, 9),
        ({operator({(2, 0): 1, (0, 2): -4})}, 2, 4),
        ({operator({(1, 0): 1, (0, 1): 2.5})}, 2, 2),
        ({operator({(2, 0): 1, (1, 1): 2, (0, 2): 1})}, 2, 3),
        ({LAPLACIAN[2], (2, 0)}, 2, 5),
        ({LAPLACIAN[2], operator({(2, 0): 2, (0, 2): 2})}, 2, 4),
        ({(0, 1), LAPLACIAN[2]}, 2, 4),
        ({(2, 0), (0, 2)}, 2, 5),
    ],
)
def test_an_operator_costs_the_rank_of_its_partial_derivatives(
    needed: set[Derivative], dimension: int, size: int
) -> None:
    assert plan_jets(needed, dimension=dimension).size == size


@settings(max_examples=60, deadline=None)
@given(required())
def test_the_size_is_the_dimension_of_the_space_that_all_derivatives_of_the_symbols_span(
    case: tuple[int, list[Derivative]],
) -> None:
    dimension, needed = case
    h = sp.symbols(f"h0:{dimension}")
    span = {symbol_polynomial(derivative, h) for derivative in needed}
    pending = list(span)
    while pending:
        polynomial = pending.pop()
        for x in h:
            lower = sp.expand(sp.diff(polynomial, x))
            if lower != 0 and lower not in span:
                span.add(lower)
                pending.append(lower)
    polynomials = [sp.Poly(p, *h) for p in span]
    monomials = sorted({m for p in polynomials for m in p.monoms()})
    matrix = sp.Matrix([[p.coeff_monomial(m) for m in monomials] for p in polynomials])
    assert plan_jets(needed, dimension=dimension).size == matrix.rank()


@settings(max_examples=40, deadline=None)
@given(required(), st.integers(0, 10**6))
def test_products_of_jets_are_products_of_polynomials_seen_through_the_channels(
    case: tuple[int, list[Derivative]], seed: int
) -> None:
    dimension, needed = case
    plan = plan_jets(needed, dimension=dimension)
    generator = torch.Generator().manual_seed(seed)
    every = [index for order in range(plan.order + 1) for index in multi_indices(dimension, order)]
    series = [dict(zip(every, torch.rand(len(every), generator=generator).tolist(), strict=True)) for _ in range(2)]
    whole: dict[MultiIndex, float] = {}
    for one, a in series[0].items():
        for other, b in series[1].items():
            total = tuple(map(sum, zip(one, other, strict=True)))
            whole[total] = whole.get(total, 0.0) + a * b

    def channels(polynomial: dict[MultiIndex, float]) -> torch.Tensor:
        sums = plan.sums or ((),) * plan.size
        rows = zip(plan.indices, sums, strict=True)
        return torch.tensor(
            [polynomial[index] + sum(gamma * polynomial[i] for i, gamma in further) for index, further in rows],
            dtype=torch.float64,
        )

    product = Jet(channels(series[0])[:, None], plan) * Jet(channels(series[1])[:, None], plan)
    torch.testing.assert_close(product.coefficients[:, 0], channels(whole), rtol=1e-10, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    required(), st.sampled_from([nn.Tanh, nn.SiLU, nn.GELU, nn.Softplus, nn.Sigmoid, nn.Mish]), st.integers(0, 10**6)
)
def test_operators_of_networks_agree_with_nested_passes(
    case: tuple[int, list[Derivative]], activation: type[nn.Module], seed: int
) -> None:
    dimension, needed = case
    plan = plan_jets(needed, dimension=dimension)
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(dimension, 4), activation(), nn.Linear(4, 4), activation(), nn.Linear(4, 2)
    ).double()
    points = torch.rand(3, dimension, dtype=torch.float64)
    wanted = {derivative: {0, 1} for derivative in needed}
    found = derivatives(network, points, plan, wanted=wanted)
    expected = nested_derivatives(network, points, plan, wanted=wanted)
    for derivative in needed:
        scale = 1 + expected[derivative].abs().max().item()
        assert (found[derivative] - expected[derivative]).abs().max().item() < 1e-10 * scale


def test_coefficients_that_are_proportional_up_to_rounding_share_a_channel() -> None:
    third = 1 / 3
    one, other = operator({(2, 0): third, (0, 2): 2 * third}), operator({(2, 0): 0.1 * 3, (0, 2): 0.1 * 6})
    plan = plan_jets({one, other}, dimension=2)
    assert plan.size == 4
    assert dict(plan.reading(one))[3] == pytest.approx(2 * third)


def test_nested_passes_compute_only_the_fields_that_are_wanted() -> None:
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    points, plan = torch.rand(5, 2, dtype=torch.float64), plan_jets({LAPLACIAN[2]}, dimension=2)
    found = nested_derivatives(network, points, plan, wanted={LAPLACIAN[2]: {1}})[LAPLACIAN[2]]
    assert found[:, 1].all() and not found[:, [0, 2]].any()


@pytest.mark.parametrize("derivative", [(0, 2), (1, 1), operator({(2, 0): 1, (0, 2): 2}), (3, 0)])
def test_what_does_not_follow_from_the_channels_is_refused(derivative: Derivative) -> None:
    with pytest.raises(KeyError):
        plan_jets({LAPLACIAN[2]}, dimension=2).reading(derivative)


def test_an_operator_of_mixed_order_is_refused() -> None:
    with pytest.raises(ValueError, match="one order"):
        plan_jets({operator({(2, 0): 1, (0, 1): 1})}, dimension=2)


def test_sums_that_are_no_algebra_are_refused() -> None:
    with pytest.raises(ValueError, match="downward closed"):
        JetPlan(2, ((0, 0), (1, 0), (2, 0)), ((), (), (((0, 2), 1.0),)))


@pytest.mark.parametrize("activation", [nn.Tanh, nn.SiLU, nn.Softplus])
@pytest.mark.parametrize("affine", [True, False])
def test_a_laplacian_in_many_directions_is_that_of_nested_passes(
    activation: type[nn.Module], affine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = 11
    laplacian = operator({tuple(2 * (i == j) for j in range(d)): 1 + i % 3 for i in range(d)})
    plan = plan_jets({laplacian}, dimension=d)
    assert plan.diagonal == tuple(1.0 + i % 3 for i in range(d))
    torch.manual_seed(4)
    layers = [nn.Linear(d, 5), activation(), nn.Linear(5, 5, bias=False), activation(), nn.Linear(5, 2)]
    network = nn.Sequential(*layers).double()

    def field(points: torch.Tensor) -> torch.Tensor:
        return network(points if affine else points * points)

    points = torch.rand(9, d, dtype=torch.float64)
    wanted: dict[Derivative, set[int]] = {laplacian: {0, 1}, (0,) * d: {0, 1}}
    monkeypatch.setattr("pinnsolve.jets.fusion.CACHE_ELEMENTS", 10)  # more than one run
    parameters = list(network.parameters())
    sides = []
    for evaluate in (derivatives, nested_derivatives):
        found = evaluate(field, points, plan, wanted=wanted)
        loss = found[laplacian].square().sum() + (found[(0,) * d] * found[laplacian]).sum()
        sides.append([*found.values(), *torch.autograd.grad(loss, parameters)])
    for one, other in zip(*sides, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)

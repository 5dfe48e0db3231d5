"""Fields and operators: identities of vector calculus, fields that can be applied again, and what is refused."""

from __future__ import annotations

import pytest
from sympy import Function, Heaviside, Matrix, Piecewise, Symbol, cos, exp, simplify, sin, symbols, zeros

from pinnsolve.errors import ProblemError
from pinnsolve.operators import advect, curl, div, fields, grad, laplacian

x, y, z, t = symbols("x y z t")
u, v, w, phi = fields("u v w phi", x, y, z, t)
SPACE = (x, y, z)


def test_names_may_be_separated_by_spaces_or_commas():
    assert [f.func.__name__ for f in fields("a, b c", x)] == ["a", "b", "c"]
    assert fields("a", x).func.__name__ == "a"


def test_a_field_can_be_applied_again_and_equals_the_plain_function():
    field = fields("q", x, t)
    plain = Function("q")
    assert field(x, 0) == plain(x, 0)
    assert field == plain(x, t)
    assert (field - plain(x, t)) == 0
    assert field(x, t)(x, 1) == plain(x, 1)
    assert field.diff(x).subs(x, 1) == plain(x, t).diff(x).subs(x, 1)


def test_a_field_can_be_applied_again_also_where_sympy_has_cached_the_plain_one():
    plain = Function("cached")(x, t)
    field = fields("cached", x, t)
    assert field == plain
    assert field(0, t) == Function("cached")(0, t)


def test_assumptions_are_those_of_the_function():
    real = fields("r", x, real=True)
    assert real.is_real
    assert real(0).is_real
    assert fields("r", x).is_real is None


def test_the_number_of_arguments_is_that_of_the_coordinates():
    with pytest.raises(ProblemError, match=r"u\(0\) has 1 arguments.*x, y, z, t"):
        u(0)


@pytest.mark.parametrize(
    ("declare", "pieces"),
    [
        (lambda: fields("", x), ("no name", "fields(")),
        (lambda: fields("u"), ("no coordinate", 'fields("u", x, t)')),
        (lambda: fields("u", "x"), ("'x' is not a SymPy symbol", "symbols")),
        (lambda: fields("u", 2 * x), ("2*x", "symbol")),
        (lambda: grad(u), ("grad", "grad(u, x, y)")),
        (lambda: laplacian(u, 1), ("laplacian", "symbols")),
        (lambda: div([u, v], x), ("div", "2 components and 1 coordinates")),
        (lambda: curl([u], x), ("curl", "1 coordinates", "two or three")),
        (lambda: advect([u, v], phi, x, y, z), ("advect", "2 components and 3 coordinates")),
        (lambda: grad(Heaviside(x) * u, x), ("jumps along x", "flux")),
        (lambda: laplacian(Piecewise((1, x < 0), (2, True)) * u, x, y), ("jumps along x",)),
    ],
)
def test_misuse_is_refused_with_what_to_write(declare, pieces):
    with pytest.raises(ProblemError) as caught:
        declare()
    assert all(piece in str(caught.value) for piece in pieces), str(caught.value)


def test_operators_on_known_fields():
    scalar, vector = x**2 * y + sin(z), [x * y, y * z, z * x]
    assert grad(scalar, *SPACE) == Matrix([2 * x * y, x**2, cos(z)])
    assert div(vector, *SPACE) == x + y + z
    assert curl(vector, *SPACE) == Matrix([-y, -z, -x])
    assert curl([-y, x], x, y) == 2
    assert laplacian(scalar, *SPACE) == 2 * y - sin(z)
    assert advect([1, x, 0], scalar, *SPACE) == 2 * x * y + x**3
    assert laplacian(Matrix([x**2, y**3]), x, y) == Matrix([2, 6 * y])
    assert advect([2, 3], Matrix([x, x * y]), x, y) == Matrix([2, 2 * y + 3 * x])


def test_coordinates_that_are_not_named_do_not_enter():
    field = exp(t) * x
    assert grad(field, x) == Matrix([exp(t)])
    assert laplacian(t**3 * x, x) == 0


def test_the_curl_of_a_gradient_and_the_divergence_of_a_curl_vanish():
    assert curl(grad(phi, *SPACE), *SPACE) == zeros(3, 1)
    assert simplify(div(curl([u, v, w], *SPACE), *SPACE)) == 0
    assert curl(grad(phi, x, y), x, y) == 0


def test_the_laplacian_is_the_divergence_of_the_gradient():
    assert laplacian(phi, *SPACE) == div(grad(phi, *SPACE), *SPACE)
    vector = Matrix([u, v, w])
    identity = grad(div(vector, *SPACE), *SPACE) - curl(curl(vector, *SPACE), *SPACE)
    assert simplify(laplacian(vector, *SPACE) - identity) == zeros(3, 1)


def test_the_product_rule_of_advection():
    velocity = [u, v, w]
    left = advect(velocity, phi * u, *SPACE)
    right = phi * advect(velocity, u, *SPACE) + u * advect(velocity, phi, *SPACE)
    assert simplify(left - right) == 0


def test_the_derivative_of_a_jump_in_a_coordinate_not_differentiated_is_allowed():
    assert grad(Heaviside(t - 1) * x, x) == Matrix([Heaviside(t - 1)])


def test_the_symbols_of_sympy_are_left_as_they_are():
    assert type(Symbol("x")) is Symbol
    assert not callable(Function("never_a_field")(x))

"""Fields and vector operators: SymPy in, SymPy out.

A field is an ordinary applied SymPy function that can be applied again, `u(x, 0)`, so that a condition is written as it is
spoken. The operators are those of Cartesian vector calculus; each names its coordinates, because a field may also depend on
time or on parameters that must not enter a divergence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sympy import Expr, Matrix, MatrixBase, Symbol, diff, sympify
from sympy.core.function import AppliedUndef, UndefinedFunction

from pinnsolve.declaration.discontinuities import refuse_derivative_of_jump
from pinnsolve.errors import ProblemError


class AppliedField(AppliedUndef):
    """An applied undefined function that can be applied again; equal to and mixable with SymPy's own."""

    def __call__(self, *arguments: Any) -> Expr:
        """Return the same field at other arguments, `u(x, 0)`."""
        if len(arguments) != len(self.args):
            raise ProblemError(
                str(self),
                f"{self.func.__name__}({', '.join(map(str, arguments))}) has {len(arguments)} arguments",
                f"give one argument for each of {', '.join(map(str, self.args))}",
            )
        return _apply(self.func, tuple(map(sympify, arguments)))


def fields(names: str, *coordinates: Symbol, **assumptions: bool) -> Any:
    """Declare one or several fields over coordinates.

    Args:
        names: Names separated by spaces or commas.
        *coordinates: The symbols the fields depend on, in the order of their arguments.
        **assumptions: SymPy assumptions such as `real=True`.

    Returns:
        One applied function for a single name, otherwise a tuple of them.

    Raises:
        ProblemError: No name, no coordinate, or a coordinate that is not a symbol.

    Example:
        >>> u, v = ps.fields("u v", x, t)
        >>> u(0, t) + v.diff(x, 2)
        u(0, t) + Derivative(v(x, t), (x, 2))
    """
    split = names.replace(",", " ").split()
    if not split:
        raise ProblemError("fields", f"no name in {names!r}", 'write fields("u", x, t)')
    if not coordinates:
        raise ProblemError(f'fields("{names}")', "no coordinate", f'write fields("{names}", x, t)')
    for coordinate in coordinates:
        if not isinstance(coordinate, Symbol):
            raise ProblemError(
                f'fields("{names}")', f"{coordinate!r} is not a SymPy symbol", 'declare it with x = sympy.symbols("x")'
            )
    applied = tuple(
        _apply(UndefinedFunction(name, bases=(AppliedField,), **assumptions), coordinates) for name in split
    )
    return applied[0] if len(applied) == 1 else applied


def grad(scalar: Expr, *coordinates: Symbol) -> MatrixBase:
    """Return the gradient (column) of a scalar expression with respect to the named coordinates.

    Example:
        >>> ps.grad(w, x, y).T
        Matrix([[Derivative(w(x, y), x), Derivative(w(x, y), y)]])
    """
    _require_symbols("grad", coordinates)
    return Matrix([_derivative(scalar, c) for c in coordinates])


def div(vector: Sequence[Expr] | MatrixBase, *coordinates: Symbol) -> Expr:
    """Return the divergence of a vector with one component for each coordinate.

    Example:
        >>> ps.div([w, 2 * w], x, y)
        Derivative(w(x, y), x) + 2*Derivative(w(x, y), y)
    """
    components = _components("div", vector, coordinates)
    return sum((_derivative(v, c) for v, c in zip(components, coordinates, strict=True)), start=0 * components[0])


def curl(vector: Sequence[Expr] | MatrixBase, *coordinates: Symbol) -> Any:
    """Return the curl: a scalar in two coordinates, a column in three.

    Raises:
        ProblemError: Neither two nor three coordinates.

    Example:
        >>> ps.curl([-y, x], x, y)
        2
    """
    components = _components("curl", vector, coordinates)
    if len(coordinates) == 2:
        (u, v), (x, y) = components, coordinates
        return _derivative(v, x) - _derivative(u, y)
    if len(coordinates) == 3:
        (u, v, w), (x, y, z) = components, coordinates
        return Matrix(
            [
                _derivative(w, y) - _derivative(v, z),
                _derivative(u, z) - _derivative(w, x),
                _derivative(v, x) - _derivative(u, y),
            ]
        )
    raise ProblemError("curl", f"{len(coordinates)} coordinates", "give two or three coordinates")


def laplacian(expression: Expr | MatrixBase, *coordinates: Symbol) -> Any:
    """Return the Laplacian of a scalar, or of each component of a vector.

    Example:
        >>> ps.laplacian(w, x, y)
        Derivative(w(x, y), (x, 2)) + Derivative(w(x, y), (y, 2))
    """
    _require_symbols("laplacian", coordinates)
    if isinstance(expression, MatrixBase):
        return expression.applyfunc(lambda entry: laplacian(entry, *coordinates))
    return sum((_derivative(_derivative(expression, c), c) for c in coordinates), start=0 * expression)


def advect(velocity: Sequence[Expr] | MatrixBase, expression: Expr | MatrixBase, *coordinates: Symbol) -> Any:
    """Return (velocity · grad) of a scalar, or of each component of a vector.

    Example:
        >>> ps.advect([y, -x], w, x, y)
        -x*Derivative(w(x, y), y) + y*Derivative(w(x, y), x)
    """
    components = _components("advect", velocity, coordinates)
    if isinstance(expression, MatrixBase):
        return expression.applyfunc(lambda entry: advect(velocity, entry, *coordinates))
    terms = (v * _derivative(expression, c) for v, c in zip(components, coordinates, strict=True))
    return sum(terms, start=0 * expression)


def _apply(function: UndefinedFunction, arguments: tuple[Expr, ...]) -> AppliedField:
    """Apply past SymPy's cache, which may hold an equal application by `sympy.Function` that cannot be applied again."""
    applied = Expr.__new__(function, *arguments)
    applied.nargs = function.nargs
    return applied


def _derivative(expression: Expr, coordinate: Symbol) -> Expr:
    refuse_derivative_of_jump(expression, coordinate)
    return diff(expression, coordinate)


def _require_symbols(operator: str, coordinates: Sequence[Symbol]) -> None:
    if not coordinates or not all(isinstance(c, Symbol) for c in coordinates):
        raise ProblemError(
            operator, f"coordinates {tuple(coordinates)}", f"name the coordinates as symbols: {operator}(u, x, y)"
        )


def _components(operator: str, vector: Sequence[Expr] | MatrixBase, coordinates: Sequence[Symbol]) -> list[Expr]:
    _require_symbols(operator, coordinates)
    components = list(vector)
    if len(components) != len(coordinates):
        raise ProblemError(
            operator,
            f"{len(components)} components and {len(coordinates)} coordinates",
            "give as many components as coordinates",
        )
    return components

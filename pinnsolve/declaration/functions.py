"""The functions that a declaration may be written by; another is refused where it was written, before SymPy works on it."""

from __future__ import annotations

from sympy import DiracDelta, Expr, Function, Piecewise, Subs, arg
from sympy.core.function import AppliedUndef

from pinnsolve.errors import ProblemError, UnsupportedError

# fmt: off
KNOWN = (
    "exp", "log", "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "atan2", "sinh",
    "cosh", "tanh", "coth", "sech", "csch", "asinh", "acosh", "atanh", "erf", "erfc", "Abs", "sign", "floor",
    "ceiling", "Heaviside", "loggamma", "gamma", "sinc", "Mod", "Max", "Min", "Piecewise", "re", "im",
    "conjugate",
)
# fmt: on
"""By their names in SymPy, each a function of real numbers in torch and in NumPy."""


def check_functions(expression: Expr, name: str) -> None:
    """Raise where an expression holds a function of coordinates or fields that has no rule.

    Args:
        expression: Of a statement.
        name: Of its term, for the message.

    Raises:
        ProblemError: What stands for a number is a truth value.
        UnsupportedError: Names the function and those that have rules.
    """
    for part in expression.atoms(Subs):
        if not isinstance(part.expr, Expr):
            raise ProblemError(name, f"a truth value in {part}", "write Piecewise((a, condition), (b, True))")
    for part in sorted(expression.atoms(Function), key=str):
        kind = type(part)
        if not isinstance(part, Piecewise) and not all(isinstance(argument, Expr) for argument in part.args):
            raise ProblemError(name, f"a truth value in {part}", "write Piecewise((a, condition), (b, True))")
        # A jump's derivative has its own refusal, and the angle of a complex number is split into parts that are real.
        if isinstance(part, AppliedUndef | DiracDelta | arg) or kind.__name__ in KNOWN or part.is_number:
            continue
        raise UnsupportedError(
            name, f"the function {kind.__name__} in {part}", f"write it by these: {', '.join(sorted(KNOWN))}"
        )

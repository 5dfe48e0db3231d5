"""Emission: from a SymPy expression to a straight-line program of torch operations that can be read.

A program is a list of instructions, each one torch operation on registers and numbers; equal sub-expressions share a register.
It is interpreted, never written to a file nor given to Python's compiler, so that an expression read from a stranger's run
directory can do no more than arithmetic; `source()` prints it.

Gradients are finite wherever values are. Where a formula is singular (the root, the logarithm or the quotient in the branch of a
Piecewise that was not taken, the root of zero in a norm), the reverse pass meets 0 · inf; it is taken as zero, the
subgradient of least norm and the derivative of the branch that was not taken.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from sympy import Expr, Symbol
from torch import Tensor

from pinnsolve.compiler.functions import (
    FUNCTIONS,
    RELATIONS,
    REWRITES,
    SINGULAR,
    extreme,
    finite_gradient,
    logical_not,
    scaled_sum,
    select,
    sheltered,
)
from pinnsolve.declaration.evaluation import SYMPY_FAILS, evaluated
from pinnsolve.errors import UnsupportedError

Operand = int | float | bool
"""A register (int) or a number (float)."""


@dataclass(frozen=True)
class Instruction:
    """One operation: `target = function(*operands)`; operands are registers when int, numbers when float."""

    target: int
    function: Callable[..., Any]
    operands: tuple[Operand, ...]


@dataclass(frozen=True)
class Program:
    """A straight-line program.

    Args:
        inputs: Names of the registers filled by the caller, in order.
        instructions: What is done.
        result: The register, or the number, that is the result.
    """

    inputs: tuple[str, ...]
    instructions: tuple[Instruction, ...]
    result: Operand

    def __call__(self, *values: Tensor) -> Tensor | float:
        """Run on tensors that broadcast; a result that depends on no input is a number."""
        registers: list[Any] = [*values, *[None] * len(self.instructions)]
        for step in self.instructions:
            registers[step.target] = step.function(*[registers[o] if type(o) is int else o for o in step.operands])
        return registers[self.result] if type(self.result) is int else float(self.result)

    def source(self) -> str:
        """Return the program as readable lines of torch."""
        names = [*self.inputs, *(f"v{k}" for k in range(len(self.instructions)))]

        def text(operand: Operand) -> str:
            return names[operand] if type(operand) is int else repr(operand)

        lines = [
            f"{names[i.target]} = {_spelling(i.function)}({', '.join(map(text, i.operands))})"
            for i in self.instructions
        ]
        return "\n".join([*lines, f"return {text(self.result)}"])


def emit(expression: Expr, inputs: Sequence[Symbol], *, name: str = "expression") -> Program:
    """Emit a real expression of the input symbols.

    Args:
        expression: Contains no field: derivatives are input symbols by now.
        inputs: The symbols, in the order in which the program takes them.
        name: The term, for messages.

    Raises:
        UnsupportedError: A function without a rule; names it and those that have one.
    """
    emitter = _Emitter(name, inputs)
    result = emitter.value(expression)
    labels = [
        f"{s.name}_{k}" if isinstance(s, sympy.Dummy) and _repeated(s, inputs) else s.name for k, s in enumerate(inputs)
    ]
    return Program(tuple(labels), tuple(emitter.instructions), result)


_UNBOUNDED = (sympy.Pow, sympy.exp, sympy.sinh, sympy.cosh, sympy.tan, *SINGULAR, *REWRITES, sympy.loggamma)
"""What may overflow or be singular in a branch that is not taken."""


class _Emitter:
    """Walks an expression once, giving equal sub-expressions one register."""

    def __init__(self, name: str, inputs: Sequence[Symbol]) -> None:
        self.name = name
        self.registers: dict[Any, Operand] = {symbol: k for k, symbol in enumerate(inputs)}
        self.instructions: list[Instruction] = []
        self.first_free = len(inputs)

    def value(self, expression: Any) -> Operand:
        """Return the register or number that holds an expression."""
        if expression not in self.registers:
            self.registers[expression] = self._emit(expression)
        return self.registers[expression]

    def call(self, function: Callable[..., Any], *operands: Operand) -> int:
        """Append an instruction and return its register."""
        target = self.first_free + len(self.instructions)
        self.instructions.append(Instruction(target, function, operands))
        return target

    def _emit(self, expression: Any) -> Operand:
        if isinstance(expression, sympy.logic.boolalg.BooleanAtom):
            return bool(expression)
        if isinstance(expression, Expr) and expression.is_number:
            return self._number(expression)
        kind = type(expression)
        if isinstance(expression, sympy.Add):
            return self._sum(expression)
        if isinstance(expression, sympy.Mul):
            return self._product(expression)
        if isinstance(expression, sympy.Pow):
            return self._power(*expression.as_base_exp())
        if isinstance(expression, sympy.Piecewise):
            return self._piecewise(expression)
        if isinstance(expression, sympy.Max | sympy.Min):
            which = extreme(torch.maximum if isinstance(expression, sympy.Max) else torch.minimum)
            return self._fold(which, [self.value(a) for a in expression.args])
        if kind in RELATIONS:
            return self._fold(RELATIONS[kind], [self.value(a) for a in expression.args])
        if isinstance(expression, sympy.Not):
            return self.call(logical_not, self.value(expression.args[0]))
        if isinstance(expression, sympy.logic.boolalg.BooleanFunction):  # if-then-else, exclusive or
            return self.value(expression.to_nnf())
        if kind in REWRITES:
            try:
                rewritten = REWRITES[kind](*expression.args)
            except SYMPY_FAILS as error:  # over a Piecewise without a last branch, for one
                raise UnsupportedError(self.name, f"{expression}: {error}", "give it a value everywhere") from None
            return self.value(rewritten)
        if kind in SINGULAR:
            return self.call(SINGULAR[kind], self._guarded(expression.args[0]))
        if kind in FUNCTIONS:
            return self.call(FUNCTIONS[kind], *(self._tensor(a) for a in expression.args))
        raise UnsupportedError(
            self.name,
            f"the function {kind.__name__} in {expression}",
            f"write it by these: {', '.join(sorted(f.__name__ for f in (*FUNCTIONS, *SINGULAR, *REWRITES)))}, Piecewise, Min, Max",
        )

    def _number(self, expression: Expr) -> float:
        number = evaluated(expression)
        if not number.is_Float and not number.is_Rational and number is not sympy.nan:
            raise UnsupportedError(self.name, f"{expression}, a number that is not real and finite", "write a real one")
        if number.is_finite and abs(number) > sys.float_info.max:
            raise UnsupportedError(self.name, f"{expression}, larger than a float can be", "measure in larger units")
        return float(number)

    def _sum(self, expression: sympy.Add) -> Operand:
        constant = sympy.Add(*[a for a in expression.args if a.is_number])
        pairs = [_coefficient(a) for a in expression.args if not a.is_number]
        pairs.sort(key=lambda pair: pair[0] != 1)
        coefficient, first = pairs[0]
        total: Operand = self.value(first if coefficient == 1 else coefficient * first)
        for coefficient, term in pairs[1:]:
            operand = self.value(term)
            if coefficient == 1:
                total = self.call(operator.add, total, operand)
            elif type(total) is int and type(operand) is int:
                total = self.call(scaled_sum, total, operand, self._number(coefficient))
            else:
                total = self.call(operator.add, total, self.value(coefficient * term))
        return total if constant == 0 else self.call(operator.add, total, self._number(constant))

    def _product(self, expression: sympy.Mul) -> Operand:
        numbers = [a for a in expression.args if a.is_number]
        others = [a for a in expression.args if not a.is_number]
        above = [a for a in others if not _is_reciprocal(a)]
        below = [1 / a for a in others if _is_reciprocal(a)]
        operands = [self.value(a) for a in above]
        factor = self._number(sympy.Mul(*numbers)) if numbers else 1.0
        if factor != 1.0 or not operands:
            operands.insert(1 if operands else 0, factor)
        result = self._fold(operator.mul, operands)
        for divisor in below:
            result = self.call(operator.truediv, result, self._guarded(divisor))
        return result

    def _power(self, base: Expr, exponent: Expr) -> Operand:
        if base == sympy.E:
            return self.call(torch.exp, self.value(exponent))
        if exponent.is_number:
            if exponent in (2, 3, 4):
                register = self.value(base)
                square = self.call(operator.mul, register, register)
                return (
                    square if exponent == 2 else self.call(operator.mul, square, register if exponent == 3 else square)
                )
            if exponent == sympy.Rational(1, 2):
                return self.call(torch.sqrt, self._guarded(base))
            if exponent == sympy.Rational(-1, 2):
                return self.call(torch.rsqrt, self._guarded(base))
            if exponent == -1:
                return self.call(torch.reciprocal, self._guarded(base))
            if exponent.is_negative and exponent in (-2, -3, -4):
                return self.call(torch.reciprocal, self._guarded(base**-exponent))
            return self.call(torch.pow, self._guarded(base), self._number(exponent))
        return self.call(
            torch.pow, self._guarded(base) if not base.is_number else self._number(base), self.value(exponent)
        )

    def _piecewise(self, expression: sympy.Piecewise) -> Operand:
        result: Operand = float("nan")  # where no condition holds, as in SymPy
        for value, condition in reversed(expression.args):
            taken = self.value(self._sheltered(value))
            result = taken if condition == sympy.true else self.call(select, self.value(condition), taken, result, 0)
        return result

    def _sheltered(self, branch: Expr) -> Expr:
        """Guard the symbols of a branch: where x log(x) or exp(1000) is not taken, its reverse pass meets 0 · inf inside."""
        if not branch.has(*_UNBOUNDED):
            return branch
        shelters: dict[Expr, Expr] = {}
        for symbol in sorted(branch.free_symbols, key=str):
            shelters[symbol] = sympy.Dummy(symbol.name, **symbol.assumptions0)
            self.registers[shelters[symbol]] = self.call(sheltered, self.value(symbol), 0)
        return branch.xreplace(shelters)

    def _guarded(self, expression: Expr) -> Operand:
        key = ("guarded", expression)
        if key not in self.registers:
            self.registers[key] = self.call(finite_gradient, self._tensor(expression))
        return self.registers[key]

    def _tensor(self, expression: Expr) -> int:
        operand = self.value(expression)
        return operand if type(operand) is int else self.call(torch.full_like, 0, float(operand))

    def _fold(self, function: Callable[..., Any], operands: list[Operand]) -> Operand:
        result = operands[0]
        for operand in operands[1:]:
            result = self.call(function, result, operand)
        return result


def _coefficient(term: Expr) -> tuple[Expr, Expr]:
    """Return the numerical factor of a product and the rest."""
    factors = sympy.Mul.make_args(term)
    number = sympy.Mul(*[f for f in factors if f.is_number])
    return number, sympy.Mul(*[f for f in factors if not f.is_number], evaluate=number != 1)


def _is_reciprocal(expression: Expr) -> bool:
    return isinstance(expression, sympy.Pow) and expression.exp == -1


def _repeated(symbol: Symbol, inputs: Sequence[Symbol]) -> bool:
    return sum(other.name == symbol.name for other in inputs) > 1


def _spelling(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", repr(function))
    if getattr(torch, name, None) is not None and name not in vars(operator):
        return f"torch.{name}"
    return name.rstrip("_")

"""Typesetting: statements as text, as MathML for pages and as LaTeX, with derivatives as subscripts: u_t + u u_x = nu u_xx.

A field at its own coordinates is written by its name, elsewhere with its place, u_x(1, t); a factor with its unit behind the
number, 45 W/(K m) T_xx. Statements may come from a stored
solution and thus from a stranger: MathML is written from a tree of known elements with all text escaped, names in LaTeX hold no
commands, and what is too large to read is not typeset.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sympy import Derivative, Eq, Expr, Float, Integer, Mul, Pow, Subs, Symbol, preorder_traversal
from sympy.core.basic import Basic
from sympy.core.function import AppliedUndef
from sympy.physics.units import Quantity
from sympy.physics.units.prefixes import Prefix
from sympy.printing.latex import LatexPrinter
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from pinnsolve.declaration.extents import number
from pinnsolve.declaration.measures import unit_of, unit_text
from pinnsolve.declaration.terms import Term, evaluations
from pinnsolve.problem import Problem

_LARGEST = 1_500
"""Nodes of an expression that is typeset."""

_LARGEST_POWER = 300
"""Exponent of a number that a printer may carry out."""

_LONGEST_SUM, _SHOWN = 12, 3
"""Terms of a sum that is written in full, and those at the beginning of one that is not."""

_TOKENS = ("mi", "mn", "mo", "mtext")
_LAYOUTS = ("mrow", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover", "munderover")
_ELEMENTS = frozenset({*_TOKENS, *_LAYOUTS, "mtable", "mtr", "mtd"})
"""Elements of MathML Core that may appear; of all others only what they contain is written."""

_LETTERS = str.maketrans({"ⅇ": "e", "ⅈ": "i", "ⅆ": "d", "-": "−"})
"""Double-struck letters, which few fonts have, and the sign of subtraction."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SPACE = "\N{NO-BREAK SPACE}"

_FAULTS = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError, NotImplementedError)
"""What a printer may raise at an expression of a strange form."""


def plain_statement(term: Term, problem: Problem) -> str:
    """Return what a term states as text, `u*u_x + u_t = u_xx/10`."""
    show = _Shorthand(problem).doprint
    left, right = sides(term)
    if right is None and isinstance(left, Symbol):
        return f"the likelihood of the noise {show(left)}"
    return f"{show(left)} as measured" if right is None else f"{show(left)} = {show(right)}"


def plain_expression(expression: Any, problem: Problem) -> str:
    """Return an expression as text, `u_x*n[x]`."""
    return str(_Shorthand(problem).doprint(expression))


def sides(term: Term) -> tuple[Any, Any]:
    """Return both sides of what a term states; the right one is None for a quantity that was measured."""
    if isinstance(term.statement, str) or (term.kind != "data" and term.name.endswith((".re", ".im"))):
        return term.residual, Integer(0)
    if term.kind == "data":
        return term.statement, None
    return (term.statement.lhs, term.statement.rhs) if isinstance(term.statement, Eq) else (term.statement, Integer(0))


def statement_mathml(term: Term, problem: Problem) -> str:
    """Return what a term states as a `math` element; as text where it cannot be typeset."""
    left, right = sides(term)
    show = _MathML(problem)
    try:
        parts = [show.markup(left)] + ([] if right is None else ["<mo>=</mo>", show.markup(right)])
    except _FAULTS:
        return "<i>too long to be typeset</i>"
    measured = "" if right is not None else "<mtext>&#160;as measured</mtext>"
    return f'<math displaystyle="true"><mrow>{"".join(parts)}{measured}</mrow></math>'


def expression_mathml(expression: Any, problem: Problem) -> str:
    """Return an expression as a `math` element for a line of text."""
    try:
        return f"<math>{_MathML(problem).markup(expression)}</math>"
    except _FAULTS:
        return "<i>too long to be typeset</i>"


def coordinates_mathml(coordinates: Sequence[Symbol], problem: Problem) -> str:
    """Return the range of every coordinate, of the first and the last where there are many, as `math` elements."""
    show = _MathML(problem)
    many = len(coordinates) > _LONGEST_SUM
    chosen = [*coordinates[:_SHOWN], coordinates[-1]] if many else coordinates
    ranges = []
    for c in chosen:
        low, high = (f"<mn>{number(value)}</mn>".replace("-", "−") for value in problem.bounds[c])
        unit = problem.units.suffix(c.name).strip()
        behind = f"<mtext>&#160;{html.escape(unit)}</mtext>" if unit else ""
        ranges.append(f"<math>{low}<mo>≤</mo>{show.markup(c)}<mo>≤</mo>{high}{behind}</math>")
    if many:
        ranges.insert(_SHOWN, "…")
    return ", ".join(ranges)


def statement_latex(term: Term, problem: Problem) -> str:
    """Return what a term states as LaTeX, its sides aligned at the equals sign."""
    left, right = sides(term)
    show = _Latex(problem)
    try:
        _refuse_large(left, right)
        text = show.doprint(left)
        return rf"{text} & \quad\text{{as measured}}" if right is None else f"{text} &= {show.doprint(right)}"
    except _FAULTS:
        return r"\text{too long to be typeset} &"


class _Reading:
    """What the printers share: how a field or a derivative of one is read, and sums that are too long for anyone to read."""

    problem: Problem

    def read(self, expression: Expr) -> tuple[str, list[Symbol], tuple[Expr, ...]]:
        """Return field, coordinates it is differentiated by, and its place; the last is empty at its own coordinates."""
        (reading,) = evaluations(expression).values()
        slots, *_ = (
            f.args for f in (*self.problem.declared_fields, *self.problem.fields) if f.func.__name__ == reading.field
        )
        by = [c for c, order in zip(slots, reading.orders, strict=True) for _ in range(order)]
        return reading.field, by, () if reading.location == slots else reading.location


@dataclass(frozen=True)
class _Factors:
    """A product with a unit as it is read: 45 W/(K m) T_xx.

    Attributes:
        number: Of all numbers.
        unit: Of all units, as text.
        rest: Of everything else.
    """

    number: Expr
    unit: str
    rest: Expr

    def text(self, printer: StrPrinter | LatexPrinter, unit: str, space: str) -> str:
        """Return the product as a printer writes number and rest, with its unit, and space between them."""
        number = {1: "", -1: "-"}.get(self.number, f"{printer.doprint(self.number)}{space}")
        rest = "" if self.rest == 1 else space + printer.parenthesize(self.rest, PRECEDENCE["Mul"], strict=True)
        return f"{number}{unit}{rest}"


def _factors(product: Expr) -> _Factors | None:
    """Return the factors of a product that has units above its bar; where there are none it is read as any other."""
    parts = Mul.make_args(product)
    prefixes = [part for part in parts if isinstance(part, Prefix)]
    units = [part for part in parts if _is_unit(part)]
    if not any(part.as_base_exp()[1].is_positive for part in units):
        return None
    rest = [part for part in parts if part not in units and part not in prefixes]
    numbers = [part for part in rest if part.is_number]
    others = Mul(*(part for part in rest if part not in numbers))
    alone = [part for part in units if isinstance(part, Quantity)]
    if not prefixes or not alone:  # a prefix belongs to a unit of the power 1; else it is a number
        return _Factors(Mul(*numbers, *(prefix.scale_factor for prefix in prefixes)), unit_text(Mul(*units)), others)
    first = min(alone, key=_is_basic)
    behind = unit_text(Mul(*(part for part in units if part is not first)))
    text = "".join(str(unit.abbrev) for unit in (*prefixes, first))
    return _Factors(Mul(*numbers), f"{text}{behind[1:] if behind.startswith('1/') else ' ' + behind}".rstrip(), others)


def _is_basic(unit: Quantity) -> bool:
    """Whether a unit is of a basic dimension: of kilo, newton and meter kN m is made, not N km."""
    return bool(unit_of(unit).dimension.is_Symbol)


def _is_unit(part: Expr) -> bool:
    base, power = part.as_base_exp()
    return isinstance(base, Quantity) and not base.is_physical_constant and bool(power.is_Rational)


class _Shorthand(_Reading, StrPrinter):
    """Prints derivatives as subscripts, and a field at its own coordinates by its name: u_t + u*u_x."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def _print_AppliedUndef(self, expression: AppliedUndef) -> str:
        field, by, place = self.read(expression)
        name = f"{field}_{''.join(map(str, by))}" if by else field
        return f"{name}({', '.join(map(self._print, place))})" if place else name

    _print_Derivative = _print_Subs = _print_AppliedUndef

    def _print_Float(self, expression: Float) -> str:
        return number(float(expression))

    def _print_Mul(self, expression: Expr) -> str:
        found = _factors(expression)
        return str(super()._print_Mul(expression)) if found is None else found.text(self, found.unit, " ")

    def _print_Quantity(self, expression: Quantity | Prefix) -> str:
        return str(expression.abbrev)

    _print_Prefix = _print_Quantity


class _Latex(_Reading, LatexPrinter):
    """Prints LaTeX with derivatives as subscripts."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def _print_AppliedUndef(self, expression: AppliedUndef, exp: str | None = None) -> str:
        field, by, place = self.read(expression)
        name = self._print_Symbol(Symbol(field))
        name = f"{{{name}}}_{{{' '.join(self._print_Symbol(c) for c in by)}}}" if by else name
        text = rf"{name}\left({', '.join(map(self._print, place))}\right)" if place else name
        return text if exp is None else f"{{{text}}}^{{{exp}}}"

    _print_Derivative = _print_Subs = _print_AppliedUndef

    def _print_Symbol(self, expression: Symbol, style: str = "plain") -> str:
        if re.fullmatch(r"[^\W\d]\w*'*", expression.name):
            return str(super()._print_Symbol(expression, style))
        harmless = re.sub(r"[^\w .,:;|/*+-]", "", expression.name)
        return rf"\mathtt{{{harmless}}}"

    def _print_Mul(self, expression: Expr) -> str:
        found = _factors(expression)
        if found is None:
            return str(super()._print_Mul(expression))
        return found.text(self, self._unit(found.unit), r"\,")

    def parenthesize(self, item: Expr, level: int, is_neg: bool = False, strict: bool = False) -> str:
        """Print an operand, in parentheses if need be; a field or a derivative of one is a single symbol."""
        if isinstance(item, AppliedUndef | Derivative | Subs):
            return str(self._print(item))
        return str(super().parenthesize(item, level, is_neg, strict))

    def _unit(self, text: str) -> str:
        harmless = re.sub(r"[^\w .,:;|/*+^()-]", "", text).replace("_", r"\_")
        raised = re.sub(r"\^(\([^()]*\)|-?\w+)", r"^{\1}", harmless).replace("^(", "(")
        return rf"\mathrm{{{raised.replace(' ', chr(92) + ',')}}}"

    def _print_Float(self, expression: Float) -> str:
        mantissa, _, exponent = f"{float(expression):.6g}".partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


class _MathML(_Reading, MathMLPresentationPrinter):
    """Prints presentation MathML of the elements that browsers know (MathML Core, W3C), with derivatives as subscripts."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def markup(self, expression: Any) -> str:
        """Return the elements of an expression.

        Raises:
            ValueError: It is too large, or a power in it is.
        """
        _refuse_large(expression)
        return _serialised(self._print(expression))

    def parenthesize(self, item: Expr, level: int, strict: bool = False) -> Any:
        """Print an operand, in parentheses if need be; a field or a derivative of one is a single symbol."""
        if isinstance(item, AppliedUndef | Derivative | Subs):
            return self._print(item)
        return super().parenthesize(item, level, strict)

    def _print_AppliedUndef(self, expression: AppliedUndef) -> Any:
        field, by, place = self.read(expression)
        node = self._print_Symbol(Symbol(field))
        if by:
            node = self._element("msub", node, self._element("mrow", *map(self._print_Symbol, by)))
        if not place:
            return node
        arguments = [part for entry in place for part in (self._text("mo", ","), self._print(entry))][1:]
        return self._element("mrow", node, self._text("mo", "("), *arguments, self._text("mo", ")"))

    _print_Derivative = _print_Subs = _print_AppliedUndef

    def _print_Function(self, expression: Expr) -> Any:
        if isinstance(expression, AppliedUndef):
            return self._print_AppliedUndef(expression)
        return super()._print_Function(expression)

    def _print_Float(self, expression: Float) -> Any:
        mantissa, _, exponent = f"{float(expression):.6g}".partition("e")
        if not exponent:
            return self._text("mn", mantissa)
        power = self._element("msup", self._text("mn", "10"), self._text("mn", str(int(exponent))))
        return self._element("mrow", self._text("mn", mantissa), self._text("mo", "·"), power)

    def _print_Mul(self, expression: Expr) -> Any:
        found = _factors(expression)
        if found is None:
            return super()._print_Mul(expression)
        minus = [self._text("mo", "-")] if found.number.could_extract_minus_sign() else []
        number = -found.number if minus else found.number
        numbers = [] if number == 1 else [self._print(number), self._space()]
        unit = re.sub(r"\^(-?\d+)", lambda power: power[1].translate(_RAISED), found.unit).replace(" ", _SPACE)
        rest = [] if found.rest == 1 else [self._space(), self.parenthesize(found.rest, PRECEDENCE["Mul"], strict=True)]
        return self._element("mrow", *minus, *numbers, self._text("mtext", unit), *rest)

    def _print_Quantity(self, expression: Quantity | Prefix) -> Any:
        before = "" if getattr(expression, "is_physical_constant", False) else _SPACE  # a number, in a denominator
        return self._text("mtext", f"{before}{expression.abbrev}")

    _print_Prefix = _print_Quantity

    def _print_conjugate(self, expression: Expr) -> Any:
        return self._element("mover", self._print(expression.args[0]), self._text("mo", "‾"))

    def _print_Piecewise(self, expression: Expr) -> Any:
        rows = [
            self._element("mtr", *(self._element("mtd", self._print(part)) for part in (value, condition)))
            for value, condition in expression.args
        ]
        return self._element("mrow", self._text("mo", "{"), self._element("mtable", *rows))

    def _print_BooleanTrue(self, expression: Basic) -> Any:
        return self._text("mtext", "otherwise")

    def _print_Heaviside(self, expression: Expr) -> Any:
        inner = self._element("mrow", self._text("mo", "("), self._print(expression.args[0]), self._text("mo", ")"))
        return self._element("mrow", self._text("mi", "H"), inner)

    def _print_Add(self, expression: Expr, order: Any = None) -> Any:
        terms = self._as_ordered_terms(expression, order=order)
        if len(terms) <= _LONGEST_SUM:
            return super()._print_Add(expression, order=order)
        shown = [part for term in terms[:_SHOWN] for part in (self._text("mo", "+"), self._print(term))][1:]
        rest = [self._text("mo", "+"), self._text("mo", "⋯"), self._text("mo", "+"), self._print(terms[-1])]
        return self._element("mrow", *shown, *rest)

    def _space(self) -> Any:
        return self._text("mtext", _SPACE)

    def _element(self, name: str, *children: Any) -> Any:
        node = self.dom.createElement(name)
        for child in children:
            node.appendChild(child)
        return node

    def _text(self, name: str, text: str) -> Any:
        return self._element(name, self.dom.createTextNode(html.escape(text)))


def _refuse_large(*expressions: Any) -> None:
    """Raise for what nobody could read, and for powers of numbers that a printer would carry out."""
    nodes = (node for expression in expressions for node in preorder_traversal(expression))
    for count, node in enumerate(nodes):
        if count > _LARGEST:
            raise ValueError(f"more than {_LARGEST} nodes")
        if isinstance(node, Pow) and node.base.is_number and node.exp.is_number and not _is_moderate(node.exp):
            raise ValueError(f"a power of more than {_LARGEST_POWER}")


def _is_moderate(exponent: Expr) -> bool:
    return all(abs(number) <= _LARGEST_POWER for number in exponent.atoms() if number.is_Rational or number.is_Float)


def _serialised(node: Any) -> str:
    """Return a tree as text: known elements without attributes, everything else escaped.

    SymPy's printer writes names as they are, which in a page would be markup, and in its older versions parentheses by an
    element that browsers no longer know.
    """
    if node.nodeType == node.TEXT_NODE:
        return html.escape(html.unescape(node.data).translate(_LETTERS))
    inner = [_serialised(child) for child in node.childNodes]
    if node.tagName == "mfenced":
        marks = [node.getAttribute(name) or usual for name, usual in (("open", "("), ("close", ")"))]
        first, last = (f"<mo>{html.escape(html.unescape(mark))}</mo>" for mark in marks)
        return f"<mrow>{first}{'<mo>,</mo>'.join(inner)}{last}</mrow>"
    name = node.tagName if node.tagName in _ELEMENTS else "mrow"
    return f"<{name}>{''.join(inner)}</{name}>"

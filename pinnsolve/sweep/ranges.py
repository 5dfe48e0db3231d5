"""Ranges: what a user types behind `--vary`, read as values of a setting and checked before anything is trained.

network.width=20,40,60            these values, one after the other
network.depth=2..4                all whole numbers from 2 to 4
training.phases[0].lr=1e-4..1e-2:log      any number between, evenly by its logarithm
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pinnsolve.errors import ProblemError
from pinnsolve.sweep.settings import Numerics, Setting, Value

_WORDS: Mapping[str, bool] = {"true": True, "false": False}
_NONE = "none"


class SweepError(ProblemError):
    """A sweep that cannot mean what was typed."""

    exit_code = 2


@dataclass(frozen=True)
class Choices:
    """Values of a setting, one after the other.

    Args:
        setting: Which.
        values: In the order typed; all different.
    """

    setting: Setting
    values: tuple[Value, ...]

    @property
    def trials(self) -> tuple[Value, ...]:
        """What is tried to see whether the values can be used: all."""
        return self.values

    @property
    def text(self) -> str:
        """The values, in one form however they were typed."""
        return ",".join(map(str, self.values))


@dataclass(frozen=True)
class Span:
    """The numbers between two ends, both included.

    Args:
        setting: Which.
        low: The lower end.
        high: The upper end, above it.
        whole: Whether only whole numbers are meant.
        log: Whether they are spread by their logarithm.
    """

    setting: Setting
    low: float
    high: float
    whole: bool
    log: bool

    @property
    def trials(self) -> tuple[Value, ...]:
        """What is tried to see whether the values can be used: the ends."""
        return (self.low, self.high)

    @property
    def text(self) -> str:
        """The ends, in one form however they were typed."""
        return f"{self.low}..{self.high}{':log' if self.log else ''}"

    @property
    def values(self) -> tuple[Value, ...]:
        """The whole numbers, where they are a list as good as typed; else nothing."""
        return tuple(range(int(self.low), int(self.high) + 1)) if self.whole and not self.log else ()


Range = Choices | Span


def read_ranges(texts: Sequence[str], numerics: Numerics) -> tuple[Range, ...]:
    """Read what was typed behind every `--vary`.

    Args:
        texts: `SETTING=VALUES` each.
        numerics: What is varied.

    Raises:
        SweepError: No such setting, one that is named twice, values that are not of its kind, an empty range, or a value that the
            network or training refuses.
    """
    settings = numerics.settings()
    ranges: dict[str, Range] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        where = f"--vary {text}"
        if not equals or not values:
            raise SweepError(where, "no values", f"write --vary {name or 'network.width'}=20,40,60 or =20..60")
        if name not in settings:
            raise SweepError(where, f"there is no setting {name!r}", _nearest(name, settings))
        if name in ranges:
            raise SweepError(where, f"{name} is varied twice", "give all its values at once")
        found = _span(where, values, settings[name]) if ".." in values else _list(where, values, settings[name])
        _try(where, found, numerics)
        ranges[name] = found
    return tuple(ranges.values())


def _nearest(name: str, settings: Mapping[str, Setting]) -> str:
    near = difflib.get_close_matches(name, settings, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}Those there are: {', '.join(f'{s.name} (now {s.value})' for s in settings.values())}"


def _list(where: str, text: str, setting: Setting) -> Choices:
    values = tuple(_value(where, part.strip(), setting) for part in text.split(","))
    for k, value in enumerate(values):
        if value in values[:k]:
            raise SweepError(where, f"the value {value} twice", "give every value once")
    return Choices(setting, values)


def _value(where: str, text: str, setting: Setting) -> Value:
    if setting.optional and text == _NONE:
        return None
    if bool in setting.kinds and text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        if kind in setting.kinds and (number := _number(text, kind)) is not None:
            return number
    if str in setting.kinds and text and text != _NONE:
        return text
    raise SweepError(where, f"{text!r} is not {_described(setting)}", f"{setting.name} is {setting.value} now")


def _number(text: str, kind: Callable[[str], float]) -> float | None:
    try:
        number = kind(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _described(setting: Setting) -> str:
    """Return what a setting may be, in words."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    told = [words[kind] for kind in words if kind in setting.kinds]
    return " or ".join([*told, *([_NONE] if setting.optional else [])])


def _span(where: str, text: str, setting: Setting) -> Span:
    ends, colon, spread = text.partition(":")
    if not setting.kinds & {int, float}:
        raise SweepError(where, f"a range, and {setting.name} is {_described(setting)}", "list values: a,b,c")
    if colon and spread != "log":
        raise SweepError(
            where, f":{spread} behind a range", "write :log to spread numbers by their logarithm, or nothing"
        )
    whole = float not in setting.kinds
    numbers = [_number(end.strip(), int if whole else float) for end in ends.split("..")]
    if len(numbers) != 2 or any(number is None or not math.isfinite(number) for number in numbers):
        found = f"{ends!r} is no range of {'whole numbers' if whole else 'numbers'}"
        raise SweepError(where, found, f"write LOW..HIGH, such as {'20..60' if whole else '1e-4..1e-2:log'}")
    low, high = (number or 0 for number in numbers)
    if not low < high:
        raise SweepError(where, f"the range from {low:g} to {high:g} is empty", "write the lower end first, LOW..HIGH")
    if spread and low <= 0:
        raise SweepError(where, f"the logarithm of {low:g}", "begin above 0, or leave :log out")
    return Span(setting, low, high, whole, bool(spread))


def _try(where: str, found: Range, numerics: Numerics) -> None:
    """Let the description of network or training check every value."""
    for value in found.trials:
        try:
            numerics.put({found.setting: value})
        except ProblemError as error:
            raise SweepError(where, f"{error.term}: {error.found}", error.remedy) from None

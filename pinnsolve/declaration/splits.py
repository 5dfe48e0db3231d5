"""Splits: which measurements are held out of the training, to see what the fit says of those it has not seen.

A random choice asks the easiest question: neighbours of a held-out value were trained on, and a network that memorises them looks
good. Whole groups (a sensor, a specimen), whole blocks (of time or space) and a whole range (of a parameter) ask for what the fit
is wanted for: other sensors, later times, other parameters. Roberts et al., Cross-validation strategies for data with temporal,
spatial, hierarchical, or phylogenetic structure, 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from sympy import Symbol

from pinnsolve.errors import DataError

Columns = Mapping[Symbol, NDArray[np.float64]]
"""An array (points,) for each coordinate."""

Rows = NDArray[np.bool_]
"""Whether a row is meant, shape (points,)."""


@runtime_checkable
class Split(Protocol):
    """A way to hold rows out.

    Attributes:
        chooses: Whether the rows held out decide which state of the training is kept.
    """

    chooses: ClassVar[bool]

    @property
    def name(self) -> str:
        """What results call it."""
        ...

    def rows(self, at: Columns, left: Rows) -> Rows:
        """Return which rows to hold out of those that are left."""
        ...


@dataclass(frozen=True)
class RandomSplit:
    """Hold out single rows, chosen at random.

    Args:
        share: Part of the rows, at least one.
        seed: Of the choice.

    Example:
        >>> ts = np.linspace(0, 1, 20)
        >>> sensor = ps.Observations(at={t: ts}, values={q: np.exp(-ts)}, split=ps.RandomSplit(0.3))
    """

    chooses: ClassVar[bool] = True

    share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        _require_share("RandomSplit", self.share)

    @property
    def name(self) -> str:
        """What results call it."""
        return "random"

    def rows(self, at: Columns, left: Rows) -> Rows:
        """Return so many of the rows that are left."""
        return _chosen(np.where(left, np.arange(len(left)), -1), self.share, self.seed)


@dataclass(frozen=True, eq=False)
class GroupSplit:
    """Hold out whole groups: all measurements of a sensor or of a specimen.

    Args:
        groups: The group of every row, an array (points,) of numbers or names; in `Observations.read` also the name of a column.
        share: Part of the groups, at least one.
        seed: Of the choice.

    Example:
        >>> ts = np.linspace(0, 1, 20)
        >>> station = np.repeat(["north", "east", "south", "west"], 5)
        >>> sensor = ps.Observations(at={t: ts}, values={q: np.exp(-ts)}, split=ps.GroupSplit(station, 0.25))
    """

    chooses: ClassVar[bool] = True

    groups: Any
    share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        _require_share("GroupSplit", self.share)

    @property
    def name(self) -> str:
        """What results call it."""
        return "groups"

    def rows(self, at: Columns, left: Rows) -> Rows:
        """Return all rows of so many groups.

        Raises:
            DataError: The groups are not those of the rows, or all rows are of one.
        """
        groups = np.asarray(self.groups).ravel()
        if len(groups) != len(left):
            found = f"{len(groups)} groups for {len(left)} rows"
            raise DataError("GroupSplit", found, "give the group of every row")
        _, numbers = np.unique(groups, return_inverse=True)
        return _chosen(np.where(left, numbers, -1), self.share, self.seed)


@dataclass(frozen=True)
class BlockSplit:
    """Hold out whole blocks: ranges of one coordinate that hold equal numbers of rows.

    Args:
        coordinate: Which.
        share: Part of the blocks, at least one.
        blocks: Their number.
        seed: Of the choice.

    Example:
        >>> ts = np.linspace(0, 1, 20)
        >>> sensor = ps.Observations(at={t: ts}, values={q: np.exp(-ts)}, split=ps.BlockSplit(t, blocks=5))
    """

    chooses: ClassVar[bool] = True

    coordinate: Symbol
    share: float = 0.2
    blocks: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        _require_share("BlockSplit", self.share)
        if not isinstance(self.blocks, int) or self.blocks < 2:
            raise DataError("BlockSplit", f"blocks={self.blocks!r}", "write a number of blocks of at least 2")

    @property
    def name(self) -> str:
        """What results call it."""
        return f"blocks of {self.coordinate}"

    def rows(self, at: Columns, left: Rows) -> Rows:
        """Return all rows of so many blocks.

        Raises:
            DataError: The coordinate is not among those of the rows.
        """
        values = _values("BlockSplit", self.coordinate, at)
        edges = np.quantile(values, np.arange(1, self.blocks) / self.blocks)
        return _chosen(np.where(left, np.searchsorted(edges, values, side="right"), -1), self.share, self.seed)


@dataclass(frozen=True)
class RangeSplit:
    """Hold out a range of a coordinate or a parameter: what the fit says out of the distribution it was trained on.

    These rows decide nothing in the training, not even which state is kept.

    Args:
        ranges: Lowest and highest value held out, `{nu: (0.08, 0.1)}`; of several coordinates where all are in their ranges.

    Example:
        >>> ts = np.linspace(0, 1, 20)
        >>> sensor = ps.Observations(at={t: ts}, values={q: np.exp(-ts)}, split=ps.RangeSplit({t: (0.8, 1)}))
    """

    chooses: ClassVar[bool] = False

    ranges: Mapping[Symbol, tuple[float, float]]

    @property
    def name(self) -> str:
        """What results call it."""
        return ", ".join(f"{c} from {low:g} to {high:g}" for c, (low, high) in self.ranges.items())

    def rows(self, at: Columns, left: Rows) -> Rows:
        """Return the rows in the range.

        Raises:
            DataError: A coordinate is not among those of the rows.
        """
        chosen = left.copy()
        for coordinate, (low, high) in self.ranges.items():
            values = _values("RangeSplit", coordinate, at)
            chosen &= (values >= low) & (values <= high)
        return chosen


def hold_out(splits: tuple[Split, ...], at: Columns, count: int, *, source: str) -> dict[str, Rows]:
    """Return the rows that every split holds out, each of those that the splits before it left.

    Args:
        splits: In their order.
        at: Where the rows were measured.
        count: Number of rows.
        source: What messages call them.

    Raises:
        DataError: A split holds nothing out, leaves nothing to train on, or has the name of another.
    """
    left = np.ones(count, dtype=bool)
    found: dict[str, Rows] = {}
    for split in splits:
        rows = split.rows(at, left)
        if split.name in found:
            raise DataError(source, f"two splits named {split.name!r}", "write one of each kind")
        if not rows.any():
            raise DataError(source, f"the split {split.name!r} holds no row out", "enlarge its range or share")
        left &= ~rows
        if not left.any():
            raise DataError(source, f"the split {split.name!r} leaves no row to train on", "hold fewer out")
        found[split.name] = rows
    return found


def _chosen(numbers: NDArray[np.int64], share: float, seed: int) -> Rows:
    """Return the rows of some of the groups, given the number of each row's group, -1 for rows not to choose from."""
    groups = np.unique(numbers[numbers >= 0])
    count = max(1, round(share * len(groups)))
    return np.isin(numbers, np.random.default_rng(seed).permutation(groups)[:count])


def _values(name: str, coordinate: Symbol, at: Columns) -> NDArray[np.float64]:
    if coordinate not in at:
        names = ", ".join(map(str, at))
        raise DataError(name, f"{coordinate!r} is not a coordinate of the observations", f"use one of {names}")
    return at[coordinate]


def _require_share(name: str, share: float) -> None:
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share < 1:
        raise DataError(name, f"share={share!r}", "write a part between 0 and 1 such as 0.2")

"""Settings: what a sweep may vary in network and training, by the names a user would write them by in Python.

`network.width`, `training.phases[0].lr` and `training.points.burgers` are places in frozen descriptions. A setting is found by
comparing its name with the names of all there are, and put in place by replacing what is around it: nothing typed is evaluated,
and every value passes the checks that its description makes of what is written in a problem file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pinnsolve.choices import Plan
from pinnsolve.networks.architectures import Architecture
from pinnsolve.networks.windows import Windows
from pinnsolve.training.schedule import Training

Value = bool | int | float | str | None
"""What a setting may be."""

_SCALARS = (bool, int, float, str)
_PHASES, _WEIGHTS = "training.phases[", "training.weights."
_HANDED_ON = ("training.resample",)
"""What `Training` hands on to its phases, where it is varied."""


@dataclass(frozen=True)
class Setting:
    """One place in network or training.

    Args:
        name: As the user writes it.
        path: Attributes, numbers of phases and names of terms that lead there from (network, training).
        kinds: What it may be, some of bool, int, float and str.
        optional: Whether it may be None.
        value: What it is in the problem file, or by default.
    """

    name: str
    path: tuple[str | int, ...]
    kinds: frozenset[type]
    optional: bool
    value: Value


@dataclass(frozen=True)
class Numerics:
    """Network and training, complete enough to be varied.

    Args:
        network: A description, or a module of the user's, which has no settings.
        training: With the phases that are run.
        explicit: Whether the phases are the user's; those that were chosen are written down only to be varied.
        counts: Points of every term that ranges.
        weights: Factor on the mean square of every term that is trained.
    """

    network: Any
    training: Training
    explicit: bool
    counts: Mapping[str, int]
    weights: Mapping[str, float]

    @staticmethod
    def of(training: Training | None, plan: Plan) -> Numerics:
        """Return what a problem file gives, completed by what was chosen for it."""
        given = Training() if training is None else training
        network = plan.network.network if isinstance(plan.network, Windows) else plan.network
        whole = replace(given, phases=plan.phases)
        return Numerics(network, whole, given.phases is not None, plan.counts, plan.weights)

    def settings(self) -> dict[str, Setting]:
        """Return all settings by name."""
        found: dict[str, Setting] = {}
        if isinstance(self.network, Architecture):
            found |= {s.name: s for s in _scalars(self.network, "network", ("network",))}
        found |= {s.name: s for s in _scalars(self.training, "training", ("training",)) if s.name not in _HANDED_ON}
        for k, phase in enumerate(self.training.phases or ()):
            if is_dataclass(phase):
                found |= {s.name: s for s in _scalars(phase, f"{_PHASES}{k}]", ("training", "phases", k))}
        for kind, what, values in ((int, "points", self.counts), (float, "weights", self.weights)):
            for term, value in values.items():
                name = f"training.{what}.{term}"
                found[name] = Setting(name, ("training", what, term), frozenset({kind}), False, value)
        return found

    def put(self, values: Mapping[Setting, Value]) -> tuple[Any, Training]:
        """Return network and training with some settings changed.

        Raises:
            ProblemError: A value, or several together, that a description refuses.
        """
        training = self.training
        if any(s.name.startswith(_WEIGHTS) for s in values):
            training = replace(training, weights=self.weights)  # given some, the others would be 1
        whole = {"network": self.network, "training": training}
        changed = _changed(whole, {s.path: v for s, v in values.items()})
        training = changed["training"]
        if not self.explicit and not any(s.name.startswith(_PHASES) for s in values):
            training = replace(training, phases=None)  # chosen anew, by the network that is now
        return changed["network"], training


def _scalars(description: Any, name: str, path: tuple[str | int, ...]) -> Iterator[Setting]:
    """Yield the settings of a frozen description that are single values."""
    hints = get_type_hints(type(description))
    for field in fields(description):
        union = get_origin(hints[field.name]) in (Union, UnionType)
        kinds = get_args(hints[field.name]) if union else (hints[field.name],)
        scalars = frozenset(kind for kind in kinds if kind in _SCALARS)
        if scalars:
            place, value = (*path, field.name), getattr(description, field.name)
            yield Setting(f"{name}.{field.name}", place, scalars, NoneType in kinds, value)


def _changed(node: Any, changes: Mapping[tuple[str | int, ...], Value]) -> Any:
    """Return a mapping, a sequence or a frozen description with what lies at some paths in it replaced, all at once."""
    below: dict[str | int, dict[tuple[str | int, ...], Value]] = {}
    for (first, *rest), value in changes.items():
        below.setdefault(first, {})[tuple(rest)] = value
    new = {first: some[()] if () in some else _changed(_at(node, first), some) for first, some in below.items()}
    if node is None or isinstance(node, Mapping):
        return {**(node or {}), **new}
    if isinstance(node, tuple):
        return tuple(new.get(k, entry) for k, entry in enumerate(node))
    return replace(node, **{str(first): value for first, value in new.items()})


def _at(node: Any, first: str | int) -> Any:
    if isinstance(node, Mapping | tuple):
        return node[first]  # type: ignore[index]
    return getattr(node, str(first))

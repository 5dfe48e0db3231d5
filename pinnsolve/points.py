"""Points of every term: drawn once for training, once for the held-out residual, and redrawn where the residual is large.

Equations on the same points are redrawn together, by the sum of their residuals, each relative to its mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from sympy import Symbol
from torch import Tensor

from pinnsolve.compiler.compile import CompiledProblem, term_inputs
from pinnsolve.compiler.trial import Trial
from pinnsolve.declaration.places import region_of
from pinnsolve.declaration.terms import Term
from pinnsolve.domains.indicators import indicator_values
from pinnsolve.domains.regions import Region
from pinnsolve.domains.sampling import choose_adaptively, draw
from pinnsolve.domains.spreading import Graded
from pinnsolve.problem import Problem
from pinnsolve.training.chunks import sharing
from pinnsolve.training.distributed import ALONE, Group, evaluated_in_shares
from pinnsolve.training.weighting import Place

CANDIDATES = 4
"""Candidates for each point chosen by its residual."""

HELD_OUT_SHARE = 0.25
"""Held-out points for each training point."""

_ROUNDING = 1e-12
"""Where all residuals are equal, none exceeds their mean, whatever rounding makes of it."""

_HELD_OUT_STREAM, _TRAINING_STREAM, _CHOICE_STREAM = 0, 1, 2


@dataclass(frozen=True)
class Span:
    """A part of a coordinate's range, with what is declared on the whole of it.

    Args:
        coordinate: Which.
        whole: Its lowest and highest value.
        part: Those of the part.
    """

    coordinate: Symbol
    whole: tuple[float, float]
    part: tuple[float, float]

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return which values are in the part; one on an edge inside belongs to what follows."""
        low, high = self.part
        return (values >= low) & ((values < high) | (high == self.whole[1]))

    def narrow(self, points: np.ndarray, inputs: Sequence[Symbol]) -> np.ndarray:
        """Return points that are spread over the whole spread over the part."""
        if self.coordinate not in inputs:
            return points
        column, (low, high) = inputs.index(self.coordinate), self.whole
        share = (points[:, column] - low) / (high - low)
        narrowed = points.copy()
        narrowed[:, column] = self.part[0] + share * (self.part[1] - self.part[0])
        return narrowed


@dataclass(frozen=True)
class TermPoints:
    """Where the terms of a compiled problem are evaluated.

    Args:
        compiled: The terms.
        counts: Number of points for each term that ranges.
        method: How to spread them, one of `sampling.METHODS`, or graded.
        seed: Every draw follows from it and a number.
        device: Where the tensors live.
        resampling: How the points of equations are redrawn, one of `schedule.RESAMPLINGS`.
        span: Where, in one coordinate; None for all of it.
        group: Ranks that evaluate residuals together; each draws all points, the same ones.
    """

    compiled: CompiledProblem
    counts: Mapping[str, int]
    method: str | Graded
    seed: int
    device: torch.device
    resampling: str = "rad"
    span: Span | None = None
    group: Group = ALONE

    def training(self) -> dict[str, Tensor]:
        """Return the first points to train on."""
        return self._draw(self.counts, _TRAINING_STREAM, 0)

    def held_out(self) -> dict[str, Tensor]:
        """Return points that are never trained on; the measured ones, which cannot be drawn, are those held out, or the same."""
        counts = {name: max(32, int(HELD_OUT_SHARE * count)) for name, count in self.counts.items()}
        return self._draw(counts, _HELD_OUT_STREAM, 0)

    def redraw(self, trial: Trial, number: int, *, current: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return new points: those of equations by `resampling`, the others afresh.

        Args:
            trial: Gives the residual that decides.
            number: Different numbers give different points.
            current: The points so far, some of which "r3" retains; equations without any get none but fresh ones.
        """
        fresh = self._draw(self.counts, _TRAINING_STREAM, number)
        if self.resampling == "rad":
            return fresh | self._chosen(trial, number)
        if self.resampling == "r3":
            return fresh | self._retained(trial, number, current or {})
        return fresh

    def _chosen(self, trial: Trial, number: int) -> dict[str, Tensor]:
        """Choose among several times as many points, the larger the residual the more likely."""
        generator = np.random.default_rng((self.seed, _CHOICE_STREAM, number))
        many = {name: CANDIDATES * count for name, count in self.counts.items() if self._is_equation(name)}
        candidates = self._draw(many, _TRAINING_STREAM, number + 1_000_003)
        chosen: dict[str, Tensor] = {}
        for names, sizes in self._sizes(trial, {name: candidates[name] for name in many}):
            places = choose_adaptively(sizes, self.counts[names[0]], generator=generator)
            chosen |= dict.fromkeys(names, candidates[names[0]][torch.as_tensor(places, device=self.device)])
        return chosen

    def _retained(self, trial: Trial, number: int, current: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Retain the points where the residual exceeds its mean, of which there are never all, and draw the others afresh.

        Daw, Bu, Wang, Perdikaris and Karpatne, Mitigating propagation failures in physics-informed neural networks using
        retain-resample-release (R3) sampling, 2023, algorithm 1.
        """
        retained: dict[str, Tensor] = {}
        equations = {name: current[name] for name in self.counts if name in current and self._is_equation(name)}
        for names, sizes in self._sizes(trial, equations):
            above = sizes > (1 + _ROUNDING) * sizes.mean()
            kept = current[names[0]][torch.as_tensor(above, device=self.device)]
            retained |= dict.fromkeys(names, kept)
        released = {name: self.counts[name] - len(kept) for name, kept in retained.items()}
        fresh = self._draw(released, _TRAINING_STREAM, number)
        whole: dict[str, Tensor] = {}
        for names in sharing(retained):
            whole |= dict.fromkeys(names, torch.cat([retained[names[0]], fresh[names[0]]]))
        return whole

    def _sizes(self, trial: Trial, points: Mapping[str, Tensor]) -> list[tuple[list[str], np.ndarray]]:
        """Return names of terms on the same points, and there the sum of their residuals' relative sizes, for all terms."""
        terms = CompiledProblem(self.compiled.problem, tuple(t for t in self.compiled.terms if t.name in points))
        dtype = next(trial.parameters()).dtype
        cast = {id(tensor): tensor.to(dtype) for tensor in points.values()}
        with torch.no_grad():
            given = {name: cast[id(tensor)] for name, tensor in points.items()}
            residuals = evaluated_in_shares(partial(terms.residuals, trial), given, self.group)
        return [
            (names, np.sum([_relative_size(residuals[name]) for name in names], axis=0)) for names in sharing(points)
        ]

    def _is_equation(self, name: str) -> bool:
        return self.compiled.problem.term(name).kind == "equation"

    def _draw(self, counts: Mapping[str, int], stream: int, number: int) -> dict[str, Tensor]:
        """Draw points; terms that hold at the same place with the same count get the very same tensor."""
        problem = self.compiled.problem
        shared: dict[str, Tensor] = {}
        drawn: dict[str, Tensor] = {}
        for name in (compiled_term.name for compiled_term in self.compiled.terms):
            term = problem.term(name)
            if not term.columns and term.free and name not in counts:
                continue
            key = name if term.columns else f"{counts.get(name)} {self._homes[name]}"
            if key not in shared:
                seed = int(np.random.SeedSequence((self.seed, stream, number, len(shared))).generate_state(1)[0])
                if term.columns:
                    array = self._measured(term, stream)
                else:
                    region = self._regions[name]
                    array = _drawn(term, problem, region, counts.get(name, 1), method=self.method, seed=seed)
                    array = array if self.span is None else self.span.narrow(array, term_inputs(term, problem))
                # In torch's own memory, aligned as that of a stored state is: sums may round differently by it.
                shared[key] = torch.tensor(array, dtype=torch.float64, device=self.device)
            drawn[name] = shared[key]
        return drawn

    @cached_property
    def _homes(self) -> dict[str, str]:
        """Which terms hold at the same place with the same inputs: those with the same text."""
        problem = self.compiled.problem
        inputs = {name: term_inputs(problem.term(name), problem) for name in self._regions}
        return {name: f"{inputs[name]} {region}" for name, region in self._regions.items()}

    @cached_property
    def _regions(self) -> dict[str, Region | None]:
        """Where each term holds; kept, because regions keep what was estimated of them."""
        problem = self.compiled.problem
        terms = [problem.term(t.name) for t in self.compiled.terms]
        return {t.name: term_region(t, problem) for t in terms if not t.columns}

    def _measured(self, term: Term, stream: int) -> np.ndarray:
        """Return the rows trained on, or for what is held out those that are, if there are any."""
        if stream == _HELD_OUT_STREAM and term.checked and len(checked := self._within(term.checked)):
            return checked
        return self._within(term.columns)

    def _within(self, columns: Mapping[Symbol, np.ndarray]) -> np.ndarray:
        array = np.stack(list(columns.values()), axis=1)
        if self.span is None or self.span.coordinate not in columns:
            return array
        return array[self.span.holds(columns[self.span.coordinate])]


def term_points(
    term: Term, problem: Problem, count: int, *, method: str | Graded = "sobol", seed: int = 0
) -> np.ndarray:
    """Draw points where a term holds, as an array (points, inputs of the term)."""
    return _drawn(term, problem, term_region(term, problem), count, method=method, seed=seed)


def _drawn(
    term: Term, problem: Problem, region: Region | None, count: int, *, method: str | Graded, seed: int
) -> np.ndarray:
    if region is None:
        return np.zeros((count, 0))
    points = draw(region, count, method=method, seed=seed)
    columns: dict[Symbol, np.ndarray] = dict(zip(region.coordinates, points.coordinates.T, strict=True))
    if points.normals is not None:
        columns |= dict(zip(region.normal, points.normals.T, strict=True))
    inputs = term_inputs(term, problem)
    columns |= indicator_values(problem.domain, inputs, columns)
    return np.stack([columns[symbol] for symbol in inputs], axis=1)


def term_region(term: Term, problem: Problem) -> Region | None:
    """Return where a term holds, its own region or where its free coordinates range; None stands for a single point."""
    return region_of(term, problem.domain, problem.fields)


def term_places(compiled: CompiledProblem) -> dict[str, Place]:
    """Return kind and columns of every term, for a weighting."""
    kinds = {term.name: term.kind for term in compiled.problem.terms}
    return {term.name: Place(kinds[term.name], {c: k for k, c in enumerate(term.inputs)}) for term in compiled.terms}


def _relative_size(residual: Tensor) -> np.ndarray:
    sizes = residual.abs().double().cpu().numpy()
    mean = sizes.mean()
    return sizes / mean if mean > 0 else sizes

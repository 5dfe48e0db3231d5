"""Choices: everything a run decides that the user did not, each with its value, its reason and the setting that overrides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from sympy import Symbol
from torch import nn

from pinnsolve.balance import balance, close, noisy
from pinnsolve.choice import Choice
from pinnsolve.compiler.compile import CompiledProblem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.declaration.characteristics import growth
from pinnsolve.declaration.counting import marching, orders
from pinnsolve.declaration.distances import find_enclosures
from pinnsolve.declaration.scales import rises_from_little
from pinnsolve.declaration.singularities import clamp_beside_traction, kept_away_from
from pinnsolve.domains.spreading import Graded
from pinnsolve.errors import ProblemError, UnsupportedError
from pinnsolve.networks.architectures import MLP, Architecture
from pinnsolve.networks.symmetry import require_different_units
from pinnsolve.phases import (
    DENSE_ON_CPU,
    GAUSS_NEWTON,
    choose_phases,
    halved,
    mean_network,
    private_phases,
    quicker,
    to_the_limit,
)
from pinnsolve.point_counts import count_points
from pinnsolve.problem import Problem
from pinnsolve.pseudo_time import Marching
from pinnsolve.remedies import choose_remedy, is_linear
from pinnsolve.sample_size import Growing
from pinnsolve.training.first_order import FirstOrder
from pinnsolve.training.gauss_newton import LevenbergMarquardt
from pinnsolve.training.modes import changes
from pinnsolve.training.phase import Phase
from pinnsolve.training.schedule import Training
from pinnsolve.windows import WINDOWS, can_be_cut, in_windows

_BEGINNING = 150
"""Steps of a Gauss-Newton method on fewer points. Reaction is at 1e-5 after 13 s with them and after 25 s without, Kovasznay's flow
at 1e-6 after 14 s and 19 s, and where they end is as near."""

_HARMONICS = 4
"""Waves by which the circle of an evolution is read in which they grow."""

_GROWTH = 8.0
"""Powers of e by which small waves grow over the range before windows are worth their time. Those of Kuramoto and Sivashinsky's
equation in `problems/` grow by 10, which one network does not follow. Where they grow by less, by 5 for Allen and Cahn's and 1 for
Korteweg and de Vries', one network for all times is as good in the same time or, for smooth solutions, far better."""

_LONG, _WIDE = 100.0, 24
"""Seconds of training that repay wider layers, and how wide they are then, for what may steepen: Korteweg and de Vries' equation
ends at 1e-4 after 300 s with them and at 5e-4 with 20 units, Burgers' at about the same after 200 s."""

_SMALL = 0.1
"""How far a network starts from the conditions alone, relative to others, where an equation divides by what may vanish."""

_QUICK = 4
"""A quick run has this many times fewer points and ten times fewer steps; nothing else differs."""


_ONE_THREAD = Choice(
    "threads", "1", "layers this small gain little from more, and lose much when other programs run", "--threads N"
)


class DeviceError(ProblemError):
    """A device that cannot be used."""

    exit_code = 2


@dataclass(frozen=True)
class Plan:
    """The numerics of a run, complete.

    Args:
        network: A description, or a module of the user's.
        counts: Number of points for each term that ranges.
        growing: Which of these numbers change as the training goes on, or None.
        phases: What to do, in order.
        opening: Factor on the mean square of every term, in all phases but the last.
        weights: The same in the last phase, and of what is told of the solution.
        sampling: How points are spread.
        dtype: Precision of the first phase.
        device: Where it runs.
        threads: Threads of torch on the CPU, or None to leave them as they are.
        directions: Terms of a long sum of derivatives that are evaluated, or None for all.
        marching: How equations are solved in pseudo-time, or None to solve them at once.
        causal: The coordinate in which a training that is stuck is begun again causally, or None.
        once_stuck: By what a training that is stuck is begun again, or None.
        patience: Steps without a lower held-out loss after which a phase ends, or None for any number.
        choices: What was decided, for the user to see.
    """

    network: Any
    counts: Mapping[str, int]
    growing: Growing | None
    phases: tuple[Phase, ...]
    opening: Mapping[str, float]
    weights: Mapping[str, float]
    sampling: str | Graded
    dtype: torch.dtype
    device: torch.device
    threads: int | None
    directions: int | None
    marching: Marching | None
    causal: Symbol | None
    once_stuck: Plan | None
    patience: int | None
    choices: tuple[Choice, ...]


def choose(
    compiled: CompiledProblem,
    network: Any = None,
    training: Training | None = None,
    *,
    device: str = "auto",
    dtype: str = "float64",
    quick: bool = False,
    threads: int | None = None,
    seconds: float | None = None,
) -> Plan:
    """Complete what the user gave by what the problem asks for.

    Where the user limits the time, to `seconds`, phases that are chosen go on until then, as long as it helps.

    Raises:
        ProblemError: Points or weights for a term that does not exist, a device or dtype that does not, or a network or
            training of another kind.
    """
    problem, training = compiled.problem, Training() if training is None else training
    _check_kinds(network, training, dtype)
    choices: list[Choice] = []
    time = _grows_in(problem) if training.phases is None and training.windows is None else None
    if network is None:
        network = _network(problem, time, choices, seconds)
    where = _device(device, choices)
    patience = training.patience
    trial = build_trial(problem, network, seed=0, dtype=torch.float64, device="cpu")
    if isinstance(network, nn.Module):
        require_different_units(network, ranges=list(problem.bounds.values()))
    parameters = sum(p.numel() for p in trial.parameters())
    windows = {c: count for c, count in (training.windows or {}).items() if count > 1}
    if time is not None and parameters <= GAUSS_NEWTON:
        windows = _windows(problem, network, time, choices)
    phases, windows, lighter = _phases(problem, training, parameters, where, windows, choices)
    private = isinstance(phases[-1], FirstOrder)
    if training.phases is None and seconds is not None and not quick and not private:
        phases, patience = to_the_limit(phases, patience, choices)
    if threads is None and where.type == "cpu" and parameters <= DENSE_ON_CPU:
        threads = 1
        choices.append(_ONE_THREAD)
    by_rows = isinstance(phases[-1], LevenbergMarquardt) and phases[-1].resample == 1
    smooth = getattr(network, "activation", None) == "sine"
    given = training.points or {}
    counts = count_points(compiled, given, choices, windowed=bool(windows), by_rows=by_rows, smooth=smooth)
    sized = by_rows and not windows and not quick
    growing = _growing(compiled, given, phases, choices, noise=bool(lighter)) if sized else None
    if quick:
        counts = {name: max(16, count // _QUICK) for name, count in counts.items()}
        phases = tuple(quicker(phase) for phase in phases)
        choices.append(Choice("quick", "a quarter of the points, a tenth of the steps", "--quick", "leave --quick out"))
    opening = balance(compiled, training.weights, choices)
    weights = close(opening, lighter, choices)
    if windows:
        network = in_windows(problem, network, windows)
    remedy = choose_remedy(problem, network, training, phases, choices, seconds=seconds)
    again: dict[str, Any] = {"device": device, "dtype": dtype, "quick": quick, "threads": threads, "seconds": seconds}
    cut = replace(training, windows=remedy.windows)
    once_stuck = choose(compiled, network, cut, **again) if remedy.windows else None
    if changes(trial):
        choices.append(mean_network(phases))
    return Plan(
        network,
        counts,
        growing,
        tuple(phases),
        opening,
        weights,
        training.sampling,
        getattr(torch, dtype),
        where,
        threads,
        training.directions,
        remedy.marching,
        remedy.causal,
        once_stuck,
        patience,
        tuple(choices),
    )


def _phases(
    problem: Problem,
    training: Training,
    parameters: int,
    device: torch.device,
    windows: dict[Symbol, int],
    choices: list[Choice],
) -> tuple[tuple[Phase, ...], dict[Symbol, int], tuple[str, ...]]:
    """Return the phases, the windows that bear them, and the terms of noisy measurements, which weigh less in the last one."""
    given, private = training.phases, any(o.privacy is not None for o in problem.data.values())
    if given is None and private:
        return private_phases(training.resample, choices), {}, ()
    whole = windows or training.weighting is not None or private or (given and isinstance(given[-1], FirstOrder))
    lighter = () if whole else noisy(problem, training.weights)
    if given is None:
        halves = bool(lighter)
        given = choose_phases(parameters, device, training.resample, choices, windowed=bool(windows), halves=halves)
    return halved(given) if lighter else tuple(given), windows, lighter


def _check_kinds(network: Any, training: Any, dtype: str) -> None:
    if isinstance(network, type) or not isinstance(network, Architecture | nn.Module | None):
        raise ProblemError("network", f"{network!r}", "write ps.MLP(width=32, depth=4), or give a torch.nn.Module")
    if not isinstance(training, Training):
        raise ProblemError("training", f"{training!r}", "write ps.Training(points={...}, phases=[...])")
    if dtype not in ("float32", "float64"):
        raise ProblemError("dtype", f"{dtype!r}", "write float64 or float32")


def meet_conditions(problem: Problem, network: Any = None) -> tuple[Problem, tuple[Choice, ...]]:
    """Return the problem with its conditions built into the ansatz where they can be, unless the user decided.

    Args:
        problem: The declaration.
        network: What is to be put into the ansatz; a module of the user's reads no coordinate as periodic.
    """
    if problem.hard is not None or problem.ansatz:
        return problem, ()
    try:
        exact = replace(problem, hard=True)
    except UnsupportedError:
        return problem, ()
    if exact.periods and isinstance(network, nn.Module):
        return problem, ()
    clash = clamp_beside_traction(problem.terms, problem.fields, problem.domain, exact.exact)
    if clash is not None:
        clamp, traction = clash
        reason = (
            f"stresses are unbounded where {clamp} meets {traction}, and fields that vanish exactly give way elsewhere"
        )
        return problem, (Choice("exact conditions", "none", reason, "ps.Problem(..., hard=True)"),)
    enclosures = find_enclosures(exact.terms, exact.fields, exact.domain)
    if any(not enclosure.smooth for field, enclosure in enclosures.items() if field in exact.ansatz):
        return problem, ()  # a factor whose second derivatives grow without bound at corners is for the user to choose
    reason = "what is met exactly needs no weight and leaves one loss to lower"
    if any(term.kind == "condition" and term.name not in exact.exact for term in problem.terms):
        reason += "; others give no value on a whole face, no slope beside a value, or meet one of these only roughly"
    return exact, (Choice("exact conditions", ", ".join(sorted(exact.exact)), reason, "ps.Problem(..., hard=False)"),)


def _network(problem: Problem, time: Symbol | None, choices: list[Choice], seconds: float | None) -> MLP:
    """Choose a small network, and where it starts."""
    network, reason = _small_network(problem)
    if time is not None:
        network = replace(network, harmonics=_HARMONICS)
    elif seconds is not None and seconds >= _LONG and network.activation == "tanh":
        network, reason = replace(network, width=_WIDE), f"{reason}; {seconds:g} s suffice for more of them"
    text = f"MLP, {network.depth} layers of {network.width} {network.activation}"
    choices.append(Choice("network", text, reason, "network = ps.MLP(width=..., depth=...)"))
    away = kept_away_from(problem.terms, problem.fields, problem.domain, problem.ansatz)
    if away is None:
        return network
    reason = f"an equation has no value where {away} vanishes, and the conditions alone keep it on one side"
    choices.append(Choice("start", f"last layer {_SMALL:g} times as large", reason, "network = ps.MLP(start=1)"))
    return replace(network, start=_SMALL)


def _small_network(problem: Problem) -> tuple[MLP, str]:
    """Choose a small network, and say why it."""
    times = marching(problem.terms, problem.fields, problem.domain) or _measured_evolution(problem)
    few = "so few weights suit a dense second-order method"
    sines = MLP(width=20, depth=3, activation="sine")
    if len(problem.coordinates) == 1:
        return sines, f"one coordinate; sines follow oscillations, and {few}"
    if not times:
        return sines, f"nothing evolves; sines suit smooth fields best, and {few}"
    evolves = f"the solution evolves in {', '.join(map(str, times))}"
    if _keeps_its_form(problem, times):
        return sines, f"{evolves} by linear equations of first order, which cannot steepen; {few}"
    return MLP(width=20, depth=3), f"{evolves} and may steepen or run back and forth, which tanh follows; {few}"


def _measured_evolution(problem: Problem) -> list[Symbol]:
    """Return the coordinates in which equations are of lower order than in others, where measurements are all there is."""
    if not problem.data or any(term.kind == "condition" for term in problem.terms):
        return []
    highest = orders(problem.terms, problem.fields)
    order = {
        c: max((o for (_, other), o in highest.items() if other == c), default=0) for c in problem.domain.intervals
    }
    return [c for c, o in order.items() if 0 < o < max(order.values())]


def _keeps_its_form(problem: Problem, times: Sequence[Symbol]) -> bool:
    """Return whether equations are linear, and of first order in what evolves.

    Where they are of second order, as for waves, networks of sines often stay in a minimum far from the solution.
    """
    highest = orders(problem.terms, problem.fields)
    if any(order > 1 for (_, coordinate), order in highest.items() if coordinate in times):
        return False
    return all(is_linear(term) for term in problem.terms if term.kind == "equation")


def _grows_in(problem: Problem) -> Symbol | None:
    """Return the coordinate in which a nonlinear evolution makes something grow by far.

    It is small waves, on a circle or by terms of high order, or a field of ordinary differential equations that begins with little.
    Errors then grow as well, and a network for all times at once learns some other solution, or none. Where nothing grows, or the
    evolution is of second order, whose velocity carries errors from window to window, one network does better than windows.
    """
    times = marching(problem.terms, problem.fields, problem.domain)
    equations = [term for term in problem.terms if term.kind == "equation"]
    if len(times) != 1 or all(is_linear(term) for term in equations):
        return None
    (time,) = times
    if len(problem.coordinates) == 1:
        little = rises_from_little(problem.terms, problem.fields, problem.domain, problem.unknowns)
        return time if little else None
    highest = orders(equations, problem.fields)
    across = {c: order for (_, c), order in sorted(highest.items(), key=lambda item: item[1]) if c != time}
    far = any(order >= 3 or (order and c in problem.periods) for c, order in across.items())
    first = all(order <= 1 for (_, c), order in highest.items() if c == time)
    if not far or not first or growth(problem.terms, problem.fields, time, problem.bounds) < _GROWTH:
        return None
    return time


def _windows(problem: Problem, network: Any, time: Symbol, choices: list[Choice]) -> dict[Symbol, int]:
    """Choose windows where the problem can be solved in windows."""
    if not can_be_cut(problem, network, time):
        return {}
    what = "a field rises from little" if len(problem.coordinates) == 1 else f"fields get finer as {time} goes on"
    reason = f"{what}; each range of {time} is solved on its own, from where the one before ended"
    choices.append(Choice("windows", f"{WINDOWS} of {time}", reason, f"training = ps.Training(windows={{{time}: 1}})"))
    return {time: WINDOWS}


def _growing(
    compiled: CompiledProblem,
    given: Mapping[str, int],
    phases: Sequence[Phase],
    choices: list[Choice],
    *,
    noise: bool,
) -> Growing | None:
    """Let the number of points grow where it was chosen, of equations, whose points are most.

    Beside measurements with noise, it begins at once: fields that follow noise violate equations between few points.
    """
    terms = [compiled.problem.term(t.name) for t in compiled.terms]
    chosen = [t for t in terms if t.kind == "equation" and t.free and not t.columns]
    names = tuple(t.name for t in chosen if t.name not in given and t.group not in given)
    if not names:
        return None
    beginning = sum(phase.steps for phase in phases if not isinstance(phase, LevenbergMarquardt))
    beginning += 0 if noise else _BEGINNING
    text = f"two fifths of those of {', '.join(names)} for {beginning} steps, and up to four times as many at the end"
    reason = "few show the way as well, and more are needed where the held-out loss falls no longer"
    choices.append(Choice("samples", text, reason, "training = ps.Training(points={...})"))
    return Growing(names, beginning)


def _device(device: str, choices: list[Choice]) -> torch.device:
    if device == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        reason = "a GPU is usable" if name == "cuda" else "no usable GPU"
        choices.append(Choice("device", name, reason, "--device cpu or cuda"))
        return torch.device(name)
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device", "cuda was asked for, and torch sees none", "use --device cpu, or auto")
    if device not in ("cpu", "cuda"):
        raise DeviceError("device", f"{device!r}", "write auto, cpu or cuda")
    return torch.device(device)

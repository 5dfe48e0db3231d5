"""Phases: which methods train, for how many steps, and what these see, where the user does not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pinnsolve.choice import Choice
from pinnsolve.training.first_order import FirstOrder
from pinnsolve.training.gauss_newton import LevenbergMarquardt
from pinnsolve.training.optimizers import Adam
from pinnsolve.training.phase import Phase
from pinnsolve.training.quasi_newton import LBFGS, SSBroyden

_ADAM_STEPS, _SECOND_STEPS, _RESAMPLE = 500, 4_000, 300
_SHORT_ADAM_STEPS, _GAUSS_NEWTON_STEPS, _WINDOW_STEPS = 200, 500, 200

GAUSS_NEWTON = 1_500
"""Parameters up to which a Gauss-Newton step repays its product of Jacobians."""

_TO_THE_LIMIT, _PATIENCE = 50_000, 500
"""Steps where the time is to end the training, and how many of them without a lower held-out loss end it before."""

_PRIVATE_STEPS = 1_000
"""Steps where observations are private: more need more noise each, fewer do not get far."""

DENSE_ON_CPU, _DENSE_ON_GPU = 3_000, 12_000
"""Parameters up to which the inverse Hessian is dense: beyond, its passes through memory cost more than the gradient."""


def choose_phases(
    parameters: int, device: torch.device, resample: int, choices: list[Choice], *, windowed: bool, halves: bool
) -> tuple[Phase, ...]:
    """Choose a short Adam to find the basin and a second-order method to go to its bottom.

    Args:
        parameters: How many are trained.
        device: Where.
        resample: Steps between two draws of the points, if the user says so; else 0.
        choices: Gets what was chosen.
        windowed: Whether it is for one of several windows.
        halves: Whether the second phase will be `halved`.
    """
    override = "training = ps.Training(phases=[ps.Adam(steps=...), ps.LBFGS(steps=...)])"
    if parameters <= GAUSS_NEWTON:
        reason = f"a Gauss-Newton step on {parameters} parameters is worth a hundred of a quasi-Newton method"
        first = Adam(steps=_SHORT_ADAM_STEPS, lr=5e-3, resample=resample)
        steps = _WINDOW_STEPS if windowed else _GAUSS_NEWTON_STEPS
        second: Phase = LevenbergMarquardt(steps=steps, resample=resample or 1)
    elif parameters <= (_DENSE_ON_GPU if device.type == "cuda" else DENSE_ON_CPU):
        reason = f"a dense inverse Hessian of {parameters} parameters is cheap, and best on ill-conditioned losses"
        first = Adam(steps=_ADAM_STEPS, lr=5e-3, resample=resample)
        second = SSBroyden(steps=_SECOND_STEPS, resample=resample or _RESAMPLE)
    else:
        reason = f"{parameters} parameters are too many for a dense inverse Hessian"
        first = Adam(steps=_ADAM_STEPS, lr=5e-3, resample=resample)
        second = LBFGS(steps=_SECOND_STEPS, resample=resample or _RESAMPLE)
    redrawn = "at every step" if second.resample == 1 else f"every {second.resample}"
    parts = f"{second.steps} in two halves" if halves else f"{second.steps}"
    text = f"Adam {first.steps}, then {type(second).__name__} {parts}, points redrawn {redrawn}"
    choices.append(Choice("phases", text, reason, override))
    return first, second


def halved(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """Return the phases with the two halves of the last one as phases of their own."""
    *others, last = phases
    first = last.steps // 2
    halves = [replace(last, steps=steps) for steps in (first, last.steps - first) if steps]  # type: ignore[type-var]
    return (*others, *halves)


def to_the_limit(
    phases: tuple[Phase, ...], patience: int | None, choices: list[Choice]
) -> tuple[tuple[Phase, ...], int]:
    """Let the last phase go on until the user's time is up; it ends before where the held-out loss falls no more."""
    last, patience = phases[-1], patience or _PATIENCE
    text = f"as many as the time allows, while one of {patience} lowers the held-out loss"
    reason = f"a limit on the time is given; without one they are {last.steps}"
    choices.append(
        Choice("steps", text, reason, f"training = ps.Training(phases=[..., ps.{type(last).__name__}(steps=...)])")
    )
    return (*phases[:-1], replace(last, steps=_TO_THE_LIMIT)), patience  # type: ignore[type-var]


def private_phases(resample: int, choices: list[Choice]) -> tuple[Phase, ...]:
    """Choose a first-order method alone: line searches and curvature would ask private observations again and again."""
    phase = Adam(steps=_PRIVATE_STEPS, lr=5e-3, resample=resample)
    reason = "second-order methods would look at private observations again and again"
    override = "training = ps.Training(phases=[ps.Adam(steps=...)])"
    choices.append(Choice("phases", f"Adam {phase.steps}", reason, override))
    return (phase,)


def mean_network(phases: Sequence[Phase]) -> Choice:
    """Say which phases see what changes from step to step in a network: units or branches left out, statistics of a batch."""
    others = [type(phase).__name__ for phase in phases if not isinstance(phase, FirstOrder)]
    text = f"the mean one in {', '.join(others)}" if others else "another one in every step, the mean one at the end"
    reason = "only averages of gradients bear a network that changes from step to step"
    override = "training = ps.Training(phases=[ps.Adam(...)])" if others else "leave dropout and the like out"
    return Choice("thinned network", text, reason, override)


def quicker(phase: Phase) -> Phase:
    """Return the phase of a quick run."""
    # A phase is a frozen dataclass, which a Protocol cannot say.
    return replace(phase, steps=max(1, phase.steps // 10))  # type: ignore[type-var]

"""What several ranks are to find as one does: short trainings of every kind, run by `python tests/ranked.py FOLDER` on each rank.

Sums over points in another order differ in their last digit, and a training carries the difference on and lets it grow: by a factor
of ten in a few steps of a quasi-Newton method. The trainings here are as short as shows each kind at work.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sympy import Eq, Function, Integral, exp, pi, sin, symbols
from torch import Tensor, nn

import pinnsolve as ps
from pinnsolve import acceleration, choices, sample_size, stagnation
from pinnsolve import phases as schedule
from pinnsolve import windows as cutting
from pinnsolve.choices import choose
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.fitting import Limits
from pinnsolve.ranks import joined
from pinnsolve.succession import fit
from pinnsolve.training import gradients, normal_equations
from pinnsolve.training.distributed import Group
from pinnsolve.training.normal_equations import Dual, Primal, scaled_jacobian
from pinnsolve.training.objective import Objective
from pinnsolve.training.phase import Phase
from pinnsolve.training.progress import Progress
from pinnsolve.training.weights import Weights

x, t, s, k, noise = (
    symbols("x"),
    symbols("t"),
    symbols("s"),
    symbols("k", positive=True),
    symbols("noise", positive=True),
)
q, u, v = ps.fields("q", t), ps.fields("u", x, t), ps.fields("v", x)

POINTS = {"heat": 41, "initial": 7, "left": 5, "right": 1}
"""None of which can be dealt out evenly, one of them not at all."""

NETWORK = ps.MLP(width=6, depth=2)


def heat(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(pi**2 * u.diff(t), u.diff(x, 2))},
        conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
        **{"hard": False} | more,
    )


def decay(equation: Any, **more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations={"decay": equation},
        conditions={"start": Eq(q(0), 1)},
        **{"hard": False} | more,
    )


def sought(**more: Any) -> ps.Problem:
    """An inverse problem with 23 measurements."""
    ts = np.linspace(0, 1, 23)
    sensor = ps.Observations(at={t: ts}, values={q: np.exp(-2 * ts)}, **more)
    unknowns = {k: 0.5} | ({noise: 0.1} if more.get("noise") is noise else {})
    return decay(Eq(q.diff(t), -k * q), unknowns=unknowns, data={"sensor": sensor})


def trained(
    group: Group,
    problem: ps.Problem,
    training: ps.Training,
    *,
    network: Any = NETWORK,
    compile: str = "off",
    steps: int | None = None,
    tell: Callable[[str], object] = str,
    disturb: Callable[[Progress, nn.Module], object] = lambda progress, trial: None,
) -> list[float]:
    """Return every loss and held-out loss on the way, the length of all that was trained at the end, and the unknowns."""
    found: list[float] = []

    def observe(progress: Progress) -> None:
        found.extend([progress.loss, progress.held_out or 1.0])

    compiled = compile_problem(problem)
    plan = choose(compiled, network, training, device="cpu")
    trial = build_trial(problem, plan.network, seed=0, dtype=plan.dtype, device=plan.device)
    limits = Limits(steps=steps)
    fit(
        compiled,
        plan,
        trial,
        training,
        limits=limits,
        observers=[observe, lambda progress: disturb(progress, trial)],
        seed=0,
        compile=compile,
        tell=tell,
        group=group,
    )
    length = torch.cat([tensor.reshape(-1) for tensor in trial.state_dict().values()]).norm()
    return [*found, float(length), *(float(value.detach()) for value in trial.unknowns())]


PHASES: dict[str, Any] = {
    "sgd": ps.SGD(5, 1e-3, momentum=0.9),
    "adam": ps.Adam(8, 1e-2, l2=1e-4, clip=10.0),
    "adamw": ps.AdamW(8, 1e-2),
    "adagrad": ps.AdaGrad(8, 1e-2),
    "rmsprop": ps.RMSprop(8, 1e-3),
    "lbfgs": ps.LBFGS(6, history=4),
    "bfgs": ps.BFGS(6),
    "ssbfgs": ps.SSBFGS(6),
    "ssbroyden": ps.SSBroyden(6),
    "levenberg_marquardt": ps.LevenbergMarquardt(2),
    "spring": ps.SPRING(4),
    "gauss_newton_cg": ps.GaussNewtonCG(2, rank=3, iterations=4, damping=0.1),
}

WEIGHTINGS: dict[str, Any] = {
    "gradient_norm": ps.GradientNorm(every=2),
    "ntk": ps.NTK(every=2, points=9),
    "residual_attention": ps.ResidualAttention(every=2),
    "self_adaptive": ps.SelfAdaptive(every=2),
    "causal": ps.Causal(t, every=2, bins=4, threshold=0.01),
}


def by_phase(group: Group, phase: Any) -> list[float]:
    return trained(group, heat(), ps.Training(points=POINTS, phases=[phase]))


def by_soap(group: Group) -> list[float]:
    """Two units a layer: of more, the first gradient does not determine its eigenvectors, which are then those of rounding."""
    training = ps.Training(points=POINTS, phases=[ps.SOAP(5, precondition=3)])
    return trained(group, heat(), training, network=ps.MLP(2, 2))


def by_resampling(group: Group, resampling: str) -> list[float]:
    phases: list[Phase] = [ps.Adam(4, 1e-2, resample=2), ps.LevenbergMarquardt(2, resample=1)]
    return trained(group, heat(), ps.Training(points=POINTS, phases=phases, resampling=resampling))


def by_weighting(group: Group, weighting: Any) -> list[float]:
    phases: list[Phase] = [ps.Adam(4, 1e-2, resample=3), ps.LevenbergMarquardt(1)]
    training = ps.Training(points=POINTS, phases=phases, weighting=weighting, weights={"left": 3.0})
    return trained(group, heat(), training)


def in_windows(group: Group) -> list[float]:
    phases: list[Phase] = [ps.Adam(3, 1e-2), ps.LevenbergMarquardt(1)]
    return trained(group, heat(), ps.Training(points=POINTS, phases=phases, windows={t: 2}))


def unknown(group: Group, **more: Any) -> list[float]:
    phases: list[Phase] = [ps.Adam(4, 1e-2, resample=2), ps.SSBroyden(3)]
    return trained(group, sought(**more), ps.Training(points={"decay": 15}, phases=phases, patience=3))


def doubtful(group: Group) -> list[float]:
    return unknown(group, noise=noise, loss=ps.StudentT(), split=ps.RandomSplit())


def thinned(group: Group) -> list[float]:
    training = ps.Training(points=POINTS, phases=[ps.Adam(8, 1e-2)])
    return trained(group, heat(), training, network=ps.ResNet(6, 2, dropout=0.3, stochastic_depth=0.5))


def by_nested_passes(group: Group) -> list[float]:
    """The clock of the first rank says which way to a gradient is the fastest; here it says so of nested passes."""
    margin = math.inf if group.leads else 0.0
    always = patch.multiple(acceleration, _FEW_POINTS=0, COMPILE_SECONDS=math.inf, _MARGIN=margin)
    training = ps.Training(points=POINTS, phases=[ps.Adam(4, 1e-2)])
    told: list[str] = []
    network = ps.MLP(6, 2, whitening="full")
    with always:
        found = trained(group, heat(), training, network=network, compile="auto", tell=told.append)
    assert any("gradients: nested" in line for line in told)
    return found


def unlike(group: Group, phase: Phase) -> list[float]:
    """Processors that round in different ways: the first says what all decide by."""
    return by_phase(replace(group, alike=False), phase=phase)


def apart(group: Group, phase: Phase) -> list[float]:
    """The second rank finds itself elsewhere after its third step, by one digit in the last place, and is brought back."""

    def disturb(progress: Progress, trial: nn.Module) -> None:
        if group.rank == 1 and progress.step == 3:
            weight = next(trial.parameters()).data.view(-1)
            weight[0] = torch.nextafter(weight[0], weight.new_tensor(math.inf))

    return trained(group, heat(), ps.Training(points=POINTS, phases=[phase]), disturb=disturb)


def compiled(group: Group) -> list[float]:
    return trained(group, heat(), ps.Training(points=POINTS, phases=[ps.Adam(4, 1e-2)]), compile="on")


def with_integral(group: Group) -> list[float]:
    """A Volterra equation: each point has an integral of its own, and no two points one together."""
    problem = decay(Eq(q.diff(t), -Integral(exp(s - t) * q(s), (s, 0, t))))
    return trained(
        group, problem, ps.Training(points={"decay": 15}, phases=[ps.Adam(3, 1e-2), ps.LevenbergMarquardt(1)])
    )


def in_pseudo_time(group: Group) -> list[float]:
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 1),
        equations={"steady": Eq(v.diff(x, 2), v**2)},
        conditions={"left": Eq(v(0), 1), "right": Eq(v(1), 0.5)},
    )
    phases: list[Phase] = [ps.Adam(6, 1e-2, resample=2)]
    return trained(group, problem, ps.Training(points={"steady": 21}, phases=phases, pseudo_time=0.1))


def begun_again(group: Group) -> list[float]:
    """Every training is stuck here after three draws, and begun again with causal weights."""
    return stuck(group, windows={t: 1})


def begun_again_in_windows(group: Group) -> list[float]:
    return stuck(group, windows=None)


def stuck(group: Group, *, windows: dict[Any, int] | None) -> list[float]:
    told: list[str] = []
    training = ps.Training(points={"decay": 15}, windows=windows)
    problem = decay(Eq(q.diff(t), -(q**2)))
    early = patch.multiple(stagnation, _DRAWS=1, _SLOW=0.0, _OF_FIRST=0.0, _OF_PARTS=0.0)
    with early, patch.object(schedule, "_SHORT_ADAM_STEPS", 3), patch.object(cutting, "WINDOWS", 2):
        found = trained(group, problem, training, steps=7, tell=told.append)
    assert not group.leads or any("beginning again" in line for line in told)
    return found


def growing(group: Group) -> list[float]:
    """Every sample that may is larger here than the one before."""
    phases: list[Phase] = [ps.Adam(3, 1e-2), ps.LevenbergMarquardt(6, damping=10.0, resample=1)]
    training, network = ps.Training(phases=phases), ps.MLP(width=5, depth=1)
    with patch.object(choices, "_BEGINNING", 1), patch.object(sample_size, "_WAIT", 0):
        return trained(group, decay(Eq(q.diff(t), -(q**2))), training, network=network)


def in_directions(group: Group) -> list[float]:
    many = symbols("a:5")
    w = Function("w")(*many)
    problem = ps.Problem(
        domain=ps.Box({c: (0, 1) for c in many}),
        equations={"poisson": Eq(sum(w.diff(c, 2) for c in many), 1)},
        conditions=[Eq(w.subs(c, end), 0) for c in many for end in (0, 1)],
    )
    training = ps.Training(points={"poisson": 21}, phases=[ps.Adam(6, 1e-2)], resample=2, directions=2)
    return trained(group, problem, training)


class Untold(nn.Module):
    """A network that every process makes anew at random; all ranks are to train the first one's."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 1)).double()

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(points)


def of_the_users_own(group: Group) -> list[float]:
    torch.manual_seed(group.rank)
    return trained(group, heat(), ps.Training(points=POINTS, phases=[ps.Adam(4, 1e-2)]), network=Untold())


def objective(group: Group, chunk: int | None) -> list[float]:
    """All that an objective and its Jacobian are asked for, with terms that share their points, and weights of points."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    shared, single = torch.rand(13, 2, dtype=torch.float64), torch.rand(1, 2, dtype=torch.float64)
    points = {"first": shared, "second": shared, "single": single}

    def residuals(given: Any) -> dict[str, Tensor]:
        return {name: module(p)[:, 0] * (1 + number) - p[:, 0] for number, (name, p) in enumerate(given.items())}

    found = Objective(module, residuals, points, weights={"second": 2.0}, chunk=chunk, group=group)
    found.weights = Weights({"first": 3.0}, {"second": torch.linspace(0.5, 1.5, 13, dtype=torch.float64)})
    evaluation, rows = found.evaluate(), scaled_jacobian(found, parts=2)
    rho = rows.residual()
    direction = torch.linspace(-1, 1, found.size, dtype=torch.float64)
    tensors = [evaluation.gradient, *found.gradients().values(), *found.vectors().values()]
    tensors += [rows.transposed_times(rho), rows.normal_times(direction), rows.times(direction).square().sum()[None]]
    for kept in (2**29, 0):  # R kept, and not
        normal_equations._KEPT_BYTES = kept
        for system in (Primal(rows, rho), Dual(rows, rho)):
            assert system.damp(1e-2)
            tensors += [system.gradient, system.solve(rho), system.times(direction).square().sum()[None]]
            tensors.append(torch.tensor([0.0, system.largest]))
    numbers = torch.cat([1 + tensor.double() / tensor.norm() for tensor in tensors]).tolist()  # none of them nearly 0
    return [evaluation.loss, found.value().loss, found.count, found.rows, *evaluation.terms.values(), *numbers]


def with_little_memory(group: Group) -> list[float]:
    """Memory runs out on the second rank alone, which goes on in smaller chunks."""
    original, failures = gradients.PlainStep.__call__, list[int]()

    def step(own: Any, chunk: Any, *arguments: Any) -> Any:
        if group.rank == 1 and len(chunk.points["first"]) > 2:
            failures.append(1)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return original(own, chunk, *arguments)

    with patch.object(gradients.PlainStep, "__call__", step):
        found = objective(group, chunk=9)
    assert len(failures) == (2 if group.rank == 1 else 0)
    return found


CASES: dict[str, Callable[[Group], list[float]]] = {
    **{name: partial(by_phase, phase=phase) for name, phase in PHASES.items()},
    "soap": by_soap,
    **{name: partial(by_resampling, resampling=name) for name in ("uniform", "rad", "r3")},
    **{name: partial(by_weighting, weighting=weighting) for name, weighting in WEIGHTINGS.items()},
    **{f"objective in chunks of {chunk}": partial(objective, chunk=chunk) for chunk in (None, 3)},
    "little memory": with_little_memory,
    "windows": in_windows,
    "unknown": unknown,
    "unknown noise and heavy tails": doubtful,
    "thinned": thinned,
    **{f"unlike, {name}": partial(unlike, phase=PHASES[name]) for name in ("adam", "lbfgs", "levenberg_marquardt")},
    **{f"apart, {name}": partial(apart, phase=PHASES[name]) for name in ("adam", "lbfgs")},
    "nested passes": by_nested_passes,
    "integral": with_integral,
    "pseudo-time": in_pseudo_time,
    "begun again": begun_again,
    "begun again in windows": begun_again_in_windows,
    "growing": growing,
    "directions": in_directions,
    "a module of the user's own": of_the_users_own,
}


SLOW: dict[str, Callable[[Group], list[float]]] = {"compiled": compiled}
"""Half a minute of compilation on every rank."""


def main(folder: str, cases: Mapping[str, Callable[[Group], list[float]]]) -> None:
    """Run cases, and write what this rank found."""
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    with joined() as group:
        assert group.alike  # on one machine
        found = {name: case(group) for name, case in cases.items()}
        Path(folder, f"{group.rank}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], SLOW if "slow" in sys.argv else CASES)

"""Pseudo-time: what drives what with which sign, what a step is, how steps grow, and that a march arrives."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sympy import Eq, Matrix, Rational, cos, exp, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.choices import choose
from pinnsolve.compiler.compile import compile_problem
from pinnsolve.compiler.trial import build_trial
from pinnsolve.declaration.pseudo_time import find_march
from pinnsolve.errors import ProblemError
from pinnsolve.networks import MLP
from pinnsolve.points import TermPoints
from pinnsolve.pseudo_time import Marching, PseudoTime
from pinnsolve.training.objective import Objective

x, y, t = symbols("x y t")
u, v, p = ps.fields("u v p", x, y)
w, q = ps.fields("w q", x, t)

EVOLUTIONS = {
    "heat": (w.diff(t) - w.diff(x, 2), 1),
    "heat, the other way round": (w.diff(x, 2) - w.diff(t), -1),
    "convection": (w.diff(t) + 40 * w.diff(x), 1),
    "Burgers": (w.diff(t) + w * w.diff(x) - Rational(1, 300) * w.diff(x, 2), 1),
    "Allen-Cahn": (5 * w**3 - 5 * w + w.diff(t) - Rational(1, 10_000) * w.diff(x, 2), 1),
    "Korteweg-de Vries": (w.diff(t) + w * w.diff(x) + Rational(1, 2_000) * w.diff(x, 3), 1),
    "Kuramoto-Sivashinsky": (w.diff(t) + w * w.diff(x) + w.diff(x, 2) + w.diff(x, 4) / 10, 1),
    "Kuramoto-Sivashinsky, negated": (-w.diff(t) - w * w.diff(x) - w.diff(x, 2) - w.diff(x, 4) / 10, -1),
}


def declared(equations: Any, *fields: Any) -> ps.Problem:
    coordinates = fields[0].args
    box = ps.Box(dict.fromkeys(coordinates, (0, 1)))
    sensors = ps.Observations(at={c: [0.5] for c in coordinates}, values={f: [0.0] for f in fields}, noise=0.1)
    return ps.Problem(domain=box, equations=equations, data={"sensors": sensors})


def driven(equations: Any, *fields: Any) -> list[tuple[str, str, int]]:
    problem = declared(equations, *fields)
    found = find_march(problem.terms, problem.fields, problem.domain, problem.unknowns).drives
    return [(d.equation, str(d.moved).partition("(")[0], d.sign) for d in found]


@pytest.mark.parametrize("name", EVOLUTIONS)
def test_short_waves_decide_the_sign(name: str):
    residual, sign = EVOLUTIONS[name]
    assert driven({"one": residual}, w) == [("one", "w", sign)]


@pytest.mark.parametrize(("factor", "sign"), [(1, -1), (-1, 1)])
def test_the_sign_of_a_steady_equation_is_that_in_which_it_diffuses(factor: int, sign: int):
    assert driven({"poisson": factor * (u.diff(x, 2) + u.diff(y, 2) - u)}, u) == [("poisson", "u", sign)]
    plate = u.diff(x, 4) + 2 * u.diff(x, 2, y, 2) + u.diff(y, 4) - 1
    assert driven({"plate": factor * plate}, u) == [("plate", "u", -sign)]


@pytest.mark.parametrize("factor", [1, -1])
def test_flow_is_paired_by_artificial_compressibility_in_any_order(factor: int):
    velocity = Matrix([u, v])
    momentum = ps.advect(velocity, velocity, x, y) + ps.grad(p, x, y) - ps.laplacian(velocity, x, y) / 100
    continuity = factor * ps.div(velocity, x, y)
    expected = {("momentum[0]", "u", 1), ("momentum[1]", "v", 1), ("continuity", "p", factor)}
    assert set(driven({"momentum": momentum, "continuity": continuity}, u, v, p)) == expected
    assert set(driven({"continuity": continuity, "momentum": momentum}, u, v, p)) == expected


def test_a_mixed_form_and_a_dispersive_pair_are_driven():
    # Schrödinger's equation in two real fields, and heat with its flux as a field.
    schroedinger = {"real": w.diff(t) + q.diff(x, 2) / 2, "imaginary": q.diff(t) - w.diff(x, 2) / 2}
    assert driven(schroedinger, w, q) == [("real", "q", -1), ("imaginary", "w", 1)]
    assert driven({"flux": q - w.diff(x), "heat": w.diff(t) - q.diff(x)}, w, q) == [("flux", "q", 1), ("heat", "w", 1)]


def test_the_region_is_no_matter_for_what_moves():
    disk = ps.Disk({x: 0, y: 0}, radius=1)
    rim = ps.on(disk.boundary, Eq(u, 0))
    steady = ps.Problem(domain=disk, equations=Eq(ps.laplacian(u, x, y), sin(u)), conditions=rim)
    (drive,) = find_march(steady.terms, steady.fields, steady.domain, {}).drives
    assert drive.moved == u and drive.sign == -1
    z = ps.fields("z", x, y, t)
    wave = ps.Problem(
        domain=disk * ps.Interval(t, 0, 1),
        equations=Eq(z.diff(t, 2), ps.laplacian(z, x, y)),
        conditions=[Eq(z(x, y, 0), 0), Eq(z.diff(t).subs(t, 0), 0), ps.on(disk.boundary, Eq(z, 0))],
    )
    (drive,) = find_march(wave.terms, wave.fields, wave.domain, {}).drives
    assert drive.moved == z.diff(t) and drive.sign == 1


def test_a_march_arrives_on_a_disk():
    disk, truth = ps.Disk({x: 0, y: 0}, radius=1), cos(x) * exp(y)
    problem = ps.Problem(
        domain=disk,
        equations={"balance": Eq(ps.laplacian(u, x, y) - u**3, -(truth**3))},
        conditions={"rim": ps.on(disk.boundary, Eq(u, truth))},
    )
    training = ps.Training(
        points={"balance": 200}, phases=[ps.LevenbergMarquardt(steps=40, resample=1)], pseudo_time=0.5
    )
    solution = ps.solve(problem, ps.MLP(width=8, depth=2), training, ps.Exact({u: truth}), plots=False, compile="off")
    assert "pseudo-time" in [choice["what"] for choice in solution.record["choices"]]
    assert solution.errors["u"]["relative_l2"] < 1e-3


def test_what_has_no_march_is_refused_by_name():
    with pytest.raises(ProblemError, match="waves of string grow in pseudo-time with either sign"):
        driven({"string": w.diff(t, 2) - w.diff(x, 2)}, w)
    with pytest.raises(ProblemError, match="1 equations for 2 fields"):
        driven({"one": w.diff(t) - q.diff(x)}, w, q)
    everywhere = ps.on(ps.Box({x: (0, Rational(1, 2)), t: (0, 1)}), Eq(w.diff(t), w.diff(x, 2)))
    with pytest.raises(ProblemError, match="one is no differential equation on the whole domain"):
        driven({"one": everywhere}, w)
    with pytest.raises(ProblemError, match="write a first step such as"):
        ps.Training(pseudo_time=0)
    heat = compile_problem(declared({"heat": w.diff(t) - w.diff(x, 2)}, w))
    training = ps.Training(phases=[ps.LBFGS(steps=10)], pseudo_time=1.0)
    with pytest.raises(ProblemError, match="LBFGS keeps its points"):
        choose(heat, None, training)


def rod(**changes: Any) -> ps.Problem:
    z = symbols("z")
    f = ps.fields("f", z)
    poisson: dict[str, Any] = {
        "domain": ps.Box({z: (0, 1)}),
        "equations": {"rod": Eq(-f.diff(z, 2), pi**2 * sin(pi * z))},
        "conditions": {"left": Eq(f(0), 0), "right": Eq(f(1), 0)},
        "hard": True,
    }
    return ps.Problem(**poisson | changes)


def march(problem: ps.Problem, step: float, *, seed: int = 0) -> tuple[Any, Any, PseudoTime]:
    """A compiled problem, a trial and its march."""
    compiled = compile_problem(problem)
    trial = build_trial(problem, MLP(width=8, depth=2), seed=seed, dtype=torch.float64, device="cpu")
    found = find_march(problem.terms, problem.fields, problem.domain, problem.unknowns).drives
    return compiled, trial, PseudoTime(compiled, trial, Marching(found, step, waits=False), None)


def test_a_step_is_one_of_the_implicit_euler_method():
    problem, step = rod(), 0.3
    _, trial, moving = march(problem, step)
    with torch.no_grad():
        for parameter in list(trial.parameters())[-2:]:
            parameter.zero_()  # u = 0 at first
    points = {"rod": torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]}
    objective = Objective(trial, partial(moving.compiled.residuals, trial), moving.advance(points))
    stepper = ps.LevenbergMarquardt(steps=1).start(objective)
    for _ in range(60):
        stepper.step(objective, expired=lambda: False)
    # (u - 0) / step - u'' = pi^2 sin(pi z): one mode, which the step leaves alone but for its size.
    size = pi**2 * step / (1 + pi**2 * step)
    z = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)[:, None]
    found = compiled_value(problem, trial, z)
    np.testing.assert_allclose(found, float(size) * np.sin(np.pi * z[:, 0].numpy()), atol=1e-6)


def compiled_value(problem: ps.Problem, trial: Any, points: torch.Tensor) -> np.ndarray:
    from pinnsolve.compiler.compile import compile_expression, evaluate_term

    term = compile_expression("value", problem.fields[0], problem.coordinates, problem=problem)
    return evaluate_term(term, points, trial).detach().numpy()


def test_a_residual_is_the_declared_one_plus_the_change_since_the_last_draw():
    problem = declared({"left": w.diff(x, 2) - w.diff(t) + q, "right": q.diff(t) - q.diff(x, 2)}, w, q)
    compiled, trial, moving = march(problem, 0.25)
    drawn = TermPoints(compiled, {"left": 50, "right": 50}, "sobol", 0, torch.device("cpu")).training()
    assert drawn["left"] is drawn["right"]
    extended = moving.advance(drawn)
    assert extended["left"] is extended["right"]  # so that the network is evaluated once
    assert extended["sensors[0]"] is drawn["sensors[0]"]
    before = {name: moving.compiled.residuals(trial, extended)[name].detach() for name in drawn}
    plain = compiled.residuals(trial, drawn)
    for name in drawn:
        torch.testing.assert_close(before[name], plain[name])
    old = trial.network(drawn["left"]).detach()
    with torch.no_grad():
        for parameter in trial.parameters():
            parameter.add_(0.1)
    change = dict(zip(problem.fields, ((trial.network(drawn["left"]) - old) / 0.25).unbind(1), strict=True))
    moved, plain = moving.compiled.residuals(trial, extended), compiled.residuals(trial, drawn)
    torch.testing.assert_close(moved["left"], plain["left"] - change[w])
    torch.testing.assert_close(moved["right"], plain["right"] + change[q])
    torch.testing.assert_close(moved["sensors[0]"], plain["sensors[0]"])


def test_steps_grow_as_the_residual_falls_and_are_never_shorter_than_the_first():
    problem = rod()
    compiled, trial, moving = march(problem, 2.0)
    points = {"rod": torch.linspace(0, 1, 30, dtype=torch.float64)[:, None]}

    def step_and_size() -> tuple[float, float]:
        column = moving.advance(points)["rod"][:, 1]
        assert bool((column == column[0]).all())
        return 1 / float(column[0]), float(compiled.residuals(trial, points)["rod"].detach().square().mean().sqrt())

    first, largest = step_and_size()
    assert first == pytest.approx(2.0)
    objective = Objective(trial, partial(compiled.residuals, trial), points)
    stepper = ps.LevenbergMarquardt(steps=1).start(objective)
    for _ in range(5):
        stepper.step(objective, expired=lambda: False)
    later, size = step_and_size()
    assert later == pytest.approx(2.0 * (largest / size) ** 2)
    assert later > 3
    with torch.no_grad():
        next(iter(trial.parameters())).mul_(30)
    again, size = step_and_size()
    assert size > largest
    assert again == pytest.approx(2.0)
    with torch.no_grad():
        next(iter(trial.parameters())).fill_(torch.nan)
    assert step_and_size()[0] == pytest.approx(2.0)


def burgers() -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (-1, 1), t: (0, 1)}),
        equations={"burgers": Eq(w.diff(t) + w * w.diff(x), w.diff(x, 2) / 10)},
        conditions={"initial": Eq(w(x, 0), -sin(pi * x)), "left": Eq(w(-1, t), 0), "right": Eq(w(1, t), 0)},
    )


@pytest.mark.thorough
@pytest.mark.parametrize("second", [ps.LevenbergMarquardt(steps=60, resample=1), ps.SSBroyden(steps=300, resample=20)])
def test_a_march_arrives(second: Any):
    training = ps.Training(
        points={"burgers": 400}, phases=[ps.Adam(steps=50, lr=5e-3, resample=10), second], pseudo_time=0.3
    )
    told: list[str] = []
    runs = [
        ps.solve(burgers(), MLP(width=10, depth=2), training, compile="off", notify=told.append, seed=3)
        for _ in range(2)
    ]
    assert "burgers moves w(x, t), +" in " ".join(told)
    assert runs[0].errors["w"]["relative_l2"] < 2e-3
    assert [p.loss for p in runs[0].history] == [p.loss for p in runs[1].history]
    # What is recorded is the residual as declared.
    best = min(p.held_out for p in runs[0].history if p.held_out is not None)
    assert runs[0].record["loss"]["total"] < 30 * best


@pytest.mark.thorough
def test_a_march_goes_on_in_windows_and_with_unknowns():
    phases = [ps.LevenbergMarquardt(steps=30, resample=1)]
    training = ps.Training(points={"burgers": 300}, phases=phases, pseudo_time=1.0, windows={t: 2})
    solution = ps.solve(burgers(), MLP(width=10, depth=2), training, compile="off")
    assert solution.errors["w"]["relative_l2"] < 5e-3
    k = symbols("k", positive=True)
    grid = np.linspace(0.05, 0.95, 12)
    data = ps.Observations(
        at={x: grid, t: np.full(12, 0.1)}, values={w: np.exp(-0.2 * np.pi**2 / 10) * np.sin(np.pi * grid)}
    )
    heat = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(w.diff(t), k * w.diff(x, 2))},
        conditions={"initial": Eq(w(x, 0), sin(pi * x)), "left": Eq(w(0, t), 0), "right": Eq(w(1, t), 0)},
        data={"sensors": data},
        unknowns={k: 1.0},
    )
    found = ps.solve(heat, MLP(width=8, depth=2), ps.Training(phases=phases, pseudo_time=1.0, points={"heat": 300}))
    assert found.unknowns["k"] == pytest.approx(0.2, rel=1e-3)

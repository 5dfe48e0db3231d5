"""Weak adversarial networks: test functions raise the weak residual of an equation, the solution lowers it.

With a network u that meets the conditions and test functions v_1 … v_m, the outputs of another network times what vanishes on the
boundary, the payoff of the game is the largest weak residual in their span, by the energy of the test function,

    f(u, v) = max_c R(u, c.v)² / a(c.v, c.v) = R' G^-1 R,      R_k = R(u, v_k),   G_kl = a(v_k, v_l),

by means over points drawn in the region; R and a are those of `declaration/divergence_form.py`. For one test function, and with the
mean square of v for its energy, this is the method of Zang, Bao, Ye and Zhou, Weak adversarial networks for high-dimensional
partial differential equations, Journal of Computational Physics 411, 2020. By the energy the payoff is, up to the quadrature, at
most the square of the error in the energy norm where the rest of the equation is a source, and tends to it as the test functions
learn.

Second derivatives of u are never taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import torch
from sympy import Expr
from torch import Tensor, nn

from pinnsolve.archive import finite
from pinnsolve.compiler.compile import CompiledProblem, CompiledTerm, compile_expression
from pinnsolve.compiler.trial import Trial, build_trial
from pinnsolve.declaration.divergence_form import DivergenceForm, read_divergence_form
from pinnsolve.domains.sampling import draw
from pinnsolve.errors import ProblemError
from pinnsolve.jets import derivatives, plan_jets
from pinnsolve.networks import MLP, Architecture, build
from pinnsolve.problem import Problem
from pinnsolve.referee import Referee
from pinnsolve.residuals import held_out_residuals
from pinnsolve.solution import Solution
from pinnsolve.training.optimizers import Adam
from pinnsolve.training.saddle_points import Game, Observer, SaddlePoint, SaddleResult, find_saddle
from pinnsolve.training.status import Status

_RIDGE = 1e-10
"""Added to the diagonal of G relative to its mean: test functions that depend on each other must not make it singular."""


_TEST = MLP(width=20, depth=2)


def _search() -> SaddlePoint:
    return SaddlePoint(Adam(steps=2_000, lr=5e-3, resample=10))


@dataclass(frozen=True)
class WeakAdversarial:
    """How the game is played.

    Attributes:
        test: The network of the test functions.
        functions: Their number m; 1 as in the paper.
        points: Points of the region over which means are taken.
        search: How the sides move; the `resample` of its optimizer says how often points are redrawn.

    Raises:
        ProblemError: A number that is none, or a network that is no description.

    Example:
        >>> game = ps.WeakAdversarial(functions=8, search=ps.SaddlePoint(ps.Adam(steps=500)))
    """

    test: Architecture = _TEST
    _: KW_ONLY
    functions: int = 16
    points: int = 1_000
    search: SaddlePoint = field(default_factory=_search)

    def __post_init__(self) -> None:
        if not isinstance(self.test, Architecture):
            raise ProblemError("WeakAdversarial", f"test={self.test!r}", "write ps.MLP(width=20, depth=2)")
        for name in ("functions", "points"):
            if getattr(self, name) < 1:
                raise ProblemError("WeakAdversarial", f"{name}={getattr(self, name)!r}", "write a positive number")


class WeakResidual:
    """The payoff of a problem in divergence form.

    Args:
        form: The problem.
        trial: Gives u.
        test: Gives the test functions, up to the factor that vanishes on the boundary.
        points: How many.
        seed: Of their draws.
    """

    def __init__(self, form: DivergenceForm, trial: Trial, test: nn.Module, *, points: int, seed: int) -> None:
        self._form, self._trial, self._test = form, trial, test
        self._count, self._seed = points, seed
        dimension = len(form.field.args)
        pairs = [(a, b) for a in range(dimension) for b in range(dimension)]
        self._solution = self._compiled(
            {**{f"flux[{a}]": entry for a, entry in enumerate(form.flux)}, "rest": form.rest}
        )
        slopes = {f"slope[{a}]": form.factor.diff(c) for a, c in enumerate(form.field.args)}
        energy = {f"energy[{a},{b}]": form.energy[a, b] for a, b in pairs}
        self._places = self._compiled({"factor": form.factor, **slopes, **energy})
        self._pairs = pairs
        unit = [tuple(int(a == b) for b in range(dimension)) for a in range(dimension)]
        self._plan, self._unit = plan_jets(frozenset(unit), dimension=dimension), unit
        self.redraw(0)

    def redraw(self, number: int) -> None:
        """Take other points; different numbers give different ones."""
        region = self._form.problem.domain
        drawn = draw(region, self._count, method="sobol", seed=self._seed + number)
        like = next(self._trial.parameters())
        self._measure = drawn.measure
        self._points = torch.as_tensor(drawn.coordinates).to(like)

    def __call__(self) -> Tensor:
        """Return R' G^-1 R: the square of the largest weak residual per energy in the span of the test functions."""
        residuals, energies = self.parts()
        ridge = _RIDGE * energies.diagonal().mean() * torch.eye(len(energies)).to(energies)
        return residuals @ torch.linalg.solve(energies + ridge, residuals)

    def parts(self) -> tuple[Tensor, Tensor]:
        """Return R, shape (functions,), and G, shape (functions, functions)."""
        found = self._evaluated(self._solution)
        with torch.no_grad():
            place = self._evaluated(self._places)
        read = derivatives(self._test, self._points, self._plan)
        factor = place["factor"][:, None]
        tests = factor * read[(0,) * len(self._unit)]
        slopes = [
            place[f"slope[{a}]"][:, None] * read[(0,) * len(self._unit)] + factor * read[one]
            for a, one in enumerate(self._unit)
        ]
        weight = self._measure / len(self._points)
        flows = torch.stack([found[f"flux[{a}]"] @ slope for a, slope in enumerate(slopes)]).sum(0)
        products = [(place[f"energy[{a},{b}]"][:, None] * slopes[a]).T @ slopes[b] for a, b in self._pairs]
        return weight * (flows - found["rest"] @ tests), weight * torch.stack(products).sum(0)

    def _compiled(self, expressions: dict[str, Expr]) -> CompiledProblem:
        problem = self._form.problem
        terms: list[CompiledTerm] = [
            compile_expression(name, expression, problem.coordinates, problem=problem)
            for name, expression in expressions.items()
        ]
        return CompiledProblem(problem, tuple(terms))

    def _evaluated(self, compiled: CompiledProblem) -> dict[str, Tensor]:
        return compiled.residuals(self._trial, {term.name: self._points for term in compiled.terms})


def solve_weakly(
    problem: Problem,
    network: Architecture | nn.Module | None = None,
    training: WeakAdversarial | None = None,
    reference: Any = None,
    *,
    seed: int = 0,
    observers: Sequence[Observer] = (),
) -> Solution:
    """Solve an elliptic equation by a game between the solution and test functions.

    The problem has one equation of second order whose highest derivatives have coefficients of the place alone, and one field whose
    values are given on all of the boundary, of whatever region a condition can be met on exactly. It runs on the processor in
    float64 and stores nothing on the way.

    Args:
        problem: The declaration.
        network: Of the solution; three layers of 20 sines when left out.
        training: How the game is played.
        reference: As for `solve`.
        seed: Everything random follows from it.
        observers: Called with the number of every round and the payoff it began with.

    Returns:
        The solution. Its `record["loss"]["total"]` is the payoff at points that were not trained on.

    Raises:
        UnsupportedError: Another problem, with what stands in the way.

    Example:
        >>> load = {"poisson": Eq(ps.laplacian(w, x, y), -2)}
        >>> problem = ps.Problem(domain=square, equations=load, conditions=ps.on(square.boundary, Eq(w, 0)))
        >>> game = ps.WeakAdversarial(search=ps.SaddlePoint(ps.Adam(steps=3)))
        >>> ps.solve_weakly(problem, ps.MLP(width=5, depth=1), game).status
        'done'
    """
    training = WeakAdversarial() if training is None else training
    network = MLP(width=20, depth=3, activation="sine") if network is None else network
    form = read_divergence_form(problem)
    trial = build_trial(form.problem, network, seed=seed, dtype=torch.float64, device="cpu")
    test = build(
        training.test,
        inputs=len(problem.coordinates),
        outputs=training.functions,
        ranges=list(problem.bounds.values()),
        generator=torch.Generator().manual_seed(seed + 1),
        dtype=torch.float64,
    ).eval()
    payoff = WeakResidual(form, trial, test, points=training.points, seed=seed)
    game = Game(list(trial.parameters()), list(test.parameters()), payoff)
    solution = Solution(form.problem, trial, None if isinstance(network, nn.Module) else network, {})
    referee = Referee(solution, reference, _say_nothing)
    referee.prepare(None)
    result = find_saddle(game, training.search, observers=observers, redraw=payoff.redraw)
    referee.judge()
    payoff.redraw(training.search.optimizer.steps + 1)
    with torch.no_grad():
        final = float(payoff())
    solution.record = finite(_record(solution, result, referee, seed=seed, final=final, training=training))
    return solution


def _record(
    solution: Solution, result: SaddleResult, referee: Referee, *, seed: int, final: float, training: WeakAdversarial
) -> dict[str, Any]:
    """Return the outcome, under the keys that a run by `solve` has."""
    errors = [f"{name}: relative L2 error {e['relative_l2']:.1e}" for name, e in referee.errors.items()]
    compared = ", ".join(errors) if errors else "no reference to compare with"
    kind = "none" if referee.reference is None else referee.reference.kind
    return {
        "status": "diverged" if result.status is Status.DIVERGED else "done",
        "message": f"{compared} after {len(result.payoffs)} rounds of the game. {result.status.sentence}",
        "seed": seed,
        "device": "cpu",
        "dtype": "float64",
        "parameters": sum(p.numel() for p in solution.trial.network.parameters()),
        "points": {"weak residual": training.points},
        "loss": {"total": final, "terms": {"weak residual": final}},
        "reference": {"kind": kind},
        "errors": referee.errors,
        "residuals": held_out_residuals(solution, seed=seed),
        "unknowns": {},
    }


def _say_nothing(line: str) -> None:
    """Hear what the referee says, whose errors are in the record."""

"""The error of a solution without a truth: the defect equation, solved on the referee's grid.

Let F(u) = 0 stand for all equations and conditions and v for the trained fields. The error e = u - v satisfies F(v + e) = 0, for
linear F the same problem with the residuals of v as its sources, L e = -F(v). The referee solves this by its finite differences,
reading from the network only values and derivatives of v at its own rows: the residual is formed from the declaration by the
referee. A discretisation error is then one of e and not of u, so that errors far below the grid's own are seen (Stetter, The
defect correction principle and discretization methods, Numerische Mathematik 29, 1978, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinnsolve.comparison import sizes
from pinnsolve.reference.rest import is_linear
from pinnsolve.reference.result import Reference
from pinnsolve.reference.solve import FiniteDifferences, solve_rest
from pinnsolve.solution import Solution
from pinnsolve.trained_state import trained_state

_LINEAR = "the equations are linear: e is the difference to their one solution, if they have one"
_NONLINEAR = (
    "the equations are nonlinear: e leads to the solution that is found starting from the network, not linearised"
)
_NO_BOUND = (
    "an estimate, no bound: it has the discretisation error of its grids, told above, and sees nothing finer than they are; it "
    "supposes a stable problem, in which a small change of the data changes the solution little; it trusts the network's "
    "derivatives; and a mistake in the declaration is invisible to it"
)


@dataclass(frozen=True)
class Defect:
    """The estimated error of a solution.

    Args:
        errors: For every declared field relative L2 and greatest size of the estimated error, and where it is greatest.
        uncertainty: For every declared field the relative error of the estimate, by refinement; NaN when unknown.
        linear: Whether equations and conditions are linear in the fields.
        rest: The estimate e = u - v itself, at points and as a function of points.
    """

    errors: Mapping[str, Mapping[str, Any]]
    uncertainty: Mapping[str, float]
    linear: bool
    rest: Reference

    @property
    def meaning(self) -> str:
        """What the estimate proves and what it does not."""
        return f"{_LINEAR if self.linear else _NONLINEAR}; {_NO_BOUND}"


def find_defect(solution: Solution, spec: FiniteDifferences | None = None) -> Defect:
    """Estimate the error of a solution by solving the defect equation.

    Args:
        solution: What was trained.
        spec: Grids and time limit; chosen when omitted.

    Raises:
        UnsupportedError: Finite differences cannot solve the problem, with the reason.
    """
    problem = solution.problem
    unknowns = {s: solution.unknowns[s.name] for s in problem.unknowns}
    rest = solve_rest(problem, spec or FiniteDifferences(), trained_state(solution), unknowns=unknowns)
    own = rest.estimated_relative_l2
    uncertainty = {}
    for name in (f.func.__name__ for f in problem.declared_fields):
        parts = problem.complex_fields.get(name)
        names = [name] if parts is None else [parts.real.func.__name__, parts.imaginary.func.__name__]
        uncertainty[name] = float(np.max([own[n] for n in names]))
    return Defect(sizes(solution, rest), uncertainty, is_linear(problem, unknowns), rest)

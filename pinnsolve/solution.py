"""Solution: the trained fields as a function, any expression of them, their errors, and storage as numbers and JSON.

Evaluating the fields, a derivative, a residual or a derived quantity is one operation, "this SymPy expression at these points",
compiled by the same passes as the residuals that were trained.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sympy import Expr, MatrixBase, Symbol, sympify
from sympy.core.function import AppliedUndef
from torch import Tensor, nn

from pinnsolve.columns import Columns, read_columns
from pinnsolve.compiler.compile import CompiledTerm, compile_expression, compile_term, evaluate_term
from pinnsolve.compiler.trial import Trial
from pinnsolve.declaration.groups import away_from_home
from pinnsolve.declaration.terms import resolve, with_ends_of_integrals
from pinnsolve.domains.indicators import indicator_values
from pinnsolve.domains.regions import Boundary
from pinnsolve.domains.shapes import Shape
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pinnsolve.declaration.observations import Observations
    from pinnsolve.defect import Defect
    from pinnsolve.reference.solve import FiniteDifferences

CHUNK = 32_768
"""Points evaluated at once: bounds the memory of a call whatever its size."""


@dataclass(eq=False)
class Solution:
    """A solved problem.

    Args:
        problem: The declaration.
        trial: The trained network and unknowns.
        network_spec: The description the network was built from, or None for a module of the user's.
        record: The outcome, in the form of `result.json`.
        history: Progress of the training, oldest first.
        reference: What it was compared with, if anything.
        reference_spec: How to solve that again, if it can be stored.

    Example:
        >>> solution(t=[0.0, 1.0]).round(2)
        array([1.  , 0.37])
        >>> round(float(solution.evaluate(q.diff(t), t=0.0)), 2)
        -1.0
    """

    problem: Problem
    trial: Trial
    network_spec: Any
    record: dict[str, Any]
    history: Sequence[Any] = ()
    reference: Any = None
    reference_spec: Any = None
    _compiled: dict[Any, CompiledTerm] = field(default_factory=dict, repr=False)

    @property
    def errors(self) -> Mapping[str, Mapping[str, Any]]:
        """Errors against the reference, `{"u": {"relative_l2": ..., "max": ..., "max_at": {"x": ...}}}`; empty without one."""
        return self.record.get("errors", {})

    @property
    def residuals(self) -> Mapping[str, Mapping[str, Any]]:
        """Residuals of every term at points never trained on, `{"burgers": {"rms": ..., "max": ..., "max_at": {"x": ...}}}`."""
        return self.record.get("residuals", {})

    @property
    def held_out(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """Misfits to measurements in their units, `{"sensors": {"trained on": {"rms": ..., "rows": 32}, "random": {...}}}`."""
        return self.record.get("held_out", {})

    @property
    def unknowns(self) -> Mapping[str, float]:
        """The unknown parameters found, by name."""
        return self.trial.unknowns.values()

    @property
    def uncertainty(self) -> Mapping[str, Any]:
        """How well measurements determine the unknowns, `{"unknowns": {"nu": {"deviation": ..., "low": ..., "high": ...}}, ...}`.

        The interval covers the truth with the probability `level`; its ends are None where the training ended before the unknowns
        had settled. Also there: `correlation`, `noise`, `remarks`. Empty where there are no unknowns or measurements, or too many
        parameters.
        """
        return self.record.get("uncertainty", {})

    @property
    def quantities(self) -> Mapping[str, Mapping[str, float]]:
        """The numbers that the problem wants, `{"drag": {"value": ..., "known": ..., "relative_error": ...}}`."""
        return self.record.get("quantities", {})

    @property
    def diagnosis(self) -> Mapping[str, Any]:
        """Which term, region and scale hold the error that is left, in numbers and a `sentence`, and `advice` what to do."""
        return self.record.get("diagnosis", {})

    @property
    def status(self) -> str:
        """How the run ended: "done", "interrupted" or "diverged"."""
        return str(self.record["status"])

    @property
    def message(self) -> str:
        """The outcome in one sentence, with the remedy if it failed."""
        return str(self.record["message"])

    def __call__(self, **coordinates: Any) -> Any:
        """Evaluate the fields: every coordinate by its name, broadcast against each other.

        Args:
            **coordinates: Numbers, NumPy arrays or tensors.

        Returns:
            For one field an array (or a tensor, if any coordinate is one) of the broadcast shape, complex if the field is;
            for several a named tuple of them.

        Raises:
            ProblemError: A coordinate that is missing or does not exist.
        """
        fields = self.problem.declared_fields
        columns = self._columns({c for f in fields for c in f.args}, coordinates)
        values = [self._values(f.func.__name__, f, columns) for f in fields]
        # `rename`, because a field may have a name that no attribute can have, such as "lambda" or "u'".
        names = [f.func.__name__ for f in fields]
        return values[0] if len(values) == 1 else namedtuple("Fields", names, rename=True)(*values)

    def evaluate(self, expression: Expr, **coordinates: Any) -> Any:
        """Evaluate a SymPy expression of fields, coordinates and unknowns, `u.diff(x)`.

        Args:
            expression: Any expression the compiler knows, also pinned, `u(x, 0)`, or integrated.
            **coordinates: Numbers, NumPy arrays or tensors, for every coordinate that the expression depends on.

        Raises:
            ProblemError: A field or symbol that the problem does not have, or a coordinate that is missing.
            UnsupportedError: A function without a rule.
        """
        if isinstance(expression, str | MatrixBase) or not isinstance(sympify(expression), Expr):
            raise ProblemError(
                "evaluate(...)",
                f"{expression!r} is not one expression",
                "write SymPy, such as solution.evaluate(u.diff(x)); of a matrix, one entry at a time",
            )
        name = str(expression)
        expression = resolve(sympify(expression), name)
        expression = self.problem.checked_expression(name, expression)
        reached = with_ends_of_integrals(expression).free_symbols
        if reached & set(self.problem.normal):
            raise ProblemError(
                name, "a normal, which only a boundary has", "write its components, or ask for residual(...) of a term"
            )
        reached |= {
            c
            for symbol in reached & set(self.problem.indicators)
            for c in self.problem.indicators[symbol][0].coordinates
        }
        columns = self._columns(reached, coordinates)
        self._add_indicators(reached, columns.flat)
        return self._values(name, expression, columns)

    def residual(self, name: str, **coordinates: Any) -> Any:
        """Evaluate the residual of a term by its name at values of its free coordinates.

        Raises:
            ProblemError: There is no such term, it is a misfit to observations, or a coordinate is missing.
        """
        term = self.problem.term(name)
        if term.kind == "data":
            raise ProblemError(
                name, "a misfit to observations", "evaluate the measured expression and subtract the values"
            )
        columns = self._columns(set(term.free), coordinates)
        if isinstance(term.region, Boundary):
            places = torch.stack([columns.flat[c] for c in term.region.coordinates], dim=1)
            normals = torch.as_tensor(term.region.normals_at(places.detach().cpu().numpy())).to(places)
            columns.flat.update(zip(term.region.normal, normals.unbind(1), strict=True))
        self._add_indicators(term.residual.free_symbols, columns.flat)
        if name not in self._compiled:
            self._compiled[name] = compile_term(term, self.problem)
        return columns.restore(self._run(self._compiled[name], columns))

    def integral(self, expression: Expr, *, over: Shape | Boundary, **held: Any) -> Any:
        """Integrate an expression over a region or a boundary: `(u.diff(x) * n[0], over=disk.boundary)` with `n = disk.normal`.

        The normal points out of the region whose boundary it is. Other coordinates are held, `t=0.5`; arrays of them broadcast.
        What `evaluate` refuses, and a region that leaves the domain, is a ProblemError.
        """
        from pinnsolve.integrals import integral_of

        return integral_of(self, expression, over, held)

    def spread(self, samples: int = 100, /, *, seed: int = 0, **coordinates: Any) -> Any:
        """Return the standard deviation of the fields over thinned networks, with units or branches left out as in training.

        For a network with dropout this stands for what the observations leave open, roughly: Gal and Ghahramani, Dropout as a
        Bayesian approximation, 2016. It knows nothing of errors that all thinned networks share.

        Args:
            samples: Number of thinned networks.
            seed: Of what is left out.
            **coordinates: As for a call.

        Returns:
            In the form of a call.

        Raises:
            ProblemError: Nothing is left out of this network, or fewer than two samples.
        """
        from pinnsolve.ensembles import spread_of

        return spread_of(self, samples, seed=seed, coordinates=coordinates)

    def band(
        self,
        expression: Expr | None = None,
        /,
        *,
        level: float = 0.9,
        samples: int = 200,
        seed: int = 0,
        calibrated_on: Observations | None = None,
        **coordinates: Any,
    ) -> Any:
        """Return mean, standard deviation and interval over thinned networks, see `spread`, of an expression or of all fields.

        Args:
            expression: What to evaluate, `u.diff(x)`: of each thinned network, which is one function; the fields when left out.
            level: Probability with which the field of a further thinned network lies in the interval.
            samples: Number of thinned networks.
            seed: Of what is left out.
            calibrated_on: Measurements that were not trained on: the interval is then one of further measurements.
            **coordinates: As for a call.

        Returns:
            A `Band`; for several fields a named tuple of them.

        Raises:
            ProblemError: Nothing is left out of this network, fewer than two samples, or a level that is no probability.
            DataError: Measurements of something else, or too few of them.
        """
        from pinnsolve.ensembles import thinned_band

        options = {"level": level, "samples": samples, "seed": seed, "calibrated_on": calibrated_on}
        return thinned_band(self, expression, **options, coordinates=coordinates)  # type: ignore[arg-type]

    def defect(self, spec: FiniteDifferences | None = None) -> Defect:
        """Estimate the error without a truth: solve for it by finite differences, with the residuals as sources.

        Args:
            spec: Grids and time limit, `ps.FiniteDifferences(cells=..., seconds=...)`; chosen when omitted.

        Raises:
            UnsupportedError: Finite differences cannot solve the problem, with the reason.
        """
        from pinnsolve.defect import find_defect

        return find_defect(self, spec)

    def plot(self, what: str = "fields") -> Figure:
        """Draw a figure; matplotlib's, returned and not shown. A notebook shows what a cell ends with.

        Args:
            what: "fields", "error" (against the reference), "residual" or "loss".

        Raises:
            ProblemError: There is no such figure, or nothing to draw in it.
        """
        from pinnsolve.plotting import draw

        return draw(self, what)

    def _repr_html_(self) -> str:
        from pinnsolve.solution_view import solution_html

        return solution_html(self)

    def save(self, path: str | Path) -> Path:
        """Store the solution in a folder: weights as safetensors, the declaration as JSON; `load` needs nothing else.

        Raises:
            ProblemError: The network is a module of the user's whose weights cannot be stored.
        """
        from pinnsolve.archive import save_solution

        return save_solution(self, Path(path))

    def export(self, path: str | Path) -> Path:
        """Write values and first derivatives of the fields at points as a program: `.pt2` (torch.export), `.onnx`, `.py` (NumPy).

        Raises:
            ExportError: Another ending, or a network that cannot be written so.
        """
        from pinnsolve.exporting import export_solution

        return export_solution(self, Path(path))

    def to_sympy(self) -> Any:
        """Return the fields as SymPy expressions of the coordinates, with the weights as numbers; several as a named tuple.

        Raises:
            UnsupportedError: A layer that is not one formula, windows, or a network that is too large to be read as one.
        """
        from pinnsolve.symbolic import fields_of

        return fields_of(self)

    def write(self, path: str | Path, **held: float) -> Path:
        """Write fields, derivatives, residuals and error: on the mesh of the problem, or on a grid where it has none.

        Args:
            path: `.vtu` for one instant, `.pvd` for a series of them, `.csv` or `.npz` for a table; `.gif` or `.mp4` for a film.
            **held: Values of coordinates that are held, `t=0.5`. A time that is not held is at its end in a `.vtu`, parameters
                are in the middle of their ranges.

        Raises:
            DataError: Another ending, a coordinate that does not exist, or a value outside its range.
            UnsupportedError: More than three coordinates range.
        """
        from pinnsolve.writing import write_solution

        return write_solution(self, Path(path), held)

    def _values(self, name: str, expression: Expr, columns: Columns) -> Any:
        """Evaluate a checked expression, real or complex, in the caller's shape and kind; NaN where a field is not declared."""
        parts = self.problem.split(expression)
        columns = self._at_home(parts, columns)
        real, imaginary = (
            columns.zeros() if part == 0 else self._run(self._program(name, part), columns) for part in parts
        )
        return columns.restore(real if parts[1] == 0 else torch.complex(real, imaginary))

    def _at_home(self, parts: Iterable[Expr], columns: Columns) -> Columns:
        """Return columns that also leave out points where a field that an expression reads is declared in other groups of cells."""
        fields = {f for part in parts for f in sympify(part).atoms(AppliedUndef)}
        places = {c: column.detach().double().cpu().numpy() for c, column in columns.flat.items()}
        outside = columns.outside | away_from_home(self.problem.homes, fields, places, columns.count)
        return replace(columns, outside=outside)

    def _program(self, name: str, expression: Expr) -> CompiledTerm:
        if expression not in self._compiled:
            free = with_ends_of_integrals(expression).free_symbols
            inputs = tuple(s for s in (*self.problem.coordinates, *self.problem.indicators) if s in free)
            self._compiled[expression] = compile_expression(name, expression, inputs, problem=self.problem)
        return self._compiled[expression]

    def _run(self, term: CompiledTerm, columns: Columns) -> Tensor:
        inputs = [columns.flat[symbol] for symbol in term.inputs]
        points = torch.stack(inputs, dim=1) if inputs else columns.like.new_zeros((columns.count, 0))
        with torch.set_grad_enabled(points.requires_grad):
            chunks = [evaluate_term(term, chunk, self.trial) for chunk in points.split(CHUNK)]
        return torch.cat(chunks) if chunks else columns.zeros()

    def _add_indicators(self, wanted: Iterable[Symbol], flat: dict[Symbol, Tensor]) -> None:
        """Add a column for each of some symbols that stands for a group of cells."""
        arrays = {symbol: value.detach().double().cpu().numpy() for symbol, value in flat.items()}
        found = indicator_values(self.problem.domain, wanted, arrays)
        flat.update({s: torch.as_tensor(v).to(next(self.trial.parameters())) for s, v in found.items()})

    def _columns(self, needed: set[Symbol], coordinates: Mapping[str, Any]) -> Columns:
        return read_columns(self.problem, needed, coordinates, like=next(self.trial.parameters()))


def load(path: str | Path, *, network: nn.Module | None = None) -> Solution:
    """Load a solution from a run directory, or a folder written by `save`; it needs no problem file, and nothing is executed.

    Args:
        path: The folder.
        network: The module to put the weights into, for a solution whose network was a module of the user's.

    Raises:
        ArchiveError: Nothing usable is stored there.

    Example:
        >>> path = solution.save("decay.solution")
        >>> round(float(ps.load("decay.solution")(t=0.0)), 2)
        1.0
    """
    from pinnsolve.archive import load_solution

    return load_solution(Path(path), network=network)

"""Exports: a solution as a program for other software.

A program takes points (points, coordinates) and gives the values (points, fields) and the first derivatives (points, fields,
coordinates) of all real fields, whatever is built into them: ansatz, periods, windows. Complex fields are given by their parts.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from pinnsolve.archive import write_atomically
from pinnsolve.compiler.compile import CompiledProblem, CompiledTerm, compile_expression
from pinnsolve.compiler.trial import Trial
from pinnsolve.errors import ProblemError
from pinnsolve.networks.windows import Window, WindowedFields
from pinnsolve.numpy_source import UnknownOperation, numpy_source
from pinnsolve.problem import Problem

if TYPE_CHECKING:
    from pinnsolve.solution import Solution

_LARGEST_SOURCE = 20_000
"""Weights that are written into a text."""


class ExportError(ProblemError):
    """A form that a solution cannot be written in."""

    exit_code = 2


class ExportedFields(nn.Module):
    """Values and first derivatives of all real fields, from nothing but points.

    Args:
        problem: Gives fields, coordinates and ansatz.
        trial: The trained network and unknowns.
    """

    def __init__(self, problem: Problem, trial: Trial) -> None:
        super().__init__()
        whole = trial.network
        self.trials = nn.ModuleList([trial])
        self.joints: list[tuple[int, float]] = []
        if isinstance(whole, WindowedFields):
            self.joints = [(whole.spec.coordinate, edge) for edge in whole.spec.edges[1:-1]]
            self.trials = nn.ModuleList(Trial(Window(whole, k), trial.unknowns) for k in range(len(whole.parts)))
        self.counts = len(problem.fields), len(problem.coordinates)
        self.compiled = CompiledProblem(problem, tuple(_programs(problem)))

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate values, shape (points, fields), and derivatives, shape (points, fields, coordinates)."""
        values, slopes = self._through(self.trials[0], points)
        for (column, edge), trial in zip(self.joints, list(self.trials)[1:], strict=True):
            assigned = points[:, column] >= edge
            others = self._through(trial, points)
            values = torch.where(assigned[:, None], others[0], values)
            slopes = torch.where(assigned[:, None, None], others[1], slopes)
        return values, slopes

    def _through(self, trial: nn.Module, points: Tensor) -> tuple[Tensor, Tensor]:
        found = self.compiled.residuals(cast(Trial, trial), {term.name: points for term in self.compiled.terms})
        zero = torch.zeros_like(points[:, 0])
        fields, coordinates = self.counts
        values = [found[_name(k)] for k in range(fields)]
        slopes = [torch.stack([found.get(_name(k, c), zero) for c in range(coordinates)], dim=1) for k in range(fields)]
        return torch.stack(values, dim=1), torch.stack(slopes, dim=1)


def export_solution(solution: Solution, path: Path) -> Path:
    """Write a solution as a program; see `Solution.export`."""
    kind = path.suffix.removeprefix(".")
    if kind not in WRITERS:
        remedy = f"write one of {', '.join(WRITERS)}; solution.write(...) makes pictures and tables"
        raise ExportError(f"export to {path.name}", "no such form of a program", remedy)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, WRITERS[kind](solution))
    return path


def export_run(run: Path, *, to: str, output: Path | None = None) -> Path:
    """Write the solution of a run as a program, picture or table, into `solution.<to>` of its directory unless told otherwise."""
    from pinnsolve.solution import load
    from pinnsolve.verification import load_with_reference

    path = output or run / f"solution.{to}"
    return export_solution(load(run), path) if to in WRITERS else load_with_reference(run).write(path)


def _as_pt2(solution: Solution) -> bytes:
    stream = io.BytesIO()
    torch.export.save(_program(solution), stream, extra_files={"fields.json": json.dumps(_names(solution))})
    return stream.getvalue()


def _as_onnx(solution: Solution) -> bytes:
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise ExportError("export to onnx", f"{' and '.join(missing)} missing", "pip install 'pinnsolve[onnx]'")
    with _silence():
        program = torch.onnx.export(
            _exact(_program(solution)),
            dynamo=True,
            input_names=["points"],
            output_names=["values", "derivatives"],
            verbose=False,
        )
    if program is None:
        raise ExportError("export to onnx", "torch gave no program", "use --to pt2")
    proto = program.model_proto
    for key, names in _names(solution).items():
        proto.metadata_props.add(key=key, value=json.dumps(names))
    return bytes(proto.SerializeToString())


def _as_python(solution: Solution) -> bytes:
    weights = sum(p.numel() for p in solution.trial.parameters())
    if weights > _LARGEST_SOURCE:
        raise ExportError("export to py", f"{weights} weights, more than {_LARGEST_SOURCE}", "use --to onnx or pt2")
    try:
        with _silence():
            program = _program(solution).run_decompositions()
        return numpy_source(program, **_names(solution)).encode()
    except UnknownOperation as error:
        raise ExportError("export to py", f"NumPy has no {error}", "use --to onnx or pt2") from None


WRITERS: Mapping[str, Callable[[Solution], bytes]] = {
    "pt2": _as_pt2,
    "onnx": _as_onnx,
    "py": _as_python,
}
"""The forms of a program, by the ending of the file."""


def _program(solution: Solution) -> torch.export.ExportedProgram:
    """Return the fields as a traced program for any number of points."""
    module = ExportedFields(solution.problem, solution.trial).eval()
    low, high = torch.tensor(list(solution.problem.bounds.values())).T
    like = next(solution.trial.parameters())
    points = (low + (high - low) * torch.linspace(0.1, 0.9, 7, dtype=low.dtype)[:, None]).to(like)
    with _silence(), torch.no_grad():
        try:
            return _traced(module, points)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ExportError(
                "export", f"torch cannot trace the network ({str(error)[:200]})", "solution.write(...) makes tables"
            ) from error


def _traced(module: nn.Module, points: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(module, (points,), dynamic_shapes=({0: torch.export.Dim("points")},), strict=False)


def _exact(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Return a program whose numbers are tensors of double precision; ONNX keeps plain ones, such as pi, in single."""
    module = program.run_decompositions().module()
    graph = cast(torch.fx.Graph, module.graph)
    like = next(iter(program.state_dict.values()))
    numbers = 0

    def tensor(value: float) -> torch.fx.Node:
        nonlocal numbers
        numbers += 1
        module.register_buffer(f"number_{numbers}", like.new_tensor(value))
        return graph.get_attr(f"number_{numbers}")

    for node in [n for n in graph.nodes if n.op == "call_function" and n.target in _OF_NUMBERS]:
        with graph.inserting_before(node):
            arguments = [tensor(a) if isinstance(a, float) else a for a in node.args]
            factor = node.kwargs.get("alpha", 1)
            if factor != 1:
                arguments[1] = graph.call_function(torch.ops.aten.mul.Tensor, (arguments[1], tensor(float(factor))))
        node.args, node.kwargs = tuple(arguments), {}
    module.recompile()
    (points,) = program.example_inputs[0]
    return _traced(module, points)


_OF_NUMBERS = {getattr(torch.ops.aten, name).Tensor for name in ("mul", "add", "sub", "div")}


def _programs(problem: Problem) -> Iterator[CompiledTerm]:
    for k, field in enumerate(problem.fields):
        yield compile_expression(_name(k), field, problem.coordinates, problem=problem)
        for c, coordinate in enumerate(problem.coordinates):
            if coordinate in field.args:
                yield compile_expression(_name(k, c), field.diff(coordinate), problem.coordinates, problem=problem)


def _name(field: int, coordinate: int | None = None) -> str:
    return f"field {field}" if coordinate is None else f"field {field} by coordinate {coordinate}"


def _names(solution: Solution) -> dict[str, Any]:
    """Return coordinates and fields in the order of the columns, and the units of those that have one."""
    problem = solution.problem
    return {
        "coordinates": [c.name for c in problem.coordinates],
        "fields": [f.func.__name__ for f in problem.fields],
        "units": problem.units.texts,
    }


@contextmanager
def _silence() -> Iterator[None]:
    """Keep torch's exporters from telling of packages that nothing here needs."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)

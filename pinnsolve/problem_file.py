"""Problem files: Python modules that name `problem` and, if they like, `network`, `training` and `reference`.

A problem file is a program and runs with the user's rights; nothing else that pinnsolve opens does.
"""

from __future__ import annotations

import ast
import contextlib
import re
import runpy
import sys
import traceback
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pinnsolve.declaration.observations import Observations
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.shapes import factors_of
from pinnsolve.domains.surfaces import Surface
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem

_NAMES = ("network", "training", "reference")
"""What a problem file may name beside the problem."""

_REMEDIES = {
    "loop of ufunc does not support": "NumPy's functions take numbers: import cos, exp and so on from sympy",
    "Cannot convert expression to float": "Python's functions take numbers: import cos, exp and so on from sympy",
    "Dimensions incorrect for dot product": "take gradient and normal in the same coordinates: region.normal, not that of "
    "region * ps.Interval(t, ...)",
}
"""By parts of what Python says."""


class ProblemFileError(ProblemError):
    """A problem file that does not run, or names no problem."""


@dataclass(frozen=True)
class ProblemFile:
    """What a problem file names; what it leaves out is None and will be chosen."""

    path: Path
    problem: Problem
    network: Any = None
    training: Any = None
    reference: Any = None

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def tables(self) -> list[Path]:
        """The files its observations and meshes were read from, but for private ones: a hash would tell whether a row is there."""
        read = [*self.problem.data.values(), self.reference]
        public = [o for o in read if isinstance(o, Observations) and o.privacy is None]
        tables = [o.table for o in public if o.table is not None]
        meshes = [
            f.file for f in factors_of(self.problem.domain) if isinstance(f, Mesh | Surface) and f.file is not None
        ]
        return tables + meshes


def load_problem_file(path: Path) -> ProblemFile:
    """Run a problem file and return what it names.

    Raises:
        ProblemError: The declaration is wrong; the message starts with file and line.
        ProblemFileError: The file does not run, or `problem` is missing or something else.
    """
    path = path.resolve()
    sys.path.insert(0, str(path.parent))  # as Python does for a script, so that it may import what lies beside it
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a problem file prints is a message; stdout carries results
            names = runpy.run_path(str(path), run_name="__problem__")
    except ProblemError as error:
        error.args = (f"{path.name}{_line(error, path)}: {error}",)
        raise
    except SyntaxError as error:
        name = path.name if error.filename is None else Path(error.filename).name
        found = f"{error.msg}: {(error.text or '').strip()}"
        raise ProblemFileError(f"{name}, line {error.lineno}", found, "correct the syntax") from error
    except (Exception, SystemExit) as error:  # whatever the user's program raises is the user's to read
        found = f"{type(error).__name__}: {error}"
        raise ProblemFileError(f"{path.name}{_line(error, path)}", found, _remedy(found)) from error
    finally:
        with contextlib.suppress(ValueError):  # the user's program may have taken it out
            sys.path.remove(str(path.parent))
    problem = names.get("problem")
    if not isinstance(problem, Problem):
        found = "no name `problem`" if "problem" not in names else f"`problem` is a {type(problem).__name__}"
        raise ProblemFileError(
            path.name, found, "write problem = ps.Problem(domain=..., equations=..., conditions=...)"
        )
    for name, value in names.items():
        near = get_close_matches(name, _NAMES, n=1, cutoff=0.8)
        if near and near[0] not in names and type(value).__module__.startswith("pinnsolve."):
            found = f"`{name}` is a {type(value).__name__} that nothing reads"
            raise ProblemFileError(path.name, found, f"write {near[0]} = ... if that is meant, or choose another name")
    return ProblemFile(path, problem, *(names.get(name) for name in _NAMES))


def _remedy(found: str) -> str:
    """Return what to do about an error of Python's that beginners meet, as far as its text tells."""
    return next((remedy for part, remedy in _REMEDIES.items() if part in found), "correct the file")


def _line(error: BaseException, path: Path) -> str:
    """Return the innermost line of the user's file that the error passed through, or that of the term within the call there."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if not lines or lines[-1] is None:
        return ""
    return f", line {_line_of_term(error.term, path, lines[-1]) if isinstance(error, ProblemError) else lines[-1]}"


def _line_of_term(term: str, path: Path, line: int) -> int:
    """Return where a term, or an argument, is written in the call that begins at a line; that line where it is not certain."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return line
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.lineno == line]
    if not calls:
        return line
    call = max(calls, key=lambda node: (node.end_lineno or line, -node.col_offset))
    found = _NAME.fullmatch(term)
    name, index = (term, "") if found is None else found.groups("")
    entries = [
        value
        for node in ast.walk(call)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == name
    ]
    if len(entries) == 1:
        (value,) = entries
        if isinstance(value, ast.List | ast.Tuple) and index and int(index) < len(value.elts):
            return value.elts[int(index)].lineno
        return value.lineno
    arguments = [
        keyword.value.lineno for keyword in call.keywords if keyword.arg == re.split(r"\W", term, maxsplit=1)[0]
    ]
    return arguments[0] if not entries and arguments else line


_NAME = re.compile(r"(.*?)(?:\[(\d+)\])?(?:\.re|\.im)?", re.DOTALL)
"""The name of a term, the number of its place in a list, and which part it is of a complex one."""

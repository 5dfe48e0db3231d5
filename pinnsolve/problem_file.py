"""Problem files: Python modules that name `problem` and, if they like, `network`, `training` and `reference`.

A problem file is a program and runs with the user's rights; nothing else that pinnsolve opens does.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinnsolve.declaration.observations import Observations
from pinnsolve.domains.mesh import Mesh
from pinnsolve.domains.shapes import factors_of
from pinnsolve.domains.surfaces import Surface
from pinnsolve.errors import ProblemError
from pinnsolve.problem import Problem


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
        """The files its observations and meshes were read from."""
        read = [*self.problem.data.values(), self.reference]
        tables = [o.table for o in read if isinstance(o, Observations) and o.table is not None]
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
        raise ProblemFileError(f"{path.name}{_line(error, path)}", found, "correct the file") from error
    finally:
        with contextlib.suppress(ValueError):  # the user's program may have taken it out
            sys.path.remove(str(path.parent))
    problem = names.get("problem")
    if not isinstance(problem, Problem):
        found = "no name `problem`" if "problem" not in names else f"`problem` is a {type(problem).__name__}"
        raise ProblemFileError(
            path.name, found, "write problem = ps.Problem(domain=..., equations=..., conditions=...)"
        )
    return ProblemFile(path, problem, *(names.get(name) for name in ("network", "training", "reference")))


def _line(error: BaseException, path: Path) -> str:
    """Return the innermost line of the user's file that the error passed through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""

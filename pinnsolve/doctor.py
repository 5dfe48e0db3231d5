"""Doctor: what is installed and usable on this machine, and what each thing that is missing would be good for."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import torch

import pinnsolve

_NEEDED = ("torch", "numpy", "scipy", "sympy", "matplotlib", "jinja2", "safetensors", "meshio", "click", "rich")
_OPTIONAL = {
    "onnx": "export --to onnx (pip install 'pinnsolve[onnx]')",
    "onnxscript": "export --to onnx (pip install 'pinnsolve[onnx]')",
    "onnxruntime": "running what was exported",
    "optuna": "sweep (pip install 'pinnsolve[sweep]')",
    "tensorboard": "run --tensorboard (pip install 'pinnsolve[tensorboard]')",
    "IPython": "notebooks",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: Its name.
        good: Whether it works; None for what nobody needs.
        text: What was found, or what to do.
    """

    what: str
    good: bool | None
    text: str


def examine() -> Iterator[Finding]:
    """Yield what is found: packages, a small solution, compiler, GPU, a place for results."""
    yield Finding(
        "pinnsolve", True, f"{pinnsolve.__version__}, Python {platform.python_version()}, {platform.platform()}"
    )
    for name in _NEEDED:
        yield _package(name, needed=True, use="pip install pinnsolve")
    for name, use in _OPTIONAL.items():
        yield _package(name, needed=False, use=use)
    yield Finding("processors", True, f"{os.cpu_count()}, torch uses {torch.get_num_threads()} threads")
    yield _tried("arithmetic", _solve_by_gradients)
    yield _tried("results", _write_here)
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        yield Finding("C++ compiler", None, "none: --compile on needs one, everything else does not")
    else:
        yield _tried("C++ compiler", lambda: _compile(compiler), needed=False)
    if torch.cuda.is_available():
        yield _tried("GPU", _multiply_on_gpu)
    else:
        yield Finding("GPU", None, "none that torch can use: everything runs on the CPU")


def report_findings() -> int:
    """Print what was found; return the exit code, 1 if something that is needed does not work."""
    good = True
    for finding in examine():
        mark = {True: "ok", False: "BAD", None: "-"}[finding.good]
        click.echo(f"{mark:<4}{finding.what:<14}{finding.text}")
        good &= finding.good is not False
    return 0 if good else 1


def _package(name: str, *, needed: bool, use: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False if needed else None, f"missing: {use}")


def _tried(what: str, attempt: Callable[[], str], *, needed: bool = True) -> Finding:
    try:
        return Finding(what, True, attempt())
    except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        return Finding(what, False if needed else None, f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")


def _solve_by_gradients() -> str:
    """Differentiate in double precision and solve a linear system, which all of a training is made of."""
    x = torch.linspace(0, 1, 5, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch.sin(x).sum(), x)
    matrix = torch.eye(5, dtype=torch.float64) + 0.1
    rest = matrix @ torch.linalg.solve(matrix, slope) - torch.cos(x.detach())
    if float(rest.abs().max()) > 1e-14:
        raise RuntimeError(f"a derivative or a linear system is wrong by {float(rest.abs().max()):.1e}")
    return "derivatives and linear systems in double precision are right"


def _write_here() -> str:
    with tempfile.NamedTemporaryFile(dir=".") as stream:
        stream.write(b"0")
    free = shutil.disk_usage(".").free / 2**30
    return f"can be written to {Path.cwd()}, {free:.1f} GiB free"


def _compile(compiler: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "empty.cpp"
        source.write_text("int main() { return 0; }\n")
        command = [compiler, str(source), "-o", str(source.with_suffix(""))]
        subprocess.run(command, check=True, capture_output=True, timeout=60)  # noqa: S603 (the user's own compiler)
    return compiler


def _multiply_on_gpu() -> str:
    a = torch.eye(64, dtype=torch.float64, device="cuda")
    if float((a @ a).sum()) != 64:
        raise RuntimeError("a product of matrices is wrong")
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"

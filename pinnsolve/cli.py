"""The command line: parse, call, print, exit code. Heavy imports wait until a verb needs them, so that help is instant."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pinnsolve.verbs import VERBS

_TEMPLATES = ("burgers", "inverse", "mesh", "oscillator", "poisson", "system")
_EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_EXISTING_RUN = click.Path(exists=True, file_okay=False, path_type=Path)


class Grid(click.ParamType):
    """A regular grid as text, `x=0:1:101,t=0.5`: ends and number of points, or one value."""

    name = "grid"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, tuple[float, float, int]]:
        """Return low, high and count for each coordinate."""
        axes: dict[str, tuple[float, float, int]] = {}
        for part in str(value).split(","):
            name, _, text = part.partition("=")
            try:
                numbers = text.split(":")
                low, high = float(numbers[0]), float(numbers[1] if len(numbers) > 1 else numbers[0])
                count = int(numbers[2]) if len(numbers) > 2 else (51 if len(numbers) > 1 else 1)
            except ValueError:
                count = 0
            if not name or count < 1:
                self.fail(f"{part!r} is not NAME=LOW:HIGH:COUNT or NAME=VALUE, as in x=0:1:101,t=0.5", param, ctx)
            axes[name.strip()] = (low, high, count)
        return axes


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="pinnsolve")
def cli() -> None:
    """Solve differential equations declared in SymPy with physics-informed neural networks.

    A problem file is a Python program: `run` and `check` execute it with your rights. Everything else pinnsolve opens is
    data and is never executed.
    """


@cli.command()
@click.argument("name")
@click.option("--template", type=click.Choice(_TEMPLATES), default="burgers", show_default=True)
def new(name: str, template: str) -> None:
    """Write a commented problem file NAME.py to start from."""
    target = Path(name if name.endswith(".py") else f"{name}.py")
    source = Path(__file__).with_name("templates") / f"{template}.py"
    mesh = source.with_suffix(".msh")
    written = [target, target.with_suffix(".msh")] if mesh.exists() else [target]
    for path in written:
        if path.exists():
            raise click.UsageError(f"{path} exists already; choose another name")
    text = source.read_text(encoding="utf-8")
    for path in written[1:]:
        path.write_bytes(mesh.read_bytes())
        text = text.replace(f'"{mesh.name}"', f'"{path.name}"')
    target.write_text(text, encoding="utf-8")
    click.echo(f"wrote {' and '.join(map(str, written))}; next: pinnsolve check {target}, then pinnsolve run {target}")


@cli.command()
@click.argument("problem", type=_EXISTING_FILE)
def check(problem: Path) -> None:
    """Print the mathematics of PROBLEM.py as understood; train nothing."""
    from dataclasses import replace

    from pinnsolve.choices import choose
    from pinnsolve.compiler.compile import compile_problem
    from pinnsolve.compiler.trial import build_trial
    from pinnsolve.description import describe_problem
    from pinnsolve.glance import describe_reference
    from pinnsolve.privacy import check_private
    from pinnsolve.problem_file import load_problem_file
    from pinnsolve.scaling import complete

    file = load_problem_file(problem)
    check_private(file.problem, file.network, file.training, file.reference)
    declared, exactness = complete(file.problem, file.network, file.training)
    compiled = compile_problem(declared)
    plan = choose(compiled, file.network, file.training)
    plan = replace(plan, choices=(*exactness, *plan.choices))
    build_trial(declared, plan.network, seed=0, dtype=plan.dtype, device="cpu")  # a network that does not fit shows
    click.echo(describe_problem(compiled, plan, name=file.name))
    for line in describe_reference(declared, file.reference):
        click.echo(line)


@cli.command()
@click.argument("problem", type=_EXISTING_FILE)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the results; default runs/<problem>/<time>-s<seed>."
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", default=0, show_default="0")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--dtype", type=click.Choice(["float64", "float32"]), default="float64", show_default=True)
@click.option(
    "--max-time", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Bound on the whole training."
)
@click.option("--max-steps", type=click.IntRange(min=1), metavar="N", help="Bound on the steps of all phases together.")
@click.option(
    "--tol",
    type=click.FloatRange(min=0, min_open=True),
    metavar="REL_L2",
    help="Stop when the error is below; exit 6 if never.",
)
@click.option("--quick", is_flag=True, help="Fewer points and steps, to see whether a declaration works.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads of torch.")
@click.option(
    "--compile",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="A compiled step: where it repays itself, always, never. off repeats to the last bit.",
)
@click.option(
    "--save-every",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="Time of training between two checkpoints.",
)
@click.option("--no-plots", is_flag=True, help="Write no pictures.")
@click.option("--tensorboard", is_flag=True, help="Write curves of the training into the run directory.")
@click.option("--json", "as_json", is_flag=True, help="Print the contents of result.json on stdout.")
@click.option("-q", "quiet", is_flag=True, help="No progress.")
@click.option("-v", "verbose", is_flag=True, expose_value=False, help="Tracebacks on the terminal.")  # read by `main`
def run(problem: Path, **options: Any) -> None:
    """Train PROBLEM.py, compare with the reference, plot, and write the run directory."""
    from pinnsolve.running import run_problem_file

    sys.exit(run_problem_file(problem, **options))


@cli.command()
@click.argument("run_directory", metavar="RUN", type=_EXISTING_RUN)
@click.argument("problem", metavar="[PROBLEM.py]", type=_EXISTING_FILE, required=False)
@click.option(
    "--max-time",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Bound on the whole training, from its beginning; as it was when left out.",
)
@click.option("--max-steps", type=click.IntRange(min=1), metavar="N", help="Likewise, on the steps of all phases.")
@click.option(
    "--save-every", type=click.FloatRange(min=0), metavar="SECONDS", help="Time of training between two checkpoints."
)
@click.option("--no-plots", is_flag=True, help="Write no pictures.")
@click.option("--tensorboard", is_flag=True, help="Write curves of the training into the run directory.")
@click.option("--json", "as_json", is_flag=True, help="Print the contents of result.json on stdout.")
@click.option("-q", "quiet", is_flag=True, help="No progress.")
@click.option("-v", "verbose", is_flag=True, expose_value=False, help="Tracebacks on the terminal.")  # read by `main`
def resume(run_directory: Path, problem: Path | None, **options: Any) -> None:
    """Go on with a RUN that was broken off, from its newest good checkpoint.

    The result is that of a run that was not broken off. PROBLEM.py, which is executed, is needed only for a network or a
    training of your own making; it must be the file that the run was begun with.
    """
    from pinnsolve.running import resume_run

    sys.exit(resume_run(run_directory, problem, **options))


@cli.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--tol",
    type=click.FloatRange(min=0, min_open=True),
    metavar="REL_L2",
    help="Exit 6 if the error is above; of a PROBLEM.py, the reference's own.",
)
@click.option(
    "--manufactured",
    "known",
    is_flag=True,
    help="Choose a solution, give PROBLEM.py its sources, print the true error.",
)
@click.option(
    "--defect", is_flag=True, help="Of a RUN: estimate the error without the reference too, from the residuals."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON on stdout.")
def verify(path: Path, tol: float | None, known: bool, defect: bool, as_json: bool) -> None:
    """Print the reference's own convergence, then the error of a RUN against it; for a PROBLEM.py the reference alone."""
    from pinnsolve.verification import verify_manufactured, verify_path

    if known and path.is_dir():
        raise click.UsageError("--manufactured is for a PROBLEM.py: a run has its solution already")
    if defect and path.is_file():
        raise click.UsageError("--defect asks for the error of a run; give a run directory")
    if known:
        sys.exit(verify_manufactured(path, tolerance=tol, as_json=as_json))
    sys.exit(verify_path(path, tolerance=tol, defect=defect, as_json=as_json))


@cli.command("eval")
@click.argument("run_directory", metavar="RUN", type=_EXISTING_RUN)
@click.option("--points", type=_EXISTING_FILE, help="A .csv or .npz with a column for each coordinate.")
@click.option("--grid", type=Grid(), help="x=0:1:101,t=0:1:51")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A .csv, .npz or .vtu; stdout as CSV otherwise.",
)
def evaluate(run_directory: Path, points: Path | None, grid: Any, output: Path | None) -> None:
    """Evaluate the fields of a RUN at points."""
    from pinnsolve.tables import evaluate_at

    if (points is None) == (grid is None):
        raise click.UsageError("give either --points or --grid")
    evaluate_at(run_directory, points=points, grid=grid, output=output)


@cli.command()
@click.argument("run_directory", metavar="RUN", type=_EXISTING_RUN)
@click.option("--film", is_flag=True, help="Also write plots/fields.gif, in which the fields move.")
def plot(run_directory: Path, film: bool) -> None:
    """Draw the pictures of a RUN again."""
    from pinnsolve.plotting import read_history, write_plots
    from pinnsolve.verification import load_with_reference

    history = read_history(run_directory / "metrics.jsonl")
    solution = load_with_reference(run_directory)
    for path in write_plots(solution, run_directory / "plots", history=history):
        click.echo(path)
    if film:
        click.echo(solution.write(run_directory / "plots" / "fields.gif"))


@cli.command()
@click.argument("run_directory", metavar="RUN", type=_EXISTING_RUN)
@click.option(
    "--stream", required=True, metavar="CSV", help="Columns of coordinates and fields; - reads standard input."
)
@click.option("--policy", type=click.Choice(["report", "retrain", "reset"]), default="report", show_default=True)
@click.option("--detector", type=click.Choice(["page-hinkley", "adwin"]), default="page-hinkley", show_default=True)
@click.option("--reference", type=click.IntRange(min=2), metavar="N", default=100, help="Rows that say what is usual.")
@click.option("--recent", type=click.IntRange(min=1), metavar="N", default=200, help="Rows that are adapted to.")
@click.option(
    "--max-time",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=30.0,
    show_default=True,
    help="Bound on the training of each adaptation.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for what was found; default RUN/monitor.")
@click.option("--json", "as_json", is_flag=True, help="Print the contents of monitor.json on stdout.")
def monitor(run_directory: Path, stream: str, **options: Any) -> None:
    """Watch the solution of a RUN on incoming measurements; exit 6 if it no longer describes them."""
    from pinnsolve.monitoring.outcome import monitor_run

    sys.exit(monitor_run(run_directory, stream, **options))


@cli.group()
def bench() -> None:
    """Measure on this machine what the README claims."""


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print machine and rows as JSON on stdout.")
@click.option(
    "--points", type=click.IntRange(min=1), metavar="N", multiple=True, help="Only so many points; may be repeated."
)
@click.option("--dtype", type=click.Choice(["float64", "float32"]), help="Only this precision.")
@click.option("--residual", metavar="NAME", multiple=True, help="Only this residual; may be repeated.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
def engine(as_json: bool, points: tuple[int, ...], dtype: str | None, residual: tuple[str, ...], device: str) -> None:
    """Time a loss and its gradient by jets, plain and compiled, and by nested automatic differentiation."""
    from pinnsolve.bench.report import report_engine

    report_engine(residual, points, dtype, device=device, as_json=as_json)


@bench.command()
@click.option("--problem", metavar="NAME", multiple=True, help="Only this file of the folder; may be repeated.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default="problems", show_default=True)
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", default=3, show_default=True, help="Runs for each.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Limit on the training of each run.",
)
@click.option("--defaults", is_flag=True, help="Leave out the network and the training that a file names.")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--json", "form", flag_value="json", help="Print machine, curves and tables as JSON on stdout.")
@click.option("--markdown", "form", flag_value="markdown", help="Print a table as the README has it.")
@click.option("--text", "form", flag_value="text", default=True, hidden=True)
def accuracy(problem: tuple[str, ...], **options: Any) -> None:
    """Train problem files and tell their error against time, with the time of a classical solver beside it."""
    from pinnsolve.bench.accuracy_report import report_accuracy

    report_accuracy(problem, **options)


@bench.command()
@click.option("--ranks", "sizes", type=click.IntRange(min=1), metavar="N", multiple=True, default=(1, 2))
@click.option("--points", type=click.IntRange(min=1), metavar="N", default=50_000, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), metavar="N", default=3, show_default=True, help="Runs of each.")
@click.option(
    "--compile", "compiled", type=click.Choice(["on", "off"]), default="off", show_default=True, help="As for a run."
)
@click.option("--json", "as_json", is_flag=True, help="Print machine and rows as JSON on stdout.")
def ranks(sizes: tuple[int, ...], points: int, repeats: int, compiled: str, as_json: bool) -> None:
    """Time steps of one process and of several that share the points, one thread each."""
    from pinnsolve.bench.ranks import report_ranks

    report_ranks(sizes, points, repeats, compiled=compiled, as_json=as_json)


for _verb in VERBS:
    cli.add_command(_verb)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; a traceback reaches the terminal only with -v."""
    _tolerate_narrow_encodings()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            with cli.make_context("pinnsolve", arguments) as context:  # click's own `main` has other exit codes
                cli.invoke(context)
            sys.stdout.flush()  # here, where a reader who has left can be noticed
    except SystemExit as stop:
        return int(stop.code or 0)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read stdout has left; what could not be written is nobody's loss.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # the last line of defence: every fault becomes one sentence and an exit code
        return _report(error, verbose=any(re.fullmatch("-[qv]*v[qv]*", a) for a in arguments))
    return 0


def _report(error: Exception, *, verbose: bool) -> int:
    if verbose:
        import traceback

        traceback.print_exception(error)
    code = getattr(error, "exit_code", None)
    if code is not None:
        click.echo(f"error: {error}", err=True)
        return int(code)
    if (
        isinstance(error, MemoryError) or "out of memory" in str(error) or "allocate memory" in str(error)
    ):  # torch's own
        click.echo("error: out of memory · reduce points=, or the width of the network", err=True)
        return 7
    if isinstance(error, OSError):
        click.echo(
            f"error: {error.filename or 'a file'} · {error.strerror or error} · free or choose another place", err=True
        )
        return 7
    click.echo(f"internal error: {type(error).__name__}: {error} · run again with -v and report it", err=True)
    return 1


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    """Print a warning as one line; the line of code that it came from means nothing on a terminal."""
    click.echo(f"warning: {message}", err=True)


def _tolerate_narrow_encodings() -> None:
    """Let a terminal that cannot show a character show another, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")

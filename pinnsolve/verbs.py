"""Verbs about several runs and about finished ones: sweeps, summaries, pages, exports, comparisons, lists; and the machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

FORMS = ("vtu", "pvd", "csv", "npz", "pt2", "onnx", "py")
"""What a solution is exported as: pictures and tables by `writing`, programs by `exporting`."""

_EXISTING_RUN = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("run_directory", metavar="RUN", type=_EXISTING_RUN)
def report(run_directory: Path) -> None:
    """Write the page of a RUN again: report.html, which opens offline."""
    from pinnsolve.report import write_report

    click.echo(write_report(run_directory))


@click.command()
@click.argument("run_directory", metavar="RUN", type=_EXISTING_RUN)
@click.option(
    "--to", type=click.Choice(FORMS), required=True, help="For ParaView, as a table, or as a program: pt2, onnx, py."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="RUN/solution.vtu and so on otherwise."
)
def export(run_directory: Path, to: str, output: Path | None) -> None:
    """Write fields, derivatives, residuals and error of a RUN for other programs."""
    from pinnsolve.exporting import export_run

    if output is not None and output.suffix != f".{to}":
        raise click.UsageError(f"{output} does not end in .{to}")
    click.echo(export_run(run_directory, to=to, output=output))


@click.command()
@click.argument("run_directory", metavar="RUN", type=_EXISTING_RUN)
@click.option("--json", "as_json", is_flag=True, help="Print the contents of result.json on stdout.")
def show(run_directory: Path, as_json: bool) -> None:
    """Show what was done in a RUN and how well."""
    from pinnsolve.archive import ArchiveError
    from pinnsolve.run_directory import read_result
    from pinnsolve.summary import summarise

    record = read_result(run_directory)
    if as_json:
        click.echo((run_directory / "result.json").read_text(encoding="utf-8"), nl=False)
        return
    try:
        text = summarise(record)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        found = f"result.json is damaged: {error!r}"
        raise ArchiveError(str(run_directory), found, "run the problem again") from None
    click.echo(text)


@click.command()
@click.argument("first", metavar="RUN", type=_EXISTING_RUN)
@click.argument("second", metavar="RUN", type=_EXISTING_RUN)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON on stdout.")
@click.option("--all", "everything", is_flag=True, help="Everything that differs, not the outcome and settings alone.")
def compare(first: Path, second: Path, as_json: bool, everything: bool) -> None:
    """Show two runs side by side: errors and times, and the settings that differ."""
    from pinnsolve.listing import compare_runs

    compare_runs(first, second, as_json=as_json, everything=everything)


@click.command("list")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default="runs")
@click.option("--json", "as_json", is_flag=True, help="Print the runs as JSON on stdout.")
def list_(folder: Path, as_json: bool) -> None:
    """List the finished runs below FOLDER, by default runs/."""
    from pinnsolve.listing import list_runs

    list_runs(folder, as_json=as_json)


@click.command()
def doctor() -> None:
    """Tell what is installed and usable."""
    from pinnsolve.doctor import report_findings

    sys.exit(report_findings())


@click.command()
@click.argument("problem", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--vary",
    multiple=True,
    metavar="SETTING=VALUES",
    help="network.width=20,40,60 or training.phases[0].lr=1e-4..1e-2:log; may be repeated.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), metavar="N", default=3, show_default=True, help="For each setting."
)
@click.option(
    "--trials", type=click.IntRange(min=1), metavar="N", help="Settings to try; a grid of up to 100 whole, else 30."
)
@click.option("--sampler", type=click.Choice(["auto", "grid", "random", "tpe"]), default="auto", show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Bound on the training of each run."
)
@click.option("--max-steps", type=click.IntRange(min=1), metavar="N", help="Likewise, on its steps.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", default=1, show_default=True, help="Processes.")
@click.option(
    "--storage",
    metavar="URL",
    help="sqlite:///FILE or another database that several machines share, or a path of a journal file.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder; default runs/<problem>/sweep-<what it is>.")
@click.option("--quick", is_flag=True, help="Fewer points and steps in every run.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads of torch in every process.")
@click.option("--compile", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the contents of sweep.json on stdout.")
@click.option("-q", "quiet", is_flag=True, help="No lines about runs.")
@click.option("-v", "verbose", is_flag=True, expose_value=False, help="Tracebacks on the terminal.")  # read by `main`
@click.option("--join", is_flag=True, hidden=True)
def sweep(problem: Path, **options: Any) -> None:
    """Train PROBLEM.py over seeds and settings; the same command again, here or on another machine, joins or goes on.

    Settings are compared by the median over the seeds of the loss on held-out points; the error is told beside it.
    """
    from pinnsolve.sweep.campaign import Options, sweep_problem_file

    sys.exit(sweep_problem_file(problem, Options(**options)))


VERBS = (show, report, export, compare, list_, sweep, doctor)

"""Verbs about finished runs: their page, exports, comparisons, lists, and the machine."""

from __future__ import annotations

import sys
from pathlib import Path

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
@click.argument("first", metavar="RUN", type=_EXISTING_RUN)
@click.argument("second", metavar="RUN", type=_EXISTING_RUN)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON on stdout.")
def compare(first: Path, second: Path, as_json: bool) -> None:
    """Show two runs side by side: whatever differs."""
    from pinnsolve.listing import compare_runs

    compare_runs(first, second, as_json=as_json)


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


VERBS = (report, export, compare, list_, doctor)

"""Verbs about finished runs: their page, exports, comparisons, lists, and the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import click

FORMS = ("pt2", "onnx", "py", "csv", "npz")
"""What a solution is exported as; `exporting.WRITERS` says how."""

_EXISTING_RUN = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("run_directory", metavar="RUN", type=_EXISTING_RUN)
def report(run_directory: Path) -> None:
    """Write the page of a RUN again: report.html, which opens offline."""
    from pinnsolve.report import write_report

    click.echo(write_report(run_directory))


@click.command()
@click.argument("run_directory", metavar="RUN", type=_EXISTING_RUN)
@click.option("--to", type=click.Choice(FORMS), required=True, help="pt2, onnx, py: a program; csv, npz: a table.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default RUN/export/solution.TO.")
def export(run_directory: Path, to: str, output: Path | None) -> None:
    """Write the solution of a RUN for other programs."""
    from pinnsolve.exporting import export_run

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

"""The report: one page that stands alone, says what the run knows, and holds nothing that a stranger's run could run."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from sympy import Eq, exp, symbols

import pinnsolve as ps
from pinnsolve.archive import ArchiveError
from pinnsolve.cli import main
from pinnsolve.report import build_report, write_report
from pinnsolve.summary import summarise

t, k = symbols("t k")
q = ps.fields("q", t)
EVIL = '"><script>alert(1)</script><img src="http://example.org/x">'
VOID = {"meta", "link", "img", "br"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> tuple[ps.Solution, Path]:
    """Exponential decay, trained for a moment, with its run directory."""
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1),
        equations={"decay": Eq(q.diff(t), -k * q)},
        conditions={"start": Eq(q(0), 1)},
        data={"sensor": ps.Observations(at={t: [0.5, 1.0]}, values={q: [0.6065, 0.3679]}, noise=0.01)},
        unknowns={k: 0.5},
    )
    out = tmp_path_factory.mktemp("report") / "ein Lauf"
    training = ps.Training(points={"decay": 24}, phases=[ps.Adam(steps=20), ps.LBFGS(steps=40)])
    solution = ps.solve(
        problem, ps.MLP(width=5, depth=1), training, ps.Exact({q: exp(-t)}, unknowns={k: 1.0}), out=out, name="decay"
    )
    return solution, out


@pytest.fixture(scope="module")
def page(solved: tuple[ps.Solution, Path]) -> str:
    return (solved[1] / "report.html").read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Collects the tags with their attributes, and complains about those that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag


def test_a_run_leaves_a_page_that_says_what_it_knows(page: str, solved: tuple[ps.Solution, Path]) -> None:
    text = re.sub(r"\s+", " ", page)
    for expected in ("<h1>decay</h1>", "How wrong is it?", "against a closed form", "Beside a classical solver"):
        assert expected in text
    assert solved[0].message.split(";")[0].split(":")[0] in text
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 4
    for choice in solved[0].record["choices"]:
        assert choice["reason"].split("'")[0] in text
    assert "at 2 measured points" in text and "<details><summary>The problem file" not in page


def test_every_formula_is_valid_mathml(page: str) -> None:
    formulas = [ElementTree.fromstring(m) for m in re.findall(r"<math.*?</math>", page, re.S)]  # noqa: S314 (made here)
    assert len(formulas) > 5 and "".join(formulas[3].itertext()).replace("\u2062", "") == "qt=−kq"


def test_the_page_stands_alone(page: str) -> None:
    tags = Outline(page).tags
    assert not {tag for tag, _ in tags} & {"script", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action"):
                assert value is not None and value.startswith("data:"), (tag, name)
    assert "default-src 'none'" in page and not re.search(r"url\(|@import", page)


def test_without_plots_there_is_no_page(tmp_path: Path) -> None:
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
    )
    training = ps.Training(points={"decay": 8}, phases=[ps.Adam(steps=2)])
    ps.solve(problem, ps.MLP(width=3, depth=1), training, out=tmp_path / "run", plots=False)
    assert not (tmp_path / "run" / "report.html").exists()


def test_the_verb_writes_the_page_again(solved: tuple[ps.Solution, Path], capsys: pytest.CaptureFixture[str]) -> None:
    before = (solved[1] / "report.html").read_text(encoding="utf-8")
    (solved[1] / "report.html").unlink()
    assert main(["report", str(solved[1])]) == 0
    assert capsys.readouterr().out.strip() == str(solved[1] / "report.html")
    # Observations are not stored: all else is as it was.
    again = (solved[1] / "report.html").read_text(encoding="utf-8")
    assert again.replace("where it was measured", "at 2 measured points") == before


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value in JSON data."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    record = copy.deepcopy(record)
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return record


def test_a_damaged_record_gives_a_page_or_an_archive_error(solved: tuple[ps.Solution, Path]) -> None:
    record = json.loads((solved[1] / "result.json").read_bytes())
    problem, refused = solved[0].problem, 0
    for path in places(record):
        values: tuple[Any, ...] = (None, {}, EVIL)
        for value in values:
            try:
                page = build_report(changed(record, path, value), problem)
            except ArchiveError:
                refused += 1
            else:
                assert "<script" not in page and 'src="http' not in page
    assert refused > 25


def test_every_text_is_escaped(solved: tuple[ps.Solution, Path]) -> None:
    def evil(data: Any) -> Any:
        if isinstance(data, dict):
            return {(key if key in FIXED else f"{key}{EVIL}"): evil(value) for key, value in data.items()}
        if isinstance(data, list):
            return [evil(value) for value in data]
        return EVIL if isinstance(data, str) else data

    record = json.loads((solved[1] / "result.json").read_bytes())
    FIXED = {str(step) for path in places(record) for step in path} - set(record["errors"]) - set(record["unknowns"])
    circumstances = {
        "argv": ["pinnsolve", EVIL],
        "versions": {EVIL: EVIL},
        "hardware": {},
        "time": EVIL,
        "inputs": [EVIL],
    }
    page = build_report(evil(record), solved[0].problem, circumstances=circumstances, source=EVIL)
    Outline(page)
    assert "<script" not in page and page.count("&lt;script&gt;") > 10 and '"><img' not in page


def test_only_pictures_of_bounded_size_are_embedded(solved: tuple[ps.Solution, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(solved[1], run)
    secret = tmp_path / "secret.png"
    shutil.copy(run / "plots" / "loss.png", secret)
    (run / "plots" / "fields.png").write_bytes(b"<svg onload=alert(1)>")
    (run / "plots" / "error.png").unlink()
    (run / "plots" / "error.png").symlink_to(secret)
    with (run / "plots" / "loss.png").open("ab") as stream:
        stream.truncate(10_000_000)
    page = write_report(run).read_text(encoding="utf-8")
    assert page.count("data:image/png") == 1 and 'alt="Where the equations are not met"' in page


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 8
    assert "no result.json" in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason="there is no browser here")
def test_a_browser_shows_it_at_400_pixels_without_a_request_or_an_error(
    solved: tuple[ps.Solution, Path], tmp_path: Path
) -> None:
    assert CHROMIUM is not None
    (tmp_path / "report.html").write_bytes((solved[1] / "report.html").read_bytes())
    frame = tmp_path / "frame.html"
    frame.write_text(
        """<iframe id="f" src="report.html" style="width:400px;height:900px;border:0"></iframe><pre id="found"></pre><script>
        document.getElementById("f").onload = function () {
          var page = this.contentDocument, root = page.documentElement;
          var images = Array.from(page.images), math = page.querySelector("math mrow");
          document.getElementById("found").textContent = "found " + JSON.stringify({
            width: root.scrollWidth, images: images.filter(i => i.naturalWidth > 0 && i.clientWidth <= 400).length,
            requests: this.contentWindow.performance.getEntriesByType("resource").filter(e => !e.name.startsWith("data:")).length,
            math: math.clientHeight || math.getBoundingClientRect().height,
            size: parseFloat(this.contentWindow.getComputedStyle(page.body).fontSize)}) + " end";
        };</script>""",
        encoding="utf-8",
    )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--enable-logging=stderr"]
    done = subprocess.run(
        [CHROMIUM, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    match = re.search(r"found (\{.*?\}) end", done.stdout)
    assert match, done.stdout[-2000:]
    seen = json.loads(match[1])
    assert seen["width"] <= 400 and seen["images"] == 4 and seen["requests"] == 0
    assert seen["math"] > 10 and seen["size"] >= 16
    assert "CONSOLE" not in done.stderr


def test_an_unknown_that_is_known_after_all_is_compared(solved: tuple[ps.Solution, Path]) -> None:
    record = solved[0].record
    off = abs(record["unknowns"]["k"] - 1) * 100
    assert record["reference"]["unknowns"] == {"k": 1.0}
    assert f"({off:.2g} % off 1)" in record["message"] and f"({off:.2g} % off 1)" in summarise(record)

"""Problem files: programs that name four things, run where they lie, and are answered with file and line when they are wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import pinnsolve as ps
from pinnsolve.problem_file import ProblemFileError, load_problem_file

DECAY = """
from sympy import Eq, symbols
import pinnsolve as ps

t = symbols("t")
q = ps.fields("q", t)
problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)})
"""


def written(folder: Path, text: str, name: str = "decay.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_only_the_problem_is_required(tmp_path: Path) -> None:
    file = load_problem_file(written(tmp_path, DECAY))
    assert isinstance(file.problem, ps.Problem) and file.name == "decay" and file.path == tmp_path / "decay.py"
    assert file.network is file.training is file.reference is None and file.tables == []


def test_the_four_names_are_taken_as_they_are(tmp_path: Path) -> None:
    text = (
        DECAY + "network = ps.MLP(width=3)\ntraining = ps.Training()\nreference = ps.FiniteDifferences()\nother = 1\n"
    )
    file = load_problem_file(written(tmp_path, text))
    assert file.network == ps.MLP(width=3) and file.training == ps.Training()
    assert isinstance(file.reference, ps.FiniteDifferences)


def test_relative_paths_and_modules_start_at_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Übung eins"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "sensors.csv").write_text("time,value\n0.25,0.7\n0.5,0.6\n", encoding="utf-8")
    written(folder, "RATE = 2\n", "beside_the_problem.py")
    text = DECAY + (
        "from pathlib import Path\n"
        "from beside_the_problem import RATE\n"
        "here = Path(__file__).parent\n"
        'seen = ps.Observations.read("data/sensors.csv", at={t: "time"}, values={q: "value"})\n'
        "problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations=Eq(q.diff(t), -RATE * q), data={'sensors': seen})\n"
        "reference = seen\n"
    )
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    file = load_problem_file(written(folder, text).relative_to(tmp_path))
    assert sys.path == before
    assert file.problem.data["sensors"].count == 2
    assert file.tables == [folder / "data" / "sensors.csv"] * 2
    sys.modules.pop("beside_the_problem")


def test_what_a_problem_file_prints_is_a_message_and_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_problem_file(written(tmp_path, DECAY + 'print("hello")\n'))
    output = capsys.readouterr()
    assert output.out == "" and output.err == "hello\n"


def test_a_wrong_declaration_is_answered_with_its_own_line(tmp_path: Path) -> None:
    text = DECAY.replace("-q)", "-r)").replace('"q", t)', '"q", t)\nr = symbols("r")')
    with pytest.raises(ps.ProblemError) as refused:
        load_problem_file(written(tmp_path, text))
    assert str(refused.value).startswith("decay.py, line 8: decay · the symbol r is not declared · ")
    assert refused.value.term == "decay"


@pytest.mark.parametrize(
    ("entry", "wrong", "line"),
    [
        ('"heat": u.diff(t) - u.diff(x, 2),', '"heat": u.diff(t) - r * u.diff(x, 2),', 9),
        ("Eq(u(0, t), 0),", "Eq(u(t, 0), 0),", 14),
        ("Eq(u(1, t), 0),", "Eq(u(1, t), 1 / r),", 15),
        ("Eq(u(x, 0), sin(pi * x)),", "Eq(u(x, 0), sin(pi * y)),", 12),
        ("quantities={},", "quantities=3,", 18),
        ("quantities={},", 'quantities={"heat": ps.Quantity(r)},', 7),
    ],
)
def test_the_line_is_that_of_the_term_within_the_call_where_it_is_certain(
    entry: str, wrong: str, line: int, tmp_path: Path
) -> None:
    text = """from sympy import Eq, pi, sin, symbols
import pinnsolve as ps

x, t, r, y = symbols("x t r y")
u = ps.fields("u", x, t)
box = ps.Box({x: (0, 1), t: (0, 1)})
problem = ps.Problem(
    domain=box,
    equations={"heat": u.diff(t) - u.diff(x, 2),},
    conditions={
        "initial":
            Eq(u(x, 0), sin(pi * x)),
        "ends": [
            Eq(u(0, t), 0),
            Eq(u(1, t), 0),
        ],
    },
    quantities={},
)
"""
    assert load_problem_file(written(tmp_path, text, "fine.py")).problem
    with pytest.raises(ps.ProblemError, match=rf"^wrong.py, line {line}: "):
        load_problem_file(written(tmp_path, text.replace(entry, wrong), "wrong.py"))


def test_the_line_is_that_of_the_file_even_if_a_module_beside_it_raised(tmp_path: Path) -> None:
    written(tmp_path, "def scale(x):\n    return x / 0\n", "scaling_of_decay.py")
    text = DECAY + "\nfrom scaling_of_decay import scale\n\nscale(1)\n"
    with pytest.raises(ProblemFileError, match=r"^decay.py, line 11 · ZeroDivisionError: division by zero · correct"):
        load_problem_file(written(tmp_path, text))
    sys.modules.pop("scaling_of_decay")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (1,\n", r"decay.py, line 1 · '\(' was never closed: x = \(1, · correct the syntax"),
        ("import no_such_module_at_all\n", "decay.py, line 1 · ModuleNotFoundError: No module named"),
        ("import sys\n\nsys.exit()\n", "decay.py, line 3 · SystemExit"),
        ("x = 1\n", "decay.py · no name `problem` · write problem = ps.Problem"),
        ("problem = 3\n", "decay.py · `problem` is a int"),
        ("x = '\0'\n", "null bytes"),
    ],
)
def test_a_file_that_is_no_problem_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ProblemFileError, match=message) as refused:
        load_problem_file(written(tmp_path, text))
    assert refused.value.exit_code == 3 and "\n" not in str(refused.value)


def test_nothing_of_the_file_stays_behind(tmp_path: Path) -> None:
    modules = set(sys.modules)
    load_problem_file(written(tmp_path, DECAY))
    assert {name for name in set(sys.modules) - modules if "problem" in name or "decay" in name} == set()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("refrence = ps.Exact({u: x})", r"`refrence` is a Exact that nothing reads · write reference = "),
        ("import numpy as np\nnp.cos(1.4 * x)", r"import cos, exp and so on from sympy"),
        ("import math\nmath.cos(x + u)", r"import cos, exp and so on from sympy"),
        ("ps.grad(u, x).dot((box * ps.Interval(symbols('t'), 0, 1)).normal)", r"region\.normal, not that of"),
    ],
)
def test_slips_of_beginners_are_answered(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "slip.py"
    start = "from sympy import *\nimport pinnsolve as ps\nx = symbols('x')\nu = ps.fields('u', x)\nbox = ps.Interval(x, 0, 1)\n"
    path.write_text(
        f"{start}problem = ps.Problem(domain=box, equations=u.diff(x, 2), conditions=[u(0), u(1)])\n{text}\n"
    )
    with pytest.raises(ProblemFileError, match=told):
        load_problem_file(path)

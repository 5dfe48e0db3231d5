"""Wrong problem files: one message on stderr that names term and line, the promised exit code, nothing on stdout, no traceback."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from pinnsolve.cli import main

HEAD = '''"""A problem with a mistake."""
import numpy as np
from sympy import *
import pinnsolve as ps

x, t, y = symbols("x t y")
u = ps.fields("u", x, t)
q = ps.fields("q", t)
box = ps.Box({x: (0, 1), t: (0, 2)})
heat = {"heat": Eq(u.diff(t), u.diff(x, 2))}
start = {"initial": Eq(u(x, 0), sin(pi * x))}
walls = {"left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)}
'''
LINE = HEAD.count("\n") + 1
"""The line on which what follows the head begins."""

DECLARED = "problem = ps.Problem(domain=box, equations=heat, conditions=start | walls)\n"


def with_conditions(text: str) -> str:
    return f"problem = ps.Problem(domain=box, equations=heat, conditions={text})\n"


def with_equation(text: str) -> str:
    return f'problem = ps.Problem(domain=box, equations={{"heat": {text}}}, conditions=start | walls)\n'


def with_data(text: str) -> str:
    return f'problem = ps.Problem(domain=box, equations=heat, data={{"sensors": {text}}})\n'


def read(table: str) -> str:
    return with_data(f'ps.Observations.read("{table}", at={{x: "x", t: "t"}}, values={{u: "u"}})')


@dataclass(frozen=True)
class Mistake:
    """What is written below the head, and words of the answer; the line it must name, if any, and the exit code."""

    text: str
    words: tuple[str, ...]
    line: int | None = LINE
    code: int = 3


MISTAKES = {
    "unknown symbol": Mistake(
        with_equation("Eq(u.diff(t), y * u.diff(x, 2))"), ("heat", "the symbol y is not declared")
    ),
    "misspelt symbol": Mistake(
        'nu, nuu = symbols("nu nuu")\n'
        'problem = ps.Problem(domain=box, equations={"heat": Eq(u.diff(t), nuu * u.diff(x, 2) + nu)},'
        " conditions=start | walls, unknowns={nu: 1})\n",
        ("heat", "nuu", "perhaps nu was meant"),
        LINE + 1,
    ),
    "coordinates swapped": Mistake(with_conditions('walls | {"initial": Eq(u(0, x), 1)}'), ("initial", "slot of t")),
    "coordinate out of range": Mistake(
        with_conditions('start | {"left": Eq(u(-1, t), 0), "right": Eq(u(1, t), 0)}'), ("left", "x = -1", "(0, 1)")
    ),
    "condition everywhere": Mistake(
        with_conditions('start | walls | {"extra": Eq(u, 0)}'), ("extra", "hold everywhere", "pin a coordinate")
    ),
    "missing condition": Mistake(with_conditions("start"), ("conditions in x", "need 2", "found 0")),
    "missing initial condition": Mistake(with_conditions("walls"), ("conditions in t", "need 1", "found 0")),
    "surplus condition": Mistake(
        with_conditions('start | walls | {"slope": Eq(u.diff(x).subs(x, 1), 0)}'), ("slope", "3 conditions in x")
    ),
    "trivially true": Mistake(
        with_conditions('start | walls | {"end": Eq(u(x, 2), u(x, 2))}'), ("end", "folded to True")
    ),
    "trivially false": Mistake(with_conditions('start | walls | {"end": Eq(1, 2)}'), ("end", "folded to False")),
    "folded to a number": Mistake(with_equation("u - u + 3"), ("heat", "folded to the number 3")),
    "condition without a field": Mistake(with_conditions('start | walls | {"end": Eq(x, t)}'), ("end",)),
    "a name as text": Mistake(with_equation('"u_t - u_xx"'), ("heat", "'u_t - u_xx' is a str")),
    "inequality": Mistake(with_equation("u.diff(t) < 1"), ("heat", "is not an equation")),
    "not finite": Mistake(with_equation("u.diff(t) - u.diff(x, 2) + oo * x"), ("heat", "not finite")),
    "contradictory corners": Mistake(
        with_conditions('walls | {"initial": Eq(u(x, 0), 1)}'), ("left, initial", "x = 0", "says u = 0", "1")
    ),
    "two fields and one equation": Mistake(
        'v = ps.fields("v", x, t)\nproblem = ps.Problem(domain=box, equations={"heat": Eq(u.diff(t), v)}, conditions=start)\n',
        ("equations", "1 for 2 fields"),
        LINE + 1,
    ),
    "one field and two equations": Mistake(
        'problem = ps.Problem(domain=box, equations=heat | {"more": Eq(u.diff(t), u)}, conditions=start | walls)\n',
        ("heat, more", "2 equations for 1 fields"),
    ),
    "shapes that do not match": Mistake(
        with_equation("Eq(Matrix([u.diff(t), u]), Matrix([1, 2, 3]))"), ("heat", "False")
    ),
    "twin symbols": Mistake(
        with_equation('Eq(u.diff(t), Symbol("x", positive=True) * u.diff(x, 2))'), ("heat", "two symbols named x")
    ),
    "twin fields": Mistake(
        with_conditions('walls | {"initial": Eq(ps.fields("u", x, t, positive=True)(x, 0), 1)}'),
        ("initial", "two fields named u"),
    ),
    "field of no equation": Mistake(
        with_conditions('start | walls | {"extra": Eq(Function("uu")(x, 0), 0)}'),
        ("extra", "uu appears in no equation"),
    ),
    "wrong number of arguments": Mistake(
        with_conditions('walls | {"initial": Eq(u(0), 1)}'), ("u(x, t)", "1 arguments")
    ),
    "one name twice": Mistake(with_conditions('start | walls | {"heat": Eq(u(x, 2), 0)}'), ("heat", "two terms")),
    "inverted range": Mistake("box = ps.Box({x: (1, 0), t: (0, 1)})\n", ("domain, x", "(1, 0) is empty")),
    "text as coordinate": Mistake('box = ps.Box({"x": (0, 1)})\n', ("domain", "'x' is a str", "symbols")),
    "a derivative by text": Mistake('term = ps.grad(u, "x")\n', ("grad", "symbols")),
    "discontinuous coefficient": Mistake(
        with_equation("Eq(u.diff(t), (Heaviside(x - 0.5) * u.diff(x)).diff(x))"), ("flux", "field")
    ),
    "unused unknown": Mistake(
        "problem = ps.Problem(domain=box, equations=heat, conditions=start | walls, unknowns={y: 1})\n",
        ("unknowns, y",),
    ),
    "no domain": Mistake(
        "problem = ps.Problem(domain=(0, 1), equations=heat, conditions=start | walls)\n", ("domain", "is not a region")
    ),
    "ansatz without the field": Mistake(
        "problem = ps.Problem(domain=box, equations=heat, conditions=start | walls, ansatz={u: sin(pi * x)})\n",
        ("ansatz of u", "no field"),
    ),
    "nan in observations": Mistake(
        with_data("ps.Observations(at={x: [0.1, 0.2], t: [1, 1]}, values={u: [1, np.nan]})"),
        ("values", "nan in row 2"),
        code=4,
    ),
    "observations of two lengths": Mistake(
        with_data("ps.Observations(at={x: [0.1, 0.2], t: [1, 1]}, values={u: [1, 2, 3]})"),
        ("2 entries, others 3",),
        code=4,
    ),
    "observations outside": Mistake(
        with_data("ps.Observations(at={x: [0.1, 5.0], t: [1, 1]}, values={u: [1, 2]})"),
        ("sensors", "row 2", "x = 5"),
        code=4,
    ),
    "a coordinate without places": Mistake(
        with_data("ps.Observations(at={x: [0.1, 0.5]}, values={u: [1, 2]})"), ("sensors", "coordinate t"), code=4
    ),
    "missing table": Mistake(read("nowhere.csv"), ("nowhere.csv", "there is no file"), code=4),
    "missing column": Mistake(read("column.csv"), ("column.csv", "no column 'u'", "'temperature'"), code=4),
    "text in a table": Mistake(read("text.csv"), ("text.csv", "column 'u', row 2 holds 'high'"), code=4),
    "nan in a table": Mistake(read("nan.csv"), ("nan.csv", "row 1"), code=4),
    "short row in a table": Mistake(read("short.csv"), ("short.csv", "row 1 has 2 entries"), code=4),
    "table of an unknown kind": Mistake(read("table.xlsx"), ("table.xlsx", "'.xlsx'", "use .csv or .npz"), code=4),
    "archive that is none": Mistake(read("broken.npz"), ("broken.npz", "not a readable .npz"), code=4),
    "syntax": Mistake("problem = ps.Problem(domain=box,\n", ("never closed", "correct the syntax")),
    "import": Mistake("import no_such_module_at_all\n", ("No module named 'no_such_module_at_all'",)),
    "name": Mistake("problem = Problem(domain=box)\n", ("NameError", "'Problem'")),
    "exit": Mistake("raise SystemExit(0)\n", ("SystemExit",)),
    "no problem": Mistake("problems = 1\n", ("no name `problem`", "write problem = ps.Problem"), None),
    "problem of a wrong type": Mistake("problem = heat\n", ("`problem` is a dict",), None),
    "points for an unknown term": Mistake(
        DECLARED + 'training = ps.Training(points={"burgers": 10})\n', ("points, burgers", "heat, initial"), None
    ),
    "points that are no number": Mistake(
        DECLARED + 'training = ps.Training(points={"heat": "many"})\n', ("heat", "'many'"), LINE + 1
    ),
    "weights for an unknown term": Mistake(
        DECLARED + 'training = ps.Training(weights={"burgers": 10})\n', ("weights, burgers",), None
    ),
    "phase that is none": Mistake(
        DECLARED + 'training = ps.Training(phases=["adam"])\n', ("phases", "'adam'"), LINE + 1
    ),
    "training of a wrong type": Mistake(DECLARED + 'training = {"heat": 10}\n', ("training", "ps.Training"), None),
    "network of a wrong type": Mistake(DECLARED + 'network = "MLP"\n', ("network", "'MLP'", "ps.MLP"), None),
    "network without a second derivative": Mistake(
        DECLARED + 'network = ps.MLP(activation="relu")\n', ("activation", "relu", "tanh"), LINE + 1
    ),
    "wrong width of a network": Mistake(
        DECLARED + "import torch\nnetwork = torch.nn.Linear(2, 3)\n", ("network", "shape (2, 3)", "(points, 1)"), None
    ),
    "network of other inputs": Mistake(
        DECLARED + "import torch\nnetwork = torch.nn.Linear(3, 1)\n",
        ("network", "fails at points of shape (2, 2)"),
        None,
    ),
    "unsupported function": Mistake(
        with_equation("Eq(u.diff(t), u.diff(x, 2) + besselj(0, u))"),
        ("heat", "the function besselj", "write it by these"),
        None,
    ),
    "unsupported integral": Mistake(
        with_equation("Eq(u.diff(t), u.diff(x, 2) + Integral(u, (x, 0, oo)))"), ("range of x is infinite",)
    ),
}

TABLES = {
    "column.csv": "x,t,temperature\n0.1,0.2,1\n",
    "text.csv": "x,t,u\n0.1,0.2,1\n0.2,0.2,high\n",
    "nan.csv": "x,t,u\n0.1,nan,1\n",
    "short.csv": "x,t,u\n0.1,0.2\n",
    "table.xlsx": "x,t,u\n0.1,0.2,1\n",
    "broken.npz": "x,t,u\n",
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_answered_once_where_it_was_written(
    mistake: Mistake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in TABLES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    file = tmp_path / "wrong.py"
    file.write_text(HEAD + mistake.text, encoding="utf-8")
    code = main(["check", str(file)])
    output = capsys.readouterr()
    assert output.out == "" and code == mistake.code, output.err
    assert output.err.startswith("error: ") and output.err.count("error: ") == output.err.count("\n") == 1
    assert "Traceback" not in output.err and output.err.count(" · ") == 2
    for word in mistake.words:
        assert word in output.err, output.err
    if mistake.line is not None:
        assert f"wrong.py, line {mistake.line}" in output.err, output.err


def test_the_head_alone_is_no_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "right.py"
    file.write_text(HEAD + DECLARED, encoding="utf-8")
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().err == ""


def test_the_traceback_is_shown_when_asked_for_and_kept_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(HEAD + DECLARED + 'reference = ps.Exact({"w": x})\n', encoding="utf-8")
    assert main(["run", str(file), "--out", str(tmp_path / "quiet"), "--no-plots"]) == 3
    output = capsys.readouterr()
    assert "Traceback" not in output.err and "Exact, w · no such field · the fields are u" in output.err
    assert "Traceback" in (tmp_path / "quiet" / "log.txt").read_text(encoding="utf-8")
    assert output.out == "" and not (tmp_path / "quiet" / "result.json").exists()
    assert main(["run", str(file), "--out", str(tmp_path / "quiet"), "--no-plots", "-v"]) == 3
    assert "Traceback" in capsys.readouterr().err

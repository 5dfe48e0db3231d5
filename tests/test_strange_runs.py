"""A run directory that a stranger has crafted, its sums right: nothing in it is executed, imported or allocated."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinnsolve.cli import main
from pinnsolve.training import state

CODE = ["__import__('os').system", ["Symbol", "t", {}]]


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> str:
    """Change a stored state, make its sum right, and return what identifies it."""
    content = json.loads((folder / state.DESCRIPTION).read_bytes())["content"]
    change(content)
    text = json.dumps(content, separators=(",", ":")).encode()
    digest = hashlib.sha256(text).hexdigest().encode()
    raw = state._OPENING + digest + state._MIDDLE + text + state._CLOSING
    (folder / state.DESCRIPTION).write_bytes(raw)
    return hashlib.sha256(raw).hexdigest()


@pytest.fixture
def crafted(begun: Path, tmp_path: Path) -> Callable[..., Path]:
    """Make a copy of the run of which the inputs, or the states, are changed."""

    def make(*, inputs: Any = None, states: Any = None) -> Path:
        run = tmp_path / "run"
        shutil.copytree(begun, run)
        identity = rewrite(run / "declaration", (lambda content: None) if inputs is None else inputs)
        for folder in (run / "checkpoints").iterdir():

            def change(content: dict[str, Any]) -> None:
                content["head"]["run"] = identity
                if states is not None:
                    states(content)

            rewrite(folder, change)
        return run

    return make


def put(value: Any, *path: Any) -> Callable[[Any], None]:
    """Return a change: put a value at a place; the first entry of a list is its tag."""

    def change(content: Any) -> None:
        place = content
        for key in path[:-1]:
            place = place[key + 1 if isinstance(key, int) else key]
        last = path[-1]
        assert isinstance(place, list) or last in place, path
        place[last + 1 if isinstance(last, int) else last] = value

    return change


INPUTS = ("state",)
TRAINING = (*INPUTS, "training", "with")
DECLARATION = (*INPUTS, "problem", "declaration")
LOOP = ("state", "part", "loop")


def test_the_run_is_resumed_as_it_is(crafted: Callable[..., Path]) -> None:
    assert main(["resume", str(crafted()), "--max-steps", "6", "--no-plots", "-q"]) == 0


@pytest.mark.parametrize(
    "change",
    [
        put(10**9, *INPUTS, "network", "width"),
        put(30_000, *INPUTS, "network", "width"),
        put(10**9, *INPUTS, "network", "depth"),
        put("os.system", *INPUTS, "network", "kind"),
        put(10**9, *INPUTS, "threads"),
        put("4", *INPUTS, "ambient"),
        put(-1, *INPUTS, "seed"),
        put([], *INPUTS, "quick"),
        put({"kind": "system", "with": {"command": "true"}}, *TRAINING, "weighting"),
        put({"decay": "system"}, *TRAINING, "sampling"),
        put({"tree": CODE}, *TRAINING, "weighting"),
        put(10**9, *TRAINING, "phases", 0, "with", "history"),
        put(10**13, *TRAINING, "points", "pairs", 0, 1),
        put(["list", ["list", {"tree": ["list", "Symbol", "t", {}]}, 10**9]], *TRAINING, "windows"),
        put(["list", *CODE], *DECLARATION, "terms", 0, "residual"),
        put("program", *DECLARATION, "terms", 0, "kind"),
        put(["list"], *INPUTS, "problem", "columns", "sensor"),
        put(7, *INPUTS, "problem", "columns"),
        put("soon", *INPUTS, "begun", "limits", "steps"),
        put(["number", "nan"], *INPUTS, "begun", "every"),
        put("Pickle", *INPUTS, "reference", "kind"),
    ],
    ids=lambda change: "",
)
def test_inputs_that_were_crafted_are_refused(
    crafted: Callable[..., Path], change: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = crafted(inputs=change)
    result, before = (run / "result.json").read_bytes(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    code = main(["resume", str(run), "--no-plots", "-q"])
    told = capsys.readouterr().err
    assert code == 8, told
    assert told.count("\n") == 1 and "Traceback" not in told
    assert (run / "result.json").read_bytes() == result
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


@pytest.mark.parametrize(
    "change",
    [
        put("float16", "state", "part", "dtype"),
        put(0, "state", "part", "trial"),
        put("compiled by a stranger", "state", "part", "gradients", "engine"),
        put({}, "state", "part", "objective", "points"),
        put("x", "state", "part", "chunk"),
        put({}, "state", "part", "random"),
        put(7, *LOOP, "number"),
        put("x", *LOOP, "step"),
        put("gone", *LOOP, "status"),
        put(None, *LOOP, "best"),
        put({}, *LOOP, "stepper"),
        put(["list", {"phase": 1}], *LOOP, "history"),
        put({}, "state", "clock"),
        put(None, "state", "part"),
    ],
    ids=lambda change: "",
)
def test_states_that_were_crafted_are_refused(
    crafted: Callable[..., Path], change: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["resume", str(crafted(states=change)), "--no-plots", "-q", "--max-steps", "6"])
    told = capsys.readouterr().err
    assert code == 8, told
    assert "does not fit" in told and "Traceback" not in told

"""Examples: every public name has one in its docstring, and it does what it says."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

import pinnsolve as ps

_PARSER = doctest.DocTestParser()


def run(text: str, names: dict[str, Any], *, name: str) -> str:
    """Run the examples of a docstring and return what was wrong."""
    told: list[str] = []
    test = _PARSER.get_doctest(text, names, name, None, 0)
    doctest.DocTestRunner(verbose=False).run(test, out=told.append, clear_globs=False)
    names.update(test.globs)
    return "".join(told)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the examples of the package leave behind, which all others begin with."""
    left: dict[str, Any] = {}
    assert ps.__doc__ and run(ps.__doc__, left, name="pinnsolve") == ""
    return left


@pytest.mark.parametrize("name", ps.__all__)
def test_a_public_name_has_an_example_that_holds(
    name: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = getattr(ps, name).__doc__
    examples = _PARSER.get_examples(text)
    assert examples and any(f"ps.{name}" in e.source or name == "Solution" for e in examples)
    assert run(text, dict(names), name=name) == ""


def test_a_wrong_example_is_noticed() -> None:
    assert "Expected" in run(">>> 1 + 1\n3\n", {}, name="wrong")

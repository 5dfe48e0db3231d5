"""Public names: each loads when it is used, and the list for readers is the list for type checkers."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import pinnsolve as ps


@pytest.mark.parametrize("name", ps.__all__)
def test_every_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(ps, name)
    assert value.__name__ == name and value.__doc__ and value.__doc__.strip()
    assert getattr(import_module(f"pinnsolve.{ps._HOME_OF[name]}"), name) is value


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(ps.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("pinnsolve.")
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert seen == ps._HOME_OF


def test_everything_a_problem_file_needs_is_public() -> None:
    promised = {
        "Problem",
        "Box",
        "Interval",
        "Observations",
        "fields",
        "on",
        "grad",
        "div",
        "curl",
        "laplacian",
        "advect",
    }
    promised |= {"MLP", "Training", "Adam", "LBFGS", "FiniteDifferences", "Exact", "solve", "load"}
    promised |= {"ProblemError", "UnsupportedError", "DataError"}
    assert promised <= set(ps.__all__) and set(dir(ps)) == {*ps.__all__, "__version__"}


def test_a_name_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'divergence'; perhaps ps\.div was meant"):
        ps.divergence  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'Mlp'; perhaps ps\.MLP was meant; dir"):
        _ = ps.Mlp
    with pytest.raises(
        AttributeError, match=r"no attribute 'unknowns'; an unknown is a SymPy symbol, nu = symbols\('nu'\)"
    ):
        _ = ps.unknowns

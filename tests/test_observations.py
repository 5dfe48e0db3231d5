"""Observations: arrays and tables are read exactly, and every fault is named by its row and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import symbols

from pinnsolve.declaration.observations import Observations
from pinnsolve.errors import DataError
from pinnsolve.operators import fields

x, t = symbols("x t")
u, v = fields("u v", x, t)

TABLE = "x, time,temperature\n0.0,0.5,1.25\n0.25,0.5,-3e-2\n\n# a remark\n1,1,7\n"


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_numbers_are_spread_over_the_points():
    observations = Observations(at={x: [0, 1, 2], t: 0.5}, values={u: np.array([[1], [2], [3]])}, noise=0.1)
    assert observations.count == 3
    assert observations.at[t].tolist() == [0.5, 0.5, 0.5]
    assert observations.values[u].tolist() == [1.0, 2.0, 3.0]
    assert isinstance(observations.noise, np.ndarray)
    assert observations.noise.tolist() == [0.1, 0.1, 0.1]


def test_values_of_expressions_and_complex_values_are_kept():
    observations = Observations(at={x: [0.0], t: [0.0]}, values={v.diff(x) - u.diff(t): [2], u: [1 + 2j]})
    assert observations.values[u].tolist() == [1 + 2j]
    assert observations.values[v.diff(x) - u.diff(t)].tolist() == [2.0]


def test_the_arrays_of_the_user_are_copied_and_the_mappings_frozen():
    places = np.array([0.0, 1.0])
    observations = Observations(at={x: places}, values={u: places})
    places[0] = 99
    assert observations.at[x][0] == 0
    with pytest.raises(TypeError):
        observations.at[x] = places  # type: ignore[index]


def test_a_table_is_read_by_the_names_of_its_columns(tmp_path: Path):
    path = write(tmp_path, TABLE)
    observations = Observations.read(path, at={x: "x", t: "time"}, values={u: "temperature"}, noise=0.2)
    assert observations.at[x].tolist() == [0.0, 0.25, 1.0]
    assert observations.at[t].tolist() == [0.5, 0.5, 1.0]
    assert observations.values[u].tolist() == [1.25, -0.03, 7.0]
    assert observations.source == "table.csv"


@pytest.mark.parametrize(
    "text",
    ["\ufeffx,u\n1,2\n", "x;u\n1;2\n", "x\tu\n1\t2\n", "x u\n1   2\n", '"x","u"\r\n"1","2"\r\n', "# note\nx,u\n1,2"],
)
def test_tables_of_every_common_dialect(tmp_path: Path, text: str):
    observations = Observations.read(write(tmp_path, text), at={x: "x", t: 3.0}, values={u: "u"})
    assert (observations.at[x].tolist(), observations.at[t].tolist()) == ([1.0], [3.0])
    assert observations.values[u].tolist() == [2.0]


def test_an_npz_archive_is_read(tmp_path: Path):
    np.savez(tmp_path / "d.npz", xs=np.arange(3), us=np.arange(3) * 1j, sigma=np.full(3, 0.5))
    observations = Observations.read(tmp_path / "d.npz", at={x: "xs"}, values={u: "us"}, noise="sigma")
    assert observations.values[u].tolist() == [0, 1j, 2j]
    assert np.asarray(observations.noise).tolist() == [0.5] * 3


def test_relative_paths_start_at_the_file_that_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "x,u\n1,2\n", "beside.csv")
    monkeypatch.chdir(Path("/"))
    monkeypatch.setitem(globals(), "__file__", str(tmp_path / "problem.py"))
    assert Observations.read("beside.csv", at={x: "x"}, values={u: "u"}).count == 1


def test_pickled_objects_are_never_loaded(tmp_path: Path):
    np.savez(tmp_path / "evil.npz", xs=np.array([{"a": 1}], dtype=object), us=np.zeros(1))
    with pytest.raises(DataError, match=r"evil\.npz · not a readable"):
        Observations.read(tmp_path / "evil.npz", at={x: "xs"}, values={u: "us"})


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("x,u\n1,2\n3,oops\n", ("column 'u'", "row 2", "'oops'")),
        ("x,u\n1,2\n3\n", ("row 2 has 1 entries", "header 2")),
        ("x,u\n1,2\n3,\n", ("column 'u'", "row 2", "''")),
        ("x,u\n1,2\n3,nan\n", ("values[u(x, t)] is nan in row 2", "1 such rows", "remove")),
        ("x,u\n1,inf\n", ("inf in row 1",)),
        ("1,2\n3,4\n", ("the first line holds numbers", "header")),
        ("x,u\n", ("no rows",)),
        ("", ("no rows",)),
        ("x,w\n1,2\n", ("no column 'u'", "'x', 'w'")),
        ("x,u,u\n1,2,3\n", ("several columns named 'u'", "its own name")),
    ],
)
def test_faults_of_a_table_are_named_by_row_and_column(tmp_path: Path, text: str, pieces: tuple[str, ...]):
    with pytest.raises(DataError) as caught:
        Observations.read(write(tmp_path, text), at={x: "x"}, values={u: "u"})
    message = str(caught.value)
    assert message.startswith("table.csv · ")
    assert all(piece in message for piece in pieces), message


def test_files_that_are_missing_damaged_or_of_another_kind(tmp_path: Path):
    read: dict[str, Any] = {"at": {x: "x"}, "values": {u: "u"}}
    with pytest.raises(DataError, match=r"there is no file .*nowhere\.csv"):
        Observations.read(tmp_path / "nowhere.csv", **read)
    with pytest.raises(DataError, match=r"'\.xlsx' are not read.*\.csv or \.npz"):
        Observations.read(write(tmp_path, "", "book.xlsx"), **read)
    with pytest.raises(DataError, match="not a readable"):
        Observations.read(write(tmp_path, "PK nonsense", "damaged.npz"), **read)
    (tmp_path / "latin.csv").write_bytes(b"x,u\n1,\xff\xfe\n")
    with pytest.raises(DataError, match="not readable as text"):
        Observations.read(tmp_path / "latin.csv", **read)
    with pytest.raises(DataError, match="there is no file"):
        Observations.read(tmp_path, **read)


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        ({"at": {x: [0, 1]}, "values": {u: [1, 2, 3]}}, ("at[x] has 2 entries, others 3",)),
        ({"at": {x: [0, np.nan]}, "values": {u: [1, 2]}}, ("at[x] is nan in row 2",)),
        ({"at": {x: [0, 1]}, "values": {u: [1, np.inf]}}, ("values[u(x, t)] is inf in row 2",)),
        ({"at": {x: np.zeros((2, 3))}, "values": {u: np.zeros(6)}}, ("at[x] has the shape (2, 3)", "flatten")),
        ({"at": {x: [[0], [1, 2]]}, "values": {u: [1, 2]}}, ("at[x] is not numbers",)),
        ({"at": {x: ["a"]}, "values": {u: [1]}}, ("at[x] is not numbers",)),
        ({"at": {x: [None]}, "values": {u: [1]}}, ("at[x] is nan in row 1",)),
        ({"at": {x: [1j]}, "values": {u: [1]}}, ("at[x] is not numbers", "complex")),
        ({"at": {x: []}, "values": {u: []}}, ("0 entries",)),
        ({"at": {x: np.zeros((0, 2))}, "values": {u: [1]}}, ("at[x] has the shape (0, 2)",)),
        ({"at": {x: [1]}, "values": {}}, ("no values", "Observations(at=")),
        ({"at": [1], "values": {u: [1]}}, ("no values",)),
        ({"at": {"x": [1]}, "values": {u: [1]}}, ("'x' of `at`", "symbol")),
        ({"at": {x: [1]}, "values": {"u": [1]}}, ("'u' of `values`", "expression")),
        ({"at": {x: [1]}, "values": {u: [1]}, "noise": 0}, ("noise 0 in row 1", "positive")),
        ({"at": {x: [1, 2]}, "values": {u: [1, 2]}, "noise": [1, -1]}, ("noise -1 in row 2",)),
        ({"at": {x: [1, 2]}, "values": {u: [1, 2]}, "noise": np.nan}, ("noise is nan",)),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(arguments, pieces):
    with pytest.raises(DataError) as caught:
        Observations(**arguments)
    assert caught.value.exit_code == 4
    assert all(piece in str(caught.value) for piece in pieces), str(caught.value)

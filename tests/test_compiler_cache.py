"""The compiler's cache: in a folder that is the user's alone, and nowhere that somebody else may write."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pinnsolve.training.compiler_cache import private_cache, private_folder

NAME = "TORCHINDUCTOR_CACHE_DIR"


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    private_folder.cache_clear()
    yield
    private_folder.cache_clear()


def test_it_is_a_folder_of_the_users_own_and_the_environment_is_left_alone(tmp_path: Path) -> None:
    with private_cache():
        folder = Path(os.environ[NAME])
    assert NAME not in os.environ
    assert folder == tmp_path / "caches" / "pinnsolve" / "inductor"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_the_user_has_named_stays_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, str(tmp_path))
    with private_cache():
        assert os.environ[NAME] == str(tmp_path)
    assert os.environ[NAME] == str(tmp_path) and not (tmp_path / "caches").exists()


@pytest.mark.parametrize("fault", ["others may write", "others may rename", "a link", "no folder", "another's"])
def test_what_is_not_the_users_alone_is_not_used(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "caches" / "pinnsolve" / "inductor"
    folder.parent.mkdir(parents=True)
    if fault == "others may write":
        folder.mkdir()
        folder.chmod(0o777)
    elif fault == "others may rename":
        folder.parent.chmod(0o777)
    elif fault == "a link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    elif fault == "no folder":
        folder.write_text("in the way", encoding="utf-8")
    else:
        monkeypatch.setattr(os, "getuid", lambda: 4711)
    found = private_folder()
    assert found != folder and found.is_dir() and stat.S_IMODE(found.stat().st_mode) == 0o700
    assert private_folder() == found  # one for the process

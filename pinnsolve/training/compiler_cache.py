"""The cache of torch's compiler: in a folder of the user's own, because what lies in it is loaded and executed.

By default torch keeps it under a name that everybody knows in the folder for temporary files, where another user of the machine may
have been first.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def private_cache() -> Iterator[None]:
    """Compile inside with a cache that nobody else can write into; a folder that the user has named stays in use."""
    if _VARIABLE in os.environ:
        yield
        return
    os.environ[_VARIABLE] = str(private_folder())
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)


@cache
def private_folder() -> Path:
    """Return a folder below the user's caches, or a new one for this process where that cannot be had or trusted."""
    try:
        home = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(home) if home else Path.home() / ".cache") / "pinnsolve" / "inductor"
        folder.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
        if _is_private(folder) and _is_private(folder.parent):
            return folder
    except (OSError, RuntimeError):  # no home, or none that can be written into
        pass
    folder = Path(tempfile.mkdtemp(prefix="pinnsolve-inductor-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_private(folder: Path) -> bool:
    """Whether a folder is the user's, can be written into, and by nobody else."""
    status = folder.lstat()
    own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and own and not others and os.access(folder, os.W_OK)

"""Checkpoints: what is stored comes back to the bit, what is damaged is named and never used, and no fault costs the one before."""

from __future__ import annotations

import errno
import json
import math
import os
import pickle
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pinnsolve.training import checkpoint, state
from pinnsolve.training.checkpoint import CheckpointError, Checkpoints, StorageError, fitting
from pinnsolve.training.state import StateError, on_device, read_head, read_state, write_state

SHARED = torch.arange(4.0, dtype=torch.float64)
STATE: dict[str, Any] = {
    "numbers": [0.1, -0.0, math.pi, 1e-320, 7, True, None, "text", math.inf, -math.inf, math.nan],
    "names": {"tensor": 1.0, "list": [], "number": "nan", "a/b": {"c": [[1], {}]}},
    "shared": {"one": SHARED, "other": SHARED, "equal": SHARED.clone()},
    "kinds": [torch.tensor([1, 2]), torch.get_rng_state(), torch.zeros(0, 3), torch.ones(2, 3).t(), torch.tensor(2.5)],
}


def stored(folder: Path, content: Any = None, **head: Any) -> Path:
    write_state(folder, STATE if content is None else content, head={"run": "this", "step": 3, "loss": 0.5, **head})
    return folder


def bits(value: Any) -> Any:
    """A value in which numbers are compared by their bits."""
    if isinstance(value, Tensor):
        return ("tensor", value.dtype, tuple(value.shape), value.contiguous().flatten().view(torch.uint8).tolist())
    if isinstance(value, dict):
        return {key: bits(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [bits(entry) for entry in value]
    return (type(value), value.hex()) if isinstance(value, float) else (type(value), value)


class TestStates:
    def test_what_is_stored_comes_back_to_the_bit(self, tmp_path: Path) -> None:
        head, found = read_state(stored(tmp_path / "s"))
        assert bits(found) == bits(STATE) and head == {"run": "this", "step": 3, "loss": 0.5}
        assert read_head(tmp_path / "s") == head

    def test_tensors_that_are_one_object_come_back_as_one(self, tmp_path: Path) -> None:
        shared = read_state(stored(tmp_path / "s"))[1]["shared"]
        assert shared["one"] is shared["other"] and shared["one"] is not shared["equal"]
        moved = on_device(shared, torch.device("cpu"))
        assert moved["one"] is moved["other"] and moved["one"] is not moved["equal"]

    def test_tensors_lie_in_memory_as_they_did(self, tmp_path: Path) -> None:
        """Products of matrices round differently by it."""
        laid = [torch.rand(3, 5).t(), torch.rand(2, 3, 4).permute(2, 0, 1), torch.rand(4, 6)[:, ::2], torch.rand(7)]
        for before, after in zip(laid, read_state(stored(tmp_path / "s", {"laid": laid}))[1]["laid"], strict=True):
            assert torch.equal(before, after) and after.data_ptr() % 64 == 0
            assert sorted(range(before.ndim), key=before.stride) == sorted(range(after.ndim), key=after.stride)

    def test_what_is_not_plain_is_refused_before_anything_is_written(self, tmp_path: Path) -> None:
        for wrong in ({"x": object()}, {"x": {1: 2}}, {"x": [print]}):
            with pytest.raises(TypeError):
                write_state(tmp_path / "s", wrong, head={})
        assert not (tmp_path / "s").exists()

    @given(st.data())
    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_bit_that_flips_anywhere_is_noticed(self, tmp_path: Path, data: st.DataObject) -> None:
        folder = tmp_path / "s"
        if not folder.exists():
            stored(folder)
        file = folder / data.draw(st.sampled_from([state.TENSORS, state.DESCRIPTION]))
        before = file.read_bytes()
        place, bit = data.draw(st.integers(0, len(before) - 1)), data.draw(st.integers(0, 7))
        spoilt = bytearray(before)
        spoilt[place] ^= 1 << bit
        file.write_bytes(spoilt)
        try:
            with pytest.raises(StateError):
                read_state(folder)
        finally:
            file.write_bytes(before)

    @given(st.data())
    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_mutation_is_refused_with_one_sentence(self, tmp_path: Path, data: st.DataObject) -> None:
        folder = tmp_path / "s"
        if not folder.exists():
            stored(folder)
        file = folder / data.draw(st.sampled_from([state.TENSORS, state.DESCRIPTION]))
        before = file.read_bytes()
        start = data.draw(st.integers(0, len(before)))
        end = data.draw(st.integers(start, len(before)))
        spoilt = before[:start] + data.draw(st.binary(max_size=40)) + before[end:]
        file.write_bytes(spoilt)
        try:
            if spoilt != before:
                with pytest.raises(StateError) as refused:
                    read_state(folder)
                assert "\n" not in str(refused.value)
        finally:
            file.write_bytes(before)


class Touched:
    """What a pickle would execute."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def forged(
    folder: Path, *, tensors: bytes | None = None, described: Callable[[dict[str, Any]], Any] | None = None
) -> None:
    """Change a state and make its sums right: what a stranger can do."""
    raw = (folder / state.DESCRIPTION).read_bytes()
    content = json.loads(raw)["content"]
    if tensors is not None:
        (folder / state.TENSORS).write_bytes(tensors)
        content["tensors"] = state.hashlib.sha256(tensors).hexdigest()
    if described is not None:
        changed = described(content)
        content = content if changed is None else changed
    text = json.dumps(content, separators=(",", ":")).encode()
    digest = state.hashlib.sha256(text).hexdigest().encode()
    (folder / state.DESCRIPTION).write_bytes(state._OPENING + digest + state._MIDDLE + text + state._CLOSING)


def header(text: str) -> bytes:
    return len(text).to_bytes(8, "little") + text.encode()


HUGE = '{"0/x":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8000000000000]}}'


class TestStrangers:
    """Files that somebody else wrote, whose sums are right."""

    def test_a_pickle_in_disguise_executes_nothing(self, tmp_path: Path) -> None:
        trap = pickle.dumps(Touched(tmp_path / "executed"))
        for name in (state.TENSORS, state.DESCRIPTION):
            folder = stored(tmp_path / name.partition(".")[2])
            if name == state.TENSORS:
                forged(folder, tensors=trap)
            else:
                (folder / name).write_bytes(trap)
            with pytest.raises(StateError):
                read_state(folder)
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize(
        "tensors",
        [b"", b"\xff" * 8, header(HUGE), header("{" * 1000), header('{"x":{}}'), (2**62).to_bytes(8, "little") + b"{}"],
        ids=["empty", "long header", "huge shape", "deep header", "no shape", "header beyond the file"],
    )
    def test_a_crafted_header_allocates_nothing(self, tmp_path: Path, tensors: bytes) -> None:
        forged(stored(tmp_path / "s"), tensors=tensors)
        with pytest.raises(StateError, match=r"state\.safetensors is not readable"):
            read_state(tmp_path / "s")

    @pytest.mark.parametrize(
        "change",
        [
            lambda c: [],
            lambda c: c.update(schema=2),
            lambda c: c.update(state=["tensor", "nowhere"]),
            lambda c: c.update(state=["number", "1e5"]),
            lambda c: c.update(state=["module", "os"]),
            lambda c: c.update(state=[]),
            lambda c: c.update(state=["tensor", "a", "b"]),
            lambda c: c.update(state=["tensor", "0/vector", 0, 1]),
            lambda c: c.update(state=["tensor", "0/vector"]),
            lambda c: c.update(state=["number", 1]),
            lambda c: c.update(head=7),
            lambda c: c.pop("head"),
            lambda c: c.pop("tensors"),
        ],
    )
    def test_a_crafted_description_is_refused(self, tmp_path: Path, change: Callable[[Any], Any]) -> None:
        forged(stored(tmp_path / "s", {"vector": SHARED}), described=change)
        with pytest.raises(StateError):
            read_state(tmp_path / "s")

    def test_nothing_outside_the_folder_is_read(self, tmp_path: Path) -> None:
        elsewhere = stored(tmp_path / "elsewhere")
        (tmp_path / "link").symlink_to(elsewhere, target_is_directory=True)
        linked, pipe = stored(tmp_path / "linked"), stored(tmp_path / "pipe")
        for name in (state.TENSORS, state.DESCRIPTION):
            (linked / name).unlink()
            (linked / name).symlink_to(elsewhere / name)
        (pipe / state.DESCRIPTION).unlink()
        os.mkfifo(pipe / state.DESCRIPTION)
        for folder in (tmp_path / "link", linked, pipe):
            with pytest.raises(StateError, match="is not what it should be"):
                read_state(folder)

    def test_a_state_that_does_not_fit_is_a_sentence(self) -> None:
        for error in (KeyError("best"), RuntimeError("shape"), ZeroDivisionError(), TypeError("no number")):
            with pytest.raises(CheckpointError, match="its training does not fit") as refused, fitting("training"):
                raise error
            assert refused.value.exit_code == 8


def made(step: int, *, loss: float | None = 1.0, window: int = 0, **more: Any) -> dict[str, Any]:
    return {"step": step, "loss": loss, "window": window, "vector": torch.full((500,), float(step)), **more}


def checkpoints(folder: Path, **more: Any) -> Checkpoints:
    return Checkpoints(folder, run="this", **more)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestCheckpoints:
    def test_the_newest_is_gone_on_from(self, tmp_path: Path) -> None:
        kept = checkpoints(tmp_path)
        for step in (8, 9, 10):
            kept.save(made(step))
        found = checkpoints(tmp_path).load()
        assert found["step"] == 10 and torch.equal(found["vector"], torch.full((500,), 10.0))

    def test_the_last_two_and_the_best_are_kept(self, tmp_path: Path) -> None:
        kept = checkpoints(tmp_path)
        for step, loss in ((1, 3.0), (2, 0.1), (3, math.nan), (4, 0.5), (5, None), (6, 2.0)):
            kept.save(made(step, loss=loss))
        assert names(tmp_path) == ["000000002", "000000005", "000000006"]
        again = checkpoints(tmp_path)  # what was stored before is known from the disk
        again.load()
        again.save(made(7, loss=0.05))
        again.save(made(8, loss=1.0))
        again.save(made(9, loss=1.0))
        assert names(tmp_path) == ["000000007", "000000008", "000000009"]
        again.save(made(10, loss=5.0, window=1))  # losses in two windows do not compare
        again.save(made(11, loss=6.0, window=1))
        again.save(made(12, loss=7.0, window=1))
        assert names(tmp_path) == ["000000010", "000000011", "000000012"]

    def test_they_are_stored_by_the_clock_and_when_asked_or_due(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now, asked = [0.0], [False]
        monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: now[0])
        kept = checkpoints(tmp_path, every=60.0, asked=lambda: asked.pop() if asked else False)
        for step in range(1, 201):
            now[0] = float(step)
            asked[:] = [step == 70]
            kept(partial(made, step, loss=-float(step)), step == 150)
            if step in (60, 70, 130, 150):
                assert f"{step:09d}" in names(tmp_path)
        assert names(tmp_path) == ["000000130", "000000150"]

    def test_a_damaged_one_is_set_aside_loudly_and_the_one_before_used(self, tmp_path: Path) -> None:
        told: list[str] = []
        kept = checkpoints(tmp_path)
        for step in (1, 2):
            kept.save(made(step))
        spoilt = bytearray((tmp_path / "000000002" / state.TENSORS).read_bytes())
        spoilt[-1] ^= 1
        (tmp_path / "000000002" / state.TENSORS).write_bytes(spoilt)
        again = checkpoints(tmp_path, tell=told.append)
        assert again.load()["step"] == 1
        assert told[0].startswith("WARNING: the newest checkpoint 000000002 is not usable: state.safetensors is not as")
        assert "going on from step 1" in told[1] and names(tmp_path) == ["000000001", "damaged-000000002"]
        again.save(made(2))
        assert checkpoints(tmp_path).load()["step"] == 2

    @pytest.mark.parametrize("fault", ["nothing", "empty", "truncated", "another run", "a newer schema", "gone"])
    def test_where_none_is_usable_nothing_is_begun_anew(self, tmp_path: Path, fault: str) -> None:
        folder = tmp_path / "checkpoints"
        if fault != "nothing":
            checkpoints(folder).save(made(7))
        path = folder / "000000007"
        if fault == "empty":
            (path / state.DESCRIPTION).write_bytes(b"")
        elif fault == "truncated":
            content = (path / state.TENSORS).read_bytes()
            (path / state.TENSORS).write_bytes(content[: len(content) // 2])
        elif fault == "a newer schema":
            forged(path, described=lambda content: content.update(schema=2))
        elif fault == "gone":
            (path / state.TENSORS).unlink()
        run = "other" if fault == "another run" else "this"
        with pytest.raises(CheckpointError, match="a run is never resumed at its start") as refused:
            Checkpoints(folder, run=run).load()
        assert refused.value.exit_code == 8
        words = {
            "nothing": "there is none",
            "empty": "000000007: state.json is not as it was written",
            "truncated": "state.safetensors is not as it was written",
            "another run": "it belongs to another run",
            "a newer schema": "it has the schema 2, and this version reads 1",
            "gone": "there is no state.safetensors",
        }
        assert words[fault] in str(refused.value)

    def test_what_a_killed_process_left_is_no_checkpoint_and_is_cleared_away(self, tmp_path: Path) -> None:
        kept = checkpoints(tmp_path)
        kept.save(made(1))
        shutil.copytree(tmp_path / "000000001", tmp_path / "ckpt.tmp-4711")
        (tmp_path / "ckpt.tmp-4711" / state.DESCRIPTION).write_bytes(b"{")
        assert checkpoints(tmp_path).load()["step"] == 1 and names(tmp_path) == ["000000001"]

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
    @pytest.mark.parametrize("at", range(6))
    def test_no_fault_of_the_disk_costs_the_one_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, at: int
    ) -> None:
        kept = checkpoints(tmp_path)
        kept.save(made(1))
        kept.save(made(2))
        calls = 0

        def failing(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **more: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == at + 1:
                    raise OSError(number, os.strerror(number), "checkpoint")
                return original(*arguments, **more)

            return call

        for target, name in ((Path, "mkdir"), (os, "fsync"), (Path, "rename")):
            monkeypatch.setattr(target, name, failing(getattr(target, name)))
        with pytest.raises(StorageError) as refused:
            kept.save(made(3))
        monkeypatch.undo()
        assert refused.value.exit_code == 7 and os.strerror(number) in str(refused.value)
        assert "the one of step 2 is intact: make room, then resume the run" in str(refused.value)
        assert "ckpt" not in "".join(names(tmp_path))
        assert checkpoints(tmp_path).load()["step"] >= 2

    def test_older_ones_go_only_after_the_new_one_has_been_read_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept = checkpoints(tmp_path)
        for step in (1, 2):
            kept.save(made(step, loss=-step))

        def spoil(folder: Path, *arguments: Any, **more: Any) -> None:
            write_state(folder, *arguments, **more)
            (folder / state.TENSORS).write_bytes(b"what a broken disk gives back")

        monkeypatch.setattr(checkpoint, "write_state", spoil)
        with pytest.raises(StorageError, match=r"it does not read back: state\.safetensors is not as"):
            kept.save(made(3, loss=-3))
        assert {"000000001", "000000002"} <= set(names(tmp_path))
        assert checkpoints(tmp_path).load()["step"] == 2

"""The study of a sweep: processes that share it, that die and are taken over from, and that are killed for real."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_sweep import FILE

from pinnsolve.cli import main
from pinnsolve.lock import LockError
from pinnsolve.sweep.ranges import Choices, Range, Span
from pinnsolve.sweep.runs import Run
from pinnsolve.sweep.settings import Setting
from pinnsolve.sweep.study import JOURNAL, Claim, Plan, SharedStudy

WIDTH = Choices(Setting("network.width", ("network", "width"), frozenset({int}), False, 8), (4, 8))
RATE = Span(Setting("training.lr", ("training", "lr"), frozenset({float}), False, 1e-3), 1e-4, 1e-1, False, True)


def plan(*ranges: Range, sampler: str = "grid", trials: int = 4) -> Plan:
    return Plan(ranges, (0, 1), trials, sampler)


def opened(folder: Path, asked: Plan, storage: str = "") -> SharedStudy:
    return SharedStudy(folder, "decay-1234", storage or str(folder / JOURNAL), asked)


def run_of(claim: Claim, seed: int, loss: float = 1.0) -> Run:
    return Run(seed, f"{claim.folder.name}/s{seed}", "done", loss, None, 25, 1.0)


def die(claim: Claim) -> None:
    """Let go of the lock as the system does for a process that is killed: nothing else is done."""
    claim._lock._close()


def claimed(study: SharedStudy) -> Claim:
    claim = study.claim()
    assert claim is not None
    return claim


@pytest.mark.parametrize("storage", ["", "sqlite"])
def test_several_processes_share_a_grid_and_each_cell_is_made_once(tmp_path: Path, storage: str):
    storage = f"sqlite:///{tmp_path}/study.db" if storage else ""
    first, second = (opened(tmp_path, plan(WIDTH), storage) for _ in range(2))
    claims = [claimed(study) for study in (first, second, second, first)]
    assert sorted((c.values["network.width"], *c.seeds) for c in claims) == [(4, 0), (4, 1), (8, 0), (8, 1)]
    assert len({c.folder for c in claims}) == 4 and first.claim() is None and first.running()
    for claim in claims:
        claim.add(run_of(claim, claim.seeds[0], loss=float(claim.number)))
        claim.finish()
    third = opened(tmp_path, plan(WIDTH), storage)
    assert third.claim() is None and not third.running()
    assert [t.runs[0].held_out for t in third.tried() if t.state == "done"] == [0.0, 1.0, 2.0, 3.0]


def test_what_is_asked_for_twice_at_the_same_time_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second process sees nothing of the first, as between a look and a request."""
    first, second = (opened(tmp_path, plan(WIDTH)) for _ in range(2))
    claim = claimed(first)
    second._study.enqueue_trial({"seed": claim.seeds[0], "network.width": claim.values["network.width"]})
    other = claimed(second)
    assert (other.values["network.width"], other.seeds) != (claim.values["network.width"], claim.seeds)
    assert [t.state for t in first.tried()].count("dropped") == 1
    monkeypatch.setattr(SharedStudy, "_anything_left", lambda study: True)
    last = opened(tmp_path, plan(RATE, sampler="random", trials=1))
    assert last.claim() is None  # two trials are there already, and one is wanted


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_settings_are_proposed_within_their_range_until_there_are_enough(tmp_path: Path, sampler: str):
    first, second = (opened(tmp_path, plan(RATE, WIDTH, sampler=sampler, trials=14)) for _ in range(2))
    rates: list[float] = []
    for k in range(14):
        claim = claimed((first, second)[k % 2])
        assert claim.seeds == (0, 1) and claim.values["network.width"] in (4, 8)
        rates.append(float(claim.values["training.lr"]))  # type: ignore[arg-type]
        for seed in claim.seeds:
            claim.add(run_of(claim, seed, loss=abs(math.log10(rates[-1] / 1e-2)) + 1e-3 * seed))
        claim.finish()
    assert first.claim() is None and len(set(rates)) == 14 and all(1e-4 <= rate <= 1e-1 for rate in rates)
    trials = first._study.get_trials()
    assert [t.value for t in trials] == pytest.approx([abs(math.log10(rate / 1e-2)) + 5e-4 for rate in rates])


def test_few_settings_are_not_proposed_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pinnsolve.sweep.study._PROPOSALS", 12)
    study = opened(tmp_path, plan(WIDTH, sampler="random", trials=9))
    for _ in range(2):
        claim = claimed(study)
        claim.add(run_of(claim, 0))
        claim.finish()
    assert study.claim() is None


@pytest.mark.parametrize("asked", [plan(WIDTH), plan(RATE, sampler="tpe", trials=2)])
def test_a_trial_of_a_process_that_died_is_taken_up_with_the_runs_it_had_finished(tmp_path: Path, asked: Plan):
    first, second = opened(tmp_path, asked), opened(tmp_path, asked)
    claim = claimed(first)
    claim.add(run_of(claim, claim.seeds[0], loss=0.25))
    other = claimed(second)
    assert other.values != claim.values or other.seeds != claim.seeds
    die(claim)
    again = claimed(second)
    assert (again.values, again.seeds, again.folder) == (claim.values, claim.seeds, claim.folder)
    assert again.runs == claim.runs
    again.finish()
    states = [t.state for t in second.tried()]
    assert states.count("dropped") == 1 and states.count("done") == 1
    claim.finish()  # it was only believed dead: its word comes too late, and does no harm
    assert [t.state for t in second.tried()] == states


def test_a_trial_that_kills_three_processes_is_given_up(tmp_path: Path):
    study = opened(tmp_path, Plan((), (0,), 1, "grid"))
    for _ in range(3):
        die(claimed(study))
    assert study.claim() is None
    (failed,) = (t for t in study.tried() if t.state != "dropped")
    assert failed.state == "failed" and failed.reason == "its process died, again and again"


def test_processes_of_other_machines_count_as_dead_when_they_were_silent_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its folder is on another disk, so that there is no lock to ask."""
    here, there = opened(tmp_path / "here", plan(WIDTH), f"sqlite:///{tmp_path}/s.db"), tmp_path / "there"
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    claim = claimed(opened(there, plan(WIDTH), f"sqlite:///{tmp_path}/s.db"))
    monkeypatch.setattr("socket.gethostname", lambda: "home")
    own = [claimed(here) for _ in range(3)]
    assert claim.number not in {other.number for other in own} and here.claim() is None
    later = time.time() + 1_000
    monkeypatch.setattr("time.time", lambda: later)
    claim.beat()
    assert here.claim() is None
    monkeypatch.setattr("time.time", lambda: later + 1_000)
    again = claimed(here)
    assert (again.values, again.seeds) == (claim.values, claim.seeds) and again.folder.parent == tmp_path / "here"


def test_a_trial_is_put_back_by_an_interruption_and_nobody_else_works_in_its_folder(tmp_path: Path):
    study = opened(tmp_path, Plan((), (0,), 1, "grid"))
    claim = claimed(study)
    with pytest.raises(LockError):
        from pinnsolve.lock import Lock

        Lock(claim.folder)
    claim.put_back()
    again = claimed(study)
    assert again.folder == claim.folder and again._trial.user_attrs["attempt"] == 1


def test_the_beginning_of_a_line_that_was_never_ended_is_cut_off(tmp_path: Path):
    """What a full disk leaves: the others write on, and nothing is lost but what was not written."""
    first, second = opened(tmp_path, plan(WIDTH)), opened(tmp_path, plan(WIDTH))
    claim = claimed(first)
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    with journal.open("ab") as stream:
        stream.write(whole.splitlines()[-1][: len(whole.splitlines()[-1]) // 2])
    other = claimed(second)
    claim.add(run_of(claim, claim.seeds[0]))
    claim.finish()
    assert journal.read_bytes().startswith(whole) and len(journal.read_bytes()) > len(whole)
    states = {t.number: t.state for t in opened(tmp_path, plan(WIDTH)).tried()}
    assert states == {claim.number: "done", other.number: "running"}


@pytest.mark.parametrize("content", [b"garbage\n", b"\xff\xfe\n" * 40, b"[]\n{}\n", b'{"op_code": 99}\n'])
def test_a_journal_that_is_none_is_named(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "decay.py").write_text(FILE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / JOURNAL).write_bytes(content)
    assert main(["sweep", str(tmp_path / "decay.py"), "--out", str(tmp_path / "out")]) == 8
    assert "it is no journal of a sweep, or a damaged one" in capsys.readouterr().err


def outcome(folder: Path) -> dict[str, Any]:
    """What does not depend on the clock."""
    record = json.loads((folder / "sweep.json").read_text())
    runs = [run for setting in record["settings"] for run in setting["runs"]]
    return {
        f"{setting['values']} {run['seed']}": (run["held_out"], run["error"])
        for setting in record["settings"]
        for run in setting["runs"]
    } | {"runs": len(runs)}


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A signal in the second run: its checkpoint is gone on with, and the result is that of a sweep that was not."""
    (tmp_path / "decay.py").write_text(FILE)
    command = ["sweep", str(tmp_path / "decay.py"), "--compile", "off", "--seeds", "2", "-q"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0

    beats: list[int] = []
    original = Claim.beat

    def beat(claim: Claim, *progress: Any) -> None:
        beats.append(claim.number)
        if len(beats) == 15:  # of 10 steps each
            os.kill(os.getpid(), signal.SIGTERM)
        original(claim, *progress)

    monkeypatch.setattr(Claim, "beat", beat)
    assert main([*command, "--out", str(tmp_path / "broken")]) == 143
    assert outcome(tmp_path / "broken")["runs"] == 1
    assert main([*command, "--out", str(tmp_path / "broken")]) == 0
    assert len(beats) == 20  # no step was made twice
    assert outcome(tmp_path / "broken") == outcome(tmp_path / "whole")


def killed_at_random(folder: Path, generator: random.Random, spared: list[str]) -> list[str]:
    """Kill a process that is at work on a trial of a sweep in this folder, and return that trial; nothing if none is."""
    owners = {}
    for lock in folder.glob("[0-9]*/lock"):
        try:
            owner = int(json.loads(lock.read_text())["pid"])
            if str(folder) in Path(f"/proc/{owner}/cmdline").read_text():  # a dead one's number may be another's
                owners[lock.parent.name] = owner
        except (OSError, ValueError):
            continue
    found = sorted(set(owners) - set(spared))
    if not found:
        return []
    victim = generator.choice(found)
    os.kill(owners[victim], signal.SIGKILL)
    return [victim]


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_workers_that_are_killed_lose_nothing_that_was_finished(tmp_path: Path):
    """Two processes, five kill -9 at random moments: the outcome is that of a sweep by one process in peace.

    None of a trial that was hit twice: it would be given up.
    """
    file = FILE.replace("steps=8, lr=1e-2", "steps=4000, lr=1e-2")
    (tmp_path / "decay.py").write_text(file)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, "-m", "pinnsolve", "sweep", str(tmp_path / "decay.py"), "--compile", "off"]
    command += ["--seeds", "2", "--vary", "network.width=4,6,8", "--threads", "1"]
    assert subprocess.run([*command, "--out", str(whole)], capture_output=True).returncode == 0
    generator, kills = random.Random(5), list[str]()  # noqa: S311
    command += ["--out", str(broken), "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and len(kills) < 5:
            time.sleep(generator.uniform(2, 6))
            kills += killed_at_random(broken, generator, [trial for trial in kills if kills.count(trial) == 2])
        _, errors = process.communicate()
    print(errors)
    assert process.returncode == 0 and len(kills) == 5
    assert outcome(broken) == outcome(whole)

"""The table of faults: what is promised of each, and the tests that inject it."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from pinnsolve.cli import main
from pinnsolve.training import gradients

PROMISED = {
    "kill -9 at a random moment, during a save, in every phase": (
        "test_interruption.test_kill_at_random_moments_and_the_run_ends_as_if_nothing_had_been",
        "test_interruption.test_twenty_kills_across_all_phases",
        "test_resumption.test_around_the_switch_from_phase_to_phase",
    ),
    "SIGINT, SIGTERM, a second SIGINT, SIGUSR1, --max-time": (
        "test_program.test_a_signal_ends_the_run_after_the_step_with_everything_written",
        "test_interruption.test_signals_store_and_stop_and_a_second_process_is_refused",
        "test_cli.test_limits_end_the_run_normally",
        "test_interruption.test_a_deadline_can_be_given_anew",
    ),
    "a flipped bit, truncation, an empty file, a pickle in disguise, a huge shape": (
        "test_checkpoint.test_a_bit_that_flips_anywhere_is_noticed",
        "test_checkpoint.test_a_damaged_one_is_set_aside_loudly_and_the_one_before_used",
        "test_checkpoint.test_where_none_is_usable_nothing_is_begun_anew",
        "test_checkpoint.test_a_pickle_in_disguise_executes_nothing",
        "test_checkpoint.test_a_crafted_header_allocates_nothing",
        "test_checkpoint.test_nothing_outside_the_folder_is_read",
        "test_damaged_archives.test_any_single_change_gives_a_solution_or_an_archive_error",
    ),
    "another problem's checkpoint, an edited problem, a newer schema": (
        "test_resumption.test_checkpoints_of_another_run",
        "test_interruption.test_a_problem_file_is_executed_only_if_it_is_the_very_one",
        "test_checkpoint.test_where_none_is_usable_nothing_is_begun_anew",
    ),
    "two processes on one run directory, a dead owner's lock": (
        "test_interruption.test_signals_store_and_stop_and_a_second_process_is_refused",
        "test_interruption.test_kill_at_random_moments_and_the_run_ends_as_if_nothing_had_been",
    ),
    "a process of a sweep that is killed or interrupted": (
        "test_sweep_study.test_a_trial_of_a_process_that_died_is_taken_up_with_the_runs_it_had_finished",
        "test_sweep_study.test_a_trial_that_kills_three_processes_is_given_up",
        "test_sweep_study.test_an_interrupted_sweep_goes_on_where_it_was",
        "test_sweep_study.test_workers_that_are_killed_lose_nothing_that_was_finished",
    ),
    "disk full or read-only while saving": (
        "test_interruption.test_a_disk_that_fills_up_costs_no_checkpoint_and_is_a_sentence",
        "test_checkpoint.test_no_fault_of_the_disk_costs_the_one_before",
    ),
    "NaN or infinity in Adam; inside a line search; loss up by 1e4": (
        "test_loop.test_a_loss_that_leaps_is_undone_with_smaller_steps_and_logged",
        "test_loop.test_the_run_ends_as_diverged_after_three_returns_and_keeps_the_best",
        "test_line_search.test_trials_that_are_not_finite_are_rejected",
        "test_random_faults.test_a_thousand_random_faults_leave_no_parameter_that_is_not_finite",
        "test_resumption.test_returns_from_divergence",
        "test_cli.test_a_run_that_diverges_is_exit_five",
    ),
    "float32 stagnation of the second phase": (
        "test_fault_table.test_a_second_phase_that_stagnates_in_single_precision_says_so",
        "test_solver.test_training_in_single_precision_hands_over_to_double",
    ),
    "out of memory": (
        "test_gradients.test_when_memory_runs_out_the_chunks_are_halved_and_the_gradient_is_the_same",
        "test_fault_table.test_memory_that_runs_out_halves_the_chunks_or_ends_with_the_checkpoint_intact",
    ),
    "--device cuda without one; a compile that fails or is wrong": (
        "test_cli.test_a_missing_gpu_is_a_sentence",
        "test_fault_table.test_a_compiler_that_fails_or_is_wrong_is_a_warning",
        "test_gradients.test_a_compiled_step_that_is_wrong_is_refused",
    ),
    "every mistake of a declaration": (
        "test_mistakes.test_a_mistake_is_refused_with_the_term_what_was_found_and_the_remedy",
        "test_wrong_files.test_a_mistake_is_answered_once_where_it_was_written",
    ),
    "tables with NaN, text, a missing column, points outside": (
        "test_cli.test_tables_that_cannot_be_used_are_named",
        "test_wrong_files.test_a_mistake_is_answered_once_where_it_was_written",
    ),
    "one rank killed under torchrun; ranks with different problems": (
        "test_torchrun.test_one_rank_killed_under_torchrun",
        "test_torchrun.test_a_rank_that_is_killed_is_noticed_without_torchrun",
        "test_torchrun.test_different_problems_are_refused_in_one_sentence",
        "test_torchrun.test_a_signal_to_one_rank_ends_all_and_others_go_on_from_what_they_stored",
    ),
    "stdout closed, no terminal, 40 columns, C locale, paths with spaces and accents, read-only HOME": (
        "test_program.test_a_reader_of_stdout_who_leaves_is_no_fault",
        "test_program.test_a_narrow_terminal_in_the_c_locale_without_colour",
    ),
    "a run directory from a stranger": (
        "test_interruption.test_a_run_directory_from_a_stranger_is_gone_on_with_or_refused",
        "test_interruption.test_a_problem_file_is_executed_only_if_it_is_the_very_one",
        "test_compiler_cache.test_what_is_not_the_users_alone_is_not_used",
    ),
}


@cache
def names_in(name: str) -> frozenset[str]:
    source = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    return frozenset(node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("fault", PROMISED)
def test_every_fault_has_a_test_that_injects_it(fault: str) -> None:
    for test in PROMISED[fault]:
        file, _, name = test.partition(".")
        assert name in names_in(file), test


DECAY = """from sympy import Eq, exp, symbols
import pinnsolve as ps

t = symbols("t")
q = ps.fields("q", t)
problem = ps.Problem(domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)})
network = ps.MLP(width=6, depth=2)
training = ps.Training(points={"decay": 64}, phases=PHASES)
reference = ps.Exact({q: exp(-t)})
"""


def run(folder: Path, phases: str, *options: str) -> tuple[int, dict[str, Any] | None]:
    """Run a problem, and return exit code and result."""
    file, out = folder / "decay.py", folder / "r"
    file.write_text(DECAY.replace("PHASES", phases), encoding="utf-8")
    code = main(["run", str(file), "--out", str(out), "--no-plots", "-q", *options])
    result = out / "result.json"
    return code, json.loads(result.read_bytes()) if result.exists() else None


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--tol", "1e-12"), 6)])
def test_a_second_phase_that_stagnates_in_single_precision_says_so(
    options: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    found, record = run(tmp_path, "[ps.LBFGS(steps=5_000, dtype=None)]", "--dtype", "float32", *options)
    assert found == code and record is not None
    (phase,) = record["phases"]
    assert phase["ended"] in ("stalled", "converged") and phase["steps"] < 5_000 and record["dtype"] == "float32"
    assert "float64" in record["message"]


class Memory:
    """Stands in for a plain step: memory runs out above so many points."""

    def __init__(self, most: int) -> None:
        self.most, self.failures = most, 0

    def spoil(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(own: Any, chunk: Any, *arguments: Any) -> Any:
            if max(len(points) for points in chunk.points.values()) > self.most:
                self.failures += 1
                raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
            return call(own, chunk, *arguments)

        return step


def test_memory_that_runs_out_halves_the_chunks_or_ends_with_the_checkpoint_intact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    phases, original = "[ps.Adam(steps=5), ps.Adam(steps=5)]", gradients.PlainStep.__call__
    for name in ("whole", "halved", "none"):
        (tmp_path / name).mkdir()
    _, whole = run(tmp_path / "whole", phases, "--compile", "off")
    memory = Memory(20)
    monkeypatch.setattr(gradients.PlainStep, "__call__", memory.spoil(original))
    code, halved = run(tmp_path / "halved", phases, "--compile", "off")
    assert code == 0 and halved is not None and whole is not None and memory.failures == 2
    assert halved["loss"]["total"] == pytest.approx(whole["loss"]["total"], rel=1e-12)

    calls = 0

    def gone(own: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise MemoryError
        return original(own, *arguments)

    monkeypatch.setattr(gradients.PlainStep, "__call__", gone)
    code, nothing = run(tmp_path / "none", phases, "--compile", "off")
    assert code == 7 and nothing is None
    assert "out of memory · reduce points=" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["resume", str(tmp_path / "none" / "r"), "--no-plots", "-q"]) == 0
    resumed = json.loads((tmp_path / "none" / "r" / "result.json").read_bytes())
    assert resumed["loss"] == whole["loss"]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("fault", ["fails", "is wrong"])
def test_a_compiler_that_fails_or_is_wrong_is_a_warning(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(graph: Any, **_: Any) -> Any:
        if fault == "fails":
            raise RuntimeError("g++ not found")
        return lambda *arguments: tuple(2 * part for part in graph(*arguments))

    monkeypatch.setattr(torch, "compile", broken)
    code, record = run(tmp_path, "[ps.Adam(steps=5)]", "--compile", "on")
    assert code == 0 and record is not None and record["status"] == "done"
    words = "g++ not found" if fault == "fails" else "the compiled step differs from the plain one"
    told = capsys.readouterr().err
    assert "warning: the step was not compiled" in told and words in told and "Traceback" not in told

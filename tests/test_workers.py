"""Workers: threads with chunks of their own find what one thread does, to the last bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from test_gradients import KURAMOTO, assert_equal_steps, random_network, residuals_of

from pinnsolve.jets import derivatives, nested_derivatives
from pinnsolve.training.objective import Objective
from pinnsolve.training.workers import Workers, single_threaded


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_items_are_evaluated_side_by_side_with_one_thread_each_and_returned_in_order() -> None:
    both = threading.Barrier(2, timeout=20)

    def evaluate(item: int) -> tuple[int, int, str]:
        both.wait()
        return item, torch.get_num_threads(), threading.current_thread().name

    found = Workers(2).map(evaluate, range(6))
    assert [item for item, *_ in found] == list(range(6))
    assert {threads for _, threads, _ in found} == {1}
    assert len({name for *_, name in found}) == 2
    assert torch.get_num_threads() == 2


def test_where_torch_is_to_use_one_thread_the_caller_does_it_all() -> None:
    with single_threaded() as before:
        names = Workers(2).map(lambda _: threading.current_thread().name, range(4))
    assert before == 2
    assert set(names) == {threading.current_thread().name}


def test_an_error_is_raised_once_all_have_ended() -> None:
    started, ended = threading.Event(), threading.Event()

    def evaluate(item: int) -> None:
        if item == 0:
            assert started.wait(20)
            raise MemoryError
        started.set()
        threading.Event().wait(0.2)
        ended.set()

    with pytest.raises(MemoryError):
        Workers(2).map(evaluate, range(2))
    assert ended.is_set()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("rows", [400, 401])
def test_a_compiled_step_of_two_threads_is_that_of_one_and_of_nested_passes(rows: int) -> None:
    network = random_network("tanh", 2, 3)
    tensor = torch.rand(rows, 2, dtype=torch.float64)
    points = {"first": tensor, "second": tensor}
    ours = Objective(network, residuals_of(network, KURAMOTO, derivatives), points, chunk=1_000)
    ours.compile(chunk=150)
    assert ours.workers == 2
    assert len(ours.chunks) == 4
    found = ours.evaluate()
    nested = Objective(network, residuals_of(network, KURAMOTO, nested_derivatives), points)
    assert_equal_steps(found, nested.evaluate(), 1e-10)
    with single_threaded():
        alone = ours.evaluate()
    again = ours.evaluate()
    assert torch.equal(found.gradient, alone.gradient)
    assert torch.equal(found.gradient, again.gradient)
    assert found.loss == alone.loss == again.loss


def test_points_that_must_stay_together_are_not_shared_among_threads() -> None:
    network = random_network("tanh", 2, 3)
    tensor = torch.rand(400, 2, dtype=torch.float64)
    ours = Objective(network, residuals_of(network, KURAMOTO, derivatives), {"first": tensor, "second": tensor})
    ours.compile()
    assert len(ours.chunks) == 1

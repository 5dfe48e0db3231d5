"""Workers: threads with chunks of their own find what one thread does, to the last bit."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from test_gradients import KURAMOTO, assert_equal_steps, random_network, residuals_of
from torch import Tensor

from pinnsolve.jets import derivatives, nested_derivatives
from pinnsolve.training.objective import Objective
from pinnsolve.training.workers import Workers, single_threaded


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_items_are_evaluated_side_by_side_with_one_thread_each_and_added_in_order() -> None:
    both = threading.Barrier(2, timeout=20)

    seen: list[tuple[int, str]] = []

    def evaluate(item: int) -> tuple[Tensor]:
        both.wait()
        seen.append((torch.get_num_threads(), threading.current_thread().name))
        return (torch.tensor(0.1**item, dtype=torch.float64),)

    (found,) = Workers(2).total(evaluate, range(6))
    assert found.item() == sum(0.1**item for item in range(6))  # to the last bit
    assert {threads for threads, _ in seen} == {1}
    assert len({name for _, name in seen}) == 2
    assert torch.get_num_threads() == 2


def test_where_torch_is_to_use_one_thread_the_caller_does_it_all() -> None:
    caller = threading.current_thread()
    with single_threaded() as before:
        (here,) = Workers(2).total(lambda _: (torch.tensor(int(threading.current_thread() is caller)),), range(4))
    assert before == 2
    assert here == 4


def test_an_error_is_raised_once_all_have_ended() -> None:
    started, ended = threading.Event(), threading.Event()

    def evaluate(item: int) -> tuple[Tensor]:
        if item == 0:
            assert started.wait(20)
            raise MemoryError
        started.set()
        threading.Event().wait(0.2)
        ended.set()
        return (torch.zeros(1),)

    with pytest.raises(MemoryError):
        Workers(2).total(evaluate, range(2))
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

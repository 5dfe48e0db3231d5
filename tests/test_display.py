"""The display: plain lines every ten seconds, a live line on a terminal, silence when asked for or when nobody reads."""

from __future__ import annotations

import io
import os

import pytest

from pinnsolve.display import Display
from pinnsolve.training.loop import Progress


def progress(
    step: int, *, phase: str = "adam", event: str = "", seconds: float = 1.0, held_out: float | None = None
) -> Progress:
    terms = {"burgers[0]": 1e-3, "initial": 2e-3}
    return Progress(phase, step, 100, 3e-3, terms, held_out, seconds, step, 10.0, 1e-3, event)


def clocked(monkeypatch: pytest.MonkeyPatch, *times: float) -> None:
    ticks = iter(times)
    monkeypatch.setattr("pinnsolve.display.time.monotonic", lambda: next(ticks))


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_elsewhere_one_plain_line_comes_every_ten_seconds_and_at_every_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked(monkeypatch, 100.0, 101.0, 109.0, 110.5, 111.0, 112.0)
    stream = io.StringIO()
    with Display(stream=stream) as display:
        for step in range(1, 5):
            display.observe(progress(step))
        display.observe(progress(5, phase="lbfgs", held_out=4e-3))
        display.observe(progress(6, phase="lbfgs"))
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["adam step 1/100", "adam step 4/100", "lbfgs step 5/100"]
    assert "loss 3.00e-03" in lines[0] and "10.0 steps/s" in lines[0] and "0:10 left" in lines[0]
    assert "held-out" not in lines[0] and "held-out 4.00e-03" in lines[2]


def test_the_error_is_part_of_the_line_once_it_is_known() -> None:
    stream = io.StringIO()
    with Display(stream=stream) as display:
        display.watch({"u": 1.23e-3})
        display.observe(progress(1))
    assert "error u 1.2e-03" in stream.getvalue()


def test_on_a_terminal_mean_squares_are_said_not_to_be_weighed() -> None:
    stream = Terminal()
    with Display(stream=stream) as display:
        display.observe(progress(1))
    assert "mean squares, not weighed:  initial 2.0e-03  burgers[0] 1.0e-03" in stream.getvalue()


def test_the_time_left_respects_the_limit() -> None:
    stream = io.StringIO()
    with Display(stream=stream, limit=5.0) as display:
        display.observe(progress(1, seconds=2.0))
    assert "0:03 left" in stream.getvalue()


def test_events_are_told_at_once() -> None:
    stream = io.StringIO()
    with Display(stream=stream) as display:
        display.observe(progress(1))
        display.observe(progress(2, event="returned to the last good state"))
    assert "step 2: returned to the last good state" in stream.getvalue()


def test_quiet_means_silence() -> None:
    stream = Terminal()
    with Display(quiet=True, stream=stream) as display:
        display.note("reference: closed form")
        display.observe(progress(1, event="returned"))
    assert stream.getvalue() == ""


def test_names_that_look_like_markup_are_printed_as_they_are() -> None:
    stream = io.StringIO()
    with Display(stream=stream) as display:
        display.note("points: momentum[0] 50, [bold]wall[/bold] 3")
    assert stream.getvalue() == "points: momentum[0] 50, [bold]wall[/bold] 3\n"


@pytest.mark.parametrize("columns", ["40", "200"])
def test_a_terminal_shows_one_live_line_and_the_terms(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with Display(stream=stream) as display:
        display.observe(progress(1))
        display.observe(progress(2, phase="lbfgs"))
    assert "\x1b[" in stream.getvalue()
    assert "lbfgs" in stream.getvalue() and "burgers[0] 1.0e-03" in stream.getvalue().replace("\n", " ")
    assert "\r" in stream.getvalue()  # the line is taken away again at the end


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with Display(stream=stream) as display:
        display.observe(progress(1))
    assert "\x1b[3" not in stream.getvalue() and "\x1b[9" not in stream.getvalue()


def test_a_reader_who_leaves_does_not_end_the_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1, encoding="utf-8") as stream:
        with Display(stream=stream) as display:
            display.note("one")
            display.observe(progress(1))
            display.note("two")
        assert display.console.quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # so that closing can write what is left

"""Why a phase, or a whole training run, ended: sentences with the remedy inside."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """Why training ended: a short name for programs (`value`) and a sentence for people (`sentence`)."""

    STEPS = (
        "steps",
        "All planned steps were made; if the loss was still falling, more steps will lower it further.",
    )
    LIMIT = (
        "limit",
        "The limit on the number of steps was reached; the best state so far is kept, and more steps may lower the loss further.",
    )
    TIME = (
        "time",
        "The time limit was reached; the best state so far is kept, and more time may lower the loss further.",
    )
    SHARE = (
        "share",
        "The phase used up its share of the time limit and handed over to the next; more time would lengthen it.",
    )
    TOLERANCE = (
        "tolerance",
        "The requested accuracy was reached.",
    )
    CONVERGED = (
        "converged",
        "The gradient is at rounding level: nothing is left to gain here at these points and this precision; "
        "a wider network, more points or float64 can lower the error further.",
    )
    STALLED = (
        "stalled",
        "The line search can make no progress at this precision, along the gradient either; "
        "train in float64, or scale the equations so that their terms are of order one.",
    )
    NO_DESCENT = (
        "no_descent",
        "The loss rises along its own negative gradient, so the two do not belong together; look for a residual "
        "that is random, detached or has a kink.",
    )
    EARLY = (
        "early",
        "The loss on held-out points had not fallen for as many steps as `patience` allows; the best state so far is kept, and "
        "further training would only follow the points trained on.",
    )
    STUCK = (
        "stuck",
        "The residual stopped falling where nothing is solved.",
    )
    DIVERGED = (
        "diverged",
        "The loss was not finite or rose by orders of magnitude, again after every return to a good state with "
        "smaller steps; the best state is kept. Lower the learning rate, or look for a residual that is singular in "
        "the domain.",
    )
    BUDGET = (
        "budget",
        "The privacy budget of the run is spent; fewer steps, each with less noise, may reach further.",
    )
    INTERRUPTED = (
        "interrupted",
        "The run was interrupted after a complete step; the best state so far is kept.",
    )
    STOPPED = (
        "stopped",
        "An observer ended the run; the best state so far is kept.",
    )

    sentence: str

    def __new__(cls, value: str, sentence: str = "") -> Status:
        """Make the short name the value, so that `Status("time")` reads one back."""
        member = object.__new__(cls)
        member._value_ = value
        member.sentence = sentence
        return member

    def __str__(self) -> str:
        return self.sentence

"""The outcome of a run: its record in the form of result.json, and the same in a sentence or two."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from pinnsolve.archive import finite
from pinnsolve.choices import Plan
from pinnsolve.comparison import estimate
from pinnsolve.fitting import Fitted
from pinnsolve.held_out import held_out_misfits
from pinnsolve.referee import Referee
from pinnsolve.residuals import held_out_residuals
from pinnsolve.solution import Solution
from pinnsolve.summary import beside_text, brief, brief_seconds, off_text, quantity_text, suffix
from pinnsolve.training.progress import TrainingResult
from pinnsolve.training.status import Status

_STATUS = {Status.DIVERGED: "diverged", Status.INTERRUPTED: "interrupted"}


def status_of(result: TrainingResult) -> str:
    """Return how a run ended: done, diverged or interrupted."""
    return _STATUS.get(result.status, "done")


def record_of(
    solution: Solution,
    plan: Plan,
    fitted: Fitted,
    referee: Referee,
    seed: int,
) -> dict[str, Any]:
    """Return the outcome in the form of result.json."""
    record: dict[str, Any] = {
        "status": status_of(fitted.result),
        "message": "",
        "seed": seed,
        "device": plan.device.type,
        "threads": plan.threads or torch.get_num_threads(),
        "dtype": str(next(solution.trial.parameters()).dtype).removeprefix("torch."),
        "parameters": sum(p.numel() for p in solution.trial.network.parameters()),
        "points": dict(plan.counts),
        "phases": [asdict(phase) for phase in fitted.result.phases],
        "loss": {
            "total": fitted.value.loss,
            "terms": dict(fitted.value.terms),
            "weights": {name: plan.weights[name] for name in fitted.value.terms},
        },
        "reference": {"kind": "none"},
        "errors": referee.errors,
        "residuals": held_out_residuals(solution, seed=seed),
        "held_out": held_out_misfits(solution),
        "unknowns": dict(solution.unknowns),
        "units": solution.problem.units.texts,
        "quantities": {},
        "choices": [asdict(choice) for choice in plan.choices],
    }
    if referee.reference is not None:
        record["reference"] = {
            "kind": referee.reference.kind,
            "estimated_relative_l2": estimate(solution, referee.reference),
            "seconds": referee.reference.seconds,
            "method": referee.reference.method,
        }
        if held := {
            symbol.name: float(value) for symbol, value in (getattr(referee.spec, "unknowns", None) or {}).items()
        }:
            record["reference"]["unknowns"] = held
        if referee.reference.given:
            record["reference"]["given"] = list(referee.reference.given)
    return finite(record)


def message_of(record: dict[str, Any], result: TrainingResult) -> str:
    """Return the outcome in one sentence, and why the run ended in another."""
    own = record["reference"].get("estimated_relative_l2")
    parts = []
    for name, error in record["errors"].items():
        if own is not None and own > 0 and error["relative_l2"] is not None and error["relative_l2"] <= own:
            parts.append(f"{name}: at or below the reference's own error of {own:.1e}")
        else:
            shape = "" if error.get("iou") is None else f", IoU {error['iou']:.3f}"
            parts.append(f"{name}: relative L2 error {brief(error['relative_l2'])}{shape}")
    found = [
        f"{name} = {value:.6g}{suffix(record, name)}{off_text(record, name)}"
        for name, value in record["unknowns"].items()
    ]
    found += [f"{name} = {quantity_text(quantity)}" for name, quantity in record["quantities"].items()]
    kind = record["reference"]["kind"].replace("_", " ")
    if record["reference"].get("given"):
        kind += f" for {', '.join(record['reference']['given'])} as found"
    compared = f"{', '.join(parts)} (against {kind})" if parts else "no reference to compare with"
    trained = f"after {brief_seconds(record['seconds']['train'])} of training"
    beside = beside_text(record["classical"])
    return f"{'; '.join([f'{compared} {trained}', beside, *found])}. {result.status.sentence}"

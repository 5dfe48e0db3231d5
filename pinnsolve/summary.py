"""A finished run in a few lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MOST_COORDINATES = 4
_LONG = 10.0
_ROUNDING = 1e-12


def summarise(record: Mapping[str, Any]) -> str:
    """Return the contents of result.json as lines for people."""
    seconds, units = record["seconds"], record.get("units", {})
    lines = [
        f"problem    {record['problem']}  ({record['status']}, seed {record['seed']}, {record['device']}, "
        f"{record['dtype']}, {record['threads']} threads)",
        f"network    {record['parameters']} parameters",
        f"points     {', '.join(f'{name} {count}' for name, count in record['points'].items()) or 'as measured'}",
    ]
    for phase in record["phases"]:
        lines.append(
            f"phase      {phase['name']}: {phase['steps']} steps, {phase['evaluations']} evaluations, "
            f"{phase['seconds']:.1f} s, loss {_number(phase['loss'])}, ended: {phase['ended']}"
        )
    parts = " + ".join(f"{name} {_number(value)}" for name, value in parts_of_loss(record).items())
    lines.append(f"loss       {_number(record['loss']['total'])} = {parts}")
    lines.append(
        f"seconds    {record['wall_seconds']:.1f} in all: "
        + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    )
    lines.append(f"reference  {_reference(record['reference'])}")
    for name, error in record["errors"].items():
        lines.append(
            f"error      {name}: relative L2 {_number(error['relative_l2'])}, "
            f"max {_number(error['max'])}{suffix(record, name)}{place_text(error.get('max_at'), units)}{_overlap(error)}"
        )
    if "classical" in record:
        lines.append(f"classical  {_classical(record['classical'])}")
    lines += [f"privacy    {line}" for line in _privacy(record.get("privacy", {}))]
    lines += [f"residual   {line}" for line in residual_lines(record.get("residuals", {}), units)]
    lines += [f"held out   {line}" for line in held_out_lines(record.get("held_out", {}))]
    uncertainty = record.get("uncertainty", {})
    for name, value in record["unknowns"].items():
        lines.append(
            f"unknown    {name} = {value:.6g}{suffix(record, name)}{off_text(record, name)}{_interval(uncertainty, name)}"
        )
    for name, quantity in record.get("quantities", {}).items():
        lines.append(f"quantity   {name} = {quantity_text(quantity)}")
    lines += [f"remark     {remark}" for remark in uncertainty.get("remarks", [])]
    if "diagnosis" in record:
        lines.append(f"diagnosis  {record['diagnosis']['sentence']}")
        lines += [f"next       {advice}" for advice in record["diagnosis"]["advice"]]
    return "\n".join([*lines, f"outcome    {record['message']}"])


def parts_of_loss(record: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what every term adds to the loss, its weight times its mean square; older runs do not tell the weights."""
    weights = record["loss"].get("weights", {})
    return {
        name: None if square is None else weights.get(name, 1.0) * square
        for name, square in record["loss"]["terms"].items()
    }


def suffix(record: Mapping[str, Any], name: str) -> str:
    """Return the unit of a field, a coordinate or an unknown as it stands behind a number, " mm", or nothing."""
    unit = record.get("units", {}).get(name, "")
    return f" {unit}" if unit else ""


def place_text(place: Mapping[str, float] | None, units: Mapping[str, str] | None = None) -> str:
    """Return " at x = 0.5 mm, t = 1", or nothing where the place is not known or one of very many coordinates.

    Args:
        place: Numbers by the names of coordinates.
        units: Their units, of those that have one.
    """
    if not place or len(place) > _MOST_COORDINATES:
        return ""
    known = {"units": units or {}}
    return " at " + ", ".join(f"{name} = {value:.4g}{suffix(known, name)}" for name, value in place.items())


def residual_lines(residuals: Mapping[str, Mapping[str, Any]], units: Mapping[str, str] | None = None) -> list[str]:
    """Return a line for every term with its held-out residual, and one for all that hold to rounding."""
    exact = [name for name, r in residuals.items() if r["max"] is not None and r["max"] <= _ROUNDING]
    lines = [
        f"{name}: rms {_number(r['rms'])}, max {_number(r['max'])}{_unit(r)}{place_text(r['max_at'], units)}"
        for name, r in residuals.items()
        if name not in exact
    ]
    return [*lines, f"at most {_ROUNDING:.0e}: {', '.join(exact)}"] if exact else lines


def _unit(residual: Mapping[str, Any]) -> str:
    return f" in {residual['unit']}" if residual.get("unit") else ""


def held_out_lines(held_out: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Return a line for every set of measurements, with its misfit on what was trained on and in every split."""
    return [
        f"{name}: " + "; ".join(f"{split} {_number(m['rms'])} ({m['rows']} rows)" for split, m in splits.items())
        for name, splits in held_out.items()
    ]


def beside_text(classical: Mapping[str, Any] | None) -> str:
    """Return error and time of the classical solver in a few words."""
    if classical is None:
        return "no classical solver at hand"
    return f"classical solver: error {brief(classical['error'])} after {brief_seconds(classical['seconds'])}"


def brief(value: float | None) -> str:
    """Return an error with two digits."""
    return "not finite" if value is None else f"{value:.1e}"


def quantity_text(quantity: Mapping[str, Any]) -> str:
    """Return a wanted number in its unit, and how far it is from the one that is known."""
    value, known, error = (quantity.get(key) for key in ("value", "known", "relative_error"))
    unit = f" {quantity['unit']}" if quantity.get("unit") else ""
    found = "not finite" if value is None else f"{value:.6g}{unit}"
    if known is None:
        return found
    off = "" if error is None else f", off by {100 * error:.2g} %" if known else f", off by {error:.2g}"
    return f"{found} (known: {known:.6g}{unit}{off})"


def brief_seconds(value: float) -> str:
    """Return a time with two or three digits."""
    return f"{value:.0f} s" if value >= _LONG else f"{value:.2g} s"


def _overlap(error: Mapping[str, Any]) -> str:
    return "" if error.get("iou") is None else f"; as a shape: IoU {error['iou']:.3f}"


def _privacy(spent: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for every set of private observations: what a run, and all of them, told of a row."""
    return [
        f"{name}: epsilon {s['epsilon']:.3g} of {s['allowed']:g} at delta {s['delta']:g}, {s['with_earlier_runs']:.3g} of "
        f"{s['budget']:g} over all recorded runs; {s['steps']} steps of noise {s['noise']:.3g}"
        for name, s in spent.items()
    ]


def off_text(record: Mapping[str, Any], name: str) -> str:
    """Return how far an unknown is from the value that the reference holds it at, or nothing where it has none."""
    known = record["reference"].get("unknowns", {}).get(name)
    if not known:
        return ""
    return f" ({100 * abs(record['unknowns'][name] / known - 1):.2g} % off {known:.6g})"


def _interval(uncertainty: Mapping[str, Any], name: str) -> str:
    """Return the interval of an unknown in words, or nothing where it is not known."""
    found = uncertainty.get("unknowns", {}).get(name)
    if found is None or found["low"] is None or found["high"] is None:
        return ""
    level = 100 * uncertainty["level"]
    return f", from {found['low']:.6g} to {found['high']:.6g} with {level:.0f} % by the noise of the measurements"


def _classical(classical: Mapping[str, Any] | None) -> str:
    if classical is None:
        return "no solver reads the problem, or none in the time"
    error = "unknown" if classical["error"] is None else f"{classical['error']:.1e}"
    return f"{classical['method']}; error {error}; {brief_seconds(classical['seconds'])}"


def _reference(reference: Mapping[str, Any]) -> str:
    if reference["kind"] == "none":
        return "none"
    own = reference["estimated_relative_l2"]
    error = "own error unknown" if own is None else f"own error {own:.1e}"
    return f"{reference['method']}; {error}; {reference['seconds']:.1f} s"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.2e}"

"""Films of solutions: every frame shows its instant, and what does not move is not filmed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from sympy import Eq, exp, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.cli import main
from pinnsolve.drawing.animation import FRAMES, write_animation
from pinnsolve.errors import DataError
from pinnsolve.reference.solve import solve_reference

x, y, t = symbols("x y t")
SQUARE = ps.Box({x: (0, 1), y: (0, 1)})


def heat(known: Callable[..., Any]) -> ps.Solution:
    u = ps.fields("u", x, t)
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={"start": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
    )
    solution = known(problem, lambda x, t: torch.exp(-t) * torch.sin(torch.pi * x))
    solution.reference = solve_reference(problem, ps.Exact({u: exp(-t) * sin(pi * x)}), unknowns={})
    return solution


def frames(path: Path) -> list[np.ndarray]:
    with Image.open(path) as film:
        return [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]


def test_a_curve_falls_from_frame_to_frame(known: Callable[..., Any], tmp_path: Path) -> None:
    write_animation(heat(known), tmp_path / "films" / "u.gif", {}, frames=10)
    # The uppermost coloured point of the curve, in rows from the top of the picture.
    with Image.open(tmp_path / "films" / "u.gif") as film:
        tops = []
        for frame in ImageSequence.Iterator(film):
            colours = np.asarray(frame.convert("RGB")).astype(int)
            blue = colours[..., 2] - colours[..., 0] > 60
            middle = blue[:, blue.shape[1] // 3 : 2 * blue.shape[1] // 3]
            tops.append(int(np.argmax(middle.any(axis=1))))
    assert len(tops) == 10 and tops == sorted(tops) and tops[-1] > tops[0] + 50


def test_planes_move_on_a_grid_and_on_a_mesh(known: Callable[..., Any], tmp_path: Path) -> None:
    w = ps.fields("w", x, y, t)
    mesh = ps.Mesh.read(Path(__file__).parent / "meshes" / "plate_2.2_text.msh", coordinates=(x, y))
    for number, space in enumerate([ps.Box({x: (0, 2), y: (0, 1)}), mesh]):
        problem = ps.Problem(
            domain=space * ps.Interval(t, 0, 1),
            equations={"heat": Eq(w.diff(t), ps.laplacian(w, x, y))},
            conditions={"start": Eq(w(x, y, 0), 0), "wall": ps.on(space.boundary, Eq(w, 0))},
            hard=False,
        )
        solution = known(problem, lambda x, y, t: torch.sin(x + y - 6 * t))
        found = frames(write_animation(solution, tmp_path / f"{number}.gif", {}, frames=4))
        assert len(found) == 4
        assert min(np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(found)) > 0.1


def test_what_does_not_move_is_not_filmed(known: Callable[..., Any], tmp_path: Path) -> None:
    v, q = ps.fields("v", x, y), ps.fields("q", t)
    steady = ps.Problem(
        domain=SQUARE, equations=Eq(ps.laplacian(v, x, y), 1), conditions={"wall": ps.on(SQUARE.boundary, v)}
    )
    decay = ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": q(0) - 1}
    )
    for solution in (known(steady, lambda x, y: x * y), known(decay, lambda t: torch.exp(-t))):
        with pytest.raises(DataError, match="no field that changes in space"):
            solution.write(tmp_path / "u.gif")
    with pytest.raises(DataError, match="no field that changes in space"):
        heat(known).write(tmp_path / "u.gif", t=0.5)


def test_without_ffmpeg_a_gif_is_proposed(
    known: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matplotlib.animation.FFMpegWriter.isAvailable", lambda: False)
    with pytest.raises(DataError, match=r"ffmpeg.*or write \.gif"):
        heat(known).write(tmp_path / "u.mp4")


@pytest.mark.thorough
def test_a_run_is_filmed_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    u = ps.fields("u", x, t)
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={"start": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
    )
    training = ps.Training(points={"heat": 20}, phases=[ps.Adam(steps=2)])
    ps.solve(problem, ps.MLP(width=4, depth=1), training, out=tmp_path / "run", plots=False, compile="off")
    assert main(["plot", str(tmp_path / "run"), "--film"]) == 0
    film = tmp_path / "run" / "plots" / "fields.gif"
    assert str(film) in capsys.readouterr().out and len(frames(film)) == FRAMES

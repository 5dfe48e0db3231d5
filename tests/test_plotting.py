"""Figures: they show the solution's own values, on scales that do not mislead, and no degenerate run loses its pictures."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from sympy import Eq, I, Rational, conjugate, cos, exp, pi, sin, symbols
from torch import Tensor, nn

import pinnsolve as ps
from pinnsolve.archive import build_trial
from pinnsolve.comparison import compare
from pinnsolve.drawing.labels import number
from pinnsolve.drawing.views import arrange, ordering_coordinates, reference_values
from pinnsolve.plotting import error_figure, fields_figure, residual_figure, write_plots
from pinnsolve.reference.solve import solve_reference
from pinnsolve.solution import Solution
from pinnsolve.training.loop import Progress

x, y, z, t = symbols("x y z t")
u = ps.fields("u", x, t)


class Closed(nn.Module):
    """Fields in closed form; its one parameter tells the precision and is added to the last field."""

    def __init__(self, form: Callable[[Tensor], list[Tensor]], shift: float = 0.0) -> None:
        super().__init__()
        self.form, self.shift = form, nn.Parameter(torch.tensor(shift, dtype=torch.float64))

    def forward(self, points: Tensor) -> Tensor:
        *others, last = self.form(points)
        return torch.stack([*others, last + self.shift], 1)


def solution_of(problem: ps.Problem, network: Any = None, reference: ps.Exact | None = None) -> Solution:
    """An untrained solution of the problem, or one of a given network, compared if there is a reference."""
    network = network or ps.MLP(width=6, depth=1)
    trial = build_trial(problem, network, seed=3, dtype=torch.float64, device="cpu")
    solution = Solution(problem, trial, None, {"seed": 0})
    if reference is not None:
        solution.reference = solve_reference(problem, reference, unknowns=problem.unknowns)
        solution.record = {"seed": 0, "errors": compare(solution, solution.reference)}
    return solution


def heat(**more: Any) -> ps.Problem:
    return ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 2)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
        conditions={"initial": Eq(u(x, 0), sin(pi * x)), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
        **more,
    )


def plate(**ranges: tuple[float, float]) -> ps.Problem:
    coordinates = {symbols(name): ends for name, ends in ranges.items()}
    box, w = ps.Box(coordinates), ps.fields("w", *coordinates)
    return ps.Problem(
        domain=box,
        equations={"poisson": Eq(ps.laplacian(w, *coordinates), 1)},
        conditions={"edge": ps.on(box.boundary, Eq(w, 0))},
    )


HEAT = ps.Exact({u: exp(-(pi**2) * t) * sin(pi * x)})


def panels(figure: Figure | None) -> list[Axes]:
    """The axes that are not colour bars."""
    assert figure is not None
    return list(figure.axes)


def shown(axes: Axes) -> np.ndarray:
    """The values of a map, (vertical, horizontal)."""
    return np.asarray(axes.images[0].get_array())


def grid(axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """The coordinates of the values of a map."""
    rows, columns = shown(axes).shape
    across, up = np.linspace(*axes.get_xlim(), columns), np.linspace(*axes.get_ylim(), rows)
    return across[None, :], up[:, None]


def curve(axes: Axes, name: str) -> Any:
    return next(line for line in axes.lines if line.get_label() == name)


def places_of(line: Any) -> np.ndarray:
    """The points of a line or of dots (points, 2)."""
    return np.asarray(line.get_xydata())


def sensor(field: Any, *coordinates: Any) -> dict[str, ps.Observations]:
    """One value in the middle of the unit box."""
    return {"sensor": ps.Observations(at={c: np.array([0.5]) for c in coordinates}, values={field: np.array([1.0])})}


def test_an_evolution_is_a_map_over_time_with_the_solutions_values() -> None:
    solution = solution_of(heat(), reference=HEAT)
    left, right = panels(fields_figure(solution))
    assert (left.get_xlabel(), left.get_ylabel()) == ("$t$", "$x$")
    assert left.get_xlim() == (0, 2) and left.get_ylim() == (0, 1)
    times, places = grid(left)
    assert_allclose(shown(left), solution(x=places, t=times), rtol=1e-12)
    assert (right.get_xlabel(), right.get_ylabel()) == ("$x$", "$u$")


def test_an_evolution_has_curves_at_five_instants_with_the_reference_dashed() -> None:
    solution = solution_of(heat(), reference=HEAT)
    right = panels(fields_figure(solution))[1]
    drawn = [line for line in right.lines if str(line.get_label()).startswith("$t$")]
    assert [line.get_label() for line in drawn] == [f"$t$ = {v}" for v in ("0", "0.5", "1", "1.5", "2")]
    dashed = [line for line in right.lines if line.is_dashed()]
    for line, known, instant in zip(drawn, dashed, (0, 0.5, 1, 1.5, 2), strict=True):
        places, values = places_of(line).T
        assert_allclose(values, solution(x=places, t=instant), rtol=1e-12)
        assert_allclose(places_of(known)[:, 1], np.exp(-(np.pi**2) * instant) * np.sin(np.pi * places), atol=1e-12)
    assert "relative $L^2$ error" in right.get_title()


def test_a_plane_shows_solution_reference_and_a_difference_centred_at_zero() -> None:
    w = ps.fields("w", x, y)
    solution = solution_of(plate(x=(0, 2), y=(-1, 1)), reference=ps.Exact({w: x * y}))
    found, known, difference = panels(fields_figure(solution))
    across, up = grid(found)
    assert_allclose(shown(found), solution(x=across, y=up), rtol=1e-12)
    assert_allclose(shown(known), across * up, atol=1e-12)
    assert_allclose(shown(difference), shown(found) - shown(known), atol=1e-12)
    assert found.images[0].get_clim() == known.images[0].get_clim()
    low, high = difference.images[0].get_clim()
    assert low == -high and high >= np.abs(shown(difference)).max()
    assert all(axes.get_aspect() == 1.0 for axes in (found, known, difference))


def test_flat_regions_are_stacked_and_not_squeezed_side_by_side() -> None:
    w = ps.fields("w", x, y)
    solution = solution_of(plate(x=(0, 5), y=(0, 1)), reference=ps.Exact({w: x * y}))
    places = [axes.get_position() for axes in panels(fields_figure(solution))]
    assert all(above.y0 > below.y1 for above, below in pairwise(places))


def test_a_curve_has_its_reference_dashed_and_its_observations_with_their_noise() -> None:
    q, k = ps.fields("q", t), symbols("k", positive=True)
    times, values = np.array([0.5, 1.0, 2.5]), np.array([0.9, 0.6, -0.7])
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 3),
        equations={"spring": Eq(q.diff(t, 2), -k * q)},
        conditions={"start": [Eq(q(0), 1), Eq(q.diff(t).subs(t, 0), 0)]},
        unknowns={k: 1.5},
        data={"sensor": ps.Observations(at={t: times}, values={q: values}, noise=0.1)},
    )
    solution = solution_of(problem, reference=ps.Exact({q: cos(t)}))
    figure = fields_figure(solution)
    (axes,) = panels(figure)
    nodes = np.asarray(curve(axes, "solution").get_xdata())
    assert_allclose(curve(axes, "solution").get_ydata(), solution(t=nodes), rtol=1e-12)
    assert_allclose(curve(axes, "reference").get_ydata(), np.cos(nodes), atol=1e-12)
    (dots, _, (bars,)) = axes.containers[0]
    assert_allclose(places_of(dots), np.stack([times, values], 1))
    assert_allclose([np.ptp(s[:, 1]) for s in bars.get_segments()], 0.2)
    assert "$k$ = 1.5" in figure.get_suptitle()


def test_observations_are_dots_on_the_map_and_beside_the_curve_of_their_instant() -> None:
    at = {x: np.array([0.25, 0.75, 0.5]), t: np.array([1.0, 1.0, 0.3])}
    problem = heat(data={"sensors": ps.Observations(at=at, values={u: np.array([0.1, 0.2, 0.3])})})
    left, right = panels(fields_figure(solution_of(problem)))
    dots = next(line for line in left.lines if line.get_marker() == "o")
    assert_allclose(places_of(dots), np.stack([at[t], at[x]], 1))
    (container,) = right.containers
    assert_allclose(places_of(container[0]), [[0.25, 0.1], [0.75, 0.2]])


def test_observations_off_a_slice_are_not_drawn_in_it() -> None:
    problem = plate(x=(0, 1), y=(0, 1), z=(0, 1))
    w = problem.declared_fields[0]
    at = {x: np.array([0.2, 0.3]), y: np.array([0.4, 0.6]), z: np.array([0.5, 0.9])}
    observed = ps.Problem(
        domain=problem.domain,
        equations=problem.equations,
        conditions=problem.conditions,
        data={"probe": ps.Observations(at=at, values={w: np.zeros(2)})},
    )
    dots = [[places_of(line) for line in axes.lines] for axes in panels(fields_figure(solution_of(observed)))]
    assert_allclose(dots[0][0], np.array([[0.2, 0.4]]))
    assert [len(d) for group in dots[1:] for d in group] == [0, 0]


def test_a_steady_solid_is_shown_on_three_middle_planes_with_one_scale() -> None:
    solution = solution_of(plate(x=(0, 1), y=(0, 2), z=(0, 4)))
    axes = panels(fields_figure(solution))
    assert [a.get_title() for a in axes] == ["$w$ at $z$ = 2", "$w$ at $y$ = 1", "$w$ at $x$ = 0.5"]
    assert len({a.images[0].get_clim() for a in axes}) == 1
    across, up = grid(axes[1])
    assert_allclose(shown(axes[1]), solution(x=across, y=1.0, z=up), rtol=1e-12)


def test_planes_of_an_evolution_are_shown_at_the_start_the_middle_and_the_end() -> None:
    v = ps.fields("v", x, y, t)
    box, time = ps.Box({x: (0, 1), y: (0, 1)}), ps.Box({t: (0, 3)})
    problem = ps.Problem(
        domain=box * time,
        equations={"heat": Eq(v.diff(t), v.diff(x, 2) + v.diff(y, 2))},
        conditions={"initial": Eq(v(x, y, 0), x), "edge": ps.on(box.boundary * time, Eq(v, x))},
    )
    solution = solution_of(problem)
    axes = panels(fields_figure(solution))
    assert [a.get_title() for a in axes] == [f"$v$ at $t$ = {value}" for value in ("0", "1.5", "3")]
    across, up = grid(axes[2])
    assert_allclose(shown(axes[2]), solution(x=across, y=up, t=3.0), rtol=1e-12)


def test_a_complex_field_is_shown_by_modulus_and_parts() -> None:
    h = ps.fields("h", x, t)
    problem = ps.Problem(
        domain=ps.Box({x: (-1, 1), t: (0, 1)}),
        equations={"nls": Eq(I * h.diff(t) + h.diff(x, 2) / 2 + h * conjugate(h) * h, 0)},
        conditions={"initial": Eq(h(x, 0), 1 - x**2), "left": Eq(h(-1, t), 0), "right": Eq(h(1, t), 0)},
    )
    reference = ps.Exact({h: exp(I * t) * cos(x)})
    solution = solution_of(problem, reference=reference)
    modulus, _, real, _, imaginary, _ = panels(fields_figure(solution))
    times, places = grid(modulus)
    values = solution(x=places, t=times)
    for axes, part in ((modulus, np.abs(values)), (real, values.real), (imaginary, values.imag)):
        assert_allclose(shown(axes), part, atol=1e-12)
    (error,) = panels(error_figure(solution))
    assert_allclose(shown(error), np.abs(values - np.exp(1j * times) * np.cos(places)), rtol=1e-9)


def test_a_field_of_fewer_coordinates_is_a_curve_below_the_map_of_another() -> None:
    f = ps.fields("f", x)
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"heat": Eq(u.diff(t), u.diff(x, 2) + f)},
        conditions={"initial": Eq(u(x, 0), 0), "left": Eq(u(0, t), 0), "right": Eq(u(1, t), 0)},
        data=sensor(u, x, t),
    )
    solution = solution_of(problem)
    axes = {a.get_ylabel(): a for a in panels(fields_figure(solution))}
    nodes = np.asarray(curve(axes["$f$"], "solution").get_xdata())
    assert_allclose(curve(axes["$f$"], "solution").get_ydata(), solution.evaluate(f, x=nodes), rtol=1e-12)


@pytest.mark.parametrize(
    ("problem", "ordering"),
    [
        (heat(), (t,)),
        (plate(x=(0, 1), y=(0, 1)), ()),
        (
            ps.Problem(
                domain=ps.Box({x: (0, 1), y: (1, 2)}),
                equations={"decay": Eq(ps.fields("g", x, y).diff(x), -y * ps.fields("g", x, y))},
                conditions={"start": Eq(ps.fields("g", x, y)(0, y), 1)},
            ),
            (x, y),
        ),
        (
            ps.Problem(
                domain=ps.Box({x: (0, 1), t: (0, 1)}),
                equations={"advection": Eq(u.diff(t) + u.diff(x), 0)},
                conditions={"initial": Eq(u(x, 0), 0), "inlet": Eq(u(0, t), 0)},
            ),
            (t,),
        ),
        (
            ps.Problem(
                domain=ps.Box({x: (0, 1), t: (0, 1)}),
                equations={"heat": Eq(u.diff(t), u.diff(x, 2))},
                data=sensor(u, x, t),
            ),
            (t,),
        ),
    ],
    ids=["initial value", "boundary value", "parameter", "inlet", "inverse"],
)
def test_time_is_pinned_at_one_end_and_parameters_are_not_differentiated(problem: ps.Problem, ordering: Any) -> None:
    assert ordering_coordinates(problem) == ordering


def test_planes_can_be_laid_through_a_point() -> None:
    problem = plate(x=(0, 1), y=(0, 1), z=(0, 1))
    views = arrange(problem.bounds, problem, through={x: 0.1, y: 0.2, z: 0.3})
    assert [(v.axes, dict(v.held)) for v in views] == [((x, y), {z: 0.3}), ((x, z), {y: 0.2}), ((y, z), {x: 0.1})]


def test_the_error_map_is_logarithmic_with_a_ring_at_the_greatest_error() -> None:
    solution = solution_of(heat(), reference=HEAT)
    figure = error_figure(solution)
    (axes,) = panels(figure)
    times, places = grid(axes)
    expected = np.abs(solution(x=places, t=times) - np.exp(-(np.pi**2) * times) * np.sin(np.pi * places))
    assert_allclose(shown(axes), expected, atol=1e-12)
    assert isinstance(axes.images[0].norm, LogNorm)
    points = solution.reference.points
    differences = np.abs(solution(x=points[:, 0], t=points[:, 1]) - solution.reference.values["u"])
    (ring,) = axes.lines
    assert_allclose(places_of(ring)[0], points[differences.argmax()][::-1])
    assert number(solution.errors["u"]["relative_l2"]) in axes.get_title()
    assert number(differences.max()) in axes.get_title()
    assert figure is not None and "closed form" in figure.get_suptitle()


def test_error_planes_of_a_solid_contain_the_greatest_error() -> None:
    w = ps.fields("w", x, y, z)
    solution = solution_of(plate(x=(0, 1), y=(0, 1), z=(0, 1)), reference=ps.Exact({w: x * y * z}))
    points = solution.reference.points
    worst = points[np.abs(solution(x=points[:, 0], y=points[:, 1], z=points[:, 2]) - points.prod(axis=1)).argmax()]
    rings = [places_of(axes.lines[0])[0] for axes in panels(error_figure(solution))]
    assert_allclose(rings, [worst[[0, 1]], worst[[0, 2]], worst[[1, 2]]])


def test_the_error_of_one_coordinate_is_a_curve_on_a_logarithmic_axis() -> None:
    q = ps.fields("q", t)
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 1), equations={"decay": Eq(q.diff(t), -q)}, conditions={"start": Eq(q(0), 1)}
    )
    solution = solution_of(problem, reference=ps.Exact({q: exp(-t)}))
    (axes,) = panels(error_figure(solution))
    nodes, error = places_of(axes.lines[0]).T
    assert_allclose(error, np.abs(solution(t=nodes) - np.exp(-nodes)), rtol=1e-9)
    assert axes.get_yscale() == "log"


def test_without_a_reference_there_is_no_error_figure() -> None:
    assert error_figure(solution_of(heat())) is None


def channel(shift: float) -> Solution:
    """Flow between plates with a pressure that is right up to a constant and a bump."""
    v, p = ps.fields("v p", x, y)
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), y: (0, 1)}),
        equations={"flow": [Eq(p.diff(x), v.diff(y, 2)), Eq(p.diff(y), 0)]},
        conditions={"walls": [Eq(v(x, 0), 0), Eq(v(x, 1), 0)]},
        data=sensor(v, x, y),
    )
    assert problem.gauges == {"p": ()}
    forms = {"p": lambda c: -8 * c[:, 0] + 0.1 * torch.sin(9 * c[:, 0]) + shift, "v": lambda c: 4 * c[:, 1]}
    names = [f.func.__name__ for f in problem.fields]
    network = Closed(lambda c: [forms[name](c) for name in names])
    return solution_of(problem, network, ps.Exact({p: -8 * x, v: 4 * y}))


def test_a_pressure_is_compared_without_its_mean() -> None:
    errors = []
    for shift in (0.0, 50.0):
        figure = error_figure(channel(shift))
        errors.append(next(shown(a) for a in panels(figure) if a.get_title().startswith("$p$")))
    assert_allclose(errors[0], errors[1], atol=1e-9)
    assert errors[1].max() < 0.2


def test_a_pressure_free_at_every_instant_is_shifted_at_every_instant() -> None:
    p = ps.fields("p", x, t)
    problem = ps.Problem(
        domain=ps.Box({x: (0, 1), t: (0, 1)}),
        equations={"momentum": Eq(u.diff(t), -p.diff(x)), "mass": Eq(u.diff(x), 0)},
        data=sensor(u, x, t),
    )
    assert problem.gauges == {"p": (t,)}
    forms = {"p": lambda c: c[:, 0] + torch.exp(c[:, 1]), "u": lambda c: c[:, 1]}
    names = [f.func.__name__ for f in problem.fields]
    solution = solution_of(problem, Closed(lambda c: [forms[n](c) for n in names]), ps.Exact({u: t, p: x}))
    points = np.random.default_rng(0).random((40, 2))
    shifted = reference_values(solution, p, points)
    assert shifted is not None
    assert_allclose(shifted, points[:, 0] + np.exp(points[:, 1]), rtol=1e-12)


@pytest.mark.parametrize(("gridded", "kind"), [(True, QuadMesh), (False, PathCollection)])
def test_errors_at_stored_points_are_a_map_if_these_form_a_grid_and_dots_otherwise(gridded: bool, kind: type) -> None:
    generator = np.random.default_rng(0)
    mesh = np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 2, 5))
    columns = [m.ravel() for m in mesh] if gridded else [generator.random(30), 2 * generator.random(30)]
    solution = solution_of(heat())
    stored = ps.Observations(at={x: columns[0], t: columns[1]}, values={u: np.zeros(30)})
    solution.reference = solve_reference(solution.problem, stored, unknowns={})
    (axes,) = panels(error_figure(solution))
    (drawn,) = axes.collections
    assert isinstance(drawn, kind)
    assert_allclose(np.sort(np.ravel(drawn.get_array())), np.sort(np.abs(solution(x=columns[0], t=columns[1]))))  # type: ignore[arg-type]
    right = panels(fields_figure(solution))[1]
    if gridded:
        assert sum(line.get_label() == "reference" for line in right.lines) == 5


def test_the_residual_map_shows_the_magnitude_of_every_equation() -> None:
    solution = solution_of(heat())
    (axes,) = panels(residual_figure(solution))
    times, places = grid(axes)
    assert_allclose(shown(axes), np.abs(solution.residual("heat", x=places, t=times)), rtol=1e-12)
    assert isinstance(axes.images[0].norm, LogNorm)
    sample = np.random.default_rng(0).random((4000, 2)) * [1, 2]
    size = np.sqrt(np.mean(solution.residual("heat", x=sample[:, 0], t=sample[:, 1]) ** 2))
    assert axes.get_title().startswith("heat: residual, root mean square")
    stated = float(axes.get_title().split()[-1].strip("$")) if "times" not in axes.get_title() else size
    assert stated == pytest.approx(size, rel=0.1)
    dots = places_of(axes.lines[0])
    assert len(dots) == 256 and dots.min() >= 0 and (dots <= [2, 1]).all()


def test_a_residual_is_shown_only_where_its_equation_holds() -> None:
    w = ps.fields("w", x)
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 1),
        equations={
            "left": ps.on(ps.Interval(x, 0, 0.5), Eq(w.diff(x, 2), 0)),
            "right": ps.on(ps.Interval(x, 0.5, 1), Eq(w.diff(x, 2), 1)),
        },
        conditions={"ends": [Eq(w(0), 0), Eq(w(1), 1)]},
    )
    axes = panels(residual_figure(solution_of(problem)))
    assert [a.get_xlim() for a in axes] == [(0.0, 0.5), (0.5, 1.0)]


@pytest.mark.parametrize(
    "form",
    [
        lambda c: [0 * c[:, 0] + math.nan],
        lambda c: [torch.where(c[:, 0] < 0.5, math.nan, c[:, 0])],
        lambda c: [0 * c[:, 0] + 3.0],
        lambda c: [1e100 * c[:, 0]],
        lambda c: [1e-100 * c[:, 0]],
    ],
    ids=["nan", "half nan", "constant", "huge", "tiny"],
)
def test_degenerate_solutions_do_not_lose_their_pictures(form: Any, tmp_path: Path) -> None:
    solution = solution_of(heat(), Closed(form))
    solution.reference = solve_reference(solution.problem, ps.Exact({u: 0 * x}), unknowns={})
    written = write_plots(solution, tmp_path)
    assert [path.name for path in written] == ["fields.png", "error.png", "residual.png"]


def test_an_exact_solution_says_that_its_error_is_zero_everywhere() -> None:
    solution = solution_of(heat(), Closed(lambda c: [0 * c[:, 0]]), ps.Exact({u: 0 * x}))
    for figure in (error_figure(solution), residual_figure(solution)):
        assert any(text.get_text() == "zero everywhere" for axes in panels(figure) for text in axes.texts)


def test_plots_are_written_as_png_and_the_history_may_come_from_elsewhere(tmp_path: Path) -> None:
    solution = solution_of(heat())
    record = Progress("adam", 1, 100, 0.5, {"heat": 0.5}, None, 0.1, 1, 10.0, 1e-3)
    written = write_plots(solution, tmp_path / "plots", history=[record])
    assert [path.name for path in written] == ["fields.png", "residual.png", "loss.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG\r\n") for path in written)


def test_drawing_leaves_the_settings_of_matplotlib_alone() -> None:
    before = dict(matplotlib.rcParams)
    fields_figure(solution_of(plate(x=(0, 1), y=(0, Rational(1, 2)))))
    assert dict(matplotlib.rcParams) == before


def test_pyplot_is_not_imported() -> None:
    code = "import sys, pinnsolve.plotting; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Finite elements in time, on meshes, and in space: observed orders, coefficients by groups of cells, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from convergence import check, errors
from sympy import Eq, Matrix, Piecewise, Rational, cos, exp, eye, sin, symbols

import pinnsolve as ps
from pinnsolve.reference.solve import solve_reference

MESHES = Path(__file__).parent / "meshes"
x, y, z, t = symbols("x y z t")
u, v, p = ps.fields("u v p", x, y)
w, s = ps.fields("w s", x, y, t)
a, b, c = ps.fields("a b c", x, y, z)
DISK = ps.Disk({x: 0, y: 0}, radius=1)
MOON = DISK - ps.Disk({x: Rational(4, 5), y: 0}, radius=Rational(7, 10))
TIME = ps.Interval(t, 0, 1)
WEST = MOON.boundary & ps.HalfSpace(x <= 0, coordinates=(x, y))
MOVING = sin(2 * x + 1 + t) * exp(y - t / 2)
IN_SPACE = sin(2 * x + 1) * exp(y) * cos(z)


def declare(equations: Any, domain: Any, **conditions: Any) -> ps.Problem:
    return ps.Problem(domain=domain, equations=equations, conditions=conditions)


def slope(field: Any, region: Any) -> Any:
    return ps.grad(field, *region.coordinates).dot(region.normal)


@pytest.fixture(scope="module")
def plate() -> ps.Mesh:
    return ps.Mesh.read(MESHES / "plate_4.1_text.msh", coordinates=(x, y))


@pytest.fixture(scope="module")
def brick() -> ps.Mesh:
    return ps.Mesh.read(MESHES / "brick_hexahedra.msh", coordinates=(x, y, z))


@pytest.mark.parametrize("order", [1, 2])
def test_heat_on_a_disk(order: int) -> None:
    problem = declare(
        w.diff(t) - ps.laplacian(w, x, y), DISK * TIME, start=Eq(w(x, y, 0), 0), rim=ps.on(DISK.boundary, Eq(w, 0))
    )
    check(problem, {w: MOVING}, size=0.12, order=order)


def test_heat_with_a_capacity_and_mixed_conditions() -> None:
    domain = MOON * TIME
    problem = declare(
        (2 + x) * w.diff(t) - ps.div((1 + y**2 / 2) * ps.grad(w, x, y), x, y) + w**3,
        domain,
        start=ps.on(domain.face(t, 0), Eq(w, 0)),  # type: ignore[attr-defined]
        west=ps.on(WEST, Eq(w, 0)),
        east=ps.on(MOON.boundary - WEST, Eq(slope(w, MOON), -w)),
    )
    check(problem, {w: MOVING}, size=0.12, order=1)


def test_a_reaction_in_which_one_species_does_not_move() -> None:
    problem = declare(
        {"moving": w.diff(t) - ps.laplacian(w, x, y) / 4 + w * s, "fixed": s.diff(t) - w + s},
        DISK * TIME,
        start=[Eq(w(x, y, 0), 0), Eq(s(x, y, 0), 0)],
        rim=ps.on(DISK.boundary, Eq(slope(w, DISK), 0)),
    )
    check(problem, {w: MOVING, s: cos(x + t) * y}, size=0.12, order=1)


def test_waves_and_a_boundary_that_absorbs_them() -> None:
    problem = declare(
        w.diff(t, 2) + w.diff(t) - ps.laplacian(w, x, y),
        DISK * TIME,
        start=[Eq(w(x, y, 0), 0), Eq(w.diff(t).subs(t, 0), 0)],
        rim=ps.on(DISK.boundary, Eq(slope(w, DISK), -w.diff(t))),
    )
    check(problem, {w: MOVING}, size=0.12, order=1)


@pytest.mark.parametrize("order", [1, 2])
def test_a_mesh_is_taken_as_it_is_and_refined(plate: ps.Mesh, order: int) -> None:
    problem = declare(
        ps.laplacian(u, x, y),
        plate,
        inlet=ps.on(plate["inlet"], Eq(u, 0)),
        hole=ps.on(plate["hole"], Eq(slope(u, plate), 0)),
        outlet=ps.on(plate["outlet"], Eq(slope(u, plate), -u)),
        walls=ps.on(plate["walls"], Eq(u, 0)),
    )
    check(problem, {u: sin(2 * x + 1) * exp(y)}, size=0.06, order=order)


def test_coefficients_by_groups_jump_between_cells_exactly(plate: ps.Mesh) -> None:
    k = plate.where({"steel": 50, "air": 1})
    truth = Piecewise((x / 50, x < 1), (x - Rational(49, 50), True))
    laws = {"a": Eq(u, k * p.diff(x)), "b": Eq(v, k * p.diff(y)), "c": Eq(u.diff(x) + v.diff(y), 0)}
    problem = declare(laws, plate, all=ps.on(plate.boundary, Eq(p, truth)))
    reference = solve_reference(problem, ps.FiniteElements(0.2), unknowns={})
    places = reference.points[:, 0]
    assert np.abs(reference.values["p"] - np.where(places < 1, places / 50, places - 0.98)).max() < 1e-10
    aside = np.abs(places - 1) > 1e-6
    assert np.abs(reference.values["u"] - 1)[aside].max() < 1e-8 and np.abs(reference.values["v"]).max() < 1e-8


@pytest.mark.thorough
def test_tetrahedra(brick: ps.Mesh) -> None:
    problem = declare(
        ps.laplacian(a, x, y, z) - a**3,
        brick,
        clamp=ps.on(brick["clamp"], Eq(a, 0)),
        rest=ps.on(brick.boundary - brick["clamp"], Eq(slope(a, brick), -a)),
    )
    made = ps.manufactured(problem, {a: IN_SPACE})
    for order, least in ((1, 1.5), (2, 2.8)):
        reference = solve_reference(made, ps.FiniteElements(order=order, seconds=10), unknowns={})
        first, second, *_ = (row["a"] for row in errors(made, reference, {a: IN_SPACE}))
        assert "tetrahedra" in reference.method and np.log2(first / second) > least


def pulled(brick: ps.Mesh) -> ps.Problem:
    """Elasticity of a graded material, clamped on one side of a brick, with tractions on all others."""
    field = Matrix([a, b, c])
    strain = Matrix(3, 3, lambda i, j: (field[i].diff((x, y, z)[j]) + field[j].diff((x, y, z)[i])) / 2)
    stress = (2 + x) * strain.trace() * eye(3) + 2 * strain
    return declare(
        {f"balance {k}": ps.div(stress[k, :], x, y, z) for k in range(3)},
        brick,
        clamp=ps.on(brick["clamp"], *(Eq(f, 0) for f in field)),
        pull=ps.on(brick.boundary - brick["clamp"], *(stress * brick.normal)),
    )


PULLED = {a: IN_SPACE, b: cos(x) * (y - z), c: sin(x + y)}


@pytest.mark.thorough
def test_traction_in_space(brick: ps.Mesh) -> None:
    made = ps.manufactured(pulled(brick), PULLED)
    reference = solve_reference(made, ps.FiniteElements(order=2, seconds=1), unknowns={})
    assert max(errors(made, reference, PULLED)[0].values()) < 2e-2


@pytest.mark.slow
@pytest.mark.parametrize(("order", "least"), [(1, 1.3), (2, 2.8)])  # linear ones are stiff in bending: 0.9, 1.36, to 2
def test_the_order_with_traction_in_space(brick: ps.Mesh, order: int, least: float) -> None:
    made = ps.manufactured(pulled(brick), PULLED)
    reference = solve_reference(made, ps.FiniteElements(order=order, seconds=120), unknowns={})
    *_, first, second = errors(made, reference, PULLED)
    for name in ("a", "b", "c"):
        assert np.log2(first[name] / second[name]) > least


def test_what_a_mesh_cannot_be_used_for_is_said(plate: ps.Mesh) -> None:
    cut = plate["outlet"] & ps.HalfSpace(y <= Rational(123, 1000), coordinates=(x, y))
    ends = declare(
        ps.laplacian(u, x, y),
        plate,
        low=ps.on(cut, Eq(u, 0)),
        rest=ps.on(plate.boundary - cut, Eq(slope(u, plate), 0)),
    )
    parts = declare(
        {"steel": ps.on(plate["steel"], ps.laplacian(u, x, y) - 1), "air": ps.on(plate["air"], ps.laplacian(u, x, y))},
        plate,
        all=ps.on(plate.boundary, Eq(u, 0)),
    )
    for problem, found in ((ends, "ends within a side"), (parts, "a part of the domain")):
        with pytest.raises(ps.UnsupportedError, match=found):
            solve_reference(problem, ps.FiniteElements(), unknowns={})

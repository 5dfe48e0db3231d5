"""Makes the meshes of the problem files and of a template: `pip install gmsh scikit-fem`, then `python problems/meshes/make.py`.

They are shipped; this script is needed only to change them. It also solves the bracket by quadratic finite elements on its mesh,
refined twice, whose values at the points of the mesh are the reference of `bracket.py`, and the beam on its mesh refined once,
whose values on a grid are the reference of `beam_3d.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gmsh
import numpy as np
import skfem
from skfem.helpers import ddot, div, dot, grad, sym_grad

HERE = Path(__file__).parent
BIOT = 0.5
SIDE, ROOT, POISSON, MEAN_LOAD = 0.25, 0.05, 0.3, 1 / 64


def write(name: str, size: float, draw: Callable[[], object], *, dimension: int = 2) -> None:
    """Draw, mesh and write one file."""
    gmsh.initialize()
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.option.setNumber("Mesh.MeshSizeMax", size)
    gmsh.option.setNumber("Mesh.MeshSizeFromCurvature", 144)
    draw()
    gmsh.model.mesh.generate(dimension)
    gmsh.write(str(HERE / name))
    gmsh.finalize()


def name_curves(names: dict[str, Callable[[np.ndarray], bool]]) -> None:
    """Name each curve by the first test that its centre of mass passes."""
    groups: dict[str, list[int]] = {name: [] for name in names}
    for _, tag in gmsh.model.getEntities(1):
        centre = np.round(gmsh.model.occ.getCenterOfMass(1, tag), 9)
        groups[next(name for name, test in names.items() if test(centre))].append(tag)
    for name, tags in groups.items():
        gmsh.model.addPhysicalGroup(1, tags, name=name)


def bracket() -> None:
    """Draw an angle of two arms with a fillet between them and a hole in each."""
    occ = gmsh.model.occ
    angle, _ = occ.fuse([(2, occ.addRectangle(0, 0, 0, 0.4, 1))], [(2, occ.addRectangle(0, 0, 0, 1, 0.4))])
    corner = occ.addRectangle(0.4, 0.4, 0, 0.2, 0.2)
    fillet, _ = occ.cut([(2, corner)], [(2, occ.addDisk(0.6, 0.6, 0, 0.2, 0.2))])
    angle, _ = occ.fuse(angle, fillet)
    centres = [(0.2, 0.75), (0.75, 0.2)]
    occ.cut(angle, [(2, occ.addDisk(a, b, 0, 0.1, 0.1)) for a, b in centres])
    occ.synchronize()
    gmsh.model.addPhysicalGroup(2, [tag for _, tag in gmsh.model.getEntities(2)], name="metal")
    holes = [np.array([*c, 0]) for c in centres]
    name_curves(
        {
            "upper bolt": lambda c: np.linalg.norm(c - holes[0]) < 0.01,
            "lower bolt": lambda c: np.linalg.norm(c - holes[1]) < 0.01,
            "outside": lambda c: True,
        }
    )


def wall() -> None:
    """Draw a unit square of two layers."""
    occ = gmsh.model.occ
    occ.fragment([(2, occ.addRectangle(0, 0, 0, 1, 0.5))], [(2, occ.addRectangle(0, 0.5, 0, 1, 0.5))])
    occ.synchronize()
    for _, tag in gmsh.model.getEntities(2):
        name = "brick" if occ.getCenterOfMass(2, tag)[1] < 0.5 else "insulation"
        gmsh.model.addPhysicalGroup(2, [tag], name=name)
    name_curves(
        {
            "warm": lambda c: c[1] == 1,
            "cold": lambda c: c[1] == 0 or c[0] in (0, 1),
            "joint": lambda c: True,
        }
    )


def beam() -> None:
    """Draw a quarter of a beam of length one, a quarter high and wide, cut along its planes of symmetry y = 0 and z = 0.

    The cells are smaller at the clamped end, and those within `ROOT` of it are a group of their own.
    """
    occ, field = gmsh.model.occ, gmsh.model.mesh.field
    root, span = occ.addBox(0, 0, 0, ROOT, SIDE / 2, SIDE / 2), occ.addBox(ROOT, 0, 0, 1 - ROOT, SIDE / 2, SIDE / 2)
    occ.fragment([(3, root)], [(3, span)])
    occ.synchronize()
    for _, tag in gmsh.model.getEntities(3):
        name = "root" if occ.getCenterOfMass(3, tag)[0] < ROOT else "span"
        gmsh.model.addPhysicalGroup(3, [tag], name=name)
    groups: dict[str, list[int]] = {name: [] for name in ("clamped", "loaded", "middle", "neutral", "free")}
    for _, tag in gmsh.model.getEntities(2):
        x, y, z = np.round(occ.getCenterOfMass(2, tag), 9)
        outside = {"clamped": x == 0, "loaded": x == 1, "middle": y == 0, "neutral": z == 0}
        if x != ROOT:
            groups[next((name for name, there in outside.items() if there), "free")].append(tag)
    for name, tags in groups.items():
        gmsh.model.addPhysicalGroup(2, tags, name=name)
    field.add("MathEval", 1)
    field.setString(1, "F", "0.035 + 0.08 * x")
    field.setAsBackgroundMesh(1)


def plate() -> None:
    """Draw a plate of two by one with a bevelled corner, the mesh of the template."""
    occ = gmsh.model.occ
    corners = [occ.addPoint(*place, 0) for place in ((0, 0), (2, 0), (2, 0.5), (1, 1), (0, 1))]
    sides = [occ.addLine(start, end) for start, end in zip(corners, corners[1:] + corners[:1], strict=True)]
    occ.addPlaneSurface([occ.addCurveLoop(sides)])
    occ.synchronize()
    gmsh.model.addPhysicalGroup(2, [tag for _, tag in gmsh.model.getEntities(2)], name="metal")
    name_curves({"hot": lambda c: c[0] == 0, "air": lambda c: c[0] == 2, "insulated": lambda c: True})


def solve_bracket() -> None:
    """Write the temperature at the points of the mesh of the bracket."""
    mesh = skfem.Mesh.load(HERE / "bracket.msh")
    coarse = mesh.p.shape[1]
    for _ in range(2):  # the points of the mesh come first
        mesh = mesh.refined()
    basis = skfem.Basis(mesh, skfem.ElementTriP2())
    outside = skfem.FacetBasis(mesh, skfem.ElementTriP2(), facets=mesh.boundaries["outside"])
    matrix = skfem.BilinearForm(lambda u, v, w: dot(grad(u), grad(v))).assemble(basis)
    matrix += skfem.BilinearForm(lambda u, v, w: BIOT * u * v).assemble(outside)
    hot = basis.get_dofs(mesh.boundaries["upper bolt"])
    values = basis.zeros()
    values[hot] = 1.0
    values = skfem.solve(*skfem.condense(matrix, x=values, D=hot))
    x, y = mesh.p[:, :coarse]
    np.savez_compressed(HERE.parent / "data" / "bracket.npz", x=x, y=y, u=values[basis.nodal_dofs[0, :coarse]])


def solve_beam() -> None:
    """Write the displacement of the beam, from its mesh refined once, at the points of a grid."""
    mesh = skfem.Mesh.load(HERE / "beam.msh").refined()
    element = skfem.ElementVector(skfem.ElementTetP2())
    basis = skfem.Basis(mesh, element)
    loaded = skfem.FacetBasis(mesh, element, facets=mesh.facets_satisfying(lambda x: np.isclose(x[0], 1)))
    first, second = POISSON / ((1 + POISSON) * (1 - 2 * POISSON)), 1 / (2 * (1 + POISSON))

    @skfem.BilinearForm
    def stiffness(u, v, w):
        return first * div(u) * div(v) + 2 * second * ddot(sym_grad(u), sym_grad(v))

    matrix = stiffness.assemble(basis)
    shear = skfem.LinearForm(lambda v, w: -6 * MEAN_LOAD * (SIDE**2 / 4 - w.x[2] ** 2) / SIDE**2 * v[2])
    load = shear.assemble(loaded)
    clamped = basis.get_dofs(lambda x: np.isclose(x[0], 0))
    middle = basis.get_dofs(lambda x: np.isclose(x[1], 0)).all("u^2")
    neutral = basis.get_dofs(lambda x: np.isclose(x[2], 0)).all(["u^1", "u^2"])
    held = np.unique(np.concatenate([clamped.all(), middle, neutral]))
    values = skfem.solve(*skfem.condense(matrix, load, D=held))
    alone = skfem.Basis(mesh, skfem.ElementTetP2())
    axes = [np.linspace(0, 1, 41), np.linspace(0, SIDE / 2, 6), np.linspace(0, SIDE / 2, 6)]
    points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    centre = np.array([[1 / 2], [SIDE / 4], [SIDE / 4]])
    inside = centre + (1 - 1e-9) * (points - centre)  # points on the surface, too, are found in a cell
    fields = {}
    for k, name in enumerate("uvw"):
        own = alone.zeros()
        own[alone.nodal_dofs[0]], own[alone.edge_dofs[0]] = values[basis.nodal_dofs[k]], values[basis.edge_dofs[k]]
        fields[name] = alone.interpolator(own)(inside)
    np.savez_compressed(HERE.parent / "data" / "beam_3d.npz", **dict(zip("xyz", points, strict=True)), **fields)


if __name__ == "__main__":
    write("bracket.msh", 0.1, bracket)
    write("wall.msh", 0.12, wall)
    write("beam.msh", 1, beam, dimension=3)
    write("../../pinnsolve/templates/mesh.msh", 0.15, plate)
    solve_bracket()
    solve_beam()

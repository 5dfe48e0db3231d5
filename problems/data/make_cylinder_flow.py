"""Make the reference of cylinder_flow.py: Taylor-Hood elements on curved triangles, `pip install gmsh scikit-fem`.

Quadratic velocity and linear pressure on triangles whose edges follow the circle by quadratic maps, Newton's method from Stokes
flow. Nothing is shared with pinnsolve. The drag follows from the residual of the weak form tested with the finite element function
that is one on the cylinder and vanishes at all other nodes (Babuška and Miller, Int. J. Numer. Methods Eng. 20, 1984).

Run:   python problems/data/make_cylinder_flow.py
"""

import tempfile
from pathlib import Path

import gmsh
import numpy as np
import skfem
from scipy.sparse import bmat
from skfem.helpers import ddot, div, dot, grad, mul

LENGTH, HEIGHT, RADIUS, CENTRE = 2.2, 0.41, 0.05, (0.2, 0.2)
VISCOSITY, FASTEST, MEAN = 1e-3, 0.3, 0.2
SMALLEST, LARGEST = 0.004, 0.025
TO_COEFFICIENT = 2 / (MEAN**2 * 2 * RADIUS)
HERE = Path(__file__).resolve().parent


def triangulation() -> skfem.MeshTri2:
    """Return triangles with edges of second order, small at the cylinder."""
    gmsh.initialize()
    gmsh.option.setNumber("General.Terminal", 0)
    occ, field = gmsh.model.occ, gmsh.model.mesh.field
    channel = (2, occ.addRectangle(0, 0, 0, LENGTH, HEIGHT))
    occ.cut([channel], [(2, occ.addDisk(*CENTRE, 0, RADIUS, RADIUS))])
    occ.synchronize()
    centres = {tag: np.array(occ.getCenterOfMass(1, tag)[:2]) for _, tag in gmsh.model.getEntities(1)}
    circle = [tag for tag, centre in centres.items() if np.linalg.norm(centre - CENTRE) < RADIUS / 2]
    gmsh.model.addPhysicalGroup(2, [tag for _, tag in gmsh.model.getEntities(2)], name="fluid")
    field.add("Distance", 1)
    field.setNumbers(1, "CurvesList", circle)
    field.setNumber(1, "Sampling", 200)
    field.add("Threshold", 2)
    threshold = {"InField": 1, "SizeMin": SMALLEST, "SizeMax": LARGEST, "DistMin": 0.02, "DistMax": 0.5}
    for name, value in threshold.items():
        field.setNumber(2, name, value)
    field.setAsBackgroundMesh(2)
    for name in ("ExtendFromBoundary", "FromPoints", "FromCurvature"):
        gmsh.option.setNumber(f"Mesh.MeshSize{name}", 0)
    gmsh.model.mesh.generate(2)
    gmsh.model.mesh.setOrder(2)
    with tempfile.TemporaryDirectory() as folder:
        gmsh.write(f"{folder}/cylinder.msh")
        gmsh.finalize()
        return skfem.MeshTri2.load(f"{folder}/cylinder.msh")


@skfem.BilinearForm
def advection(u, v, w):
    """Return the derivative of (w . grad) w."""
    return dot(mul(grad(w["w"]), u) + mul(grad(u), w["w"]), v)


@skfem.LinearForm
def transport(v, w):
    """Return (w . grad) w."""
    return dot(mul(grad(w["w"]), w["w"]), v)


if __name__ == "__main__":
    mesh = triangulation()
    velocity = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementTriP2()), intorder=5)
    pressure = velocity.with_element(skfem.ElementTriP1())
    viscous = skfem.BilinearForm(lambda u, v, w: VISCOSITY * ddot(grad(u), grad(v))).assemble(velocity)
    divergence = skfem.BilinearForm(lambda u, q, w: -div(u) * q).assemble(velocity, pressure)
    x, y = velocity.doflocs
    at_cylinder = np.hypot(x - CENTRE[0], y - CENTRE[1]) < RADIUS * (1 + 1e-3)
    inflow = x < 1e-9
    held = np.flatnonzero(at_cylinder | inflow | (y < 1e-9) | (y > HEIGHT - 1e-9))
    across = np.zeros(velocity.N, dtype=bool)
    across[np.concatenate([velocity.nodal_dofs[1], velocity.facet_dofs[1]])] = True
    values = np.zeros(velocity.N + pressure.N)
    values[: velocity.N] = np.where(inflow & ~across, 4 * FASTEST * y * (HEIGHT - y) / HEIGHT**2, 0.0)

    def residual() -> np.ndarray:
        u, p = np.split(values, [velocity.N])
        forces = viscous @ u + divergence.T @ p + transport.assemble(velocity, w=velocity.interpolate(u))
        return np.concatenate([forces, divergence @ u])

    change = np.inf
    while change > 1e-12:
        slope = viscous + advection.assemble(velocity, w=velocity.interpolate(values[: velocity.N]))
        matrix = bmat([[slope, divergence.T], [divergence, None]]).tocsr()
        step = skfem.solve(*skfem.condense(matrix, -residual(), D=held))
        values += step
        change = float(np.abs(step).max())
    force = -residual()[: velocity.N]
    drag, lift = (TO_COEFFICIENT * force[at_cylinder & (across == side)].sum() for side in (False, True))
    print(f"{mesh.nelements} triangles, drag {drag:.7f}, lift {lift:.7f}")
    corners = velocity.nodal_dofs
    u, v, p = values[corners[0]], values[corners[1]], values[velocity.N + pressure.nodal_dofs[0]]
    numbers = {name: value.astype(np.float32) for name, value in (("u", u), ("v", v), ("p", p))}
    np.savez_compressed(HERE / "cylinder_flow.npz", x=x[corners[0]], y=y[corners[0]], **numbers)

"""Makes the meshes of the tests: `pip install gmsh scikit-fem`, then `python tests/meshes/make.py`.

A plate [0, 2] x [0, 1] with a square hole, of two materials that meet at x = 1, in every form that Gmsh 2.2 and 4.1 have, and from
scikit-fem; and a brick [0, 2] x [0, 1] x [0, 1] of tetrahedra and of hexahedra, of two halves.
"""

from pathlib import Path

import gmsh
import numpy as np
import skfem
from skfem.io.meshio import to_file

HERE = Path(__file__).parent
FORMS = {"2.2_text": (2.2, 0), "2.2_binary": (2.2, 1), "4.1_text": (4.1, 0), "4.1_binary": (4.1, 1)}


def plate() -> None:
    """Draw the plate with its groups."""
    model, occ = gmsh.model, gmsh.model.occ
    left = occ.addRectangle(0, 0, 0, 1, 1)
    right = occ.addRectangle(1, 0, 0, 1, 1)
    hole = occ.addRectangle(1.25, 0.25, 0, 0.5, 0.5)
    pieces, _ = occ.cut([(2, right)], [(2, hole)])
    occ.fragment([(2, left)], pieces)
    occ.synchronize()
    surfaces = {tag: occ.getCenterOfMass(2, tag)[0] for _, tag in model.getEntities(2)}
    model.addPhysicalGroup(2, [t for t, c in surfaces.items() if c < 1], name="steel")
    model.addPhysicalGroup(2, [t for t, c in surfaces.items() if c > 1], name="air")
    curves = {tag: occ.getCenterOfMass(1, tag) for _, tag in model.getEntities(1)}
    sides = {
        "inlet": lambda c: c[0] == 0,
        "outlet": lambda c: c[0] == 2,
        "hole": lambda c: 1.2 < c[0] < 1.8 and 0.2 < c[1] < 0.8,
        "walls": lambda c: c[1] in (0, 1),
        "joint": lambda c: c[0] == 1,
    }
    for name, chosen in sides.items():
        tags = [t for t, c in curves.items() if chosen(np.round(c, 9))]
        model.addPhysicalGroup(1, tags, name=name)


def write_plates() -> None:
    """Write the plate in every form of Gmsh, of triangles, of quadrilaterals, and of second order."""
    gmsh.initialize()
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.option.setNumber("Mesh.MeshSizeMax", 0.25)
    plate()
    gmsh.model.mesh.generate(2)
    for name, (version, binary) in FORMS.items():
        gmsh.option.setNumber("Mesh.MshFileVersion", version)
        gmsh.option.setNumber("Mesh.Binary", binary)
        gmsh.write(str(HERE / f"plate_{name}.msh"))
    gmsh.option.setNumber("Mesh.Binary", 0)
    gmsh.model.mesh.setOrder(2)
    gmsh.write(str(HERE / "plate_second_order.msh"))
    gmsh.model.mesh.setOrder(1)
    gmsh.model.mesh.recombine()
    gmsh.write(str(HERE / "plate_quads.msh"))
    gmsh.finalize()


def write_brick() -> None:
    """Write a brick of tetrahedra, prisms and hexahedra."""
    for name, recombine in (("tetra", False), ("prisms", False), ("hexahedra", True)):
        gmsh.initialize()
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.option.setNumber("Mesh.MeshSizeMax", 1.0)
        model, occ = gmsh.model, gmsh.model.occ
        base = [occ.addRectangle(k, 0, 0, 1, 1) for k in (0, 1)]
        if name == "tetra":
            base = [occ.addBox(k, 0, 0, 1, 1, 1) for k in (0, 1)]
            occ.fragment([(3, base[0])], [(3, base[1])])
        else:
            occ.fragment([(2, base[0])], [(2, base[1])])
            occ.synchronize()
            if recombine:
                for _, tag in model.getEntities(2):
                    model.mesh.setTransfiniteSurface(tag)
                    model.mesh.setRecombine(2, tag)
            occ.extrude(model.getEntities(2), 0, 0, 1, numElements=[1], recombine=name != "tetra")
        occ.synchronize()
        volumes = {tag: occ.getCenterOfMass(3, tag)[0] for _, tag in model.getEntities(3)}
        model.addPhysicalGroup(3, [t for t, c in volumes.items() if c < 1], name="near")
        model.addPhysicalGroup(3, [t for t, c in volumes.items() if c > 1], name="far")
        faces = {tag: occ.getCenterOfMass(2, tag)[0] for _, tag in model.getEntities(2)}
        model.addPhysicalGroup(2, [t for t, c in faces.items() if abs(c) < 1e-9], name="clamp")
        model.mesh.generate(3)
        gmsh.write(str(HERE / f"brick_{name}.msh"))
        gmsh.finalize()


def write_scikit_fem() -> None:
    """Write a square of triangles and of quadrilaterals with two groups of cells and one of sides."""
    for name, mesh in (("triangles", skfem.MeshTri().refined(2)), ("quads", skfem.MeshQuad().refined(2))):
        mesh = mesh.with_subdomains({"low": lambda x: x[1] < 0.5, "high": lambda x: x[1] > 0.5})
        mesh = mesh.with_boundaries({"left": lambda x: x[0] == 0})
        to_file(mesh, HERE / f"scikit_fem_{name}.vtu")


if __name__ == "__main__":
    write_plates()
    write_brick()
    write_scikit_fem()

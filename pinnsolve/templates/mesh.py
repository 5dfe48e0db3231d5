"""A steady equation on a part that was meshed by Gmsh. Change the four parts below to your own problem.

Look at it:  pinnsolve check FILE.py      Solve it:  pinnsolve run FILE.py      Try it first:  pinnsolve run FILE.py --quick
"""

from sympy import Eq, symbols

import pinnsolve as ps

# 1. Coordinates and fields.
x, y = symbols("x y")
u = ps.fields("u", x, y)

# 2. The mathematics. The mesh lies beside this file; any that Gmsh or meshio writes will do. Its physical groups have names:
#    `part["hot"]` is a side, `part["metal"]` a group of cells, and `part.boundary - part["hot"]` all sides but one. Two materials
#    in one equation: conductivity = part.where({"metal": 50, "glass": 1}), with the flux as a field (README, What can be declared).
part = ps.Mesh.read("mesh.msh", coordinates=(x, y))
outflow = -ps.grad(u, x, y).dot(part.normal)
problem = ps.Problem(
    domain=part,
    equations={"conduction": Eq(ps.laplacian(u, x, y), 0)},
    conditions={
        "hot": ps.on(part["hot"], Eq(u, 1)),
        "air": ps.on(part["air"], Eq(outflow, u / 2)),
        "insulated": ps.on(part["insulated"], Eq(outflow, 0)),
    },
)

# 3. The numerics: left out here, so they are chosen and printed with their reasons. To choose yourself:
# network = ps.MLP(width=32, depth=3)
# training = ps.Training(points={"conduction": 2_000}, phases=[ps.Adam(steps=300), ps.SSBroyden(steps=2_000)])

# 4. The truth to compare with: left out, so finite elements on this mesh, if they are there: pip install "pinnsolve[fem]".
# reference = ps.Observations.read("elsewhere.csv", at={x: "x", y: "y"}, values={u: "u"})

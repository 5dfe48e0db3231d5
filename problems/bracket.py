"""Heat in a bracket of metal: a hot bolt in the upper arm, and air along the outside that carries the heat away.

    u_xx + u_yy = 0                in the bracket, read from a mesh of Gmsh
    u = 1                          at the upper bolt
    n . grad u = 0                 at the lower bolt, which is of plastic
    n . grad u = -Bi u, Bi = 0.5   at the outside: convection

Lengths are relative to that of an arm, temperatures are above that of the air and relative to that of the hot bolt;
Bi = h L / k compares convection with conduction. The reference is solved by quadratic finite elements on the same mesh, refined
twice (problems/meshes/make.py).

Run:   pinnsolve run problems/bracket.py
Cost:  41 s on one CPU core; relative L2 error 1e-3 against finite elements (seed 0).
"""

from sympy import Eq, Rational, symbols

import pinnsolve as ps

x, y = symbols("x y")
u = ps.fields("u", x, y)
bracket = ps.Mesh.read("meshes/bracket.msh", coordinates=(x, y))
outflow = -ps.grad(u, x, y).dot(bracket.normal)

problem = ps.Problem(
    domain=bracket,
    equations={"conduction": Eq(ps.laplacian(u, x, y), 0)},
    conditions={
        "hot": ps.on(bracket["upper bolt"], Eq(u, 1)),
        "insulated": ps.on(bracket["lower bolt"], Eq(outflow, 0)),
        "air": ps.on(bracket["outside"], Eq(outflow, Rational(1, 2) * u)),
    },
)
network = ps.MLP(width=20, depth=3, activation="sine")
training = ps.Training(
    points={"conduction": 2_000, "hot": 200, "insulated": 200, "air": 600},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=150, resample=1)],
)
reference = ps.Observations.read("data/bracket.npz", at={x: "x", y: "y"}, values={u: "u"})

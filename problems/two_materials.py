"""Heat through a wall of two materials: brick and insulation, with a field for each and conditions where they meet.

    k (u_xx + u_yy) = 0, k = 10     in the brick, y < 1/2
    v_xx + v_yy = 0                 in the insulation, y > 1/2
    u = v,  k n . grad u = n . grad v      where they meet: value and flux are continuous, the slope jumps
    v = sin(pi x) on the warm side y = 1, u = v = 0 on the others

exactly u = a sin(pi x) sinh(pi y), v = sin(pi x) (b sinh(pi y) + c cosh(pi y)). The materials are groups of cells of a mesh, and so
are the sides.

Run:   pinnsolve run problems/two_materials.py
Cost:  10 s on one CPU core; relative L2 errors 2e-4 in the brick and 1e-5 in the insulation (seed 0).
"""

from sympy import Eq, Matrix, cosh, pi, sin, sinh, symbols

import pinnsolve as ps

x, y = symbols("x y")
u, v = ps.fields("u v", x, y)
wall = ps.Mesh.read("meshes/wall.msh", coordinates=(x, y))
k = 10

half_sinh, half_cosh = sinh(pi / 2), cosh(pi / 2)
matching = Matrix(
    [
        [half_sinh, -half_sinh, -half_cosh],  # value
        [k * half_cosh, -half_cosh, -half_sinh],  # flux
        [0, sinh(pi), cosh(pi)],  # warm side
    ]
)
a, b, c = matching.evalf().LUsolve(Matrix([0, 0, 1]))
brick = a * sin(pi * x) * sinh(pi * y)
insulation = sin(pi * x) * (b * sinh(pi * y) + c * cosh(pi * y))


def through(field, conductivity):
    """The flux of heat along the normal, out of the brick."""
    return conductivity * ps.grad(field, x, y).dot(wall.normal)


cold = wall["cold"]
problem = ps.Problem(
    domain=wall,
    equations={
        "brick": ps.on(wall["brick"], Eq(ps.laplacian(u, x, y), 0)),
        "insulation": ps.on(wall["insulation"], Eq(ps.laplacian(v, x, y), 0)),
    },
    conditions={
        "joint": ps.on(wall.interface("brick", "insulation"), Eq(u, v), Eq(through(u, k), through(v, 1))),
        "warm": ps.on(wall["warm"], Eq(v, sin(pi * x))),
        "cold brick": ps.on(cold & wall["brick"], Eq(u, 0)),
        "cold insulation": ps.on(cold & wall["insulation"], Eq(v, 0)),
    },
)
network = ps.MLP(width=16, depth=3, activation="sine")
training = ps.Training(
    points={"brick": 600, "insulation": 800, "joint": 200, "warm": 150, "cold brick": 300, "cold insulation": 200},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=50, resample=1)],
)
reference = ps.Exact({u: brick, v: insulation})

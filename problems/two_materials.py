"""Conduction through a fibre in a matrix: two materials that meet at a curve, each with a field of its own.

    k u_xx + k u_yy = 0, k = 10     in the fibre, the disk of radius 1/2
    v_xx + v_yy = 0                 in the matrix around it
    u = v,  k n . grad u = n . grad v   where they meet: value and flux are continuous, the slope jumps
    v given at the outside

exactly u = 2 x / (k + 1), v = x (1 - (k - 1) / (k + 1) / (4 r^2)) where they meet at a circle; in the mesh it is a polygon, which
costs less than 1e-3.

Run:   pinnsolve run problems/two_materials.py
Cost:  COST
"""

from sympy import Eq, Rational, symbols

import pinnsolve as ps

x, y = symbols("x y")
u, v = ps.fields("u v", x, y)
mesh = ps.Mesh.read("meshes/fibre.msh", coordinates=(x, y))
k = 10
inside = 2 * x / (k + 1)
around = x * (1 - Rational(k - 1, k + 1) / (4 * (x**2 + y**2)))


def through(field, conductivity):
    """The flux of heat along the normal, out of the fibre."""
    return conductivity * ps.grad(field, x, y).dot(mesh.normal)


problem = ps.Problem(
    domain=mesh,
    equations={
        "fibre": ps.on(mesh["fibre"], Eq(ps.laplacian(u, x, y), 0)),
        "matrix": ps.on(mesh["matrix"], Eq(ps.laplacian(v, x, y), 0)),
    },
    conditions={
        "joint": ps.on(mesh.interface("fibre", "matrix"), Eq(u, v), Eq(through(u, k), through(v, 1))),
        "outside": ps.on(mesh["outside"], Eq(v, around)),
    },
)
network = ps.MLP(width=16, depth=3, activation="sine")
training = ps.Training(
    points={"fibre": 500, "matrix": 1_500, "joint": 400, "outside": 400},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=150, resample=1)],
)
reference = ps.Exact({u: inside, v: around})

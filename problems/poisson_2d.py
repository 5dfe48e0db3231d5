"""Poisson's equation on the unit square, one bump.

    u_xx + u_yy = -2 pi^2 sin(pi x) sin(pi y)      0 < x, y < 1
    u = 0 on the boundary;   exactly u = sin(pi x) sin(pi y)

Run:   pinnsolve run problems/poisson_2d.py
Cost:  about 20 s of training on one CPU core; relative L2 error 7e-10 (median of seeds 0 to 2) against the closed form.
"""

from sympy import Eq, pi, sin, symbols

import pinnsolve as ps

x, y = symbols("x y")
u = ps.fields("u", x, y)
square = ps.Box({x: (0, 1), y: (0, 1)})

problem = ps.Problem(
    domain=square,
    equations={"poisson": Eq(ps.laplacian(u, x, y), -2 * pi**2 * sin(pi * x) * sin(pi * y))},
    conditions={"boundary": ps.on(square.boundary, Eq(u, 0))},
)
network = ps.MLP(width=20, depth=2)
training = ps.Training(
    points={"poisson": 1_000}, phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=500, resample=1)]
)
reference = ps.Exact({u: sin(pi * x) * sin(pi * y)})

"""Helmholtz' equation with a manufactured source, one wave across and four up.

    u_xx + u_yy + u = (1 - 17 pi^2) sin(pi x) sin(4 pi y)      -1 < x, y < 1
    u = 0 on the boundary;   exactly u = sin(pi x) sin(4 pi y)

Run:   pinnsolve run problems/helmholtz.py
Cost:  about 60 s of training on one CPU core; relative L2 error 6.0e-8 (median of seeds 0 to 2) against the closed form.
"""

from sympy import Eq, pi, sin, symbols

import pinnsolve as ps

x, y = symbols("x y")
u = ps.fields("u", x, y)
square = ps.Box({x: (-1, 1), y: (-1, 1)})
solution = sin(pi * x) * sin(4 * pi * y)

problem = ps.Problem(
    domain=square,
    equations={"helmholtz": Eq(ps.laplacian(u, x, y) + u, (1 - 17 * pi**2) * solution)},
    conditions={"boundary": ps.on(square.boundary, Eq(u, 0))},
)
network = ps.MLP(width=16, depth=3, activation="sine")
training = ps.Training(
    points={"helmholtz": 2_000}, phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=600, resample=1)]
)
reference = ps.Exact({u: solution})

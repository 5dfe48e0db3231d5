"""Poisson's equation in five dimensions, with a sum of waves as its solution.

    -lap u = pi^2 sum_i cos(pi x_i)       0 < x_i < 1,  i = 1 ... 5
    u given on the ten faces;   exactly u = sum_i cos(pi x_i)

Run:   pinnsolve run problems/poisson_5d.py
Cost:  about 300 s of training on one CPU core; relative L2 error 7.5e-6 after 60 s, 5.4e-7 after 300 s (medians of seeds 0 to
       2) against the closed form.
"""

from sympy import Eq, cos, pi, symbols

import pinnsolve as ps

x = symbols("x1:6")
u = ps.fields("u", *x)
cube = ps.Box(dict.fromkeys(x, (0, 1)))
waves = sum(cos(pi * c) for c in x)

problem = ps.Problem(
    domain=cube,
    equations={"poisson": Eq(-ps.laplacian(u, *x), pi**2 * waves)},
    conditions={"boundary": ps.on(cube.boundary, Eq(u, waves))},
    hard=False,  # what interpolates the values on the faces would contain the solution
)
network = ps.MLP(width=20, depth=3, activation="sine")
training = ps.Training(
    points={"poisson": 2_000, "boundary": 1_000},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=1_200, resample=1)],
    weights={"boundary": 100},
)
reference = ps.Exact({u: waves})

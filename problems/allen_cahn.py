"""Allen and Cahn's equation: two phases grow out of a smooth hump and meet in thin walls.

    u_t = 0.0001 u_xx - 5 u^3 + 5 u       -1 < x < 1,  0 < t < 1
    u(x, 0) = x^2 cos(pi x),  periodic in x

Run:   pinnsolve run problems/allen_cahn.py
Cost:  about 250 s of training on one CPU core; relative L2 error 1.0e-4 (median of seeds 0 to 2) against Fourier series, which
       take 3 s.
"""

from sympy import Eq, Rational, cos, pi, symbols

import pinnsolve as ps

x, t = symbols("x t")
u = ps.fields("u", x, t)

problem = ps.Problem(
    domain=ps.Box({x: (-1, 1), t: (0, 1)}),
    equations={"allen_cahn": Eq(u.diff(t), Rational(1, 10_000) * u.diff(x, 2) - 5 * u**3 + 5 * u)},
    conditions={
        "initial": Eq(u(x, 0), x**2 * cos(pi * x)),
        "value": Eq(u(-1, t), u(1, t)),
        "slope": Eq(u.diff(x).subs(x, -1), u.diff(x).subs(x, 1)),
    },
)
network = ps.MLP(width=20, depth=3, harmonics=2)
training = ps.Training(
    points={"allen_cahn": 1_000, "initial": 200},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=400, resample=1)],
    weights={"initial": 100},
    windows={t: 6},
)
reference = ps.Spectral(modes=2_048)

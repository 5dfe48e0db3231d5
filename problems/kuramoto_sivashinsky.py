"""Kuramoto and Sivashinsky's equation: long waves grow, short ones decay, and between them the solution turns chaotic.

    u_t + 100/16 u u_x + 100/16^2 u_xx + 100/16^4 u_xxxx = 0       0 < x < 2 pi,  0 < t < 0.4
    u(x, 0) = cos(x) (1 + sin(x)),  periodic in x

Run:   pinnsolve run problems/kuramoto_sivashinsky.py
Cost:  about 300 s of training on one CPU core; relative L2 error 4.8e-4 (median of seeds 0 to 2) against Fourier series, which
       take 3 s.
"""

from sympy import Eq, Rational, cos, pi, sin, symbols

import pinnsolve as ps

x, t = symbols("x t")
u = ps.fields("u", x, t)
steepening, growth, damping = Rational(100, 16), Rational(100, 16**2), Rational(100, 16**4)

problem = ps.Problem(
    domain=ps.Box({x: (0, 2 * pi), t: (0, Rational(2, 5))}),
    equations={
        "kuramoto_sivashinsky": Eq(
            u.diff(t) + steepening * u * u.diff(x) + growth * u.diff(x, 2) + damping * u.diff(x, 4), 0
        )
    },
    conditions={
        "initial": Eq(u(x, 0), cos(x) * (1 + sin(x))),
        "value": Eq(u(0, t), u(2 * pi, t)),
        "slope": Eq(u.diff(x).subs(x, 0), u.diff(x).subs(x, 2 * pi)),
        "curvature": Eq(u.diff(x, 2).subs(x, 0), u.diff(x, 2).subs(x, 2 * pi)),
        "third_slope": Eq(u.diff(x, 3).subs(x, 0), u.diff(x, 3).subs(x, 2 * pi)),
    },
)
network = ps.MLP(width=20, depth=3, harmonics=4)
training = ps.Training(
    points={"kuramoto_sivashinsky": 1_000},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=400, resample=1)],
    windows={t: 12},
)
reference = ps.Spectral(modes=512)

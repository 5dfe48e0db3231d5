"""Korteweg and de Vries' equation: a cosine steepens and breaks up into solitons.

    u_t + u u_x + 0.022^2 u_xxx = 0       -1 < x < 1,  0 < t < 1
    u(x, 0) = cos(pi x),  periodic in x   (Zabusky and Kruskal, Physical Review Letters 15, 1965)

Run:   pinnsolve run problems/kdv.py
Cost:  about 300 s of training on one CPU core; relative L2 error 3.7e-5 (median of seeds 0 to 2) against Fourier series, which
       take 3 s.
"""

from sympy import Eq, Rational, cos, pi, symbols

import pinnsolve as ps

x, t = symbols("x t")
u = ps.fields("u", x, t)
dispersion = Rational(22, 1_000) ** 2

problem = ps.Problem(
    domain=ps.Box({x: (-1, 1), t: (0, 1)}),
    equations={"kdv": Eq(u.diff(t) + u * u.diff(x) + dispersion * u.diff(x, 3), 0)},
    conditions={
        "initial": Eq(u(x, 0), cos(pi * x)),
        "value": Eq(u(-1, t), u(1, t)),
        "slope": Eq(u.diff(x).subs(x, -1), u.diff(x).subs(x, 1)),
        "curvature": Eq(u.diff(x, 2).subs(x, -1), u.diff(x, 2).subs(x, 1)),
    },
)
network = ps.MLP(width=20, depth=3, harmonics=4)
training = ps.Training(
    points={"kdv": 1_000},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=500, resample=1)],
    windows={t: 8},
)
reference = ps.Spectral(modes=512, steps=8_192)

"""A vibrating string: one mode over two periods.

    u_tt = u_xx                           0 < x < 1,  0 < t < 4
    u(x, 0) = sin(pi x),  u_t(x, 0) = 0,  u(0, t) = u(1, t) = 0;   exactly u = sin(pi x) cos(pi t)

Run:   pinnsolve run problems/wave.py
Cost:  about 60 s of training on one CPU core; relative L2 error 6.5e-6 after 30 s (seed 0) against the closed form.
"""

from sympy import Eq, cos, pi, sin, symbols

import pinnsolve as ps

x, t = symbols("x t")
u = ps.fields("u", x, t)

problem = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 4)}),
    equations={"wave": Eq(u.diff(t, 2), u.diff(x, 2))},
    conditions={
        "shape": Eq(u(x, 0), sin(pi * x)),
        "at_rest": Eq(u.diff(t).subs(t, 0), 0),
        "left": Eq(u(0, t), 0),
        "right": Eq(u(1, t), 0),
    },
)
network = ps.MLP(width=20, depth=3, activation="sine")
training = ps.Training(
    points={"wave": 2_000}, phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=500, resample=1)]
)
reference = ps.Exact({u: sin(pi * x) * cos(pi * t)})

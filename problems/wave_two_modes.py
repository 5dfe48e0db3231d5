"""Wave equation: a string swings in its first and its fifth mode at once.

    u_tt = 4 u_xx       0 < x < 1,  0 < t < 1
    u(x, 0) = sin(pi x) + sin(5 pi x) / 2,  u_t(x, 0) = 0,  u(0, t) = u(1, t) = 0
    exactly u = sin(pi x) cos(2 pi t) + sin(5 pi x) cos(10 pi t) / 2

Run:   pinnsolve run problems/wave_two_modes.py
Cost:  about 300 s of training on one CPU core; relative L2 error 6.2e-5 after 120 s (median of seeds 0 to 2) against the
       closed form.
"""

from sympy import Eq, cos, pi, sin, symbols

import pinnsolve as ps

x, t = symbols("x t")
u = ps.fields("u", x, t)

problem = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 1)}),
    equations={"wave": Eq(u.diff(t, 2), 4 * u.diff(x, 2))},
    conditions={
        "left": Eq(u(0, t), 0),
        "right": Eq(u(1, t), 0),
        "initial": Eq(u(x, 0), sin(pi * x) + sin(5 * pi * x) / 2),
        "at_rest": Eq(u.diff(t).subs(t, 0), 0),
    },
)
network = ps.MLP(width=20, depth=3)
training = ps.Training(
    points={"wave": 2_000}, phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=1_200, resample=1)]
)
reference = ps.Exact({u: sin(pi * x) * cos(2 * pi * t) + sin(5 * pi * x) * cos(10 * pi * t) / 2})

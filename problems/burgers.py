"""Viscous Burgers equation: a sine wave steepens into a thin layer at x = 0.

    u_t + u u_x = (0.01 / pi) u_xx        -1 < x < 1,  0 < t < 1
    u(x, 0) = -sin(pi x),   u(-1, t) = u(1, t) = 0

Run:   pinnsolve run problems/burgers.py
Cost:  300 to 370 s of training on one CPU core, relative L2 error 1.0e-6 (seed 0); with --max-time 200 2.3e-5 after 60 s and
       2.0e-6 after 200 s (medians of seeds 0 to 2), against finite differences on 4,096 cells, whose own error is 2e-7.
"""

from sympy import Eq, pi, sin, symbols

import pinnsolve as ps

x, t = symbols("x t")
u = ps.fields("u", x, t)

problem = ps.Problem(
    domain=ps.Box({x: (-1, 1), t: (0, 1)}),
    equations={"burgers": Eq(u.diff(t) + u * u.diff(x), 0.01 / pi * u.diff(x, 2))},
    conditions={
        "initial": Eq(u(x, 0), -sin(pi * x)),
        "left": Eq(u(-1, t), 0),
        "right": Eq(u(1, t), 0),
    },
)
training = ps.Training(phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=1_000, resample=1)])
reference = ps.FiniteDifferences(cells={x: 4_096})

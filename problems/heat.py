"""Heat conduction in a bar whose ends are held at zero: one mode decays.

    u_t = 0.1 u_xx                        0 < x < 1,  0 < t < 1
    u(x, 0) = sin(pi x),   u(0, t) = u(1, t) = 0;   exactly u = exp(-0.1 pi^2 t) sin(pi x)

Run:   pinnsolve run problems/heat.py
Cost:  about 15 s of training on one CPU core; relative L2 error 5.7e-9 (seed 0) against the closed form.
"""

from sympy import Eq, Rational, exp, pi, sin, symbols

import pinnsolve as ps

x, t = symbols("x t")
u = ps.fields("u", x, t)
diffusivity = Rational(1, 10)

problem = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 1)}),
    equations={"heat": Eq(u.diff(t), diffusivity * u.diff(x, 2))},
    conditions={
        "initial": Eq(u(x, 0), sin(pi * x)),
        "left": Eq(u(0, t), 0),
        "right": Eq(u(1, t), 0),
    },
)
network = ps.MLP(width=20, depth=3)
training = ps.Training(
    points={"heat": 1_000}, phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=300, resample=1)]
)
reference = ps.Exact({u: exp(-diffusivity * pi**2 * t) * sin(pi * x)})

"""Nonlinear Schroedinger equation: two solitons on top of each other breathe.

    i h_t + h_xx / 2 + |h|^2 h = 0       -15 < x < 15,  0 < t < pi / 2
    h(x, 0) = 2 sech(x),  periodic in x
    on the whole line h = 4 e^(i t / 2) (cosh 3x + 3 e^(4 i t) cosh x) / (cosh 4x + 4 cosh 2x + 3 cos 4t), which is below 2e-6 at
    the ends (Satsuma and Yajima, Progress of Theoretical Physics Supplement 55, 1974, p. 284)

Run:   pinnsolve run problems/schroedinger.py
Cost:  about 200 s of training on one CPU core; relative L2 error 1.3e-5 (median of seeds 0 to 2) against the closed form.
"""

from sympy import Abs, Eq, I, cos, cosh, exp, pi, sech, symbols

import pinnsolve as ps

x, t = symbols("x t", real=True)
h = ps.fields("h", x, t, complex=True)

problem = ps.Problem(
    domain=ps.Box({x: (-15, 15), t: (0, pi / 2)}),
    equations={"schroedinger": Eq(I * h.diff(t) + h.diff(x, 2) / 2 + Abs(h) ** 2 * h, 0)},
    conditions={
        "initial": Eq(h(x, 0), 2 * sech(x)),
        "value": Eq(h(-15, t), h(15, t)),
        "slope": Eq(h.diff(x).subs(x, -15), h.diff(x).subs(x, 15)),
    },
)
network = ps.MLP(width=20, depth=3, harmonics=2)
training = ps.Training(
    points={"schroedinger": 1_000},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=400, resample=1)],
    windows={t: 4},
)
breather = (cosh(3 * x) + 3 * exp(4 * I * t) * cosh(x)) / (cosh(4 * x) + 4 * cosh(2 * x) + 3 * cos(4 * t))
reference = ps.Exact({h: 4 * exp(I * t / 2) * breather})

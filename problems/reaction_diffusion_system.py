"""Autocatalysis in a closed tube: a front of product b eats its way into the reactant a.

    a_t = 0.01 a_xx - 4 a b^2,   b_t = 0.005 b_xx + 4 a b^2        0 < x < 1,  0 < t < 2
    a(x, 0) = 1 - b(x, 0),   b(x, 0) = exp(-20 x^2) / 2,   a_x = b_x = 0 at both ends

There is no closed form; the reference is the finite-difference solution of this file.

Run:   pinnsolve run problems/reaction_diffusion_system.py
Cost:  about 40 s of training on 2 CPU cores; relative L2 errors of a, b 3.5e-6, 7.2e-6 (medians of seeds 0 to 2)
       against finite differences, whose own error is 2e-9 and which take 1 s.
"""

from sympy import Eq, Rational, exp, symbols

import pinnsolve as ps

x, t = symbols("x t")
a, b = ps.fields("a b", x, t)
tube = ps.Box({x: (0, 1), t: (0, 2)})
seed = exp(-20 * x**2) / 2
reaction = 4 * a * b**2

problem = ps.Problem(
    domain=tube,
    equations={
        "reactant": Eq(a.diff(t), Rational(1, 100) * a.diff(x, 2) - reaction),
        "product": Eq(b.diff(t), Rational(1, 200) * b.diff(x, 2) + reaction),
    },
    conditions={
        "initial": [Eq(a(x, 0), 1 - seed), Eq(b(x, 0), seed)],
        "closed_left": [Eq(a.diff(x).subs(x, 0), 0), Eq(b.diff(x).subs(x, 0), 0)],
        "closed_right": [Eq(a.diff(x).subs(x, 1), 0), Eq(b.diff(x).subs(x, 1), 0)],
    },
    hard=False,  # an ansatz would carry the narrow seed through all times
)
network = ps.MLP(width=24, depth=3)
training = ps.Training(
    points={"reactant": 2_000, "product": 2_000, "initial": 200, "closed_left": 100, "closed_right": 100},
    phases=[ps.Adam(steps=500, lr=5e-3), ps.SSBroyden(steps=2_000, resample=300)],
)
reference = ps.FiniteDifferences()

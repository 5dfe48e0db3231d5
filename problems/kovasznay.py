"""Kovasznay flow: the laminar wake behind a grid at Reynolds number 40, a closed solution of the Navier-Stokes equations.

    (v . grad) v = -grad p + lap v / 40,   div v = 0       -0.5 < x < 1,  -0.5 < y < 1.5
    v = (1 - e^(lx) cos 2 pi y,  l/(2 pi) e^(lx) sin 2 pi y),  p = (1 - e^(2lx)) / 2,  l = 20 - sqrt(400 + 4 pi^2)

Velocity is given on the boundary; pressure, which enters only by its gradient, is not, and is compared without its mean.

Run:   pinnsolve run problems/kovasznay.py
Cost:  about 60 s of training on one CPU core; largest relative L2 error of a field 8.3e-8 (median of seeds 0 to 2) against
       the closed form.
"""

from sympy import Eq, Matrix, Rational, cos, exp, pi, sin, sqrt, symbols

import pinnsolve as ps

x, y = symbols("x y")
u, v, p = ps.fields("u v p", x, y)
box = ps.Box({x: (Rational(-1, 2), 1), y: (Rational(-1, 2), Rational(3, 2))})
velocity, reynolds = Matrix([u, v]), 40

decay = Rational(reynolds, 2) - sqrt(Rational(reynolds, 2) ** 2 + 4 * pi**2)
flow = Matrix([1 - exp(decay * x) * cos(2 * pi * y), decay / (2 * pi) * exp(decay * x) * sin(2 * pi * y)])
pressure = (1 - exp(2 * decay * x)) / 2

problem = ps.Problem(
    domain=box,
    equations={
        "momentum": ps.advect(velocity, velocity, x, y) + ps.grad(p, x, y) - ps.laplacian(velocity, x, y) / reynolds,
        "continuity": ps.div(velocity, x, y),
    },
    conditions={"boundary": ps.on(box.boundary, Eq(velocity, flow))},
)
network = ps.MLP(width=16, depth=3, activation="sine")
training = ps.Training(
    points={"momentum": 1_000, "continuity": 1_000},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=500, resample=1)],
)
reference = ps.Exact({u: flow[0], v: flow[1], p: pressure})

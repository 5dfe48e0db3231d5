"""Lid-driven cavity: a lid that slides along turns the fluid in a closed box at Reynolds number 100.

    (v . grad) v = -grad p + lap v / 100,   div v = 0       0 < x < 1,  0 < y < 1
    v = (4 x (1 - x), 0) at y = 1,  v = 0 on the other walls

The slopes of the velocity disagree at the lid's ends, so that the pressure grows there like the logarithm of the distance. It
enters only by its gradient, and is compared without its mean.

Run:   pinnsolve run problems/cavity.py
Cost:  about 200 s of training on one CPU core; largest relative L2 error, that of the pressure, 1.3e-2 after 60 s (median
       of seeds 0 to 2) against a stream function, which takes 4 s.
"""

from sympy import Eq, Matrix, symbols

import pinnsolve as ps

x, y = symbols("x y")
u, v, p = ps.fields("u v p", x, y)
velocity, reynolds = Matrix([u, v]), 100
still = Matrix([0, 0])

problem = ps.Problem(
    domain=ps.Box({x: (0, 1), y: (0, 1)}),
    equations={
        "momentum": ps.advect(velocity, velocity, x, y) + ps.grad(p, x, y) - ps.laplacian(velocity, x, y) / reynolds,
        "continuity": ps.div(velocity, x, y),
    },
    conditions={
        "lid": Eq(velocity.subs(y, 1), Matrix([4 * x * (1 - x), 0])),
        "left": Eq(velocity.subs(x, 0), still),
        "right": Eq(velocity.subs(x, 1), still),
        "bottom": Eq(velocity.subs(y, 0), still),
    },
)
network = ps.MLP(width=20, depth=3)
training = ps.Training(
    points={"momentum": 2_000, "continuity": 2_000},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=800, resample=1)],
)
reference = ps.StreamFunction(cells=96)

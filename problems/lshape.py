"""Laplace's equation on an L-shaped plate: the slope is infinite at the re-entrant corner.

    u_xx + u_yy = 0      on three quarters of -1 < x, y < 1, without x > 0 > y
    u = 0 on the two sides of the notch, the values of the solution on the others
    exactly u = r^(2/3) sin(2 theta / 3), theta from the side of the notch along x

Points are redrawn where the residual is large, that is towards the corner, where u grows like r^(2/3) and the error is greatest.

Run:   pinnsolve run problems/lshape.py
Cost:  75 to 170 s of training on one busy CPU core; relative L2 error 5e-4 (median of seeds 0 to 2; 7e-4 at worst) against the
       closed form, greatest error 1e-2 to 2e-2 at the corner.
"""

from sympy import Eq, Rational, atan2, pi, sin, symbols

import pinnsolve as ps

x, y = symbols("x y")
u = ps.fields("u", x, y)
plate = ps.Polygon([(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1)], coordinates=(x, y))
notch = plate.side(0) + plate.side(5)

theta = atan2(-x - y, y - x) + 3 * pi / 4  # the jump of atan2 lies in the notch
solution = (x**2 + y**2) ** Rational(1, 3) * sin(2 * theta / 3)

problem = ps.Problem(
    domain=plate,
    equations={"laplace": Eq(ps.laplacian(u, x, y), 0)},
    conditions={"notch": ps.on(notch, Eq(u, 0)), "outside": ps.on(plate.boundary - notch, Eq(u, solution))},
)
network = ps.MLP(width=20, depth=3)
training = ps.Training(
    points={"laplace": 2_000, "notch": 600, "outside": 400},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=300, resample=1)],
)
reference = ps.Exact({u: solution})

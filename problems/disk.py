"""A membrane on a disk under its own weight, held at the rim: Poisson's equation where no box fits.

    u_xx + u_yy = -1      x^2 + y^2 < 1
    u = 0 at the rim;   exactly u = (1 - x^2 - y^2) / 4

The rim is met exactly: the network is put into the factor (1 - x^2 - y^2) by itself.

Run:   pinnsolve run problems/disk.py
Cost:  about 10 s of training on one CPU core; relative L2 error 3e-9 (median of seeds 0 to 2) against the closed form.
"""

from sympy import Eq, symbols

import pinnsolve as ps

x, y = symbols("x y")
u = ps.fields("u", x, y)
disk = ps.Disk({x: 0, y: 0}, radius=1)

problem = ps.Problem(
    domain=disk,
    equations={"membrane": Eq(ps.laplacian(u, x, y), -1)},
    conditions={"rim": ps.on(disk.boundary, Eq(u, 0))},
)
network = ps.MLP(width=16, depth=2)
training = ps.Training(
    points={"membrane": 1_000}, phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=100, resample=1)]
)
reference = ps.Exact({u: (1 - x**2 - y**2) / 4})

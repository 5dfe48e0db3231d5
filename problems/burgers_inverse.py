"""Burgers' equation from measurements: how strong are advection and viscosity?

    u_t + lambda u u_x = nu u_xx          -1 < x < 1,  0 < t < 1,   lambda = ?,  nu = ?
    2,000 values of u, scattered in space and time, without noise

The measurements are in data/burgers_observations.csv, made by data/make_burgers_observations.py from the Cole-Hopf solution
with lambda = 1 and nu = 0.01 / pi. No initial or boundary condition is given: the measurements stand in for them.

Run:   pinnsolve run problems/burgers_inverse.py
Cost:  about 60 s of training on one CPU core; relative L2 error of u 8.2e-6 (median of seeds 0 to 2) against the Cole-Hopf
       solution; lambda within 6e-6 and nu within 1.3e-5 (seed 0). Network and training are those that are chosen by default.
"""

from sympy import Eq, symbols

import pinnsolve as ps

x, t = symbols("x t")
u = ps.fields("u", x, t)
advection = symbols("lambda")
viscosity = symbols("nu", positive=True)

problem = ps.Problem(
    domain=ps.Box({x: (-1, 1), t: (0, 1)}),
    equations={"burgers": Eq(u.diff(t) + advection * u * u.diff(x), viscosity * u.diff(x, 2))},
    unknowns={advection: 0.5, viscosity: 0.02},
    data={
        "sensors": ps.Observations.read("data/burgers_observations.csv", at={x: "x", t: "t"}, values={u: "u"}),
    },
)
reference = ps.Observations.read("data/burgers_field.npz", at={x: "x", t: "t"}, values={u: "u"})

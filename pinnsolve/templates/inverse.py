"""An unknown coefficient from measurements. Change the four parts below to your own problem.

Look at it:  pinnsolve check FILE.py      Solve it:  pinnsolve run FILE.py      Try it first:  pinnsolve run FILE.py --quick
"""

import numpy as np
from sympy import Eq, pi, sin, symbols

import pinnsolve as ps

# 1. Coordinates, fields, and the unknown: declared positive, it is trained as its logarithm and cannot change sign.
x, t = symbols("x t")
u = ps.fields("u", x, t)
diffusivity = symbols("diffusivity", positive=True)

# Measurements. From a table with a header line, its path relative to this file:
#    ps.Observations.read("sensors.csv", at={x: "x", t: "t"}, values={u: "temperature"}, noise=0.01)
generator = np.random.default_rng(0)
xs, ts = generator.uniform(0, 1, 200), generator.uniform(0, 1, 200)
us = np.exp(-0.1 * np.pi**2 * ts) * np.sin(np.pi * xs) + generator.normal(scale=0.01, size=200)

# 2. The mathematics, with a first guess for the unknown. Measurements may also stand in for conditions.
problem = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 1)}),
    equations={"heat": Eq(u.diff(t), diffusivity * u.diff(x, 2))},
    conditions={
        "initial": Eq(u(x, 0), sin(pi * x)),
        "left": Eq(u(0, t), 0),
        "right": Eq(u(1, t), 0),
    },
    unknowns={diffusivity: 0.5},
    data={"sensors": ps.Observations(at={x: xs, t: ts}, values={u: us}, noise=0.01)},
)

# 3. The numerics: left out here, so they are chosen and printed with their reasons.

# 4. The truth to compare with: finite differences at the coefficient that was found.
reference = ps.FiniteDifferences()

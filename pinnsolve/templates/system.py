"""A system of two fields that react with each other and spread. Change the four parts below to your own problem.

Look at it:  pinnsolve check FILE.py      Solve it:  pinnsolve run FILE.py      Try it first:  pinnsolve run FILE.py --quick
"""

from sympy import Eq, cos, pi, symbols

import pinnsolve as ps

# 1. Coordinates and fields, several at once. A field may depend on fewer coordinates than others.
x, t = symbols("x t")
u, v = ps.fields("u v", x, t)

# 2. The mathematics: an equation for every field. A list under one name is several terms, walls[0], walls[1], ...;
#    vectors can be written as matrices with ps.grad, ps.div, ps.curl, ps.laplacian and ps.advect.
problem = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 2)}),
    equations={
        "prey": Eq(u.diff(t), 0.05 * u.diff(x, 2) + u * (1 - v)),
        "predators": Eq(v.diff(t), 0.02 * v.diff(x, 2) + v * (u - 1)),
    },
    conditions={
        "initial": [Eq(u(x, 0), 1 + cos(pi * x) / 2), Eq(v(x, 0), 1)],
        "left": [Eq(u.diff(x).subs(x, 0), 0), Eq(v.diff(x).subs(x, 0), 0)],
        "right": [Eq(u.diff(x).subs(x, 1), 0), Eq(v.diff(x).subs(x, 1), 0)],
    },
)

# 3. The numerics, all of it optional: leave the name out, and it is chosen and printed with its reasons.
training = ps.Training(points={"initial": 200})  # a name stands for all its members

# 4. The truth to compare with: finite differences of the same declaration, ps.Exact({u: ..., v: ...}), or observations.
reference = ps.FiniteDifferences()

"""An evolution equation in one space coordinate. Change the four parts below to your own problem.

Look at it:  pinnsolve check FILE.py      Solve it:  pinnsolve run FILE.py      Try it first:  pinnsolve run FILE.py --quick
"""

from sympy import Eq, pi, sin, symbols

import pinnsolve as ps

# 1. Coordinates and fields. A field is applied to its coordinates, and again wherever you speak of a place: u(x, 0).
x, t = symbols("x t")
u = ps.fields("u", x, t)

# 2. The mathematics: where it lives, what holds inside, what holds at the edges. Every term has a name.
#    Periodic ends:   Eq(u(-1, t), u(1, t)) and Eq(u.diff(x).subs(x, -1), u.diff(x).subs(x, 1))
#    A given slope:   Eq(u.diff(x).subs(x, 1), 0)
problem = ps.Problem(
    domain=ps.Box({x: (-1, 1), t: (0, 1)}),
    equations={"burgers": Eq(u.diff(t) + u * u.diff(x), 0.05 * u.diff(x, 2))},
    conditions={
        "initial": Eq(u(x, 0), -sin(pi * x)),
        "left": Eq(u(-1, t), 0),
        "right": Eq(u(1, t), 0),
    },
)

# 3. The numerics, all of it optional: leave these names out, and they are chosen and printed with their reasons.
network = ps.MLP(width=24, depth=3)
training = ps.Training(
    points={"burgers": 2_000, "initial": 200, "left": 100, "right": 100},
    phases=[ps.Adam(steps=300, lr=5e-3), ps.SSBroyden(steps=1_500, resample=300)],
)

# 4. The truth to compare with: finite differences of the same declaration, ps.Exact({u: ...}), or stored observations.
reference = ps.FiniteDifferences()

"""An ordinary differential equation with initial values. Change the four parts below to your own problem.

Look at it:  pinnsolve check FILE.py      Solve it:  pinnsolve run FILE.py      Try it first:  pinnsolve run FILE.py --quick
"""

from sympy import Eq, symbols

import pinnsolve as ps

# 1. The coordinate and the fields. Several fields: x, v = ps.fields("x v", t)
t = symbols("t")
q = ps.fields("q", t)

# 2. The mathematics: one condition for each order of derivative, at either end or inside.
problem = ps.Problem(
    domain=ps.Interval(t, 0, 5),
    equations={"spring": Eq(q.diff(t, 2) + 0.3 * q.diff(t) + 4 * q, 0)},
    conditions={"displaced": Eq(q(0), 1), "at_rest": Eq(q.diff(t).subs(t, 0), 0)},
)

# 3. The numerics: left out here, so they are chosen and printed with their reasons.

# 4. The truth to compare with.
reference = ps.FiniteDifferences()

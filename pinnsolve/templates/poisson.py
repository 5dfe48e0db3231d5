"""A steady equation on a rectangle. Change the four parts below to your own problem.

Look at it:  pinnsolve check FILE.py      Solve it:  pinnsolve run FILE.py      Try it first:  pinnsolve run FILE.py --quick
"""

from sympy import Eq, exp, symbols

import pinnsolve as ps

# 1. Coordinates and fields.
x, y = symbols("x y")
u = ps.fields("u", x, y)

# 2. The mathematics. `plate.face(x, 0)` is one side, `plate.boundary` all of them; boundaries add and subtract.
#    The outward normal is `plate.normal`: heat that leaves by convection is
#    ps.on(plate.face(x, 1), Eq(-(ps.grad(u, x, y).dot(plate.normal)), 2 * u))
plate = ps.Box({x: (0, 2), y: (0, 1)})
cold = plate.face(x, 0) + plate.face(x, 2)
problem = ps.Problem(
    domain=plate,
    equations={"conduction": Eq(ps.laplacian(u, x, y), -10 * exp(-10 * ((x - 1) ** 2 + (y - 0.5) ** 2)))},
    conditions={
        "cold": ps.on(cold, Eq(u, 0)),
        "insulated": ps.on(plate.boundary - cold, Eq(ps.grad(u, x, y).dot(plate.normal), 0)),
    },
)

# 3. The numerics: left out here, so they are chosen and printed with their reasons. To choose yourself:
# network = ps.MLP(width=32, depth=3)
# training = ps.Training(points={"conduction": 2_000}, phases=[ps.Adam(steps=300), ps.SSBroyden(steps=2_000)])

# 4. The truth to compare with.
reference = ps.FiniteDifferences()

"""Poisson's equation in a hundred dimensions: a paraboloid from its Laplacian and its values on two hundred faces.

    lap u = 200       0 < x_i < 1,  i = 1 ... 100
    u = |x|^2 on the faces;   exactly u = |x|^2 everywhere

The Laplacian is carried forward as one sum: memory grows linearly with the dimension.

Run:   pinnsolve run problems/poisson_100d.py
Cost:  about 600 s of training on one CPU core; relative L2 error 1.5e-2 after 120 s, 1.3e-2 after 600 s (seed 0) against the
       closed form.
"""

from sympy import Eq, symbols

import pinnsolve as ps

x = symbols("x1:101")
u = ps.fields("u", *x)
cube = ps.Box(dict.fromkeys(x, (0, 1)))
squares = sum(c**2 for c in x)

problem = ps.Problem(
    domain=cube,
    equations={"poisson": Eq(ps.laplacian(u, *x), 200)},
    conditions={"boundary": ps.on(cube.boundary, Eq(u, squares))},
    hard=False,  # what interpolates the values on the faces would contain the solution
)
network = ps.MLP(width=128, depth=1, activation="softplus")
training = ps.Training(
    points={"poisson": 300, "boundary": 600},
    phases=[ps.SPRING(steps=1_000)],
    weights={"poisson": 1e-4, "boundary": 1},
    sampling="uniform",
    resampling="uniform",
)
reference = ps.Exact({u: squares})

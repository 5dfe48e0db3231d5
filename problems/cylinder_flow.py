"""Steady flow past a cylinder in a channel at Reynolds number 20: the benchmark 2D-1 of Schäfer and Turek (1996).

    (v . grad) v = -grad p + nu lap v,   div v = 0        in a channel of 2.2 by 0.41 around a cylinder of diameter 0.1
    v = (1.2 y (0.41 - y) / 0.41^2, 0) at the inlet,  v = 0 at the walls and the cylinder
    nu u_x = p,  v_x = 0 at the outlet

The mean velocity is 0.2, nu = 1e-3. Wanted are the coefficients of drag and lift, and the pressure in front of the cylinder
beyond that behind it; known to eight digits and more (Nabh 1998). Velocities are met exactly where they are given, by an ansatz;
half of the points lie near the cylinder. The reference is solved by Taylor-Hood elements (data/make_cylinder_flow.py).

Run:   pinnsolve run problems/cylinder_flow.py
Cost:  176 s of processor time on one CPU core for the training; drag 5.582, 0.05 % off, pressure drop 0.15 % off, lift 0.0123 in
       place of 0.0106, off by 0.03 % of the drag; relative L2 errors of u, v, p 1.1e-3, 2.8e-3, 3.6e-3 against finite elements
       (seed 0).
"""

from sympy import Eq, Matrix, Rational, eye, symbols

import pinnsolve as ps

x, y = symbols("x y")
u, v, p = ps.fields("u v p", x, y)
length, height, diameter = Rational(11, 5), Rational(41, 100), Rational(1, 10)
nu, mean = Rational(1, 1000), Rational(1, 5)
velocity, still = Matrix([u, v]), Matrix([0, 0])

channel = ps.Box({x: (0, length), y: (0, height)})
cylinder = ps.Disk({x: Rational(1, 5), y: Rational(1, 5)}, radius=diameter / 2)
slopes = velocity.jacobian(Matrix([x, y]))
force = (nu * (slopes + slopes.T) - p * eye(2)) * cylinder.normal * 2 / (mean**2 * diameter)

# Functions that vanish where velocities are given, of size one elsewhere, and a flow that has the given values.
inflow = 6 * mean * y * (height - y) / height**2
beyond = ((x - Rational(1, 5)) ** 2 + (y - Rational(1, 5)) ** 2) / (diameter / 2) ** 2 - 1
flow = inflow * beyond / (beyond + (x / diameter) ** 2)
within = 4 * y * (height - y) / height**2 * beyond / (beyond + 1) * x / (x + diameter)

problem = ps.Problem(
    domain=channel - cylinder,
    equations={
        "momentum": ps.advect(velocity, velocity, x, y) + ps.grad(p, x, y) - nu * ps.laplacian(velocity, x, y),
        "continuity": ps.div(velocity, x, y),
    },
    conditions={
        "inlet": ps.on(channel.face(x, 0), Eq(velocity, Matrix([inflow, 0]))),
        "walls": ps.on(channel.face(y, 0) + channel.face(y, height), Eq(velocity, still)),
        "cylinder": ps.on(cylinder.boundary, Eq(velocity, still)),
        "outlet": ps.on(channel.face(x, length), Eq(nu * u.diff(x), p), Eq(v.diff(x), 0)),
    },
    ansatz={u: flow + within * u, v: within * v},
    quantities={
        "drag": ps.Quantity(force[0], over=cylinder.boundary, known=5.57953523384),
        "lift": ps.Quantity(force[1], over=cylinder.boundary, known=0.010618948146),
        "pressure drop": ps.Quantity(p(0.15, 0.2) - p(0.25, 0.2), known=0.11752016697),
    },
)
network = ps.MLP(width=20, depth=3)
training = ps.Training(
    points={"momentum": 1_500, "continuity": 1_500, "outlet": 100},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=230, resample=1)],
    sampling=ps.Graded(thickness=0.1, towards=cylinder.boundary),
)
reference = ps.Observations.read("data/cylinder_flow.npz", at={x: "x", y: "y"}, values={u: "u", v: "v", p: "p"})

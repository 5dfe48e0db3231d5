"""A cantilever in space: a beam that is clamped at one end and bent by a traction on the other, linear elasticity on tetrahedra.

    div s = 0,   s = lambda tr(e) I + 2 mu e,   e = (grad d + grad d^T) / 2       d = (u, v, w), in a beam of 1 by 1/4 by 1/4
    d = 0 at the clamped end,   s n = (0, 0, -1/64) at the loaded end,   s n = 0 at the free faces

Lengths are relative to the beam's, stresses to Young's modulus; Poisson's ratio is 0.3. The load is that under which the theory of
thin beams gives a deflection of one; since all is linear, displacements and loads may be scaled together. At the edges of the
clamped end stresses are singular. The clamped end is met exactly by an ansatz; the force that it bears is compared with the load.
The reference is solved by quadratic finite elements on the same mesh, refined once (meshes/make.py).

Run:   pinnsolve run problems/beam_3d.py
Cost:  TODO
"""

from sympy import Eq, Matrix, Rational, eye, symbols, zeros

import pinnsolve as ps

x, y, z = symbols("x y z")
u, v, w = ps.fields("u v w", x, y, z)
beam = ps.Mesh.read("meshes/beam.msh", coordinates=(x, y, z))
side, load, ratio = Rational(1, 4), Rational(1, 64), Rational(3, 10)

displacement = Matrix([u, v, w])
slopes = displacement.jacobian(Matrix([x, y, z]))
strain = (slopes + slopes.T) / 2
stress = (ratio / (1 - 2 * ratio) * strain.trace() * eye(3) + strain) / (1 + ratio)
traction = stress * beam.normal

problem = ps.Problem(
    domain=beam,
    equations={"balance": [ps.div(stress[k, :], x, y, z) for k in range(3)]},
    conditions={
        "clamped": ps.on(beam["clamped"], Eq(displacement, zeros(3, 1))),
        "loaded": ps.on(beam["loaded"], Eq(traction, Matrix([0, 0, -load]))),
        "free": ps.on(beam["free"], Eq(traction, zeros(3, 1))),
    },
    ansatz={u: x * side * u, v: x * side**2 * v, w: x * w},  # of the sizes that the theory of thin beams gives
    quantities={"force of the clamp": ps.Quantity(traction[2], over=beam["clamped"], known=load * side**2)},
)
network = ps.MLP(width=20, depth=3)
training = ps.Training(
    points={"balance": 1_000, "loaded": 100, "free": 600},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=150, resample=1)],
    scaling=False,
)
reference = ps.Observations.read(
    "data/beam_3d.npz", at={x: "x", y: "y", z: "z"}, values={u: "u", v: "v", w: "w"}
)

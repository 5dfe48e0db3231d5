"""A cantilever in space: a beam that is clamped at one end and bent by a shear traction on the other, elasticity on tetrahedra.

    div s = 0,   s = lambda tr(e) I + 2 mu e,   e = (grad d + grad d^T) / 2       in a beam of 1 by h by h, h = 1/4
    d = 0 at the clamped end,   s n = (0, 0, -6 q z (h - z) / h^2) at the loaded end,   s n = 0 at the free faces
    v = 0,  s_xy = s_yz = 0 in the middle, y = 0: half of the beam is computed, on a mesh of Gmsh

d = (u, v, w) is the displacement and s the stress, six fields of their own, so that there are first derivatives alone and a small
residual means a small error of the energy (Prager and Synge 1947): with second derivatives of d in place of s, and the tractions
in the loss, a beam that hardly bends is left with next to no residual. Lengths are relative to the beam's, stresses to Young's
modulus; Poisson's ratio r is 0.3, h = 1/4. Under the mean load q = 1/64 thin beams bend by one; as all is linear, displacements and
loads may be scaled together. All conditions are met exactly by an ansatz. Stresses are singular at the edges of the clamped end.
The reference is solved by quadratic finite elements on the same mesh, refined once (meshes/make.py).

Run:   pinnsolve run problems/beam_3d.py
Cost:  96 s of processor time on one CPU core; relative L2 errors of u and w 2.3e-3 and 2.2e-3 against finite elements; of v, a
       hundredth of w, 9e-2, near the clamped end; force of the clamp 0.26 % off (seed 0).
"""

from sympy import Eq, Matrix, Rational, eye, symbols, zeros

import pinnsolve as ps

x, y, z = symbols("x y z")
u, v, w = ps.fields("u v w", x, y, z)
xx, yy, zz, xy, xz, yz = ps.fields("xx yy zz xy xz yz", x, y, z)
half = ps.Mesh.read("meshes/beam.msh", coordinates=(x, y, z))
side, mean, ratio = Rational(1, 4), Rational(1, 64), Rational(3, 10)

displacement = Matrix([u, v, w])
stress = Matrix([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
slopes = displacement.jacobian(Matrix([x, y, z]))
strain = (slopes + slopes.T) / 2
misfit = stress - (ratio / (1 - 2 * ratio) * strain.trace() * eye(3) + strain) / (1 + ratio)
traction = stress * half.normal
load = 6 * mean * z * (side - z) / side**2

# The sizes are those of the theory of thin beams; what vanishes at two faces has the size one between them.
across_y, across_z = 16 * y * (side / 2 - y) / side**2, 4 * z * (side - z) / side**2
ansatz = {u: x * side * u, v: x * y * side * v, w: x * w}
ansatz |= {xx: (1 - x) * 6 * mean / side * xx, yy: (1 - 2 * y / side) * mean * yy, zz: across_z * mean * zz}
ansatz |= {
    xy: across_y * (1 - x) * mean * xy,
    xz: across_z * (1 - x) * mean * xz - load,
    yz: across_y * across_z * mean * yz,
}

problem = ps.Problem(
    domain=half,
    equations={
        "balance": [ps.div(stress[k, :], x, y, z) for k in range(3)],
        "material": [misfit[0, 0], misfit[1, 1], misfit[2, 2], misfit[0, 1], misfit[0, 2], misfit[1, 2]],
    },
    conditions={
        "clamped": ps.on(half["clamped"], Eq(displacement, zeros(3, 1))),
        "loaded": ps.on(half["loaded"], Eq(traction, Matrix([0, 0, -load]))),
        "middle": ps.on(half["middle"], Eq(v, 0), Eq(xy, 0), Eq(yz, 0)),
        "free": ps.on(half["free"], Eq(traction, zeros(3, 1))),
    },
    ansatz=ansatz,
    quantities={"force of the clamp": ps.Quantity(traction[2], over=half["clamped"], known=mean * side**2 / 2)},
)
network = ps.MLP(width=20, depth=3)
training = ps.Training(
    points={"balance": 800, "material": 800},
    phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=100, resample=1)],
    weights={f"balance[{k}]": 100 for k in range(3)},
    resampling="uniform",
    scaling=False,
)
reference = ps.Observations.read("data/beam_3d.npz", at={x: "x", y: "y", z: "z"}, values={u: "u", v: "v", w: "w"})

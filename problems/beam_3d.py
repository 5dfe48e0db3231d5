"""A cantilever in space: a beam that is clamped at one end and bent by a shear traction on the other, elasticity on tetrahedra.

    div s = 0,   s = lambda tr(e) I + 2 mu e,   e = (grad d + grad d^T) / 2       in a beam of 1 by h by h, h = 1/4
    d = 0 at the clamped end,   s n = (0, 0, -6 q (h^2/4 - z^2) / h^2) at the loaded end,   s n = 0 at the free faces
    v = 0,  s_xy = s_yz = 0 in the middle, y = 0;   u = v = 0,  s_zz = 0 on the neutral plane, z = 0:
    by symmetry a quarter of the beam is computed, on a mesh of Gmsh

d = (u, v, w) is the displacement and s the stress, six fields of their own, so that there are first derivatives alone and a small
residual means a small error of the energy (Prager and Synge 1947): with second derivatives of d in place of s, and the tractions
in the loss, a beam that hardly bends is left with next to no residual. The theorem holds for stresses in balance, and for the
misfit of the material counted by its energy: only then does an error of the stress leave the displacement alone. So the balance
weighs much, and the misfit is split into change of shape and of volume. Stresses are singular at the edges of the clamped end,
whose twentieth part of the beam, the root, has two thirds of the points, with the weight of its volume.

Lengths are relative to the beam's, stresses to Young's modulus; Poisson's ratio r is 0.3. Under the mean load q = 1/64 thin beams
bend by one; as all is linear, displacements and loads may be scaled together. All conditions are met exactly by an ansatz. The
reference is solved by quadratic finite elements on the same mesh, refined once (meshes/make.py).

Run:   pinnsolve run problems/beam_3d.py
Cost:  270 s on one CPU core, pictures included; relative L2 errors of u, v, w 3.8e-4, 1.0e-2, 2.4e-4 against finite elements,
       of v, a hundredth of w, near the clamped end; force of the clamp 0.004 % off (seed 0).
"""

from sympy import Eq, Matrix, Rational, eye, sqrt, symbols, zeros

import pinnsolve as ps

x, y, z = symbols("x y z")
u, v, w = ps.fields("u v w", x, y, z)
xx, yy, zz, xy, xz, yz = ps.fields("xx yy zz xy xz yz", x, y, z)
quarter = ps.Mesh.read("meshes/beam.msh", coordinates=(x, y, z))
side, mean, ratio = Rational(1, 4), Rational(1, 64), Rational(3, 10)

displacement = Matrix([u, v, w])
stress = Matrix([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
slopes = displacement.jacobian(Matrix([x, y, z]))
strain = (slopes + slopes.T) / 2
misfit = stress - (ratio / (1 - 2 * ratio) * strain.trace() * eye(3) + strain) / (1 + ratio)
volume = misfit.trace() / 3 * eye(3)
misfit = sqrt(1 + ratio) * (misfit - volume) + sqrt(1 - 2 * ratio) * volume  # its square is twice the energy
balance = [ps.div(stress[k, :], x, y, z) for k in range(3)]
material = [misfit[k, k] for k in range(3)] + [sqrt(2) * misfit[j, k] for j, k in ((0, 1), (0, 2), (1, 2))]
traction = stress * quarter.normal
load = 6 * mean * (side**2 / 4 - z**2) / side**2

# The sizes are those of the theory of thin beams, of the stress at the clamp beside it; what vanishes at a free face rises to one
# within a distance that shrinks towards the clamp.
bending, layer = 6 * mean / side, side / 4
near = layer / (x + layer)
rise, size = 1 - near, mean + bending * near**2
off_side, off_top = (d / (d + layer * rise + side / 100) for d in (side / 2 - y, side / 2 - z))
ansatz = {u: rise * z * u, v: rise * y * z * v, w: x * w}
ansatz |= {xx: (1 - x) * bending * xx, yy: off_side * size * yy, zz: off_top * z / side * size * zz}
ansatz |= {
    xy: off_side * (1 - x) * y / side * size * xy,
    xz: off_top * (1 - x) * size * xz - load,
    yz: off_side * off_top * y / side * size * yz,
}

problem = ps.Problem(
    domain=quarter,
    equations={
        "balance": ps.on(quarter["span"], *balance),
        "material": ps.on(quarter["span"], *material),
        "balance at the root": ps.on(quarter["root"], *balance),
        "material at the root": ps.on(quarter["root"], *material),
    },
    conditions={
        "clamped": ps.on(quarter["clamped"], Eq(displacement, zeros(3, 1))),
        "loaded": ps.on(quarter["loaded"], Eq(traction, Matrix([0, 0, -load]))),
        "middle": ps.on(quarter["middle"], Eq(v, 0), Eq(xy, 0), Eq(yz, 0)),
        "neutral": ps.on(quarter["neutral"], Eq(u, 0), Eq(v, 0), Eq(zz, 0)),
        "free": ps.on(quarter["free"], Eq(traction, zeros(3, 1))),
    },
    ansatz=ansatz,
    quantities={"force of the clamp": ps.Quantity(traction[2], over=quarter["clamped"], known=mean * side**2 / 4)},
)
network = ps.MLP(width=24, depth=3)
weights = {f"balance[{k}]": 950 for k in range(3)} | {f"balance at the root[{k}]": 50 for k in range(3)}
weights |= {f"material[{k}]": 0.95 for k in range(6)} | {f"material at the root[{k}]": 0.05 for k in range(6)}
training = ps.Training(
    points={"balance": 300, "material": 300, "balance at the root": 600, "material at the root": 600},
    phases=[ps.Adam(steps=100, lr=5e-3), ps.LevenbergMarquardt(steps=210, resample=1)],
    weights=weights,
    resampling="uniform",
    scaling=False,
)
reference = ps.Observations.read("data/beam_3d.npz", at={x: "x", y: "y", z: "z"}, values={u: "u", v: "v", w: "w"})

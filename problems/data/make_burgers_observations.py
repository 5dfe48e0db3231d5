"""Make the measurements of burgers_inverse.py from the Cole-Hopf solution: 2,000 scattered values, and a grid to judge by.

Run:   python problems/data/make_burgers_observations.py
"""

from pathlib import Path

import numpy as np

from pinnsolve.reference.cole_hopf import cole_hopf

VISCOSITY = 0.01 / np.pi
FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    generator = np.random.default_rng(2024)
    x, t = generator.uniform(-1, 1, 2_000), generator.uniform(0, 1, 2_000)
    u = cole_hopf(x, t, viscosity=VISCOSITY)
    header = "# Burgers' equation, u_t + u u_x = (0.01/pi) u_xx, from -sin(pi x): Cole-Hopf solution at scattered points\nx,t,u"
    np.savetxt(
        FOLDER / "burgers_observations.csv", np.stack([x, t, u], axis=1), "%.12g", ",", header=header, comments=""
    )
    grid = np.meshgrid(np.linspace(-1, 1, 201), np.linspace(0, 1, 41), indexing="ij")
    xs, ts = (axis.ravel() for axis in grid)
    np.savez_compressed(FOLDER / "burgers_field.npz", x=xs, t=ts, u=cole_hopf(xs, ts, viscosity=VISCOSITY))

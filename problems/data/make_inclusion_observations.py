"""Make the measurements of inclusion.py by finite differences: fluxes through the boundary for four excitations, and the shape.

On 400 by 400 cells, u_xx + u_yy = 40 s u with s the share of a cell's control volume that lies in the inclusion, by the five-point
formula; fluxes by one-sided differences of second order. Every flux carries noise of 1 % of the root mean square of all.

Run:   python problems/data/make_inclusion_observations.py
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import diags, identity, kron
from scipy.sparse.linalg import splu

CELLS, SENSORS, ABSORPTION, NOISE = 400, 40, 40.0, 0.01
FOLDER = Path(__file__).resolve().parent
EXCITATIONS: tuple[Callable[..., NDArray[np.float64]], ...] = (
    lambda x, y: np.ones_like(x),
    lambda x, y: x,
    lambda x, y: y,
    lambda x, y: 2 * x * y,
)


def inside(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points lie in the inclusion, a pear: the radius from (0.58, 0.45) depends on the angle."""
    dx, dy = x - 0.58, y - 0.45
    angle = np.arctan2(dy, dx)
    return np.hypot(dx, dy) < 0.2 * (1 + 0.3 * np.cos(angle - 2.2) + 0.1 * np.cos(2 * angle - 1))


def shares(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each control volume in the inclusion, from 8 by 8 points in each."""
    offsets = (np.arange(8) + 0.5) / 8 / CELLS - 0.5 / CELLS
    total = np.zeros((len(grid), len(grid)))
    for dx in offsets:
        for dy in offsets:
            total += inside(grid[:, None] + dx, grid[None, :] + dy)
    return total / 64


def fluxes(
    u: NDArray[np.float64], grid: NDArray[np.float64], places: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return u_x on the sides x = 0 and 1, and u_y on y = 0 and 1, at places along each."""
    h = 1 / CELLS
    sides = {"left": u, "right": u[::-1], "bottom": u.T, "top": u.T[::-1]}
    found = {}
    for name, v in sides.items():
        inward = (-3 * v[0] + 4 * v[1] - v[2]) / (2 * h)
        found[name] = np.interp(places, grid, inward if name in ("left", "bottom") else -inward)
    return found


if __name__ == "__main__":
    grid = np.linspace(0, 1, CELLS + 1)
    inner = CELLS - 1
    second = diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(inner, inner)) * CELLS**2
    laplacian = kron(second, identity(inner)) + kron(identity(inner), second)
    matrix = splu((laplacian - diags(ABSORPTION * shares(grid)[1:-1, 1:-1].ravel())).tocsc())
    places = (np.arange(SENSORS) + 0.5) / SENSORS
    columns: dict[str, list[NDArray[np.float64]]] = {"left": [], "right": [], "bottom": [], "top": []}
    x, y = np.meshgrid(grid, grid, indexing="ij")
    for excitation in EXCITATIONS:
        u = excitation(x, y)
        right = np.zeros((inner, inner))
        right[0] -= u[0, 1:-1] * CELLS**2
        right[-1] -= u[-1, 1:-1] * CELLS**2
        right[:, 0] -= u[1:-1, 0] * CELLS**2
        right[:, -1] -= u[1:-1, -1] * CELLS**2
        u[1:-1, 1:-1] = matrix.solve(right.ravel()).reshape(inner, inner)
        for name, flux in fluxes(u, grid, places).items():
            columns[name].append(flux)
    generator = np.random.default_rng(2024)
    size = np.sqrt(np.mean(np.square(list(columns.values()))))
    for name, flux_of in columns.items():
        noisy = [flux + NOISE * size * generator.normal(size=SENSORS) for flux in flux_of]
        header = f"# Fluxes through the side {name}, noise {NOISE * size:.4g}; made by make_inclusion_observations.py\ns,u,v,w,z"
        table = np.stack([places, *noisy], axis=1)
        np.savetxt(FOLDER / f"inclusion_{name}.csv", table, "%.8g", ",", header=header, comments="")
    print(f"noise {NOISE * size:.5g}")
    xs, ys = (axis.ravel() for axis in np.meshgrid(*[(np.arange(100) + 0.5) / 100] * 2, indexing="ij"))
    np.savez_compressed(FOLDER / "inclusion_shape.npz", x=xs, y=ys, inside=inside(xs, ys).astype(float))

"""Plane flow between four walls by Galerkin's method: polynomials for the stream function, and the corners' singular parts apart.

With u = psi_y, v = -psi_x and z = lap psi, the product of the momentum equations with the velocity (phi_y, -phi_x), integrated over
the rectangle, is free of the pressure: for every phi that vanishes on the walls with its slopes

    int nu z lap phi + k z (psi_y phi_x - psi_x phi_y) = int f_1 phi_y - f_2 phi_x.

psi is the sum of three parts: the singular parts at the corners, which leave nothing of the first term; polynomials, cubic from
wall to wall, with what is left of the walls' values and slopes; and the unknown part, Shen's combinations of Legendre polynomials
in x and y. Newton's steps are solved by GMRES, after multiplication by the inverse of the first term, creeping flow, which falls
into four blocks by parity.

The pressure less the singular parts' own is h - k (u^2 + v^2) / 2, with h the polynomial whose gradient is nearest to
(k z psi_x + nu z_y + f_1, k z psi_y - nu z_x + f_2), z in the terms with nu without its singular part.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.sparse.linalg import LinearOperator, gmres

from pinnsolve.reference.corners import Corner, total
from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.legendre import Range
from pinnsolve.reference.newton import UnresolvedError
from pinnsolve.reference.plane_flow import PlaneFlow
from pinnsolve.reference.reading import REMEDY
from pinnsolve.reference.rosenbrock import OutOfTimeError

_STEPS = 20
_CONVERGED = 1e-10
"""A step that changes the velocity by this part of the largest is the last: the next would be its square, or what GMRES leaves."""

_LEFT, _KRYLOV = 1e-4, 300
"""Part of a step that GMRES may leave, and its most iterations."""

_FREE_STEPS = 3
"""Newton's steps may grow at first, no longer."""

_SMALLEST = 1e-2
"""Part of the inertia that is added at once, at least."""

_ROUNDING = 1e-9
"""Jumps at a corner below this, relative to the largest coefficient on a wall, are rounding."""


@dataclass(frozen=True)
class Motion:
    """A flow.

    Args:
        inertia: k.
        viscosity: nu.
        ranges: Of x and y.
        inner: The coefficients of Shen's combinations.
        outer: The Legendre coefficients of the polynomials from wall to wall.
        head: Those of h.
        corners: The singular parts.
    """

    inertia: float
    viscosity: float
    ranges: tuple[Range, Range]
    inner: Array
    outer: Array
    head: Array
    corners: tuple[Corner, ...]

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Return u, v and p at places (points,); p is NaN at a corner with a singular part."""
        (x0, x1), (y0, y1) = self._at(Range.table, x, y)
        (s0, s1), (t0, t1) = self._at(Range.clamped, x, y)
        apart = total(self.corners, x, y)
        u = apart.slope_y + _sum(x0, self.outer, y1) + _sum(s0, self.inner, t1)
        v = -apart.slope_x - _sum(x1, self.outer, y0) - _sum(s1, self.inner, t0)
        return u, v, _sum(x0, self.head, y0) + self.viscosity * apart.pressure - self.inertia * (u**2 + v**2) / 2

    def _at(self, table: Callable[[Range, Array, int], Array], x: Array, y: Array) -> list[tuple[Array, Array]]:
        return [(table(r, at, 0), table(r, at, 1)) for r, at in zip(self.ranges, (x, y), strict=True)]


@dataclass(frozen=True)
class Galerkin:
    """The equations of a flow for polynomials of a degree.

    Args:
        flow: What is solved.
        degree: Of the stream function in x and in y.
    """

    flow: PlaneFlow
    degree: int

    @cached_property
    def ranges(self) -> tuple[Range, Range]:
        """The ranges of x and y."""
        x, y = (Range(low, high, self.degree) for low, high in self.flow.bounds)
        return x, y

    @cached_property
    def mesh(self) -> tuple[Array, Array]:
        """Gauss' nodes."""
        x, y = np.meshgrid(*(r.gauss[0] for r in self.ranges), indexing="ij")
        return x, y

    @cached_property
    def walls(self) -> tuple[tuple[Corner, ...], Array]:
        """The singular parts, and the Legendre coefficients of a stream function with what they leave on the walls."""
        x, y = self.ranges
        across, along = _wall_data(self.flow, x, y)
        given, again = across @ y.ends.T, x.ends @ along.T  # at the corners: psi, psi_y; psi_x, psi_xy
        scale = max(np.abs(across).max(), np.abs(along).max())
        corners = tuple(
            Corner((at_x, at_y), (1 - i, 1 - j), float(jump))
            for i, at_x in ((0, x.low), (2, x.high))
            for j, at_y in ((0, y.low), (2, y.high))
            if abs(jump := given[i + 1, j + 1] - again[i + 1, j + 1]) > _ROUNDING * scale
        )
        for corner in corners:
            for side in (0, 1):
                at_x, at_y = (np.full_like(r.gauss[0], (r.low, r.high)[side]) for r in (x, y))
                west, south = (at_x, y.gauss[0]), (x.gauss[0], at_y)
                across[2 * side] -= y.project(corner.stream(*west))
                across[2 * side + 1] -= y.project(corner(*west).slope_x)
                along[2 * side] -= x.project(corner.stream(*south))
                along[2 * side + 1] -= x.project(corner(*south).slope_y)
        common = (across @ y.ends.T + x.ends @ along.T) / 2
        return corners, x.cubics @ across + along.T @ y.cubics.T - x.cubics @ common @ y.cubics.T

    @cached_property
    def fixed(self) -> tuple[Array, Array, Array]:
        """psi_x, psi_y and lap psi at Gauss' nodes of the parts that the walls determine."""
        apart = total(self.walls[0], *self.mesh)
        slope_x, slope_y, laplacian = self._slopes(self.walls[1], [r.tables for r in self.ranges])
        return apart.slope_x + slope_x, apart.slope_y + slope_y, apart.laplacian + laplacian

    @cached_property
    def creeping(self) -> Array:
        """The coefficients of the flow without inertia."""
        first, second = (f(*self.mesh) for f in self.flow.force)
        laplacian = self.flow.viscosity * self._slopes(self.walls[1], [r.tables for r in self.ranges])[2]
        forced = self._project(first, (0, 1)) - self._project(second, (1, 0))
        return self._invert(forced - self._project(laplacian, (2, 0)) - self._project(laplacian, (0, 2)))

    def solve(self, start: Motion | None, *, deadline: float) -> Motion:
        """Return the flow, by Newton's method from a start, or by raising the inertia from creeping flow.

        Raises:
            UnresolvedError: No convergence.
            OutOfTimeError: The deadline came first.
        """
        if start is not None:
            guess = np.zeros_like(self.creeping)
            guess[: start.inner.shape[0], : start.inner.shape[1]] = start.inner
            found = self._newton(guess, self.flow.inertia, deadline)
            if found is not None:
                return self._motion(found)
        state, reached, step = self.creeping, 0.0, 1.0
        while reached < 1:
            target = min(1.0, reached + step)
            found = self._newton(state, target * self.flow.inertia, deadline)
            if found is not None:
                state, reached, step = found, target, 2 * step
            elif step / 4 < _SMALLEST:
                nothing = f"no stream-function reference: Newton's method does not converge at degree {self.degree}"
                raise UnresolvedError("equations", nothing, f"give ps.StreamFunction(cells=...) more, or {REMEDY}")
            else:
                step /= 4
        return self._motion(state)

    def _newton(self, inner: Array, inertia: float, deadline: float) -> Array | None:
        """Return a root near a start, None when the steps do not shrink to nothing."""
        before = np.inf
        for count in range(_STEPS):
            slope_x, slope_y, laplacian = at = self._flow(inner)
            right = self.creeping - inner - inertia * self._invert(self._transport(laplacian, slope_x, slope_y))
            step = self._step(right, at, inertia, deadline)
            if step is None:
                return None
            inner = inner + step
            along, up, _ = self._slopes(step, [r.clamped_tables for r in self.ranges])
            size = float(np.hypot(along, up).max())
            if size <= _CONVERGED * float(np.hypot(slope_x, slope_y).max()):
                return inner
            if not np.isfinite(size) or (count >= _FREE_STEPS and size > before):
                return None
            before = size
        return None

    def _step(self, right: Array, at: tuple[Array, Array, Array], inertia: float, deadline: float) -> Array | None:
        """Return the solution of Newton's linear equations where the flow has given slopes and Laplacian."""
        (slope_x, slope_y, laplacian), tables = at, [r.clamped_tables for r in self.ranges]

        def product(flat: Array) -> Array:
            if clock.monotonic() > deadline:
                raise OutOfTimeError("the time limit came before the flow converged")
            along, up, turning = self._slopes(flat.reshape(right.shape), tables)
            rise = self._transport(turning, slope_x, slope_y) + self._transport(laplacian, along, up)
            return np.asarray(flat + inertia * self._invert(rise).ravel())

        matrix = LinearOperator((right.size, right.size), matvec=product, dtype=np.float64)
        flat, failed = gmres(matrix, right.ravel(), rtol=_LEFT, restart=_KRYLOV, maxiter=1)
        return None if failed else np.asarray(flat.reshape(right.shape))

    def _motion(self, inner: Array) -> Motion:
        inertia, viscosity = self.flow.inertia, self.flow.viscosity
        (x, y), outer = self.ranges, self.walls[1]
        (p, q), clamped = [r.tables for r in self.ranges], [r.clamped_tables for r in self.ranges]
        slope_x, slope_y, laplacian = self._flow(inner)
        first, second = (f(*self.mesh) for f in self.flow.force)
        first += inertia * laplacian * slope_x
        second += inertia * laplacian * slope_y
        for coefficients, (s, t) in ((inner, clamped), (outer, (p, q))):
            first += viscosity * (s[2] @ coefficients @ t[1].T + s[0] @ coefficients @ t[3].T)
            second -= viscosity * (s[3] @ coefficients @ t[0].T + s[1] @ coefficients @ t[2].T)
        weights = np.outer(x.gauss[1], y.gauss[1])
        right = p[1].T @ (weights * first) @ q[0] + p[0].T @ (weights * second) @ q[1]
        pairs = [eigh((t[1].T * r.gauss[1]) @ t[1], (t[0].T * r.gauss[1]) @ t[0]) for r, t in ((x, p), (y, q))]
        (rates_x, modes_x), (rates_y, modes_y) = pairs
        rates = rates_x[:, None] + rates_y
        rates[0, 0] = np.inf  # the constant
        head = modes_x @ (modes_x.T @ right @ modes_y / rates) @ modes_y.T
        return Motion(inertia, viscosity, self.ranges, inner, outer, head, self.walls[0])

    def _flow(self, inner: Array) -> tuple[Array, Array, Array]:
        """Return psi_x, psi_y and lap psi of all parts at Gauss' nodes."""
        slope_x, slope_y, laplacian = self._slopes(inner, [r.clamped_tables for r in self.ranges])
        return slope_x + self.fixed[0], slope_y + self.fixed[1], laplacian + self.fixed[2]

    def _slopes(self, coefficients: Array, tables: list[tuple[Array, ...]]) -> tuple[Array, Array, Array]:
        """Return psi_x, psi_y and lap psi at Gauss' nodes."""
        x, y = tables
        right = [coefficients @ table.T for table in y[:3]]
        return x[1] @ right[0], x[0] @ right[1], x[2] @ right[0] + x[0] @ right[2]

    def _project(self, values: Array, orders: tuple[int, int]) -> Array:
        """Return the integrals of values at Gauss' nodes times a derivative of each combination."""
        (x, y), (i, j) = self.ranges, orders
        return np.asarray((x.clamped_tables[i].T * x.gauss[1]) @ values @ (y.gauss[1][:, None] * y.clamped_tables[j]))

    def _transport(self, laplacian: Array, slope_x: Array, slope_y: Array) -> Array:
        """Return the integrals of z (psi_y phi_x - psi_x phi_y)."""
        return self._project(laplacian * slope_y, (1, 0)) - self._project(laplacian * slope_x, (0, 1))

    @cached_property
    def _blocks(self) -> list[tuple[int, int, tuple[Array, bool]]]:
        """The factors of the first term, by the parity of the combinations in x and y."""
        products = []
        for r in self.ranges:
            flat, _, bent, _ = r.clamped_tables
            products.append([(a.T * r.gauss[1]) @ b for a, b in ((flat, flat), (flat, bent), (bent, bent))])
        result = []
        for i in (0, 1):
            for j in (0, 1):
                (mass_x, mixed_x, bending_x), (mass_y, mixed_y, bending_y) = (
                    [matrix[parity::2, parity::2] for matrix in own]
                    for parity, own in zip((i, j), products, strict=True)
                )
                matrix = np.kron(bending_x, mass_y)
                matrix += 2 * np.kron(mixed_x, mixed_y)
                matrix += np.kron(mass_x, bending_y)
                result.append((i, j, cho_factor(self.flow.viscosity * matrix, overwrite_a=True, check_finite=False)))
        return result

    def _invert(self, right: Array) -> Array:
        """Return the coefficients for which the first term has given values."""
        result = np.empty_like(right)
        for i, j, factors in self._blocks:
            part = right[i::2, j::2]
            result[i::2, j::2] = cho_solve(factors, part.ravel(), check_finite=False).reshape(part.shape)
        return result


def _sum(left: Array, coefficients: Array, right: Array) -> Array:
    return np.asarray(np.einsum("pi,pi->p", left @ coefficients, right))


def _wall_data(flow: PlaneFlow, x: Range, y: Range) -> tuple[Array, Array]:
    """Return psi and its normal derivative on the walls, low ones first, across x and across y, as polynomials along them."""
    west, east, south, north = (flow.walls[axis, side] for axis in (0, 1) for side in (0, 1))
    rises = [y.integral(wall.normal(y.gauss[0])) for wall in (west, east)]
    falls = [-x.integral(wall.normal(x.gauss[0])) for wall in (south, north)]
    rises[1][0] += x.ends[2] @ falls[0]
    falls[1][0] += y.ends[2] @ rises[0]
    across = [rises[0], -y.project(west.tangential(y.gauss[0])), rises[1], -y.project(east.tangential(y.gauss[0]))]
    along = [falls[0], x.project(south.tangential(x.gauss[0])), falls[1], x.project(north.tangential(x.gauss[0]))]
    return np.stack(across), np.stack(along)

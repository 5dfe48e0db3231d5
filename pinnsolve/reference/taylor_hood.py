"""Taylor-Hood elements: a pressure is linear where velocities are quadratic, as one of their own order would not be determined.

A linear function is the quadratic one whose values in the middles of edges are the means of those at their ends. With E the matrix
from the unknowns to values at all nodes, the system is E' F(E U) = 0 (Taylor and Hood, Computers and Fluids 1, 1973).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pinnsolve.domains.images import Array
from pinnsolve.reference.assembly import Assembly
from pinnsolve.reference.elements import Elements
from pinnsolve.reference.triangulation import Numbers


@dataclass(frozen=True)
class TaylorHood:
    """The rows of quadratic elements for unknowns of which those of one field are its values at corners.

    Args:
        rows: Those of quadratic elements for all fields.
        spread: E (fields times nodes, unknowns).
        kept: Which of the values at nodes are unknowns.
    """

    rows: Assembly
    spread: sparse.csr_array
    kept: Numbers

    def gathered(self, values: Array) -> Array:
        """Return the unknowns for which values at nodes are right at corners."""
        return np.asarray(values[self.kept])

    def residual(self, unknowns: Array, time: float = 0.0) -> Array:
        """Return the residual of every row."""
        return np.asarray(self.spread.T @ self.rows.residual(self.spread @ unknowns, time))

    def jacobian(self, unknowns: Array, time: float = 0.0) -> sparse.csc_array:
        """Return the derivative of the residual in the unknowns."""
        return sparse.csc_array(self.spread.T @ self.rows.jacobian(self.spread @ unknowns, time) @ self.spread)


def taylor_hood(rows: Assembly, elements: Elements, pressure: int) -> TaylorHood:
    """Return the system for one linear field among quadratic ones.

    Args:
        rows: The system with quadratic elements for all fields.
        elements: These.
        pressure: The linear field.
    """
    corners = elements.triangulation.cells.shape[1]
    vertices, positions = np.unique(elements.numbers[:corners], return_inverse=True)
    shares = elements.linear_shares()
    nodes = np.repeat(elements.numbers[:, None, :], corners, axis=1)
    ends = np.broadcast_to(positions.reshape(corners, -1), nodes.shape)
    entries = np.broadcast_to(shares[:, :, None], nodes.shape)
    # Cells that share a node agree on its shares.
    place, first = np.unique(nodes.ravel() * len(vertices) + ends.ravel(), return_index=True)
    linear = sparse.csr_array(
        (entries.ravel()[first], np.divmod(place, len(vertices))), shape=(rows.count, len(vertices))
    )
    linear.eliminate_zeros()
    own: list[sparse.csr_array] = [sparse.eye_array(rows.count, format="csr")] * rows.fields
    own[pressure] = linear
    kept = [vertices if n == pressure else np.arange(rows.count) for n in range(rows.fields)]
    numbers = np.concatenate([n * rows.count + some for n, some in enumerate(kept)])
    return TaylorHood(rows, sparse.csr_array(sparse.block_diag(own, format="csr")), numbers)

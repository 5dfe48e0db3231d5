"""Ways to spread points over a region, as a user names them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pinnsolve.errors import ProblemError

METHODS = ("sobol", "uniform", "latin", "grid", "halton", "hammersley", "nodes", "quadrature")
"""Scrambled Sobol and Halton sequences, pseudo-random numbers, Latin hypercubes, a regular grid, and Hammersley's set; on a mesh
also its nodes, or the points of a quadrature over its cells, which lie the closer the finer the mesh is."""

ON_MESHES = ("nodes", "quadrature")
"""Ways that are Sobol's where there is no mesh, and for more points than a mesh has nodes."""


@dataclass(frozen=True, kw_only=True)
class Graded:
    """Points graded towards a boundary: a share of them in a layer along it, the others over the whole region.

    For boundary layers, `Training(sampling=Graded(thickness=0.05))`. Both parts are uniform by measure. The mean square of a
    residual then weighs the layer more than the rest: by share / (layer's part of the measure) + 1 - share against 1 - share.

    Args:
        thickness: Of the layer, in units of the coordinates.
        share: Of the points that are drawn in the layer, between 0 and 1.
        method: One of `METHODS`.
        towards: A boundary, such as `disk.boundary`; None for all of the boundary of the region.

    Raises:
        ProblemError: A thickness that is not positive, a share that is none, or an unknown method.

    Example:
        >>> training = ps.Training(sampling=ps.Graded(thickness=0.05, towards=square.face(y, 0)))
    """

    thickness: float
    share: float = 0.5
    method: str = "sobol"
    towards: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.thickness, int | float) or not 0 < self.thickness < math.inf:
            raise ProblemError("Graded", f"thickness={self.thickness!r}", "write a positive length, such as 0.05")
        if not isinstance(self.share, int | float) or not 0 <= self.share <= 1:
            raise ProblemError("Graded", f"share={self.share!r}", "write a number from 0 to 1")
        if self.method not in METHODS:
            raise ProblemError("Graded", f"method={self.method!r}", f"write one of {list(METHODS)}")
        if self.towards is not None and not hasattr(self.towards, "normals_at"):
            raise ProblemError("Graded", f"towards={self.towards!r} is no boundary", "write towards=disk.boundary")

"""Sparse factors L and U, with the unknowns of grids and those of elements eliminated each in an order of their own.

The one-sided formulas at the walls of a grid make its pattern far from symmetric, which orders by the columns of A'A bear (Davis,
Gilbert, Larimore and Ng, ACM TOMS 30, 2004). The pattern of quadratic elements is symmetric but for a few rows, and minimum
degrees of A + A' (Liu, ACM TOMS 11, 1985), with pivots from the diagonal where they are not too small, halve what is filled in, in
space and for flows as well; on grids they fill in four times more. Linear tetrahedra have so many nodes of equal degree that
finding the order takes ten times as long as the factors, so they are ordered by columns too.
"""

from __future__ import annotations

from collections.abc import Callable

from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

Factor = Callable[[sparse.csc_array], SuperLU]

_LEAST_PIVOT = 0.01
"""A diagonal entry below this part of the largest in its column is no pivot."""


def factor_by_columns(matrix: sparse.csc_array) -> SuperLU:
    """Return the factors of a matrix of any pattern.

    Raises:
        RuntimeError: It is singular.
    """
    return splu(matrix)


def factor_by_degrees(matrix: sparse.csc_array) -> SuperLU:
    """Return the factors of a matrix whose pattern is symmetric but for a few rows.

    Raises:
        RuntimeError: It is singular.
    """
    symmetric = {"SymmetricMode": True}
    return splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=_LEAST_PIVOT, options=symmetric)

"""Exponential time differencing of order four for stiff systems in Fourier space, c' = L c + N(c, t).

The linear part is solved exactly, the rest by the four stages of Cox and Matthews, Journal of Computational Physics 176, 2002, eqs.
26 to 29. With phi_0(z) = e^z and phi_k(z) = (phi_{k-1}(z) - 1/(k-1)!) / z, their weights are sums of

    phi_1 - 3 phi_2 + 4 phi_3,    2 phi_2 - 4 phi_3,    4 phi_3 - phi_2    of h L.

The quotients cancel near z = 0, and L is a small matrix for every wavenumber, which need not have a basis of eigenvectors: u_tt =
u_xx has none at wavenumber zero. Where Kassam and Trefethen (SIAM Journal on Scientific Computing 26, 2005) average over a contour
around each eigenvalue, the functions here start from their Taylor series at z / 2^s and are doubled s times,

    2^k phi_k(2z) = phi_0(z) phi_k(z) + sum over j = 1 ... k of phi_j(z) / (k - j)!

(Berland, Skaflestad and Wright, ACM Transactions on Mathematical Software 33, 2007, section 3), which loses no digit on the
negative real axis, where all terms are positive, and holds for matrices as it stands.
"""

from __future__ import annotations

import math
import time as clock
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinnsolve.reference.finite_differences import Array
from pinnsolve.reference.newton import UnresolvedError
from pinnsolve.reference.rosenbrock import OutOfTimeError

Spectra = NDArray[np.complex128]
"""Fourier coefficients (fields, wavenumbers)."""

Blocks = NDArray[np.complex128]
"""For every wavenumber a matrix between fields (fields, fields, wavenumbers)."""

_HIGHEST = 3
_TERMS = 16
"""Terms of the Taylor series of phi_3 at |z| <= 1/2: the next one is below 1e-20."""


@dataclass(frozen=True)
class Semilinear:
    """The system c' = L c + N(c, t).

    Args:
        linear: L.
        rest: N as a function of the coefficients and the time.
        start: The coefficients at the start.
    """

    linear: Blocks
    rest: Callable[[Spectra, float], Spectra]
    start: Spectra


@dataclass(frozen=True)
class Spectral4:
    """The weights of a step: e^(hL), e^(hL/2), and those of the stages, multiplied by h."""

    whole: Blocks
    half: Blocks
    inner: Blocks
    first: Blocks
    middle: Blocks
    last: Blocks


def phi_functions(matrices: Blocks) -> tuple[Blocks, ...]:
    """Return phi_0 to phi_3 of a matrix for every wavenumber.

    Args:
        matrices: z (fields, fields, wavenumbers).
    """
    size = np.abs(matrices).sum(axis=1).max(axis=0)
    doublings = np.maximum(np.ceil(np.log2(np.maximum(2 * size, 1.0))), 0).astype(int)
    small = matrices / 2.0**doublings
    one = np.eye(len(matrices), dtype=np.complex128)[:, :, None]
    highest = np.broadcast_to(one / math.factorial(_TERMS + _HIGHEST), matrices.shape)
    for n in range(_TERMS - 1, -1, -1):
        highest = _times(small, highest) + one / math.factorial(n + _HIGHEST)
    phi = [highest]
    for k in range(_HIGHEST - 1, -1, -1):
        phi.insert(0, _times(small, phi[0]) + one / math.factorial(k))
    for count in range(doublings.max(initial=0)):
        left = doublings > count
        old = [p[:, :, left] for p in phi]
        for k in range(_HIGHEST + 1):
            doubled = _times(old[0], old[k]) + sum(old[j] / math.factorial(k - j) for j in range(1, k + 1))
            phi[k][:, :, left] = doubled / 2.0**k
    return tuple(phi)


def step_weights(linear: Blocks, step: float) -> Spectral4:
    """Return the weights of a step of a given length."""
    whole, one, two, three = phi_functions(step * linear)
    half, inner, _, _ = phi_functions(step / 2 * linear)
    first, middle, last = one - 3 * two + 4 * three, 2 * two - 4 * three, 4 * three - two
    return Spectral4(whole, half, step / 2 * inner, step * first, step * middle, step * last)


def integrate(
    system: Semilinear, *, span: tuple[float, float], steps: int, keep: int, deadline: float
) -> tuple[Array, NDArray[np.complex128]]:
    """Return times and coefficients (times, fields, wavenumbers) of a solution in steps of equal length.

    Args:
        system: What to integrate.
        span: First and last time.
        steps: The number of steps, a multiple of `keep`.
        keep: Every how many steps the coefficients are kept.
        deadline: Value of `time.monotonic` at which to give up.

    Raises:
        UnresolvedError: Values that are not finite: the steps are too long, or the solution does not exist so long.
        OutOfTimeError: The deadline has come.
    """
    times = np.linspace(*span, steps + 1)
    weights = step_weights(system.linear, (span[1] - span[0]) / steps)
    states = np.empty((steps // keep + 1, *system.start.shape), dtype=np.complex128)
    states[0] = state = system.start
    for n in range(steps):
        with np.errstate(all="ignore"):  # what is not finite is seen below
            state = _step(system.rest, weights, state, times[n], times[n + 1])
        if (n + 1) % keep == 0:
            states[(n + 1) // keep] = state
            if not np.isfinite(state).all():
                found = f"no spectral reference: no finite values with {steps} steps, at {times[n + 1]:.3g}"
                raise UnresolvedError(
                    "equations", found, "give ps.Spectral(steps=...) more, or shorten the range of time"
                )
            if clock.monotonic() > deadline:
                raise OutOfTimeError(f"after {n + 1} of {steps} steps")
    return times[::keep], states


def _step(rest: Callable[[Spectra, float], Spectra], w: Spectral4, state: Spectra, start: float, end: float) -> Spectra:
    middle = (start + end) / 2
    at_start, half = rest(state, start), _apply(w.half, state)
    a = half + _apply(w.inner, at_start)
    at_a = rest(a, middle)
    b = half + _apply(w.inner, at_a)
    at_b = rest(b, middle)
    c = _apply(w.half, a) + _apply(w.inner, 2 * at_b - at_start)
    at_end = rest(c, end)
    return _apply(w.whole, state) + _apply(w.first, at_start) + _apply(w.middle, at_a + at_b) + _apply(w.last, at_end)


def _apply(blocks: Blocks, spectra: Spectra) -> Spectra:
    return np.asarray((blocks * spectra).sum(axis=1))


def _times(left: Blocks, right: Blocks) -> Blocks:
    return np.einsum("ijk,jlk->ilk", left, right)

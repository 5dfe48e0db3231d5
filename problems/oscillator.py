"""A damped oscillator with a hardening spring (Duffing), released from rest.

    q'' + 0.2 q' + q + q^3 = 0            0 < t < 10
    q(0) = 1,  q'(0) = 0

There is no closed form; the reference integrates the same declaration to twelve digits.

Run:   pinnsolve run problems/oscillator.py
Cost:  about 20 s of training on one CPU core; relative L2 error 8.6e-7 after 15 s (seed 0) against the integrator.
"""

from sympy import Eq, Rational, symbols

import pinnsolve as ps

t = symbols("t")
q = ps.fields("q", t)

problem = ps.Problem(
    domain=ps.Interval(t, 0, 10),
    equations={"spring": Eq(q.diff(t, 2) + Rational(1, 5) * q.diff(t) + q + q**3, 0)},
    conditions={"displaced": Eq(q(0), 1), "at_rest": Eq(q.diff(t).subs(t, 0), 0)},
)
network = ps.MLP(width=20, depth=3, activation="sine")
training = ps.Training(
    points={"spring": 500}, phases=[ps.Adam(steps=200, lr=5e-3), ps.LevenbergMarquardt(steps=800, resample=1)]
)
reference = ps.FiniteDifferences()

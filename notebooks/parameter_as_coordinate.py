# %% [markdown]
# # One run for every diffusivity
#
# A classical solver solves the heat equation for one diffusivity at a time. Here the diffusivity is a coordinate of the domain like
# space and time: the network is trained once, and answers for all of them.
#
# $$ u_t = \kappa\, u_{xx}, \qquad u(x, 0) = \sin \pi x, \qquad u(0, t) = u(1, t) = 0, \qquad 0.05 < \kappa < 0.5 $$

# %%
import numpy as np
from sympy import Eq, exp, pi, sin, symbols

import pinnsolve as ps

x, t, kappa = symbols("x t kappa")
u = ps.fields("u", x, t, kappa)

problem = ps.Problem(
    domain=ps.Box({x: (0, 1), t: (0, 1), kappa: (0.05, 0.5)}),
    equations={"heat": Eq(u.diff(t), kappa * u.diff(x, 2))},
    conditions={
        "initial": Eq(u(x, 0, kappa), sin(pi * x)),
        "left": Eq(u(0, t, kappa), 0),
        "right": Eq(u(1, t, kappa), 0),
    },
)

# %% [markdown]
# Conditions in time and space hold for every diffusivity, because `kappa` ranges freely in them. Nothing differentiates by
# `kappa`, so it needs no condition of its own.

# %%
solution = ps.solve(
    problem,
    network=ps.MLP(width=16, depth=3),
    training=ps.Training(
        points={"heat": 1_000, "initial": 200, "left": 100, "right": 100},
        phases=[ps.Adam(steps=200, lr=5e-3), ps.SSBroyden(steps=600, resample=300)],
    ),
    reference=ps.Exact({u: exp(-kappa * pi**2 * t) * sin(pi * x)}),
)

# %% [markdown]
# The middle of the bar over time, for three diffusivities at once: arrays broadcast.

# %%
times = np.linspace(0, 1, 5)
middle = solution(x=0.5, t=times, kappa=np.array([[0.05], [0.2], [0.5]]))
print(np.round(middle, 4))

# %% [markdown]
# Because the diffusivity is a coordinate, the solution can be differentiated by it: how much hotter would the middle be at
# the end, if the bar conducted a little worse?

# %%
sensitivity = solution.evaluate(u.diff(kappa), x=0.5, t=1.0, kappa=0.1)
print(f"du/dkappa = {sensitivity:.4f}, exactly {-(np.pi**2) * np.exp(-0.1 * np.pi**2):.4f}")

# %% [markdown]
# And the error against the closed form, over all of space, time and diffusivity:

# %%
error = solution.errors["u"]["relative_l2"]
print(f"relative L2 error {error:.1e}")
assert error < 5e-3
assert abs(sensitivity + np.pi**2 * np.exp(-0.1 * np.pi**2)) < 0.05

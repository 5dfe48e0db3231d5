# %% [markdown]
# # A rate for every parameter
#
# First-order optimizers differ in what they divide a gradient by: nothing, the usual size of each entry, or the usual sizes in a
# basis of each layer's own. Six of them on one equation, with as many gradients each, and each with the best of four learning
# rates.
#
# $$ -u'' = f \ \text{ on } (0, 1), \qquad u(0) = u(1) = 0, \qquad u = \sin \pi x + \tfrac14 \sin 4 \pi x $$

# %%
import matplotlib.pyplot as plt
from sympy import Eq, pi, sin, symbols

import pinnsolve as ps

x = symbols("x")
u = ps.fields("u", x)
truth = sin(pi * x) + sin(4 * pi * x) / 4


def solve(phase, unit=1.0):
    """Train on the equation multiplied by a unit."""
    problem = ps.Problem(
        domain=ps.Interval(x, 0, 1),
        equations={"poisson": Eq(-unit * u.diff(x, 2), -unit * truth.diff(x, 2))},
        conditions={"left": Eq(u(0), 0), "right": Eq(u(1), 0)},
    )
    training = ps.Training(points={"poisson": 48}, phases=[phase], scaling=False)
    solution = ps.solve(problem, ps.MLP(width=12, depth=2), training, ps.Exact({u: truth}), compile="off")
    return solution, solution.errors["u"]["relative_l2"]


# %% [markdown]
# With the gradient $g$ and all products entry by entry: SGD goes along $-g$, with momentum along $-\sum_k \mu^k g_{-k}$; AdaGrad
# divides by $\sqrt{\sum g^2}$, RMSprop by a root of a *fading* mean of $g^2$, Adam divides a fading mean of $g$ by it. SOAP is
# Adam in the eigenbasis of fading means of $G G^\top$ and $G^\top G$ of each layer's gradient matrix $G$ (Vyas et al. 2024).

# %%
STEPS = 250
optimizers = {
    "SGD": (lambda lr: ps.SGD(STEPS, lr, momentum=0), (1e-5, 1e-4, 1e-3)),
    "SGD with momentum": (lambda lr: ps.SGD(STEPS, lr, momentum=0.9), (1e-5, 1e-4, 1e-3)),
    "AdaGrad": (lambda lr: ps.AdaGrad(STEPS, lr), (3e-2, 1e-1, 3e-1)),
    "RMSprop": (lambda lr: ps.RMSprop(STEPS, lr), (3e-3, 1e-2, 3e-2)),
    "Adam": (lambda lr: ps.Adam(STEPS, lr), (3e-3, 1e-2, 3e-2)),
    "SOAP": (lambda lr: ps.SOAP(STEPS, lr), (3e-3, 1e-2, 3e-2)),
}
best = {}
for name, (make, rates) in optimizers.items():
    tried = {rate: solve(make(rate)) for rate in rates}
    rate = min(tried, key=lambda rate: tried[rate][1])
    best[name] = (rate, *tried[rate])
    spread = ", ".join(f"{tried[r][1]:.1e} at {r:g}" for r in rates)
    print(f"{name}: relative L2 error {spread}")

# %%
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, (rate, solution, _) in best.items():
    axes.semilogy([p.step for p in solution.history], [p.held_out for p in solution.history], label=f"{name}, {rate:g}")
axes.set(xlabel="steps", ylabel="loss on held-out points")
axes.legend(frameon=False, fontsize=8)

# %% [markdown]
# Over a range of ten in their rate AdaGrad and RMSprop are off by no more than a few per cent; momentum is at one rate of three,
# and plain SGD at none of them: too slow or thrown about. Adam and SOAP go farthest, and want the largest rate that they are
# given.
#
# ## What division is good for
#
# Write the equation in other units, a hundred times as large. The loss and its gradient are ten thousand times larger. A quotient
# does not see that; a rate that was right for SGD is ten thousand times too long.

# %%
units = {}
for name in ("SGD with momentum", "Adam"):
    make, (rate, _, error) = optimizers[name][0], best[name]
    units[name] = (error, solve(make(rate), unit=100.0)[1])
    print(f"{name}: relative L2 error {error:.1e} as written, {units[name][1]:.1e} in other units")

# %%
assert abs(units["Adam"][1] / units["Adam"][0] - 1) < 0.1
assert units["SGD with momentum"][1] > 10 * units["SGD with momentum"][0]
assert min(best["Adam"][2], best["SOAP"][2]) < best["SGD"][2] / 3
error = best["SOAP"][2]
print(f"relative L2 error {error:.1e} by SOAP")
assert error < 0.02

# %% [markdown]
# # Two sides, one payoff
#
# Some trainings look for a saddle point: one side lowers a payoff $f(x, y)$, the other raises it. Weights of points that rise
# where the residual is large are such a side (`ps.SelfAdaptive`), and so are test functions that look for the place where an
# equation fails. Gradients then do not lead to the solution but around it. The smallest example is $f = x y$ with its saddle at
# $0$: descent in $x$ and ascent in $y$ turn the point $(x, y)$ like a wheel.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from sympy import Eq, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.training.decays import Exponential, constant
from pinnsolve.training.saddle_points import Game, find_saddle


def rotate(rounds=600, lr=0.1, clip=None, **more):
    """Play f = x y from (1, 0); return all (x, y), shape (rounds, 2)."""
    start, path = torch.tensor([1.0, 0.0], dtype=torch.float64), []
    x, y = (torch.nn.Parameter(value) for value in start)
    descent = ps.SGD(rounds, lr, momentum=0, decay=constant, clip=clip)
    search = ps.SaddlePoint(descent, **more)
    find_saddle(Game([x], [y], lambda: x * y), search, observers=[lambda *_: path.append((x.item(), y.item()))])
    return np.array(path)


# %% [markdown]
# ## Who moves first
#
# In one round of rate $\eta$ the distance from the saddle is multiplied by $\sqrt{1 + \eta^2}$ if both sides move at once, by $1$
# in the mean of a turn if they alternate, and by $\sqrt{1 - \eta^2 + \eta^4}$ by extragradient, where both look one step ahead
# and go by the gradients there. The optimistic scheme does nearly the same with one gradient a round, by the one it remembers.

# %%
schemes = ("simultaneous", "alternating", "extragradient", "optimistic")
paths = {scheme: rotate(scheme=scheme) for scheme in schemes}
for scheme, path in paths.items():
    print(f"{scheme}: distance {np.hypot(*path[-1]):.3g} after 600 rounds")
print(f"by the formulas: {1.01**300:.3g}, about 1, {(1 - 0.01 + 0.0001) ** 300:.3g}")

# %% [markdown]
# ## What clipping does
#
# A clipped *gradient* makes steps shorter, and does not turn them: the point goes on around, farther out with every turn if both
# move at once, only more slowly.
#
# Clipped *weights* of the maximising side, $|y| \le b$, are another matter. Far from the saddle $y$ is at the edge of its box,
# and $x$ descends in $\max_y f = b\,|x|$: a valley, with no rotation. What is left is the rotation that fits into the box, an
# ellipse with $|x| \le b \sqrt{\eta / \eta_y}$: the clip does not make the point converge, but it sets how far from the saddle it
# stays. So a box that narrows leads all the way:

# %%
clipped = {
    "gradients clipped": rotate(2_000, scheme="simultaneous", clip=0.1),
    "weights clipped": rotate(2_000, bound=0.1),
    "weights clipped, fast ascent": rotate(2_000, bound=0.1, ascent_lr=1.0),
    "weights clipped ever more": rotate(2_000, bound=0.1, narrowing=Exponential(floor=1e-3, warm=0)),
}
left = {name: np.abs(path[-500:, 0]).max() for name, path in clipped.items()}
for name, size in left.items():
    print(f"{name}: |x| up to {size:.2g} in the last 500 of 2,000 rounds")

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for scheme in ("simultaneous", "alternating", "extragradient"):
    axes[0].plot(*paths[scheme][:160].T, label=scheme)
for name in ("gradients clipped", "weights clipped", "weights clipped ever more"):
    axes[1].semilogy(np.maximum.accumulate(np.abs(clipped[name][::-1, 0]))[:500:-1], label=name)
axes[0].set(xlabel="x", ylabel="y", aspect="equal")
axes[1].set(xlabel="rounds", ylabel="largest |x| from here on")
for ax in axes:
    ax.legend(frameon=False, fontsize=8)

# %% [markdown]
# ## A differential equation as a game
#
# Test an equation with a function $v$ that vanishes on the boundary and take one derivative off $u$: $R(u, v) = \int \nabla u
# \cdot \nabla v - f v$ is zero for the solution of $-\Delta u = f$ and every $v$. A *weak adversarial network* (Zang et al. 2020)
# plays for it: the outputs of a second network are test functions that raise $R^2 / \int |\nabla v|^2$, the first network lowers
# it. At the worst test function this is the squared error of $\nabla u$. Here, sixteen test functions against the ordinary
# training on the equation itself with as many steps:

# %%
x, y = symbols("x y")
u = ps.fields("u", x, y)
network = ps.MLP(width=16, depth=2, activation="sine")


def compare(region, source, reference, steps, *, walls_in_loss=False):
    def declared(hard):
        return ps.Problem(
            domain=region,
            equations={"poisson": Eq(-ps.laplacian(u, x, y), source)},
            conditions={"wall": ps.on(region.boundary, Eq(u, 0))},
            hard=hard,
        )

    adam = ps.Adam(steps=steps, lr=1e-2, resample=10, decay=Exponential())
    game = ps.WeakAdversarial(ps.MLP(width=16, depth=1), points=400, search=ps.SaddlePoint(adam))
    training = ps.Training(points={"poisson": 400}, phases=[adam])
    found = {
        "game": ps.solve_weakly(declared(True), network, game, reference),
        "equation": ps.solve(declared(True), network, training, reference, compile="off"),
    }
    if walls_in_loss:
        found["equation and walls"] = ps.solve(declared(False), network, training, reference, compile="off")
    return {name: solution.errors["u"]["relative_l2"] for name, solution in found.items()}


def told(errors):
    return ", ".join(f"{error:.1e} by the {name}" for name, error in errors.items())


wave = sin(pi * x) * sin(pi * y)
square = compare(ps.Box({x: (0, 1), y: (0, 1)}), 2 * pi**2 * wave, ps.Exact({u: wave}), 300)
print(f"square: relative L2 error {told(square)}")

# %% [markdown]
# Where the solution is smooth the game is a detour. On an L it is not. Its boundary values are met exactly by a function that
# vanishes on the boundary, and the second derivatives of such a function grow without bound at corners; those of the solution do,
# too, at the re-entrant one. The equation needs them, the game does not. Leaving the walls to the loss helps the equation, and a
# second-order phase would help it more; here all have the same first-order steps:

# %%
corner = ps.Polygon([(-1, -1), (0, -1), (0, 0), (1, 0), (1, 1), (-1, 1)], coordinates=(x, y))
bend = compare(corner, 1, ps.FiniteElements(size=0.1), 200, walls_in_loss=True)
print(f"L: relative L2 error {told(bend)}")

# %%
assert np.isclose(np.hypot(*paths["extragradient"][-1]), (1 - 0.01 + 0.0001) ** 300, rtol=1e-6)
assert (
    left["gradients clipped"] > 1 > 0.1 > left["weights clipped, fast ascent"] > 20 * left["weights clipped ever more"]
)
assert np.isclose(left["weights clipped, fast ascent"], 0.1 * np.sqrt(0.1), rtol=0.05)
assert square["equation"] < square["game"] and bend["game"] < bend["equation"] / 3
error = square["game"]
assert error < 0.03

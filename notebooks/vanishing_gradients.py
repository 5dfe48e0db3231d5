# %% [markdown]
# # Fifty layers
#
# A step of training moves the first layer by its gradient, and that has come through all the others. Where each layer halves it,
# fifty of them leave nothing. A residual connection adds the input of two layers to their output, and gradients have a way around.

# %%
import numpy as np
import torch
from sympy import Eq, pi, sin, symbols

import pinnsolve as ps
from pinnsolve.networks import build

PLAIN, RESIDUAL = ps.MLP(width=10, depth=50, activation="sigmoid"), ps.ResNet(width=10, blocks=25, activation="sigmoid")


# %% [markdown]
# The norm of the gradient of a mean square, layer by layer, before any training:


# %%
def gradients(spec) -> np.ndarray:
    network = build(
        spec, inputs=1, outputs=1, ranges=[(0, 1)], generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    points = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]
    (network(points) - torch.sin(torch.pi * points)).square().mean().backward()
    return np.array([layer.weight.grad.norm() for layer in network.modules() if isinstance(layer, torch.nn.Linear)])


for name, spec in {"plain": PLAIN, "residual": RESIDUAL}.items():
    found = gradients(spec)
    print(f"{name}: " + ", ".join(f"layer {k + 1} {found[k]:.0e}" for k in (0, 10, 20, 30, 40, 49)))
assert gradients(PLAIN)[0] < 1e-3 * gradients(RESIDUAL)[0]

# %% [markdown]
# What that means for an equation whose solution is known, $-u'' = \pi^2 \sin \pi x$ with $u(0) = u(1) = 0$:

# %%
x = symbols("x")
u = ps.fields("u", x)
problem = ps.Problem(
    domain=ps.Interval(x, 0, 1),
    equations={"poisson": Eq(-u.diff(x, 2), pi**2 * sin(pi * x))},
    conditions={"left": Eq(u(0), 0), "right": Eq(u(1), 0)},
)
training = ps.Training(points={"poisson": 32}, phases=[ps.Adam(steps=60, lr=3e-3), ps.LBFGS(steps=60)])
errors = {}
for name, spec in {"plain": PLAIN, "residual": RESIDUAL}.items():
    solution = ps.solve(problem, spec, training, ps.Exact({u: sin(pi * x)}), compile="off")
    errors[name] = solution.errors["u"]["relative_l2"]
    print(f"{name}: relative L2 error {errors[name]:.1e}")

# %% [markdown]
# The plain network is where it began: only its last layers move, and what reaches them is a constant. Methods that do not look at
# the size of a gradient, such as Adam and L-BFGS, forgive small ones as long as these are not lost in rounding: fifty layers of
# silu, whose gradients vanish more slowly, they can train without residual connections.

# %%
assert errors["plain"] > 0.1
error = errors["residual"]
assert error < 1e-2

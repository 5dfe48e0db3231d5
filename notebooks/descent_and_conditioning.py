# %% [markdown]
# # Why descent is slow
#
# Along a gradient the loss falls fastest, for a moment. How long the way is, is told by one number, the ratio $\kappa$ of the
# largest curvature to the least. First where everything is known, then for the loss of a differential equation.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import pinnsolve as ps
from pinnsolve.jets import derivatives, plan_jets
from pinnsolve.networks import build
from pinnsolve.training.decays import constant
from pinnsolve.training.loop import train
from pinnsolve.training.objective import Objective

# %% [markdown]
# ## A bowl
#
# Of a quadratic with curvatures from $\lambda_1$ to $\lambda_n$ one step of the best fixed rate, $2 / (\lambda_1 + \lambda_n)$,
# leaves $(\kappa - 1) / (\kappa + 1)$ of the distance. Momentum $\mu = ((\sqrt\kappa - 1) / (\sqrt\kappa + 1))^2$ with the rate
# $4 / (\sqrt{\lambda_1} + \sqrt{\lambda_n})^2$ leaves $(\sqrt\kappa - 1) / (\sqrt\kappa + 1)$ (Polyak 1964): the root of the
# number of steps.


# %%
def rate_of(kappa, momentum, steps=200):
    """Measure what a step leaves of the distance, for curvatures from 1 to kappa."""
    curvatures = torch.linspace(1, kappa, 20, dtype=torch.float64)
    place = nn.Parameter(torch.ones(20, dtype=torch.float64))
    bowl = Objective(nn.ParameterList([place]), lambda _: {"bowl": (10 * curvatures).sqrt() * place}, {})
    root = kappa**0.5
    lr = 4 / (1 + root) ** 2 if momentum else 2 / (1 + kappa)
    mu = ((root - 1) / (root + 1)) ** 2 if momentum else 0.0
    lengths = []
    train(
        bowl,
        [ps.SGD(steps, lr, momentum=mu, decay=constant)],
        observers=[lambda _: lengths.append(float(place.detach().norm()))],
    )
    return (lengths[-1] / lengths[steps // 2 - 1]) ** (2 / steps)


for kappa in (10, 100):
    root = kappa**0.5
    print(
        f"kappa {kappa}: plain {rate_of(kappa, False):.4f}, by the formula {(kappa - 1) / (kappa + 1):.4f}; "
        f"with momentum {rate_of(kappa, True):.3f}, by the formula {(root - 1) / (root + 1):.3f}"
    )

# %% [markdown]
# ## The loss of an equation
#
# For $-u'' = 9 \pi^2 \sin 3 \pi x$ with $u = x (1 - x) N(x)$ and residuals $r$ of Jacobian $J$, the curvature of the loss near its
# minimum is that of $J^\top J$: the Gauss-Newton matrix. Its eigenvalues:


# %%
network = build(
    ps.MLP(width=10, depth=2), inputs=1, outputs=1, ranges=[(0, 1)], generator=torch.Generator().manual_seed(0),
    dtype=torch.float64,
)  # fmt: skip
start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
points = torch.linspace(0, 1, 64, dtype=torch.float64)[:, None]
plan = plan_jets({(2,)}, dimension=1)


def field(at):
    return at * (1 - at) * network(at)


def residuals(sets):
    bend = derivatives(field, sets["inside"], plan)[(2,)][:, 0]
    return {"inside": bend + 9 * torch.pi**2 * torch.sin(3 * torch.pi * sets["inside"][:, 0])}


objective = Objective(network, residuals, {"inside": points})
rows = objective.jacobian().rows() / len(points) ** 0.5
eigenvalues = torch.linalg.svdvals(rows).square()
largest, least = float(eigenvalues[0]), float(eigenvalues[eigenvalues > 1e-14 * eigenvalues[0]][-1])
print(f"eigenvalues of J'J from {largest:.1e} to {least:.1e}, and below: kappa at least {largest / least:.0e}")

# %%
figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
axes.semilogy(range(1, len(eigenvalues) + 1), eigenvalues, ".")
axes.set(xlabel="number", ylabel="eigenvalue of J'J")

# %% [markdown]
# A plain descent needs some $\kappa$ steps for the flattest of these directions, more than anybody has. It is stable up to the
# rate $2 / 2 \lambda_1$ of the loss $|r|^2$ and no farther, so that the steep directions forbid what the flat ones need. Momentum
# helps by a root; a quasi-Newton method learns the curvatures as it goes; a Gauss-Newton step divides by them, and $\kappa$ is
# gone:

# %%
phases = {
    "descent": ps.SGD(300, 0.5 / largest, momentum=0, decay=constant),
    "momentum": ps.SGD(300, 0.5 / largest, momentum=0.95, decay=constant),
    "L-BFGS": ps.LBFGS(300),
    "Levenberg-Marquardt": ps.LevenbergMarquardt(30),
}
fresh = torch.linspace(0, 1, 500, dtype=torch.float64)[:, None]
truth = torch.sin(3 * torch.pi * fresh)
errors = {}
for name, phase in phases.items():
    network.load_state_dict(start)
    train(objective, [phase])
    with torch.no_grad():
        errors[name] = float((field(fresh) - truth).norm() / truth.norm())
    print(f"{name}, {phase.steps} steps: relative L2 error {errors[name]:.1e}")

# %%
assert np.isclose(rate_of(100, False), 99 / 101, atol=1e-4) and np.isclose(rate_of(100, True), 9 / 11, atol=0.02)
assert largest / least > 1e6
assert errors["Levenberg-Marquardt"] < errors["L-BFGS"] < errors["momentum"] < errors["descent"]
error = errors["Levenberg-Marquardt"]
assert error < 2e-4

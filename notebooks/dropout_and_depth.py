# %% [markdown]
# # Forty noisy values and six thousand weights
#
# A network with a hundred and fifty weights for every value can pass through all of them, noise included. Five trainings of the
# same residual network: as it is, and with each of the usual ways to keep it from memorising.

# %%
from dataclasses import replace
from statistics import median

import matplotlib.pyplot as plt
import torch

import pinnsolve as ps
from pinnsolve.networks import build
from pinnsolve.training.loop import train
from pinnsolve.training.objective import Objective

NOISE = 0.3
PLAIN = ps.ResNet(width=32, blocks=3, activation="sine")


def readings(seed, count=40):
    """Noisy values of sin 3x: places, shape (count, 1), and values, shape (count,)."""
    generator = torch.Generator().manual_seed(seed)
    at = 2 * torch.rand(count, 1, generator=generator, dtype=torch.float64) - 1
    return at, torch.sin(3 * at[:, 0]) + NOISE * torch.randn(count, generator=generator, dtype=torch.float64)


# %% [markdown]
# *Dropout* sets each hidden unit to zero with some probability, others in every step, so that none can rely on a particular other
# one (Srivastava et al. 2014). *Stochastic depth* does it to whole residual branches, the later the more often (Huang et al.
# 2016). What is left out is the same for all points of a step, so that each step trains one thinner network with derivatives of
# its own. *Penalties* and *weight decay* pull weights to zero instead.

# %%
adam = ps.Adam(steps=500, lr=5e-3)
ways = {
    "as it is": (PLAIN, adam),
    "dropout": (replace(PLAIN, dropout=0.3), adam),
    "stochastic depth": (replace(PLAIN, stochastic_depth=0.3), adam),
    "penalty on squares": (PLAIN, ps.Adam(steps=500, lr=5e-3, l2=1e-3)),
    "weight decay": (PLAIN, ps.AdamW(steps=500, lr=5e-3, weight_decay=3.0)),
}

# %% [markdown]
# The state that is kept is the one whose mean network, with nothing left out, fits the values best: every training goes to its
# end.


# %%
def fit(spec, phase, seed):
    network = build(
        spec,
        inputs=1,
        outputs=1,
        ranges=[(-1, 1)],
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )
    at, values = readings(seed)
    trained, mean = (
        Objective(network, lambda points: {"fit": network(points["fit"])[:, 0] - values}, {"fit": at}) for _ in range(2)
    )
    train(trained, [phase], held_out=mean, seed=seed)
    return network


fresh = torch.linspace(-1, 1, 400, dtype=torch.float64)[:, None]
truth = torch.sin(3 * fresh[:, 0])


def errors_of(network, seed):
    """RMS misfit to the values trained on, and RMS error against the truth."""
    at, values = readings(seed)
    with torch.no_grad():
        return [float((network(x)[:, 0] - y).square().mean().sqrt()) for x, y in ((at, values), (fresh, truth))]


networks = {name: [fit(*way, seed) for seed in range(3)] for name, way in ways.items()}
found = {name: [errors_of(network, seed) for seed, network in enumerate(each)] for name, each in networks.items()}
misfit, error_of = ({name: median(e[k] for e in each) for name, each in found.items()} for k in (0, 1))
noise = median(
    float((values - torch.sin(3 * at[:, 0])).square().mean().sqrt()) for at, values in map(readings, range(3))
)
print(f"the truth itself: misfit to the values {noise:.2f}")
for name in ways:
    print(f"{name}: misfit to the values {misfit[name]:.2f}, error against the truth {error_of[name]:.2f}")

# %%
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
at, values = readings(0)
axes.plot(at, values, "k.", label="values")
axes.plot(fresh, truth, "k", lw=3, alpha=0.2, label="truth")
with torch.no_grad():
    for name in ("as it is", "dropout", "weight decay"):
        axes.plot(fresh, networks[name][0](fresh), lw=1.2, label=name)
axes.legend(frameon=False, fontsize=8)
axes.set(xlabel="x", ylim=(-2, 2))

# %% [markdown]
# The plain network is closer to the values than the truth is, and farther from the truth than any other: it has learnt the noise. A
# misfit near that of the truth is what an honest fit has. Medians of three draws of the values; each two trainings differ by one
# argument.

# %%
assert misfit["as it is"] < 0.8 * noise
assert all(error_of[name] < 0.85 * error_of["as it is"] for name in ways if name != "as it is")
error = error_of["weight decay"]
print(f"RMS error against the truth {error:.2f}, from values with noise of {NOISE}")
assert error < 0.25

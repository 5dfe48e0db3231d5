# %% [markdown]
# # What a gradient remembers
#
# The reverse pass of a network needs what the forward pass computed, layer by layer, so that a gradient costs some times the work
# of a value and, unlike it, memory in proportion to depth and points. Memory can be bought back with time in three ways, and
# derivatives by coordinates, of which a differential equation needs several, decide how much there is to buy back.

# %%
import time
from functools import partial

import matplotlib.pyplot as plt
import torch

import pinnsolve as ps
from pinnsolve.bench.engine import peak_bytes
from pinnsolve.jets import derivatives, nested_derivatives, plan_jets
from pinnsolve.networks import build
from pinnsolve.training.objective import Objective

COUNT = 1_000
points = torch.rand(COUNT, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def objective(*, checkpointing=False, chunk=None, order=2, differentiate=derivatives, blocks=16):
    """The mean square of u + the derivative of some order by x, of a residual network."""
    plan = plan_jets({(order, 0)}, dimension=2)
    network = build(
        ps.ResNet(width=24, blocks=blocks, activation="tanh", checkpointing=checkpointing),
        inputs=2,
        outputs=1,
        ranges=[(0, 1)] * 2,
        generator=torch.Generator().manual_seed(1),
        dtype=torch.float64,
    )

    def residuals(sets):
        found = differentiate(network, sets["inside"], plan)
        return {"inside": (found[order, 0] + found[0, 0])[:, 0]}

    return Objective(network, residuals, {"inside": points}, chunk=chunk)


def measure(one):
    """Gradient, peak memory in MB and the least of three times in seconds."""
    found = one.evaluate()
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        one.evaluate()
        seconds.append(time.perf_counter() - begin)
    return found.gradient, peak_bytes(one.evaluate, dict(one.points)) / 2**20, min(seconds)


# %% [markdown]
# ## Three ways to pay less
#
# *Checkpointing* keeps the input of each block alone and evaluates the block again on the way back (Chen et al. 2016): at most
# one more forward pass. *Chunks* of points give gradients that add up, since the loss is a sum over points; nothing is computed
# twice, but every operation is called once for each chunk. Both together save the most and cost the most.

# %%
ways = {
    "everything kept": objective(),
    "checkpointing": objective(checkpointing=True),
    "chunks of 250": objective(chunk=250),
    "both": objective(checkpointing=True, chunk=250),
}
measured = {name: measure(one) for name, one in ways.items()}
exact = measured["everything kept"][0]
for name, (gradient, memory, seconds) in measured.items():
    difference = float((gradient - exact).norm() / exact.norm())
    print(f"{name}: {memory:.0f} MB, {1e3 * seconds:.0f} ms, gradient the same to {difference:.0e}")

# %%
figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
for name, (_, memory, seconds) in measured.items():
    axes.plot(1e3 * seconds, memory, "o")
    axes.annotate(name, (1e3 * seconds, memory), xytext=(6, 4), textcoords="offset points", fontsize=8)
axes.set(xlabel="milliseconds a gradient", ylabel="peak memory, MB", yscale="log")
axes.margins(x=0.3)

# %% [markdown]
# ## Derivatives forward, not backward
#
# A derivative by $x$ can be had by a reverse pass, and the second by a reverse pass through that one: each more than doubles what
# is remembered. Taylor series carried forward through the network (`pinnsolve.jets`) hold one more coefficient for each order.
# For a first derivative that is no gain; from the third on it is a large one:

# %%
growth = {}
for order in (1, 2, 3, 4):
    small = partial(objective, order=order, blocks=3)
    (one, nested, slow), (other, jets, fast) = (
        measure(small(differentiate=d)) for d in (nested_derivatives, derivatives)
    )
    growth[order] = (nested, jets, slow, fast)
    assert torch.allclose(one, other, rtol=1e-8, atol=1e-10 * float(one.abs().max()))
    print(
        f"order {order}: nested {nested:.0f} MB and {1e3 * slow:.0f} ms, forward {jets:.0f} MB and {1e3 * fast:.0f} ms"
    )

# %% [markdown]
# The gradient is the same to rounding in all cases, and so is the solution that it leads to; memory and time are all that
# differs. The `chunk` of a training is chosen by itself from the size of the network and the derivatives, and halved when memory
# runs out.

# %%
memory = {name: found[1] for name, found in measured.items()}
assert (
    memory["checkpointing"] < 0.75 * memory["everything kept"]
    and memory["chunks of 250"] < 0.4 * memory["everything kept"]
)
assert memory["both"] < memory["checkpointing"]
assert growth[4][0] / growth[1][0] > 2 * growth[4][1] / growth[1][1]
error = max(float((gradient - exact).norm() / exact.norm()) for gradient, _, _ in measured.values())
print(f"largest relative error of a gradient {error:.0e}")
assert error < 1e-12

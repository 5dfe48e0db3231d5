# %% [markdown]
# # Normalization at two points a step
#
# Batch normalization standardises every unit over the points of a step. With two points the standardised values are 1 and -1
# whatever they were: all that is left is which is larger. Group and layer normalization standardise over the units at one
# point, and do not see the others.

# %%
import torch
from torch import Tensor

import pinnsolve as ps
from pinnsolve.jets import derivatives, fixed_statistics, plan_jets
from pinnsolve.networks import build
from pinnsolve.training.loop import train
from pinnsolve.training.objective import Objective

RANGES = [(-1.0, 1.0), (0.0, 3.0)]


def draw(count: int, seed: int) -> Tensor:
    low, high = torch.tensor(RANGES, dtype=torch.float64).T
    return low + (high - low) * torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def truth(points: Tensor) -> Tensor:
    return torch.sin(3 * points[:, 0]) * torch.cos(points[:, 1])


def network(kind: str | None) -> torch.nn.Module:
    spec = ps.MLP(width=16, depth=3, normalization=kind)
    return build(
        spec, inputs=2, outputs=1, ranges=RANGES, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


# %% [markdown]
# The derivative of a batch-normalised network at a point is that with the statistics of the step held, as one function of a point
# has it. Moving one point while the statistics follow would mix in all the others:

# %%
batch, points, step = network("batch"), draw(5, 1), torch.tensor([[1e-5, 0.0]], dtype=torch.float64)
slope = derivatives(batch, points, plan_jets({(1, 0)}, dimension=2))[1, 0]
with fixed_statistics(batch, [points]):
    held = (batch(points + step) - batch(points - step)) / 2e-5
print(f"largest difference from central differences with the statistics held: {(slope - held).abs().max().item():.1e}")

# %% [markdown]
# Now fit a known function from two points a step, others in every step, and compare on a fresh set:


# %%
def fit(kind: str | None) -> float:
    fitted = network(kind)
    objective = Objective(fitted, lambda p: {"fit": fitted(p["fit"])[:, 0] - truth(p["fit"])}, {"fit": draw(2, 0)})
    train(
        objective, [ps.Adam(steps=800, lr=3e-3, resample=1)], resample=lambda number: {"fit": draw(2, 1_000 + number)}
    )
    fresh = draw(2_000, 77)
    with torch.no_grad():
        return float((fitted(fresh)[:, 0] - truth(fresh)).norm() / truth(fresh).norm())


errors = {kind: fit(kind) for kind in ("batch", "group", "layer")}
for kind, value in errors.items():
    print(f"{kind} normalization: relative L2 error {value:.2f}")

# %%
assert errors["batch"] > 2 * max(errors["group"], errors["layer"])
error = min(errors.values())
assert error < 0.4

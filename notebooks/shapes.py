# %% [markdown]
# # A shape that fills a hundredth of the picture
#
# A disk is to be found in an image in which three tenths of it are missing. What is lowered decides what is found: the mean of
# squares counts every pixel alike, and most pixels are outside.
#
# $$ \mathrm{IoU}(p, q) = \frac{\sum p q}{\sum p^2 + \sum q^2 - \sum p q} $$
#
# counts what either shape holds. For shapes of zeros and ones it is the intersection over the union; for numbers in between it
# has a gradient, and $1 - \mathrm{IoU}$ is a loss.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

import pinnsolve as ps
from pinnsolve.training.loop import train
from pinnsolve.training.objective import Objective
from pinnsolve.training.overlap import overlap_residual

axis = torch.linspace(0, 1, 64, dtype=torch.float64)
points = torch.stack([grid.reshape(-1) for grid in torch.meshgrid(axis, axis, indexing="ij")], 1)
truth = ((points - torch.tensor([0.55, 0.5])).norm(dim=1) < 0.06).double()
seen = truth * (torch.rand(len(truth), generator=torch.Generator().manual_seed(1)) < 0.7)
print(f"{int(truth.sum())} of {len(truth)} pixels are in the disk, {int(seen.sum())} are seen")

# %% [markdown]
# What is fitted is a disk with a soft edge, whose place and radius are free. It starts elsewhere, and does not touch the disk
# sought.


# %%
class Disk(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.tensor([0.3, 0.3], dtype=torch.float64))
        self.radius = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, points):
        return torch.sigmoid((self.radius - (points - self.place).norm(dim=1)) / 0.02)


def find(residual):
    disk = Disk()
    objective = Objective(disk, lambda sets: {"image": residual(disk(sets["image"]), seen)}, {"image": points})
    train(objective, [ps.Adam(steps=250, lr=1e-2), ps.BFGS(steps=40)])
    return disk


# %% [markdown]
# `overlap_residual` is a residual like any other, $(p - q) \sqrt{N / D}$ with the denominator $D$ of the measure, whose mean
# square is $1 - \mathrm{IoU}$ (or $1 -$ Dice). So the usual optimizers serve, the second-order ones as well.

# %%
residuals = {
    "squares": lambda p, q: p - q,
    "Dice": lambda p, q: overlap_residual(p, q, measure="dice"),
    "IoU": overlap_residual,
}
disks = {name: find(residual) for name, residual in residuals.items()}
overlaps = {}
for name, disk in disks.items():
    with torch.no_grad():
        overlaps[name] = float(ps.soft_iou((disk(points) > 0.5).double(), truth))
    place = ", ".join(f"{c.item():.2f}" for c in disk.place)
    print(f"by {name}: at ({place}), radius {disk.radius.item():.3f}, IoU with the truth {overlaps[name]:.2f}")

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 2.7), layout="constrained")
pictures = {"seen": seen}
with torch.no_grad():
    pictures |= {f"by {name}": disk(points) for name, disk in disks.items()}
for panel, (name, picture) in zip(axes, pictures.items(), strict=True):
    panel.imshow(picture.reshape(64, 64).T.numpy(), origin="lower", extent=(0, 1, 0, 1), cmap="Greys", vmin=0, vmax=1)
    panel.contour(axis.numpy(), axis.numpy(), truth.reshape(64, 64).T.numpy(), [0.5], colors="C3", linewidths=0.8)
    panel.set(title=name, xticks=[], yticks=[])

# %% [markdown]
# By squares the disk shrinks to nothing before it gets there: an empty image is wrong in one pixel of a hundred. The overlap of
# an empty shape is zero, the worst there is. `problems/inclusion.py` finds a shape from measurements through an equation, where
# nothing of the shape itself was seen; there its IoU is told beside its error.

# %%
assert overlaps["squares"] < 0.1
error = 1 - overlaps["IoU"]
print(f"error, 1 - IoU: {error:.2f}")
assert error < 0.25

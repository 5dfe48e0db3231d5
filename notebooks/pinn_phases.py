# %% [markdown]
# # What the second phase buys, and what noise takes back
#
# Training here goes in two phases: Adam finds the basin, a quasi-Newton method goes to its bottom. This is what each is worth on
# a problem with a closed form, what single precision costs, and what happens when the bottom is not where the truth is.
#
# $$ u_{xx} + u_{yy} + u = f \ \text{ in the unit square}, \qquad u = 0 \ \text{ on its boundary}, \qquad
#    u = \sin \pi x \, \sin 3 \pi y $$

# %%
import matplotlib.pyplot as plt
import numpy as np
from sympy import Eq, pi, sin, symbols

import pinnsolve as ps

x, y = symbols("x y")
u = ps.fields("u", x, y)
square = ps.Box({x: (0, 1), y: (0, 1)})
wave = sin(pi * x) * sin(3 * pi * y)
wall = {"wall": ps.on(square.boundary, Eq(u, 0))}

helmholtz = ps.Problem(
    domain=square, equations={"helmholtz": Eq(ps.laplacian(u, x, y) + u, (1 - 10 * pi**2) * wave)}, conditions=wall
)


def solve(problem, phases, **more):
    network = ps.MLP(width=16, depth=2, activation="sine")
    training = ps.Training(points={"helmholtz": 400}, phases=phases, weights=more.pop("weights", None))
    return ps.solve(problem, network, training, ps.Exact({u: wave}), compile="off", **more)


# %% [markdown]
# ## One budget, three ways to spend it
#
# About 700 gradients each. L-BFGS remembers its last hundred steps; self-scaled Broyden keeps the whole inverse Hessian of the
# 337 parameters and scales it before every update, so that directions in which the loss hardly curves are not forgotten.

# %%
short = ps.Adam(steps=200, lr=5e-3)
ways = {
    "Adam": solve(helmholtz, [ps.Adam(steps=700, lr=5e-3)]),
    "Adam, then L-BFGS": solve(helmholtz, [short, ps.LBFGS(steps=480)]),
    "Adam, then self-scaled Broyden": solve(helmholtz, [short, ps.SSBroyden(steps=460)]),
}
errors = {name: way.errors["u"]["relative_l2"] for name, way in ways.items()}
for name, way in ways.items():
    gradients = sum(phase["evaluations"] for phase in way.record["phases"])
    print(f"{name}: {gradients} gradients, relative L2 error {errors[name]:.1e}")

# %%
figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, way in ways.items():
    axes.semilogy([p.evaluations for p in way.history], [p.held_out for p in way.history], label=name)
axes.set(xlabel="gradients", ylabel="loss on held-out points")
axes.legend(frameon=False)

# %% [markdown]
# Adam divides every entry of the gradient by its usual size: a scale for each parameter, and no word on how parameters work
# together. Near the minimum that is what is left to know.

# %% [markdown]
# ## Single precision
#
# The line search compares losses, and a loss is known to about $10^{-7}$ of its largest part in float32. What is smaller looks
# like no progress, and the phase ends by itself, long before its steps are used up. For Adam, which never compares, float32 does
# no harm:

# %%
single = solve(helmholtz, [short, ps.SSBroyden(steps=460, dtype="float32")], dtype="float32")
mixed = solve(helmholtz, [short, ps.SSBroyden(steps=460)], dtype="float32")
for name, way in {"float32 throughout": single, "float32, then float64": mixed}.items():
    last = way.record["phases"][-1]
    print(f"{name}: {last['steps']} steps ({last['ended']}), relative L2 error {way.errors['u']['relative_l2']:.1e}")

# %% [markdown]
# ## Noise
#
# Now the diffusivity $k$ is unknown, $k\,(u_{xx} + u_{yy}) + 10 \pi^2 u = 0$, and a hundred sensors measure $u$. The truth is $k
# = 1$. More noise, the same two phases:

# %%
k = symbols("k", positive=True)
random = np.random.default_rng(0)
at_x, at_y = random.uniform(size=(2, 100))
clean, deviates = np.sin(np.pi * at_x) * np.sin(3 * np.pi * at_y), random.normal(size=100)


def identify(noise, phases, weights=None):
    sensors = ps.Observations(at={x: at_x, y: at_y}, values={u: clean + noise * deviates}, noise=noise)
    problem = ps.Problem(
        domain=square,
        equations={"helmholtz": Eq(k * ps.laplacian(u, x, y) + 10 * pi**2 * u, 0)},
        conditions=wall,
        unknowns={k: 0.5},
        data={"sensors": sensors},
    )
    return solve(problem, phases, weights=weights)


second = [short, ps.SSBroyden(steps=300)]
noisy = {noise: identify(noise, second) for noise in (1e-3, 1e-2, 1e-1)}
for noise, found in noisy.items():
    print(f"noise {noise:g}: relative L2 error {found.errors['u']['relative_l2']:.1e}, k = {found.unknowns['k']:.6f}")

# %% [markdown]
# The error is now that of the measurements, and grows in proportion to their noise. The equation leaves a single amplitude open,
# and a hundred readings determine it as well as least squares can and no better. Here is how far off they put it, without any
# network:

# %%
amplitude = clean @ deviates / (clean @ clean)
for noise in noisy:
    print(f"noise {noise:g}: the least-squares amplitude is wrong by {abs(noise * amplitude):.1e}")

# %% [markdown]
# It matters that the equation is there. Let it weigh next to nothing, and the bottom of the basin is the curve through all the
# noise. Adam, the worse optimizer, stops on the way there and is closer to the truth; the second phase arrives:

# %%
light = {"helmholtz": 1e-6, "sensors": 1}
early, late = (identify(0.1, phases, light) for phases in ([ps.Adam(steps=500, lr=5e-3)], second))
for name, found in {"Adam": early, "Adam, then self-scaled Broyden": late}.items():
    misfit = np.sqrt(np.mean((found(x=at_x, y=at_y) - clean - 0.1 * deviates) ** 2))
    error = found.errors["u"]["relative_l2"]
    print(f"{name}: misfit {misfit:.3f}, relative L2 error {error:.2f}, k = {found.unknowns['k']:.2f}")

# %% [markdown]
# A misfit of less than half the noise is the sign to look for: no honest fit of 100 readings is that good.

# %%
assert errors["Adam, then self-scaled Broyden"] < errors["Adam, then L-BFGS"] < errors["Adam"] / 5
assert mixed.errors["u"]["relative_l2"] < single.errors["u"]["relative_l2"] / 3
assert abs(noisy[0.1].errors["u"]["relative_l2"] - 0.1 * abs(amplitude)) < 2e-3
assert late.errors["u"]["relative_l2"] > 3 * early.errors["u"]["relative_l2"]
error = errors["Adam, then self-scaled Broyden"]
print(f"relative L2 error {error:.1e}")
assert error < 1e-5

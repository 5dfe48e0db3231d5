# %% [markdown]
# # Which measurements to hold out
#
# Ten sensors along a rod read a standing wave six times each. Every sensor has an offset of its own, as sensors do, and a little
# noise. How good is a fit? That depends on what was held out: single readings, whose neighbours from the same sensor were trained
# on, or whole sensors.

# %%
import numpy as np
from sympy import Eq, pi, sin, symbols

import pinnsolve as ps

x = symbols("x")
u = ps.fields("u", x)

random = np.random.default_rng(2)
places = (np.arange(10) + random.uniform(0.2, 0.8, 10)) / 10
offsets = 0.2 * random.normal(size=10)
sensor = np.repeat(np.arange(10), 6)
readings = np.sin(4 * np.pi * places[sensor] + 0.5) + offsets[sensor] + 0.02 * random.normal(size=60)

problem = ps.Problem(
    domain=ps.Interval(x, 0, 1),
    equations={"wave": Eq(u.diff(x, 2), -((4 * pi) ** 2) * u)},
    data={
        "sensors": ps.Observations(
            at={x: places[sensor]},
            values={u: readings},
            split=[ps.GroupSplit(sensor, 0.25), ps.RandomSplit(0.2)],
        )
    },
)
truth = ps.Exact({u: sin(4 * pi * x + 0.5)})

# %% [markdown]
# First a network that knows nothing of the wave: its equation weighs next to nothing, and only the readings are left to fit. Then
# the same network with the equation.


# %%
def fit(weight: float) -> ps.Solution:
    training = ps.Training(
        points={"wave": 50},
        phases=[ps.Adam(steps=300, lr=1e-2), ps.SSBroyden(steps=400)],
        weights={"wave": weight, "sensors": 1},
    )
    return ps.solve(problem, ps.MLP(width=20, depth=3, activation="sine"), training, truth, compile="off")


solutions = {"without the equation": fit(1e-9), "with the equation": fit(1e-3)}

# %%
for name, solution in solutions.items():
    misfits = {split: found["rms"] for split, found in solution.held_out["sensors"].items()}
    error = solution.errors["u"]["relative_l2"]
    print(f"{name}: " + ", ".join(f"{split} {rms:.3f}" for split, rms in misfits.items()) + f"; error {error:.3f}")

# %% [markdown]
# Without the equation, readings held out at random are met to within their noise: the network has memorised the offset of each
# sensor, and the split praises it for that. Whole sensors that it has not seen tell what it is worth between the others. With the
# equation both splits say nearly the same, the size of the offsets, which no wave can follow: the random split prefers the network
# that is four times farther from the truth.

# %%
memorised, learned = (solution.held_out["sensors"] for solution in solutions.values())
print(f"random split: {memorised['random']['rms']:.3f} without, {learned['random']['rms']:.3f} with the equation")
print(f"whole sensors: {memorised['groups']['rms']:.3f} without, {learned['groups']['rms']:.3f} with the equation")
assert memorised["random"]["rms"] < 0.5 * learned["random"]["rms"]
assert memorised["groups"]["rms"] > 1.5 * learned["groups"]["rms"]
error = solutions["with the equation"].errors["u"]["relative_l2"]
print(f"relative L2 error against the truth: {error:.3f}")
assert error < 0.15

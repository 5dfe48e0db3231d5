# %% [markdown]
# # Mechanistic against black-box
#
# Forty readings of a swinging mass over three seconds, with noise. Where will it be after eight? The same network is fitted to
# the same readings four times: by itself; with the equation of motion; with its form, but not its coefficients; and with a form
# that is wrong.
#
# $$ \ddot u + 0.4\, \dot u + 9.04\, u = 0, \qquad u(t) = e^{-t/5} \cos 3t $$

# %%
import matplotlib.pyplot as plt
import numpy as np
from sympy import Eq, symbols

import pinnsolve as ps

t = symbols("t")
damping, stiffness = symbols("damping stiffness", positive=True)
u = ps.fields("u", t)

SEEN, END, NOISE = 3.0, 8.0, 0.05
random = np.random.default_rng(1)
times = random.uniform(0, SEEN, 40)
readings = np.exp(-times / 5) * np.cos(3 * times) + NOISE * random.normal(size=40)


def motion(damping, stiffness):
    return Eq(u.diff(t, 2) + damping * u.diff(t) + stiffness * u, 0)


def fit(equation, unknowns=None, weight=1.0, seed=0):
    problem = ps.Problem(
        domain=ps.Interval(t, 0, END),
        equations={"motion": equation},
        unknowns=unknowns or {},
        data={"sensor": ps.Observations(at={t: times}, values={u: readings}, noise=NOISE)},
    )
    training = ps.Training(
        points={"motion": 100},
        phases=[ps.Adam(steps=300, lr=1e-2), ps.SSBroyden(steps=500)],
        weights={"motion": weight, "sensor": 1},
    )
    return ps.solve(problem, ps.MLP(width=20, depth=2, activation="sine"), training, seed=seed, compile="off")


# %% [markdown]
# By itself means that the equation weighs next to nothing; all else is the same.

# %%
guess = {damping: 1.0, stiffness: 5.0}
fits = {
    "no equation": fit(motion(0.4, 9.04), weight=1e-12),
    "equation": fit(motion(0.4, 9.04)),
    "form alone": fit(motion(damping, stiffness), guess),
    "wrong form": fit(motion(0, stiffness), {stiffness: 5.0}),
}


def error_of(solution, low, high):
    """Relative L2 error between two times."""
    at = np.linspace(low, high, 400)
    truth = np.exp(-at / 5) * np.cos(3 * at)
    return np.linalg.norm(solution(t=at) - truth) / np.linalg.norm(truth)


inside = {name: error_of(found, 0, SEEN) for name, found in fits.items()}
outside = {name: error_of(found, SEEN, END) for name, found in fits.items()}
for name in fits:
    print(f"{name}: relative L2 error {inside[name]:.3f} where there are readings, {outside[name]:.3f} beyond")

# %%
at = np.linspace(0, END, 400)
figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.plot(at, np.exp(-at / 5) * np.cos(3 * at), "k", lw=3, alpha=0.2, label="truth")
for name, found in fits.items():
    axes.plot(at, found(t=at), label=name, lw=1.2)
axes.plot(times, readings, "k.", ms=4)
axes.set(xlabel="t", ylabel="u", ylim=(-1.6, 1.6))
axes.legend(frameon=False, ncols=3, fontsize=8)

# %% [markdown]
# Where there are readings, all but the wrong form are good, and a random split of the readings would hardly tell them apart.
# Beyond, the network by itself is no prediction at all: nothing was ever asked of it there. With the equation, what is left open
# is two numbers, position and velocity at the start; with its form alone, four. The form found these coefficients:

# %%
found = fits["form alone"].unknowns
print(f"damping {found['damping']:.3f} (0.4), stiffness {found['stiffness']:.3f} (9.04)")

# %% [markdown]
# A wrong form is worse than the right one on both sides of the last reading: no undamped swing follows readings that die out, and
# the misfit to the readings says so before anybody extrapolates.

# %%
misfits = {name: np.sqrt(np.mean((found(t=times) - readings) ** 2)) for name, found in fits.items()}
print(", ".join(f"{name}: misfit {misfit:.3f}" for name, misfit in misfits.items()), f"; noise {NOISE}")

# %%
assert outside["no equation"] > 0.7 and outside["wrong form"] > 5 * outside["form alone"]
assert misfits["wrong form"] > 1.5 * misfits["equation"]
assert abs(found["stiffness"] - 9.04) < 0.5
error = outside["equation"]
print(f"relative L2 error {error:.3f} in five seconds that were never measured")
assert error < 0.1

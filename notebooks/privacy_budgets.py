# %% [markdown]
# # A rate, and nobody's reading
#
# Two thousand people each give one reading of how a substance decays in them. The rate $k$ of $\dot u = -k u$ is to be published,
# and what is published must tell hardly anything of any one of them. With `ps.Privacy` each step takes the gradient of every row
# by itself, cuts it to a length, adds them up and adds noise; what that costs is an $\varepsilon$.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sympy import Eq, symbols

import pinnsolve as ps
from pinnsolve.training.accountant import Release, noise_for, spent

t = symbols("t")
k = symbols("k", positive=True)
u = ps.fields("u", t)
random = np.random.default_rng(0)
times = random.uniform(0, 2, 2_000)
readings = np.exp(-times) + 0.05 * random.normal(size=2_000)
DELTA = 1e-5

# %% [markdown]
# ## What an epsilon means
#
# Somebody who knows everybody else's reading looks at the result and says whether a person took part. Guessing is right half the
# time. With $(\varepsilon, \delta)$-privacy the rate of hits on members exceeds that of false alarms by no more than
# $(e^\varepsilon - 1 + 2 \delta) / (e^\varepsilon + 1)$ (Humphries et al. 2020).


# %%
def advantage(epsilon):
    return (np.exp(epsilon) - 1 + 2 * DELTA) / (np.exp(epsilon) + 1)


for epsilon in (0.1, 0.5, 1, 2, 5):
    print(f"epsilon {epsilon}: an advantage of at most {advantage(epsilon):.2f}")

# %% [markdown]
# ## What it costs in noise
#
# Noise is counted in lengths that gradients are cut to. It grows with the number of steps, by about its root. Where each row
# takes part in a tenth of the steps alone, by chance, a tenth of the noise is enough; but the sum is of a tenth of the rows as
# well, so that what is won is time.

# %%
steps = np.array([10, 30, 100, 300, 1_000])
noises = {q: [noise_for(1.0, delta=DELTA, sample=q, steps=int(n)) for n in steps] for q in (1.0, 0.1)}
figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
for q, noise in noises.items():
    axes.loglog(steps, noise, "o-", label=f"each row in {q:.0%} of the steps")
axes.set(xlabel="steps", ylabel="noise for epsilon = 1")
axes.legend(frameon=False)
print({q: np.round(noise, 1).tolist() for q, noise in noises.items()})

# %% [markdown]
# ## What it costs in accuracy
#
# A budget, the steps, and the accountant chooses the noise. Private runs draw their noise from the system and never repeat. The
# last run has no privacy, and a second-order phase, which a private run must do without: it looks at every row again and again.


# %%
def find(privacy):
    problem = ps.Problem(
        domain=ps.Interval(t, 0, 2),
        equations={"decay": Eq(u.diff(t), -k * u)},
        conditions={"start": Eq(u(0), 1)},
        unknowns={k: 0.5},
        data={"people": ps.Observations(at={t: times}, values={u: readings}, privacy=privacy)},
    )
    phases = [ps.Adam(steps=200, lr=2e-2)]
    if privacy is None:
        phases.append(ps.LevenbergMarquardt(steps=20))
    training = ps.Training(points={"decay": 30}, phases=phases)
    return ps.solve(problem, ps.MLP(width=6, depth=1), training, ps.Exact({u: np.e ** (-t)}), compile="off")


runs = {epsilon: find(ps.Privacy(epsilon, DELTA, clip=0.1)) for epsilon in (0.2, 1.0, 5.0)}
public = find(None)
for epsilon, run in runs.items():
    paid = run.record["privacy"]["people"]["epsilon"]
    print(f"epsilon {epsilon}: spent {paid:.3f}, k = {run.unknowns['k']:.3f}")
print(f"no privacy: k = {public.unknowns['k']:.3f}")

# %% [markdown]
# Budgets add up. Three runs on the same people are one larger run, somewhat less than three times as dear, and a ledger beside a
# table of readings refuses the run that would exceed its budget:

# %%
once = Release(noise_for(1.0, delta=DELTA, sample=1.0, steps=200), sample=1.0, steps=200)
print(f"once {spent([once], delta=DELTA):.2f}, three times {spent([once] * 3, delta=DELTA):.2f}")

# %%
assert all(run.record["privacy"]["people"]["epsilon"] <= epsilon * (1 + 1e-9) for epsilon, run in runs.items())
assert abs(public.unknowns["k"] - 1) < 0.02
assert spent([once], delta=DELTA) <= 1 < spent([once] * 3, delta=DELTA) < 3
error = abs(runs[5.0].unknowns["k"] - 1)
print(f"error of the rate {error:.3f} at epsilon 5")
assert error < 0.15

# %% [markdown]
# # When the measurements move away
#
# A decay was measured, its rate found, the solution put to use. Rows go on coming in. One day the rate is another one, and nobody
# says so. `ps.monitor` compares every row with the solution, notices, and trains again.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sympy import Eq, symbols

import pinnsolve as ps

t = symbols("t")
k = symbols("k", positive=True)
u = ps.fields("u", t)
NOISE = 0.01


def rows(count, rate, seed):
    random = np.random.default_rng(seed)
    times = random.uniform(0, 2, count)
    values = np.exp(-rate * times) + NOISE * random.normal(size=count)
    return [{"t": at, "u": value} for at, value in zip(times.tolist(), values.tolist(), strict=True)]


training = ps.Training(points={"decay": 60}, phases=[ps.Adam(steps=60, lr=1e-2), ps.LevenbergMarquardt(steps=25)])
measured = rows(200, 1.0, seed=0)
problem = ps.Problem(
    domain=ps.Interval(t, 0, 2),
    equations={"decay": Eq(u.diff(t), -k * u)},
    conditions={"start": Eq(u(0), 1)},
    unknowns={k: 0.5},
    data={"sensor": ps.Observations(at={t: [r["t"] for r in measured]}, values={u: [r["u"] for r in measured]})},
)
solution = ps.solve(problem, ps.MLP(width=8, depth=2), training, compile="off")
print(f"k = {solution.unknowns['k']:.3f}")

# %% [markdown]
# ## How soon is it noticed?
#
# The first hundred rows say which misfit is usual. After four hundred the rate rises. Page and Hinkley's test adds up what
# exceeds the mean and alarms when the sum has risen by too much; ADWIN compares the two parts of every cut of a window. The first
# is faster, the second supposes less about what is usual.

# %%
rises = (1.05, 1.1, 1.2, 1.4)
detectors = {"Page-Hinkley": ps.PageHinkley(), "ADWIN": ps.ADWIN()}
delays = {name: [] for name in detectors}
for rise in rises:
    stream = [*rows(400, 1.0, seed=1), *rows(300, rise, seed=2)]
    for name, detector in detectors.items():
        finding = ps.monitor(solution, stream, detector=detector).findings[0]
        delays[name].append(finding.row - 400)
for name, delay in delays.items():
    print(f"{name}: " + ", ".join(f"{d} rows after a rise to {r}" for d, r in zip(delay, rises, strict=True)))
quiet = ps.monitor(solution, rows(2_000, 1.0, seed=3))
print(f"without a change: {len(quiet.findings)} alarms in {quiet.rows} rows")

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
stream = [*rows(400, 1.0, seed=1), *rows(300, rises[0], seed=2)]
misfits = [abs(row["u"] - float(solution(t=row["t"]))) for row in stream]
axes.plot(misfits, ".", ms=3)
axes.axvline(400, color="k", lw=0.8, label="the rate rises by 5 %")
axes.axvline(400 + delays["Page-Hinkley"][0], color="C1", lw=1.2, label="noticed")
axes.set(xlabel="row", ylabel="misfit")
axes.legend(frameon=False)

# %% [markdown]
# A misfit at a place where $u$ has hardly decayed says little whatever the rate is; a single row proves little, a few do.
#
# ## And then?
#
# `policy="retrain"` takes the two hundred rows that follow the change and goes on training from the present state.

# %%
adapted = []
found = ps.monitor(
    solution,
    [*rows(400, 1.0, seed=4), *rows(400, 1.3, seed=5)],
    policy="retrain",
    training=training,
    adapted=adapted.append,
)
(change,) = found.findings
print(f"noticed at row {change.row}, since about row {change.since}; then k = {adapted[0].unknowns['k']:.3f}")
at = np.linspace(0, 2, 101)
truth = np.exp(-1.3 * at)
stale, error = (float(np.linalg.norm(s(t=at) - truth) / np.linalg.norm(truth)) for s in (solution, adapted[0]))
print(f"relative L2 error against the new truth: {stale:.3f} before, {error:.4f} once adapted")

# %%
assert not quiet.findings and abs(change.since - 401) <= 20
assert delays["Page-Hinkley"][-1] < delays["Page-Hinkley"][0]
assert stale > 0.1
assert error < 0.01

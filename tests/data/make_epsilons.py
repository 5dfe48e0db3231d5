"""Make epsilons.csv: what Google's differential-privacy library finds for thirty settings of the sampled Gaussian mechanism.

Run once, by hand, with its accountant for Rényi differential privacy and orders close enough to each other:

    pip install dp-accounting==0.6.0
    python tests/data/make_epsilons.py
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
from dp_accounting import dp_event, rdp

ORDERS = sorted({*(1 + k / 10 for k in range(1, 100)), *range(2, 64), *map(int, np.geomspace(64, 4_096, 60))})
NOISES = (0.8, 1.1, 2.0, 5.0, 12.0)
USES = (
    (0.001, 20_000, 1e-6),
    (0.004, 10_000, 1e-5),
    (0.01, 3_000, 1e-5),
    (0.03, 2_000, 1e-4),
    (0.1, 200, 1e-5),
    (1, 10, 1e-3),
)

rows = []
for noise, (sample, steps, delta) in itertools.product(NOISES, USES):
    accountant = rdp.RdpAccountant(ORDERS)
    accountant.compose(dp_event.PoissonSampledDpEvent(sample, dp_event.GaussianDpEvent(noise)), steps)
    rows.append((noise, sample, steps, delta, float(accountant.get_epsilon(delta))))

with Path(__file__).with_name("epsilons.csv").open("w", encoding="utf-8", newline="") as stream:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("noise", "sample", "steps", "delta", "epsilon"))
    writer.writerows(rows)

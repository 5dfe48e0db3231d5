"""Motifs: counts against subgraphs found one by one, random networks of the same degrees, and what training does to them."""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest
import torch
from networkx.algorithms.isomorphism import DiGraphMatcher
from sympy import symbols
from torch import nn

import pinnsolve as ps
from pinnsolve.networks.motifs import Excess, census, connections, excesses, exchanged

BI_FAN = nx.DiGraph([(0, 2), (0, 3), (1, 2), (1, 3)])
DIAMOND = nx.DiGraph([(0, 1), (0, 2), (1, 3), (2, 3)])


def layered(sizes: list[int], *, seed: int, share: float = 0.5) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random((after, before)) < share for before, after in itertools.pairwise(sizes)]


def graph(layers: list[np.ndarray]) -> nx.DiGraph:
    return nx.DiGraph([((k, int(a)), (k + 1, int(b))) for k, layer in enumerate(layers) for b, a in np.argwhere(layer)])


def subgraphs(layers: list[np.ndarray], motif: nx.DiGraph) -> int:
    """How many sets of four units are connected so, from every mapping of the motif; connections over a layer do not exist."""
    found = DiGraphMatcher(graph(layers), motif).subgraph_isomorphisms_iter()
    return len({frozenset(mapping) for mapping in found})


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_counts_are_those_of_subgraphs_found_one_by_one(seed: int) -> None:
    layers = layered([4, 5, 5, 3], seed=seed)
    assert census(layers) == {"bi-fan": subgraphs(layers, BI_FAN), "diamond": subgraphs(layers, DIAMOND)}


def test_exchanges_keep_every_degree_and_reach_every_network_equally() -> None:
    layers = layered([6, 8, 7], seed=3)
    generator = np.random.default_rng(0)
    others = [exchanged(layers, generator) for _ in range(20)]
    for other in others:
        for before, after in zip(layers, other, strict=True):
            assert (before.sum(0) == after.sum(0)).all() and (before.sum(1) == after.sum(1)).all()
    assert len({b"".join(layer.tobytes() for layer in other) for other in others}) > 15
    # Three units each with one input of three: all six matchings, each a sixth of the time.
    counts: dict[bytes, int] = {}
    for _ in range(600):
        (one,) = exchanged([np.eye(3, dtype=bool)], generator)
        counts[one.tobytes()] = counts.get(one.tobytes(), 0) + 1
    assert len(counts) == 6 and max(counts.values()) < 150 and min(counts.values()) > 60


def test_what_chance_gives_has_no_excess_and_planted_fans_have_one() -> None:
    scores = [excesses(layered([12, 12, 12], seed=s, share=0.3), networks=60)["bi-fan"].score for s in range(20)]
    assert abs(np.mean(scores)) < 0.8 and np.std(scores) < 2
    blocks = np.kron(np.eye(3, dtype=bool), np.ones((4, 4), dtype=bool))
    assert excesses([blocks, blocks], networks=60)["bi-fan"].score > 5
    assert Excess(3, 3.0, 0.0).score == 0.0


def test_connections_are_those_of_the_largest_weights() -> None:
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, -4.0], [0.1, 0.2]]))
    network = nn.Sequential(layer, nn.Linear(2, 1, bias=False))
    first, second = connections(network, share=0.5)
    assert first.tolist() == [[True, True], [False, False]] and second.sum() == 1
    with pytest.raises(ValueError, match="do not feed each other"):
        connections(nn.Sequential(nn.Linear(2, 3), nn.Linear(2, 1)))
    with pytest.raises(ValueError, match="share"):
        connections(network, share=0)


x, y = symbols("x y")


def scores(seed: int, *, trained: bool) -> dict[str, float]:
    """Scores of the motifs in a network before and after it learnt a wave in two dimensions."""
    from sympy import Eq, pi, sin

    u = ps.fields("u", x, y)
    box = ps.Box({x: (0, 1), y: (0, 1)})
    wave = sin(2 * pi * x) * sin(3 * pi * y)
    problem = ps.Problem(
        domain=box,
        equations={"poisson": Eq(ps.laplacian(u, x, y), -13 * pi**2 * wave)},
        conditions={"edge": ps.on(box.boundary, Eq(u, 0))},
    )
    steps = 60 if trained else 1
    phases = [ps.Adam(steps=100 if trained else 1, lr=5e-3 if trained else 1e-12)]
    if trained:
        phases.append(ps.LevenbergMarquardt(steps=steps, resample=1))  # type: ignore[arg-type]
    training = ps.Training(points={"poisson": 400}, phases=phases)
    solution = ps.solve(problem, ps.MLP(width=20, depth=3), training, seed=seed, plots=False, compile="off")
    hidden = connections(solution.trial.network, share=0.25)[1:-1]
    return {name: excess.score for name, excess in excesses(hidden, networks=100).items()}


@pytest.mark.slow
def test_training_makes_fans_of_hidden_units_more_frequent_than_degrees_explain() -> None:
    """By little: about a standard deviation, in the mean over five networks."""
    before = [scores(seed, trained=False) for seed in range(5)]
    after = [scores(seed, trained=True) for seed in range(5)]
    for name in ("bi-fan", "diamond"):
        untrained, trained = [s[name] for s in before], [s[name] for s in after]
        print(f"\n{name}: before {np.round(untrained, 1)}, after {np.round(trained, 1)}")
    assert abs(np.mean([s["bi-fan"] for s in before])) < 1
    assert np.mean([s["bi-fan"] for s in after]) > np.mean([s["bi-fan"] for s in before]) + 0.5

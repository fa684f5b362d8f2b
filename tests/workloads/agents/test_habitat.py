"""Worlds are what the model says, and nobody's is another's."""

from __future__ import annotations

import numpy as np

from memopt_cli.workloads.agents.families import STAY, model_named
from memopt_cli.workloads.agents.habitat import Habitat
from memopt_cli.workloads.agents.kinds import Kind

COUNT, STEPS = 200, 40
SLOTS = np.arange(COUNT)


def settled(*, seed: int = 1, first: int = 0) -> Habitat:
    """Return the worlds of agents on a grid, numbered from *first*."""
    habitat = Habitat([Kind("G10", 1, learns=False)], seed=seed, capacity=10)
    habitat.settle(SLOTS, SLOTS + first, np.zeros(COUNT, dtype=np.intp))
    return habitat


def lived(habitat: Habitat) -> np.ndarray:
    """Return what agents see that stay where they are, [step, agent]."""
    seen = []
    for _ in range(STEPS):
        seen.append(habitat.seen(SLOTS, 0)[:, 0])
        habitat.act(SLOTS, 0, np.full(COUNT, STAY))
    return np.array(seen)


def test_sights_are_as_likely_as_the_model_says() -> None:
    """Of 8,000, each agent's in its own order: the share of true readings, within 2 %."""
    habitat = settled()
    seen = lived(habitat)
    model = model_named("G10", 1)
    at = habitat._at[:, 0]
    expected = model.likelihoods[0][at, at].mean()

    assert abs((seen == at).mean() - expected) < 0.02
    # Draws that repeat would show the same agents' mistakes at the same steps.
    wrong = seen != at
    assert wrong.any(axis=0).mean() > 0.95
    assert wrong.any(axis=1).all()
    assert len(np.unique(wrong, axis=0)) == STEPS


def test_starts_are_spread() -> None:
    """Two hundred agents are in most of the hundred cells."""
    assert len(np.unique(settled()._at[:, 0])) > 75


def test_a_world_depends_on_the_seed_and_the_agent_alone() -> None:
    """Not on who else there is; another seed and another agent have other worlds."""
    seen = lived(settled())

    assert np.array_equal(seen, lived(settled()))
    assert not np.array_equal(seen, lived(settled(seed=2)))
    assert np.array_equal(seen[:, 5:], lived(settled(first=5))[:, :-5])


def test_what_was_done_shows() -> None:
    """Two agents that act alike up to their last action have other trails."""
    habitat, other = settled(), settled()
    for codes in (np.zeros(COUNT, dtype=np.intp), np.arange(COUNT) % 5):
        habitat.act(SLOTS, 0, codes)
    for codes in (np.zeros(COUNT, dtype=np.intp), (np.arange(COUNT) + 1) % 5):
        other.act(SLOTS, 0, codes)

    assert all(habitat.trail(slot) != other.trail(slot) for slot in range(COUNT))
    assert (3, 2) == habitat.trail(3)[:2]


def test_who_left_is_gone() -> None:
    """A slot that is used again is another agent's."""
    habitat = settled()
    habitat.leave(SLOTS[:150])

    assert list(range(150, 200)) == habitat.living().tolist()

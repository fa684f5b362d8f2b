"""Histories come back as they went in: the latest, or all, in order."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import ActionHistory
from memopt_cli.optimizer.agents.rings import Digits, Rings, opened, ring_words, sealed
from tests.optimizer.agents.lives import population_of

VERBS = ("wait", "move", "look", "take", "drop")


@given(
    base=st.integers(1, 300) | st.sampled_from([5, 1 << 16, 1 << 32]),
    length=st.integers(0, 70),
    pushes=st.integers(0, 200),
    seed=st.integers(0, 99),
)
def test_rings_keep_the_latest(base: int, length: int, pushes: int, seed: int) -> None:
    """Rows of different ages, any base, any length; the oldest first and dropped first."""
    random = np.random.default_rng(seed)
    digits = Digits(base)
    words = np.zeros((3, ring_words(digits, length)), dtype=np.uint64)
    rings = Rings(words, np.zeros(3, dtype=np.int64), digits, length)
    expected: list[list[int]] = [[], [], []]
    for _ in range(pushes):
        rows = np.flatnonzero(random.random(3) < (0.9, 0.5, 0.1))
        actions = random.integers(base, size=len(rows))
        rings.push(rows, actions)
        for chosen, action in zip(rows, actions, strict=True):
            expected[chosen].append(int(action))

    for row, actions_of_row in enumerate(expected):
        assert actions_of_row[len(actions_of_row) - min(len(actions_of_row), length) :] == (
            rings.read(row).tolist()
        )


@given(
    verbs=st.integers(1, 6),
    limit=st.none() | st.integers(1, 2_000),
    count=st.integers(0, 3_000),
    seed=st.integers(0, 99),
)
def test_an_action_history_is_a_list(verbs: int, limit: int | None, count: int, seed: int) -> None:
    """Of words, without a limit or the last so many, sealed blocks or not."""
    names = [f"verb-{number}" for number in range(verbs)]
    history = ActionHistory(names, limit=limit)
    expected = [names[n] for n in np.random.default_rng(seed).integers(verbs, size=count)]
    for verb in expected:
        history.append(verb)
    kept = expected if limit is None else expected[-limit:]

    assert kept == history.to_list()
    assert len(kept) == len(history)


@pytest.mark.parametrize("beyond", range(4))
def test_a_limit_near_whole_blocks_is_kept_to(beyond: int) -> None:
    """Not one action less is remembered when the oldest block goes, and not two blocks more."""
    verbs = range(6)
    history = ActionHistory(verbs)
    block = history._per_block
    history = ActionHistory(verbs, limit=block + beyond)
    shown, held = set(), set()
    for number in range(4 * block):
        history.append(number % 6)
        shown.add(len(history) - min(number + 1, block + beyond))
        held.add(history._count - history._dropped * block)

    assert {0} == shown
    assert max(held) < block + beyond + 2 * block


@pytest.mark.parametrize("regular", [True, False])
def test_5000_of_5_verbs_are_five_times_smaller(*, regular: bool) -> None:
    """In deep size, against a list; deflated blocks only where that is smaller."""
    random = np.random.default_rng(1)
    verbs = [VERBS[n % 5 if regular else random.integers(5)] for n in range(5_000)]
    history = ActionHistory(VERBS)
    for verb in verbs:
        history.append(verb)
    parts = [history._blocks, *history._blocks, history._words, *history._words, history]
    ours = sum(map(sys.getsizeof, parts))

    assert verbs == history.to_list()
    assert sys.getsizeof(verbs) / ours >= 5
    assert {regular} == {block[:1] == b"\1" for block in history._blocks}


@given(st.binary(max_size=300))
def test_sealing_is_reversible_and_adds_a_byte_at_most(content: bytes) -> None:
    """Incompressible content is kept raw."""
    assert content == opened(sealed(content))
    assert len(sealed(content)) <= len(content) + 1


def test_whole_histories_are_bit_exact_at_any_length() -> None:
    """Through sealed blocks, sleep and the removal of others."""
    population = population_of("G3", history=20, whole_history=True)
    handles = population.add(3)
    expected: dict[int, list[int]] = {handle: [] for handle in handles}
    for step in range(500):
        codes = population.step([[(step * n) % 9, 0] for n in (1, 2, 3)], handles)
        for handle, code in zip(handles, codes, strict=True):
            population.did(handle, (int(code) + step) % 5)
            expected[handle].append((int(code) + step) % 5)
        if step % 50 == 0:
            population.hibernate(handles[step // 50 % 3])
    population.remove(handles[0])

    assert 0 < population.stats().archive_bytes < 500
    for handle in handles[1:]:
        assert expected[handle] == population.history(handle)


def test_what_no_history_can_hold_is_refused() -> None:
    """Verbs given twice, none, unknown ones, and limits below one."""
    for verbs, limit in ((["a", "a"], None), ([], None), (["a"], 0)):
        with pytest.raises(AgentError):
            ActionHistory(verbs, limit=limit)
    with pytest.raises(AgentError, match="no verb"):
        ActionHistory(["a"]).append("b")
    with pytest.raises(AgentError):
        Digits(0)

"""The collector runs between steps, never within one, and is as it was afterwards."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import StepBoundaries

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cycle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """Collect the generations of all collections, and leave the collector as it was."""
    found: list[int] = []

    def heard(phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            found.append(info["generation"])

    enabled, thresholds = gc.isenabled(), gc.get_threshold()
    gc.callbacks.append(heard)
    yield found
    gc.callbacks.remove(heard)
    gc.set_threshold(*thresholds)
    (gc.enable if enabled else gc.disable)()


def test_steps_are_left_alone_and_boundaries_collect(collections: list[int]) -> None:
    """What would start a hundred collections starts none in a step; each boundary has its own."""
    gc.set_threshold(10, 10, 10)
    within = 0
    with StepBoundaries(every=2, full_every=5) as boundaries:
        collections.clear()
        for _ in range(10):
            before = len(collections)
            with boundaries.step():
                garbage = [Cycle() for _ in range(1000)]
                within += len(collections) - before
            del garbage
        found = list(collections)
    assert (0, [0, 0, 2, 0, 0, 2]) == (within, found)


def test_garbage_of_steps_is_found(collections: list[int]) -> None:
    """A cycle that nobody refers to is gone behind its step."""
    collections.clear()
    with StepBoundaries(every=1) as boundaries:
        with boundaries.step():
            gone = weakref.ref(Cycle())
            assert gone() is not None
        assert gone() is None


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was(enabled: bool, collections: list[int]) -> None:
    """Also after an error; and whoever had switched it off is not collected for."""
    (gc.enable if enabled else gc.disable)()
    before = gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()
    boundaries = StepBoundaries(every=1)
    with boundaries:
        collections.clear()
        with boundaries.step():
            assert not gc.isenabled()
        assert int(enabled) == len(collections)
    with pytest.raises(KeyError), boundaries, boundaries.step():
        raise KeyError
    assert before == (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())


@pytest.mark.parametrize(("every", "full_every"), [(0, 1), (1, 0)])
def test_a_collection_every_so_many_steps_needs_a_number(every: int, full_every: int) -> None:
    """Less than one is refused."""
    with pytest.raises(AgentError):
        StepBoundaries(every=every, full_every=full_every)

"""What other programs take of the processors is known, or said not to be."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from memopt_cli.engine.neighbours import Neighbours, Others
from memopt_cli.profiler import processors
from memopt_cli.profiler.processors import ProcessorTimes

if TYPE_CHECKING:
    import pytest


def test_what_others_use_is_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's, the drivers' and our own time is taken away."""
    times = iter([ProcessorTimes(100.0, 400.0), ProcessorTimes(107.0, 408.0)])
    monkeypatch.setattr(processors, "read", lambda: next(times))
    began_s = time.process_time()
    found = Neighbours(50.0).since(52.0, 1.5)
    own_s = time.process_time() - began_s

    assert found.used_s is not None
    assert 3.5 - own_s <= found.used_s <= 3.5
    assert 8.0 == found.available_s


def test_without_the_table_others_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for a machine of our own."""
    monkeypatch.setattr(processors, "read", lambda: None)
    assert Others(None, 0.0) == Neighbours(0.0).since(1.0, 1.0)

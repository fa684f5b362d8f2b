"""What other programs take of the processors is known, or said not to be."""

from __future__ import annotations

import pytest

from memopt_cli.engine import neighbours
from memopt_cli.engine.neighbours import Neighbours, Others
from memopt_cli.profiler import processors
from memopt_cli.profiler.processors import ProcessorTimes


@pytest.mark.parametrize(("drivers_s", "others_s"), [(1.5, 3.25), (6.5, 0.0)])
def test_what_others_use_is_what_is_left(
    monkeypatch: pytest.MonkeyPatch, drivers_s: float, others_s: float
) -> None:
    """The server's, the drivers' and our own time is taken away; never more than there was."""
    times = iter([ProcessorTimes(100.0, 400.0), ProcessorTimes(107.0, 408.0)])
    own = iter([9.0, 9.25])
    monkeypatch.setattr(processors, "read", lambda: next(times))
    monkeypatch.setattr(neighbours, "process_time", lambda: next(own))

    assert Others(others_s, 8.0) == Neighbours(50.0).since(52.0, drivers_s)


def test_without_the_table_others_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for a machine of our own."""
    monkeypatch.setattr(processors, "read", lambda: None)
    assert Others(None, 0.0) == Neighbours(0.0).since(1.0, 1.0)

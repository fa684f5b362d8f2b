"""The comparison of agents measures what it says, and a missing package is no figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks import bench_agent_peers
from tests.benchmarks.agent_peers import SETTLED, Measured, measured

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OWN_BYTES = 3_000_000
"""Of six agents of a grid of 10 by 10 that own everything."""


def test_both_kinds_of_ours_are_measured_and_think_alike(tmp_path: Path) -> None:
    """Six naive agents are found to hold their arrays, the population a fraction of that."""
    seen = bench_agent_peers.observations("G10", 6, SETTLED + 2)
    path = tmp_path / "seen.npy"
    np.save(path, seen)
    naive, ours = (measured(kind, "G10", 6, path) for kind in ("naive", "memopt"))
    assert naive.actions == ours.actions
    assert np.allclose(naive.belief, ours.belief, rtol=0, atol=1e-12)
    assert 0.8 * OWN_BYTES < naive.whole_bytes < 1.5 * OWN_BYTES
    assert ours.whole_bytes < OWN_BYTES / 2
    assert min(naive.steps_per_s, ours.steps_per_s) > 0


def test_what_is_not_installed_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has a row that says so; the others have figures and are compared with naive."""

    def found(kind: str, name: str, count: int, path: Path) -> Measured:  # noqa: ARG001 - as the real one is called
        shift = 0.0 if kind == "naive" else 0.25
        return Measured(1000 * count, 100.0 + 100 * (kind == "memopt"), [0.5 - shift], [1])

    monkeypatch.setattr(bench_agent_peers, "measured", found)
    monkeypatch.setattr(bench_agent_peers, "find_spec", lambda _: None)
    bench_agent_peers.main(["--quick"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert [
        ["naive", "0.0", "100", "1.00", "0.0e+00", "100%", "1.00", "3-6"],
        ["memopt", "0.0", "200", "2.00", "2.5e-01", "100%", "1.00", "3-6"],
        ["pymdp", "not", "measured"],
        ["mesa", "not", "measured"],
        ["pymdp-jax", "not", "measured"],
    ] == rows

"""Drivers with the settings of a test."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from memopt_cli.workloads.sockets.plan import plan
from memopt_cli.workloads.sockets.settings import DriverSettings
from memopt_cli.workloads.sockets.shards import Shards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.workloads.sockets.tally import Report


@contextmanager
def driving(
    port: int, count: int, protocol: str = "tcp", *, drivers: int = 1, **changes: Any
) -> Iterator[Shards]:
    """Yield drivers for *count* connections to a port of this machine."""
    options = changes.pop("options", {})
    sources = changes.pop("sources", None)
    settings = DriverSettings(protocol, options, f"127.0.0.1:{port}", (), **changes)
    shares = plan(count, [("127.0.0.1", port)], drivers=drivers, sources=sources)
    with Shards(settings, shares, log=sys.stderr.buffer) as shards:
        yield shards


def failures(report: Report) -> dict[str, int]:
    """Return the failures of all drivers, by why."""
    return dict(report.total.failures)

"""Starts services on this machine: the bundled server, or a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.engine import service
from memopt_cli.engine.target import TargetService

if TYPE_CHECKING:
    from pathlib import Path

    from memopt_cli.engine.clock import Clock
    from memopt_cli.engine.service import Service
    from memopt_cli.engine.stopping import StopRequest
    from memopt_cli.scenario.model import Scenario, Variant


class LocalServices:
    """Services whose output goes to one log."""

    def __init__(
        self, log: Path, *, clock: Clock, stop: StopRequest, allow_remote: bool = False
    ) -> None:
        """
        Args:
            log: Where their output goes; it need not exist.
            clock: Real time.
            stop: Looked at while one starts.
            allow_remote: Whether targets may be on other machines.
        """
        self._log = log
        self._clock = clock
        self._stop = stop
        self._allow_remote = allow_remote

    def start(self, scenario: Scenario, variant: Variant, label: str) -> Service:
        """Return a service that answers; raises `TargetError` when none comes up."""
        with self._log.open("ab") as log:
            log.write(f"--- {label}\n".encode())
        if scenario.target is not None:
            return TargetService(
                scenario.target,
                log=self._log,
                clock=self._clock,
                check=self._stop.check,
                allow_remote=self._allow_remote,
            )
        return service.bundled(scenario, variant, log=self._log, check=self._stop.check)

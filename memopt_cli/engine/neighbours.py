"""For whom else the processors of this machine worked, while a server and its drivers did."""

from __future__ import annotations

from dataclasses import dataclass
from time import process_time

from memopt_cli.profiler import processors


@dataclass(frozen=True, slots=True)
class Others:
    """Processor time that was not the run's own."""

    used_s: float | None
    """Of other programs, and of what a hypervisor gave to other machines; `None` if unknown."""

    available_s: float
    """Of all processors together."""


class Neighbours:
    """Looks from its making on."""

    def __init__(self, server_cpu_s: float) -> None:
        self._server_cpu_s = server_cpu_s
        self._own_cpu_s = process_time()
        self._before = processors.read()

    def since(self, server_cpu_s: float, drivers_cpu_s: float) -> Others:
        """
        Return what others have used since then.

        The kernel's time for interrupts is nobody's, and most of it is for our packets.

        Args:
            server_cpu_s: Of the server, since its start.
            drivers_cpu_s: Of the drivers, since then.
        """
        before, after = self._before, processors.read()
        if before is None or after is None:
            return Others(None, 0.0)
        ours_s = server_cpu_s - self._server_cpu_s + drivers_cpu_s
        ours_s += process_time() - self._own_cpu_s
        used_s = after.programs_s - before.programs_s - ours_s
        return Others(max(0.0, used_s), after.available_s - before.available_s)

"""
Units of exactly k bytes: the measurement's own test weight.

A figure that memopt shows for a stranger's server can be believed only if this
population, whose cost per unit is known beforehand, reads what it costs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from memopt_cli.workloads.population import Forgotten, InProcess, payload_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.profiler.histogram import Histogram


class Synthetic(InProcess):
    """
    One bytes object per unit; its header, and malloc's, are included in the size.

    The list that holds them has its full length from the start, so that it is
    part of the fixed cost.
    """

    def __init__(
        self,
        *,
        bytes_per_unit: int,
        leak_bytes: int,
        leak_per_operation_bytes: int,
        imports: Sequence[str],
        capacity: int,
        latency: Histogram,
    ) -> None:
        super().__init__(latency)
        for module in imports:
            importlib.import_module(module)
        self._payload = payload_bytes(bytes_per_unit) or 0
        self._message_leak = Forgotten(leak_bytes) if leak_bytes else None
        leaks = leak_per_operation_bytes
        self._operation_leak = Forgotten(leaks) if leaks else None
        self._units: list[bytes | None] = [None] * capacity
        self._alive = 0

    @property
    def units(self) -> int:
        """Units alive."""
        return self._alive

    def open(self, slot: int, at_s: float) -> None:  # noqa: ARG002 - as populations are told
        """Allocate one unit and touch all of it."""
        if slot >= len(self._units):
            self._units.extend([None] * (slot + 1 - len(self._units)))
        self._units[slot] = b"x" * self._payload
        self._alive += 1
        self._operate()

    def message(self, slot: int, code: int, at_s: float) -> None:  # noqa: ARG002 - as populations are told
        """Read the unit; forget some bytes where a leak is planted."""
        unit = self._units[slot]
        if unit is None:
            raise LookupError(f"no unit in slot {slot}")
        if self._message_leak is not None:
            self._message_leak.forget()
        self._operate()

    def close(self, slot: int, at_s: float) -> None:  # noqa: ARG002 - as populations are told
        """Let the unit go."""
        self._units[slot] = None
        self._alive -= 1
        self._operate()

    def observe(self, slot: int) -> bytes:
        """Return the slot and the unit's length."""
        unit = self._units[slot]
        return f"{slot}:{-1 if unit is None else len(unit)};".encode()

    def alive(self) -> list[int]:
        """Return the slots in use, in order."""
        return [slot for slot, unit in enumerate(self._units) if unit is not None]

    def _operate(self) -> None:
        if self._operation_leak is not None:
            self._operation_leak.forget()

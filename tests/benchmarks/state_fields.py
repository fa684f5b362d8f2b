"""The content of the states that are encoded, whatever form each codec wants them in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from memopt_cli.workloads.connections.traffic import Payloads
from tests.benchmarks.candidate import READY, content_of

IDLE, ACTIVE, RETAINED = "idle", "active", "with payloads"
KINDS = (IDLE, ACTIVE, RETAINED)
WINDOW = 4
PAYLOAD_BYTES = 1024
OPENED_AT_S = 1.7e9


@dataclass(frozen=True, slots=True)
class Fields:
    """The content of a state; the handshake document is left out, by all alike."""

    number: int
    phase: int
    opened_at_s: float
    last_seen_s: float
    received: int
    received_bytes: int
    checksum: int
    pending: tuple[int, ...]
    metadata: dict[str, str]
    retained: tuple[bytes, ...]


@cache
def payloads_of(number: int) -> tuple[bytes, ...]:
    """Return the latest messages of a connection: text, each of its own."""
    texts = [Payloads((PAYLOAD_BYTES,), number * WINDOW + place) for place in range(WINDOW)]
    return tuple(bytes(text.arriving(number, 0, 0)) for text in texts)


def fields_of(kind: str, number: int) -> Fields:
    """Return the content of state *number* of a kind."""
    opened_at_s = OPENED_AT_S + number * 0.37
    if kind == IDLE:
        return Fields(number, READY, opened_at_s, opened_at_s, 0, 0, 0, (), {}, ())
    content = content_of(number, [])
    return Fields(
        number=number,
        phase=READY,
        opened_at_s=opened_at_s,
        last_seen_s=opened_at_s + content.received,
        received=content.received,
        received_bytes=content.received_bytes,
        checksum=content.checksum,
        pending=content.pending,
        metadata=dict(content.metadata),
        retained=payloads_of(number) if kind == RETAINED else (),
    )

"""
How the record of a connection lies in memory: 56 bytes, of which a new connection uses all.

    word   bytes   field
    0      4       key: pool tag (12 bits) and generation (20 bits), odd while in use
    1      4       control: phase, pending count, what is elsewhere, number of the document
    2-3    8       opened_at_s, a double
    4-5    8       last_seen_s, a double
    6      4       number
    7      4       received
    8      4       received_bytes
    9      4       checksum
    10-12  12      up to three pending request ids
    13     4       reference of the metadata

What does not fit is kept elsewhere, and only then: counts beyond 32 bits, request ids that
are text or more than three, payloads. A handle is the key and the slot, so that one
comparison tells whether it is valid.
"""

from __future__ import annotations

import struct
from typing import Final

WORDS: Final = 14
RECORD_BYTES: Final = 4 * WORDS
DOUBLES: Final = WORDS // 2

TAG_BITS: Final = 12
"""Fewer than a handle of `memopt_cli.pool` has: key and generation share a word."""

KEY: Final = 0
CONTROL: Final = 1
OPENED_AT: Final = 1
"""As a double: the number of the eight bytes, not of the word."""
LAST_SEEN: Final = 2
NUMBER: Final = 6
RECEIVED: Final = 7
RECEIVED_BYTES: Final = 8
CHECKSUM: Final = 9
PENDING: Final = 10
METADATA: Final = 13

FIXED_START: Final = 8
FIXED_END: Final = 40
"""Bytes of times and counts, which are encoded as they lie."""

INLINE_PENDING: Final = 3

ELSEWHERE: Final = 0xFFFF_FFFF
"""Of a count or an id: look in the side storage, and take this very number if it has none."""

PHASE_MASK: Final = 0b11
PENDING_SHIFT: Final = 2
PENDING_MASK: Final = 0b11 << PENDING_SHIFT
PENDING_ELSEWHERE: Final = 1 << 4
COUNT_ELSEWHERE: Final = 1 << 5
RETAINS: Final = 1 << 6
METADATA_SHARED: Final = 1 << 7
DOCUMENT_SHIFT: Final = 8
MOST_DOCUMENTS: Final = (1 << 24) - 1

HOLDS: Final = 0xFFFF_FFFF & ~(PHASE_MASK | PENDING_MASK)
"""Bits of the control word that say that something must be given back on release."""

_BEHIND_KEY: Final = RECORD_BYTES - 4

# A struct writes in half the time of an assignment to a slice.
fill_record = struct.Struct(f"<II{_BEHIND_KEY - 4}s").pack_into
"""Write a key and a control word at an offset of the memory, which is that of a record, then
bytes, and zeros to its end."""

empty_record = struct.Struct(f"{_BEHIND_KEY}x").pack_into
"""Write zeros from an offset of the memory, which is that of a record's second word."""

end_record = struct.Struct(f"<I{_BEHIND_KEY}x").pack_into
"""Write a key at an offset of the memory, which is that of a record, and zeros to its end."""

"""
How a pool's handle is made: slot, generation and pool tag in one int.

    bits  0-23  slot        the place in the pool, 16,777,216 at most
    bits 24-43  generation  raised by each acquire and each release; odd while in use
    bits 44-59  tag         which pool of this process, 1 to 65,535

Sixty bits, not sixty-four: CPython keeps an int of up to 60 bits in 32 bytes and the next
one in 48. A slot whose generations are used up is retired, never wrapped, so a handle is
valid for one holder only, for ever. It costs the pool 20 bytes per 524,288 uses of a slot.
Two pools share a tag only when 65,534 others were made between them.
"""

from __future__ import annotations

from itertools import count

SLOT_BITS = 24
GENERATION_BITS = 20
TAG_BITS = 16

TAG_SHIFT = SLOT_BITS + GENERATION_BITS
SLOT_MASK = (1 << SLOT_BITS) - 1
GENERATION_MASK = (1 << GENERATION_BITS) - 1

MAX_SLOTS = 1 << SLOT_BITS
LAST_GENERATION = GENERATION_MASK
"""The last generation a holder can have; it is odd, as every holder's is."""

_COUNTER = count()


def next_tag() -> int:
    """
    Return the tag of the next pool, from 1 to 65,535 and then again.

    Zero is left out, so that a small int is never by chance a handle.
    """
    return next(_COUNTER) % ((1 << TAG_BITS) - 1) + 1

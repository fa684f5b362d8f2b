"""What compressing encoded states gains, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.errors import CorruptState
from memopt_cli.optimizer.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.optimizer.state_pool import StatePool


@dataclass(frozen=True, slots=True)
class CompressionReport:
    """What compression did to some states, by the same content before and after."""

    bytes_in: int
    """Encoded without compression."""

    bytes_out: int
    """Encoded with compression; a state that would grow is left as it is."""

    encode_s: float
    """Time to encode all of them, compressed."""

    decode_s: float
    """Time to decode them again."""

    @property
    def ratio(self) -> float | None:
        """Bytes out per byte in: 1 means that nothing was gained. None without states."""
        return self.bytes_out / self.bytes_in if self.bytes_in else None


def compression_report(
    pool: StatePool, handles: Sequence[int], *, clock: Callable[[], float]
) -> CompressionReport:
    """
    Return what compressing states costs and gains.

    Args:
        pool: Where the states are; it needs room for one more of each.
        handles: Any number of them.
        clock: Returns the time in seconds, like `time.perf_counter`.

    Raises:
        PoolExhausted: The pool has no room; it is as it was.
        CorruptState: A state did not come back equal; the gain would mean nothing.
    """
    plain = [encode(pool, handle) for handle in handles]
    decoded: list[int] = []
    try:
        began_s = clock()
        packed = [encode(pool, handle, compress=True) for handle in handles]
        encoded_s = clock()
        decoded.extend(decode(data, pool) for data in packed)
        decoded_s = clock()
        # By their encodings, which tell True from 1 and hold for times that are not a number.
        again = [encode(pool, handle) for handle in decoded]
    finally:
        for handle in decoded:
            pool.release(handle)
    if again != plain:
        raise CorruptState("a state changed when it was compressed and decoded")
    return CompressionReport(
        bytes_in=sum(map(len, plain)),
        bytes_out=sum(map(len, packed)),
        encode_s=encoded_s - began_s,
        decode_s=decoded_s - encoded_s,
    )

"""Compression is reported by the same content before and after, gained or not."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import CorruptState, PoolExhausted
from memopt_cli.optimizer import (
    CompressionReport,
    StatePool,
    compression,
    compression_report,
    encode,
)
from tests.optimizer.drawing import books

if TYPE_CHECKING:
    from memopt_cli.optimizer import PayloadStore


def test_the_ratio_is_out_by_in_of_the_same_content(pool: StatePool) -> None:
    """Bytes are those of the encodings, times those of the clock."""
    handles = pool.acquire_many(40).tolist()
    for number, handle in enumerate(handles):
        pool[handle].metadata["text"] = "abc" * number
    ticks = count(step=2.5)

    report = compression_report(pool, handles, clock=lambda: float(next(ticks)))

    bytes_in = sum(len(encode(pool, handle)) for handle in handles)
    bytes_out = sum(len(encode(pool, handle, compress=True)) for handle in handles)
    assert CompressionReport(bytes_in, bytes_out, 2.5, 2.5) == report
    assert report.ratio == bytes_out / bytes_in
    assert report.ratio < 0.7


def test_noise_gains_nothing_and_says_so(pool: StatePool) -> None:
    """Input that does not compress reports a ratio of one, never less."""
    handle = pool.acquire()
    pool[handle].update(retained=(random.Random(7).randbytes(5000),))

    report = compression_report(pool, [handle], clock=lambda: 0.0)

    assert report.ratio is not None
    assert report.ratio >= 1


def test_no_states_have_no_ratio(pool: StatePool) -> None:
    """Nothing measured is no figure."""
    assert compression_report(pool, [], clock=lambda: 0.0).ratio is None


def test_counts_that_were_long_once_are_no_change(pool: StatePool) -> None:
    """A state that has had something elsewhere comes back as it is now."""
    handle = pool.acquire()
    pool[handle].received = 2**50
    pool[handle].received = 1

    assert 1 == compression_report(pool, [handle], clock=lambda: 0.0).ratio


def test_a_report_leaves_the_pool_as_it_was(pool: StatePool, payloads: PayloadStore) -> None:
    """Also when there is no room for one more of each state."""
    handles = pool.acquire_many(3).tolist()
    for handle in handles:
        pool[handle].update(number=2**40, metadata={"a": 1}, retained=[bytes(600)])
        pool[handle].capabilities = pool.capabilities.acquire(b"[1]")
    before = books(pool, payloads)

    compression_report(pool, handles, clock=lambda: 0.0)
    pool.configure(limit=5)
    with pytest.raises(PoolExhausted):
        compression_report(pool, handles, clock=lambda: 0.0)

    after = books(pool, payloads)
    assert {**before, "stats": None} == {**after, "stats": None}
    assert 3 == len(pool)


def test_a_lossy_codec_has_no_report(pool: StatePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that drops a field gains nothing but an error."""
    monkeypatch.setattr(compression, "decode", lambda _, pool: pool.acquire())
    handle = pool.acquire()
    pool[handle].number = 7

    with pytest.raises(CorruptState, match="a state changed"):
        compression_report(pool, [handle], clock=lambda: 0.0)

    assert 1 == len(pool)

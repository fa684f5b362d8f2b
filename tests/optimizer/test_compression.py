"""Compression is reported by the same content before and after, gained or not."""

from __future__ import annotations

import random
from itertools import count

import pytest

from memopt_cli.errors import CorruptState
from memopt_cli.optimizer import (
    CompactState,
    CompressionReport,
    compression,
    compression_report,
    encode,
)


def test_the_ratio_is_out_by_in_of_the_same_content() -> None:
    """Bytes are those of the encodings, times those of the clock."""
    states = [CompactState(metadata={"text": "abc" * number}) for number in range(40)]
    ticks = count(step=2.5)

    report = compression_report(states, clock=lambda: float(next(ticks)))

    bytes_in = sum(len(encode(state)) for state in states)
    bytes_out = sum(len(encode(state, compress=True)) for state in states)
    assert CompressionReport(bytes_in, bytes_out, 2.5, 2.5) == report
    assert report.ratio == bytes_out / bytes_in
    assert report.ratio < 0.7


def test_noise_gains_nothing_and_says_so() -> None:
    """Input that does not compress reports a ratio of one, never less."""
    noise = CompactState(retained=(random.Random(7).randbytes(5000),))

    report = compression_report([noise], clock=lambda: 0.0)

    assert report.ratio is not None
    assert report.ratio >= 1


def test_no_states_have_no_ratio() -> None:
    """Nothing measured is no figure."""
    assert compression_report([], clock=lambda: 0.0).ratio is None


def test_a_lossy_codec_has_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that drops a field gains nothing but an error."""
    monkeypatch.setattr(compression, "decode", lambda _: CompactState())

    with pytest.raises(CorruptState, match="a state changed"):
        compression_report([CompactState(number=7)], clock=lambda: 0.0)

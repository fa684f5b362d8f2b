"""A look at a run that goes on takes no more memory the longer it went on, and loses no extreme."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak_blocks
from memopt_cli.store import reader, thinning
from memopt_cli.store.thinning import thinned
from memopt_cli.store.watch_reader import glance_at_watch
from memopt_cli.store.writer import RunWriter
from tests.making import MIB, STAGES, STEADY, sample
from tests.store.test_watch_store import keep
from tests.watchings import process, reading, watching

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from memopt_cli.analysis.recording import Sample

FEW = 50


def test_few_samples_are_all_there() -> None:
    """Up to the limit nothing is merged."""
    samples = [sample(float(at), gc_pauses=at) for at in range(FEW)]
    assert samples == list(thinned(samples, FEW, most=FEW))


def test_nothing_is_lost_of_what_adds_up_or_peaks() -> None:
    """Pauses are added, peaks stay, and a plateau is what was read there."""
    samples = [
        sample(
            float(at),
            rss_bytes=(99 if at == 333 else 16) * MIB,
            uss_bytes=20 * MIB if at == 555 else None,
            gc_pauses=1,
            gc_pause_s=0.5,
            gc_pause_max_s=float(at == 777),
            cost_s=0.5 if at == 666 else 0.001,
            is_plateau=at == 444,
            anonymous_bytes=7 if at == 444 else None,
        )
        for at in range(1000)
    ]
    seen = list(thinned(samples, len(samples), most=FEW))
    assert len(seen) <= FEW + 1
    assert (99 * MIB, 20 * MIB, 1000, 500.0, 1.0, 0.5) == (
        max(one.rss_bytes for one in seen),
        max(one.uss_bytes or 0 for one in seen),
        sum(one.gc_pauses for one in seen),
        sum(one.gc_pause_s for one in seen),
        max(one.gc_pause_max_s for one in seen),
        max(one.cost_s for one in seen),
    )
    assert [(444.0, 7)] == [(one.at_s, one.anonymous_bytes) for one in seen if one.is_plateau]
    assert 999.0 == seen[-1].at_s


def test_no_sample_stands_for_two_stages() -> None:
    """A stage ends with its own last sample."""
    samples = [sample(float(at), stage=at // 30) for at in range(90)]
    seen = list(thinned(samples, len(samples), most=4))
    assert {29.0, 59.0, 89.0} <= {one.at_s for one in seen}


def written(folder: Path, variants: Sequence[Sequence[Sample]]) -> Path:
    """Return the folder of a run that goes on."""
    with RunWriter(folder) as writer:
        writer.begin(scenario="", started_at="", clock="virtual", environment={})
        for number, samples in enumerate(variants):
            kept = writer.begin_variant(
                {}, f"v{number}", unit="connections", has_pool=False, preallocated=0
            )
            writer.begin_stage(kept, STEADY, STAGES[STEADY])
            for one in samples:
                writer.add_sample(kept, one)
    return folder


def test_a_glance_is_at_the_latest_variant(tmp_path: Path) -> None:
    """Of a variant that has ended a look needs no sample."""
    both = [[sample(float(at), stage=STEADY) for at in range(9)] for _ in range(2)]
    seen = reader.glance(written(tmp_path / "run", both))
    assert [(), tuple(both[1])] == [one.samples for one in seen.variants]


def test_a_glance_at_a_long_run_takes_no_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times the samples are read in the same memory, to a tenth."""
    monkeypatch.setattr(thinned, "__kwdefaults__", {"most": 200})
    peaks: list[int] = []
    for count in (1000, 1000, 4000):
        samples = [sample(float(at), stage=STEADY) for at in range(count)]
        folder = written(tmp_path / f"{len(peaks)}", [samples])
        tracemalloc.start()
        assert 200 == len(reader.glance(folder).variants[0].samples)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The first has loaded what reading needs.
    assert peaks[2] < 1.1 * peaks[1]


def test_the_limit_leaves_blocks_their_samples() -> None:
    """A thinned day has twenty samples and more in each of the blocks of a verdict."""
    assert thinning.MOST_SEEN >= 20 * leak_blocks.MOST_BLOCKS


def test_an_overview_is_of_all_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of one that has ended, as few samples as a glance has."""
    monkeypatch.setattr(thinned, "__kwdefaults__", {"most": 200})
    both = [[sample(float(at), stage=STEADY) for at in range(1000)] for _ in range(2)]
    seen = reader.overview(written(tmp_path / "run", both))
    assert [200, 200] == [len(one.samples) for one in seen.variants]


def test_a_glance_at_a_watch_is_at_few_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each process for itself; pauses are added, peaks stay, the rarely read is not lost."""
    rare = {"malloc_in_use_bytes": None, "malloc_free_bytes": None, "allocated_blocks": None}
    long = [
        reading(
            float(at),
            rss_bytes=(99 if at == 333 else 16) * MIB,
            gc_pauses=1,
            gc_pause_max_s=float(at == 777),
            anonymous_bytes=7 if at == 441 else None,
            **rare,
        )
        for at in range(1000)
    ]
    short = [reading(float(at)) for at in range(20)]
    recorded = watching(process(long), process(short, pid=4712))
    keep(recorded, tmp_path / "watch").close()
    monkeypatch.setattr(thinning, "MOST_SEEN", 200)
    seen, other = (one.readings for one in glance_at_watch(tmp_path / "watch").processes)

    assert (200, short) == (len(seen), list(other))
    assert (999.0, 99 * MIB, 1000, 1.0) == (
        seen[-1].at_s,
        max(one.rss_bytes for one in seen),
        sum(one.gc_pauses for one in seen),
        max(one.gc_pause_max_s for one in seen),
    )
    assert [(444.0, 7)] == [
        (one.at_s, one.anonymous_bytes) for one in seen if one.anonymous_bytes is not None
    ]

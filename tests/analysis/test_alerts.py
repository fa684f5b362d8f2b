"""Alerts fire beyond their limits, on neither side before, and end well inside of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from memopt_cli.analysis import alert_series, watch_findings
from memopt_cli.analysis.alerts import RULES, AlertRule, Level, fired
from memopt_cli.analysis.results import LeakVerdict
from memopt_cli.analysis.watch_limits import limits_of
from tests.making import MIB, STEADY, estimate, found, plateau, recording, sample, variant
from tests.watchings import process, reading, readings, watching

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import VariantRecording
    from memopt_cli.analysis.watching import ProcessRecording

BY_NAME = {rule.name: rule for rule in RULES}
MB_PER_HOUR = 1e6 / 3600

LIMITS = [
    ("MemoptMemoryPerConnection", Level.WARNING, 2.5e6),
    ("MemoptMemoryPerConnection", Level.CRITICAL, 3.0e6),
    ("MemoptMemoryPerAgent", Level.WARNING, 15e6),
    ("MemoptPoolReuse", Level.WARNING, 0.7),
    ("MemoptPoolReuse", Level.CRITICAL, 0.5),
    ("MemoptGcPause", Level.WARNING, 0.080),
    ("MemoptGcPause", Level.CRITICAL, 0.150),
    ("MemoptGcShare", Level.WARNING, 0.1),
    ("MemoptGrowth", Level.WARNING, 5 * MB_PER_HOUR),
    ("MemoptGrowth", Level.CRITICAL, 10 * MB_PER_HOUR),
    ("MemoptMemoryUsed", Level.WARNING, 0.8),
]


def _levels(rule: AlertRule, *values: float) -> list[tuple[Level, float | None]]:
    told = fired(rule, [(float(at_s), value) for at_s, value in enumerate(values)], owner="v")
    return [(one.level, one.ended_s) for one in told]


def _past(rule: AlertRule, limit: float) -> float:
    """Return the next number that is beyond a limit."""
    return math.nextafter(limit, -math.inf if rule.less_is_worse else math.inf)


def test_the_table_has_every_limit() -> None:
    """No rule and no severity is left out of the table below."""
    assert [(name, level) for name, level, _ in LIMITS] == [
        (rule.name, level) for rule in RULES for level in rule.limits
    ]


@pytest.mark.parametrize(("name", "level", "limit"), LIMITS)
def test_both_sides_of_each_limit(name: str, level: Level, limit: float) -> None:
    """At the limit nothing is new; the next number beyond it fires with this severity."""
    rule = BY_NAME[name]
    at, beyond = _levels(rule, limit), _levels(rule, _past(rule, limit))

    assert level not in [one for one, _ in at]
    assert [(level, None)] == beyond


@pytest.mark.parametrize(("name", "level", "limit"), LIMITS)
def test_both_sides_of_each_end(name: str, level: Level, limit: float) -> None:
    """What fires goes on until the value is a tenth inside of its limit."""
    rule = BY_NAME[name]
    clear = limit * (1.1 if rule.less_is_worse else 0.9)
    beyond = _past(rule, limit)

    assert [(level, None)] == _levels(rule, beyond, _past(rule, rule.clear(limit)))
    assert math.isclose(clear, rule.clear(limit))
    if level is Level.WARNING:
        assert [(level, 1.0)] == _levels(rule, beyond, rule.clear(limit))


def test_a_value_that_swings_around_its_limit_is_told_once() -> None:
    """Between a limit and its end nothing fires anew, and nothing ends."""
    rule = BY_NAME["MemoptGcPause"]

    assert [(Level.WARNING, 5.0)] == _levels(rule, 0.09, 0.075, 0.09, 0.075, 0.09, 0.01)
    assert [] == _levels(rule, 0.079, 0.075, 0.08)
    assert [(Level.CRITICAL, 3.0), (Level.WARNING, None)] == _levels(
        rule, 0.09, 0.2, 0.1, 0.0, 0.09
    )


def test_the_worst_is_kept() -> None:
    """An alert tells its worst value: the longest pause, the least reuse."""
    (pause,) = fired(BY_NAME["MemoptGcPause"], [(0.0, 0.1), (1.0, 0.3), (2.0, 0.1)], owner="v")
    (reuse,) = fired(BY_NAME["MemoptPoolReuse"], [(0.0, 0.6), (1.0, 0.2), (2.0, 0.6)], owner="v")

    assert (0.3, 0.2) == (pause.worst, reuse.worst)


def _fired(recorded: VariantRecording, **changes: Any) -> list[str]:
    run = recording(recorded, environment={"memory_bytes": 100 * MIB})
    return [one.rule.name for one in alert_series.of_run(run, [found(**changes)])]


def test_a_healthy_run_has_none() -> None:
    """A thousand connections of 4 KiB, with short pauses, fire nothing."""
    samples = [
        plateau(0, None, resident_anonymous_bytes=10 * MIB),
        plateau(1000, None, resident_anonymous_bytes=14 * MIB, gc_pause_max_s=0.01),
    ]

    assert [] == _fired(variant(samples))


def test_each_rule_reads_its_samples() -> None:
    """Memory by unit above the empty process, pauses, memory used, growth and reuse."""
    empty = plateau(0, None, resident_anonymous_bytes=10 * MIB)
    heavy = plateau(10, None, resident_anonymous_bytes=50 * MIB, rss_bytes=81 * MIB)
    slow = sample(20.0, stage=STEADY, units=10, gc_pause_max_s=0.2)
    pooled = [
        sample(float(n), units=10, pool_created=100 + 60 * n, pool_reused=40 * n) for n in range(3)
    ]
    growing = replace(
        found().leak, verdict=LeakVerdict.LEAK, slope_bytes_per_s=estimate(3000.0, 100.0)
    )
    filling = replace(growing, verdict=LeakVerdict.INCONCLUSIVE)

    assert ["MemoptMemoryPerConnection", "MemoptMemoryUsed"] == _fired(variant([empty, heavy]))
    assert [] == _fired(variant([empty, replace(heavy, units=100, rss_bytes=80 * MIB)]))
    assert ["MemoptMemoryUsed"] == _fired(variant([empty, heavy], unit="agents"))
    assert ["MemoptGcPause"] == _fired(variant([empty, slow]))
    assert [] == _fired(variant([empty, slow], recorder_installed=False))
    assert ["MemoptPoolReuse"] == _fired(variant(pooled, has_pool=True))
    assert ["MemoptGrowth"] == _fired(variant([empty]), leak=growing)
    assert [] == _fired(variant([empty]), leak=filling)


def test_collecting_is_a_share_of_recent_time() -> None:
    """A fifth of the CPU time of ten samples fires; one long pause among idle ones does not."""
    busy = [sample(float(n), cpu_s=float(n), gc_pause_s=0.2) for n in range(12)]
    idle = [replace(one, gc_pause_s=0.9 * (n == 3)) for n, one in enumerate(busy)]

    assert ["MemoptGcShare"] == _fired(variant(busy))
    assert [] == _fired(variant([replace(one, gc_pause_s=0.1) for one in busy]))
    assert [] == _fired(variant(idle))


def test_what_little_work_collected_is_no_share() -> None:
    """Of ten samples with 0.1 s of CPU time, one collection of 20 ms is no fifth; of 1 s it is."""

    def recorded(collections: int) -> VariantRecording:
        return variant(
            sample(float(n), cpu_s=0.01 * n, gc_pause_s=0.02 * (90 <= n < 90 + collections))
            for n in range(120)
        )

    assert [] == _fired(recorded(1))
    assert ["MemoptGcShare"] == _fired(recorded(6))
    assert [] == _fired(variant(recorded(6).samples[80:]))


def test_few_acquires_are_no_ratio() -> None:
    """The first of a full population are made; a hundred tell how many were used again."""
    few = [sample(float(n), units=10, pool_created=n, pool_reused=0) for n in range(100)]
    many = [*few, replace(few[-1], at_s=100.0, pool_created=100)]

    assert [] == _fired(variant(few, has_pool=True))
    assert ["MemoptPoolReuse"] == _fired(variant(many, has_pool=True))


def test_few_units_are_not_charged_with_the_process() -> None:
    """One of a thousand units, beside a start that cost 5 MB, is no memory per unit."""
    samples = [
        plateau(0, None, resident_anonymous_bytes=10 * MIB),
        plateau(1, None, resident_anonymous_bytes=15 * MIB),
        plateau(1000, None, resident_anonymous_bytes=16 * MIB),
    ]

    assert [] == _fired(variant(samples))


@pytest.mark.parametrize(("left", "fires"), [(950, True), (850, False)])
def test_what_is_kept_of_those_that_left_is_not_charged_to_the_others(
    left: int, fires: bool
) -> None:
    """2.4 MiB each for a thousand; when some have left and all of it is still there, it is not."""
    samples = [
        plateau(0, None, at_s=0.0, resident_anonymous_bytes=10 * MIB),
        plateau(1000, None, at_s=1.0, resident_anonymous_bytes=2310 * MIB),
        sample(2.0, units=left, resident_anonymous_bytes=2310 * MIB),
    ]
    told = recording(variant(samples), environment={})

    assert fires == bool(alert_series.of_run(told, [found()]))


def test_what_a_population_leaves_is_memory_of_units_still() -> None:
    """Ten of 4 MiB are as heavy the second time, where most of it was kept for them."""
    sizes = [(0, 10), (10, 50), (0, 48), (10, 50)]
    samples = [
        plateau(units, None, at_s=float(at), resident_anonymous_bytes=size * MIB)
        for at, (units, size) in enumerate(sizes)
    ]
    run = recording(variant(samples))

    assert [("MemoptMemoryPerConnection", None)] == [
        (one.rule.name, one.ended_s) for one in alert_series.of_run(run, [found()])
    ]


def test_reuse_counts_since_the_population_was_full() -> None:
    """While it fills everything is made anew; of ten acquires afterwards nine are of used ones."""
    filling = [sample(float(n), units=n, pool_created=100 * n, pool_reused=0) for n in range(11)]
    full = [
        sample(11.0 + n, units=10, pool_created=1001 + n, pool_reused=9 + 9 * n) for n in range(9)
    ]

    assert [] == _fired(variant([*filling, *full], has_pool=True))


def test_no_share_is_above_all_time() -> None:
    """A pause lasts on while the processor is another's: longer than the CPU time there was."""
    samples = [sample(float(n), cpu_s=0.1 * n, gc_pause_s=0.2) for n in range(12)]
    (alert,) = alert_series.of_run(recording(variant(samples)), [found()])

    assert ("MemoptGcShare", 1.0) == (alert.rule.name, alert.worst)


def _of_watch(*processes: ProcessRecording) -> list[tuple[str, str]]:
    watched = watch_findings.judge(
        watching(*processes, environment={"memory_bytes": 100 * MIB}), limits_of()
    )
    return [(one.rule.name, one.owner) for one in watched.alerts]


def test_each_rule_reads_the_readings_of_a_watch() -> None:
    """Pauses and collecting need an agent inside; memory is that of all processes together."""
    calm = [reading(float(n), cpu_s=float(n)) for n in range(30)]
    slow = [replace(one, gc_pause_max_s=0.1 * (n == 3)) for n, one in enumerate(calm)]
    busy = [replace(one, gc_pause_s=0.2) for one in calm]
    large = [replace(one, rss_bytes=81 * MIB) for one in calm]
    growing = readings(anonymous=lambda at_s: 8e6 / 3600 * at_s, blocks=lambda at_s: 10 * at_s)

    assert [] == _of_watch(process(calm))
    assert [("MemoptGcPause", "4711")] == _of_watch(process(slow))
    assert [("MemoptGcShare", "4711")] == _of_watch(process(busy))
    assert [] == _of_watch(process(slow, inside="not Python"))
    assert [] == _of_watch(process(busy, inside="not Python"))
    assert [("MemoptMemoryUsed", "4711")] == _of_watch(process(large))
    assert ("MemoptGrowth", "4711") in _of_watch(process(growing))


def test_processes_hold_memory_together() -> None:
    """Two of 64 MiB are more than 100 MiB, of which each alone is not."""
    calm = [reading(10.0 * n) for n in range(1, 30)]
    two = [process(calm, pid=pid) for pid in (1, 2)]

    assert [("MemoptMemoryUsed", "all")] == _of_watch(*two)

"""What real connections mean: how many were held, the kernel's part, what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memopt_cli.analysis.results import (
    Estimate,
    How,
    Leak,
    LeakVerdict,
    Verdict,
)
from memopt_cli.analysis.statistics import fit_line
from memopt_cli.analysis.unasked import unasked
from memopt_cli.analysis.waves import Waves, waves
from memopt_cli.units import Dimension, format_count, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.connections import ConnectionsRecording, Look
    from memopt_cli.analysis.recording import Sample, VariantRecording
    from memopt_cli.analysis.results import ThresholdResult, VariantFindings
    from memopt_cli.scenario.model import Scenario

WIDEST: Final = 0.05
"""Half an interval of memory per connection above this share of it is told with its reason."""

_KERNEL_PAGES_BYTES: Final = 64 * 4096
"""What slabs and socket buffers of the rest of the machine move by, at either end of the line."""


@dataclass(frozen=True, slots=True)
class Established:
    """What was found of the real connections of a variant."""

    recording: ConnectionsRecording
    peak: Look | None
    """The look at the most connections, the last one of the first growth."""

    kernel_per_connection: Estimate | None
    """Bytes of the kernel's objects, of both ends; `None` where it was not read."""

    buffers_per_connection: Estimate | None
    """Unread and unsent bytes in the kernel's buffers, of both ends."""

    waves: Waves

    @property
    def verified(self) -> int | None:
        """Of the peak, how many answered; by the server's descriptors where none was asked."""
        if self.peak is None:
            return None
        return self.peak.accepted if self.peak.answered is None else self.peak.answered

    @property
    def restless(self) -> int:
        """Plateaus at which memory did not come to rest in time."""
        return sum(not look.at_rest for look in self.recording.looks)


def first_wave(recording: VariantRecording) -> list[Sample]:
    """
    Return the samples up to when the first connections are closed, of one server.

    After a gap another server has them, with pages of its own; of several, the one that was
    read with the most different numbers of connections says best what one costs.
    """
    growing: list[Sample] = []
    for sample in recording.samples:
        if growing and sample.units < growing[-1].units:
            break
        growing.append(sample)
    return max(recording.by_part(growing), key=_populations, default=[])


def _populations(samples: Sequence[Sample]) -> int:
    return len({sample.units for sample in samples if sample.is_plateau and sample.units})


def established(recording: VariantRecording, *, per_unit: Estimate | None) -> Established | None:
    """Return what was found, given memory per connection; `None` if none is real."""
    connections = recording.connections
    if connections is None:
        return None
    growth = _growth(connections.looks)
    return Established(
        recording=connections,
        peak=growth[-1] if growth else None,
        kernel_per_connection=_slope(growth, [look.slab_bytes for look in growth]),
        buffers_per_connection=_slope(growth, [look.buffers_bytes for look in growth]),
        waves=waves(
            # Of the server that is there at the end: one before it took what it kept along.
            [one for one in recording.samples if one.at_s >= max(recording.breaks, default=0.0)],
            per_unit_bytes=None if per_unit is None else per_unit.value,
            processes=max(1, connections.servers),
        ),
    )


def leak_over(waves: Waves, steady: Leak) -> Leak:
    """Return the verdict on growth: that of the steady stage, or of the waves if it has none."""
    if steady.verdict is not LeakVerdict.INCONCLUSIVE or not waves.used:
        return steady
    closed = waves.waves[-1].closed
    reason = f"by {format_count(closed)} closed connections: {waves.reason}"
    return Leak(waves.verdict, None, waves.kept_per_connection, None, waves.used, 0.0, reason)


def checks(variant: VariantFindings, scenario: Scenario, *, judged: bool) -> list[ThresholdResult]:
    """
    Return the checks that every scenario of real connections has.

    Args:
        variant: One with real connections.
        scenario: What it was asked for.
        judged: Whether a leak of it is judged; the first of several is there to compare with.
    """
    found = variant.connections
    if found is None:
        return []
    results = [_held(variant, found, scenario), *_at_rest(variant, found)]
    results += [*_drivers(variant, found), *_closed(variant, found, scenario)]
    by_threshold = any(one.metric == "memory_kept_per_connection" for one in scenario.thresholds)
    if judged and not by_threshold and found.waves.verdict is LeakVerdict.LEAK:
        results.append(
            unasked(
                variant,
                "memory_kept_per_connection",
                "no leak",
                Verdict.CROSSED,
                found.waves.reason,
                observed=found.waves.kept_per_connection,
                dimension=Dimension.SIZE,
            )
        )
    return results


def _growth(looks: Sequence[Look]) -> list[Look]:
    """Return the looks of the first growth, and those that hold its peak."""
    found: list[Look] = []
    for look in looks:
        if found and look.ready < found[-1].ready:
            break
        found.append(look)
    return found


def _slope(looks: Sequence[Look], sizes: Sequence[int | None]) -> Estimate | None:
    """Return the kernel's bytes per connection; the empty machine is one of the points."""
    points = {
        look.ready: size
        for look, size in zip(reversed(looks), reversed(sizes), strict=True)
        if size is not None
    }
    line = fit_line(list(points), list(points.values()))
    if line is None:
        return None
    half = line.slope_half_width + _KERNEL_PAGES_BYTES / (max(points) - min(points))
    return Estimate(line.slope, line.slope - half, line.slope + half, How.FITTED)


def _held(variant: VariantFindings, found: Established, scenario: Scenario) -> ThresholdResult:
    asked = scenario.load.peak_units or 0
    expression = f"held=={asked}"
    peak = found.peak
    if peak is None or peak.ready < asked:
        ready = 0 if peak is None else peak.ready
        reason = f"{format_count(ready)} were measured"
        return unasked(variant, "connections", expression, Verdict.INCONCLUSIVE, reason)
    verified = found.verified
    how = "answered" if peak.answered is not None else "counted by the server's descriptors"
    observed = None if verified is None else Estimate.exact(verified)
    if verified is None or verified < asked:
        reason = f"only so many {how}"
        return unasked(
            variant, "connections", expression, Verdict.CROSSED, reason, observed=observed
        )
    return unasked(variant, "connections", expression, Verdict.PASSED, how, observed=observed)


def _at_rest(variant: VariantFindings, found: Established) -> list[ThresholdResult]:
    memory = variant.memory.per_unit
    if memory is None or memory.value <= 0:
        return []
    half = (memory.high - memory.low) / 2 / memory.value
    if half <= WIDEST or not found.restless:
        return []
    waited = max(look.settled_s for look in found.recording.looks)
    reason = (
        f"the interval is {half:.0%} of memory per connection, and at {found.restless} of "
        f"{len(found.recording.looks)} plateaus memory still moved after {format_duration(waited)}:"
        " raise settle_within, or give more plateaus or connections"
    )
    return [unasked(variant, "at_rest", f"interval<={WIDEST:.0%}", Verdict.INCONCLUSIVE, reason)]


def _drivers(variant: VariantFindings, found: Established) -> list[ThresholdResult]:
    if not found.recording.limited_by:
        return []
    reason = f"the load was limited by its drivers: {found.recording.limited_by}"
    return [unasked(variant, "drivers", "not saturated", Verdict.INCONCLUSIVE, reason)]


def _closed(
    variant: VariantFindings, found: Established, scenario: Scenario
) -> list[ThresholdResult]:
    before, after = found.recording.sockets_before, found.recording.sockets_after
    if before is None or after is None:
        return []
    # To a server that goes on, others may have connected meanwhile.
    others = scenario.target is not None and scenario.target.pid is not None
    worse = Verdict.INCONCLUSIVE if others else Verdict.CROSSED
    verdict = worse if after > before else Verdict.PASSED
    reason = f"{format_count(before)} before, {format_count(after)} after"
    return [unasked(variant, "closed", "connections as before", verdict, reason)]

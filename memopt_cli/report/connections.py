"""Real connections in the report: how many were held, the kernel's part, what is kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memopt_cli.analysis.established import WIDEST
from memopt_cli.report import wording
from memopt_cli.report.tables import table
from memopt_cli.report.values import estimate
from memopt_cli.units import format_count, format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.analysis.established import Established
    from memopt_cli.analysis.results import RunFindings, VariantFindings

_HELD = (
    "Both ends are on this machine unless the target is not. Memory per connection is the "
    "anonymous memory of all processes of the server, read at rest; the kernel's objects and "
    "buffers are those of both ends, and in no figure of the server's. *Verified* connections "
    "answered a request of their own; where none was asked, the server's descriptors are counted."
)

_WIDE = (
    "**{variant}**: the interval is {half:.0%} of memory per connection, though memory was at rest "
    "at every plateau: it grows in steps. More connections make them matter less, more plateaus "
    "show them better; of a runtime with garbage ask for a collection (`target.collect`)."
)

_WAVES = (
    "Kept is anonymous memory above that before the first connection. A level is the allocator's "
    "high water; a leak is what goes on: the slope over the last {used} waves, in bytes per closed "
    "connection."
)


def sections(run: RunFindings) -> list[str]:
    """Return the sections on real connections; none if no variant has any."""
    found = [(v, v.connections) for v in run.variants if v.connections is not None]
    if not found:
        return []
    rows = [[name, *(show(one) for _, one in found)] for name, show in _ROWS]
    return [
        "## Real connections",
        table(["", *(variant.label for variant, _ in found)], rows),
        _HELD,
        *_wide(found),
        *_waves(found),
    ]


def _wide(found: Sequence[tuple[VariantFindings, Established]]) -> list[str]:
    """Return why memory per connection is not known better, where it is not."""
    told = []
    for variant, one in found:
        memory = variant.memory.per_unit
        if memory is None or memory.value <= 0:
            continue
        half = (memory.high - memory.low) / 2 / memory.value
        if half > WIDEST and not one.restless:
            told.append(_WIDE.format(variant=variant.label, half=half))
    return told


def _waves(found: Sequence[tuple[VariantFindings, Established]]) -> list[str]:
    rows = []
    for variant, one in found:
        for number, wave in enumerate(one.waves.waves, start=1):
            kept = wave.kept_bytes / wave.closed
            each = format_size(wave.kept_bytes)
            rows.append(
                [variant.label, str(number), format_count(wave.closed), each, format_size(kept)]
            )
    judged = [(variant, one) for variant, one in found if one.waves.used]
    if not rows or not judged:
        return []
    verdicts = [
        [
            variant.label,
            one.waves.verdict.replace("_", " "),
            wording.size(one.waves.kept_per_connection),
            one.waves.reason,
        ]
        for variant, one in judged
    ]
    return [
        "## What is kept of closed connections",
        _WAVES.format(used=format_count(judged[0][1].waves.used)),
        table(["Variant", "Leak", "Kept per closed connection", "Remark"], verdicts),
        table(["Variant", "Wave", "Closed", "Kept", "Per closed connection"], rows),
    ]


def _processes(one: Established) -> str:
    found = one.recording
    return f"{format_count(found.servers)}, {format_count(found.drivers)}"


def _held(one: Established) -> str:
    if one.peak is None:
        return wording.NOT_MEASURED
    verified = wording.NOT_MEASURED if one.verified is None else format_count(one.verified)
    return f"{format_count(one.peak.ready)} of {format_count(one.peak.asked)}, {verified}"


def _connecting(one: Established) -> str:
    found = one.recording
    if not found.connected or not found.connect_s:
        return wording.NOT_MEASURED
    rate = format_count(found.connected / found.connect_s)
    share = found.connect_others_share
    others = f"; others took {share:.0%} of the processors" if share else ""
    return f"{format_duration(found.connect_s)}, {rate} per second{others}"


def _connect_times(one: Established) -> str:
    found = one.recording
    times = (found.connect_p50_s, found.connect_p99_s, found.connect_max_s)
    again = f"; {format_count(found.slow_connects)} asked again" if found.slow_connects else ""
    return ", ".join(wording.seconds(each) for each in times) + again


def _settling(one: Established) -> str:
    looks = one.recording.looks
    if not looks:
        return wording.NOT_MEASURED
    longest = format_duration(max(look.settled_s for look in looks))
    restless = f", {one.restless} of {len(looks)} not at rest" if one.restless else ""
    return f"{longest}{restless}"


def _failures(one: Established) -> str:
    failures = one.recording.failures
    told = ", ".join(f"{name} {format_count(count)}" for name, count in failures.items())
    if one.recording.not_answered:
        told = ", ".join(
            filter(None, (told, f"not answered {format_count(one.recording.not_answered)}"))
        )
    return told or "none"


_ROWS: list[tuple[str, Callable[[Established], str]]] = [
    ("processes: server, drivers", _processes),
    ("held of asked, verified", _held),
    ("connect phase", _connecting),
    ("time to connect: p50, p99, max", _connect_times),
    ("kernel objects per connection", lambda one: wording.size(one.kernel_per_connection)),
    ("kernel buffers per connection", lambda one: wording.size(one.buffers_per_connection)),
    ("longest wait for rest", _settling),
    ("requests answered", lambda one: format_count(one.recording.answered)),
    ("failed connections and requests", _failures),
]


def document(one: Established) -> dict[str, Any]:
    """Return what was found as plain values."""
    found = one.recording
    return {
        "servers": found.servers,
        "drivers": found.drivers,
        "asked": None if one.peak is None else one.peak.asked,
        "held": None if one.peak is None else one.peak.ready,
        "verified": one.verified,
        "connect_s": found.connect_s if found.connected else None,
        "connect_others_share": found.connect_others_share,
        "connect_p50_s": found.connect_p50_s,
        "connect_p99_s": found.connect_p99_s,
        "connect_max_s": found.connect_max_s,
        "slow_connects": found.slow_connects,
        "kernel_buffers_per_unit_bytes": estimate(one.buffers_per_connection),
        "answered": found.answered,
        "not_answered": found.not_answered,
        "failures": dict(found.failures),
        "limited_by": found.limited_by or None,
        "sockets_before": found.sockets_before,
        "sockets_after": found.sockets_after,
        "plateaus": [
            {
                "asked": look.asked,
                "ready": look.ready,
                "accepted": look.accepted,
                "answered": look.answered,
                "settled_s": look.settled_s,
                "at_rest": look.at_rest,
                "slab_bytes": look.slab_bytes,
                "buffers_bytes": look.buffers_bytes,
            }
            for look in found.looks
        ],
        "kept": {
            "verdict": one.waves.verdict,
            "bytes_per_closed": estimate(one.waves.kept_per_connection),
            "waves": [{"closed": w.closed, "bytes": w.kept_bytes} for w in one.waves.waves],
            "remark": one.waves.reason or None,
        },
    }

"""The report of a watch: verdict first, then the processes, what grows where, and the cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.recording import Outcome
from memopt_cli.report import alerts, beside, checks, watch_wording, wording
from memopt_cli.report.method import place
from memopt_cli.report.tables import code, table
from memopt_cli.units import Dimension, format_count, format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.attribution import Suspect
    from memopt_cli.analysis.results import Distribution
    from memopt_cli.analysis.watch_results import GrowthFindings, ProcessFindings, WatchFindings
    from memopt_cli.report.plots import Picture

_METHOD = (
    "Each process was read by pid from outside: resident anonymous memory from the kernel's "
    "counters, CPU time, threads and files. Where an agent was inside, it told what malloc has "
    "handed out and holds free, how many blocks Python has allocated, and every pause of the "
    "collector. A slope is that of the memory that shows the growth, from where it settles; its "
    "interval spans nine fits: of three quantiles of blocks, with three warm-ups left out. A leak "
    "shows in nearly all of them, goes on to the end and does not slow down. *Detectable* is the "
    "smallest slope that would have been called one in half of such watches. *Per operation* is "
    "fitted to the operations that were counted. Lines come from containers and types that were "
    "seen to grow, and from windows in which allocations were traced; they are evidence, and "
    "never make the verdict."
)

_TREE = (
    "Pages that processes share since a fork count in each of them; the sum is taken where every "
    "living process was read."
)


def markdown(found: WatchFindings, pictures: Sequence[Picture] = ()) -> str:
    """
    Return a judged watch as GitHub-flavoured Markdown.

    Args:
        found: A watch, ended or not.
        pictures: Figures beside the report, which it links.
    """
    sections = [
        f"# {watch_wording.headline(found)}",
        _watched(found),
        *(f"![{' '.join(picture.title.split())}]({picture.name})" for picture in pictures),
        *_processes(found),
        *_baselines(found),
        *_suspects(found),
        *_origins(found),
        *_pauses(found),
        *_checks(found),
        *alerts.sections(found.alerts, owner="Process"),
        *_costs(found),
        "## How it was measured",
        _METHOD,
        *([_TREE] if found.tree is not None else []),
        *place(found.started_at, found.wall_s, found.environment, {}),
    ]
    return "\n\n".join(sections) + "\n"


def _watched(found: WatchFindings) -> str:
    """Return what was watched, for how long, and how it ended."""
    told = (
        f"{code(found.target)}, watched for {format_duration(found.wall_s)}, read every "
        f"{format_duration(found.interval_s)}."
    )
    parts = [told, _ENDINGS[found.outcome].format(reason=found.reason.rstrip(".") or found.outcome)]
    if found.exit_status is not None:
        parts.append(f"The command's exit status was {found.exit_status}.")
    if found.processes_left_out:
        parts.append(f"{format_count(found.processes_left_out)} more processes were not recorded.")
    return " ".join(part for part in parts if part)


_ENDINGS = {
    Outcome.RUNNING: "The watch goes on, or was killed: this is what it had measured.",
    Outcome.FINISHED: "",
    Outcome.INTERRUPTED: "It was ended by {reason}.",
    Outcome.ABORTED: "It was ended before its time: {reason}.",
    Outcome.FAILED: "The target failed: {reason}.",
}


def _processes(found: WatchFindings) -> list[str]:
    rows = [
        [*_growth_row(str(one.pid), one.growth), *_figures(one, found.wall_s)]
        for one in found.processes
    ]
    for one in found.restarted:
        lives = f"{len(one.pids)} lives, one after the other"
        rows.append([*_growth_row(watch_wording.pids(one), one.growth), *["-"] * 6, lives])
    if found.tree is not None:
        tree = found.tree
        count = f"{tree.processes_first} at first, {tree.processes_last} at the end"
        shown = f"{count}, {tree.processes_peak} at most"
        rows.append([*_growth_row("all", found.tree.growth), *["-"] * 6, shown])
    if not rows:
        return ["Nothing was measured."]
    head = [
        "Process",
        "Verdict",
        "Growth per hour",
        "per operation",
        "detectable",
        "Remark",
        "Anonymous, last",
        "RSS, peak",
        "CPU",
        "malloc free",
        "Threads",
        "Files",
        "Lived",
    ]
    names = [f"- {one.pid}: {code(one.command)}" for one in found.processes]
    names += [f"- {watch_wording.pids(one)}: {code(one.command)}" for one in found.restarted]
    return ["## Processes", table(head, rows), "\n".join(names)]


def _baselines(found: WatchFindings) -> list[str]:
    growths = [(str(one.pid), one.growth.leak) for one in found.processes]
    if found.tree is not None:
        growths.append(("all", found.tree.growth.leak))
    told = beside.baselines(found.baseline, growths)
    return ["## Beside the baseline", *told] if told else []


def _growth_row(name: str, growth: GrowthFindings) -> list[str]:
    leak = growth.leak
    detectable = leak.detectable_bytes_per_s
    return [
        name,
        watch_wording.verdict(growth),
        watch_wording.rate(growth),
        wording.size(leak.slope_bytes_per_operation) if leak.slope_bytes_per_operation else "-",
        "-" if detectable is None else f"{format_size(detectable * 3600)}/h",
        watch_wording.remark(leak),
    ]


def _figures(one: ProcessFindings, wall_s: float) -> list[str]:
    return [
        wording.size_bytes(one.last_anonymous_bytes),
        wording.size_bytes(one.peak_rss_bytes),
        wording.ratio(one.cpu_share),
        wording.ratio(one.fragmentation),
        "-" if one.threads is None else str(one.threads),
        "-" if one.fds is None else str(one.fds),
        watch_wording.lived(one, wall_s),
    ]


def _suspects(found: WatchFindings) -> list[str]:
    """Return, for each process with evidence, its lines, the worst first."""
    suspected = [one for one in found.processes if one.suspects]
    sections = ["## What grows"] if suspected else []
    for one in suspected:
        rows = [_suspect(suspect) for suspect in one.suspects]
        head = ["Line", "per hour", "per operation", "per entry", "Held by", "Contents"]
        sections += [
            f"In {watch_wording.process(one)}. {watch_wording.suspicion(one)}",
            table(head, rows),
        ]
    unfound = [one for one in found.processes if one.leaks and not one.suspects]
    sections += [
        f"In {watch_wording.process(one)}: {watch_wording.unfound(one)}." for one in unfound
    ]
    told = [
        f"In {watch_wording.process(one)} allocations could not be traced: {one.not_traced}."
        for one in found.processes
        if one.not_traced
    ]
    return [*sections, *told]


def _suspect(suspect: Suspect) -> list[str]:
    return [
        code(f"{suspect.file}:{suspect.line}") if suspect.file else "not seen being made",
        _entries(suspect)
        if suspect.bytes_per_hour is None
        else watch_wording.hourly(suspect.bytes_per_hour),
        wording.size(suspect.bytes_per_operation) if suspect.bytes_per_operation else "-",
        "-" if suspect.bytes_per_entry is None else format_size(suspect.bytes_per_entry),
        code(suspect.holder) if suspect.holder else "-",
        suspect.contents or "-",
    ]


def _entries(suspect: Suspect) -> str:
    """Return by how many entries something grows whose bytes are not known."""
    if not suspect.growths:
        return wording.NOT_MEASURED
    growth = suspect.growths[0]
    return f"{format_count(growth.per_hour.value)} entries of a {growth.type_name}"


def _origins(found: WatchFindings) -> list[str]:
    rows = [
        [
            str(one.pid),
            watch_wording.origin(one.growth.origin),
            watch_wording.blocks(one.growth.origin),
            wording.estimate(one.growth.origin.malloc_bytes_per_s, Dimension.SIZE_RATE),
            wording.estimate(one.growth.origin.resident_bytes_per_s, Dimension.SIZE_RATE),
            watch_wording.basis(one.growth),
        ]
        for one in found.processes
        if one.is_judged
    ]
    head = [
        "Process",
        "Where growth comes from",
        "Python's blocks",
        "malloc in use",
        "Anonymous memory",
        "Slope taken from",
    ]
    return ["## Python, native, or fragmentation", table(head, rows)] if rows else []


def _pauses(found: WatchFindings) -> list[str]:
    rows = []
    for one in found.processes:
        rows += _pause_rows(one)
    head = ["Process", "Generation", "Pauses", "p50", "p99", "max", "Sum", "Stopped"]
    return ["## Pauses of the collector", table(head, rows)] if rows else []


def _pause_rows(one: ProcessFindings) -> list[list[str]]:
    if one.gc_pause is None:
        return [[str(one.pid), f"not measured: {one.inside}", *["-"] * 6]]
    share = watch_wording.share(one.gc_pause_share)
    lost = f" and {format_count(one.pauses_lost)} lost" if one.pauses_lost else ""
    rows = [_pause_row(one, "all", one.gc_pause, lost, share)]
    if len(one.gc_pause_by_generation) > 1:
        rows += [
            _pause_row(one, str(generation), pauses, "", "")
            for generation, pauses in one.gc_pause_by_generation.items()
        ]
    return rows


def _pause_row(
    one: ProcessFindings, name: str, found: Distribution, lost: str, share: str
) -> list[str]:
    quantiles = [None if each is None else each.value for each in (found.p50_s, found.p99_s)]
    shown = [
        "-" if value is None else format_duration(value) for value in (*quantiles, found.max_s)
    ]
    total = format_duration(found.total_s)
    return [str(one.pid), name, format_count(found.count) + lost, *shown, total, share]


def _checks(found: WatchFindings) -> list[str]:
    if not found.thresholds:
        return []
    return ["## Checks", checks.table_of(checks.worst_first(found.thresholds), owner="Process")]


def _costs(found: WatchFindings) -> list[str]:
    rows = [_cost_row(one) for one in found.processes if one.cost.readings]
    head = [
        "Process",
        "Readings",
        "One reading, p50",
        "max",
        "Watcher's share",
        "Inside, p50",
        "sum",
        "Program's share",
        "Looks",
        "Traced",
        "Traced share",
    ]
    return ["## What the watch cost", table(head, rows)] if rows else []


def _cost_row(one: ProcessFindings) -> list[str]:
    cost = one.cost
    return [
        str(one.pid),
        format_count(cost.readings),
        wording.seconds(cost.reading_p50_s),
        wording.seconds(cost.reading_max_s),
        watch_wording.share(cost.reading_share),
        wording.seconds(cost.inside_p50_s),
        wording.seconds(cost.inside_total_s),
        watch_wording.share(cost.inside_share),
        format_count(one.looks),
        format_duration(cost.traced_s),
        watch_wording.share(cost.traced_share),
    ]

"""Runs side by side, as Markdown, as JSON, and as what other outputs tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis import limits
from memopt_cli.analysis.comparing import Incomparable
from memopt_cli.analysis.comparison import (
    KEPT_SPREAD,
    LONGEST_SPREAD,
    MEMORY_SPREAD,
    TIMING_SPREAD,
)
from memopt_cli.analysis.results import Verdict
from memopt_cli.report import checks, wording
from memopt_cli.report.summary import Part, Summary, of_no_part
from memopt_cli.report.tables import table
from memopt_cli.report.values import bounded
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.comparing import MeasureChange, RunComparison, VariantComparison
    from memopt_cli.analysis.results import Estimate, ThresholdResult
    from memopt_cli.report.plots import Picture

SCHEMA_VERSION = 1

REFUSALS = {
    Incomparable.OTHER_TRANSCRIPT: "it was given another load",
    Incomparable.OTHER_WORK: "it did other work: the digests differ",
    Incomparable.UNSOUND: "its agents lost beliefs, or different models became one",
    Incomparable.UNFINISHED: "it did not finish in both runs",
    Incomparable.UNKNOWN: "nothing shows that it did the same work in both runs",
    Incomparable.MISSING: "it is not in both runs",
}

_READING = (
    "Both runs did the same work: equal transcripts and digests. A difference is shown only "
    "where the intervals are apart, with what equal processes differ by in them: "
    f"{MEMORY_SPREAD:.0%} in memory, {KEPT_SPREAD:.0%} in what is kept, {TIMING_SPREAD:.0%} in "
    f"times, {LONGEST_SPREAD:.0%} in the longest pause. The interval of a change is all that the "
    "two intervals allow. What else a machine did during a run is in none of them: it can show "
    "as a difference in throughput or pauses, and was not seen to in memory."
)


def verdict(results: Sequence[ThresholdResult], comparisons: Sequence[RunComparison]) -> Verdict:
    """Return the worst of all checks; what could not be compared cannot pass."""
    refused = [v for one in comparisons for v in one.variants if v.refusal is not None]
    found = [one.verdict for one in results] + [Verdict.INCONCLUSIVE] * bool(refused)
    return limits.worst(found)


def markdown(
    comparisons: Sequence[tuple[str, RunComparison]],
    results: Sequence[Sequence[ThresholdResult]],
    *,
    base: str,
    pictures: Sequence[Picture] = (),
) -> str:
    """
    Return runs against their base.

    Args:
        comparisons: Each with the name of its run.
        results: The regressions that were asked for, judged for each of them.
        base: The name of the base.
        pictures: Figures beside the report, which it links.
    """
    sections = [f"# {', '.join(name for name, _ in comparisons)} against {base}"]
    sections += [f"![{' '.join(one.title.split())}]({one.name})" for one in pictures]
    for (name, one), judged in zip(comparisons, results, strict=True):
        sections += [f"## {name}", headline(one)]
        if judged:
            sections.append(checks.table_of(judged, owner="Variant"))
        sections += _differing(one) + _table(one, base, name)
        sections += [
            f"**{v.label}** is not compared: {REFUSALS[v.refusal]}."
            for v in one.variants
            if v.refusal
        ]
    return "\n\n".join([*sections, _READING]) + "\n"


def headline(comparison: RunComparison) -> str:
    """Return how many measures differ, as one sentence."""
    changes = [each for one in comparison.compared for each in one.changes]
    worse = sum(each.is_worse for each in changes)
    better = sum(each.change.differs for each in changes) - worse
    same = len(changes) - worse - better
    name = comparison.new.scenario
    return f"{name}: measures worse {worse}, better {better}, no difference shown {same}."


def _differing(comparison: RunComparison) -> list[str]:
    told = [
        f"{name.replace('_', ' ')} ({comparison.base.environment.get(name, 'not told')}, "
        f"then {comparison.new.environment.get(name, 'not told')})"
        for name in comparison.differs
    ]
    if not told:
        return []
    return [f"The machines differ, and so may the figures: {'; '.join(told)}."]


def _table(comparison: RunComparison, base: str, name: str) -> list[str]:
    found = rows(comparison)
    return [table(["Variant", "Measure", base, name, "Change"], found)] if found else []


def rows(comparison: RunComparison) -> list[list[str]]:
    """Return a row for each measure of each variant: its names, both figures, the change."""
    return [
        [
            one.label,
            each.measure.title.format(unit=wording.singular(one.unit)),
            wording.estimate(each.before, each.measure.dimension),
            wording.estimate(each.after, each.measure.dimension),
            change(each),
        ]
        for one in comparison.compared
        for each in one.changes
    ]


def change(found: MeasureChange) -> str:
    """Return what a measure changed by, in percent where it can be, or that none is shown."""
    if not found.change.differs:
        return wording.NO_DIFFERENCE
    relative = found.relative
    figure = found.difference if relative is None else relative
    dimension = found.measure.dimension if relative is None else Dimension.RATIO
    word = "more" if found.change.rose else "less"
    if found.change.fell:
        figure = type(figure)(-figure.value, -figure.high, -figure.low, figure.how)
    value, gap, interval = wording.estimate(figure, dimension).partition(" (")
    return f"{value} {word}{gap}{interval}"


def summary(
    name: str, base: str, comparison: RunComparison, results: Sequence[ThresholdResult]
) -> Summary:
    """Return a comparison as what JUnit and GitHub are told."""
    parts = tuple(_part(one, results) for one in comparison.variants)
    told = markdown([(name, comparison)], [results], base=base)
    return Summary(
        kind="comparison",
        name=f"{name} against {base}",
        headline=headline(comparison),
        verdict=verdict(results, [comparison]),
        unfinished="",
        started_at=comparison.new.started_at,
        wall_s=comparison.new.wall_s,
        memory_bytes=None,
        parts=parts,
        checks=of_no_part(results, parts),
        details=told.partition("\n")[2].replace("\n## ", "\n### ").strip(),
    )


def _part(variant: VariantComparison, results: Sequence[ThresholdResult]) -> Part:
    own = (variant.name, variant.cell)
    return Part(
        name=variant.label,
        labels={"variant": variant.name},
        unfinished=f"not compared: {REFUSALS[variant.refusal]}" if variant.refusal else "",
        wall_s=0.0,
        leak=None,
        checks=tuple(one for one in results if (one.variant, one.cell) == own),
        figures=(),
    )


def to_json(
    comparisons: Sequence[tuple[str, RunComparison]],
    results: Sequence[Sequence[ThresholdResult]],
    *,
    base: str,
    exit_code: int,
) -> str:
    """Return comparisons as JSON text, in the shape that `comparison_schema` gives."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "kind": "comparison",
        "base": base,
        "verdict": verdict([r for each in results for r in each], [one for _, one in comparisons]),
        "exit_code": exit_code,
        "runs": [
            {
                "name": name,
                "environment_differs": list(one.differs),
                "variants": [_variant(variant) for variant in one.variants],
                "regressions": [_regression(result) for result in judged],
            }
            for (name, one), judged in zip(comparisons, results, strict=True)
        ],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _variant(variant: VariantComparison) -> dict[str, Any]:
    return {
        "name": variant.name,
        "cell": dict(variant.cell),
        "not_compared": variant.refusal,
        "measures": [
            {
                "metric": each.measure.metric,
                "aggregation": each.measure.aggregation,
                "dimension": each.measure.dimension,
                "before": _figure(each.before),
                "after": _figure(each.after),
                "relative": _figure(each.relative),
                "shown": each.change.differs,
                "worse": each.is_worse,
            }
            for each in variant.changes
        ],
    }


def _regression(result: ThresholdResult) -> dict[str, Any]:
    return {
        "expression": result.expression,
        "variant": result.variant or None,
        "cell": dict(result.cell),
        "observed": _figure(result.observed),
        "verdict": result.verdict,
        "reason": result.reason or None,
    }


def _figure(found: Estimate | None) -> dict[str, float | None] | None:
    return None if found is None else bounded(found.value, found.low, found.high)

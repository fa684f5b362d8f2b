"""The checks of a run, a watch or a comparison, as the reports in Markdown have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Verdict
from memopt_cli.report import wording
from memopt_cli.report.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memopt_cli.analysis.results import ThresholdResult

WORST_FIRST = (Verdict.CROSSED, Verdict.INCONCLUSIVE, Verdict.PASSED)


def worst_first(results: Iterable[ThresholdResult]) -> list[ThresholdResult]:
    """Return checks by verdict, those of one verdict as they came."""
    return sorted(results, key=lambda one: WORST_FIRST.index(one.verdict))


def table_of(results: Iterable[ThresholdResult], *, owner: str) -> str:
    """Return a row for each check; *owner* is what the column of their owners is called."""
    rows = [
        [
            wording.MARKS[one.verdict],
            f"`{wording.expression(one)}`",
            wording.cell(one),
            wording.judged_on(one),
        ]
        for one in results
    ]
    return table(["Verdict", "Check", owner, "Observed"], rows)

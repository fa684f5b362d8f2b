"""The tables and sentences at the end of a run, in the columns that the terminal has."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from memopt_cli.units import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, JustifyMethod
    from rich.table import Table
    from rich.text import Text

    from memopt_cli.analysis.ranking import Ranking
    from memopt_cli.analysis.results import RunFindings, VariantFindings

MARKS = {"passed": "green", "crossed": "red", "inconclusive": "yellow"}
"""Colours of the verdicts."""

_MOST_CHECKS = 24
"""With more than these, the terminal shows those that did not pass."""

_MOST_SENTENCES = 8
"""With more than these, the terminal shows those of the last cell of the matrix."""

_NARROWEST = 24
"""Columns that what was observed gets at least: a figure with its interval."""

_VARIANT, _SHORTEST_NAME = "variant", 7
"""The column of names, and the columns it keeps on a terminal that is too narrow."""

_FIGURE = re.compile(
    r"\([^()\n]* (?:to|or) [^()\n]*\)|\d (?:[KMGT]i?B|B|ns|us|ms|s|min|h|%|times)(?![a-z])"
)
_NO_BREAK = "\N{NO-BREAK SPACE}"


def wrapped(text: str, width: int, indent: str = "") -> str:
    """
    Return *text* in lines of at most *width* columns, none of which ends within a figure.

    >>> print(wrapped("saves 12.1 KiB (12.0 to 12.3)", 14))
    saves 12.1 KiB
    (12.0 to 12.3)
    """
    glued = _FIGURE.sub(lambda found: found[0].replace(" ", _NO_BREAK), text)
    lines = textwrap.fill(
        glued, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines.replace(_NO_BREAK, " ")


def show(out: Console, table: Table) -> None:
    """Print a table, beyond the last column if it must be: figures are not cut off."""
    from rich.segment import Segments

    least = out.measure(table, options=_unbounded(out)).minimum
    options = out.options.update(width=max(least, out.width))
    out.print(Segments(out.render(table, options)), end="", crop=False)


def _unbounded(out: Console) -> ConsoleOptions:
    return out.options.update(width=10_000)


def figures(out: Console, run: RunFindings) -> list[Table]:
    """Return the figures of the variants: one table, or two where it would be too wide."""
    from memopt_cli.report import markdown, wording

    unit = run.variants[0].unit
    memory = [unit, f"memory per {wording.singular(unit)}", "loaded", "reuse"]
    pauses = "GC pause p50, p99, max; share"
    rows = [[_label(v), *_memory(v), markdown.pauses(v)] for v in run.variants]
    whole = _table([_VARIANT, *memory, pauses], rows, justify="right")
    if out.measure(whole, options=_unbounded(out)).maximum <= out.width:
        return [whole]
    halves = [
        ([_VARIANT, *memory], [row[:-1] for row in rows]),
        ([_VARIANT, unit, pauses], [[*row[:2], row[-1]] for row in rows]),
    ]
    return [_table(head, half, justify="right") for head, half in halves]


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str | Text]], *, justify: JustifyMethod
) -> Table:
    """Return a table in which nothing but the names of variants may be folded."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False)
    for name, cells in zip(head, zip(*rows, strict=True), strict=True):
        if name == _VARIANT:
            table.add_column(name, overflow="fold", min_width=_SHORTEST_NAME)
        else:
            table.add_column(name, justify=justify, min_width=_widest(name, *cells))
    for row in rows:
        table.add_row(*row)
    return table


def _widest(*cells: str | Text) -> int:
    """Return the columns that the longest line of the cells takes."""
    from rich.cells import cell_len

    return max(cell_len(line) for cell in cells for line in str(cell).splitlines() or [""])


def _memory(variant: VariantFindings) -> list[str]:
    from memopt_cli.report import wording

    loaded = variant.memory.loaded
    return [
        format_count(variant.units_peak),
        wording.size(variant.memory.per_unit),
        wording.size_bytes(loaded.value if loaded else None),
        wording.ratio((variant.pool or {}).get("reuse_ratio")),
    ]


def _label(variant: VariantFindings) -> str:
    """Return the variant's name, with what varies besides the population in its own column."""
    sized = variant.cell.keys() <= {"connections", "agents", "units"}
    return variant.name if sized else variant.label


def brought(run: RunFindings, width: int | None) -> list[str]:
    """Return what each variant brings, a sentence each, in lines of so many columns if any."""
    from memopt_cli.analysis.ranking import rankings

    found = rankings(run.variants)
    many = sum(len(one.standings) + len(one.refused) for one in found) > _MOST_SENTENCES
    shown = found[-1:] if many else found
    lines = [line for one in shown for line in _of_one_cell(one, width)]
    if left := len(found) - len(shown):
        lines.append(f"The other {left} cells of the matrix are in the report.")
    return lines


def _of_one_cell(ranking: Ranking, width: int | None) -> list[str]:
    from memopt_cli.report import ranking as words
    from memopt_cli.report import wording

    where = wording.population(ranking.cell, ranking.units_peak, ranking.unit)
    told = [(f"{s.place}.", s.name, words.brings(s, ranking)) for s in ranking.standings]
    told += [("-", name, words.refusal(why, ranking)) for name, why in ranking.refused]
    lines = [f"{place} {name} {text}." for place, name, text in told]
    if width is not None:
        lines = [wrapped(line, width, "   ") for line in lines]
    return [f"Against {ranking.reference}, {where}:", *lines]


def checks(out: Console, run: RunFindings) -> Table | None:
    """Return the checks; of many, only those that did not pass; `None` if there is none."""
    from rich.text import Text

    from memopt_cli.report import wording

    found = run.thresholds
    if len(found) > _MOST_CHECKS:
        found = tuple(result for result in found if result.verdict != "passed")
    if not found:
        return None
    rows = [(wording.MARKS[r.verdict], wording.expression(r), wording.cell(r)) for r in found]
    left = out.width - _used(rows)
    if left < _NARROWEST:
        rows = [(mark, check.replace(": ", ":\n", 1), variant) for mark, check, variant in rows]
        left = max(out.width - _used(rows), _NARROWEST)
    shown = [
        (
            Text(mark, style=MARKS[result.verdict]),
            check,
            variant,
            wrapped(wording.judged_on(result), left),
        )
        for result, (mark, check, variant) in zip(found, rows, strict=True)
    ]
    return _table(["verdict", "check", _VARIANT, "observed"], shown, justify="left")


def _used(rows: Sequence[tuple[str, ...]]) -> int:
    """Return what is taken by the columns that are given, with a gap of two behind each."""
    return sum(_widest(*column) + 2 for column in zip(*rows, strict=True))

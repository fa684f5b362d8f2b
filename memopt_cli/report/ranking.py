"""What each variant brings against the first, in a sentence and in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memopt_cli.analysis.ranking import Ranking, Refusal, Standing, rankings
from memopt_cli.analysis.results import Estimate
from memopt_cli.report import wording
from memopt_cli.report.tables import table
from memopt_cli.units import Dimension

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memopt_cli.analysis.comparison import Change
    from memopt_cli.analysis.results import RunFindings

_ORDER = (
    "By bytes saved per {unit} (loaded, where all were measured so), then by how much shorter the "
    "longest pause is. Variants that the intervals do not tell apart share a place; one that is "
    "not known to have done the same work has none."
)


def ranked(run: RunFindings) -> list[str]:
    """Return the section that says what each variant brings, for every cell of the matrix."""
    found = rankings(run.variants)
    if not found:
        return []
    sections = ["## What each variant brings", _ORDER.format(unit=wording.singular(found[0].unit))]
    for one in found:
        rows = [[str(s.place), s.name, f"{brings(s, one)}."] for s in one.standings]
        rows += [["-", name, f"{refusal(why, one)}."] for name, why in one.refused]
        where = wording.population(one.cell, one.units_peak, one.unit)
        sections.append(table(["", where, f"against {one.reference}"], rows))
    return sections


def savings(ranking: Ranking) -> list[str]:
    """Return the table of all that is compared, a variant in each column, if any has a place."""
    if not ranking.standings:
        return []
    unit = wording.singular(ranking.unit)
    measures: list[tuple[str, Callable[[Standing], str]]] = [
        (f"memory per {unit}", lambda s: _saved(s.idle)),
        (f"memory per {unit}, loaded", _loaded),
        ("peak USS", lambda s: _saved(s.peak)),
        ("kept after the last left", lambda s: _saved(s.kept)),
        ("longest GC pause", lambda s: _saved(s.longest_pause, Dimension.DURATION)),
        ("collecting, share of CPU time", lambda s: _saved(s.collecting, Dimension.RATIO)),
        ("median operation", lambda s: _faster(s.median)),
        ("work per operation", lambda s: _less(s.busy)),
    ]
    rows = [[name, *map(show, ranking.standings)] for name, show in measures]
    head = [f"less than {ranking.reference}", *(s.name for s in ranking.standings)]
    return [table(head, rows)]


def brings(standing: Standing, ranking: Ranking) -> str:
    """
    Return what a variant brings, as the rest of a sentence that begins with its name.

    Of memory, pauses and time one figure each, and a second where it says otherwise.
    """
    told = [
        *_memory(standing, wording.singular(ranking.unit), ranking.reference),
        *_pauses(standing),
        *_times(standing),
    ]
    parts = [one.text for one in told if one.differs]
    same = _listed([one.text for one in told if not one.differs])
    if not told[0].differs:
        return "; ".join([f"shows no difference in {same}", *parts])
    return "; ".join([*parts, *([f"no difference is shown in {same}"] if same else [])])


@dataclass(frozen=True, slots=True)
class _Part:
    """What is told of one measure, or only its name if no difference is shown."""

    text: str
    differs: bool = True


def _listed(names: Sequence[str]) -> str:
    *others, last = names or [""]
    return f"{', '.join(others)} or {last}" if others else last


def refusal(why: Refusal, ranking: Ranking) -> str:
    """Return why a variant has no place."""
    match why:
        case Refusal.OTHER_WORK:
            return f"is not ranked: it did other work than {ranking.reference}"
        case Refusal.UNFINISHED:
            return f"is not ranked: it or {ranking.reference} did not finish"
        case Refusal.UNSOUND:
            return "is not ranked: its agents do not think as they should"
        case Refusal.UNCOMPARED:
            return f"is not ranked: nothing shows that it did the work of {ranking.reference}"


def _memory(standing: Standing, unit: str, reference: str) -> list[_Part]:
    idle, loaded, peak = standing.idle, standing.loaded, standing.peak
    parts = [_per_unit(idle, unit)]
    if loaded is not None and (not _agree(idle, loaded) or _other_amount(idle, loaded)):
        told = _per_unit(loaded, unit)
        text = f"loaded, it {told.text}" if told.differs else f"loaded {told.text}"
        parts.append(_Part(text, told.differs))
    saves = idle is not None and idle.fell
    if peak is not None and peak.rose:
        above = f"its peak is {_amount(peak, Dimension.SIZE)} above that of {reference}"
        parts.append(_Part(above + ", so at this size it costs more than it saves" * saves))
    elif peak is not None and not peak.fell and saves:
        parts.append(_Part("memory at the peak", differs=False))
    if standing.kept is not None and standing.kept.rose:
        more = _with(_amount(standing.kept, Dimension.SIZE), " more")
        parts.append(_Part(f"it keeps {more} after the last left"))
    return parts


def _per_unit(change: Change | None, unit: str) -> _Part:
    if change is None:
        return _Part(f"was not measured for memory per {unit}")
    if not change.differs:
        return _Part(f"memory per {unit}", differs=False)
    before, amount = change.before.value, _amount(change, Dimension.SIZE)
    verb, more = ("takes", " more") if change.rose else ("saves", "")
    share = f", {_share(abs(change.saved.value) / before)}" if before > 0 else ""
    return _Part(f"{verb} {_with(amount, f'{more} per {unit}')}{share}")


def _share(share: float) -> str:
    """Return a share of what there was; nearly all of it is not written as all of it."""
    shown = wording.ratio(share)
    return "over 99.9 %" if shown == wording.ratio(1) and share < 1 else shown


def _pauses(standing: Standing) -> list[_Part]:
    longest, collecting = standing.longest_pause, standing.collecting
    if longest is None:
        return [_Part("pauses were not measured")]
    parts = [_Part("the longest pause", differs=False)]
    if longest.differs:
        amount, word = (
            _amount(longest, Dimension.DURATION),
            " shorter" if longest.fell else " longer",
        )
        parts = [_Part(f"longest pause {_with(amount, word)}")]
    if collecting is None or _agree(longest, collecting):
        return parts
    if not collecting.differs:
        return [*parts, _Part("the time spent collecting", differs=False)]
    after, before = wording.ratio(collecting.after.value), wording.ratio(collecting.before.value)
    if after == before:
        return parts  # a difference that no figure of the report would show
    return [*parts, _Part(f"collecting takes {after} of CPU time, not {before}")]


def _times(standing: Standing) -> list[_Part]:
    median, busy = standing.median, standing.busy
    if median is None:
        return [_Part("operations were not timed")]
    parts = [_Part("the median operation", differs=False)]
    if median.differs:
        parts = [_Part(f"median operation {_faster(median)}")]
    if busy is None or _agree(median, busy):
        return parts
    if not busy.differs:
        return [*parts, _Part("the work per operation", differs=False)]
    return [*parts, _Part(f"work per operation {_less(busy)}")]


def _agree(one: Change | None, other: Change) -> bool:
    return one is not None and (one.fell, one.rose) == (other.fell, other.rose)


def _other_amount(idle: Change | None, loaded: Change) -> bool:
    """Return whether both saved or both cost, but not the same number of bytes."""
    return idle is not None and loaded.differs and not idle.saved.overlaps(loaded.saved)


def _loaded(standing: Standing) -> str:
    return wording.OTHER_SERIES if standing.loaded_apart else _saved(standing.loaded)


def _saved(change: Change | None, dimension: Dimension = Dimension.SIZE) -> str:
    if change is None:
        return wording.NOT_MEASURED
    if not change.differs:
        return wording.NO_DIFFERENCE
    return _with(_amount(change, dimension), " more" * change.rose)


def _amount(change: Change, dimension: Dimension) -> str:
    """Return what was saved or what it costs, whichever it is, as a positive figure."""
    saved = change.saved
    cost = Estimate(-saved.value, -saved.high, -saved.low, saved.how)
    return wording.estimate(cost if change.rose else saved, dimension)


def _with(figure: str, words: str) -> str:
    """Return a figure with words between its value and its interval."""
    value, gap, interval = figure.partition(" (")
    return f"{value}{words}{gap}{interval}"


def _faster(change: Change | None) -> str:
    return _factor(change, "times faster", "times slower")


def _less(change: Change | None) -> str:
    return _factor(change, "times less", "times more")


def _factor(change: Change | None, less: str, more: str) -> str:
    if change is None:
        return wording.NOT_MEASURED
    return wording.times(change, less=less, more=more) if change.differs else wording.NO_DIFFERENCE

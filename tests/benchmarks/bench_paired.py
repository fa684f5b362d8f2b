"""
What a baseline does for the leak verdict: false alarms, leaks found, clean runs cleared.

On seeded pairs of runs of one program, with a baseline as long as the run, three times
as long, and one that leaks itself; then on the few series of the corpus that are runs of
one program family, of one length and metric.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from memopt_cli.analysis import leak, paired
from tests.analysis.leak_corpus import Series, corpus
from tests.analysis.leak_pairs import Pair, pairs

if TYPE_CHECKING:
    from collections.abc import Iterable

EACH = 20


def tally(title: str, found: Iterable[Pair]) -> None:
    """Print how often each verdict was said, alone and beside the baseline."""
    said: dict[tuple[bool, str], Counter[str]] = defaultdict(Counter)
    for one in found:
        said[one.leaks, "alone"][leak.judge(*one.run).verdict] += 1
        said[one.leaks, "beside the baseline"][_verdict(one)] += 1
    print(title)
    for (leaks, how), counts in sorted(said.items()):
        total = sum(counts.values())
        shares = ", ".join(f"{name} {counts[name] / total:.1%}" for name in sorted(counts))
        print(f"  {'leaking' if leaks else 'clean':8}{how:20}{total:5}: {shares}")


def _verdict(one: Pair) -> str:
    return paired.judge(one.run, one.baseline).growth.verdict


def of_one_family(series: Iterable[Series]) -> Iterable[Pair]:
    """Yield the pairs of the corpus: each run beside every clean one of its kind."""
    kinds: dict[tuple[object, ...], list[Series]] = defaultdict(list)
    for one in series:
        if one.label["source"] == "real" and one.label["label"] != "ambiguous":
            key = (one.label["family"], one.label["metric"], len(one.times), round(one.times[-1]))
            kinds[key].append(one)
    for kind in kinds.values():
        for null in (one for one in kind if one.is_clean):
            for one in kind:
                if one is not null:
                    own, other = (one.times, one.sizes), (null.times, null.sizes)
                    yield Pair(str(one.label["family"]), own, other, one.is_leak)


def main() -> None:
    """Print all tables."""
    tally("a baseline as long as the run", pairs(5, each=EACH))
    tally("a baseline three times as long", pairs(5, each=EACH, longer=3))
    tally("a baseline with the same leak", (p for p in pairs(5, each=EACH, leaky=True) if p.leaks))
    tally(
        "the same, three times as long",
        (p for p in pairs(5, each=EACH, longer=3, leaky=True) if p.leaks),
    )
    tally("the corpus, real runs of one family", of_one_family(corpus()))


if __name__ == "__main__":
    main()

"""
Whether a memory series grows without end: leak, no leak, or inconclusive.

Lines with level shifts are fitted to three quantiles of blocks, from the start and
from where the series settles, each with three warm-ups dropped: nine fits a view. A
leak is what shows in nearly all of them, goes on to the end, and does not slow down.
"No leak" is said only if the whole interval is harmless; all else is inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis import leak_blocks, leak_parts, leak_views
from memopt_cli.analysis.leak_views import FITS_MAY_DISSENT, Doubt
from memopt_cli.analysis.results import LeakVerdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memopt_cli.analysis.leak_blocks import Blocks, Floats, Numbers

FEWEST_SAMPLES = 24
"""With fewer, blocks of two or three samples would pose as independent measurements."""

ROUNDING_BYTES = 1e-3
"""Growth over the run that is the arithmetic's, not the series'."""

HARMLESS_SHARE = 0.02
HARMLESS_BYTES = 256 * 1024
"""Growth over the run below 2 % of the level, or 256 KiB, does not contradict "no leak"."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How a series grows, per second; the unit is that of the series, usually bytes."""

    verdict: LeakVerdict
    slope: float | None
    """`None` with too few samples."""

    low: float | None
    high: float | None
    """The 95 % interval; larger growth than `high` is ruled out."""

    detectable: float | None
    """The smallest slope that would have been called a leak in half of such runs."""

    z: float
    """The slope in standard errors, by the weakest fit that counts."""

    tolerance: float
    """Growth over the whole run that does not contradict "no leak"."""

    doubt: Doubt | None
    """Why it is not a leak; `None` for a leak."""

    settled_s: float
    """Where the series settles, from its start."""

    cycle_s: float | None
    """Period of a cycle that was fitted beside the line."""

    over_s: float
    samples: int

    @property
    def half_width(self) -> float:
        """Half of the interval, where there is one."""
        return (self.high - self.low) / 2 if self.high is not None and self.low is not None else 0.0


def detect(
    t_seconds: Numbers,
    bytes: Numbers,  # noqa: A002 - the name by which callers know it
    *,
    baseline: tuple[Numbers, Numbers] | None = None,
) -> dict[str, Any]:
    """
    Return the verdict on a series as plain values.

    Args:
        t_seconds: Times, in any order.
        bytes: Memory at these times.
        baseline: Times and memory of a clean run of the same scenario.
    """
    found = judge(t_seconds, bytes, baseline=baseline)
    return {
        "verdict": found.verdict.value,
        "slope_bytes_per_s": found.slope,
        "ci_low": found.low,
        "ci_high": found.high,
        "detectable_bytes_per_s": found.detectable,
        "settled_s": found.settled_s,
        "why": "" if found.doubt is None else found.doubt.value,
    }


def judge(
    t_seconds: Numbers,
    sizes: Numbers,
    *,
    baseline: tuple[Numbers, Numbers] | None = None,
    quantum: float | None = None,
    tolerance: float | None = None,
    breaks: Sequence[float] = (),
) -> Growth:
    """
    Return how a series grows.

    Args:
        t_seconds: Times, in any order.
        sizes: The series at these times.
        baseline: Times and sizes of a clean run of the same scenario. Growth is then
            what this series grows by more, over the time that both cover: warm-ups
            and filling caches that both have cancel.
        quantum: Resolution of the series; found from its values if it is not given.
        tolerance: Growth over the run that is harmless, if a user has set a limit that
            is smaller than the default.
        breaks: Times at which a new part begins, whose level has nothing to do with that
            before: a restart, or samples after a gap.
    """
    began = min(t_seconds, default=0.0) if len(breaks) else 0.0
    times, values = leak_blocks.ordered(t_seconds, sizes)
    null = None
    if baseline is not None:
        times, values, null = _beside(times, values, *leak_blocks.ordered(*baseline))
    part = leak_parts.numbered(times, [one - began for one in breaks])
    times = leak_parts.closed(times, part)
    over = float(times[-1]) if len(times) else 0.0
    if len(times) < FEWEST_SAMPLES or over <= 0:
        return _too_few(over, len(times))
    step = leak_blocks.quantum_of(values) if quantum is None else quantum
    blocks = leak_blocks.cut(times, values, part, null)
    if len(blocks.at) < leak_blocks.FEWEST_BLOCKS:
        return _too_few(over, len(times))
    harmless = _harmless(values) if tolerance is None else min(tolerance, _harmless(values))
    return _judged(blocks, step, harmless, over, len(times))


def _too_few(over: float, samples: int) -> Growth:
    few = LeakVerdict.INCONCLUSIVE
    return Growth(few, None, None, None, None, 0, 0, Doubt.FEW, 0, None, over, samples)


def _beside(
    times: Floats, values: Floats, null_times: Floats, null: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the series while the clean run lasted, and the clean run at the same times."""
    import numpy as np

    if not len(null_times):
        return times[:0], values[:0], null
    both = times <= null_times[-1]
    return times[both], values[both], np.interp(times[both], null_times, null)


def _harmless(values: Floats) -> float:
    import numpy as np

    return max(HARMLESS_BYTES, HARMLESS_SHARE * float(np.median(values)))


def _judged(blocks: Blocks, quantum: float, tolerance: float, over: float, samples: int) -> Growth:
    start = leak_blocks.settled(blocks, quantum)
    whole = leak_views.view(blocks, 0, quantum)
    rest = leak_views.view(blocks, start, quantum) if start else whole
    doubts = {id(view): leak_views.doubt(view, tolerance, over) for view in (rest, whole)}
    seen = whole if doubts[id(rest)] is not None and doubts[id(whole)] is None else rest
    low, high = rest.interval
    doubt = doubts[id(seen)]
    verdict = LeakVerdict.LEAK
    if doubt is not None:
        harmless = high * over < tolerance
        verdict = LeakVerdict.NO_LEAK if harmless else LeakVerdict.INCONCLUSIVE
    if verdict is not LeakVerdict.NO_LEAK:
        low, high = min(low, whole.interval[0]), max(high, whole.interval[1])
    return Growth(
        verdict=verdict,
        slope=rest.slope if abs(rest.slope) * over > ROUNDING_BYTES else 0.0,
        low=low,
        high=high,
        detectable=leak_views.detectable(rest, tolerance, over),
        z=seen.z(FITS_MAY_DISSENT),
        tolerance=tolerance,
        doubt=doubt,
        settled_s=float(blocks.at[start]) if start else 0.0,
        cycle_s=blocks.cycle,
        over_s=over,
        samples=samples,
    )

"""Which hours of a run were simulated and which were lived, and what is projected from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.day import DAY_S, growth_in_a_day
from memopt_cli.report import wording
from memopt_cli.units import format_duration

if TYPE_CHECKING:
    from memopt_cli.analysis.results import Leak, RunFindings

_SIMULATED = (
    "The hours were simulated: each variant had {load} of load, {steady}. Every arrival, message "
    "and departure of it was done; idle time was skipped, so that all of it took {wall}. No hour "
    "was lived: what waits for real time, such as a timeout, did not happen."
)
_LIVED = "The hours were lived: each variant had {load} of load on the wall clock, {steady}."


def hours(run: RunFindings) -> str:
    """Return in words how long the load was, by which clock, and how much of it was steady."""
    steady_s = max((one.leak.over_s for one in run.variants), default=0.0)
    held = f"{format_duration(steady_s)} of them with a steady population" if steady_s else ""
    text = _SIMULATED if run.clock == "virtual" else _LIVED
    told = text.format(
        load=format_duration(max((one.simulated_s for one in run.variants), default=0.0)),
        steady=held or "none of them judged as steady",
        wall=format_duration(run.wall_s),
    )
    return f"{told} {_day(steady_s)}"


def _day(steady_s: float) -> str:
    if steady_s >= DAY_S:
        return "Growth is that of the steady part alone, which has the 24 h that figures are for."
    return (
        "Growth is that of the steady part alone. What is said of 24 h is projected from it: it "
        "holds if growth goes on at that rate."
    )


def in_a_day(leak: Leak) -> str:
    """Return growth over 24 hours, and how it was obtained."""
    found = growth_in_a_day(leak)
    return wording.NOT_MEASURED if found is None else f"{wording.size(found)}, {found.how}"

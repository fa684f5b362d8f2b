"""Whether what is asked for fits what there is: the words of a capacity check."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from memopt_cli.units import format_count

TIGHT_ABOVE: Final = 0.9
"""Share of what is allowed that leaves too little for everything else on the machine."""


class Fit(StrEnum):
    """How a number that was asked for compares with the number that is allowed."""

    FITS = "fits"
    TIGHT = "tight"
    DOES_NOT_FIT = "does not fit"
    NOT_TOLD = "not told"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run, before it: how much of what, and how it is spread."""

    connections: int
    server_processes: int = 1
    """That accept on one port."""

    driver_processes: int = 1
    sources: int = 1
    """Addresses that the driver connects from, to one address and port."""

    bytes_per_connection: float | None = None
    """Of the server's own memory; `None` if it is not known."""

    agents: int = 0
    bytes_per_agent: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that can end a run."""

    name: str
    """For programs."""

    what: str
    told: str
    """What the machine says, in words; empty where it says nothing."""

    allows: float | None
    """Infinite without a limit; `None` where it is not told."""

    asked: float
    unit: str
    """What `allows` and `asked` count."""

    fit: Fit
    decides: bool
    """Whether the run fails by it, rather than becoming slower or less certain."""

    note: str = ""
    remedy: str = ""
    """What to do, where it does not fit, is tight, or is not told."""


def settled(finding: Finding, *, untold: str = "Not shown here: look on the host.") -> Finding:
    """Return a finding without a remedy where none is needed, with *untold* where none is known."""
    if finding.fit is Fit.FITS:
        return replace(finding, remedy="")
    return replace(finding, remedy=untold) if finding.allows is None else finding


def compared(allows: float | None, asked: float, *, tight_above: float = TIGHT_ABOVE) -> Fit:
    """
    Return how *asked* compares; exactly as much as is allowed fits, tightly.

    >>> [compared(100, asked).value for asked in (90, 91, 100, 101)]
    ['fits', 'tight', 'tight', 'does not fit']
    """
    if allows is None:
        return Fit.NOT_TOLD
    if asked > allows:
        return Fit.DOES_NOT_FIT
    return Fit.TIGHT if asked > allows * tight_above else Fit.FITS


def left(most: float | None, used: float | None) -> float | None:
    """Return what is left of a limit; `None` if either is not told, infinite without a limit."""
    if most is None or (used is None and math.isfinite(most)):
        return None
    return max(0.0, most - (used or 0))


def least(*limits: float | None) -> float | None:
    """Return the lowest of the limits that are told."""
    told = [limit for limit in limits if limit is not None]
    return min(told) if told else None


def in_words(number: float) -> str:
    """
    Return a count, or that there is no limit.

    >>> in_words(28232), in_words(math.inf)
    ('28,232', 'no limit')
    """
    return "no limit" if math.isinf(number) else format_count(number)

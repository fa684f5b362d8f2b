"""
Whether a run fits a machine, before it: each limit, what it allows, and what to do.

Both ends of the connections are taken to be on this machine. The figures per connection are
measured ones, each with what it was measured on; where one is not known, what is left for it
is told instead.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from memopt_cli.analysis import capacity_memory, capacity_sockets
from memopt_cli.analysis.capacity_sockets import DESCRIPTORS_PLANNED, PORTS_BEFORE_SLOW
from memopt_cli.analysis.fit import Fit
from memopt_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memopt_cli.analysis.fit import Finding, Wanted
    from memopt_cli.profiler.limits import Limits


def assess(limits: Limits, wanted: Wanted) -> tuple[Finding, ...]:
    """Return a finding for each limit, those of sockets first."""
    return (
        *capacity_sockets.descriptors(limits, wanted),
        *capacity_sockets.ports(limits, wanted),
        *capacity_sockets.queues(limits, wanted),
        *capacity_memory.findings(limits, wanted),
    )


def verdict(findings: Iterable[Finding]) -> Fit:
    """
    Return whether the whole fits, by the findings that decide.

    One that does not fit outweighs any number of which nothing is told; tight fits.
    """
    found = {finding.fit for finding in findings if finding.decides}
    for worst in (Fit.DOES_NOT_FIT, Fit.NOT_TOLD, Fit.TIGHT):
        if worst in found:
            return worst
    return Fit.FITS


def exit_code(fit: Fit) -> ExitCode:
    """
    Return how a check that ended so exits.

    What does not fit is a limit that would be crossed, as a threshold is; 2 is for a
    command that cannot be understood.
    """
    match fit:
        case Fit.DOES_NOT_FIT:
            return ExitCode.THRESHOLDS_CROSSED
        case Fit.NOT_TOLD:
            return ExitCode.INCONCLUSIVE
        case Fit.TIGHT | Fit.FITS:
            return ExitCode.PASSED


def arrangement(limits: Limits, wanted: Wanted) -> Wanted | None:
    """
    Return the fewest processes and addresses with which the same run fits, if any do.

    Nothing of the machine is changed for it. `None` also where it fits as it is.
    """
    each, free = capacity_sockets.per_process(limits.descriptors), limits.ports.free
    if not each or not free or verdict(assess(limits, wanted)) is not Fit.DOES_NOT_FIT:
        return None
    processes = math.ceil(wanted.connections / (each * DESCRIPTORS_PLANNED))
    sources = math.ceil(wanted.connections / (free * PORTS_BEFORE_SLOW))
    spread = replace(
        wanted,
        server_processes=max(wanted.server_processes, processes),
        driver_processes=max(wanted.driver_processes, processes),
        sources=max(wanted.sources, sources),
    )
    return spread if exit_code(verdict(assess(limits, spread))) is ExitCode.PASSED else None

"""What a run will surely lack, said before it begins; it is not refused for it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.scenario.loading import Plan
    from memopt_cli.scenario.model import Scenario


def warnings(plan: Plan) -> Iterator[str]:
    """Yield a sentence with its remedy for each limit that some variant will meet."""
    from memopt_cli.analysis.capacity_memory import shortages
    from memopt_cli.engine.sampler import SPARE_BYTES
    from memopt_cli.profiler import limits
    from memopt_cli.scenario.sockets import REAL
    from memopt_cli.workloads.needs import needs
    from memopt_cli.workloads.settings import settings_for

    memory = limits.read_memory()
    for cell in plan.cells:
        if cell.scenario.workload in REAL:
            yield from _of_connections(cell.scenario)
            continue
        # The targets of the stages; what is expected of random arrivals may not come.
        units = cell.scenario.load.peak_units or 0
        for variant in cell.scenario.variants:
            settings = settings_for(cell.scenario, variant, capacity=units)
            needed = needs(settings, cell.scenario.load, units=units)
            label = " ".join([variant.name, *cell.label.values()])
            for shortage in shortages(
                memory,
                needs_bytes=min(needed.memory_bytes, cell.scenario.agents.until_bytes or math.inf),
                spare_bytes=SPARE_BYTES,
                address_space_bytes=needed.address_space_bytes,
            ):
                yield f"{label}: {shortage}"


def _of_connections(scenario: Scenario) -> Iterator[str]:
    """Yield what `memopt doctor` finds that will not fit; targets bring limits of their own."""
    from memopt_cli.analysis import capacity
    from memopt_cli.analysis.fit import Fit
    from memopt_cli.profiler import limits
    from memopt_cli.workloads.needs import connections_wanted

    told = limits.read()
    # Servers and drivers take what the hard limit allows, whatever the shell's soft one is.
    descriptors = replace(told.descriptors, soft=told.descriptors.hard)
    told = replace(told, descriptors=descriptors)
    for finding in capacity.assess(told, connections_wanted(scenario)):
        if finding.decides and finding.fit is Fit.DOES_NOT_FIT:
            yield f"{finding.what} {finding.told}: {finding.remedy}"

"""What a scenario calls a leak, and a severe one."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from memopt_cli import units
from memopt_cli.scenario.faults import Fault, fault, raised, shown
from memopt_cli.scenario.section import Section
from memopt_cli.units import Dimension


def growth(value: object) -> float:
    """
    Return a growth in bytes per second.

    >>> growth("3600B/h")
    1.0
    """
    remedy = "Write it like 1MB/h."
    if not isinstance(value, str):
        raise fault(f"expected a growth, found {shown(value)}", remedy)
    try:
        found = units.parse_quantity(value)
    except ValueError as exc:
        raise fault(f"{shown(value)} is not a growth", remedy) from exc
    if found.dimension is not Dimension.SIZE_RATE or found.value < 0:
        raise fault(f"{shown(value)} is not a size per time, 0 or more", remedy)
    return found.value


GROWTH_PATTERN = rf"^[0-9]+(\.[0-9]+)?\s*({'|'.join(units.BYTES)})/\s*(s|m|h|d)$"

Growth = Annotated[
    float,
    BeforeValidator(growth),
    WithJsonSchema({"type": "string", "pattern": GROWTH_PATTERN, "examples": ["1MB/h"]}),
]


class Severities(Section):
    """From which growth on a leak is called so; below the least it is low."""

    medium_bytes_per_s: Growth = Field(default=100e3, alias="medium", description="100kB/s.")
    high_bytes_per_s: Growth = Field(default=500e3, alias="high", description="500kB/s.")
    critical_bytes_per_s: Growth = Field(default=1e6, alias="critical", description="1000kB/s.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        limits = [self.medium_bytes_per_s, self.high_bytes_per_s, self.critical_bytes_per_s]
        if limits != sorted(limits):
            remedy = "Keep medium below high, and high below critical."
            raise raised([Fault((), "the severities do not rise", remedy)])
        return self


class LeakSection(Section):
    """What of growth is tolerated, and what is severe."""

    tolerate_bytes_per_s: Growth | None = Field(
        default=None,
        alias="tolerate",
        description="A leak that is shown to be slower than this does not fail the run.",
    )
    severity: Severities = Field(
        default=Severities(), description="From which growth on a leak is called severe."
    )

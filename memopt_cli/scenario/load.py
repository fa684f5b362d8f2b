"""The load of a scenario: how the population grows, holds and shrinks, and what it sends."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from memopt_cli.scenario import shortform
from memopt_cli.scenario.faults import Fault, raised
from memopt_cli.scenario.fields import (
    Duration,
    Name,
    Plateaus,
    Population,
    Rate,
    Ratio,
    Rounds,
    choice,
    items,
)
from memopt_cli.scenario.section import Section

PATTERNS: dict[str, tuple[str, ...]] = {
    "constant": (),
    "poisson": (),
    "ramp": (),
    "burst": ("period", "share"),
    "churn": (),
    "sine": ("period", "amplitude"),
}
"""Every arrival pattern, and the parameters that it uses."""

MAX_STAGES = 100


class Pattern(Section):
    """How arrivals are spread over time around their rate."""

    name: Annotated[
        Literal["constant", "poisson", "ramp", "burst", "churn", "sine"],
        BeforeValidator(choice("pattern", PATTERNS)),
    ] = Field(default="constant", description="The pattern of arrivals.")
    period_s: Duration = Field(
        default=60.0, alias="period", description="Length of one burst cycle or one sine wave."
    )
    amplitude: Ratio = Field(
        default=0.5, description="For sine: the rate swings by this share of itself."
    )
    share: Ratio = Field(
        default=0.1, description="For burst: all arrivals of a period come in its first share."
    )

    @model_validator(mode="after")
    def _used(self) -> Self:
        fields = {"period_s": "period", "amplitude": "amplitude", "share": "share"}
        used = PATTERNS[self.name]
        faults = [
            Fault((key,), f"pattern '{self.name}' does not use '{key}'", "Remove it.", at_key=True)
            for field, key in fields.items()
            if field in self.model_fields_set and key not in used
        ]
        if self.name == "burst" and self.share == 0:
            faults.append(Fault(("share",), "a burst in 0% of its period", "Write 10% or so."))
        if faults:
            raise raised(faults)
        return self


def _named(value: object) -> object:
    """Return a pattern that is given by its bare name as keys and values."""
    return {"name": value} if isinstance(value, str) else value


PatternField = Annotated[Pattern, BeforeValidator(_named)]


class Stage(Section):
    """A part of the load: its target is reached, linearly, at its end."""

    name: Name = Field(description="What thresholds and reports call the stage.")
    duration_s: Duration = Field(alias="duration", description="How long the stage takes.")
    units: Population | None = Field(
        default=None,
        validation_alias=AliasChoices("connections", "units", "agents"),
        description="Population at the end of the stage.",
    )
    arrival_rate_per_s: Rate | None = Field(
        default=None,
        alias="arrival_rate",
        description="Arrivals per time, in place of a population; see lifetime.",
    )
    pattern: PatternField | None = Field(
        default=None, description="Pattern of this stage, in place of the load's."
    )
    plateaus: Plateaus = Field(
        default=1, description="Measuring points that the stage is divided into."
    )
    message_rate_per_s: Rate | None = Field(
        default=None,
        alias="message_rate",
        description="Messages per unit and time of this stage, in place of the load's.",
    )
    rounds: Rounds = Field(
        default=0,
        description=(
            "Requests that each real connection has answered, one after the other, before memory "
            "is read at a plateau."
        ),
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.units is not None and self.arrival_rate_per_s is not None:
            both = "a population and an arrival_rate exclude each other"
            raise raised([Fault(("arrival_rate",), both, "Remove one of them.", at_key=True)])
        if self.units is None and self.arrival_rate_per_s is None:
            remedy = "Write the population at its end, or an arrival_rate."
            raise raised([Fault((), f"stage '{self.name}' has no target", remedy)])
        return self


class Load(Section):
    """All stages, and what holds in each of them unless it says otherwise."""

    arrival_rate_per_s: Rate = Field(
        default=0.0,
        alias="arrival_rate",
        description="Arrivals per time; 0/s means as fast as the stage needs.",
    )
    message_rate_per_s: Rate = Field(
        default=0.0, alias="message_rate", description="Messages per unit and time."
    )
    lifetime_s: Duration | None = Field(
        default=None,
        alias="lifetime",
        description="Mean lifetime of a unit in stages that are given by arrivals.",
    )
    pattern: PatternField = Field(default=Pattern(), description="How arrivals are spread.")
    stages: Annotated[tuple[Stage, ...], BeforeValidator(items(MAX_STAGES))] = Field(
        description="The stages, in the order they run."
    )
    clock: Annotated[
        Literal["virtual", "wall"], BeforeValidator(choice("clock", ("virtual", "wall")))
    ] = Field(default="virtual", description="virtual skips idle time; wall waits for it.")

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, value: Any) -> Any:
        if isinstance(value, dict) and not any(key in value for key in ("stages", *shortform.KEYS)):
            missing = Fault((), "the load has no stages", "Add connections: 1000, or stages.")
            raise raised([missing])
        if not shortform.is_short(value):
            return value
        if shortform.population_key(value) is None:
            key = next(key for key in shortform.KEYS if key in value)
            what = f"'{key}' without a population"
            raise raised([Fault((key,), what, "Add connections: 1000.", at_key=True)])
        return shortform.expanded(value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = list(_repeated(self.stages))
        for index, stage in enumerate(self.stages):
            is_open = stage.arrival_rate_per_s is not None
            churns = (stage.pattern or self.pattern).name == "churn"
            if is_open and not churns and self.lifetime_s is None:
                path = ("stages", index, "arrival_rate")
                what = "arrivals without a lifetime: the population would only grow"
                faults.append(Fault(path, what, "Add lifetime: 30s to load.", at_key=True))
        if faults:
            raise raised(faults)
        return self

    @property
    def duration_s(self) -> float:
        """How long all stages take together, in seconds."""
        return sum(stage.duration_s for stage in self.stages)

    @property
    def peak_units(self) -> int | None:
        """The largest population that a stage names; `None` if all are given by arrivals."""
        targets = [stage.units for stage in self.stages if stage.units is not None]
        return max(targets, default=None)


def _repeated(stages: tuple[Stage, ...]) -> list[Fault]:
    seen: set[str] = set()
    faults = []
    for index, stage in enumerate(stages):
        if stage.name in seen:
            what = f"a second stage '{stage.name}'"
            faults.append(Fault(("stages", index, "name"), what, "Give each its own name."))
        seen.add(stage.name)
    return faults

"""The workload `agents`: which agents there are, and how a variant keeps and steps them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from memopt_cli.scenario.faults import Fault, fault, fault_of, raised, shown
from memopt_cli.scenario.fields import (
    Count,
    Duration,
    PositiveSize,
    Ratio,
    Size,
    choice,
    ratio,
    whole,
)
from memopt_cli.scenario.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.scenario.model import Scenario

SHARES_TOLERANCE = 1e-6
FAMILIES = ("G", "alias", "chain", "xy")
SMALLEST_SIDE, LARGEST_SIDE = 3, 100
MODEL_PATTERN = rf"^({'|'.join(FAMILIES)})[0-9]{{1,3}}$"

LAYOUTS = ("own", "contiguous", "shared", "derived", "batched")
"""The steps of the ladder, each on top of those before it."""

TIERS = ("f64", "f32", "log16", "sparse")
PLANTED = ("none", "forgets", "nan", "merges")
MAX_THREADS = 64
MAX_TRACE_NUMBERS = 32 * 1024**2
"""Beliefs of the naive trace that are kept to judge variants by: 256 MiB of float64."""


def _mix(value: object) -> tuple[tuple[str, float], ...]:
    """Return the mix as pairs of model and share, in the order they were written."""
    remedy = "Write it like {G20: 70%, chain10: 30%}."
    if not isinstance(value, dict) or not value:
        raise fault(f"expected models and shares, found {shown(value)}", remedy)
    faults: list[Fault] = []
    pairs: list[tuple[str, float]] = []
    for key, written in value.items():
        if not _is_model(key):
            what = f"there is no model {shown(key)}"
            faults.append(Fault((key,), what, _MODEL_REMEDY, at_key=True))
        try:
            pairs.append((key, ratio(written)))
        except PydanticCustomError as exc:
            faults.append(fault_of(exc, (key,), at_key=False))
    if faults:
        raise raised(faults)
    total = sum(share for _, share in pairs)
    if abs(total - 1) > SHARES_TOLERANCE:
        raise fault(f"the shares sum to {total * 100:.6g}%", "Make them sum to 100%.")
    return tuple(pairs)


_MODEL_REMEDY = (
    f"Write {', '.join(FAMILIES[:-1])} or {FAMILIES[-1]} and the cells per side, "
    f"{SMALLEST_SIDE} to {LARGEST_SIDE}, as in G20."
)


def _is_model(name: object) -> bool:
    if not isinstance(name, str) or not re.fullmatch(MODEL_PATTERN[1:-1], name):
        return False
    return SMALLEST_SIDE <= side_of(name) <= LARGEST_SIDE


def side_of(model: str) -> int:
    """
    Return how many cells a side of a model has.

    >>> side_of("alias10")
    10
    """
    return int(model.lstrip("".join(FAMILIES)))


class AgentsSection(Section):
    """Which agents the workload `agents` has, and what is done with them."""

    mix: Annotated[tuple[tuple[str, float], ...], BeforeValidator(_mix)] = Field(
        default=(("G20", 1.0),),
        description="Models, as a family and its cells per side, and their shares of the agents.",
    )
    distinct_models: Annotated[int, BeforeValidator(whole(1, 100))] = Field(
        default=1, description="How many models of each name differ, in rewards and dangers."
    )
    learners: Ratio = Field(
        default=0.0, description="Share of the agents that learn their model while they act."
    )
    history: Annotated[int, BeforeValidator(whole(1, 100_000))] = Field(
        default=256, description="How many of its latest actions an agent remembers."
    )
    kept_beliefs: Count = Field(
        default=16, description="How many of its latest beliefs a naive agent keeps."
    )
    active: Ratio = Field(
        default=1.0, description="Share of the agents that do all the steps; the others idle."
    )
    first_steps: Annotated[int, BeforeValidator(whole(0, 1000))] = Field(
        default=1, description="Steps that each agent does as it arrives, also one that will idle."
    )
    leak_per_cycle_bytes: Size = Field(
        default=0,
        alias="leak_per_cycle",
        description="A planted fault: memory forgotten as each agent ends.",
    )
    probes: Annotated[int, BeforeValidator(whole(0, 1000))] = Field(
        default=10,
        description="Agents of each model that are judged against naive ones; 0 for no judgement.",
    )
    probe_steps: Annotated[int, BeforeValidator(whole(1, 10_000))] = Field(
        default=100, description="Steps that each of them is judged for, led and on its own."
    )
    profile: Annotated[int, BeforeValidator(whole(0, 1000))] = Field(
        default=0,
        description=(
            "Agents that are made, used and ended after the run, to time the parts of a step and "
            "to see what stays of them; 0 for none."
        ),
    )
    until_bytes: PositiveSize | None = Field(
        default=None,
        alias="until",
        description=(
            "Memory of the process at which a variant takes no more agents in: how many fit is "
            "then measured, up to the population of the stages."
        ),
    )


class AgentOptions(Section):
    """How a variant keeps its agents, and steps them."""

    layout: Annotated[
        Literal["own", "contiguous", "shared", "derived", "batched"],
        BeforeValidator(choice("layout", LAYOUTS)),
    ] = Field(
        default="batched",
        description=(
            "own: each agent has copies of all its arrays. contiguous: laid out as they are read. "
            "shared: one copy of equal models. derived: what follows from a model is computed "
            "once. batched: agents are rows, stepped together, with packed histories."
        ),
    )
    tier: Annotated[
        Literal["f64", "f32", "log16", "sparse"], BeforeValidator(choice("tier", TIERS))
    ] = Field(default="f64", description="How batched agents' beliefs are stored.")
    hibernate_s: Duration | None = Field(
        default=None,
        alias="hibernate",
        description="Time without a step after which a batched agent is written to a file.",
    )
    threads: Annotated[int, BeforeValidator(whole(1, MAX_THREADS))] = Field(
        default=1, description="Threads that step agents at once."
    )
    fault: Annotated[
        Literal["none", "forgets", "nan", "merges"], BeforeValidator(choice("fault", PLANTED))
    ] = Field(
        default="none",
        description=(
            "A planted fault. forgets: beliefs are deleted after each step. nan: they hold NaN. "
            "merges: models of one shape become one."
        ),
    )

    @model_validator(mode="after")
    def _used(self) -> Self:
        keys = {"tier": "tier", "hibernate_s": "hibernate", "fault": "fault"}
        faults = [
            Fault((key,), f"layout '{self.layout}' has no {key}", "Remove it.", at_key=True)
            for field, key in keys.items()
            if getattr(self, field) != type(self).model_fields[field].default
        ]
        if faults and self.layout != "batched":
            raise raised(faults)
        return self


def agents_faults(scenario: Scenario) -> Iterator[Fault]:
    """Yield what is too large to be judged."""
    section = scenario.agents
    kinds = section.distinct_models * (2 if section.learners else 1)
    states = kinds * sum(side_of(name) ** 2 for name, _ in section.mix)
    if section.probes * section.probe_steps * states > MAX_TRACE_NUMBERS:
        what = f"a trace of {section.probes:,} agents over {section.probe_steps:,} steps"
        remedy = "Lower probes or probe_steps: beliefs of 256 MiB are kept at most."
        yield Fault(("agents", "probe_steps"), what, remedy)

"""What a scenario runs: the units of each workload, and the variants that serve them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from memopt_cli.scenario.agents import AgentOptions
from memopt_cli.scenario.faults import Fault, fault, fault_of, raised, shown
from memopt_cli.scenario.fields import (
    Count,
    Module,
    Name,
    PositiveCount,
    PositiveSize,
    Ratio,
    Size,
    Switch,
    UnitSize,
    choice,
    ratio,
    size,
)
from memopt_cli.scenario.section import Section

if TYPE_CHECKING:
    from collections.abc import Callable

SHARES_TOLERANCE = 1e-6
"""How far the shares of a mix may be from 100 %: thirds cannot be written exactly."""

GC_POLICIES = ("default", "off", "frozen", "adaptive")


def _message_mix(value: object) -> tuple[tuple[int, float], ...]:
    """Return the mix as pairs of size in bytes and share, in the order they were written."""
    remedy = "Write it like {13B: 70%, 1KiB: 30%}."
    if not isinstance(value, dict):
        raise fault(f"expected sizes and shares, found {shown(value)}", remedy)
    faults: list[Fault] = []
    pairs: dict[int, float] = {}
    for key, share in value.items():
        size_bytes = _tried(size(1), key, faults, key, at_key=True)
        ratio_ = _tried(ratio, share, faults, key, at_key=False)
        if size_bytes and size_bytes in pairs:
            faults.append(Fault((key,), f"the size {key} is given twice", at_key=True))
        pairs[int(size_bytes)] = ratio_
    if faults:
        raise raised(faults)
    if abs(sum(pairs.values()) - 1) > SHARES_TOLERANCE:
        raise fault(f"the shares sum to {sum(pairs.values()) * 100:.6g}%", "Make them sum to 100%.")
    return tuple(pairs.items())


def _tried(
    check: Callable[[object], float], value: object, faults: list[Fault], key: str, *, at_key: bool
) -> float:
    """Return the checked *value*; add what is wrong with it to *faults* and return 0."""
    try:
        return check(value)
    except PydanticCustomError as exc:
        faults.append(fault_of(exc, (key,), at_key=at_key))
        return 0


class ConnectionsSection(Section):
    """What each connection of the workload `connections` carries, and its messages."""

    capabilities_size_bytes: PositiveSize = Field(
        default=1024,
        alias="capabilities_size",
        description="Size of the handshake document that a naive server keeps per connection.",
    )
    distinct_capabilities: PositiveCount = Field(
        default=8, description="How many different handshake documents the clients send."
    )
    message_mix: Annotated[tuple[tuple[int, float], ...], BeforeValidator(_message_mix)] = Field(
        default=((13, 0.7), (1024, 0.25), (65536, 0.05)),
        description="Sizes of messages and their shares, which sum to 100%.",
    )
    distinct_messages: Count = Field(
        default=0,
        description="How many messages of each size differ; 0 if each has its own content.",
    )
    writes: Ratio = Field(default=0.3, description="Share of the messages that write.")
    retained_messages: Count = Field(
        default=0, description="How many messages a naive server keeps per connection."
    )
    receive_buffer_bytes: Size = Field(
        default=4096,
        alias="receive_buffer",
        description="Size of the receive buffer that a naive server keeps per connection.",
    )


class SyntheticSection(Section):
    """The workload `synthetic`: units of known size, which prove the measurement."""

    bytes_per_unit: UnitSize = Field(default=1024, description="Memory of one unit, 64B or more.")
    leak_per_operation_bytes: Size = Field(
        default=0,
        alias="leak_per_operation",
        description="A planted fault: memory forgotten by each operation.",
    )
    imports: tuple[Module, ...] = Field(
        default=(), description="Python modules that the subject imports before it starts."
    )


class PoolOptions(Section):
    """How many connection objects a variant makes beforehand, and how many it keeps idle."""

    size: PositiveCount = Field(default=1000, description="Objects made before the first arrival.")
    max_size: PositiveCount = Field(default=10_000, description="The most idle objects it keeps.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.size > self.max_size:
            found = Fault(
                ("size",),
                f"size {self.size:,} is above max_size {self.max_size:,}",
                "Write a max_size that is at least size.",
            )
            raise raised([found])
        return self


class CompactOptions(Section):
    """How a variant packs the state of a connection."""

    compression: Switch = Field(
        default=False, description="Deflate kept messages where that is smaller."
    )
    shared_payloads: Switch = Field(
        default=False, description="Keep one copy of equal messages for all connections."
    )


def _switched(like: str) -> Callable[[object], object]:
    """Return a validator for `off`, `on`, or the keys of what is switched on."""

    def check(value: object) -> object:
        match value:
            case "off" | False:
                return None
            case "on" | True:
                return {}
            case dict() | Section():
                return value
        raise fault(f"expected on, off or keys, found {shown(value)}", f"Write on, off or {like}.")

    return check


class Variant(Section):
    """One way of serving the load; each variant runs in a fresh process."""

    name: Name = Field(description="What reports call the variant; unique in the file.")
    pool: Annotated[
        PoolOptions | None, BeforeValidator(_switched("{size: 1000, max_size: 10000}"))
    ] = Field(default=None, description="Object pool: off, on, or {size, max_size}.")
    compact: Annotated[CompactOptions | None, BeforeValidator(_switched("{compression: on}"))] = (
        Field(default=None, description="Compact state: off, on, or {compression: on}.")
    )
    agents: Annotated[AgentOptions | None, BeforeValidator(_switched("{tier: f32}"))] = Field(
        default=None,
        description="Agents that share and batch: off (each owns all), on, or {layout, tier, ...}.",
    )
    gc: Annotated[
        Literal["default", "off", "frozen", "adaptive"],
        BeforeValidator(choice("gc policy", GC_POLICIES)),
    ] = Field(
        default="default",
        description=(
            "How the garbage collector is tuned. default: not at all. off: no automatic "
            "collection. frozen: at the start of each stage that finds a larger population than "
            "any before, what is alive is collected once and never looked at again. adaptive: "
            "between batches of operations what is young is looked at once and set aside; "
            "everything is looked at again when the memory in use has grown by a quarter more than "
            "the population explains, or by more than that where earlier looks have freed nothing."
        ),
    )
    server: Annotated[
        Literal["naive", "optimized"] | None,
        BeforeValidator(choice("server", ("naive", "optimized"))),
    ] = Field(
        default=None,
        description="The bundled server of real connections: naive, the default, or optimized.",
    )
    leak_bytes: Size = Field(
        default=0,
        alias="leak",
        description="A planted fault: memory forgotten by each message.",
    )

"""The workloads of real connections: to a server of our own, and to anybody's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema

from memopt_cli.scenario.faults import Fault, fault, shown
from memopt_cli.scenario.fields import (
    Count,
    Duration,
    PositiveCount,
    Size,
    Switch,
    Text,
    choice,
    items,
    whole,
)
from memopt_cli.scenario.nearest import nearest
from memopt_cli.scenario.section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memopt_cli.scenario.model import Scenario

REAL: Final = ("sockets", "target")
"""Workloads whose units are connections over TCP."""

SCHEMES: Final = {
    "tcp": ("tcp", False),
    "redis": ("redis", False),
    "rediss": ("redis", True),
    "http": ("http", False),
    "https": ("http", True),
    "ws": ("ws", False),
    "wss": ("ws", True),
    "mcp+http": ("mcp+http", False),
    "mcp+https": ("mcp+http", True),
    "jsonrpc+tcp": ("jsonrpc+tcp", False),
}
"""What the scheme of a URL stands for: a protocol, and whether it is spoken within TLS."""

PORTS: Final = {
    "redis": 6379,
    "rediss": 6379,
    "http": 80,
    "ws": 80,
    "mcp+http": 80,
} | dict.fromkeys(("https", "wss", "mcp+https"), 443)
"""Where a URL without a port leads."""

MOST_CONNECTIONS: Final = 1_000_000
"""Of one run: each is a descriptor, and 8 KB of the kernel's memory."""

METRICS: Final = ("memory_kept_per_connection", "kernel_memory_per_connection", "connect_time")
"""What a threshold can judge of real connections only."""

PLACEHOLDERS: Final = ("port", "python", "scenarios", "scratch")
"""A free port, this Python, the folder of the shipped scenarios, and an empty one for the run."""

OF_COLLECT: Final = (*PLACEHOLDERS, "pid")
"""What the command that has a target collect may have in braces: its process too."""

_MOST_WORDS = 1000
_MOST_PID = 2**22
_BRACED = re.compile(r"\{([a-z]+)\}")


def _url(value: object) -> str:
    """Return a URL whose scheme is known, with a host and a port."""
    if not isinstance(value, str):
        raise fault(
            f"expected a URL, found {shown(value)}", "Write it like redis://127.0.0.1:6379."
        )
    try:
        found = urlsplit(value.replace("{port}", "1"))
        host, port = found.hostname, found.port
    except ValueError:
        raise fault(f"{shown(value)} is no URL", "Write it like redis://127.0.0.1:6379.") from None
    if found.scheme not in SCHEMES:
        hint = nearest(found.scheme, SCHEMES)
        raise fault(f"unknown scheme '{found.scheme}' in {shown(value)}", hint)
    if not host:
        raise fault(f"{shown(value)} names no host", f"Write {found.scheme}://127.0.0.1:PORT.")
    if port is None and found.scheme not in PORTS:
        raise fault(f"{shown(value)} names no port", f"Write {found.scheme}://{host}:PORT.")
    return value


def _texts(value: object) -> dict[str, str]:
    """Return a mapping of texts; numbers are written as they are."""
    if not isinstance(value, dict):
        raise fault(f"expected keys and texts, found {shown(value)}", "Write {NAME: text}.")
    for key, text in value.items():
        if not isinstance(text, str | int) or isinstance(text, bool):
            raise fault(f"expected text for {key}, found {shown(text)}", "Put it in quotes.")
    return {str(key): str(text) for key, text in value.items()}


def _options(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise fault(f"expected keys and values, found {shown(value)}", "Write {path: /mcp}.")
    return value


Url = Annotated[str, BeforeValidator(_url), WithJsonSchema({"type": "string"})]
Texts = Annotated[
    dict[str, str],
    BeforeValidator(_texts),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "integer"]}}),
]
Options = Annotated[dict[str, Any], BeforeValidator(_options), WithJsonSchema({"type": "object"})]
Pid = Annotated[
    int,
    BeforeValidator(whole(1, _MOST_PID)),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": _MOST_PID}),
]


class DrivingSection(Section):
    """What both workloads say of the drivers, and of how memory is waited for."""

    drivers: Count = Field(
        default=0, description="Processes that connect; 0 for as few as descriptors allow."
    )
    answer_within_s: Duration = Field(
        default=10.0,
        alias="answer_within",
        description="Time for a connection to be opened, and for a request to be answered.",
    )
    settle_within_s: Duration = Field(
        default=15.0,
        alias="settle_within",
        description="Longest wait for memory to come to rest before it is read.",
    )


class SocketsSection(DrivingSection):
    """The bundled server, and what its clients say."""

    servers: Count = Field(
        default=0, description="Processes of the server; 0 for as few as descriptors allow."
    )
    handshake_bytes: Size = Field(
        default=20_000,
        alias="handshake_size",
        description="Size of the capability document that each client sends; 0B for none.",
    )
    distinct_handshakes: PositiveCount = Field(
        default=8, description="How many different capability documents the clients send."
    )
    message_bytes: Size = Field(
        default=16, alias="message_size", description="Length of the text of each request."
    )
    receive_buffer_bytes: Size = Field(
        default=4096,
        alias="receive_buffer",
        description="Size of the receive buffer that the naive server keeps per connection.",
    )


class TlsSection(Section):
    """How a target proves who it is, where its URL says that it is spoken to within TLS."""

    server_name: Text | None = Field(default=None, description="Its name, if not the URL's host.")
    cafile: Text | None = Field(
        default=None, description="File of the certificates to trust instead of the system's."
    )
    verify: Switch = Field(default=True, description="Whether its certificate is checked.")


class NeedsSection(Section):
    """What must be installed for the target's command."""

    programs: tuple[Text, ...] = Field(default=(), description="Programs on the PATH.")
    modules: tuple[Text, ...] = Field(default=(), description="Python modules.")
    hint: Text = Field(default="", description="How to install them.")


class TargetSection(DrivingSection):
    """A server of anybody's: how it is started or found, and how it is spoken to."""

    url: Url = Field(
        description="Where it serves; the scheme says which protocol: redis://127.0.0.1:6379."
    )
    command: Annotated[tuple[Text, ...], BeforeValidator(items(_MOST_WORDS))] | None = Field(
        default=None,
        description="How to start it; {port} is a free port, {scratch} a folder for the run.",
    )
    pid: Pid | None = Field(default=None, description="Its process, if it runs already.")
    collect: Annotated[tuple[Text, ...], BeforeValidator(items(_MOST_WORDS))] | None = Field(
        default=None,
        description=(
            "Command that has it collect its garbage, run each time before memory is read: "
            '[kill, -USR1, "{pid}"], [jcmd, "{pid}", GC.run].'
        ),
    )
    environment: Texts = Field(default={}, description="Variables for the command.")
    protocol: Text | None = Field(
        default=None, description="A protocol of your own, as module:Class, in place of the URL's."
    )
    options: Options = Field(default={}, description="Options of the protocol.")
    headers: Texts = Field(
        default={}, description="More headers; ${NAME} is taken from the environment."
    )
    tls: TlsSection = Field(default=TlsSection(), description="For URLs within TLS.")
    close: Annotated[
        Literal["reset", "in-order"], BeforeValidator(choice("way to close", ("reset", "in-order")))
    ] = Field(
        default="reset",
        description=(
            "How connections are closed. reset: as by a client that is switched off. in-order: the "
            "protocol says goodbye first (an MCP session is deleted, a WebSocket closed)."
        ),
    )
    sources: tuple[Text, ...] = Field(
        default=(), description="Addresses to connect from; none for as many as are needed."
    )
    ready_within_s: Duration = Field(
        default=30.0, alias="ready_within", description="Time for it to answer after its start."
    )
    needs: NeedsSection = Field(default=NeedsSection(), description="What must be installed.")


def faults(scenario: Scenario) -> Iterator[Fault]:
    """Yield what does not go together in a scenario, by whether its connections are real."""
    if scenario.workload in REAL:
        yield from _of_real(scenario)
    else:
        yield from _of_others(scenario)
    if scenario.workload == "target":
        yield from _of_target(scenario)


def _of_others(scenario: Scenario) -> Iterator[Fault]:
    for index, stage in enumerate(scenario.load.stages):
        if stage.rounds:
            what = f"workload '{scenario.workload}' has no rounds"
            yield Fault(("load", "stages", index, "rounds"), what, "Remove it.", at_key=True)


def _of_real(scenario: Scenario) -> Iterator[Fault]:
    yield from _of_real_load(scenario)
    for number, variant in enumerate(scenario.variants):
        for key, is_set in (("gc", variant.gc != "default"), ("leak", variant.leak_bytes)):
            if is_set:
                what = f"workload '{scenario.workload}' has no {key}"
                yield Fault(("variants", number, key), what, "Remove it.", at_key=True)


def _of_real_load(scenario: Scenario) -> Iterator[Fault]:
    load = scenario.load
    if load.clock != "wall":
        yield Fault(("load", "clock"), "real connections take real time", "Write clock: wall.")
    if load.pattern.name != "constant":
        what = f"real connections do not arrive by the pattern '{load.pattern.name}'"
        yield Fault(("load", "pattern"), what, "Remove it.", at_key=True)
    for index, stage in enumerate(load.stages):
        path = ("load", "stages", index)
        if stage.units is None:
            what = f"stage '{stage.name}' does not say how many connections there are"
            yield Fault(path, what, "Write connections in place of arrival_rate.")
        elif stage.units > MOST_CONNECTIONS:
            what = f"{stage.units:,} real connections"
            yield Fault((*path, "units"), what, f"Use at most {MOST_CONNECTIONS:,}.")
        if stage.pattern is not None:
            what = "real connections arrive evenly"
            yield Fault((*path, "pattern"), what, "Remove it.", at_key=True)
    if not any(stage.units for stage in load.stages):
        yield Fault(("load",), "no stage has any connections", "Add one that has.")


def _of_target(scenario: Scenario) -> Iterator[Fault]:
    if scenario.target is None:
        remedy = "Add target: {url: ..., command: [...]}."
        yield Fault(("workload",), "workload 'target' without a section 'target'", remedy)
        return
    target = scenario.target
    if (target.command is None) == (target.pid is None):
        what = "a target needs either a command, which is started, or the pid of what runs already"
        yield Fault(("target",), what, "Give one of them: memory is read by process.")
    yield from _of_braces((target.url, *(target.command or ())), PLACEHOLDERS)
    yield from _of_braces(target.collect or (), OF_COLLECT)
    if len(scenario.variants) > 1:
        yield Fault(("variants",), "several variants of one target", "Remove all but one.")


def _of_braces(texts: tuple[str, ...], known: tuple[str, ...]) -> Iterator[Fault]:
    for text in texts:
        for name in _BRACED.findall(text):
            if name not in known:
                hint = nearest(name, known)
                yield Fault(("target",), f"unknown placeholder '{{{name}}}'", hint)

"""Finds a protocol by its name, or by ``module:Class``, and makes it with its options."""

from __future__ import annotations

import importlib
import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from memopt_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memopt_cli.workloads.sockets.protocols.shape import Protocol

_HERE = "memopt_cli.workloads.sockets.protocols"

BUNDLED = {
    "tcp": f"{_HERE}.tcp:Tcp",
    "redis": f"{_HERE}.redis:Redis",
    "http": f"{_HERE}.http:Http",
    "ws": f"{_HERE}.ws:WebSocket",
    "jsonrpc+tcp": f"{_HERE}.jsonrpc:JsonRpc",
    "mcp+http": f"{_HERE}.mcp_http:McpHttp",
}
"""The protocols that come with memopt, by name."""


def protocol(name: str, authority: str, options: Mapping[str, Any]) -> Protocol:
    """
    Return the protocol *name* for the server at *authority*.

    Raises:
        UsageError: There is none of this name, or it has no such option.
    """
    made = _class_of(name)
    known = list(inspect.signature(made).parameters)[1:]
    for option in options:
        if option not in known:
            nearest = get_close_matches(option, known, n=1)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"It has {', '.join(known)}."
            raise UsageError(f"the protocol {name!r} has no option {option!r}", hint=hint)
    return cast("Protocol", made(authority, **options))


def _class_of(name: str) -> type:
    module, colon, called = BUNDLED.get(name, name).partition(":")
    if not colon:
        nearest = get_close_matches(name, BUNDLED, n=1)
        raise UsageError(
            f"unknown protocol {name!r}",
            hint=f"Did you mean {nearest[0]!r}?"
            if nearest
            else f"There are {', '.join(BUNDLED)}, and your own as module:Class.",
        )
    try:
        found = getattr(importlib.import_module(module), called)
    except (ImportError, AttributeError) as exc:
        raise UsageError(
            f"the protocol {name!r} cannot be loaded: {exc}",
            hint="Give module:Class, importable from the current directory.",
        ) from exc
    if not isinstance(found, type):
        raise UsageError(f"{name!r} is no class", hint="Give module:Class.")
    return found

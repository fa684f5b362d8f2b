"""What an agent needs of memory at the least, from the name of its model; without numpy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from memopt_cli.workloads.settings import AgentsSettings

_TIER_BYTES: Final = {"f64": 8, "f32": 4, "log16": 2, "sparse": 0}
_COPYING: Final = ("own", "contiguous")


def states_of(model: str) -> int:
    """
    Return the states of a model, all factors together.

    >>> states_of("G20"), states_of("chain10"), states_of("xy20")
    (400, 106, 40)
    """
    family, side = _parts(model)
    return {"xy": 2 * side, "chain": side**2 + 6}.get(family, side**2)


def copied_bytes(model: str) -> int:
    """
    Return what the arrays of a model take that an agent owns, without the small ones.

    >>> copied_bytes("G20")
    7692800
    """
    family, side = _parts(model)
    cells = side**2
    moves = 5 * cells**2
    match family:
        case "G":
            return 8 * (moves + cells**2 + 4 * cells)
        case "alias":
            return 8 * (moves + 11 * cells)
        case "chain":
            return 8 * (moves + 8 * cells * (cells + 11))
    return 8 * (2 * 3 * side**2 + cells * (2 * side + 3))


def agent_bytes(settings: AgentsSettings) -> float:
    """Return bytes per agent, as a lower bound, of the mix that a subject is told."""
    return sum(size * share for size, share in zip(_each(settings), settings.shares, strict=True))


def largest_agent_bytes(settings: AgentsSettings) -> float:
    """Return the same of the largest agent of the mix."""
    return max(_each(settings))


def owns_all(settings: AgentsSettings) -> bool:
    """Say whether the bound is nearly all that an agent takes: it owns copies of all arrays."""
    return settings.layout in _COPYING and not settings.learners


def _each(settings: AgentsSettings) -> list[float]:
    """Return bytes per agent of each model."""
    if settings.layout in _COPYING:
        return [float(copied_bytes(model)) for model in settings.models]
    bytes_per_state = _TIER_BYTES[settings.tier] * (settings.hibernate_s is None)
    return [float(bytes_per_state * states_of(model)) for model in settings.models]


def _parts(model: str) -> tuple[str, int]:
    match = re.fullmatch(r"([A-Za-z]+)(\d+)", model)
    if match is None:
        raise AssertionError("the scenario's own check lets no such model pass")
    return match[1], int(match[2])

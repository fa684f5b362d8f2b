"""The short form of a load, `{connections: 1000, ramp_up: 10s, hold_for: 1m}`, and its stages."""

from __future__ import annotations

from typing import Any

POPULATIONS = ("connections", "units", "agents")
KEYS = (*POPULATIONS, "ramp_up", "hold_for")
RAMP_UP = "10s"
HOLD_FOR = "30s"
EDGE = "5s"
"""How long baseline, ramp-down and drain take."""


def is_short(load: object) -> bool:
    """Say whether *load*, as written, uses the short form and nothing but it."""
    return isinstance(load, dict) and "stages" not in load and any(key in load for key in KEYS)


def population_key(load: dict[str, Any]) -> str | None:
    """Return the key that gives the population in *load*; `None` if no key does."""
    return next((key for key in POPULATIONS if key in load), None)


def expanded(load: dict[str, Any]) -> dict[str, Any]:
    """
    Return the short form *load* with its five stages written out.

    The baseline and the drain are what make memory per connection and retained
    memory mean something: memory is read before the first unit and after the last.

    >>> [stage["duration"] for stage in expanded({"units": 9, "hold_for": "1m"})["stages"]]
    ['5s', '10s', '1m', '5s', '5s']
    """
    key = population_key(load) or POPULATIONS[0]
    peak = load.get(key)
    stages: list[dict[str, Any]] = [
        {"name": "baseline", "duration": EDGE, key: 0},
        {"name": "ramp-up", "duration": load.get("ramp_up", RAMP_UP), key: peak, "plateaus": 5},
        {"name": "steady", "duration": load.get("hold_for", HOLD_FOR), key: peak},
        {"name": "ramp-down", "duration": EDGE, key: 0},
        {"name": "drain", "duration": EDGE, key: 0},
    ]
    used = {key, "ramp_up", "hold_for"}
    rest = {other: value for other, value in load.items() if other not in used}
    return {**rest, "stages": stages}


def written(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """
    Return where the value at *path* of an expanded load stands in its short form.

    >>> written(("load", "stages", 2, "duration"))
    ('load', 'hold_for')
    """
    match path:
        case ("load", "stages", 1, "duration"):
            return ("load", "ramp_up")
        case ("load", "stages", 2, "duration"):
            return ("load", "hold_for")
        case ("load", "stages", 1 | 2, str(key)) if key in POPULATIONS:
            return ("load", key)
        case ("load", "stages", *_):
            return ("load",)
    return path

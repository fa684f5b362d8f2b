"""The values of a scenario as YAML text, in the units that people write, and exactly."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from math import nextafter
from typing import TYPE_CHECKING, Any

from memopt_cli import units

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([A-Za-z]+|%|/s)")
_RESERVED = {"true", "false", "null", "yes", "no", "y", "n", "on", "off"}


class _Word(str):
    """Text that is written without quotes: a switch or a quantity."""

    __slots__ = ()


ON, OFF = _Word("on"), _Word("off")


def size(size_bytes: int) -> str:
    """
    Return a size exactly, in the largest binary unit that holds it whole.

    >>> size(65536), size(1000), size(0)
    ('64KiB', '1000B', '0B')
    """
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % units.BYTES[unit] == 0:
            return _Word(f"{size_bytes // units.BYTES[unit]}{unit}")
    return _Word(f"{size_bytes}B")


def duration(duration_s: float) -> str:
    """
    Return a duration exactly, in the largest unit that holds it whole.

    >>> duration(5400.0), duration(0.25), duration(0.1 + 0.2)
    ('90m', '250ms', '0.30000000000000004s')
    """
    for unit in ("d", "h", "m", "s", "ms"):
        text = f"{duration_s / units.SECONDS[unit]:.0f}{unit}"
        if duration_s and units.parse_duration(text) == duration_s:
            return _Word(text)
    return _Word(f"{_decimal(duration_s)}s")


def rate(rate_per_s: float) -> str:
    """
    Return a rate exactly, per second.

    >>> rate(1000.0), rate(0.2)
    ('1000/s', '0.2/s')
    """
    return _Word(f"{_decimal(rate_per_s)}/s")


def growth(bytes_per_s: float) -> str:
    """
    Return a growth exactly, per second.

    >>> growth(100e3), growth(0.25)
    ('100000B/s', '0.25B/s')
    """
    return _Word(f"{_decimal(bytes_per_s)}B/s")


def ratio(value: float) -> str:
    """
    Return a ratio as the percentage that reads back to the same number.

    >>> ratio(0.85), ratio(0.07)
    ('85%', '7%')
    """
    percent = value * 100
    candidates = [float(f"{percent:.12g}"), percent]
    for towards in (-1e9, 1e9):
        step = percent
        for _ in range(3):
            step = nextafter(step, towards)
            candidates.append(step)
    exact = (one for one in candidates if one / 100 == value)
    return _Word(f"{_decimal(next(exact, percent))}%")


def _decimal(value: float) -> str:
    """Return the shortest digits that read back to *value*, never with an exponent."""
    digits = format(Decimal(repr(value)), "f")
    return digits.removesuffix(".0")


def switch(value: object) -> str:
    """Return the word for a value that is or is not."""
    return ON if value else OFF


def lines(values: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Yield *values* as lines: lists of keys item by item, all else in flow style."""
    for key, value in values.items():
        name = _text(key)
        if isinstance(value, dict) and value and not indent:
            yield f"{name}:"
            yield from lines(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"{indent}{name}:"
            yield from (f"{indent}  - {flow(item)}" for item in value)
        else:
            yield f"{indent}{name}: {flow(value)}"


def flow(value: Any) -> str:
    """
    Return *value* as YAML on one line.

    >>> flow({"size": 10, "names": ["a b", "off", "012", "c"]})
    '{size: 10, names: ["a b", "off", "012", c]}'
    """
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return format(Decimal(repr(value)), "f")
        case int():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{_text(k)}: {flow(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(flow, value)) + "]"
    return _text(value)


def _text(value: str) -> str:
    if isinstance(value, _Word) or _QUANTITY.fullmatch(value):
        return str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    # A JSON string is a YAML string, as long as no character is written as a surrogate pair.
    return json.dumps(value, ensure_ascii=False)

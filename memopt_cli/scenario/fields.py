"""The types of single values: sizes, durations, rates, shares, switches, names."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, WithJsonSchema

from memopt_cli import units
from memopt_cli.scenario.faults import fault, shown
from memopt_cli.scenario.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_POPULATION = 10_000_000
MAX_DURATION_S = 30 * 86400.0
MIN_INTERVAL_S = 0.01
MAX_SIZE_BYTES = 2**30
MAX_RATE_PER_S = 10_000_000.0
MAX_NAME = 40
MAX_TEXT = 1000
MAX_SEED = 2**63 - 1

_NUMBER = r"[0-9]+(\.[0-9]+)?\s*"
SIZE_PATTERN = rf"^{_NUMBER}({'|'.join(units.BYTES)})$"
DURATION_PATTERN = rf"^({_NUMBER}(ns|us|ms|s|m|h|d)\s*)+$"
RATE_PATTERN = rf"^{_NUMBER}/\s*(s|m|h|d)$"
RATIO_PATTERN = rf"^{_NUMBER}%$"
KEBAB_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
SWITCH = {"enum": ["on", "off", True, False]}


def _number(value: object, kind: str, parse: Callable[[str], float]) -> float:
    """Return *value* in SI units; what is wrong with it is told with the remedy apart."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fault(f"expected a {kind}, found {shown(value)}", f"Write it like {_LIKE[kind]}.")
    text = str(value)
    if len(text) > LONGEST_NUMBER:
        raise fault(f"{shown(text)} is not a {kind}", f"Write it like {_LIKE[kind]}.")
    try:
        return parse(text)
    except ValueError as exc:
        message, _, remedy = str(exc).partition(": write ")
        raise fault(message, f"Write {remedy}.") from exc


LONGEST_NUMBER = 40
_LIKE = {"size": "64KiB", "duration": "30s", "rate": "200/s", "percentage": "85%"}


def size(low: int = 0) -> Callable[[object], int]:
    """Return a validator for sizes of *low* bytes to 1 GiB, in whole bytes."""

    def check(value: object) -> int:
        found = _number(value, "size", units.parse_size)
        if not low <= found <= MAX_SIZE_BYTES:
            limit = f"at least {low}B" if found < low else "at most 1GiB"
            raise fault(f"{shown(value)} is out of range", f"Write a size of {limit}.")
        if not math.isclose(found, round(found), rel_tol=1e-12):
            raise fault(f"{shown(value)} is not a whole number of bytes")
        return round(found)

    return check


def duration(low_s: float = 0.0, *, zero: bool = False) -> Callable[[object], float]:
    """Return a validator for durations from *low_s* seconds to 30 days."""

    def check(value: object) -> float:
        found = _number(value, "duration", units.parse_duration)
        if found > MAX_DURATION_S:
            raise fault(f"{shown(value)} is longer than 30 days", "Write at most 30d.")
        if found < low_s:
            least = f"{low_s * 1000:g}ms"
            raise fault(f"{shown(value)} is shorter than {least}", f"Write at least {least}.")
        if found == 0 and not zero:
            raise fault(f"{shown(value)} is no time at all", "Write a duration above 0s.")
        return found

    return check


def rate(value: object) -> float:
    """Return a rate of 0/s to ten million per second."""
    found = _number(value, "rate", units.parse_rate)
    if not 0 <= found <= MAX_RATE_PER_S:
        raise fault(f"{shown(value)} is out of range", "Write a rate of 0/s to 10000000/s.")
    return abs(found)


def ratio(value: object) -> float:
    """Return a percentage of 0 to 100 as a ratio."""
    found = _number(value, "percentage", units.parse_ratio)
    if not 0 <= found <= 1:
        raise fault(f"{shown(value)} is out of range", "Write a percentage of 0% to 100%.")
    return abs(found)


def whole(low: int, high: int) -> Callable[[object], int]:
    """Return a validator for whole numbers from *low* to *high*."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise fault(f"{shown(value)} is not a whole number", f"Write it like {max(low, 1)}.")
        if not low <= value <= high:
            limit = f"at least {low:,}" if value < low else f"at most {high:,}"
            raise fault(f"{value:,} is out of range", f"Write {limit}.")
        return value

    return check


def switch(value: object) -> bool:
    """Return whether *value* says on; `on`, `off`, `true` and `false` are what says so."""
    match value:
        case bool():
            return value
        case "on":
            return True
        case "off":
            return False
    raise fault(f"{shown(value)} is neither on nor off", "Write on or off.")


def choice(kind: str, options: Iterable[str]) -> Callable[[object], str]:
    """Return a validator for one word of *options*; *kind* is what a message calls it."""
    known = tuple(options)

    def check(value: object) -> str:
        if value is False and "off" in known:
            return "off"
        if not isinstance(value, str) or value not in known:
            raise fault(f"unknown {kind} {shown(value)}", nearest(str(value), known))
        return value

    return check


def name(value: object) -> str:
    """Return the name of a stage or a variant: it becomes a key, a label and a folder."""
    text = _text(value, MAX_NAME)
    if not text.isprintable() or text != text.strip() or text[:1] in {"", "."}:
        raise fault(f"{shown(value)} is not a name", "Write a short word, like steady.")
    if "/" in text or "\\" in text:
        raise fault(f"{shown(value)} has a slash in it", "Write a short word, like steady.")
    return text


def kebab(value: object) -> str:
    """Return the name of a scenario, in kebab-case because it names files."""
    text = _text(value, 2 * MAX_NAME)
    if not re.fullmatch(KEBAB_PATTERN[1:-1], text):
        raise fault(f"{shown(value)} is not in kebab-case", "Write it like connections-10k.")
    return text


def text(value: object) -> str:
    """Return printable text; line breaks are allowed."""
    found = _text(value, MAX_TEXT)
    if not found.replace("\n", "").isprintable():
        raise fault("the text has characters that cannot be printed", "Remove them.")
    return found


def module(value: object) -> str:
    """Return the dotted name of a Python module."""
    found = _text(value, MAX_TEXT)
    if not all(part.isidentifier() for part in found.split(".")):
        raise fault(f"{shown(value)} is not a module", "Write it like json or xml.etree.")
    return found


def items(most: int) -> Callable[[object], object]:
    """Return a validator for lists of one to *most* items."""

    def check(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise fault(f"expected a list, found {shown(value)}", "Write it like [first, second].")
        if not 1 <= len(value) <= most:
            what = "the list is empty" if not value else f"a list of {len(value):,} items"
            raise fault(what, f"Write 1 to {most} items.")
        return value

    return check


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str):
        quoted = "" if isinstance(value, list | dict) else f': "{str(value).lower()}"'
        raise fault(f"expected text, found {shown(value)}", f"Put it in quotes{quoted}.")
    if len(value) > longest:
        raise fault(f"text of {len(value):,} characters", f"Write at most {longest:,}.")
    return value


def _matches(pattern: str, like: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [like]})


SIZE_SCHEMA = _matches(SIZE_PATTERN, "64KiB")
DURATION_SCHEMA = _matches(DURATION_PATTERN, "30s")

Size = Annotated[int, BeforeValidator(size()), SIZE_SCHEMA]
Duration = Annotated[float, BeforeValidator(duration()), DURATION_SCHEMA]
Rate = Annotated[float, BeforeValidator(rate), _matches(RATE_PATTERN, "200/s")]
Ratio = Annotated[float, BeforeValidator(ratio), _matches(RATIO_PATTERN, "85%")]
Switch = Annotated[bool, BeforeValidator(switch), WithJsonSchema(SWITCH)]
Text = Annotated[
    str, BeforeValidator(text), WithJsonSchema({"type": "string", "maxLength": MAX_TEXT})
]
Module = Annotated[str, BeforeValidator(module), WithJsonSchema({"type": "string"})]
Name = Annotated[
    str,
    BeforeValidator(name),
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": r"^[^/\\]+$"}
    ),
]
Kebab = Annotated[
    str, BeforeValidator(kebab), WithJsonSchema({"type": "string", "pattern": KEBAB_PATTERN})
]
ElapsedTime = Annotated[float, BeforeValidator(duration(zero=True)), DURATION_SCHEMA]
Interval = Annotated[float, BeforeValidator(duration(MIN_INTERVAL_S)), DURATION_SCHEMA]
UnitSize = Annotated[int, BeforeValidator(size(64)), SIZE_SCHEMA]
PositiveSize = Annotated[int, BeforeValidator(size(1)), SIZE_SCHEMA]


def _whole_type(low: int, high: int) -> tuple[BeforeValidator, WithJsonSchema]:
    schema = WithJsonSchema({"type": "integer", "minimum": low, "maximum": high})
    return BeforeValidator(whole(low, high)), schema


Plateaus = Annotated[int, *_whole_type(1, 100)]
Rounds = Annotated[int, *_whole_type(0, 1000)]
Seed = Annotated[int, *_whole_type(0, MAX_SEED)]
Count = Annotated[int, *_whole_type(0, 1_000_000)]
PositiveCount = Annotated[int, *_whole_type(1, MAX_POPULATION)]
Population = Annotated[int, *_whole_type(0, MAX_POPULATION)]

"""Sizes, durations, rates and ratios as people write them: '12KiB', '1h30m', '64KiB/h', '85%'."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|[smhd])\s*")
_SIZE = re.compile(rf"{_NUMBER}\s*({'|'.join(BYTES)})")
_PERCENT = re.compile(rf"{_NUMBER}\s*%")
_COUNT_RATE = re.compile(rf"{_NUMBER}\s*/\s*([smhd])")
_SIZE_RATE = re.compile(rf"{_NUMBER}\s*({'|'.join(BYTES)})\s*/\s*([smhd])")
_PLAIN = re.compile(_NUMBER)


class Dimension(StrEnum):
    """What a quantity measures; two quantities compare only within one dimension."""

    SIZE = "size"
    DURATION = "duration"
    RATE = "rate"
    SIZE_RATE = "size per time"
    RATIO = "ratio"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in SI units (bytes, seconds, per second, bytes per second) and its dimension."""

    value: float
    dimension: Dimension


def parse_duration(text: str) -> float:
    """
    Return *text* in seconds; raise `ValueError` for a bare number or an unknown unit.

    >>> parse_duration("1h30m")
    5400.0
    >>> parse_duration("60")
    Traceback (most recent call last):
    ...
    ValueError: '60' has no unit: write 60s, 60ms or 60m
    """
    stripped = text.strip()
    if _PLAIN.fullmatch(stripped):
        raise ValueError(f"{text!r} has no unit: write {stripped}s, {stripped}ms or {stripped}m")
    if not re.fullmatch(rf"(?:{_DURATION_PART.pattern})+", stripped):
        raise ValueError(f"{text!r} is not a duration: write it like 30s, 5m or 1h30m")
    return sum(float(number) * SECONDS[unit] for number, unit in _DURATION_PART.findall(stripped))


def parse_size(text: str) -> float:
    """
    Return *text* in bytes; raise `ValueError` for a bare number or an unknown unit.

    >>> parse_size("12KiB")
    12288.0
    >>> parse_size("2MB")
    2000000.0
    """
    stripped = text.strip()
    match = _SIZE.fullmatch(stripped)
    if match is None:
        if _PLAIN.fullmatch(stripped):
            raise ValueError(f"{text!r} has no unit: write {stripped}B, {stripped}KiB or similar")
        raise ValueError(f"{text!r} is not a size: write it like 512B, 64KiB or 2MB")
    return float(match[1]) * BYTES[match[2]]


def parse_rate(text: str) -> float:
    """
    Return *text* in events per second; raise `ValueError` for a bare number.

    >>> parse_rate("200/s"), parse_rate("60/m")
    (200.0, 1.0)
    """
    match = _COUNT_RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a rate: write it like 200/s or 30/m")
    return float(match[1]) / SECONDS[match[2]]


def parse_ratio(text: str) -> float:
    """
    Return a percentage as a ratio; raise `ValueError` for a bare number.

    >>> parse_ratio("85%")
    0.85
    """
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a percentage: write it like 85%")
    return float(match[1]) / 100


def parse_quantity(text: str) -> Quantity:
    """
    Return *text* with the dimension that its unit gives it.

    >>> parse_quantity("3600KiB/h")
    Quantity(value=1024.0, dimension=<Dimension.SIZE_RATE: 'size per time'>)
    >>> parse_quantity("100ms")
    Quantity(value=0.1, dimension=<Dimension.DURATION: 'duration'>)
    """
    stripped = text.strip()
    if match := _SIZE_RATE.fullmatch(stripped):
        per_second = float(match[1]) * BYTES[match[2]] / SECONDS[match[3]]
        return Quantity(per_second, Dimension.SIZE_RATE)
    if _SIZE.fullmatch(stripped):
        return Quantity(parse_size(stripped), Dimension.SIZE)
    if _COUNT_RATE.fullmatch(stripped):
        return Quantity(parse_rate(stripped), Dimension.RATE)
    if _PERCENT.fullmatch(stripped):
        return Quantity(parse_ratio(stripped), Dimension.RATIO)
    if match := _PLAIN.fullmatch(stripped):
        return Quantity(float(match[1]), Dimension.NUMBER)
    return Quantity(parse_duration(stripped), Dimension.DURATION)


def _three_figures(value: float) -> str:
    """Return *value* with three significant figures, never in exponent form."""
    size = abs(value)
    digits = 0 if size >= 99.95 else (1 if size >= 9.995 else 2)  # noqa: PLR2004 - rounded up from there
    return f"{value:.{digits}f}"


def format_size(size_bytes: float) -> str:
    """
    Return *size_bytes* to three significant figures, in binary units.

    >>> format_size(12288), format_size(-3.25), format_size(0)
    ('12.0 KiB', '-3.25 B', '0 B')
    """
    size, sign = abs(size_bytes), "-" if size_bytes < 0 else ""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 999.5:  # noqa: PLR2004 - rounded to 1000 from there
            whole = unit == "B" and size == round(size)
            return f"{sign}{size:.0f} {unit}" if whole else f"{sign}{_three_figures(size)} {unit}"
        size /= 1024
    return f"{sign}{_three_figures(size)} TiB"


def format_duration(duration_s: float) -> str:
    """
    Return *duration_s* to three significant figures, in the unit that suits it.

    >>> format_duration(0.0042), format_duration(90), format_duration(86400)
    ('4.20 ms', '1.50 min', '24.0 h')
    """
    size = abs(duration_s)
    if size == 0:
        return "0 s"
    scales = (
        (1e-6, 1e-9, "ns"),
        (1e-3, 1e-6, "us"),
        (1.0, 1e-3, "ms"),
        (60, 1.0, "s"),
        (3600, 60.0, "min"),
    )
    for below, scale, unit in scales:
        if size < below * 0.9995:
            return f"{_three_figures(duration_s / scale)} {unit}"
    return f"{_three_figures(duration_s / 3600)} h"


def format_count(count: float) -> str:
    """
    Return a count with thousands separators.

    >>> format_count(100000)
    '100,000'
    """
    return f"{count:,.0f}"


def format_quantity(value: float, dimension: Dimension) -> str:
    """
    Return a value in SI units as people read it; sizes per time are shown per hour.

    >>> format_quantity(1024 / 3600, Dimension.SIZE_RATE)
    '1.00 KiB/h'
    >>> format_quantity(0.902, Dimension.RATIO)
    '90.2 %'
    """
    match dimension:
        case Dimension.SIZE:
            return format_size(value)
        case Dimension.DURATION:
            return format_duration(value)
        case Dimension.SIZE_RATE:
            return f"{format_size(value * 3600)}/h"
        case Dimension.RATE:
            return f"{format_count(value)}/s" if abs(value) >= 100 else f"{_three_figures(value)}/s"  # noqa: PLR2004 - three figures
        case Dimension.RATIO:
            return f"{_three_figures(value * 100)} %"
        case Dimension.NUMBER:
            return format_count(value) if value == round(value) else _three_figures(value)

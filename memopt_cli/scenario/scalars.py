"""Plain YAML scalars after YAML 1.2's core schema, without the traps of YAML 1.1."""

from __future__ import annotations

import re

MAX_DIGITS = 19
"""Longer numbers have no use in a scenario, and cost more than linear time to convert."""

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)")

_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9]+(?::[0-9]+)+(?:\.[0-9]*)?")
_EXPONENT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.?[0-9]*)[eE][-+]?[0-9]+")
_UNDERSCORES = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*")
_WORDS = {"yes": "on", "y": "on", "no": "off", "n": "off"}


def resolve(text: str) -> str | int | float | bool | None:
    """
    Return the value of a plain scalar; `on` and `off` stay text.

    Raises `ValueError` with two arguments, what is wrong and what to do, for a
    scalar that YAML 1.1 and YAML 1.2 read differently.

    >>> resolve("12"), resolve("60s"), resolve("off"), resolve("true"), resolve("~")
    (12, '60s', 'off', True, None)
    >>> resolve("1:30")
    Traceback (most recent call last):
    ...
    ValueError: ("'1:30' is 90 to some YAML readers", 'Write 1m30s or "1:30".')
    """
    _refuse_traps(text)
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text[0] in "tT"
    for pattern, base in ((_INTEGER, 10), (_OCTAL, 0), (_HEXADECIMAL, 0)):
        if pattern.fullmatch(text):
            return int(_short(text), base)
    return float(_short(text)) if _DECIMAL.fullmatch(text) else text


def _short(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} characters", f"Use at most {MAX_DIGITS}.")
    return text


def _refuse_traps(text: str) -> None:
    """Raise `ValueError` for a scalar whose meaning depends on the YAML version."""
    if _SEXAGESIMAL.fullmatch(text) and len(text) <= MAX_DIGITS:
        raise ValueError(*_sexagesimal(text))
    if _LEADING_ZERO.fullmatch(text) and len(text) <= MAX_DIGITS:
        plain = text.replace("_", "").lstrip("+-0") or "0"
        raise ValueError(f"'{text}' is octal to some YAML readers", f'Write {plain} or "{text}".')
    if _EXPONENT.fullmatch(text) and len(text) <= MAX_DIGITS:
        raise ValueError(
            f"'{text}' is text to some YAML readers", f'Write the digits out, or "{text}".'
        )
    if _UNDERSCORES.fullmatch(text) and len(text) <= MAX_DIGITS:
        raise ValueError(
            f"'{text}' is a number to some YAML readers",
            f'Write {text.replace("_", "")} or "{text}".',
        )
    if (switch := _WORDS.get(text.lower())) is not None:
        raise ValueError(
            f"'{text}' is a boolean to some YAML readers", f'Write {switch} or "{text}".'
        )


def _sexagesimal(text: str) -> tuple[str, str]:
    minutes, _, seconds = text.lstrip("+-").partition(":")
    if ":" in seconds:
        return f"'{text}' is a number to some YAML readers", f'Write it like 1h30m, or "{text}".'
    total = int(minutes) * 60 + int(float(seconds))
    remedy = f'Write {minutes}m{seconds}s or "{text}".'
    return f"'{text}' is {total} to some YAML readers", remedy

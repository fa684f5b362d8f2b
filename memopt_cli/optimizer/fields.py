"""The fields of a connection state: their types, and how a value for one is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import IntEnum
from operator import index
from typing import TypeAlias

from memopt_cli.errors import StateError, UnknownField, WrongFieldType
from memopt_cli.optimizer.capabilities import Capabilities

MetadataValue: TypeAlias = str | int | float | bool | None
RequestId: TypeAlias = int | str

METADATA_TYPES = frozenset({str, int, float, bool, type(None)})
REQUEST_ID_TYPES = frozenset({int, str})


class Phase(IntEnum):
    """Where a connection is between its first and its last byte."""

    CONNECTING = 0
    READY = 1
    CLOSING = 2
    CLOSED = 3


def check_field(name: str, value: object) -> object:
    """
    Return *value* as the field *name* stores it.

    Raises:
        UnknownField: No field has this name.
        WrongFieldType: The field cannot hold the value.
    """
    check = FIELDS.get(name)
    if check is None:
        raise unknown_field(name)
    return check(name, value)


def unknown_field(name: str) -> UnknownField:
    """Return the error for a name that no field has, with the nearest one as its hint."""
    nearest = get_close_matches(str(name), FIELDS, n=1)
    known = f"Did you mean {nearest[0]!r}?" if nearest else f"The fields are {', '.join(FIELDS)}."
    return UnknownField(f"unknown field {name!r}", hint=known)


def check_integer(name: str, value: object) -> int:
    """Return *value* as an int if it is an integer of any type, numpy's included."""
    try:
        return int(index(value))  # type: ignore[arg-type] # that is the question
    except TypeError:
        raise wrong_type(name, "an int", value) from None


def check_request_id(name: str, value: object) -> RequestId:
    """Return *value* if it can be a request id: an int or a str, not a bool."""
    # Exact types, as everywhere here: an encoded subclass would come back as something else.
    if type(value) in REQUEST_ID_TYPES:
        return value  # type: ignore[return-value] # the set says int or str
    raise wrong_type(name, "of request ids that are int or str", value)


def check_metadata_item(name: str, key: object, value: object) -> None:
    """Refuse a key that is no str, and a value of a type that metadata cannot hold."""
    if type(key) is not str:
        raise wrong_type(f"the {name} key {key!r}", "a str", key)
    if type(value) not in METADATA_TYPES:
        raise wrong_type(f"{name}[{key!r}]", "a str, int, float, bool or None", value)


def check_payload(name: str, value: object) -> bytes:
    """Return *value* as bytes, copied only if it is a buffer that may change."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise wrong_type(name, "bytes", value)


def pending_already(request_id: RequestId) -> StateError:
    """Return the error for a request id that is pending already."""
    return StateError(
        f"request {request_id!r} is pending already",
        hint="Request ids of one connection must differ until they are completed.",
    )


def wrong_type(name: str, expected: str, found: object) -> WrongFieldType:
    """Return the error for a value that the field *name* cannot hold."""
    return WrongFieldType(
        f"{name} is of type {type(found).__name__}",
        hint=f"{name} must be {expected}.",
    )


def _phase(name: str, value: object) -> Phase:
    if isinstance(value, Phase):
        return value
    raise wrong_type(name, "a Phase", value)


def _int(name: str, value: object) -> int:
    if type(value) is int:
        return value
    raise wrong_type(name, "an int", value)


def _seconds(name: str, value: object) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise wrong_type(name, "seconds that fit a float", value) from None
    raise wrong_type(name, "seconds, as a float or an int", value)


def _capabilities(name: str, value: object) -> Capabilities | None:
    if value is None or isinstance(value, Capabilities):
        return value
    raise wrong_type(name, "Capabilities of a CapabilityStore, or None", value)


def _metadata(name: str, value: object) -> dict[str, MetadataValue]:
    if not isinstance(value, Mapping):
        raise wrong_type(name, "a mapping", value)
    content = dict(value)
    for key, item in content.items():
        check_metadata_item(name, key, item)
    return content


def _pending(name: str, value: object) -> tuple[RequestId, ...]:
    if not isinstance(value, (tuple, list)):
        raise wrong_type(name, "a tuple of request ids", value)
    ids = tuple(check_request_id(name, item) for item in value)
    if len(set(ids)) != len(ids):
        raise StateError(f"{len(ids):,} pending requests have {len(set(ids)):,} different ids")
    return ids


def _retained(name: str, value: object) -> tuple[bytes, ...]:
    if not isinstance(value, (tuple, list)):
        raise wrong_type(name, "a tuple of bytes", value)
    return tuple(check_payload(name, item) for item in value)


FIELDS: dict[str, Callable[[str, object], object]] = {
    "phase": _phase,
    "number": _int,
    "opened_at_s": _seconds,
    "last_seen_s": _seconds,
    "received": _int,
    "received_bytes": _int,
    "checksum": _int,
    "capabilities": _capabilities,
    "metadata": _metadata,
    "pending": _pending,
    "retained": _retained,
}
"""Each field and the function that checks a value for it, in the order of the record."""

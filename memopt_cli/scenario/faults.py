"""What is wrong with a value, in our own words, on its way through pydantic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a scenario, at a path into it."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    at_key: bool = False
    """Whether the key is to be changed, rather than its value."""

    unknown: bool = False
    """Whether the key is one that nobody knows; the rest can be checked without it."""

    def under(self, path: tuple[str | int, ...]) -> Fault:
        """Return the same fault, seen from above *path*."""
        return replace(self, path=(*path, *self.path))


def fault(message: str, hint: str = "", *, at_key: bool = False) -> PydanticCustomError:
    """Return the error that a validator raises about the value it was given."""
    context = {"message": message, "hint": hint, "at_key": at_key, "unknown": False}
    return PydanticCustomError("memopt", "{message}", context)


def fault_of(error: PydanticCustomError, path: tuple[str | int, ...], *, at_key: bool) -> Fault:
    """Return what a validator raised about the value, or the key, at *path*."""
    context = error.context or {}
    return Fault(path, str(context["message"]), str(context["hint"]), at_key=at_key)


def raised(faults: Iterable[Fault]) -> ValidationError:
    """Return *faults* as one error; pydantic puts the path of the caller before each."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError(
                "memopt",
                "{message}",
                {"message": f.message, "hint": f.hint, "at_key": f.at_key, "unknown": f.unknown},
            ),
            loc=f.path,
            input=None,
        )
        for f in faults
    ]
    return ValidationError.from_exception_data("scenario", details)


def caught(error: ValidationError) -> list[Fault]:
    """Return what pydantic found; its own few error types are put into plain English."""
    faults = []
    for one in error.errors(include_url=False):
        context = one.get("ctx", {})
        if one["type"] == "memopt":
            faults.append(Fault(one["loc"], **context))
        elif one["type"] == "extra_forbidden":
            message = f"unknown key {shown(one['loc'][-1])}"
            faults.append(Fault(one["loc"], message, at_key=True, unknown=True))
        elif one["type"] == "missing":
            faults.append(Fault(one["loc"], f"'{one['loc'][-1]}' is missing", "Add it."))
        else:
            faults.append(Fault(one["loc"], *_wrong_kind(one["type"], one["input"])))
    return faults


_KINDS = {
    "model_type": ("keys and values", "Write it like {key: value}."),
    "model_attributes_type": ("keys and values", "Write it like {key: value}."),
    "dict_type": ("keys and values", "Write it like {key: value}."),
    "tuple_type": ("a list", "Write it like [first, second]."),
    "string_type": ("text", "Put it in quotes."),
}


def _wrong_kind(kind: str, value: object) -> tuple[str, str]:
    expected, hint = _KINDS[kind]
    return f"expected {expected}, found {shown(value)}", hint


def shown(value: object) -> str:
    """
    Return *value* as a message shows it: text in quotes, collections by their kind.

    >>> shown("on"), shown(3), shown([1]), shown(True)
    ("'on'", '3', 'a list', 'true')
    """
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return "a list"
        case dict():
            return "keys and values"
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"

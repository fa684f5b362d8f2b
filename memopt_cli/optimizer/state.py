"""What a server remembers of one connection, in as few bytes as plain Python allows."""

from __future__ import annotations

import sys
import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from memopt_cli.errors import StateError
from memopt_cli.optimizer.fields import (
    FIELDS,
    MetadataValue,
    Phase,
    RequestId,
    check_field,
    check_new_id,
    check_payload,
    check_request_id,
    unknown_field,
)
from memopt_cli.optimizer.sizes import StateSize, deep_size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from memopt_cli.optimizer.capabilities import Capabilities

NO_METADATA: Final[Mapping[str, MetadataValue]] = MappingProxyType({})
NO_TIME_S: Final = 0.0
"""One float for all states whose times are not set."""

NUMBERS = ("number", "opened_at_s", "last_seen_s", "received", "received_bytes", "checksum")

STORED_AS = {"metadata": "_metadata", "pending": "_pending", "retained": "_retained"}
"""The slots of the fields that have a property or a method of their own."""

COMPRESSION_LEVEL = 1
"""Of zlib; higher levels gain little on messages of a few kilobytes."""


class CompactState:
    """
    The state of one connection; what it does not have costs it nothing but an empty slot.

    The public attributes may be assigned to directly, which is fast and unchecked; `update`
    checks. A state takes over the reference in ``capabilities``: it releases it when another
    takes its place and in `clear`, so nobody else should. Not safe for threads. It has no
    ``__weakref__``, which would cost every connection 8 bytes; a subclass can add it.
    """

    __slots__ = (
        "_metadata",
        "_packed",
        "_pending",
        "_retained",
        "capabilities",
        "checksum",
        "last_seen_s",
        "number",
        "opened_at_s",
        "phase",
        "received",
        "received_bytes",
    )

    phase: Phase
    number: int
    """The connection's number, as its server counts."""
    opened_at_s: float
    last_seen_s: float
    received: int
    """Messages."""
    received_bytes: int
    checksum: int
    """Of everything received, as its owner computes it."""
    capabilities: Capabilities | None

    _metadata: dict[str, MetadataValue] | None
    _pending: tuple[RequestId, ...]
    _retained: tuple[bytes, ...]
    _packed: int

    def __init__(self, **fields: object) -> None:
        """
        Args:
            fields: As `update` takes them; the others are empty.

        Raises:
            UnknownField: No field has this name.
            WrongFieldType: A field cannot hold its value.
        """
        self._empty()
        if fields:
            self.update(**fields)

    def __eq__(self, other: object) -> bool:
        """Compare by content: capabilities by their document, retained payloads uncompressed."""
        if not isinstance(other, CompactState):
            return NotImplemented
        return self._content() == other._content()

    __hash__ = None  # type: ignore[assignment] # a state changes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number} {self.phase.name}>"

    @property
    def metadata(self) -> Mapping[str, MetadataValue]:
        """A read-only view; one shared empty mapping while there is none."""
        return NO_METADATA if self._metadata is None else MappingProxyType(self._metadata)

    @property
    def pending(self) -> tuple[RequestId, ...]:
        """Ids of requests that were not answered, oldest first."""
        return self._pending

    def get(self, name: str, default: object = None) -> object:
        """
        Return the field *name*, or *default* if it is one that may be absent and is.

        Metadata, pending, retained and capabilities may be absent; numbers and phase are not.

        Raises:
            UnknownField: No field has this name.
        """
        if name not in FIELDS:
            raise unknown_field(name)
        value = self.retained_payloads() if name == "retained" else getattr(self, name)
        absent = value is None or value is NO_METADATA or value == ()
        return default if absent else value

    def update(self, **fields: object) -> None:
        """
        Set the fields given, all of them or, when one is refused, none.

        Metadata is merged into what is there; the other fields are replaced.

        Raises:
            UnknownField: No field has this name.
            WrongFieldType: A field cannot hold its value.
            StateError: Two pending ids are equal, or the capabilities that are replaced were
                released by somebody else.
        """
        checked = {name: check_field(name, value) for name, value in fields.items()}
        metadata = checked.pop("metadata", None)
        replaced = self.capabilities if "capabilities" in checked else None
        if replaced is not None:
            replaced.release()
        if metadata:
            self._metadata = {**self.metadata, **cast("dict[str, MetadataValue]", metadata)}
        for name, value in checked.items():
            setattr(self, STORED_AS.get(name, name), value)
        if "retained" in checked:
            self._packed = 0

    def clear(self) -> None:
        """
        Make the state as empty as a new one, and release its capabilities.

        Fit as the reset of a pool: nothing of the last connection can be read afterwards.

        Raises:
            StateError: Somebody else has released the capabilities; the state is empty.
        """
        capabilities = self.capabilities
        self._empty()
        if capabilities is not None:
            capabilities.release()

    def add_pending(self, request_id: RequestId) -> None:
        """
        Note a request that waits for its answer.

        Raises:
            WrongFieldType: The id is neither an int nor a str.
            StateError: The id is pending already.
        """
        checked = check_request_id("pending", request_id)
        check_new_id(self._pending, checked)
        self._pending = (*self._pending, checked)

    def complete(self, request_id: RequestId) -> None:
        """
        Forget a request that was answered.

        Raises:
            WrongFieldType: The id is neither an int nor a str.
            StateError: No such request is pending.
        """
        check_request_id("pending", request_id)
        if request_id not in self._pending:
            raise StateError(f"request {request_id!r} is not pending")
        at = self._pending.index(request_id)
        self._pending = self._pending[:at] + self._pending[at + 1 :]

    def retain(
        self, payload: bytes | bytearray | memoryview, *, window: int, compression: bool = False
    ) -> None:
        """
        Keep *payload*, and of those before it the last ``window - 1``.

        Args:
            payload: A message as it was received; a buffer that may change is copied.
            window: Most payloads kept, 1 or more.
            compression: Keep it compressed, if that makes it smaller.

        Raises:
            WrongFieldType: The payload is not bytes.
            StateError: The window is below 1.
        """
        if window < 1:
            raise StateError(f"a window of {window:,} messages", hint="Give 1 or more.")
        stored, smaller = _packed(check_payload("retained", payload), compression=compression)
        self._retained = (*self._retained, stored)[-window:]
        # One bit per payload, the newest lowest: set where the bytes are compressed.
        self._packed = (self._packed << 1 | smaller) & ((1 << len(self._retained)) - 1)

    def restore_retained(self, payloads: Iterable[tuple[bytes, bool]]) -> None:
        """Keep exactly *payloads*, oldest first, each with its wish to be compressed."""
        kept = [_packed(payload, compression=wish) for payload, wish in payloads]
        self._retained = tuple(stored for stored, _ in kept)
        self._packed = int("0" + "".join("01"[smaller] for _, smaller in kept), 2)

    def retained_payloads(self) -> tuple[bytes, ...]:
        """Return the payloads as they were received, oldest first."""
        return tuple(
            zlib.decompress(stored) if packed else stored
            for stored, packed in zip(self._retained, self.retained_compressed(), strict=True)
        )

    def retained_compressed(self) -> tuple[bool, ...]:
        """Say of each retained payload, oldest first, whether it is kept compressed."""
        if not self._retained:
            return ()
        # As text, because a shift for each payload costs the square of their number.
        bits = format(self._packed, f"0{len(self._retained)}b")
        return tuple(bit == "1" for bit in bits)

    def size_estimate(self) -> StateSize:
        """Return where the bytes of this state are."""
        # What no state owns: empty tuples are one object, and so is the default time.
        seen = {id(()), id(NO_TIME_S)}
        numbers = (*(getattr(self, name) for name in NUMBERS), self._packed)
        return StateSize(
            record_bytes=sys.getsizeof(self),
            numbers_bytes=sum(deep_size_bytes(number, seen) for number in numbers),
            metadata_bytes=deep_size_bytes(self._metadata, seen),
            pending_bytes=deep_size_bytes(self._pending, seen),
            retained_bytes=deep_size_bytes(self._retained, seen),
            shared_capabilities_bytes=(
                0 if self.capabilities is None else self.capabilities.size_bytes()
            ),
        )

    def _empty(self) -> None:
        """Set every slot to what an empty state has."""
        self.phase = Phase.CONNECTING
        self.number = 0
        self.opened_at_s = self.last_seen_s = NO_TIME_S
        self.received = self.received_bytes = self.checksum = 0
        self.capabilities = None
        self._metadata = None
        self._pending = ()
        self._retained = ()
        self._packed = 0

    def _content(self) -> tuple[object, ...]:
        """Return what two equal states have in common."""
        return (
            *(getattr(self, name) for name in NUMBERS),
            None if self.capabilities is None else self.capabilities.document,
            self.phase,
            self.metadata,
            self._pending,
            self.retained_payloads(),
        )


def _packed(payload: bytes, *, compression: bool) -> tuple[bytes, bool]:
    """Return *payload* as it is kept, and whether that is compressed."""
    packed = zlib.compress(payload, COMPRESSION_LEVEL) if compression else payload
    return (packed, True) if len(packed) < len(payload) else (payload, False)

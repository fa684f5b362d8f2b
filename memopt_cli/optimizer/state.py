"""The plain face of one connection's record in a `StatePool`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from memopt_cli.errors import StateError
from memopt_cli.optimizer.capabilities import Capabilities
from memopt_cli.optimizer.fields import (
    FIELDS,
    MetadataValue,
    check_field,
    check_integer,
    check_payload,
    unknown_field,
)
from memopt_cli.optimizer.metadata import StateMetadata
from memopt_cli.optimizer.pending import StatePending
from memopt_cli.optimizer.records import (
    CONTROL,
    COUNT_ELSEWHERE,
    DOCUMENT_SHIFT,
    METADATA,
    METADATA_SHARED,
    PENDING_ELSEWHERE,
    RECORD_BYTES,
    RETAINS,
)
from memopt_cli.optimizer.retention import Deflated, unpacked
from memopt_cli.optimizer.sizes import StateSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NUMBERS = ("number", "opened_at_s", "last_seen_s", "received", "received_bytes", "checksum")


class CompactState(StatePending):
    """
    One connection of a `StatePool`, made by ``pool[handle]``; it holds nothing itself.

    Every access looks whether the connection is still the one it was made for: after the
    release, any of them is `StaleHandle`, never another connection's data. Make one where it
    is needed and let it go; kept, it costs more than the record. One state is for one thread
    at a time; different states of a pool may be used by different threads.
    """

    __slots__ = ()

    __hash__ = None  # type: ignore[assignment] # a state changes

    def __eq__(self, other: object) -> bool:
        """Compare by content: capabilities by their document, retained payloads uncompressed."""
        if not isinstance(other, CompactState):
            return NotImplemented
        return self._content() == other._content()

    @property
    def capabilities(self) -> Capabilities | None:
        """
        The shared handshake document.

        The state takes over the reference it is given, and releases it when another takes
        its place, in `clear`, and when the state is released.
        """
        return self._pool.document(self._control() >> DOCUMENT_SHIFT)

    @capabilities.setter
    def capabilities(self, capabilities: Capabilities | None) -> None:
        if not isinstance(capabilities, Capabilities):
            check_field("capabilities", capabilities)
        self._pool.set_document(self._checked(), capabilities)

    @property
    def metadata(self) -> StateMetadata:
        """What requests have stored, by key; a mapping that can be written to."""
        self._checked()
        return StateMetadata(self)

    @metadata.setter
    def metadata(self, content: Mapping[str, MetadataValue]) -> None:
        checked = check_field("metadata", content)
        self.write_metadata(cast("dict[str, MetadataValue]", checked))

    def share_metadata(self, content: Mapping[str, MetadataValue]) -> None:
        """
        Have the one copy of *content* as metadata that all states with this content share.

        A later write makes it private again. Worth it where many connections have the same.

        Raises:
            WrongFieldType: It is no mapping of names to plain values.
        """
        checked = cast("dict[str, MetadataValue]", check_field("metadata", content))
        self._pool.share_metadata(self._checked(), checked)

    @property
    def has_metadata(self) -> bool:
        """Whether anything is stored, without unpacking it."""
        return self._words[self._checked() + METADATA] != 0

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
        absent = value is None or (name in {"metadata", "pending", "retained"} and not value)
        return default if absent else value

    def update(self, **fields: object) -> None:
        """
        Set the fields given, all of them or, when one is refused, none.

        Metadata is merged into what is there; the other fields are replaced.

        Raises:
            UnknownField: No field has this name.
            WrongFieldType: A field cannot hold its value.
            StateError: Two pending ids are equal. Or somebody else has released the
                capabilities that are replaced: then all is set.
        """
        self._checked()
        checked = {name: check_field(name, value) for name, value in fields.items()}
        # What may fail comes first, for lack of memory; or last, when all the rest is set.
        if metadata := checked.pop("metadata", None):
            added = cast("dict[str, MetadataValue]", metadata)
            self.write_metadata({**self.read_metadata(), **added})
        if "retained" in checked:
            kept = cast("tuple[bytes, ...]", checked.pop("retained"))
            self.restore_retained((payload, False) for payload in kept)
        replaced = "capabilities" in checked
        capabilities = cast("Capabilities | None", checked.pop("capabilities", None))
        for name, value in checked.items():
            setattr(self, name, value)
        if replaced:
            self.capabilities = capabilities

    def clear(self) -> None:
        """
        Make the state as empty as a new one, and release its capabilities.

        Raises:
            StateError: Somebody else has released the capabilities; the state is empty.
        """
        self._pool.clear(self._checked())

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
            WrongFieldType: The payload is not bytes, or the window no integer.
            StateError: The window is below 1.
        """
        if check_integer("window", window) < 1:
            raise StateError(f"a window of {window:,} messages", hint="Give 1 or more.")
        content = check_payload("retained", payload)
        self._pool.retain(self._checked(), content, window=window, compression=compression)

    def restore_retained(self, payloads: Iterable[tuple[bytes, bool]]) -> None:
        """Keep exactly *payloads*, oldest first, each with its wish to be compressed."""
        checked = ((check_payload("retained", payload), wish) for payload, wish in payloads)
        self._pool.restore_retained(self._checked(), checked)

    def retained_payloads(self) -> tuple[bytes, ...]:
        """Return the payloads as they were received, oldest first."""
        return tuple(unpacked(kept) for kept in self._kept())

    def retained_compressed(self) -> tuple[bool, ...]:
        """Say of each retained payload, oldest first, whether it is kept compressed."""
        return tuple(isinstance(kept, Deflated) for kept in self._kept())

    def size_estimate(self) -> StateSize:
        """Return where the bytes of this state are."""
        control, reference = self._control(), self._words[self._at + METADATA]
        capabilities = self.capabilities
        own, shared = self._pool.retained_bytes(self._at) if control & RETAINS else (0, 0)
        return StateSize(
            record_bytes=RECORD_BYTES,
            numbers_bytes=self._pool.wide_bytes(self._at) if control & COUNT_ELSEWHERE else 0,
            metadata_bytes=self._pool.metadata.entry_bytes(
                reference, shared=bool(control & METADATA_SHARED)
            ),
            pending_bytes=self._pool.pending_bytes(self._at) if control & PENDING_ELSEWHERE else 0,
            retained_bytes=own,
            shared_retained_bytes=shared,
            shared_capabilities_bytes=0 if capabilities is None else capabilities.size_bytes(),
        )

    def read_metadata(self) -> Mapping[str, MetadataValue]:
        """Return all metadata at once: faster than item by item."""
        at, words = self._checked(), self._words
        shared = bool(words[at + CONTROL] & METADATA_SHARED)
        return self._pool.metadata.read(words[at + METADATA], shared=shared)

    def write_metadata(self, content: Mapping[str, MetadataValue]) -> None:
        """Replace all metadata by *content*, which is not checked."""
        self._pool.write_metadata(self._checked(), content)

    def _kept(self) -> tuple[bytes, ...]:
        return self._pool.retained_at(self._checked())

    def _content(self) -> tuple[object, ...]:
        """Return what two equal states have in common."""
        capabilities = self.capabilities
        return (
            *(getattr(self, name) for name in NUMBERS),
            None if capabilities is None else capabilities.document,
            self.phase,
            dict(self.read_metadata()),
            self.pending,
            self.retained_payloads(),
        )

"""The plain face of one connection's record in a `StatePool`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from memopt_cli.errors import StateError
from memopt_cli.optimizer import records
from memopt_cli.optimizer.fields import (
    FIELDS,
    MetadataValue,
    Phase,
    RequestId,
    check_field,
    check_payload,
    check_request_id,
    pending_already,
    unknown_field,
    wrong_type,
)
from memopt_cli.optimizer.metadata import StateMetadata
from memopt_cli.optimizer.records import (
    CHECKSUM,
    CONTROL,
    COUNT_ELSEWHERE,
    DOCUMENT_SHIFT,
    ELSEWHERE,
    INLINE_PENDING,
    LAST_SEEN,
    METADATA,
    METADATA_SHARED,
    NUMBER,
    OPENED_AT,
    PENDING,
    PENDING_ELSEWHERE,
    PENDING_MASK,
    PENDING_SHIFT,
    PHASE_MASK,
    RECEIVED,
    RECEIVED_BYTES,
    RETAINS,
)
from memopt_cli.optimizer.retention import Deflated, unpacked
from memopt_cli.optimizer.scalars import count_property, time_property
from memopt_cli.optimizer.sizes import StateSize, deep_size_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from memopt_cli.optimizer.capabilities import Capabilities
    from memopt_cli.optimizer.state_pool import StatePool

PHASES = tuple(Phase)
NUMBERS = ("number", "opened_at_s", "last_seen_s", "received", "received_bytes", "checksum")


class CompactState:
    """
    One connection of a `StatePool`, made by ``pool[handle]``; it holds nothing itself.

    Every access looks whether the connection is still the one it was made for: after the
    release, any of them is `StaleHandle`, never another connection's data. Make one where it
    is needed and let it go; kept, it costs more than the record. One state is for one thread
    at a time; different states of a pool may be used by different threads.
    """

    __slots__ = ("_at", "_key", "_pool", "_words")

    __hash__ = None  # type: ignore[assignment] # a state changes

    def __init__(self, pool: StatePool, words: memoryview[int], key: int, at: int) -> None:
        """Made by the pool only."""
        self._pool = pool
        self._words = words
        self._key = key
        self._at = at

    number = count_property("number", NUMBER, "The connection's number, as its server counts.")
    opened_at_s = time_property("opened_at_s", OPENED_AT, "Time of arrival.")
    last_seen_s = time_property("last_seen_s", LAST_SEEN, "Time of the latest message.")
    received = count_property("received", RECEIVED, "Messages received.")
    received_bytes = count_property("received_bytes", RECEIVED_BYTES, "Bytes received.")
    checksum = count_property("checksum", CHECKSUM, "Of everything received, as the owner has it.")

    def __eq__(self, other: object) -> bool:
        """Compare by content: capabilities by their document, retained payloads uncompressed."""
        if not isinstance(other, CompactState):
            return NotImplemented
        return self._content() == other._content()

    def __repr__(self) -> str:
        if self._words[self._at] != self._key:
            return f"<{type(self).__name__} released>"
        return f"<{type(self).__name__} {self.number} {self.phase.name}>"

    @property
    def handle(self) -> int:
        """The handle that the state was acquired by."""
        return self._pool.handle_at(self._at, self._key)

    @property
    def phase(self) -> Phase:
        """Where the connection is between its first and its last byte."""
        words, at = self._words, self._at
        if words[at] != self._key:
            raise self._stale()
        return PHASES[words[at + CONTROL] & PHASE_MASK]

    @phase.setter
    def phase(self, phase: Phase) -> None:
        at = self._checked()
        if not isinstance(phase, Phase):
            raise wrong_type("phase", "a Phase", phase)
        self._words[at + CONTROL] = self._words[at + CONTROL] & ~PHASE_MASK | phase

    @property
    def capabilities(self) -> Capabilities | None:
        """
        The shared handshake document.

        The state takes over the reference it is given, and releases it when another takes
        its place, in `clear`, and when the state is released.
        """
        return self._pool.document(self._words[self._checked() + CONTROL] >> DOCUMENT_SHIFT)

    @capabilities.setter
    def capabilities(self, capabilities: Capabilities | None) -> None:
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
    def pending(self) -> tuple[RequestId, ...]:
        """Ids of requests that were not answered, oldest first."""
        at, words = self._checked(), self._words
        control = words[at + CONTROL]
        if control & PENDING_ELSEWHERE:
            return self._pool.pending_at(at)
        count = (control & PENDING_MASK) >> PENDING_SHIFT
        return tuple(words[at + PENDING : at + PENDING + count])

    @pending.setter
    def pending(self, ids: Iterable[RequestId]) -> None:
        checked = check_field("pending", ids)
        self._write_pending(self._checked(), cast("tuple[RequestId, ...]", checked))

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
            StateError: Two pending ids are equal, or the capabilities that are replaced were
                released by somebody else.
        """
        self._checked()
        checked = {name: check_field(name, value) for name, value in fields.items()}
        if "capabilities" in checked:
            self.capabilities = cast("Capabilities | None", checked.pop("capabilities"))
        if metadata := checked.pop("metadata", None):
            added = cast("dict[str, MetadataValue]", metadata)
            self.write_metadata({**self.read_metadata(), **added})
        if "retained" in checked:
            kept = cast("tuple[bytes, ...]", checked.pop("retained"))
            self.restore_retained((payload, False) for payload in kept)
        for name, value in checked.items():
            setattr(self, name, value)

    def clear(self) -> None:
        """
        Make the state as empty as a new one, and release its capabilities.

        Raises:
            StateError: Somebody else has released the capabilities; the state is empty.
        """
        self._pool.clear(self._checked())

    def note_received(self, size_bytes: int, at_s: float, checksum: int) -> None:
        """
        Account for one message: one more received, its bytes, its time, the new checksum.

        Raises:
            WrongFieldType: A value is not of its field's type; earlier fields are set.
        """
        words, at = self._words, self._at
        if words[at] != self._key:
            raise self._stale()
        received, received_bytes = words[at + RECEIVED] + 1, words[at + RECEIVED_BYTES] + size_bytes
        if received < ELSEWHERE and received_bytes < ELSEWHERE > checksum:
            words[at + RECEIVED] = received
            words[at + RECEIVED_BYTES] = received_bytes
            words[at + CHECKSUM] = checksum
            self._pool.times[(at >> 1) + LAST_SEEN] = at_s
            return
        self.received += 1
        self.received_bytes += size_bytes
        self.checksum, self.last_seen_s = checksum, at_s

    def add_pending(self, request_id: RequestId) -> None:
        """
        Note a request that waits for its answer.

        Raises:
            WrongFieldType: The id is neither an int nor a str.
            StateError: The id is pending already.
        """
        words, at = self._words, self._checked()
        control = words[at + CONTROL]
        # The usual case, without a tuple: another small number, and room in the record.
        if type(request_id) is int and 0 <= request_id <= ELSEWHERE:
            end = at + PENDING + ((control & PENDING_MASK) >> PENDING_SHIFT)
            if end < at + METADATA and not control & PENDING_ELSEWHERE:
                if request_id in words[at + PENDING : end]:
                    raise pending_already(request_id)
                words[end] = request_id
                words[at + CONTROL] = control + (1 << PENDING_SHIFT)
                return
        check_request_id("pending", request_id)
        pending = self.pending
        if request_id in pending:
            raise pending_already(request_id)
        self._write_pending(at, (*pending, request_id))

    def complete(self, request_id: RequestId) -> None:
        """
        Forget a request that was answered.

        Raises:
            WrongFieldType: The id is neither an int nor a str.
            StateError: No such request is pending.
        """
        check_request_id("pending", request_id)
        pending = self.pending
        if request_id not in pending:
            raise StateError(f"request {request_id!r} is not pending")
        at = pending.index(request_id)
        self._write_pending(self._at, pending[:at] + pending[at + 1 :])

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
        content = check_payload("retained", payload)
        self._pool.retain(self._checked(), content, window=window, compression=compression)

    def restore_retained(self, payloads: Iterable[tuple[bytes, bool]]) -> None:
        """Keep exactly *payloads*, oldest first, each with its wish to be compressed."""
        self._pool.restore_retained(self._checked(), payloads)

    def retained_payloads(self) -> tuple[bytes, ...]:
        """Return the payloads as they were received, oldest first."""
        return tuple(unpacked(kept) for kept in self._kept())

    def retained_compressed(self) -> tuple[bool, ...]:
        """Say of each retained payload, oldest first, whether it is kept compressed."""
        return tuple(isinstance(kept, Deflated) for kept in self._kept())

    def size_estimate(self) -> StateSize:
        """Return where the bytes of this state are."""
        at = self._checked()
        control, reference = self._words[at + CONTROL], self._words[at + METADATA]
        shared = bool(control & METADATA_SHARED)
        seen = {id(())}
        capabilities = self.capabilities
        return StateSize(
            record_bytes=records.RECORD_BYTES,
            numbers_bytes=self._pool.wide_bytes(at) if control & COUNT_ELSEWHERE else 0,
            metadata_bytes=self._pool.metadata.entry_bytes(reference, shared=shared),
            pending_bytes=(
                deep_size_bytes(self.pending, seen) if control & PENDING_ELSEWHERE else 0
            ),
            retained_bytes=deep_size_bytes(self._kept(), seen),
            shared_capabilities_bytes=0 if capabilities is None else capabilities.size_bytes(),
        )

    def _checked(self) -> int:
        """Return where the record begins, if it is still this connection's."""
        if self._words[self._at] != self._key:
            raise self._stale()
        return self._at

    def _stale(self) -> Exception:
        return self._pool.refusal(self._pool.handle_at(self._at, self._key))

    def read_metadata(self) -> Mapping[str, MetadataValue]:
        """Return all metadata at once: faster than item by item."""
        at, words = self._checked(), self._words
        shared = bool(words[at + CONTROL] & METADATA_SHARED)
        return self._pool.metadata.read(words[at + METADATA], shared=shared)

    def write_metadata(self, content: Mapping[str, MetadataValue]) -> None:
        """Replace all metadata by *content*, which is not checked."""
        at, words = self._checked(), self._words
        reference, control = words[at + METADATA], words[at + CONTROL]
        if control & METADATA_SHARED:
            self._pool.metadata.free(reference, shared=True)
            words[at + CONTROL] = control & ~METADATA_SHARED
            reference = 0
        words[at + METADATA] = self._pool.metadata.write(reference, content)

    def _write_pending(self, at: int, ids: tuple[RequestId, ...]) -> None:
        words = self._words
        control = words[at + CONTROL] & ~(PENDING_MASK | PENDING_ELSEWHERE)
        if len(ids) <= INLINE_PENDING and all(
            type(one) is int and 0 <= one <= ELSEWHERE for one in ids
        ):
            for place, one in enumerate(ids, at + PENDING):
                words[place] = one  # type: ignore[assignment] # an int, as checked above
            self._pool.forget_pending(at)
            words[at + CONTROL] = control | len(ids) << PENDING_SHIFT
        else:
            self._pool.set_pending(at, ids)
            words[at + CONTROL] = control | PENDING_ELSEWHERE

    def _kept(self) -> tuple[bytes, ...]:
        at = self._checked()
        return self._pool.retained_at(at) if self._words[at + CONTROL] & RETAINS else ()

    def _content(self) -> tuple[object, ...]:
        """Return what two equal states have in common."""
        capabilities = self.capabilities
        return (
            *(getattr(self, name) for name in NUMBERS),
            None if capabilities is None else capabilities.document,
            self.phase,
            dict(self.metadata),
            self.pending,
            self.retained_payloads(),
        )

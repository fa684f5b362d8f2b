"""Ways to make bytes of a connection state, and a state of the bytes again."""

from __future__ import annotations

import json
import pickle
import zlib
from abc import ABC, abstractmethod
from dataclasses import astuple
from typing import Any, ClassVar

import msgpack
import msgspec
import zstandard

from memopt_cli.optimizer.codec import decode, encode
from memopt_cli.optimizer.fields import Phase
from memopt_cli.optimizer.state_pool import StatePool
from tests.benchmarks.candidates import Flat
from tests.benchmarks.state_fields import WINDOW, Fields

DICTIONARY_BYTES = 16 * 1024


class Codec(ABC):
    """One way, as statements that are timed in place: `data` of a `subject`, and back."""

    name: ClassVar[str]
    note: ClassVar[str]
    encode: ClassVar[str]
    """An expression of the bytes."""

    decode: ClassVar[str]
    """An expression of what is made of them."""

    names: dict[str, Any]
    """What the expressions use, beside `data` and `subject`."""

    def learn(self, others: list[Fields]) -> None:  # noqa: B027 - most have nothing to learn
        """Prepare for states that are like *others*."""

    @abstractmethod
    def subject(self, fields: Fields) -> Any:
        """Return a state in the form that is encoded."""

    @abstractmethod
    def content(self, decoded: Any) -> Fields:
        """Return the content of what was decoded."""

    def forget(self, decoded: list[Any]) -> None:  # noqa: B027 - most let go by themselves
        """Let go what was decoded."""


class Memopt(Codec):
    name = "memopt"
    note = "codec.encode, and codec.decode into a pool"
    encode = "encode(pool, subject)"
    decode = "decode(data, pool)"

    def __init__(self) -> None:
        self.pool = StatePool()
        self.names = {"pool": self.pool, "encode": encode, "decode": decode}

    def subject(self, fields: Fields) -> Any:
        """Return the handle of a state."""
        handle = self.pool.acquire()
        state = self.pool[handle]
        state.phase = Phase(fields.phase)
        for name in ("number", "opened_at_s", "last_seen_s", "received", "received_bytes"):
            setattr(state, name, getattr(fields, name))
        state.checksum, state.pending = fields.checksum, fields.pending
        state.metadata = fields.metadata
        for payload in fields.retained:
            state.retain(payload, window=WINDOW)
        return handle

    def content(self, decoded: Any) -> Fields:
        """Read the state of a handle."""
        state = self.pool[decoded]
        return Fields(
            number=state.number,
            phase=int(state.phase),
            opened_at_s=state.opened_at_s,
            last_seen_s=state.last_seen_s,
            received=state.received,
            received_bytes=state.received_bytes,
            checksum=state.checksum,
            pending=tuple(int(one) for one in state.pending),
            metadata={key: str(value) for key, value in state.read_metadata().items()},
            retained=state.retained_payloads(),
        )

    def forget(self, decoded: list[Any]) -> None:
        """Release the states."""
        for handle in decoded:
            self.pool.release(handle)


class MemoptCompressed(Memopt):
    name = "memopt, compress"
    note = "the same with compress=True, which leaves alone what would grow"
    encode = "encode(pool, subject, compress=True)"


class MemoptZlib(Memopt):
    name = "zlib of memopt"
    note = "zlib over the bytes of memopt"
    encode = "compress(encode(pool, subject))"
    decode = "decode(decompress(data), pool)"

    def __init__(self) -> None:
        super().__init__()
        self.names |= {"compress": zlib.compress, "decompress": zlib.decompress}


class NaiveJson(Codec):
    name = "naive json"
    note = "json.dumps and loads of the naive record; payloads, which are text, as text"
    encode = "dumps(subject).encode()"
    decode = "loads(data)"

    def __init__(self) -> None:
        self.names = {"dumps": json.dumps, "loads": json.loads}

    def subject(self, fields: Fields) -> Any:
        """Return nested dictionaries."""
        return {
            "id": f"connection-{fields.number}",
            "phase": Phase(fields.phase).name.lower(),
            "opened_at": fields.opened_at_s,
            "last_seen": fields.last_seen_s,
            "metadata": fields.metadata,
            "pending": fields.pending,
            "stats": {
                "number": fields.number,
                "received": fields.received,
                "received_bytes": fields.received_bytes,
                "checksum": fields.checksum,
            },
            "retained": [payload.decode() for payload in fields.retained],
        }

    def content(self, decoded: Any) -> Fields:
        """Read the dictionaries."""
        return Fields(
            phase=int(Phase[decoded["phase"].upper()]),
            opened_at_s=decoded["opened_at"],
            last_seen_s=decoded["last_seen"],
            pending=tuple(decoded["pending"]),
            metadata=decoded["metadata"],
            retained=tuple(payload.encode() for payload in decoded["retained"]),
            **decoded["stats"],
        )


class Pickle(Codec):
    name = "pickle 5"
    note = "pickle, protocol 5, of an object with __slots__"
    encode = "dumps(subject, 5)"
    decode = "loads(data)"

    def __init__(self) -> None:
        self.names = {"dumps": pickle.dumps, "loads": pickle.loads}

    def subject(self, fields: Fields) -> Any:
        """Return an object with slots."""
        state = Flat()
        for name in Fields.__slots__:
            setattr(state, name, getattr(fields, name))
        return state

    def content(self, decoded: Any) -> Fields:
        """Read the slots."""
        return Fields(**{name: getattr(decoded, name) for name in Fields.__slots__})


class Msgpack(Codec):
    name = "msgpack"
    note = "msgpack of the fields in a list, back to a list"
    encode = "packb(subject)"
    decode = "unpackb(data)"

    def __init__(self) -> None:
        self.names = {"packb": msgpack.packb, "unpackb": msgpack.unpackb}

    def subject(self, fields: Fields) -> Any:
        """Return a tuple."""
        return astuple(fields)

    def content(self, decoded: Any) -> Fields:
        """Read the list."""
        found = dict(zip(Fields.__slots__, decoded, strict=True))
        found["pending"], found["retained"] = tuple(found["pending"]), tuple(found["retained"])
        return Fields(**found)


class MsgpackZstd(Msgpack):
    name = "zstd of msgpack"
    note = "zstandard over msgpack, its dictionary trained on 1,000 other states of the kind"
    encode = "compress(packb(subject))"
    decode = "unpackb(decompress(data))"

    def learn(self, others: list[Fields]) -> None:
        """Train the dictionary."""
        samples = [msgpack.packb(self.subject(fields)) for fields in others]
        dictionary = zstandard.train_dictionary(DICTIONARY_BYTES, samples)
        compressor = zstandard.ZstdCompressor(
            dict_data=dictionary,
            compression_params=zstandard.ZstdCompressionParameters.from_level(
                3, write_dict_id=False
            ),
        )
        decompressor = zstandard.ZstdDecompressor(dict_data=dictionary)
        self.names |= {"compress": compressor.compress, "decompress": decompressor.decompress}


class Record(msgspec.Struct, array_like=True, gc=False):
    """The fields as msgspec writes them fastest."""

    number: int
    phase: int
    opened_at_s: float
    last_seen_s: float
    received: int
    received_bytes: int
    checksum: int
    pending: tuple[int, ...]
    metadata: dict[str, str]
    retained: tuple[bytes, ...]


class Msgspec(Codec):
    name = "msgspec"
    note = "msgspec's msgpack of a Struct as an array, gc=False, back to a checked Struct"
    encode = "encode(subject)"
    decode = "decode(data)"

    def __init__(self) -> None:
        encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Record)
        self.names = {"encode": encoder.encode, "decode": decoder.decode}

    def subject(self, fields: Fields) -> Any:
        """Return a struct."""
        return Record(*astuple(fields))

    def content(self, decoded: Any) -> Fields:
        """Read the struct."""
        return Fields(*msgspec.structs.astuple(decoded))


CODECS: tuple[type[Codec], ...] = (
    Memopt,
    MemoptCompressed,
    MemoptZlib,
    NaiveJson,
    Pickle,
    Msgpack,
    MsgpackZstd,
    Msgspec,
)

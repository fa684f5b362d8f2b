"""Where agents sleep: records in a file that has no name, outside the process's memory."""

from __future__ import annotations

import errno
import os
import struct
import tempfile
import weakref
import zlib
from typing import TYPE_CHECKING, Final

from memopt_cli.errors import CorruptState

if TYPE_CHECKING:
    from pathlib import Path

HEAD: Final = struct.Struct("<II")
"""Checksum of what follows the two, and its length in bytes."""


class Dormitory:
    """
    One record per slot, at a fixed place: going to sleep again overwrites the last record.

    The file is unlinked while it is open, so nothing is left of it after a crash. It is as
    large as its highest slot, but only written places take space. Where the folder is in
    memory (tmpfs) sleeping agents still take memory, only not the process's own.
    """

    __slots__ = ("__weakref__", "_file", "_record_bytes")

    def __init__(self, record_bytes: int, folder: Path | None = None) -> None:
        """
        Args:
            record_bytes: The longest content there will be.
            folder: Where the file is made; the system's folder for temporary files if None.
        """
        self._record_bytes = HEAD.size + record_bytes
        with tempfile.TemporaryFile(dir=folder) as file:
            self._file = os.dup(file.fileno())
        # A descriptor and not a file object: whoever drops a population need not close it.
        weakref.finalize(self, os.close, self._file)

    def put(self, slot: int, content: bytes) -> None:
        """
        Write the record of a slot.

        Raises:
            OSError: The disk is full; the slot's record is not to be read.
        """
        record = HEAD.pack(zlib.crc32(content), len(content)) + content
        place = slot * self._record_bytes
        # Joined, because writing two pieces by one call takes 2 us longer.
        done = os.pwrite(self._file, record, place)
        if (
            done < len(record)
            and os.pwrite(self._file, record[done:], place + done) < len(record) - done
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def get(self, slot: int) -> bytes:
        """
        Return the record of a slot.

        Raises:
            CorruptState: It is not what was written.
        """
        record = os.pread(self._file, self._record_bytes, slot * self._record_bytes)
        if len(record) >= HEAD.size:
            checksum, length = HEAD.unpack_from(record)
            content = record[HEAD.size : HEAD.size + length]
            if len(content) == length and zlib.crc32(content) == checksum:
                return content
        raise CorruptState(
            f"the record of sleeping agent {slot} was changed since it was written",
            hint="Nothing else may write to the file; look at the disk.",
        )

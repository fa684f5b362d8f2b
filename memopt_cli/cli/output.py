"""Streams that a run survives: a reader that goes away must not end what is being measured."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


class Output(io.TextIOBase):
    """
    A text stream that drops what it cannot write.

    A run is kept in its folder and has an exit code; what is printed is a copy. The
    first error is kept in `error`, and nothing more is written after it.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self.error: Exception | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override] # read only
        """That of the stream."""
        return "utf-8" if self._stream is None else self._stream.encoding

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        if self._stream is None:
            raise OSError("there is no stream")
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write, or do nothing after the first error."""
        if self._stream is not None:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as exc:
                self._give_up(exc)
        return len(text)

    def flush(self) -> None:
        """Flush, or do nothing after the first error."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as exc:
                self._give_up(exc)

    def _give_up(self, error: Exception) -> None:
        self.error, stream, self._stream = error, self._stream, None
        if stream is not None and not stream.closed:
            # What is still in the stream's buffer goes where it can be written, at exit.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)

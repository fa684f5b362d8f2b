"""The rows of a population: without gaps, in chunks, and asleep in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.optimizer.agents.chunk import Chunk, Kind
from memopt_cli.optimizer.agents.dormitory import Dormitory
from memopt_cli.optimizer.agents.rings import opened, sealed
from memopt_cli.optimizer.agents.slots import ASLEEP, Slots
from memopt_cli.optimizer.agents.tiers import rows_per_chunk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Floats, Ints


class Table:
    """
    Who is awake has a row, who sleeps a record in the file.

    A row that is given back is filled with the last one, and a chunk without rows goes, so
    memory follows how many are awake. Not safe for threads: the owner locks.
    """

    __slots__ = (
        "_archives",
        "_dormitory",
        "_folder",
        "asleep",
        "awake",
        "chunks",
        "kind",
        "rows_per_chunk",
        "slots",
    )

    def __init__(self, kind: Kind, folder: Path | None, *, whole_history: bool) -> None:
        self.kind, self._folder = kind, folder
        self.rows_per_chunk = rows_per_chunk(kind.model, kind.tier)
        self.slots = Slots()
        self.chunks: list[Chunk] = []
        self.awake = self.asleep = 0
        self._archives: dict[int, list[bytes]] | None = {} if whole_history else None
        self._dormitory: Dormitory | None = None

    @property
    def archive_bytes(self) -> int:
        """What the sealed blocks of whole histories occupy."""
        archives = (self._archives or {}).values()
        return sum(len(block) for blocks in archives for block in blocks)

    def add(self, count: int) -> Ints:
        """
        Return the slots of *count* new rows at the end, whose content is still to be written.

        Raises:
            PoolExhausted: There are no more slots, or there is no memory; nothing is added.
        """
        import numpy as np

        rows = np.arange(self.awake, self.awake + count)
        slots = self.slots.take(count)
        try:
            for row in range(self.awake, self.awake + count, self.rows_per_chunk):
                self._chunk_with(row)
            if count:
                self._chunk_with(self.awake + count - 1)
        except BaseException:
            for slot in slots:
                self.slots.end(int(slot))
            raise
        for chunk, local, part in self.grouped(rows):
            chunk.used = int(local[-1]) + 1
            chunk.rings.counts[local] = 0
            chunk.slots[local] = slots[part]
        self.slots.rows[slots] = rows
        self.awake += count
        return slots

    def remove(self, slot: int) -> None:
        """End the agent of a slot, awake or asleep."""
        row = int(self.slots.rows[slot])
        if row == ASLEEP:
            self.asleep -= 1
        else:
            self._close_gap(row)
        self.slots.end(slot)
        if self._archives is not None:
            self._archives.pop(slot, None)

    def place(self, slot: int) -> tuple[Chunk, int]:
        """Return the chunk of an agent, who is awake from now on, and its row there."""
        if self.slots.rows[slot] == ASLEEP:
            self.wake(slot)
        number, local = divmod(int(self.slots.rows[slot]), self.rows_per_chunk)
        return self.chunks[number], local

    def rows(self, slots: Ints) -> Ints:
        """Return the rows of agents, all awake from now on."""
        import numpy as np

        for slot in slots[self.slots.rows[slots] == ASLEEP]:
            self.wake(int(slot))
        return self.slots.rows[slots].astype(np.intp)

    def grouped(self, rows: Ints) -> Iterator[tuple[Chunk, Ints, slice]]:
        """Yield each chunk, the rows there, and which of *rows*, that are in order, they are."""
        start, each = 0, self.rows_per_chunk
        while start < len(rows):
            number = int(rows[start]) // each
            stop = int(rows.searchsorted((number + 1) * each))
            yield self.chunks[number], rows[start:stop] - number * each, slice(start, stop)
            start = stop

    def slots_in_order(self) -> Ints:
        """Return the slots of all who are awake, by row."""
        import numpy as np

        slots = [chunk.slots[: chunk.used] for chunk in self.chunks]
        return np.concatenate([np.zeros(0, dtype=np.intp), *slots])

    def idle_since(self, time_s: float) -> Ints:
        """Return the slots of all who are awake and were not used after *time_s*."""
        import numpy as np

        idle = [
            chunk.slots[: chunk.used][chunk.last_used_s[: chunk.used] <= time_s]
            for chunk in self.chunks
        ]
        return np.concatenate([np.zeros(0, dtype=np.intp), *idle])

    def last_used_s(self, slots: Ints) -> Floats:
        """Return when agents were used last; minus infinity of who sleeps."""
        import numpy as np

        rows = self.slots.rows[slots].astype(np.intp)
        times = np.full(len(rows), -np.inf)
        order = np.argsort(rows, kind="stable")
        order = order[rows[order] != ASLEEP]
        for chunk, local, part in self.grouped(rows[order]):
            times[order[part]] = chunk.last_used_s[local]
        return times

    def hibernate(self, slot: int) -> None:
        """
        Write an agent, who is awake, to the file and give its row back.

        Raises:
            OSError: The file cannot be written; the agent is awake as before.
        """
        if self._dormitory is None:
            self._dormitory = Dormitory(self.kind.longest_bytes, self._folder)
        row = int(self.slots.rows[slot])
        number, local = divmod(row, self.rows_per_chunk)
        self._dormitory.put(slot, self.chunks[number].pack(local))
        self._close_gap(row)
        self.slots.rows[slot] = ASLEEP
        self.asleep += 1

    def wake(self, slot: int) -> None:
        """
        Give an agent, who sleeps, a row at the end.

        Raises:
            CorruptState: Its record is not what was written; it stays asleep.
        """
        assert self._dormitory is not None  # noqa: S101 - nobody sleeps without one
        content = self._dormitory.get(slot)
        chunk, local = self._chunk_with(self.awake)
        chunk.unpack(local, content)
        chunk.slots[local] = slot
        # Long ago, until whoever wakes it says when it was used.
        chunk.last_used_s[local] = -float("inf")
        chunk.used = local + 1
        self.slots.rows[slot] = self.awake
        self.awake += 1
        self.asleep -= 1

    def archive(self, chunk: Chunk, local: Ints) -> None:
        """Seal the histories that the next action begins to overwrite, if they are kept."""
        if self._archives is None:
            return
        for row in chunk.rings.full(local):
            blocks = self._archives.setdefault(int(chunk.slots[row]), [])
            blocks.append(sealed(chunk.rings.words[row].tobytes()))

    def history(self, slot: int) -> Ints:
        """Return the action codes that are kept of an agent, the oldest first."""
        import numpy as np

        chunk, local = self.place(slot)
        if self._archives is None:
            return chunk.rings.read(local)
        blocks = self._archives.get(slot, [])
        raw = b"".join(map(opened, blocks)) + chunk.rings.words[local].tobytes()
        words: NDArray[np.uint64] = np.frombuffer(raw, np.uint64)
        return self.kind.digits.read(words)[: int(chunk.rings.counts[local])]

    def _close_gap(self, row: int) -> None:
        """Let the last row take the place of *row*, and give back what is not used."""
        last = self.awake - 1
        end, end_local = divmod(last, self.rows_per_chunk)
        source = self.chunks[end]
        if row != last:
            number, local = divmod(row, self.rows_per_chunk)
            target = self.chunks[number]
            target.copy_row(local, source, end_local)
            self.slots.rows[source.slots[end_local]] = row
        source.used = end_local
        self.awake = last
        if end_local:
            source.beliefs.shorten(end_local)
        else:
            del self.chunks[end:]

    def _chunk_with(self, row: int) -> tuple[Chunk, int]:
        """Return the chunk of a row, made if it is the next one, and the row there."""
        number, local = divmod(row, self.rows_per_chunk)
        if number == len(self.chunks):
            self.chunks.append(Chunk(self.kind, self.rows_per_chunk))
        return self.chunks[number], local

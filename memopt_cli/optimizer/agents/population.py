"""Agents that share one model, kept as columns and stepped in blocks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.agent import Agent
from memopt_cli.optimizer.agents.chunk import Chunk, Kind
from memopt_cli.optimizer.agents.dormitory import Dormitory
from memopt_cli.optimizer.agents.packing import DROPPED_BELOW, checked_belief
from memopt_cli.optimizer.agents.perception import NO_ACTION, perceive
from memopt_cli.optimizer.agents.planning import Workspace, choose
from memopt_cli.optimizer.agents.rings import Digits, opened, sealed
from memopt_cli.optimizer.agents.slots import ASLEEP, Slots
from memopt_cli.optimizer.agents.tiers import Tier, check_tier, rows_per_chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.optimizer.agents.shared import SharedModel

HISTORY: Final = 256


@dataclass(frozen=True, slots=True)
class PopulationStats:
    """How many agents there are, and what they occupy; the shared model counted once."""

    awake: int
    asleep: int
    belief_bytes: int
    """Of all who are awake."""

    row_bytes: int
    """Histories, latest actions and times of all who are awake, unused rows included."""

    slot_bytes: int
    """Of the table that finds agents, awake or asleep."""

    archive_bytes: int
    """Sealed blocks of histories that are kept whole."""

    model_bytes: int
    """Of the model, shared by all and perhaps by other populations."""


class Population:
    """
    Any number of agents with one model.

    Agents are named by handles, ints that end with their agent. Whoever is awake has a row;
    who sleeps has a record in a file and eight bytes here, and wakes by being used. Rows are
    kept without gaps, so that sleep gives memory back.

    Every method may be called from any thread; one works at a time.
    """

    def __init__(
        self,
        model: SharedModel,
        *,
        tier: Tier = "f64",
        history: int = HISTORY,
        whole_history: bool = False,
        dropped_below: float = DROPPED_BELOW,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            model: From a `ModelStore`, so that populations of equal models share it.
            tier: How beliefs are kept: ``f64``, ``f32``, ``log16`` or ``sparse``.
            history: How many of its latest actions an agent remembers.
            whole_history: Whether older actions are kept too, sealed in blocks.
            dropped_below: Beliefs that the sparse tier replaces by their mean; see `tiers`.
            folder: Where sleeping agents are written; the system's temporary one if None.
            clock: Seconds, for idle agents.

        Raises:
            AgentError: There is no such tier, or the history is negative.
        """
        check_tier(tier)
        if history < 0 or (whole_history and not history):
            raise AgentError(f"a history of {history} actions", hint="Give 0 or more.")
        self.model, self.tier = model, tier
        self._folder, self._clock = folder, clock
        self._kind = Kind(model, tier, Digits(model.policies), history, dropped_below)
        self._rows_per_chunk = rows_per_chunk(model, tier)
        self._slots = Slots()
        self._chunks: list[Chunk] = []
        self._awake = self._asleep = 0
        self._archives: dict[int, list[bytes]] | None = {} if whole_history else None
        self._workspace: Workspace | None = None
        self._dormitory: Dormitory | None = None
        self._lock = RLock()

    def __len__(self) -> int:
        """Return how many agents there are, awake or asleep."""
        return self._awake + self._asleep

    def add(self, count: int = 1) -> list[int]:
        """
        Return the handles of new agents, who believe in the model's priors.

        Raises:
            PoolExhausted: A population cannot have that many, or memory is out.
        """
        import numpy as np

        with self._lock:
            slots = self._slots.take(count)
            rows = np.arange(self._awake, self._awake + count)
            self._slots.rows[slots] = rows
            for chunk, local, part in self._grown(rows):
                chunk.rings.counts[local] = 0
                chunk.slots[local] = slots[part]
                self._write_priors(chunk, local)
            self._awake += count
            return [int(handle) for handle in self._slots.handles(slots)]

    def add_agent(self) -> Agent:
        """Return one new agent as an object."""
        return Agent(self, self.add()[0])

    def agent(self, handle: int) -> Agent:
        """
        Return an agent as an object; any number of objects may speak for one agent.

        Raises:
            ForeignHandle, StaleHandle: There is no such agent.
        """
        with self._lock:
            self._slots.slot(handle)
        return Agent(self, handle)

    def handles(self) -> NDArray[Any]:
        """Return the handles of all who are awake, in the order that `step` takes them in."""
        import numpy as np

        with self._lock:
            slots = [chunk.slots[: chunk.used] for chunk in self._chunks]
            return self._slots.handles(np.concatenate([np.zeros(0, dtype=np.intp), *slots]))

    def remove(self, handle: int) -> None:
        """
        End an agent; its handle is stale from now on.

        Raises:
            ForeignHandle, StaleHandle: There is no such agent; nothing has changed.
        """
        with self._lock:
            slot = self._slots.slot(handle)
            row = int(self._slots.rows[slot])
            if row == ASLEEP:
                self._asleep -= 1
            else:
                self._close_gap(row)
            self._slots.end(slot)
            if self._archives is not None:
                self._archives.pop(slot, None)

    def step(
        self, observations: ArrayLike, handles: Iterable[int] | NDArray[Any] | None = None
    ) -> Ints:
        """
        Let agents see one outcome per modality each, and return the codes of their actions.

        Args:
            observations: Integers, [agent, modality].
            handles: Whose they are, each once; of `handles()` if None. Who sleeps wakes.

        Raises:
            AgentError: An outcome does not exist, there are more or fewer observations than
                agents, or an agent is named twice; no agent has seen anything.
            ForeignHandle, StaleHandle: There is no such agent; no agent has seen anything.
        """
        import numpy as np

        with self._lock:
            seen = self.model.outcomes.rows(np.asarray(observations))
            slots = None if handles is None else self._slots.slots(handles)
            self._check_pairs(slots, len(seen))
            rows = np.arange(self._awake) if slots is None else self._rows(slots)
            order = np.argsort(rows, kind="stable")
            codes = np.empty(len(rows), dtype=np.intp)
            for chunk, local, part in self._grouped(rows[order]):
                codes[order[part]] = self._step_chunk(chunk, local, seen[order[part]])
            return codes

    def restart(self, handles: Iterable[int] | NDArray[Any] | None = None) -> None:
        """
        Let agents begin anew with the priors as beliefs; what they did stays known.

        Args:
            handles: Of all who are awake if None. Who sleeps wakes.

        Raises:
            ForeignHandle, StaleHandle: There is no such agent; no agent has changed.
        """
        import numpy as np

        with self._lock:
            rows = np.arange(self._awake) if handles is None else self._rows(np.unique(self._slots.slots(handles)))
            for chunk, local, _ in self._grouped(np.sort(rows)):
                self._write_priors(chunk, local)

    def beliefs(self, handle: int) -> tuple[Floats, ...]:
        """
        Return copies of an agent's beliefs per factor, float64 that sum to 1.

        Raises:
            ForeignHandle, StaleHandle: There is no such agent.
        """
        import numpy as np

        with self._lock:
            chunk, local = self._awake_row(handle)
            belief = np.empty((1, self.model.width))
            chunk.beliefs.read(local, belief)
        found = [belief[0, where].copy() for where in self.model.factor_slices()]
        return tuple(each / each.sum() for each in found) if self.tier != "f64" else tuple(found)

    def believe(self, handle: int, factor: int, belief: Floats) -> None:
        """
        Replace what an agent believes of one factor.

        Raises:
            AgentError: There is no such factor, or it is no distribution: NaN, negative, all
                zero or of another length; nothing has changed.
            ForeignHandle, StaleHandle: There is no such agent.
        """
        import numpy as np

        if not 0 <= factor < len(self.model.states):
            raise AgentError(
                f"factor {factor} of {len(self.model.states)}", hint="Count factors from 0."
            )
        checked = checked_belief(belief, self.model.states[factor])
        with self._lock:
            chunk, local = self._awake_row(handle)
            whole = np.empty((1, self.model.width))
            chunk.beliefs.read(local, whole)
            whole[0, self.model.factor_slices()[factor]] = checked
            chunk.beliefs.write(local, whole)

    def history(self, handle: int) -> list[int]:
        """
        Return the codes of an agent's latest actions, or of all if kept; the oldest first.

        Raises:
            ForeignHandle, StaleHandle: There is no such agent.
        """
        import numpy as np

        with self._lock:
            chunk, local = self._awake_row(handle)
            row = int(local[0])
            if self._archives is None:
                return [int(code) for code in chunk.rings.read(row)]
            blocks = self._archives.get(int(chunk.slots[row]), [])
            raw = b"".join(map(opened, blocks)) + chunk.rings.words[row].tobytes()
            codes = self._kind.digits.read(np.frombuffer(raw, np.uint64))
            return [int(code) for code in codes[: int(chunk.rings.counts[row])]]

    def steps(self, handle: int) -> int:
        """
        Return how many actions an agent has done.

        Raises:
            ForeignHandle, StaleHandle: There is no such agent.
        """
        with self._lock:
            chunk, local = self._awake_row(handle)
            return int(chunk.rings.counts[local[0]])

    def is_asleep(self, handle: int) -> bool:
        """
        Say whether an agent sleeps.

        Raises:
            ForeignHandle, StaleHandle: There is no such agent.
        """
        with self._lock:
            return int(self._slots.rows[self._slots.slot(handle)]) == ASLEEP

    def hibernate(self, handle: int) -> None:
        """
        Write an agent to the file and give its row back; does nothing if it sleeps.

        Raises:
            ForeignHandle, StaleHandle: There is no such agent.
            OSError: The file cannot be written; the agent is awake as before.
        """
        with self._lock:
            slot = self._slots.slot(handle)
            if self._slots.rows[slot] != ASLEEP:
                self._hibernate(slot)

    def hibernate_idle(self, idle_s: float) -> int:
        """Hibernate who was not used for at least *idle_s* seconds; return how many."""
        import numpy as np

        with self._lock:
            before = self._clock() - idle_s
            idle = [
                chunk.slots[: chunk.used][chunk.last_used_s[: chunk.used] <= before]
                for chunk in self._chunks
            ]
            slots = np.concatenate([np.zeros(0, dtype=np.intp), *idle])
            for slot in slots:
                self._hibernate(int(slot))
            return len(slots)

    def wake(self, handle: int) -> None:
        """
        Give an agent its row again; does nothing if it is awake.

        Raises:
            ForeignHandle, StaleHandle: There is no such agent.
            CorruptState: Its record is not what was written; it stays asleep.
        """
        with self._lock:
            slot = self._slots.slot(handle)
            if self._slots.rows[slot] == ASLEEP:
                self._wake(slot)

    def stats(self) -> PopulationStats:
        """Return what there is now."""
        with self._lock:
            chunks = self._chunks
            archives = (self._archives or {}).values()
            return PopulationStats(
                awake=self._awake,
                asleep=self._asleep,
                belief_bytes=sum(chunk.beliefs.size_bytes for chunk in chunks),
                row_bytes=sum(chunk.row_bytes for chunk in chunks) * self._rows_per_chunk,
                slot_bytes=self._slots.size_bytes,
                archive_bytes=sum(len(block) for blocks in archives for block in blocks),
                model_bytes=self.model.size_bytes,
            )

    def _write_priors(self, chunk: Chunk, local: Ints) -> None:
        """Let rows believe in the priors, and have done nothing since."""
        import numpy as np

        chunk.codes[local] = NO_ACTION
        chunk.last_used_s[local] = self._clock()
        for start in range(0, len(local), self.model.block_rows):
            some = local[start : start + self.model.block_rows]
            chunk.beliefs.write(some, np.tile(self.model.priors, (len(some), 1)))

    def _step_chunk(self, chunk: Chunk, local: Ints, seen: Ints) -> Ints:
        """Step agents of one chunk."""
        import numpy as np

        workspace = self._workspace
        if workspace is None:
            workspace = self._workspace = Workspace(self.model)
        size = self.model.block_rows
        values = np.empty((len(local), self.model.policies))
        for start in range(0, len(local), size):
            rows = local[start : start + size]
            beliefs = workspace.beliefs[: len(rows)]
            chunk.beliefs.read(rows, beliefs)
            likelihood = workspace.likelihood[: len(rows)]
            codes = chunk.codes[rows].astype(np.intp)
            perceive(self.model, beliefs, codes, seen[start : start + size], likelihood)
            chunk.beliefs.write(rows, beliefs)
            values[start : start + size] = workspace.values(beliefs)
        codes, _ = choose(self.model, values)
        self._archive(chunk, local)
        chunk.rings.push(local, codes)
        chunk.codes[local] = codes
        chunk.last_used_s[local] = self._clock()
        return codes

    def _archive(self, chunk: Chunk, local: Ints) -> None:
        """Seal the histories that the next action begins to overwrite."""
        if self._archives is None:
            return
        for row in chunk.rings.full(local):
            blocks = self._archives.setdefault(int(chunk.slots[row]), [])
            blocks.append(sealed(chunk.rings.words[row].tobytes()))

    def _check_pairs(self, slots: Ints | None, observations: int) -> None:
        """Refuse anything but one observation for each of different agents."""
        import numpy as np

        named = self._awake if slots is None else len(slots)
        different = named if slots is None else len(np.unique(slots))
        if not named == different == observations:
            raise AgentError(
                f"{observations} observations for {named} agents, {different} different",
                hint="Name each agent once, and give one observation each.",
            )

    def _rows(self, slots: Ints) -> Ints:
        """Return the rows of slots, all awake from now on."""
        import numpy as np

        for slot in slots[self._slots.rows[slots] == ASLEEP]:
            self._wake(int(slot))
        return self._slots.rows[slots].astype(np.intp)

    def _awake_row(self, handle: int) -> tuple[Chunk, Ints]:
        """Return the chunk of an agent, who is awake from now on, and its row there."""
        import numpy as np

        slot = self._slots.slot(handle)
        if self._slots.rows[slot] == ASLEEP:
            self._wake(slot)
        chunk, local = divmod(int(self._slots.rows[slot]), self._rows_per_chunk)
        return self._chunks[chunk], np.array([local])

    def _hibernate(self, slot: int) -> None:
        if self._dormitory is None:
            self._dormitory = Dormitory(self._kind.longest_bytes, self._folder)
        row = int(self._slots.rows[slot])
        chunk, local = divmod(row, self._rows_per_chunk)
        self._dormitory.put(slot, self._chunks[chunk].pack(local))
        self._close_gap(row)
        self._slots.rows[slot] = ASLEEP
        self._asleep += 1

    def _wake(self, slot: int) -> None:
        assert self._dormitory is not None  # noqa: S101 - nobody sleeps without one
        content = self._dormitory.get(slot)
        row = self._awake
        chunk, local = self._chunk_with(row)
        chunk.unpack(local, content)
        chunk.slots[local] = slot
        chunk.last_used_s[local] = self._clock()
        chunk.used += 1
        self._slots.rows[slot] = row
        self._awake += 1
        self._asleep -= 1

    def _close_gap(self, row: int) -> None:
        """Let the last row take the place of *row*, and give back what is not used."""
        last = self._awake - 1
        end, end_local = divmod(last, self._rows_per_chunk)
        source = self._chunks[end]
        if row != last:
            chunk, local = divmod(row, self._rows_per_chunk)
            target = self._chunks[chunk]
            target.unpack(local, source.pack(end_local))
            target.slots[local] = source.slots[end_local]
            target.last_used_s[local] = source.last_used_s[end_local]
            self._slots.rows[source.slots[end_local]] = row
        source.used = end_local
        self._awake = last
        if end_local:
            source.beliefs.shorten(end_local)
        else:
            self._chunks.pop()

    def _chunk_with(self, row: int) -> tuple[Chunk, int]:
        """Return the chunk of a row, made if it is the next one, and the row there."""
        number, local = divmod(row, self._rows_per_chunk)
        if number == len(self._chunks):
            self._chunks.append(Chunk(self._kind, self._rows_per_chunk))
        return self._chunks[number], local

    def _grown(self, rows: Ints) -> Iterator[tuple[Chunk, Ints, slice]]:
        """Yield as `_grouped`, making the chunks that are missing."""
        for row in rows[:1].tolist() + rows[rows % self._rows_per_chunk == 0].tolist():
            self._chunk_with(row)
        for chunk, local, part in self._grouped(rows):
            chunk.used = max(chunk.used, int(local[-1]) + 1)
            yield chunk, local, part

    def _grouped(self, rows: Ints) -> Iterator[tuple[Chunk, Ints, slice]]:
        """Yield each chunk, the rows there, and which of *rows*, that are in order, they are."""
        start = 0
        while start < len(rows):
            number = int(rows[start]) // self._rows_per_chunk
            stop = int(rows.searchsorted((number + 1) * self._rows_per_chunk))
            local = rows[start:stop] - number * self._rows_per_chunk
            yield self._chunks[number], local, slice(start, stop)
            start = stop

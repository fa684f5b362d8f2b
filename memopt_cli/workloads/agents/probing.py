"""
Inside a subject: agents of a variant that somebody outside leads, to see how they think.

They are added to the living population after its last reading, so they use the very store,
tier and layout that the figures are of. What they believe is handed out; judging is not done
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memopt_cli.workloads.agents.kinds import Kind

if TYPE_CHECKING:
    from memopt_cli.optimizer.agents.model import Ints
    from memopt_cli.workloads.agents.minds import Minds


class Probing:
    """Groups of probes, each of one kind, by number."""

    def __init__(self, minds: Minds, first_slot: int) -> None:
        self._minds = minds
        self._next = first_slot
        self._groups: list[tuple[Kind, Ints]] = []

    def begin(self, kind: Kind, count: int) -> int:
        """Return the number of a new group."""
        slots = np.arange(self._next, self._next + count)
        self._next += count
        self._minds.begin(slots, kind, 0.0)
        self._groups.append((kind, slots))
        return len(self._groups) - 1

    def step(self, group: int, seen: Ints, led: Ints, *, restart: bool) -> tuple[bytes, bytes]:
        """
        Step a group; return its actions as int32, and its beliefs as float64, each agent's
        in a row; empty if any agent has none.

        Args:
            group: Its number.
            seen: One outcome per modality, [agent, modality].
            led: What the agents are told they did, by agent; empty if they do what they chose.
            restart: Whether they begin anew before they see.
        """
        kind, slots = self._groups[group]
        if restart:
            self._minds.restart(slots)
        codes, _ = self._minds.step(slots, kind, seen)
        for number in np.flatnonzero(codes != led) if len(led) else ():
            self._minds.did(int(slots[number]), int(led[number]))
        beliefs = [self._minds.beliefs(int(slot)) for slot in slots]
        # What was lost is not padded: a hole in the rows would shift what follows it.
        whole = len({len(each) for each in beliefs}) == 1
        kept = np.concatenate(beliefs) if whole else np.empty(0)
        return codes.astype(np.int32).tobytes(), kept.astype(np.float64).tobytes()

    def end(self, group: int) -> None:
        """End the agents of a group."""
        for slot in self._groups[group][1]:
            self._minds.end(int(slot))

    def answer(
        self, message: dict[str, Any], blocks: list[bytes]
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Do what *message* asks for, and return the answer and its blocks."""
        if message["probe"] == "begin":
            kind = Kind(message["name"], message["seed"], message["learns"])
            return {"group": self.begin(kind, message["count"])}, []
        if message["probe"] == "end":
            self.end(message["group"])
            return {}, []
        seen = np.frombuffer(blocks[0], np.int32).reshape(message["count"], -1).astype(np.intp)
        led = np.frombuffer(blocks[1], np.int32).astype(np.intp)
        return {}, list(self.step(message["group"], seen, led, restart=message["restart"]))

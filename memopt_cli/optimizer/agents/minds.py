"""What the agents of a table believe and choose, block after block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents.packing import checked_belief
from memopt_cli.optimizer.agents.perception import NO_ACTION, perceive
from memopt_cli.optimizer.agents.planning import Workspace, choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.optimizer.agents.chunk import Chunk
    from memopt_cli.optimizer.agents.model import Floats, Ints
    from memopt_cli.optimizer.agents.shared import SharedModel
    from memopt_cli.optimizer.agents.table import Table


class Minds:
    """
    Inference over the rows of a table, one block of agents at a time.

    Knows rows and not handles; who they are is the population's. Not safe for threads: the
    owner locks.
    """

    __slots__ = ("_clock", "_model", "_table", "_workspace")

    def __init__(self, model: SharedModel, table: Table, clock: Callable[[], float]) -> None:
        self._model, self._table, self._clock = model, table, clock
        self._workspace: Workspace | None = None

    def begin(self, rows: Ints) -> None:
        """Let rows, that are in order, believe in the priors and have done nothing since."""
        import numpy as np

        model = self._model
        for chunk, local, _ in self._table.grouped(rows):
            chunk.codes[local] = NO_ACTION
            chunk.last_used_s[local] = self._clock()
            for start in range(0, len(local), model.block_rows):
                some = local[start : start + model.block_rows]
                chunk.beliefs.write(some, np.tile(model.priors, (len(some), 1)))

    def step(self, rows: Ints, seen: Ints) -> Ints:
        """Let different rows see a joint outcome each; return the code of each one's action."""
        import numpy as np

        order = np.argsort(rows, kind="stable")
        codes = np.empty(len(rows), dtype=np.intp)
        for chunk, local, part in self._table.grouped(rows[order]):
            codes[order[part]] = self._step_chunk(chunk, local, seen[order[part]])
        return codes

    def belief(self, chunk: Chunk, local: int) -> Floats:
        """Return a row of beliefs, [1, state], as an array of its own."""
        import numpy as np

        belief = np.empty((1, self._model.width))
        chunk.beliefs.read(np.array([local]), belief)
        return belief

    def checked(self, factor: int, belief: Floats) -> Floats:
        """
        Return a belief of one factor as float64 that sums to 1.

        Raises:
            AgentError: There is no such factor, or it is no distribution over its states.
        """
        states = self._model.states
        if not 0 <= factor < len(states):
            raise AgentError(f"factor {factor} of {len(states)}", hint="Count factors from 0.")
        return checked_belief(belief, states[factor])

    def believe(self, chunk: Chunk, local: int, factor: int, checked: Floats) -> None:
        """Replace what a row believes of one factor by what was checked."""
        import numpy as np

        whole = self.belief(chunk, local)
        whole[0, self._model.factor_slices()[factor]] = checked
        chunk.beliefs.write(np.array([local]), whole)

    def correct(self, chunk: Chunk, local: int, code: int) -> None:
        """
        Make the latest action of a row another, in its history too.

        Raises:
            AgentError: There is no such action, or the row has not chosen any since it began;
                nothing has changed.
        """
        before = int(chunk.codes[local])
        if not 0 <= code < self._model.policies or before == NO_ACTION:
            raise AgentError(
                f"action {code} of {self._model.policies}, the latest being {before}",
                hint="Count action codes from 0, and let the agent choose first.",
            )
        chunk.rings.replace_latest(local, before, code)
        chunk.codes[local] = code

    def _step_chunk(self, chunk: Chunk, local: Ints, seen: Ints) -> Ints:
        """Step agents of one chunk."""
        import numpy as np

        if self._workspace is None:
            self._workspace = Workspace(self._model)
        size = self._model.block_rows
        values = np.empty((len(local), self._model.policies))
        for start in range(0, len(local), size):
            part = slice(start, start + size)
            values[part] = self._step_block(chunk, local[part], seen[part], self._workspace)
        codes, _ = choose(self._model, values)
        self._table.archive(chunk, local)
        chunk.rings.push(local, codes)
        chunk.codes[local] = codes
        chunk.last_used_s[local] = self._clock()
        return codes

    def _step_block(self, chunk: Chunk, local: Ints, seen: Ints, workspace: Workspace) -> Floats:
        """Let one block of agents perceive; return the value of each policy to each."""
        import numpy as np

        beliefs = workspace.beliefs[: len(local)]
        chunk.beliefs.read(local, beliefs)
        codes = chunk.codes[local].astype(np.intp)
        perceive(self._model, beliefs, codes, seen, workspace.likelihood[: len(local)])
        chunk.beliefs.write(local, beliefs)
        return workspace.values(beliefs)

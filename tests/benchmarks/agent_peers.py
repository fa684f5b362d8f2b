"""
Agents of other people's packages, each kind alone in a fresh process that is read from outside.

What each kind shares is what its package shares by itself or by its own idiom: pymdp is given
copies of its own (an agent there that loads or learns a model has them), Mesa keeps parameters
on the model object, and pymdp on JAX repeats the arrays for each agent of a batch.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from time import process_time
from typing import TYPE_CHECKING, Any, Protocol

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np

from memopt_cli.optimizer.agents import ModelStore, Population
from memopt_cli.optimizer.agents.model import dense_transition
from memopt_cli.profiler.process import ProcessReader
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Floats, GenerativeModel, Ints

SEED = 1
SETTLED = 2
"""Steps that every agent has done when its memory is read; the first compiles, where any does."""

TIMED_S = 2.0
"""CPU time after which no further step is begun."""


class Peer(Protocol):
    """Some agents of one kind."""

    def step(self, seen: Ints) -> NDArray[Any]:
        """Let each see its outcomes, [agent, modality]; return the code of each one's action."""

    def belief(self) -> Floats:
        """Return what the first agent believes of the first factor."""


class Naive:
    """Agents of `memopt_cli.workloads`, each with all of its own."""

    def __init__(self, model: GenerativeModel, count: int) -> None:
        self._agents = [NaiveAgent(model) for _ in range(count)]

    def step(self, seen: Ints) -> NDArray[Any]:
        """Step one after the other."""
        return np.array([a.step(each) for a, each in zip(self._agents, seen, strict=True)])

    def belief(self) -> Floats:
        """Return what the first agent believes."""
        return self._agents[0].beliefs[0]


class Ours:
    """A population of `memopt_cli.optimizer`, beliefs in float64."""

    def __init__(self, model: GenerativeModel, count: int) -> None:
        self._population = Population(ModelStore().intern(model))
        self._handles = self._population.add(count)

    def step(self, seen: Ints) -> NDArray[Any]:
        """Step all at once."""
        return self._population.step(seen)

    def belief(self) -> Floats:
        """Return what the first agent believes."""
        return self._population.beliefs(self._handles[0])[0]


class Pymdp:
    """Agents of pymdp in numpy, given copies of the arrays."""

    def __init__(self, model: GenerativeModel, count: int) -> None:
        agent: Any = _pymdp_agent()
        held = [*map(_held, (model.likelihoods, model.transitions, model.preferences))]
        held[1] = _held([dense_transition(each) for each in model.transitions])
        priors = _held(model.priors)
        # It prints what it makes up.
        with redirect_stdout(StringIO()):
            self._agents = [
                agent(
                    **dict(zip("ABC", copy.deepcopy(held), strict=True)),
                    D=copy.deepcopy(priors),
                    gamma=model.precision,
                )
                for _ in range(count)
            ]
        self._actions = model.actions

    def step(self, seen: Ints) -> NDArray[Any]:
        """Step one after the other."""
        codes = []
        for agent, each in zip(self._agents, seen, strict=True):
            agent.infer_states([int(outcome) for outcome in each])
            agent.infer_policies()
            chosen = tuple(int(action) for action in agent.sample_action())
            codes.append(np.ravel_multi_index(chosen, self._actions))
        return np.array(codes)

    def belief(self) -> Floats:
        """Return what the first agent believes."""
        return np.asarray(self._agents[0].qs[0], dtype=np.float64)


class Mesa:
    """Mesa agents with the mathematics of `Naive`, and one set of arrays on their model."""

    def __init__(self, model: GenerativeModel, count: int) -> None:
        import mesa

        class Thinker(mesa.Agent):  # type: ignore[misc] # it has no types
            def __init__(self, world: Any) -> None:
                super().__init__(world)
                self.mind = copy.copy(world.prototype)
                self.mind.belief_history, self.mind.action_history = [], []

            def step(self) -> None:
                self.mind.step(self.model.seen[self.unique_id - 1])
                # A Mesa agent has no past unless a collector is asked for it.
                self.mind.belief_history.clear()

        self._world = mesa.Model(rng=SEED)
        self._world.prototype = NaiveAgent(model)
        for _ in range(count):
            Thinker(self._world)

    def step(self, seen: Ints) -> NDArray[Any]:
        """Let the scheduler step all."""
        self._world.seen = seen
        self._world.agents.do("step")
        return np.array([each.mind.action_history[-1] for each in self._world.agents])

    def belief(self) -> Floats:
        """Return what the first agent believes."""
        first: Any = next(iter(self._world.agents))
        belief: Floats = first.mind.beliefs[0]
        return belief


class PymdpOnJax:
    """pymdp 1.0 on JAX: one batch, its step compiled; float32 as by default."""

    def __init__(self, model: GenerativeModel, count: int) -> None:
        import jax
        import jax.numpy as jnp
        from pymdp.agent import Agent

        def batch(arrays: Sequence[Any]) -> list[Any]:
            held = [jnp.asarray(each, dtype=jnp.float32) for each in arrays]
            return [jnp.broadcast_to(each, (count, *each.shape)) for each in held]

        transitions = [dense_transition(each) for each in model.transitions]
        agent = Agent(
            A=batch(model.likelihoods),
            B=batch(transitions),
            C=batch(model.preferences),
            D=batch(model.priors),
            gamma=model.precision,
            batch_size=count,
        )
        self._agent: Any = agent
        self._prior, self._actions = agent.D, model.actions
        self._beliefs: list[Any] = []

        def step(agent: Any, seen: list[Any], prior: list[Any]) -> tuple[Any, Any, Any]:
            beliefs = agent.infer_states(seen, prior)
            posterior, _ = agent.infer_policies(beliefs)
            action = agent.sample_action(posterior)
            return beliefs, action, agent.update_empirical_prior(action, beliefs)

        self._step: Callable[..., Any] = jax.jit(step)

    def step(self, seen: Ints) -> NDArray[Any]:
        """Step all at once."""
        columns = [np.asarray(column, dtype=np.int32) for column in seen.T]
        self._beliefs, action, self._prior = self._step(self._agent, columns, self._prior)
        codes: NDArray[Any] = np.ravel_multi_index(tuple(np.asarray(action).T), self._actions)
        return codes

    def belief(self) -> Floats:
        """Return what the first agent believes."""
        belief: Floats = np.asarray(self._beliefs[0], dtype=np.float64)[0, -1]
        return belief


PEERS: dict[str, Callable[[GenerativeModel, int], Peer]] = {
    "naive": Naive,
    "memopt": Ours,
    "pymdp": Pymdp,
    "mesa": Mesa,
    "pymdp-jax": PymdpOnJax,
}
NEEDS = {"pymdp": "pymdp", "mesa": "mesa", "pymdp-jax": "jax"}


@dataclass(frozen=True, slots=True)
class Measured:
    """What one fresh process has shown."""

    whole_bytes: int
    """Anonymous memory above that of the same process before it had a model or an agent."""

    steps_per_s: float
    """Agent-steps per second of CPU."""

    belief: list[float]
    """Of the first agent after its first step."""

    actions: list[int]
    """Of the first step."""


def measured(kind: str, name: str, count: int, observations: Path) -> Measured:
    """Run agents of a kind on one core of a fresh process, and read its memory from outside."""
    command = [sys.executable, "-m", "tests.benchmarks.agent_peers", kind, name, str(count)]
    found: list[int] = []
    with subprocess.Popen(
        [*command, str(observations)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        with ProcessReader(child.pid) as reader:
            for _ in range(2):
                assert "stop\n" == child.stdout.readline(), command
                found.append(reader.footprint().anonymous_bytes)
                child.stdin.write("\n")
                child.stdin.flush()
            figures = json.loads(child.stdout.readline())
    assert child.returncode == 0, command
    return Measured(found[1] - found[0], **figures)


def run(kind: str, name: str, count: int, observations: NDArray[Any]) -> None:
    """Stop before there is anything and after some steps, then print how fast it is."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    small = PEERS[kind](model_named("G3", SEED), 2)
    for _ in range(SETTLED):
        small.step(np.zeros((2, 2), dtype=np.intp))
    del small
    _stop()
    peer = PEERS[kind](model_named(name, SEED), count)
    actions = [int(code) for code in peer.step(observations[0, :count])]
    belief = [float(each) for each in peer.belief()]
    for seen in observations[1:SETTLED]:
        peer.step(seen[:count])
    _stop()
    steps, began = 0, process_time()
    for seen in observations[SETTLED:]:
        peer.step(seen[:count])
        steps += 1
        if process_time() - began > TIMED_S:
            break
    rate = steps * count / (process_time() - began)
    print(json.dumps({"steps_per_s": rate, "belief": belief, "actions": actions}))


def _stop() -> None:
    gc.collect()
    print("stop", flush=True)
    sys.stdin.readline()


def _pymdp_agent() -> Any:
    """Return pymdp's agent in numpy: since 1.0 it is among what is kept for old programs."""
    try:
        from pymdp.legacy.agent import Agent
    except ImportError:
        from pymdp.agent import Agent
    return Agent


def _held(arrays: Sequence[Any]) -> Any:
    held = np.empty(len(arrays), dtype=object)
    held[:] = [np.array(each) for each in arrays]
    return held


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], int(sys.argv[3]), np.load(sys.argv[4]))

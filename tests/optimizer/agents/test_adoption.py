"""Adopted agents do what they would have done, forget nothing, and can be as they were."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import AgentOptimizer, AgentParts
from memopt_cli.optimizer.agents.arrays import ArrayStore
from memopt_cli.optimizer.agents.dormitory import Dormitory
from memopt_cli.optimizer.agents.past import BeliefFile, PastActions, PastBeliefs
from memopt_cli.workloads.agents.families import model_named
from memopt_cli.workloads.agents.naive import NaiveAgent
from tests.worlds import Worlds

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 500


def optimizer() -> AgentOptimizer:
    """Return one that measures nothing."""
    return AgentOptimizer(memory=lambda: 0)


def assert_same(expected: NaiveAgent, found: NaiveAgent) -> None:
    """Compare all that both have believed and done, to the last bit."""
    assert expected.action_history == list(found.action_history)
    assert len(expected.belief_history) == len(found.belief_history)
    for one, other in zip(expected.belief_history, found.belief_history, strict=True):
        assert [each.tobytes() for each in one] == [each.tobytes() for each in other]
    for name in ("A", "B", "C", "D", "a", "b", "beliefs"):
        for array, same in zip(getattr(expected, name), getattr(found, name), strict=True):
            assert array.tobytes() == same.tobytes()


@pytest.mark.parametrize(
    ("name", "learns"), [("G4", False), ("xy4", False), ("G3", True), ("xy3", True)]
)
def test_the_trace_of_500_steps_is_the_same(name: str, *, learns: bool) -> None:
    """Adopted after 150 steps and restored after 350, an agent lives its twin's life exactly."""
    model = model_named(name, 3)
    plain, agent = (NaiveAgent(model, learns=learns) for _ in range(2))
    worlds, books = Worlds(model, [5]), optimizer()
    for step in range(STEPS):
        if step == 150:
            books.optimize_agent(agent)
            assert isinstance(agent.belief_history, PastBeliefs)
            assert isinstance(agent.action_history, PastActions)
        if step == 350:
            assert_same(plain, agent)
            books.restore(agent)
        if step % 25 == 0:
            worlds.relocate()
        (seen,) = worlds.observe()
        expected = plain.step(seen)
        assert expected == agent.step(seen)
        assert plain.policy_posterior.tobytes() == agent.policy_posterior.tobytes()
        worlds.act(np.array([expected]))
    assert_same(plain, agent)


def test_restored_agents_own_what_they_had() -> None:
    """Lists are lists again, arrays can be written to, and a write is nobody else's."""
    model, books = model_named("G3", 3), optimizer()
    one, other = NaiveAgent(model), NaiveAgent(model)
    for _ in range(2):
        one.step([0, 0])
    believed = [[each.copy() for each in item] for item in one.belief_history]
    layouts = [each.strides for each in (*one.A, *one.B)]
    books.optimize_agent(one, other)
    assert one.B[0] is other.B[0]
    with pytest.raises(ValueError, match="read-only"):
        one.B[0][:] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        one.B[0].flags.writeable = True
    assert layouts == [each.strides for each in (*one.A, *one.B)]
    # What is read of the past is the reader's own.
    one.belief_history[1][0][:] = 7
    books.restore(one)
    assert all(map(np.array_equal, believed[1], one.belief_history[1]))
    one.belief_history[0][0][:] = 7
    assert 7 == one.belief_history[0][0].max()
    one.B[0][:] = 0
    assert 1 == other.B[0].max()
    assert [list, list] == [type(one.belief_history), type(one.action_history)]
    assert (1, False, True) == (len(books), one in books, other in books)


def test_the_second_time_changes_nothing() -> None:
    """Who is adopted stays exactly as it is, while it is known here and after that."""
    books = optimizer()
    agent = NaiveAgent(model_named("G3", 3))
    agent.step([0, 0])
    found = [books.optimize_agent(agent, agent).agents]
    before = {name: id(value) for name, value in vars(agent).items()}
    arrays = [id(each) for each in (*agent.A, *agent.B, *agent.C, *agent.D)]
    found.append(books.optimize_agent(agent).agents)
    books.unregister(agent)
    books.optimize_agent(agent)
    assert [1, 0] == found
    assert before == {name: id(value) for name, value in vars(agent).items()}
    assert arrays == [id(each) for each in (*agent.A, *agent.B, *agent.C, *agent.D)]


@pytest.mark.parametrize("how", ["unregister", "drop", "restore"])
def test_nothing_is_held_of_who_has_gone(how: str) -> None:
    """Neither the agent nor its arrays, and its places in the file are free."""
    books = optimizer()
    agent = NaiveAgent(model_named("G3", 3))
    for _ in range(3):
        agent.step([0, 0])
    books.optimize_agent(agent)
    past = agent.belief_history
    assert isinstance(past, PastBeliefs)
    file, shared = past._file, weakref.ref(agent.B[0])
    assert (1, 3, True) == (len(books), file.in_use, len(books.arrays) > 0)
    if how != "drop":
        getattr(books, how)(agent)
        assert 0 == len(books)
    gone = weakref.ref(agent)
    del agent, past
    gc.collect()
    assert (None, None) == (gone(), shared())
    assert (0, 0, 0) == (len(books), len(books.arrays), file.in_use)


def test_different_arrays_of_one_shape_stay_different() -> None:
    """One value that differs, or another layout of the same values, is another array."""
    books = optimizer()
    first, second = NaiveAgent(model_named("G3", 3)), NaiveAgent(model_named("G3", 3))
    second.A[0][0, 0] += 1e-16
    second.B[0] = np.asfortranarray(second.B[0])
    kept = second.A[0].copy()
    books.optimize_agent(first, second)
    assert first.A[0] is not second.A[0]
    assert first.B[0] is not second.B[0]
    assert first.C[0] is second.C[0]
    assert kept.tobytes() == second.A[0].tobytes()


def test_an_array_and_its_transpose_are_two() -> None:
    """They have one shape and the same bytes in memory, and different values."""
    store, square = ArrayStore(), np.arange(9.0).reshape(3, 3)
    shared = [store.intern(each) for each in (square, square.T, square.T.copy(), square[::-1])]
    for array, same in zip((square, square.T, square.T, square[::-1]), shared, strict=True):
        assert np.array_equal(array, same)
    assert 4 == len({id(each) for each in shared})
    assert shared[0] is store.intern(square.copy())


def test_the_saving_is_measured_on_the_process() -> None:
    """Of 20 agents with 0.49 MB each, the memory of at least 17 is found given back."""
    model = model_named("G10", 3)
    agents = [NaiveAgent(model) for _ in range(20)]
    own_bytes = sum(each.nbytes for each in (*agents[0].A, *agents[0].B))
    found = AgentOptimizer().optimize_agent(*agents)
    assert 20 == found.agents
    assert 17 * own_bytes <= found.saved_bytes <= 21 * own_bytes


def test_what_is_measured_is_the_figure() -> None:
    """A process that has grown meanwhile has saved nothing, whatever was replaced."""
    readings = iter([100, 300])
    books = AgentOptimizer(memory=lambda: next(readings))
    assert 0 == books.optimize_agent(NaiveAgent(model_named("G3", 3))).saved_bytes


class Slotted:
    """An agent that nobody can refer to weakly."""

    __slots__ = ("A", "B", "C", "D", "action_history", "belief_history")

    B: list[NDArray[np.float64]]


def test_who_cannot_be_adopted_is_as_before() -> None:
    """A missing part, a past that cannot be kept and a class without weak references."""
    agent = NaiveAgent(model_named("G3", 3))
    agent.action_history.append(7)
    slotted = Slotted()
    for name in Slotted.__slots__:
        setattr(slotted, name, getattr(NaiveAgent(model_named("G3", 3)), name))
    own, theirs = agent.B[0], slotted.B[0]
    with pytest.raises(AgentError):
        optimizer().optimize_agent(agent)
    with pytest.raises(AgentError):
        optimizer().optimize_agent(slotted)
    with pytest.raises(AgentError):
        AgentOptimizer(AgentParts(beliefs="thoughts"), memory=lambda: 0).optimize_agent(agent)
    assert own is agent.B[0]
    assert [7] == agent.action_history
    for deed in (optimizer().restore, optimizer().unregister):
        with pytest.raises(AgentError):
            deed(agent)
    assert theirs is slotted.B[0]


def test_a_full_disk_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has changed, and the next belief is written where this one would have been."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = BeliefFile(8)
    past = PastBeliefs([np.zeros(1)], file)
    past.append([np.ones(1)])
    for in_use in (1, 2):
        with monkeypatch.context() as full:
            full.setattr(Dormitory, "put", fail)
            with pytest.raises(OSError, match="No space"):
                past.append([np.zeros(1)])
        assert (in_use, in_use) == (file.in_use, len(past))
        past.append([np.ones(1)])
    assert [1.0, 1.0, 1.0] == [float(item[0][0]) for item in past]


def test_pasts_read_as_lists_do() -> None:
    """Indices from either end, slices, and an error behind the end."""
    books = optimizer()
    agent = NaiveAgent(model_named("G3", 3))
    for place in range(4):
        agent.step([place, 0])
    plain: list[Any] = [list(agent.belief_history), list(agent.action_history)]
    books.optimize_agent(agent)
    pasts: list[Any] = [agent.belief_history, agent.action_history]
    for past, same in zip(pasts, plain, strict=True):
        assert np.array_equal(same[-1], past[-1])
        assert np.array_equal(same[1:3], past[1:3])
        with pytest.raises(IndexError):
            past[4]
    with pytest.raises(AgentError):
        agent.belief_history.append([np.zeros(8)])

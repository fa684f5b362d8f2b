"""How agents think is counted, and what is lost is never a saving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from memopt_cli.analysis import checks
from memopt_cli.analysis.fidelity import Tally, faults
from memopt_cli.analysis.findings import judge
from memopt_cli.analysis.results import Verdict
from memopt_cli.exit_codes import ExitCode
from memopt_cli.scenario.model import Scenario
from tests.making import found, recording, thought, variant

if TYPE_CHECKING:
    from memopt_cli.analysis.recording import Fidelity, VariantRecording

ONE = np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])
SAME, OTHER = np.array([True, True]), np.array([True, False])


def told(found: np.ndarray, equal: np.ndarray = SAME) -> Fidelity:
    """Return what is said of one led step."""
    tally = Tally()
    tally.add_led(ONE, found, equal)
    return tally.result()


def test_equal_beliefs() -> None:
    """Nothing differs where nothing does, also at states that are known to be impossible."""
    result = told(ONE)

    assert (0.0, 0.0, []) == (result.posterior, result.divergence_nat, faults(result))
    assert (2, 2) == (result.steps, result.same_actions)


def test_the_largest_difference_counts() -> None:
    """In one state of one agent, and as a divergence in nats."""
    changed = ONE.copy()
    changed[0] = 0.6, 0.3, 0.1
    result = told(changed, OTHER)

    assert result.posterior == pytest.approx(0.1)
    assert result.divergence_nat == pytest.approx(0.7 * np.log(7 / 6) + 0.2 * np.log(2 / 3))
    assert (2, 1) == (result.steps, result.same_actions)


@pytest.mark.parametrize(
    ("beliefs", "fault"),
    [
        (np.empty(0), "beliefs were lost in 2 of 2 steps"),
        (ONE[:, :2], "beliefs were lost in 2 of 2 steps"),
        (ONE * [[np.nan], [1.0]], "beliefs held NaN in 1 of 2 steps"),
        (ONE + np.inf, "beliefs held NaN in 2 of 2 steps"),
        (ONE * [1, 1, 0], "what was possible was ruled out for ever in 1 of 2 steps"),
    ],
)
def test_what_is_lost_is_a_fault(beliefs: np.ndarray, fault: str) -> None:
    """Beliefs that are gone, are no numbers, or can never be changed again."""
    assert [fault] == faults(told(beliefs))


def test_nothing_is_said_of_beliefs_that_nobody_compared() -> None:
    """Where all are lost, or no numbers, a difference of none would be the best there is."""
    for beliefs in (np.empty(0), ONE + np.nan):
        result = told(beliefs)
        assert (None, None) == (result.posterior, result.divergence_nat)
    assert 0.0 == told(ONE * [[np.nan], [1.0]]).posterior


def test_agents_on_their_own_are_counted_apart() -> None:
    """Each that chose as the naive one did, of all that chose."""
    tally = Tally()
    tally.add_free(OTHER)
    tally.add_free(SAME)
    result = tally.result()

    assert (4, 3, 0) == (result.free_steps, result.same_free_actions, result.steps)


def test_merged_models_are_a_fault() -> None:
    """Only where naive agents of the two models would differ, and the judged ones do not."""
    tally = Tally()
    apart = ONE, ONE[:, ::-1]
    tally.add_twins(apart, apart)
    tally.add_twins((ONE, ONE), (ONE, ONE))
    assert [] == faults(tally.result())
    tally.add_twins(apart, (ONE, ONE))

    # In the second agent's belief there is nothing to tell the models apart by the middle.
    assert ["different models were one in 2 of 4 steps"] == faults(tally.result())


def scenario(**thresholds: Any) -> Scenario:
    """Return a scenario of naive and of other agents."""
    return Scenario.model_validate(
        {
            "version": 1,
            "name": "minds",
            "workload": "agents",
            "variants": [{"name": "naive"}, {"name": "batched", "agents": "on"}],
            "load": {"agents": 10},
            "thresholds": thresholds,
        }
    )


def of(fidelity: Fidelity | None, **changes: Any) -> list[VariantRecording]:
    """Return the recordings of naive agents, and of agents that thought so."""
    naive = variant(name="naive", unit="agents")
    return [naive, variant(name="batched", unit="agents", fidelity=fidelity, **changes)]


CONDITIONS: dict[str, dict[str, Any]] = {
    "posterior<1e-12": {"posterior": 1e-11},
    "kl<1e-6": {"divergence_nat": 1e-5},
    "actions>=99.9%": {"same_actions": 998},
    "free>=99.9%": {"same_free_actions": 998},
}


@pytest.mark.parametrize("expression", CONDITIONS)
def test_each_condition_can_fail(expression: str) -> None:
    """Sound agents hold it, those that are worse in this one thing cross it, 99."""
    asked = scenario(fidelity=[expression])
    sound = judge(recording(*of(thought())), asked)
    worse = judge(recording(*of(thought(**CONDITIONS[expression]))), asked)

    assert (Verdict.PASSED, ExitCode.PASSED) == (sound.verdict, sound.exit_code)
    assert (Verdict.CROSSED, ExitCode.THRESHOLDS_CROSSED) == (worse.verdict, worse.exit_code)


@pytest.mark.parametrize("fault", ["missing", "not_finite", "impossible", "merged"])
@pytest.mark.parametrize("asked", [{}, {"fidelity": ["actions>=99%"]}])
def test_a_fault_is_refused_whatever_else_holds(fault: str, asked: dict[str, Any]) -> None:
    """Without any threshold too, and although all actions are the same."""
    run = judge(recording(*of(thought(**{fault: 1}))), scenario(**asked))

    assert ExitCode.THRESHOLDS_CROSSED == run.exit_code
    assert {Verdict.CROSSED} == {r.verdict for r in run.thresholds if r.metric == "fidelity"}


@pytest.mark.parametrize("asked", [{}, {"fidelity": ["actions>=99%"]}])
def test_what_was_not_measured_does_not_pass(asked: dict[str, Any]) -> None:
    """Nobody looked at how they think: inconclusive, 4."""
    run = judge(recording(*of(None)), scenario(**asked))

    assert ExitCode.INCONCLUSIVE == run.exit_code


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"fidelity": thought()}, True),
        ({"fidelity": thought(same_free_actions=998)}, False),
        ({"fidelity": thought(not_finite=1)}, False),
        ({"fidelity": None}, False),
        ({"fidelity": thought(), "transcript": "t2"}, False),
    ],
)
def test_other_actions_are_the_same_work_if_they_are_rare(
    changes: dict[str, Any], same: bool
) -> None:
    """A rounded belief may decide otherwise once in a thousand steps; a lost one may not."""
    recorded = of(changes.pop("fidelity"), digest="d2", **changes)

    assert same is judge(recording(*recorded), scenario()).variants[1].same_work


def test_connections_are_not_asked_how_they_think() -> None:
    """The check is of runs of agents only."""
    connections = Scenario.model_validate(
        {"version": 1, "name": "c", "workload": "connections", "load": {"connections": 1}}
    )

    assert [] == checks.fidelity([found()], connections)

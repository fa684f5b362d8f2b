"""What a scenario may say of agents, and what it may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memopt_cli.optimizer.agents import TIERS
from memopt_cli.scenario import agents, source
from memopt_cli.scenario.dumping import dump
from memopt_cli.scenario.model import Scenario
from memopt_cli.workloads.agents import families
from memopt_cli.workloads.agents.batched import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.scenario.loading import Plan

BASE = "version: 1\nname: minds\nworkload: agents\nload: {agents: 75}\n"

REFUSED = {
    "agents: {mix: {H20: 100%}}": (
        "5:16: there is no model 'H20' | "
        "Write G, alias, chain or xy and the cells per side, 3 to 100, as in G20."
    ),
    "agents: {mix: {G101: 100%}}": (
        "5:16: there is no model 'G101' | "
        "Write G, alias, chain or xy and the cells per side, 3 to 100, as in G20."
    ),
    "agents: {mix: {G20: 60%, G10: 30%}}": ("5:15: the shares sum to 90% | Make them sum to 100%."),
    "agents: {mix: [G20]}": (
        "5:15: expected models and shares, found a list | Write it like {G20: 70%, chain10: 30%}."
    ),
    "agents: {mix: {G100: 100%}, probes: 1000, probe_steps: 1000}": (
        "5:56: a trace of 1,000 agents over 1,000 steps | "
        "Lower probes or probe_steps: beliefs of 256 MiB are kept at most."
    ),
    "variants: [{name: a, agents: {layout: shared, tier: f32}}]": (
        "5:47: layout 'shared' has no tier | Remove it."
    ),
    "variants: [{name: a, agents: {layout: piled}}]": (
        "5:39: unknown layout 'piled' | Known: own, contiguous, shared, derived, batched."
    ),
    "variants: [{name: a, pool: on}]": "5:22: workload 'agents' has no pool | Remove it.",
    'thresholds: {memory_per_connection: ["value<1MB"]}': (
        "5:14: memory_per_connection in a scenario of workload 'agents' | Write memory_per_unit."
    ),
    'thresholds: {fidelity: ["posterior<1%"]}': (
        "5:25: fidelity is a number, and 1% is a ratio | Write posterior<1e-12."
    ),
    'thresholds: {fidelity: ["actions>=1e-3"]}': (
        "5:25: 'actions' is a ratio, and 1e-3 is a number | Write actions>=99.9%."
    ),
    'thresholds: {fidelity: ["value<1"]}': (
        "5:25: fidelity has no 'value'; it has: posterior, kl, actions, free | "
        "Write it like posterior<1e-12."
    ),
}


@pytest.mark.parametrize("line", REFUSED)
def test_refused(line: str, told: Callable[..., list[str]]) -> None:
    """What cannot be run is told with its place and a remedy."""
    assert [f"s.yaml:{REFUSED[line]}"] == told(f"{BASE}{line}\n")


def test_other_workloads_have_no_agents(told: Callable[..., list[str]], base: str) -> None:
    """Neither as options of a variant, nor as units, nor as what is judged."""
    text = (
        base.replace("{connections: 100}", "{agents: 100}")
        + "variants: [{name: a, agents: on}]\n"
        + 'thresholds: {fidelity: ["kl<1e-6"], memory_per_agent: ["value<1MB"]}\n'
    )
    found = told(text)

    assert [
        "workload 'connections' counts connections, not agents | Write connections.",
        "workload 'connections' has no agents | Remove it.",
        "fidelity in a scenario of workload 'connections' | Remove it.",
        "memory_per_agent in a scenario of workload 'connections' | Write memory_per_unit.",
    ] == [line.split(": ", 1)[1] for line in found]


def test_round_trip(plan: Callable[..., Plan]) -> None:
    """Everything that can be said of agents is written down, and read again."""
    text = (
        BASE
        + "agents: {mix: {G20: 70%, chain10: 30%}, distinct_models: 3, learners: 10%,\n"
        + "  history: 99, kept_beliefs: 2, active: 5%, first_steps: 4, leak_per_cycle: 800B,\n"
        + "  probes: 7, probe_steps: 8}\n"
        + "variants: [{name: naive, agents: off},\n"
        + "  {name: threads, agents: {layout: own, threads: 9}},\n"
        + "  {name: all, agents: {tier: log16, hibernate: 90s, threads: 2, fault: nan}}]\n"
        + 'thresholds: {fidelity: ["posterior<1e-12", "free>=99.9%"]}\n'
    )
    scenario = plan(text).scenario

    assert scenario == Scenario.model_validate(source.parse(dump(scenario), "dump").data)
    assert 1e-12 == scenario.thresholds[0].limit.value
    assert ("naive", None) == (scenario.variants[0].name, scenario.variants[0].agents)


def test_a_share_can_be_set(plan: Callable[..., Plan]) -> None:
    """From the command line, model by model."""
    text = BASE + "agents: {mix: {G20: 70%, chain10: 30%}}\n"
    found = plan(text, "agents.mix.G20=60%", "agents.mix.xy5=10%").scenario.agents.mix

    assert {"G20": 0.6, "chain10": 0.3, "xy5": 0.1} == dict(found)


def test_words_are_those_of_the_workload() -> None:
    """The scenario knows the families, tiers and faults that there are."""
    assert tuple(families.FAMILIES) == agents.FAMILIES
    assert (families.SMALLEST_SIDE, families.LARGEST_SIDE) == (
        agents.SMALLEST_SIDE,
        agents.LARGEST_SIDE,
    )
    assert TIERS == agents.TIERS
    assert tuple(FAULTS) == agents.PLANTED

"""
Agents of discrete active inference that share what is equal and are stepped in batches.

    store = ModelStore()
    population = Population(store.intern(model), tier="f64")
    agent = population.add_agent()
    action = agent.step([3, 0])
    actions = population.step(observations)

They decide as agents that own everything do, in float64 to the last action.
"""

from memopt_cli.optimizer.agents.adoption import Adopted, AgentOptimizer, AgentParts
from memopt_cli.optimizer.agents.agent import Agent
from memopt_cli.optimizer.agents.boundaries import StepBoundaries
from memopt_cli.optimizer.agents.experience import Experience, ExperienceRing
from memopt_cli.optimizer.agents.graph import KnowledgeGraph
from memopt_cli.optimizer.agents.hotspots import (
    Hotspot,
    HotspotKind,
    HotspotLimits,
    find_hotspots,
)
from memopt_cli.optimizer.agents.lazy import LazyBeliefArray
from memopt_cli.optimizer.agents.learning import Learner, LearnerBase, learner_base
from memopt_cli.optimizer.agents.lifecycle import Lifecycle
from memopt_cli.optimizer.agents.model import GenerativeModel
from memopt_cli.optimizer.agents.observations import ObservationRings
from memopt_cli.optimizer.agents.population import Population
from memopt_cli.optimizer.agents.rings import ActionHistory
from memopt_cli.optimizer.agents.shared import SharedModel
from memopt_cli.optimizer.agents.signals import DeltaStore
from memopt_cli.optimizer.agents.stages import LifeEvent, LifeRules, LifeStage, Sweep
from memopt_cli.optimizer.agents.stats import PopulationStats
from memopt_cli.optimizer.agents.store import ModelStore
from memopt_cli.optimizer.agents.tiers import TIERS, Tier
from memopt_cli.optimizer.agents.tracking import AgentGrowth, AgentTracker
from memopt_cli.optimizer.agents.walking import deep_bytes

__all__ = [
    "TIERS",
    "ActionHistory",
    "Adopted",
    "Agent",
    "AgentGrowth",
    "AgentOptimizer",
    "AgentParts",
    "AgentTracker",
    "DeltaStore",
    "Experience",
    "ExperienceRing",
    "GenerativeModel",
    "Hotspot",
    "HotspotKind",
    "HotspotLimits",
    "KnowledgeGraph",
    "LazyBeliefArray",
    "Learner",
    "LearnerBase",
    "LifeEvent",
    "LifeRules",
    "LifeStage",
    "Lifecycle",
    "ModelStore",
    "ObservationRings",
    "Population",
    "PopulationStats",
    "SharedModel",
    "StepBoundaries",
    "Sweep",
    "Tier",
    "deep_bytes",
    "find_hotspots",
    "learner_base",
]

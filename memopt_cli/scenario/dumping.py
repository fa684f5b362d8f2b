"""Writes a scenario as YAML that loads back to an equal scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memopt_cli.scenario.load import PATTERNS
from memopt_cli.scenario.writing import OFF, ON, duration, growth, lines, rate, ratio, size, switch

if TYPE_CHECKING:
    from collections.abc import Callable

    from memopt_cli.scenario.agents import AgentOptions, AgentsSection
    from memopt_cli.scenario.model import (
        LeakSection,
        Load,
        Pattern,
        Sampling,
        Scenario,
        Stage,
        SyntheticSection,
        Threshold,
        Variant,
    )
    from memopt_cli.scenario.sockets import DrivingSection, SocketsSection, TargetSection
    from memopt_cli.scenario.workload import CompactOptions, ConnectionsSection


def dump(scenario: Scenario) -> str:
    """Return *scenario* as YAML with every value written out, in the units people write."""
    out: dict[str, Any] = {"version": scenario.version, "name": scenario.name}
    if scenario.description:
        out["description"] = scenario.description
    if scenario.tags:
        out["tags"] = scenario.tags
    out["workload"] = scenario.workload
    out[scenario.workload] = _SECTIONS[scenario.workload](getattr(scenario, scenario.workload))
    out["variants"] = [_variant(variant) for variant in scenario.variants]
    out["load"] = _load(scenario.load, scenario.unit_word)
    out["sampling"] = _sampling(scenario.sampling)
    out["leak"] = _leak(scenario.leak)
    out["seed"] = scenario.seed
    if scenario.matrix:
        out["matrix"] = scenario.matrix
    if scenario.thresholds:
        out["thresholds"] = _thresholds(scenario.thresholds)
    return "\n".join(lines(out)) + "\n"


def _sockets(section: SocketsSection) -> dict[str, Any]:
    return {
        "servers": section.servers,
        "handshake_size": size(section.handshake_bytes),
        "distinct_handshakes": section.distinct_handshakes,
        "message_size": size(section.message_bytes),
        "receive_buffer": size(section.receive_buffer_bytes),
        **_driving(section),
    }


def _target(section: TargetSection) -> dict[str, Any]:
    tls, needs = section.tls, section.needs
    out: dict[str, Any] = {"url": section.url}
    given = {
        "command": section.command,
        "pid": section.pid,
        "collect": section.collect,
        "protocol": section.protocol,
    }
    out |= {key: value for key, value in given.items() if value is not None}
    named: dict[str, Any] = {
        "environment": section.environment,
        "options": section.options,
        "headers": section.headers,
        "sources": section.sources,
    }
    out |= {key: value for key, value in named.items() if value}
    names = {"server_name": tls.server_name, "cafile": tls.cafile}
    out["tls"] = {key: name for key, name in names.items() if name is not None}
    out["tls"]["verify"] = switch(tls.verify)
    out["close"] = section.close
    out["ready_within"] = duration(section.ready_within_s)
    out |= _driving(section)
    needed = {"programs": needs.programs, "modules": needs.modules, "hint": needs.hint}
    if any(needed.values()):
        out["needs"] = {key: value for key, value in needed.items() if value}
    return out


def _driving(section: DrivingSection) -> dict[str, Any]:
    return {
        "drivers": section.drivers,
        "answer_within": duration(section.answer_within_s),
        "settle_within": duration(section.settle_within_s),
    }


def _connections(section: ConnectionsSection) -> dict[str, Any]:
    return {
        "capabilities_size": size(section.capabilities_size_bytes),
        "distinct_capabilities": section.distinct_capabilities,
        "message_mix": {size(bytes_): ratio(share) for bytes_, share in section.message_mix},
        "distinct_messages": section.distinct_messages,
        "writes": ratio(section.writes),
        "retained_messages": section.retained_messages,
        "receive_buffer": size(section.receive_buffer_bytes),
    }


def _synthetic(section: SyntheticSection) -> dict[str, Any]:
    return {
        "bytes_per_unit": size(section.bytes_per_unit),
        "leak_per_operation": size(section.leak_per_operation_bytes),
        "imports": list(section.imports),
    }


def _agents(section: AgentsSection) -> dict[str, Any]:
    return {
        "mix": {name: ratio(share) for name, share in section.mix},
        "distinct_models": section.distinct_models,
        "learners": ratio(section.learners),
        "history": section.history,
        "kept_beliefs": section.kept_beliefs,
        "active": ratio(section.active),
        "first_steps": section.first_steps,
        "leak_per_cycle": size(section.leak_per_cycle_bytes),
        "probes": section.probes,
        "probe_steps": section.probe_steps,
        "profile": section.profile,
        **({} if section.until_bytes is None else {"until": size(section.until_bytes)}),
    }


_SECTIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "connections": _connections,
    "sockets": _sockets,
    "target": _target,
    "agents": _agents,
    "synthetic": _synthetic,
}


def _agent_options(options: AgentOptions) -> dict[str, Any]:
    out: dict[str, Any] = {"layout": options.layout, "threads": options.threads}
    if options.layout == "batched":
        out |= {"tier": options.tier, "fault": options.fault}
    if options.hibernate_s is not None:
        out["hibernate"] = duration(options.hibernate_s)
    return out


def _compact(options: CompactOptions) -> dict[str, Any]:
    return {
        "compression": switch(options.compression),
        "shared_payloads": switch(options.shared_payloads),
    }


def _variant(variant: Variant) -> dict[str, Any]:
    pool, compact = variant.pool, variant.compact
    agents = {} if variant.agents is None else {"agents": _agent_options(variant.agents)}
    served = {} if variant.server is None else {"server": variant.server}
    return {
        "name": variant.name,
        **served,
        "pool": OFF if pool is None else {"size": pool.size, "max_size": pool.max_size},
        "compact": OFF if compact is None else _compact(compact),
        **agents,
        "gc": OFF if variant.gc == "off" else variant.gc,
        "leak": size(variant.leak_bytes),
    }


def _pattern(pattern: Pattern) -> dict[str, Any]:
    """Return the pattern with the parameters that it uses; the others cannot be written."""
    values = {
        "period": duration(pattern.period_s),
        "amplitude": ratio(pattern.amplitude),
        "share": ratio(pattern.share),
    }
    return {"name": pattern.name, **{key: values[key] for key in PATTERNS[pattern.name]}}


def _load(load: Load, unit_word: str) -> dict[str, Any]:
    out: dict[str, Any] = {
        "arrival_rate": rate(load.arrival_rate_per_s),
        "message_rate": rate(load.message_rate_per_s),
    }
    if load.lifetime_s is not None:
        out["lifetime"] = duration(load.lifetime_s)
    out["pattern"] = _pattern(load.pattern)
    out["stages"] = [_stage(stage, unit_word) for stage in load.stages]
    out["clock"] = load.clock
    return out


def _stage(stage: Stage, unit_word: str) -> dict[str, Any]:
    out: dict[str, Any] = {"name": stage.name, "duration": duration(stage.duration_s)}
    if stage.units is not None:
        out[unit_word] = stage.units
    if stage.arrival_rate_per_s is not None:
        out["arrival_rate"] = rate(stage.arrival_rate_per_s)
    if stage.pattern is not None:
        out["pattern"] = _pattern(stage.pattern)
    if stage.message_rate_per_s is not None:
        out["message_rate"] = rate(stage.message_rate_per_s)
    out["plateaus"] = stage.plateaus
    if stage.rounds:
        out["rounds"] = stage.rounds
    return out


def _sampling(sampling: Sampling) -> dict[str, Any]:
    return {"interval": duration(sampling.interval_s), "heap": switch(sampling.heap)}


def _leak(section: LeakSection) -> dict[str, Any]:
    severity = section.severity
    limits = {
        "medium": severity.medium_bytes_per_s,
        "high": severity.high_bytes_per_s,
        "critical": severity.critical_bytes_per_s,
    }
    tolerated = section.tolerate_bytes_per_s
    return {
        **({} if tolerated is None else {"tolerate": growth(tolerated)}),
        "severity": {name: growth(limit) for name, limit in limits.items()},
    }


def _thresholds(thresholds: tuple[Threshold, ...]) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    for threshold in thresholds:
        out.setdefault(threshold.metric, []).append(_threshold(threshold))
    return out


def _threshold(threshold: Threshold) -> dict[str, Any]:
    out: dict[str, Any] = {"threshold": threshold.expression}
    if threshold.stage is not None:
        out["stage"] = threshold.stage
    if threshold.window_s is not None:
        out["window"] = duration(threshold.window_s)
    if threshold.variant is not None:
        out["variant"] = threshold.variant
    if threshold.abort_on_fail:
        out["abort_on_fail"] = ON
        out["delay_abort_eval"] = duration(threshold.delay_abort_eval_s)
    return out

"""``run.json``: the findings for programs. Names are public; SI units and bytes."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from memopt_cli.analysis import fidelity
from memopt_cli.analysis.day import growth_in_a_day
from memopt_cli.analysis.ranking import rankings
from memopt_cli.report import alerts, connections, density, ladder, operation_profile, parts
from memopt_cli.report.ranking import brings
from memopt_cli.report.values import HOUR_S, baseline, bounded, distribution, estimate

if TYPE_CHECKING:
    from memopt_cli.analysis.comparison import Change
    from memopt_cli.analysis.ranking import Ranking, Standing
    from memopt_cli.analysis.recording import Fidelity
    from memopt_cli.analysis.results import (
        Leak,
        RunFindings,
        ThresholdResult,
        VariantFindings,
    )

SCHEMA_VERSION = 1


def to_json(run: RunFindings) -> str:
    """Return *run* as JSON text; a figure that was not measured is null."""
    return json.dumps(document(run), indent=2) + "\n"


def document(run: RunFindings) -> dict[str, Any]:
    """Return *run* as plain values, in the shape that `memopt_cli.report.schema` gives."""
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": run.scenario,
        "tags": dict(run.tags),
        "verdict": run.verdict,
        "exit_code": int(run.exit_code),
        "outcome": run.outcome,
        "reason": run.reason or None,
        "started_at": run.started_at,
        "wall_s": run.wall_s,
        "simulated_s": max((v.simulated_s for v in run.variants), default=0.0)
        if run.clock == "virtual"
        else None,
        "clock": run.clock,
        "environment": dict(run.environment),
        "baseline": run.baseline or None,
        "variants": [_variant(variant) for variant in run.variants],
        **_agents(run),
        "rankings": [_ranking(ranking) for ranking in rankings(run.variants)],
        "thresholds": [_threshold(result) for result in run.thresholds],
        "alerts": alerts.document(run.alerts),
    }


def _agents(run: RunFindings) -> dict[str, Any]:
    """Return what only runs of agents have."""
    parts = {
        "ladder": ladder.document(run),
        "density": density.document(run),
        "operation_profile": operation_profile.document(run),
    }
    return {name: part for name, part in parts.items() if part}


def _variant(variant: VariantFindings) -> dict[str, Any]:
    memory, real = variant.memory, variant.connections
    measured = bool(variant.sampling.samples)
    return {
        "name": variant.name,
        "cell": dict(variant.cell),
        "outcome": variant.outcome,
        "failure": variant.failure or None,
        "units": variant.unit,
        "units_peak": variant.units_peak,
        "digest": variant.digest or None,
        "transcript": variant.transcript or None,
        "same_work": variant.same_work,
        "memory_per_unit_bytes": estimate(memory.per_unit),
        "memory_per_unit_loaded_bytes": estimate(memory.loaded),
        "memory_per_unit_basis": memory.basis,
        "memory_per_unit_cross_check_bytes": estimate(memory.cross_check),
        "memory_per_unit_remark": memory.reason or None,
        "plateaus": [{"units": units, "bytes": size} for units, size in memory.points],
        "fixed_bytes": estimate(memory.fixed),
        "peak_uss_bytes": variant.peak_uss_bytes,
        "peak_rss_bytes": variant.peak_rss_bytes,
        "kernel_per_unit_bytes": None if real is None else estimate(real.kernel_per_connection),
        "retained_bytes": estimate(variant.retained),
        "leak": _leak(variant.leak),
        "gc_pause_s": _pauses(variant),
        "operation_latency_s": distribution(variant.operation_latency),
        "operations": variant.operations if measured else None,
        "operations_per_s": variant.operations_per_s,
        "busy_s": variant.busy_s if measured else None,
        "cpu_s": variant.cpu_s if measured else None,
        "wall_s": variant.wall_s if measured else None,
        "pool": None if variant.pool is None else dict(variant.pool),
        "fidelity": _fidelity(variant.fidelity),
        "sampling": {
            "samples": variant.sampling.samples,
            "p50_s": variant.sampling.p50_s,
            "exact_p50_s": variant.sampling.exact_p50_s,
            "max_s": variant.sampling.max_s,
        },
        "stages": [
            {"name": s.name, "starts_s": s.starts_s, "ends_s": s.ends_s, "units": s.units}
            for s in variant.stages
        ],
        **({} if real is None else {"connections": connections.document(real)}),
        **({"parts": parts.document(variant.parts)} if parts.is_resumed(variant) else {}),
    }


def _fidelity(found: Fidelity | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "steps": found.steps,
        "actions": fidelity.observed(found, "actions"),
        "free_steps": found.free_steps,
        "free": fidelity.observed(found, "free"),
        "posterior": found.posterior,
        "kl_nat": found.divergence_nat,
        "faults": fidelity.faults(found),
    }


def _leak(leak: Leak) -> dict[str, Any]:
    detectable = leak.detectable_bytes_per_s
    return {
        "verdict": leak.verdict,
        "slope_bytes_per_hour": estimate(leak.slope_bytes_per_s, HOUR_S),
        "slope_bytes_per_operation": estimate(leak.slope_bytes_per_operation),
        "detectable_bytes_per_hour": None if detectable is None else detectable * HOUR_S,
        "growth_in_24h_bytes": estimate(growth_in_a_day(leak)),
        "over_s": leak.over_s,
        "settled_s": leak.settled_s,
        "longer_s": leak.longer_s,
        "severity": leak.severity,
        "full_in_s": leak.full_in_s,
        "remark": leak.reason or None,
        "sites": [],
        "baseline": baseline(leak.baseline),
    }


def _pauses(variant: VariantFindings) -> dict[str, Any] | None:
    if variant.gc_pause is None:
        return None
    return {
        **distribution(variant.gc_pause),
        "share": variant.pause_share,
        "by_generation": list(variant.gc_pauses_by_generation),
        "lost": variant.pauses_lost,
    }


def _ranking(ranking: Ranking) -> dict[str, Any]:
    return {
        "cell": dict(ranking.cell),
        "reference": ranking.reference,
        "ranked": [_standing(standing, ranking) for standing in ranking.standings],
        "refused": [{"variant": name, "reason": why} for name, why in ranking.refused],
    }


def _standing(standing: Standing, ranking: Ranking) -> dict[str, Any]:
    return {
        "place": standing.place,
        "variant": standing.name,
        "summary": f"{standing.name} {brings(standing, ranking)}.",
        "costs_memory": standing.costs_memory,
        "memory_per_unit_bytes": _change(standing.idle),
        "memory_per_unit_loaded_bytes": _change(standing.loaded),
        "peak_uss_bytes": _change(standing.peak),
        "retained_bytes": _change(standing.kept),
        "gc_pause_max_s": _change(standing.longest_pause),
        "gc_pause_share": _change(standing.collecting),
        "operation_latency_p50_s": _change(standing.median),
        "busy_s_per_operation": _change(standing.busy),
    }


def _change(change: Change | None) -> dict[str, Any] | None:
    if change is None:
        return None
    saved, factor = change.saved, change.factor
    return {
        "before": change.before.value,
        "after": change.after.value,
        "saved": bounded(saved.value, saved.low, saved.high),
        "factor": None
        if factor is None
        else bounded(factor, change.factor_low or 0.0, change.factor_high or math.inf),
        "shown": change.differs,
    }


def _threshold(result: ThresholdResult) -> dict[str, Any]:
    return {
        "metric": result.metric,
        "expression": result.expression,
        "stage": result.stage,
        "window_s": result.window_s,
        "cell": dict(result.cell),
        "variant": result.variant or None,
        "observed": estimate(result.observed),
        "verdict": result.verdict,
        "reason": result.reason or None,
    }

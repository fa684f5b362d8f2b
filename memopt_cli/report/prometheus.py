"""The alert rules for Prometheus, over the series that `openmetrics` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.analysis.alerts import RULES
from memopt_cli.units import Dimension, format_quantity

if TYPE_CHECKING:
    from memopt_cli.analysis.alerts import AlertRule, Level

_GROWTH = "memopt_memory_leak_slope_bytes_per_second"
_SERIES = {
    "MemoptMemoryPerConnection": 'memopt_memory_per_unit_bytes{unit="connection"}',
    "MemoptMemoryPerAgent": 'memopt_memory_per_unit_bytes{unit="agent"}',
    "MemoptPoolReuse": "memopt_pool_reuse_ratio",
    "MemoptGcPause": "memopt_gc_pause_max_seconds",
    "MemoptGcShare": "memopt_gc_pause_share_ratio",
    # What is not called a leak may be a first filling.
    "MemoptGrowth": f'({_GROWTH} and ignoring (verdict) memopt_leak{{verdict="leak"}} == 1)',
    "MemoptMemoryUsed": (
        "(memopt_memory_total_bytes"
        " / on (scenario, target) group_left () memopt_memory_limit_bytes)"
    ),
}

_SHOWN = {
    Dimension.SIZE: "{{ $value | humanize1024 }}B",
    Dimension.SIZE_RATE: "{{ $value | humanize1024 }}B/s",
    Dimension.DURATION: "{{ $value | humanizeDuration }}",
    Dimension.RATIO: "{{ $value | humanizePercentage }}",
}


def prometheus_rules() -> str:
    """Return the rules as the YAML of a rule file, one alert for each severity."""
    import yaml

    rules = [_rule(rule, level, limit) for rule in RULES for level, limit in rule.limits.items()]
    document = {"groups": [{"name": "memopt", "rules": rules}]}
    return yaml.safe_dump(document, sort_keys=False, width=1000)


def _rule(rule: AlertRule, level: Level, limit: float) -> dict[str, object]:
    word = "below" if rule.less_is_worse else "above"
    return {
        "alert": rule.name,
        "expr": expression(rule, level, limit),
        "labels": {"severity": str(level)},
        "annotations": {
            "summary": f"{rule.title} {word} {format_quantity(limit, rule.dimension)}",
            # A run has a scenario and variants, a watch a target and processes.
            "description": f"{rule.title} of {{{{ $labels.scenario }}}}{{{{ $labels.target }}}}, "
            f"{{{{ $labels.variant }}}}{{{{ $labels.pid }}}}: {_SHOWN[rule.dimension]}.",
        },
    }


def expression(rule: AlertRule, level: Level, limit: float) -> str:
    """Return when a rule fires in PromQL; one that fires goes on until it is well inside."""
    series, sign = _SERIES[rule.name], "<" if rule.less_is_worse else ">"
    firing = f'ALERTS{{alertname="{rule.name}", severity="{level}", alertstate="firing"}}'
    inside = f"{series} {sign} {rule.clear(limit):.6g}"
    of_it = f"and ignoring (alertname, severity, alertstate) {firing}"
    return f"{series} {sign} {limit:.6g} or ({inside} {of_it})"

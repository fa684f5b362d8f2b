"""The alert rules are a rule file that Prometheus would load, over series that there are."""

from __future__ import annotations

import re
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from memopt_cli.analysis.alerts import RULES
from memopt_cli.report import summary
from memopt_cli.report.openmetrics import openmetrics
from memopt_cli.report.prometheus import prometheus_rules
from tests.making import found, run

(GROUP,) = yaml.safe_load(prometheus_rules())["groups"]


def _selectors(node: Any) -> list[Any]:
    """Return the series that an expression reads."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    parts = [getattr(node, name, None) for name in ("lhs", "rhs", "expr")]
    return [one for part in parts if part is not None for one in _selectors(part)]


def test_the_file_is_one_group_of_alerts() -> None:
    """The keys are those of a rule file, and no alert stands twice with one severity."""
    assert {"name", "rules"} == GROUP.keys()
    assert [(rule.name, str(level)) for rule in RULES for level in rule.limits] == [
        (rule["alert"], rule["labels"]["severity"]) for rule in GROUP["rules"]
    ]
    for rule in GROUP["rules"]:
        assert {"alert", "expr", "labels", "annotations"} == rule.keys()
        assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", rule["alert"])
        for text in rule["annotations"].values():
            assert re.sub(r"\{\{ \$(value( \| \w+)?|labels\.\w+) \}\}", "", text).count("{{") == 0


@pytest.mark.parametrize("rule", GROUP["rules"], ids=lambda rule: rule["alert"])
def test_each_expression_is_promql_over_our_series(rule: dict[str, str]) -> None:
    """Prometheus' grammar reads it, and `memopt report --format openmetrics` writes its series."""
    told: Any = list(text_string_to_metric_families(openmetrics([summary.of_run(run(found()))])))
    written = {family.name for family in told}
    read = {one.name for one in _selectors(promql_parser.parse(rule["expr"]))}

    assert "ALERTS" in read
    assert read - {"ALERTS"} <= written
    assert read - {"ALERTS"}


def test_one_rule_whole() -> None:
    """Above its limit, or above nine tenths of it while it fires."""
    (rule,) = [
        one
        for one in GROUP["rules"]
        if (one["alert"], one["labels"]["severity"]) == ("MemoptGcPause", "critical")
    ]

    assert rule["expr"] == (
        "memopt_gc_pause_max_seconds > 0.15 or (memopt_gc_pause_max_seconds > 0.135 "
        "and ignoring (alertname, severity, alertstate) "
        'ALERTS{alertname="MemoptGcPause", severity="critical", alertstate="firing"})'
    )
    assert rule["annotations"]["summary"] == "longest GC pause above 150 ms"


def _expressions(name: str) -> list[str]:
    return [rule["expr"] for rule in GROUP["rules"] if rule["alert"] == name]


def test_what_each_rule_is_about() -> None:
    """Units of its own kind, growth that is called a leak, and reuse that is too little."""
    reuse = [rule["annotations"]["summary"] for rule in GROUP["rules"] if "Reuse" in rule["alert"]]

    assert ["pool reuse below 70.0 %", "pool reuse below 50.0 %"] == reuse
    for unit in ("connection", "agent"):
        assert all(
            2 == each.count(f'memopt_memory_per_unit_bytes{{unit="{unit}"}}')
            for each in _expressions(f"MemoptMemoryPer{unit.capitalize()}")
        )
    growth = _expressions("MemoptGrowth")
    assert [2, 2] == [each.count('memopt_leak{verdict="leak"} == 1)') for each in growth]


def test_a_wrong_expression_is_seen() -> None:
    """The parser that the tests rest on refuses what is not PromQL."""
    with pytest.raises(ValueError, match="invalid promql query"):
        promql_parser.parse("memopt_gc_pause_max_seconds >")

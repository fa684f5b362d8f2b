"""The thresholds of a scenario: each condition, with the stage and the variant it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, ValidationError, model_validator

from memopt_cli.scenario.faults import Fault, caught, fault, raised, shown
from memopt_cli.scenario.fields import Duration, ElapsedTime, Name, Switch, Text
from memopt_cli.scenario.nearest import nearest
from memopt_cli.scenario.section import Section
from memopt_cli.scenario.thresholds import (
    METRICS,
    Aggregation,
    Expression,
    Operator,
    parse_expression,
)

if TYPE_CHECKING:
    from memopt_cli.units import Quantity


class Threshold(Section):
    """One condition that the run must hold; a leak verdict needs no threshold."""

    metric: str = Field(description="One of METRICS; in YAML the key that the list is under.")
    expression: Text = Field(alias="threshold", description="For example p(99)<100ms.")
    stage: Name | None = Field(default=None, description="Judge only this stage.")
    window_s: Duration | None = Field(
        default=None, alias="window", description="Judge only the end of the stage, or of the run."
    )
    variant: Name | None = Field(default=None, description="Judge only this variant.")
    abort_on_fail: Switch = Field(default=False, description="Stop the run when it is crossed.")
    delay_abort_eval_s: ElapsedTime = Field(
        default=0.0,
        alias="delay_abort_eval",
        description="Time before a crossed threshold may stop the run.",
    )

    @model_validator(mode="after")
    def _meaningful(self) -> Self:
        faults = []
        try:
            aggregation = self.aggregation
        except ValueError as exc:
            faults.append(Fault(("threshold",), *exc.args))
        else:
            faults += self._window_faults(aggregation)
        if self.stage is not None and not METRICS[self.metric].staged:
            faults.append(self._whole_run("stage"))
        if self.delay_abort_eval_s and not self.abort_on_fail:
            what = "delay_abort_eval without abort_on_fail"
            faults.append(Fault(("delay_abort_eval",), what, "Add abort_on_fail: on.", at_key=True))
        if faults:
            raise raised(faults)
        return self

    def _window_faults(self, aggregation: Aggregation) -> list[Fault]:
        known = METRICS[self.metric]
        if self.window_s is None or aggregation in known.windowed:
            return []
        if not known.staged:
            return [self._whole_run("window")]
        what = f"{aggregation} of {self.metric} is kept by stage, not by window"
        remedy = "Remove window; one stage alone can be judged."
        if known.windowed:
            remedy = f"Judge {' or '.join(known.windowed)}, or remove window."
        return [Fault(("window",), what, remedy, at_key=True)]

    def _whole_run(self, key: str) -> Fault:
        what = f"{self.metric} is a figure of the whole run"
        return Fault((key,), what, f"Remove {key}.", at_key=True)

    @property
    def _parsed(self) -> Expression:
        return parse_expression(self.metric, self.expression)

    @property
    def aggregation(self) -> Aggregation:
        """What is made of the metric's values: value, p, max, min, avg or count."""
        return self._parsed.aggregation

    @property
    def quantile(self) -> float | None:
        """The quantile of `p(…)`, 0 to 1; `None` for every other aggregation."""
        return self._parsed.quantile

    @property
    def operator(self) -> Operator:
        """How the observed value must stand to the limit."""
        return self._parsed.operator

    @property
    def limit(self) -> Quantity:
        """The limit in SI units."""
        return self._parsed.limit


def flattened(value: object) -> tuple[Threshold, ...]:
    """Return the lists under each metric as one, in file order."""
    if not isinstance(value, dict):
        remedy = 'Write it like memory_total: ["value<2GB"].'
        raise fault(f"expected metrics and lists, found {shown(value)}", remedy)
    found: list[Threshold] = []
    faults: list[Fault] = []
    for metric, items in value.items():
        if metric not in METRICS:
            what = f"unknown metric {shown(metric)}"
            hint = nearest(str(metric), METRICS)
            faults.append(Fault((metric,), what, hint, at_key=True, unknown=True))
        elif not isinstance(items, list | tuple) or not items:
            remedy = f'Write ["{METRICS[metric].example}"].'
            faults.append(Fault((metric,), f"expected a list, found {shown(items)}", remedy))
        else:
            for index, item in enumerate(items):
                _one_threshold(metric, index, item, found, faults)
    if faults:
        raise raised(faults)
    return tuple(found)


def _one_threshold(
    metric: str, index: int, item: object, found: list[Threshold], faults: list[Fault]
) -> None:
    """Add the threshold that *item* writes to *found*, or what is wrong with it to *faults*."""
    at = (metric, index)
    keys = {"threshold": item} if isinstance(item, str) else item
    if not isinstance(keys, dict):
        remedy = f'Write "{METRICS[metric].example}".'
        faults.append(Fault(at, f"expected a threshold, found {shown(item)}", remedy))
        return
    if "metric" in keys:
        faults.append(Fault((*at, "metric"), "unknown key 'metric'", at_key=True, unknown=True))
    try:
        found.append(Threshold.model_validate({**keys, "metric": metric}))
    except ValidationError as exc:
        faults.extend(one.under(at) for one in caught(exc))

"""
JUnit XML, in the dialect that Jenkins and GitLab read (its schema is ``junit-10.xsd``).

A suite for each variant or process, a test case for each check, and one that says whether
it finished. Crossed is a failure; inconclusive and unfinished are errors, never passes.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from memopt_cli.analysis.results import Verdict
from memopt_cli.report import wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memopt_cli.analysis.results import ThresholdResult
    from memopt_cli.report.summary import Part, Summary

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""

_ELEMENTS = {Verdict.CROSSED: "failure", Verdict.INCONCLUSIVE: "error"}


def junit(summaries: Sequence[Summary]) -> str:
    """Return runs and watches as one document."""
    root = ET.Element("testsuites", name="memopt")
    for summary in summaries:
        root.append(_whole(summary))
        root.extend(_suite(part, summary) for part in summary.parts)
    _count(root, root.iter("testcase"))
    root.set("time", _seconds(sum(summary.wall_s for summary in summaries)))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _whole(summary: Summary) -> ET.Element:
    """Return the suite of the run itself: that it finished, and checks of no variant."""
    suite = _new_suite(summary.name, summary, summary.wall_s)
    _add_finished(suite, summary.name, summary.unfinished)
    for check in summary.checks:
        _add_check(suite, summary.name, check)
    _count(suite, suite.iter("testcase"))
    ET.SubElement(suite, "system-out").text = _clean(summary.headline)
    return suite


def _suite(part: Part, summary: Summary) -> ET.Element:
    name = f"{summary.name}: {part.name}"
    suite = _new_suite(name, summary, part.wall_s)
    if summary.kind != "watch":
        _add_finished(suite, name, part.unfinished)
    for check in part.checks:
        _add_check(suite, name, check)
    _count(suite, suite.iter("testcase"))
    return suite


def _new_suite(name: str, summary: Summary, wall_s: float) -> ET.Element:
    return ET.Element(
        "testsuite",
        name=_clean(name),
        time=_seconds(wall_s),
        timestamp=summary.started_at.removesuffix("Z"),
    )


def _add_finished(suite: ET.Element, owner: str, unfinished: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=_clean(owner), name="finished", time="0.000")
    if unfinished:
        # "interrupted: SIGTERM" is of the type interrupted.
        kind = unfinished.partition(":")[0]
        message = f"did not finish: {unfinished}"
        ET.SubElement(case, "error", type=_clean(kind), message=_clean(message))


def _add_check(suite: ET.Element, owner: str, check: ThresholdResult) -> None:
    name = _clean(wording.expression(check))
    case = ET.SubElement(suite, "testcase", classname=_clean(owner), name=name, time="0.000")
    observed = wording.judged_on(check)
    element = _ELEMENTS.get(check.verdict)
    if element is None:
        ET.SubElement(case, "system-out").text = _clean(observed)
    else:
        told = ET.SubElement(case, element, type=str(check.verdict), message=_clean(observed))
        told.text = _clean(f"{name}: {check.verdict}, observed {observed}")


def _count(owner: ET.Element, cases: Iterable[ET.Element]) -> None:
    found = list(cases)
    owner.set("tests", str(len(found)))
    for element, attribute in (("failure", "failures"), ("error", "errors")):
        owner.set(attribute, str(sum(case.find(element) is not None for case in found)))


def _seconds(duration_s: float) -> str:
    """Return seconds with at most three decimals, as the schema wants them."""
    return f"{duration_s:.3f}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)

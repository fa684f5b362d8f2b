"""Whatever a file or a setting says, the answer is a plan or a list of problems."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memopt_cli.errors import ScenarioError
from memopt_cli.scenario import loading
from memopt_cli.scenario.checks import UNIT_WORDS
from memopt_cli.scenario.model import SECTIONS
from memopt_cli.scenario.thresholds import METRICS

if TYPE_CHECKING:
    from pathlib import Path

    from memopt_cli.errors import Problem

FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
WORDS = sorted(
    {key for section in SECTIONS.values() for key in section.written_keys()}
    | {*METRICS, *UNIT_WORDS, "*", "connections", "ramp_up", "hold_for", "0", "baseline"}
)
KEY = st.sampled_from(WORDS) | st.text(max_size=5)
SCALAR = (
    st.sampled_from(
        ["on", "off", "connections", "synthetic", "5s", "1KiB", "5%", "5/s", "value<1B"]
    )
    | st.sampled_from(WORDS)
    | st.integers()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
TREE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=4)
)
SCENARIO = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "name": st.just("fuzz"),
        "workload": st.sampled_from(["connections", "synthetic"]),
        "load": st.just({"connections": 10}) | st.just({"units": 10}) | TREE,
    },
    optional=dict.fromkeys(("variants", "thresholds", "matrix", "connections", "tags"), TREE),
)
YAML = ":-{}[],&*!|>'\"%@`#?<~ \n\tab01.e"


def _loads_or_tells(path: Path, text: str | bytes, *changes: str) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    problems: tuple[Problem, ...] | None = None
    try:
        loading.load(path, settings=changes)
    except ScenarioError as exc:
        problems = exc.problems
    assert problems is None or all(problem.message for problem in problems)
    assert problems != ()


@FUZZ
@given(raw=st.binary(max_size=200))
def test_bytes(tmp_path: Path, raw: bytes) -> None:
    """Any bytes."""
    _loads_or_tells(tmp_path / "s.yaml", raw)


@FUZZ
@given(text=st.text(max_size=200) | st.text(YAML, max_size=60))
def test_text(tmp_path: Path, text: str) -> None:
    """Any text, and text of the characters that YAML gives a meaning."""
    _loads_or_tells(tmp_path / "s.yaml", text)


@FUZZ
@given(tree=TREE | SCENARIO)
def test_structure(tmp_path: Path, tree: Any) -> None:
    """Any structure, made of right and wrong keys."""
    _loads_or_tells(tmp_path / "s.yaml", json.dumps(tree, ensure_ascii=False))


@FUZZ
@given(
    path=st.lists(KEY, min_size=1, max_size=5).map(".".join),
    value=st.text(max_size=10) | TREE.map(lambda tree: json.dumps(tree, ensure_ascii=False)),
)
def test_setting(tmp_path: Path, base: str, path: str, value: str) -> None:
    """Any setting of any key."""
    _loads_or_tells(tmp_path / "s.yaml", base, f"{path}={value}")

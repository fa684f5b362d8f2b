"""The pytest plugin, in pytest runs of its own that find it by its entry point."""

from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "entry-points"
]

LEAKING = """
import functools, gc, itertools, pytest

gc.freeze()  # what pytest holds need not be searched at each reading

kept = []
numbers = itertools.count()

@functools.lru_cache(maxsize=64)
def cached(number):
    return str(number) * 5

def clean():
    cached(next(numbers))

def leaking():
    clean()
    kept.append(bytes(40))  # the line

@pytest.mark.parametrize("number", range(20))
def test_leaking(memopt, number):
    memopt.assert_no_leak(leaking, operations=200, patience=2)

@pytest.mark.parametrize("number", range(20))
def test_clean(memopt, number):
    cached.cache_clear()
    memopt.assert_no_leak(clean, operations=200)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a folder with memopt on its path and its plugin declared as an install does."""
    site = pytester.mkdir("site")
    declared = site / "memopt_plugin-0.dist-info"
    declared.mkdir()
    (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: memopt-plugin\nVersion: 0\n")
    lines = [f"{name} = {place}" for name, place in ENTRY_POINTS["pytest11"].items()]
    (declared / "entry_points.txt").write_text("[pytest11]\n" + "\n".join(lines) + "\n")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{site}")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester


def run(suite: pytest.Pytester, script: str, *arguments: str) -> pytest.RunResult:
    """Run a test file, with warnings as errors."""
    suite.makepyfile(script)
    return suite.runpytest_subprocess("-W", "error", "-q", *arguments)


def test_twenty_of_twenty(suite: pytest.Pytester) -> None:
    """A leaking function fails each time with its line first; its clean twin passes each time."""
    result = run(suite, LEAKING)

    result.assert_outcomes(failed=20, passed=20)
    line = LEAKING.splitlines().index("    kept.append(bytes(40))  # the line")
    first = [
        below
        for above, below in pairwise(result.outlines)
        if "each operation leaks" in above and above.startswith("E ")
    ]
    assert 20 == len(first)
    assert all(f"test_twenty_of_twenty.py:{line} keeps" in each for each in first)


def test_the_other_tools_of_the_fixture(suite: pytest.Pytester) -> None:
    """Cycles fail a test as leaks do, and an operation can be measured."""
    result = run(
        suite,
        """
        kept = []

        def test_cycles(memopt):
            assert "no destroyed unit leaks" in str(memopt.cycle_test(dict))

        def test_leaking_cycles(memopt):
            memopt.cycle_test(dict, None, kept.append)

        def test_operation(memopt):
            with memopt.operation("load", budget="2MB", trace=True) as load:
                held = bytes(1_000_000)
            assert load.cost.peak_traced_bytes >= len(held)

        def test_budget(memopt):
            with memopt.operation("load", budget="1MB", trace=True):
                bytes(2_000_000)
        """,
    )

    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines_random(
        ["E *LeakFound: dict: each destroyed unit leaks*", "E *MemoryBudgetExceeded: load used*"]
    )


INCONCLUSIVE = """
import functools, itertools
numbers = itertools.count()
cached = functools.lru_cache(maxsize=100_000)(str)

def test_it(memopt):
    memopt.assert_no_leak(lambda: cached(next(numbers)), operations=40, patience=2)
"""


@pytest.mark.parametrize(
    ("setting", "outcome"), [("fail", {"failed": 1}), ("warn", {"passed": 1, "warnings": 1})]
)
def test_what_becomes_of_an_inconclusive_test(
    suite: pytest.Pytester, setting: str, outcome: dict[str, int]
) -> None:
    """It fails by default, and is a warning where the project says so."""
    suite.makepyfile(INCONCLUSIVE)
    result = suite.runpytest_subprocess("-o", f"memopt_inconclusive={setting}")

    result.assert_outcomes(**outcome)


def test_a_wrong_setting_is_refused(suite: pytest.Pytester) -> None:
    """A word that is neither is an error of the test that asks."""
    result = run(suite, INCONCLUSIVE, "-o", "memopt_inconclusive=ignore")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*memopt_inconclusive is fail or warn, not 'ignore'*"])


UNUSED = """
import sys, gc, tracemalloc

def test_nothing_was_loaded():
    of_memopt = {name for name in sys.modules if name.split(".")[0] == "memopt_cli"}
    assert of_memopt == {"memopt_cli", "memopt_cli.testing", "memopt_cli.testing.plugin"}
    heavy = {"numpy", "pydantic", "typer", "psutil", "matplotlib", "yaml", "ctypes"}
    assert not heavy & set(sys.modules)

def test_nothing_was_changed():
    assert gc.isenabled() and not gc.callbacks and not tracemalloc.is_tracing()
"""


def test_a_suite_that_does_not_use_it_is_left_alone(suite: pytest.Pytester) -> None:
    """The plugin loads three modules of its own and none that is heavy, and sets nothing."""
    run(suite, UNUSED).assert_outcomes(passed=2)


def test_it_can_be_switched_off(suite: pytest.Pytester) -> None:
    """Without the plugin there is no fixture, and other tests run."""
    result = run(suite, "def test_one(): pass\ndef test_two(memopt): pass", "-p", "no:memopt")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'memopt' not found*"])


def test_it_leaves_no_trace_in_the_tests_after_it(suite: pytest.Pytester) -> None:
    """After a leak test that failed, the collector and the tracer are as they were."""
    result = run(
        suite,
        """
        import gc, os, tracemalloc
        kept = []
        before = gc.get_threshold(), gc.get_freeze_count()

        def test_one(memopt):
            memopt.assert_no_leak(lambda: kept.append([]), operations=20)

        def test_two():
            assert gc.isenabled() and not gc.callbacks and not tracemalloc.is_tracing()
            assert before == (gc.get_threshold(), gc.get_freeze_count())
            assert not any("memopt-heap" in os.readlink(f"/proc/self/fd/{name}")
                           for name in os.listdir("/proc/self/fd")[:-1])
        """,
    )

    result.assert_outcomes(passed=1, failed=1)

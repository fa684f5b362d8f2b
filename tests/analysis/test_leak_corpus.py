"""The leak verdict keeps its scores on the labelled corpus."""

from __future__ import annotations

from functools import cache

import pytest

from memopt_cli.analysis.leak import detect
from tests.analysis.leak_corpus import Scores, corpus, score

MOST = {"false_positives": 0.005, "false_assurance": 0.0, "slope_error": 0.05}
LEAST = {
    "detected": 0.88,
    "cleared": 0.65,
    "covered_clean": 0.95,
    "covered_leaks": 0.95,
}


@cache
def scores() -> Scores:
    """Return the scores, of 406 verdicts at some milliseconds each."""
    return score(detect, corpus())


@pytest.mark.parametrize("name", MOST)
def test_errors_stay_rare(name: str) -> None:
    """Clean runs are not called leaks, leaks that matter are not denied, slopes are right."""
    assert getattr(scores(), name) <= MOST[name]


@pytest.mark.parametrize("name", LEAST)
def test_verdicts_stay_useful(name: str) -> None:
    """Leaks are found, clean runs are cleared, and the intervals hold what they promise."""
    assert getattr(scores(), name) >= LEAST[name]


def test_the_corpus_is_whole() -> None:
    """All 406 series are there, 192 of them clean and 153 with a strong leak."""
    series = corpus()

    assert (406, 192, 153) == (
        len(series),
        sum(one.is_clean for one in series),
        sum(one.is_strong for one in series),
    )


def test_the_scorer_can_fail_a_verdict() -> None:
    """One that calls all a leak has only false positives, one that denies all no false ones."""
    series = corpus()
    silent = {"slope_bytes_per_s": None, "ci_low": None, "ci_high": None}

    alarming = score(lambda *_: {"verdict": "leak", **silent}, series)
    assuring = score(lambda *_: {"verdict": "no_leak", **silent}, series)

    assert (1.0, 1.0, 0.0) == (alarming.false_positives, alarming.detected, alarming.cleared)
    assert (0.0, 0.0, 1.0) == (assuring.false_positives, assuring.detected, assuring.cleared)
    assert 1.0 == assuring.false_assurance


def test_a_slope_that_is_no_number_is_an_error() -> None:
    """A method that has no slope for most series has an infinite error, not a lucky one."""
    series = corpus()
    nan = float("nan")

    lost = score(
        lambda *_: {"verdict": "leak", "slope_bytes_per_s": nan, "ci_low": None, "ci_high": None},
        series,
    )

    assert float("inf") == lost.slope_error

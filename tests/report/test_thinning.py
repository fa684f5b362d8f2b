"""A long series is drawn with few points, and no peak of it is lost."""

from __future__ import annotations

import numpy as np

from memopt_cli.analysis.findings import judge
from memopt_cli.report.plots import MIB, memory_over_time
from memopt_cli.report.thinning import COLUMNS, thinned
from tests.making import STEADY, recording, sample, scenario, variant


def test_a_short_series_is_drawn_whole() -> None:
    """Up to four points a column nothing is left out."""
    points = [(float(at), 0.0) for at in range(4 * COLUMNS)]
    assert points == thinned(points)


def test_every_extreme_is_kept() -> None:
    """Each column of a day keeps its highest and its lowest point, and no more."""
    day = [(float(at), float(at * 7919 % 997)) for at in range(86_400)]
    kept = thinned(day)
    assert len(kept) <= 2 * COLUMNS + 2
    assert (day[0], day[-1]) == (kept[0], kept[-1])
    assert sorted(kept) == kept
    for column in range(0, COLUMNS, 100):
        within = [
            [value for at, value in series if int(at / day[-1][0] * COLUMNS) == column]
            for series in (day, kept)
        ]
        assert (min(within[0]), max(within[0])) == (min(within[1]), max(within[1]))


def test_one_sample_in_a_day_is_seen() -> None:
    """Memory that was high for one second of three hours is high in the picture."""
    samples = [sample(float(at), stage=STEADY, units=1) for at in range(3 * 3600)]
    samples[5001] = sample(5001.0, stage=STEADY, units=1, resident_anonymous_bytes=99 * MIB)
    recorded = recording(variant(samples))
    figure = memory_over_time(judge(recorded, scenario({})), recorded)
    assert figure is not None
    heights = np.asarray(figure.axes[0].get_lines()[0].get_ydata(), dtype=float)
    assert 99.0 == heights.max()
    assert len(heights) <= 2 * COLUMNS + 2

"""What a figure was measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memopt_cli.profiler import environment
from tests.recorded import tree

if TYPE_CHECKING:
    from pathlib import Path


def test_the_limit_of_a_control_group_is_told(tmp_path: Path) -> None:
    """It is what a leak fills, where it is less than the machine has; none is not told."""
    limited = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1073741824\n"}
    unlimited = {**limited, "sys/fs/cgroup/a/memory.max": "max\n"}

    told = [
        environment.describe(tree(tmp_path / name, changes)).get("memory_limit_bytes")
        for name, changes in (("limited", limited), ("unlimited", unlimited), ("none", {}))
    ]

    assert [2**30, None, None] == told

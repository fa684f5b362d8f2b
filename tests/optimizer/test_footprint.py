"""What this process occupies is what it has written to, and an unreadable file is no zero."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import pytest

from memopt_cli.errors import MeasurementError
from memopt_cli.optimizer.footprint import anonymous_bytes
from memopt_cli.optimizer.memory import reserve

if TYPE_CHECKING:
    from pathlib import Path

SIZE_BYTES = 8 << 20


def test_what_is_written_is_counted_and_what_goes_is_not() -> None:
    """Reserving costs nothing; writing costs the pages; closing gives them back."""
    before = anonymous_bytes()
    memory = reserve(SIZE_BYTES)
    reserved = anonymous_bytes()
    # Page by page: a string of this size might stay with the allocator.
    for at in range(0, SIZE_BYTES, mmap.PAGESIZE):
        memory[at] = 1
    written = anonymous_bytes()
    memory.close()
    slack = 1 << 20
    assert slack > abs(reserved - before)
    assert slack > abs(written - before - SIZE_BYTES)
    assert slack > abs(anonymous_bytes() - before)


@pytest.mark.parametrize("content", [None, "Rss: 12 kB\n"])
def test_a_figure_that_is_not_there_is_no_zero(tmp_path: Path, content: str | None) -> None:
    """Without the file, or without the line, there is no figure."""
    path = tmp_path / "smaps_rollup"
    if content is not None:
        path.write_text(content)
    with pytest.raises(MeasurementError):
        anonymous_bytes(path)

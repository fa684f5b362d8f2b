"""What this process occupies, read by itself, to say what an act of its own gave back."""

from __future__ import annotations

from pathlib import Path

from memopt_cli.errors import MeasurementError

ROLLUP = Path("/proc/self/smaps_rollup")


def anonymous_bytes(path: Path = ROLLUP) -> int:
    """
    Return the memory of this process that no file backs, exact to the page.

    The kernel walks the page tables for it, a millisecond per gigabyte or so: meant for
    before and after an act on many agents, not for every step.

    Raises:
        MeasurementError: The kernel does not say.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as exc:
        raise MeasurementError(
            f"{path} cannot be read: {exc}", hint="It needs Linux 4.14 or later."
        ) from exc
    for line in lines:
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise MeasurementError(f"{path} has no line 'Anonymous'", hint="It needs Linux 4.14 or later.")

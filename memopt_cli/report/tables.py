"""Tables, and text that is no markup, as GitHub-flavoured Markdown has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; what would end a cell, or a line of it, is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_in_cell, line))} |" for line in lines)


def _in_cell(text: str) -> str:
    """Return *text* as it must be written not to end its cell."""
    line = " ".join(text.split("\n")).replace("|", "\\|")
    # Between backticks nothing is markup, and an escape would be shown as it is written.
    return line if line.startswith("`") else line.replace("<", "&lt;")


def code(text: str) -> str:
    """
    Return *text* on one line, as it is: in more backticks than it has in a row.

    >>> code("a  b"), code("a `b`")
    ('`a b`', '`` a `b` ``')
    """
    line = " ".join(text.split())
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {line} {ticks}" if longest else f"{ticks}{line}{ticks}"

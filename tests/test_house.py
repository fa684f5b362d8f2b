"""What the code itself keeps to, where no checker has a rule for it."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CODE = ("noxfile.py", "memopt_cli", "scenarios", "tests")
SILENCED = re.compile(
    r"# ?(?:(?:ruff: ?)?noqa(?:: ?[A-Z0-9, ]+)?"
    r"|(?:type|mypy|pyright): ?ignore(?:\[[^\]]*\])?"
    r"|fmt: ?[a-z]+|pragma: ?no [a-z]+)",
    re.IGNORECASE,
)
REASON = re.compile(r"\s*(?:- |# )\S")


def _comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def unexplained(source: str) -> list[int]:
    """Return the lines in which a checker is silenced, and the comment ends without a reason."""
    if not SILENCED.search(source):
        return []
    found = [(line, text, [*SILENCED.finditer(text)]) for line, text in _comments(source)]
    return [
        line for line, text, marks in found if marks and not REASON.match(text[marks[-1].end() :])
    ]


def test_every_silenced_rule_has_its_reason() -> None:
    """Beside it, after a dash or a second hash; or it is not silenced in that place at all."""
    paths = [path for name in CODE for path in ((ROOT / name), *(ROOT / name).rglob("*.py"))]
    sources = {path: path.read_text("utf-8") for path in paths if path.is_file()}

    assert sum(bool(SILENCED.search(source)) for source in sources.values()) > 1
    assert [] == [
        f"{path.relative_to(ROOT)}:{line}"
        for path, source in sources.items()
        for line in unexplained(source)
    ]


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa: S101 - ours",
        "# noqa: S101, S102 - ours",
        "# ruff: noqa: E501 - they are compared whole",
        "# type: ignore[misc] # ours",
        "# type: ignore[call-arg, misc] # ours",
        "# type: ignore[misc]  # noqa: S101 - ours",
        "# pragma: no cover - no such machine",
        "# whatever is ignored",
    ],
)
def test_a_reason_is_found(comment: str) -> None:
    """After the last of what is silenced; also where nothing is."""
    assert [] == unexplained(f"x = 1  {comment}\n")


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "#noqa:S101",
        "# NOQA: S101",
        "# noqa: S101 ours",
        "# noqa: S101 -",
        "# ruff: noqa: E501",
        "# type: ignore",
        "# type: ignore[misc]",
        "# type: ignore[call-arg, misc] #",
        "# type: ignore[misc] # ours  # noqa: S101",
        "# noqa: S101 - ours  # type: ignore[misc]",
        "# fmt: skip",
        "# pragma: no cover",
    ],
)
def test_a_reason_is_missed(comment: str) -> None:
    """However it is silenced; a text that holds the same words is no comment."""
    assert [2] == unexplained(f"text = {comment!r}\nx = 1  {comment}\n")

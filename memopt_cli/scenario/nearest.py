"""The nearest known word, for hints."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_WORD = 60


def nearest(word: str, known: Iterable[str]) -> str:
    """
    Return a hint that names the known word nearest to *word*, or all of them.

    >>> nearest("treshold", ["thresholds", "variants"])
    "Did you mean 'thresholds'?"
    >>> nearest("colour", ["thresholds", "variants"])
    'Known: thresholds, variants.'
    """
    words = list(known)
    # Matching takes quadratic time, and nobody mistypes a word of a hundred letters.
    close = difflib.get_close_matches(word[:LONGEST_WORD], words, n=1)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(words)}." if words else ""

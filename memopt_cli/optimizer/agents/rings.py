"""
Histories of actions as digits: an action of five takes 2.37 bits.

27 digits of base 5 fit into 64 bits. An entry of a Python list takes 64 bits before anything
it refers to, and compressing each item by itself 536.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from memopt_cli.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memopt_cli.optimizer.agents.model import Ints

WORD_BITS: Final = 64
WORD_BYTES: Final = 8
RAW, DEFLATED = b"\0", b"\1"


def digits_per_word(base: int) -> int:
    """
    Return how many digits of *base* fit into a word.

    >>> digits_per_word(5), digits_per_word(2), digits_per_word(1)
    (27, 64, 64)
    """
    base, digits = max(base, 2), 0
    while base ** (digits + 1) <= 1 << WORD_BITS:
        digits += 1
    return digits


class Digits:
    """How numbers below *base* become words, and words numbers again."""

    __slots__ = ("base", "per_word", "powers")

    def __init__(self, base: int) -> None:
        """
        Raises:
            AgentError: There is nothing to choose from, or more than a word can number.
        """
        import numpy as np

        if not 1 <= base <= 1 << 32:
            raise AgentError(f"a history of {base:,} kinds of action", hint="Use 1 to 2^32.")
        self.base = max(base, 2)
        self.per_word = digits_per_word(base)
        self.powers: NDArray[Any] = np.array(
            [self.base**digit for digit in range(self.per_word)], dtype=np.uint64
        )

    def read(self, words: NDArray[Any]) -> Ints:
        """Return the digits of whole words, the first of each word first."""
        import numpy as np

        digits = words.reshape(-1, 1) // self.powers % np.uint64(self.base)
        found: Ints = digits.ravel().astype(np.intp)
        return found


def ring_words(digits: Digits, length: int) -> int:
    """Return how many words a row of *length* actions has."""
    return -(-length // digits.per_word) + 1 if length else 0


class Rings:
    """
    The latest actions of many agents, a row each.

    A row has one word more than its length needs, so that beginning a word, which forgets the
    oldest, never forgets one of the last *length*.
    """

    __slots__ = ("counts", "digits", "length", "words")

    def __init__(
        self, words: NDArray[Any], counts: NDArray[Any], digits: Digits, length: int
    ) -> None:
        """
        Args:
            words: Zeros, uint64, `ring_words` for each row.
            counts: Zeros, int64, one for each row.
            digits: How actions are packed.
            length: How many actions a row remembers at least.
        """
        self.words, self.counts = words, counts
        self.digits, self.length = digits, length

    def push(self, rows: Ints, actions: Ints) -> None:
        """Append one action to each of *rows*, which differ."""
        import numpy as np

        counts = self.counts[rows]
        if self.length:
            word, digit = np.divmod(counts, self.digits.per_word)
            word %= self.words.shape[1]
            before = np.where(digit == 0, np.uint64(0), self.words[rows, word])
            self.words[rows, word] = before + actions.astype(np.uint64) * self.digits.powers[digit]
        self.counts[rows] = counts + 1

    def replace_latest(self, row: int, before: int, action: int) -> None:
        """Make the latest action of a row, which was *before*, another."""
        count = int(self.counts[row]) - 1
        if count >= 0 and self.length:
            word, digit = divmod(count, self.digits.per_word)
            word %= self.words.shape[1]
            value = int(self.words[row, word]) + (action - before) * self.digits.base**digit
            self.words[row, word] = value

    def read(self, row: int) -> Ints:
        """Return the latest actions of a row, at most *length*, the oldest first."""
        import numpy as np

        count, width = int(self.counts[row]), self.words.shape[1]
        kept = min(count, self.length)
        if not kept:
            return np.zeros(0, dtype=np.intp)
        last = (count - 1) // self.digits.per_word
        first = max(last - width + 1, 0)
        found = self.digits.read(self.words[row, np.arange(first, last + 1) % width])
        end = count - first * self.digits.per_word
        return found[end - kept : end]

    def full(self, rows: Ints) -> Ints:
        """Return which of *rows* the next action would begin to overwrite."""
        counts = self.counts[rows]
        room = self.words.shape[1] * self.digits.per_word
        found: Ints = rows[(counts > 0) & (counts % room == 0)]
        return found


def sealed(content: bytes) -> bytes:
    """Return *content* deflated, if that is smaller, and marked."""
    deflated = zlib.compress(content, 6)
    return DEFLATED + deflated if len(deflated) < len(content) else RAW + content


def opened(block: bytes) -> bytes:
    """Return what `sealed` was given."""
    return zlib.decompress(block[1:]) if block[:1] == DEFLATED else block[1:]


class ActionHistory:
    """
    All actions of one agent, or its latest; words of any kind, numbered as first met.

    The newest are packed in a block of words; a full block is sealed, and deflated only if
    that is smaller. With a limit whole blocks are dropped, the oldest first, and what is left
    of the oldest beyond the limit is not shown.
    """

    __slots__ = (
        "_blocks",
        "_count",
        "_digits",
        "_dropped",
        "_limit",
        "_names",
        "_numbers",
        "_words",
    )

    BLOCK_WORDS: Final = 32

    def __init__(self, verbs: Sequence[Any], *, limit: int | None = None) -> None:
        """
        Args:
            verbs: Every action there is; hashable.
            limit: How many actions are remembered; None for all.

        Raises:
            AgentError: A verb is given twice, or there is none, or the limit is below 1.
        """
        if len(set(verbs)) != len(verbs) or not verbs or (limit is not None and limit < 1):
            raise AgentError(
                f"a history of {len(verbs)} verbs, {len(set(verbs))} different, limit {limit}",
                hint="Give each verb once, and a limit of at least 1 or None.",
            )
        self._names = tuple(verbs)
        self._numbers = {verb: number for number, verb in enumerate(verbs)}
        self._digits = Digits(len(verbs))
        self._limit = limit
        self._blocks: list[bytes] = []
        self._words: list[int] = []
        self._count = self._dropped = 0

    def __len__(self) -> int:
        kept = self._count - self._dropped * self._per_block
        return kept if self._limit is None else min(kept, self._limit)

    @property
    def _per_block(self) -> int:
        return self.BLOCK_WORDS * self._digits.per_word

    @property
    def size_bytes(self) -> int:
        """What the packed actions occupy, without Python's own headers."""
        return sum(map(len, self._blocks)) + WORD_BYTES * len(self._words)

    def append(self, verb: object) -> None:
        """
        Remember one action.

        Raises:
            AgentError: It is none of the verbs.
        """
        number = self._numbers.get(verb)
        if number is None:
            raise AgentError(f"there is no verb {verb!r}", hint="Name every verb beforehand.")
        digit = self._count % self._digits.per_word
        if digit == 0:
            self._seal_if_full()
            self._words.append(0)
        self._words[-1] += number * self._digits.base**digit
        self._count += 1

    def to_list(self) -> list[Any]:
        """Return what is remembered, the oldest first."""
        import numpy as np

        raw = b"".join(map(opened, self._blocks))
        words = np.concatenate(
            (np.frombuffer(raw, np.uint64), np.array(self._words, dtype=np.uint64))
        )
        numbers = self._digits.read(words)[: self._count - self._dropped * self._per_block]
        return [self._names[number] for number in numbers[len(numbers) - len(self) :]]

    def _seal_if_full(self) -> None:
        import numpy as np

        if len(self._words) < self.BLOCK_WORDS:
            return
        self._blocks.append(sealed(np.array(self._words, dtype=np.uint64).tobytes()))
        self._words.clear()
        # The block begun now holds one, so of the sealed ones limit - 1 must be there.
        while (
            self._limit is not None and (len(self._blocks) - 1) * self._per_block >= self._limit - 1
        ):
            del self._blocks[0]
            self._dropped += 1

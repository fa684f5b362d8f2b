"""Random connection states, with everything a state can have."""

from __future__ import annotations

import json

import pytest
from hypothesis import strategies as st

from memopt_cli.optimizer import CapabilityStore, CompactState, Phase

INTS = st.integers() | st.integers(-(2**200), 2**200)
TEXTS = st.text(max_size=40) | st.sampled_from(["half \ud83d of a pair", "long " * 100])
VALUES = TEXTS | INTS | st.floats(allow_nan=False) | st.booleans() | st.none()
TIMES_S = st.floats(allow_nan=False)
DOCUMENTS = st.dictionaries(st.text(max_size=8), st.lists(st.integers(), max_size=4), max_size=5)
PAYLOADS = st.lists(
    st.tuples(st.binary(max_size=80) | st.just(b"ping" * 50), st.booleans()), max_size=6
)


@st.composite
def draw_state(draw: st.DrawFn) -> CompactState:
    """Draw a state whose fields are each there or not."""
    fields = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "phase": st.sampled_from(Phase),
                "number": INTS,
                "opened_at_s": TIMES_S,
                "last_seen_s": TIMES_S,
                "received": INTS,
                "received_bytes": INTS,
                "checksum": INTS,
                "metadata": st.dictionaries(TEXTS, VALUES, max_size=6),
                "pending": st.lists(INTS | TEXTS, max_size=6, unique=True),
            },
        )
    )
    state = CompactState(**fields)
    for payload, compression in draw(PAYLOADS):
        state.retain(payload, window=4, compression=compression)
    if draw(st.booleans()):
        state.update(capabilities=CapabilityStore().acquire(json.dumps(draw(DOCUMENTS)).encode()))
    return state


@pytest.fixture(scope="session")
def states() -> st.SearchStrategy[CompactState]:
    """Return the strategy for random states."""
    return draw_state()

"""What an agent knows comes back as it was said, and every byte of it is counted."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memopt_cli.errors import AgentError
from memopt_cli.optimizer.agents import KnowledgeGraph, deep_bytes

if TYPE_CHECKING:
    from collections.abc import Callable


def test_relations_are_found_as_they_were_said() -> None:
    """By thing, and by thing and kind; a thing may be related to itself."""
    graph = KnowledgeGraph()
    for name in ("cup", "table", "Küche"):
        graph.add(name)
    graph.relate("cup", "on", "table")
    graph.relate("cup", "in", "Küche")
    graph.relate("cup", "on", "cup")
    assert [("on", "table"), ("in", "Küche"), ("on", "cup")] == graph.relations("cup")
    assert ["table", "cup"] == graph.targets("cup", "on")
    assert ([], []) == (graph.targets("cup", "under"), graph.relations("table"))
    assert ["cup", "table", "Küche"] == list(graph)
    assert (3, 3, True, False) == (len(graph), graph.edges, "cup" in graph, "cu" in graph)


def test_duplicates_and_what_is_missing_are_refused() -> None:
    """A thing twice, a relation twice, and relations from, to and of what is not there."""
    graph = KnowledgeGraph()
    graph.add("a")
    graph.add("b")
    graph.relate("a", "to", "b")
    before = graph.size_bytes, list(graph), graph.relations("a"), graph.edges
    deeds: list[Callable[[], object]] = [
        lambda: graph.add("a"),
        lambda: graph.relate("a", "to", "b"),
        lambda: graph.relate("a", "new", "c"),
        lambda: graph.relate("c", "to", "a"),
        lambda: graph.relations("c"),
        lambda: graph.targets("c", "to"),
    ]
    for deed in deeds:
        with pytest.raises(AgentError):
            deed()
    assert before == (graph.size_bytes, list(graph), graph.relations("a"), graph.edges)
    graph.relate("b", "to", "a")
    graph.relate("a", "from", "b")


@given(
    st.lists(
        st.tuples(st.text(max_size=3), st.sampled_from(["p", "q", ""]), st.text(max_size=3)),
        max_size=60,
    )
)
def test_it_knows_what_a_dict_would(facts: list[tuple[str, str, str]]) -> None:
    """Any names, empty and of any script; any order."""
    graph, plain = KnowledgeGraph(), dict[str, list[tuple[str, str]]]()
    for source, kind, target in facts:
        for name in (source, target):
            if name not in plain:
                plain[name] = []
                graph.add(name)
        if (kind, target) not in plain[source]:
            plain[source].append((kind, target))
            graph.relate(source, kind, target)
    assert list(plain) == list(graph)
    assert plain == {name: graph.relations(name) for name in graph}


def test_all_of_it_is_counted_and_it_is_a_quarter_of_a_dict() -> None:
    """The figure is what its arrays occupy, index included, within a hundredth."""
    source = random.Random(1)
    graph, plain = KnowledgeGraph(), dict[str, list[tuple[str, str]]]()
    names = [f"thing-{number}" for number in range(3000)]
    for name in names:
        graph.add(name)
        plain[name] = []
    for name in names:
        for target in source.sample(names, 3):
            graph.relate(name, "knows", target)
            plain[name].append(("knows", target))
    assert abs(deep_bytes(graph) / graph.size_bytes - 1) < 0.01
    assert 4 * graph.size_bytes < deep_bytes(plain)

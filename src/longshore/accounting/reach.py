"""What is reached from where, among the manifests of one repository.

As in collection (``gc.store.mark``): from an index to its children, and from a subject to what refers
to it. Manifests are their row ids. Only what has an edge is held in memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Graph:
    """``below`` are the edges, ``manifests`` all nodes, ``tags`` their names by node."""

    manifests: frozenset[int]
    below: Mapping[int, Sequence[int]]
    tags: Mapping[int, Sequence[str]]

    def reach(self, roots: Iterable[int]) -> set[int]:
        """Everything that is reached from ``roots``, with them."""
        found = set(roots)
        waiting = [root for root in found if root in self.below]
        while waiting:
            for node in self.below[waiting.pop()]:
                if node not in found:
                    found.add(node)
                    if node in self.below:
                        waiting.append(node)
        return found


@dataclass(frozen=True, slots=True)
class Claims:
    """Which targets reach a manifest, and which one it would go with (none of them: no entry).
    Targets are numbers from 0 to ``count``."""

    count: int
    members: Mapping[int, Sequence[int]]
    owners: Mapping[int, int]


def claims_of_tags(graph: Graph, names: Sequence[str]) -> Claims:
    """A target for each of ``names``, in their order, and a last one for everything that no tag
    reaches."""
    numbers = {name: number for number, name in enumerate(names)}
    members: dict[int, list[int]] = {}
    roots: dict[int, int] = {}  # by which root a manifest is reached; -1: by several
    for root, found in graph.tags.items():
        targets = [numbers[name] for name in found]
        for node in graph.reach([root]):
            members.setdefault(node, []).extend(targets)
            roots[node] = root if roots.get(node, root) == root else -1
    owners = {
        node: numbers[graph.tags[root][0]]
        for node, root in roots.items()
        if root >= 0 and len(graph.tags[root]) == 1
    }
    untagged = graph.manifests - roots.keys()
    for node in graph.reach(untagged):
        members.setdefault(node, []).append(len(names))
        if node in untagged:
            owners[node] = len(names)
        else:
            owners.pop(node, None)
    return Claims(len(names) + 1, members, owners)


def claims_of_one(graph: Graph, root: int, tag: str | None) -> Claims:
    """One target: the tag on the manifest ``root``, or the manifest with every tag on it (None).

    Whatever no tag reaches counts as wanted by somebody, unless it is part of the target.
    """
    mine = graph.reach([root])
    others = {node for node, names in graph.tags.items() if node != root}
    if tag is not None and len(graph.tags[root]) > 1:
        others.add(root)
    loose = graph.manifests - graph.reach([*graph.tags, root])
    kept = graph.reach(others | loose)
    return Claims(1, dict.fromkeys(mine, (0,)), dict.fromkeys(mine - kept, 0))

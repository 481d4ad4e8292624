"""The tree of nodes, as a persistent data structure.

Nothing that a snapshot can see is ever changed: a change makes new nodes along the path up to a new
root, so that a snapshot is a root, at no cost. Lists of children that were copied since the last
snapshot are changed in place, or every write would copy that of /local/domain; long ones lie in
parts, of which only those that change are copied. No walk here is recursive: a guest decides how
deep the tree is (XSA-418).
"""

import gc
from collections.abc import Iterator, Mapping, MutableMapping
from typing import NamedTuple

from pvdrivers.xenstore import paths
from pvdrivers.xenstore.permissions import Permissions

PERMISSION_SIZE = 8  # bytes an entry counts, as in the C server's database
LONG = 128  # children whose list lies in parts
PARTS = 64
# Thresholds of the garbage collector's three generations: new objects before a collection of the
# youngest, and collections of one generation before one of the next.
GC_THRESHOLDS = (2_000, 20, 100)


def tune_gc_for_large_tree() -> None:
    """Has the garbage collector run less often, in a process that mainly serves a store.

    The tree of a thousand guests has more than a million objects and no cycles. One full collection
    takes half a second, in which no client is served.
    """
    gc.set_threshold(*GC_THRESHOLDS)


class Node(NamedTuple):
    """One node. `generation` changes with the value, the permissions and the list of children."""

    value: bytes
    permissions: Permissions
    children: "Mapping[str, Node]"
    generation: int

    @property
    def size(self) -> int:
        """Bytes charged to the owner's memory."""
        return len(self.value) + PERMISSION_SIZE * len(self.permissions.entries)

    @property
    def quota_size(self) -> int:
        """Bytes as the node-size quota counts them."""
        return self.size + sum(map(len, self.children)) + len(self.children)


class Children(dict[str, Node]):
    """Children whose list belongs to the tree with this `edit` alone."""

    __slots__ = ("edit",)

    def __init__(self, children: Mapping[str, Node], edit: object) -> None:
        super().__init__(children)
        self.edit = edit


class LongChildren(MutableMapping[str, Node]):
    """The same for many children: a copy shares all parts until one is changed.

    They are listed by name: the parts are chosen by hashes, which every process has its own of.
    """

    __slots__ = ("_own", "_parts", "edit")

    def __init__(self, children: Mapping[str, Node], edit: object) -> None:
        self.edit = edit
        self._parts: list[dict[str, Node]]
        if isinstance(children, LongChildren):
            self._parts = list(children._parts)
            self._own = [False] * PARTS
            return
        self._parts = [{} for _ in range(PARTS)]
        self._own = [True] * PARTS
        for name, node in children.items():
            self._parts[hash(name) % PARTS][name] = node

    def __getitem__(self, name: str) -> Node:
        return self._parts[hash(name) % PARTS][name]

    def __setitem__(self, name: str, node: Node) -> None:
        self._changing(name)[name] = node

    def __delitem__(self, name: str) -> None:
        del self._changing(name)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(name for part in self._parts for name in part))

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def _changing(self, name: str) -> dict[str, Node]:
        index = hash(name) % PARTS
        if not self._own[index]:
            self._parts[index] = dict(self._parts[index])
            self._own[index] = True
        return self._parts[index]


class Tree:
    """A root, and how to look and change below it."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self._edit = object()

    def snapshot(self) -> Node:
        """The root; what is below it will not change any more."""
        self._edit = object()
        return self.root

    def get(self, path: str) -> Node | None:
        node = self.root
        try:
            for name in paths.names(path):
                node = node.children[name]
        except KeyError:
            return None
        return node

    def put(self, path: str, node: Node) -> None:
        """Sets or adds the node; its parent exists."""
        self._replace(path, node, node.generation)

    def remove(self, path: str, generation: int) -> None:
        """Takes the node out with all below it; it exists and is not the root."""
        self._replace(path, None, generation)

    def _replace(self, path: str, node: Node | None, generation: int) -> None:
        names = paths.names(path)
        if not names:
            assert node is not None
            self.root = node
            return
        spine = [self.root]
        for name in names[:-1]:
            spine.append(spine[-1].children[name])
        above = spine.pop()
        children = self._own(above)
        listing_changes = node is None or names[-1] not in children
        if node is None:
            del children[names[-1]]
        else:
            children[names[-1]] = node
        generation = generation if listing_changes else above.generation
        if children is above.children and generation == above.generation:
            return
        below = Node(above.value, above.permissions, children, generation)
        for name in reversed(names[:-1]):
            above = spine.pop()
            children = self._own(above)
            children[name] = below
            if children is above.children:
                return
            below = Node(above.value, above.permissions, children, above.generation)
        self.root = below

    def _own(self, node: Node) -> Children | LongChildren:
        """The node's children in a list that may be changed."""
        children = node.children
        if isinstance(children, Children | LongChildren) and children.edit is self._edit:
            return children
        if isinstance(children, LongChildren) or len(children) > LONG:
            return LongChildren(children, self._edit)
        return Children(children, self._edit)


def subtree(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    """The node and everything below it, parents before their children."""
    waiting = [(path, node)]
    while waiting:
        path, node = waiting.pop()
        yield path, node
        waiting.extend((paths.child(path, name), below) for name, below in node.children.items())

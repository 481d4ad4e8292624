"""The tree of nodes, as a persistent data structure.

A node is never changed: a change makes new nodes along the path up to a new root. Keeping a root
therefore is a snapshot of everything, at no cost. No walk here is recursive: a guest decides how
deep the tree is (XSA-418).
"""

from collections.abc import Iterator
from typing import NamedTuple

from pvdrivers.xenstore import paths
from pvdrivers.xenstore.permissions import Permissions

PERMISSION_SIZE = 8  # bytes an entry counts, as in the C server's database


class Node(NamedTuple):
    """One node. `generation` changes with the value, the permissions and the list of children."""

    value: bytes
    permissions: Permissions
    children: "dict[str, Node]"
    generation: int

    @property
    def size(self) -> int:
        """Bytes charged to the owner's memory."""
        return len(self.value) + PERMISSION_SIZE * len(self.permissions.entries)

    @property
    def quota_size(self) -> int:
        """Bytes as the node-size quota counts them."""
        return self.size + sum(map(len, self.children)) + len(self.children)


class Tree:
    """A root, and how to look and change below it."""

    def __init__(self, root: Node) -> None:
        self.root = root

    def get(self, path: str) -> Node | None:
        node: Node | None = self.root
        for name in paths.names(path):
            if node is None:
                return None
            node = node.children.get(name)
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
        parent = spine.pop()
        children = dict(parent.children)
        listing_changes = node is None or names[-1] not in children
        if node is None:
            del children[names[-1]]
        else:
            children[names[-1]] = node
        generation = generation if listing_changes else parent.generation
        below = Node(parent.value, parent.permissions, children, generation)
        for ancestor, name in zip(reversed(spine), reversed(names[:-1]), strict=True):
            children = dict(ancestor.children)
            children[name] = below
            below = Node(ancestor.value, ancestor.permissions, children, ancestor.generation)
        self.root = below


def subtree(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    """The node and everything below it, parents before their children."""
    waiting = [(path, node)]
    while waiting:
        path, node = waiting.pop()
        yield path, node
        waiting.extend((paths.child(path, name), below) for name, below in node.children.items())

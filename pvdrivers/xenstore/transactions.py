"""How requests see the tree: directly, or through a transaction's snapshot."""

from collections.abc import Callable

from pvdrivers.xenstore.domains import NodeCounts, StoreDomain
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.tree import Node, Tree
from pvdrivers.xenstore.watches import Change


class View:
    """The tree itself: all clients see what is changed here."""

    def __init__(self, tree: Tree, counts: NodeCounts, fire: Callable[[Change], None]) -> None:
        self.tree = tree
        self.counts = counts
        self._fire = fire

    def peek(self, path: str) -> Node | None:
        """The node; a transaction does not come to depend on it."""
        return self.tree.get(path)

    def touch(self, *touched: str) -> None:
        """Notes that a request depends on these nodes. XenstoreError ENOSPC: too many."""

    def put(self, path: str, old: Node, node: Node) -> None:
        """Sets a node, touched before, in the place of `old`."""
        self.counts.replace(old, node)
        self.tree.put(path, node)

    def add(self, chain: list[tuple[str, Node]]) -> None:
        """Adds new nodes, each the next one's parent, touched before, in one step."""
        path, node = chain[-1]
        for (above_path, above), (below_path, _) in zip(chain[-2::-1], chain[::-1], strict=False):
            name = below_path[len(above_path) + 1 :]
            path, node = above_path, above._replace(children={name: node})
        self.tree.put(path, node)
        for _, node in chain:
            self.counts.add(node)

    def remove(self, path: str, nodes: list[tuple[str, Node]], generation: int) -> None:
        """Takes out a node and the ones below it; `nodes` are all of them, touched before."""
        for _, node in nodes:
            self.counts.replace(node, None)
        self.tree.remove(path, generation)

    def changed(self, changes: list[Change]) -> None:
        for change in changes:
            self._fire(change)

    def nodes_of(self, domid: int) -> int:
        """How many nodes the domain owns as seen from here."""
        return self.counts.nodes.get(domid, 0)


class StoreTransaction(View):
    """A snapshot with changes of its own, until it is committed or dropped.

    It conflicts when a node that it read or wrote has changed in the tree since: then none of its
    changes is made and the client gets EAGAIN.
    """

    def __init__(self, view: View, domain: StoreDomain) -> None:
        root = view.tree.snapshot()
        super().__init__(Tree(root), NodeCounts(), view._fire)
        self._view = view
        self._base = Tree(root)
        self._domain = domain
        self._touched: dict[str, None] = {}
        self._written: dict[str, None] = {}
        self._changes: dict[tuple[str, bool], Change] = {}
        self.bytes = 0

    def touch(self, *touched: str) -> None:
        new = [path for path in touched if path not in self._touched]
        if not new:
            return
        if self._domain.exceeds("transaction-nodes", len(self._touched) + len(new)):
            raise XenstoreError("ENOSPC", "nodes in transaction")
        self._touched.update(dict.fromkeys(new))
        self._charge(sum(map(len, new)))

    def put(self, path: str, old: Node, node: Node) -> None:
        super().put(path, old, node)
        self._written[path] = None
        self._charge(node.size)

    def add(self, chain: list[tuple[str, Node]]) -> None:
        super().add(chain)
        self._written.update(dict.fromkeys(path for path, _ in chain))
        self._charge(sum(node.size for _, node in chain))

    def remove(self, path: str, nodes: list[tuple[str, Node]], generation: int) -> None:
        super().remove(path, nodes, generation)
        self._written.update(dict.fromkeys(removed for removed, _ in nodes))

    def changed(self, changes: list[Change]) -> None:
        for change in changes:
            key = change.path, change.exact
            before = self._changes.pop(key, None)
            known = before.readable_by if before else ()
            new = tuple(given for given in change.readable_by if given not in known)
            self._changes[key] = change._replace(readable_by=known + new)

    def nodes_of(self, domid: int) -> int:
        return self._view.nodes_of(domid) + self.counts.nodes.get(domid, 0)

    def _charge(self, size: int) -> None:
        self.bytes += size
        self._domain.usage.transaction_bytes += size

    @property
    def writes(self) -> int:
        """Nodes the transaction changed."""
        return len(self._written)

    def drop(self) -> None:
        """Gives back what the transaction was charged for; it is over."""
        self._domain.usage.transaction_bytes -= self.bytes
        self._domain.usage.transactions -= 1
        self.bytes = 0

    def conflicts(self) -> bool:
        """Whether anything it depends on has changed."""
        tree = self._view.tree
        if tree.root is self._base.root:
            return False
        return any(
            _generation(tree.get(path)) != _generation(self._base.get(path))
            for path in self._touched
        )

    def commit(self, generation: int) -> None:
        """Makes its changes in the tree; the caller has seen that it does not conflict."""
        tree = self._view.tree
        if tree.root is self._base.root:
            tree.root = self.tree.root
        else:
            self._replay(tree, generation)
        for domid in self.counts.owners():
            nodes, size = self._view.counts.nodes, self._view.counts.bytes
            nodes[domid] = nodes.get(domid, 0) + self.counts.nodes[domid]
            size[domid] = size.get(domid, 0) + self.counts.bytes[domid]
        self._view.changed(list(self._changes.values()))

    def _replay(self, tree: Tree, generation: int) -> None:
        """Sets each written node in the tree, keeping what others changed below it."""
        for path in sorted(self._written, key=lambda written: written.count("/")):
            node, present = self.tree.get(path), tree.get(path)
            if node is present:
                continue  # absent in both, or came with a node above it
            if node is None:
                tree.remove(path, generation)
            elif present is None:
                tree.put(path, node)  # with all below it, which is this transaction's as well
            else:
                tree.put(path, node._replace(children=present.children, generation=generation))


def _generation(node: Node | None) -> int | None:
    return None if node is None else node.generation

"""What each request about nodes, watches and transactions does, and when it is refused."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvdrivers.xenstore import paths
from pvdrivers.xenstore.connection import Connection
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.permissions import Access, Permission, Permissions, parse_entries
from pvdrivers.xenstore.transactions import StoreTransaction, View
from pvdrivers.xenstore.tree import Node, subtree
from pvdrivers.xenstore.watches import Change, StoreWatch
from pvdrivers.xenstore.wire import PAYLOAD_MAX, REL_PATH_MAX, Message, joined, strings

if TYPE_CHECKING:
    from pvdrivers.xenstore.domains import StoreDomain
    from pvdrivers.xenstore.store import XenStore

OK = b"OK\0"


@dataclass(slots=True)
class Request:
    """A request being served; `view` is the tree or the transaction that it names."""

    store: "XenStore"
    connection: Connection
    message: Message
    view: View
    writes: int = 0  # changes it made, for the write rate

    @property
    def domain(self) -> "StoreDomain":
        return self.connection.domain

    def arguments(self, least: int, most: int | None = None) -> list[bytes]:
        """The payload's strings. XenstoreError EINVAL unless there are as many as wanted."""
        found = strings(self.message.payload)
        if len(found) < least or (most is not None and len(found) > most):
            raise XenstoreError("EINVAL", "number of arguments")
        return found

    def path(self, argument: bytes) -> str:
        """The absolute path an argument names."""
        domain = self.connection.domain
        path = paths.absolute(argument, domain.domid)
        if not domain.privileged and domain.exceeds("path-length", paths.counted_length(path)):
            raise XenstoreError("EINVAL", "path too long")
        return path

    def access(self, permissions: Permissions) -> Access:
        return self.store.rights.access(self.domain, permissions)

    def node(self, path: str, wanted: int) -> Node:
        """The node, if this client has the access `wanted` to it. XenstoreError ENOENT, EACCES."""
        node = self.find(path, wanted)
        if node is None:
            raise XenstoreError("ENOENT", path)
        return node

    def find(self, path: str, wanted: int) -> Node | None:
        """The node, if this client has the access `wanted` to it; None when there is none.

        That is only told to those who may use what is above the missing node in the same way;
        others get EACCES and learn nothing.
        """
        self.view.touch(path)
        node = self.view.peek(path)
        if self.connection.domain.privileged:
            return node
        if node is not None:
            allowed = self.access(node.permissions) & wanted == wanted
        else:
            nearest = nearest_existing(self.view, path)[0]
            allowed = self.access(nearest.permissions) & wanted != 0
        if not allowed:
            raise XenstoreError("EACCES", path)
        return node


def nearest_existing(view: View, path: str) -> tuple[Node, int]:
    """The node or its nearest ancestor that exists, and how many levels that is above `path`."""
    node, names = view.tree.root, paths.names(path)
    for depth, name in enumerate(names):
        below = node.children.get(name)
        if below is None:
            return node, len(names) - depth
        node = below
    return node, 0


def read(request: Request) -> bytes:
    (argument,) = request.arguments(1, 1)
    return request.node(request.path(argument), Access.READ).value


def directory(request: Request) -> bytes:
    (argument,) = request.arguments(1, 1)
    node = request.node(request.path(argument), Access.READ)
    return joined(*(name.encode() for name in node.children))


def directory_part(request: Request) -> bytes:
    """As many whole names as fit, from a byte offset on; an empty name ends the last part."""
    argument, offset_text = request.arguments(2, 2)
    offset = number(offset_text)
    node = request.node(request.path(argument), Access.READ)
    generation = b"%d\0" % node.generation
    listing = joined(*(name.encode() for name in node.children))
    if offset > len(listing):
        raise XenstoreError("EINVAL", "offset")
    room = PAYLOAD_MAX - len(generation)
    if len(listing) - offset < room:
        return generation + listing[offset:] + b"\0"
    end = listing.rfind(b"\0", offset, offset + room) + 1
    return generation + listing[offset:end]


def write(request: Request) -> bytes:
    argument, nul, value = request.message.payload.partition(b"\0")
    if not nul:
        raise XenstoreError("EINVAL", "number of arguments")
    path = request.path(argument)
    node = request.find(path, Access.WRITE)
    if node is None:
        return create(request, path, value)
    return change(request, path, node, node._replace(value=value))


def mkdir(request: Request) -> bytes:
    (argument,) = request.arguments(1, 1)
    path = request.path(argument)
    if request.find(path, Access.WRITE) is None:
        return create(request, path, b"")
    return OK


def change(request: Request, path: str, old: Node, new: Node) -> bytes:
    """Replaces an existing node's value or permissions."""
    new = new._replace(generation=request.store.next_generation())
    check_size(request, new)
    request.store.check_memory(request.domain, new.size - old.size)
    request.view.touch(path)
    above = request.view.peek(paths.parent(path))
    assert above is not None
    request.view.put(path, old, new)
    request.writes = 1
    readable_by = (new.permissions, old.permissions, above.permissions)
    request.view.changed([Change(path, False, readable_by)])
    return OK


def create(request: Request, path: str, value: bytes) -> bytes:
    """Creates a node and its missing parents, all of them or none (XSA-414, XSA-415)."""
    view, domain = request.view, request.domain
    existing, levels = nearest_existing(view, path)
    *missing, top = paths.ancestors(path)[: levels + 1]
    missing.reverse()
    generation = request.store.next_generation()
    permissions = inherited(request, existing.permissions, generation)
    created = [Node(b"", permissions, {}, generation) for _ in missing]
    created[-1] = Node(value, permissions, {}, generation)
    if not domain.privileged:
        owner_nodes = view.nodes_of(permissions.owner) + len(missing)
        if domain.exceeds("nodes", owner_nodes):
            raise XenstoreError("ENOSPC", "nodes")
        first = missing[0].rpartition("/")[2]
        check_size(request, existing._replace(children={**existing.children, first: existing}))
        check_size(request, created[-1])
        request.store.check_memory(domain, sum(node.size for node in created))
    view.touch(top, *missing)
    view.add(list(zip(missing, created, strict=True)))
    request.writes = len(missing)
    readable_by = (permissions, existing.permissions)
    view.changed([Change(missing[-1], False, readable_by)])
    return OK


def inherited(request: Request, above: Permissions, generation: int) -> Permissions:
    """A new node's permissions: its parent's, void entries left out, owned by its creator.

    What dom0 creates keeps the parent's owner.
    """
    owner, *_ = above.entries
    if not request.domain.privileged:
        owner = Permission(owner.access, request.domain.domid)
    rights = request.store.rights
    named = (entry for entry in above.named if rights.entry_valid(entry, above.given_at))
    return Permissions((owner, *named), generation)


def check_size(request: Request, node: Node) -> None:
    # Adding up the names of children takes time that only those under quota should cost.
    if not request.domain.privileged and request.domain.exceeds("node-size", node.quota_size):
        raise XenstoreError("ENOSPC", "node size")


def remove(request: Request) -> bytes:
    (argument,) = request.arguments(1, 1)
    path = request.path(argument)
    node = request.find(path, Access.WRITE)
    if node is None:
        if request.view.peek(paths.parent(path)) is not None:
            return OK
        raise XenstoreError("ENOENT", path)
    if path == "/":
        raise XenstoreError("EINVAL", path)
    nodes = list(subtree(path, node))
    above_path = paths.parent(path)
    request.view.touch(above_path, *(removed for removed, _ in nodes))
    request.writes = len(nodes)
    remove_nodes(request.view, path, nodes, request.store.next_generation())
    return OK


def remove_nodes(view: View, path: str, nodes: list[tuple[str, Node]], generation: int) -> None:
    """Takes out a node and all below it (`nodes`, the node first) and tells who watches them."""
    above_path = paths.parent(path)
    above = view.peek(above_path)
    assert above is not None
    readable_by = {path: (nodes[0][1].permissions, above.permissions)}
    known = dict(nodes)
    for removed, node in nodes[1:]:
        readable_by[removed] = (node.permissions, known[paths.parent(removed)].permissions)
    view.remove(path, nodes, generation)
    view.changed([Change(removed, removed != path, by) for removed, by in readable_by.items()])


def get_permissions(request: Request) -> bytes:
    (argument,) = request.arguments(1, 1)
    if argument.startswith(b"@"):
        return request.store.rights.special_permissions(argument.decode("latin-1")).payload()
    return request.node(request.path(argument), Access.READ).permissions.payload()


def set_permissions(request: Request) -> bytes:
    argument, *texts = request.arguments(2)
    entries = parse_entries(texts)
    if request.domain.exceeds("permissions", len(entries)):
        raise XenstoreError("ENOSPC", "permissions")
    request.store.ensure_known(request.domain, entries)
    permissions = Permissions(entries, request.store.next_generation())
    if argument.startswith(b"@"):
        request.store.rights.set_special_permissions(
            request.domain, argument.decode("latin-1"), permissions
        )
        return OK
    path = request.path(argument)
    node = request.node(path, Access.WRITE | Access.OWNER)
    if not request.domain.privileged and permissions.owner != node.permissions.owner:
        raise XenstoreError("EPERM", "owner")
    return change(request, path, node, node._replace(permissions=permissions))


def watched_path(request: Request, argument: bytes) -> str:
    if not argument.startswith(b"@"):
        return request.path(argument)
    if len(argument) > REL_PATH_MAX:
        raise XenstoreError("EINVAL", "path too long")
    return argument.decode("latin-1")


def watch(request: Request) -> bytes:
    argument, token, *more = request.arguments(2, 3)
    depth = number(more[0]) if more and more[0] else None
    path = watched_path(request, argument)
    connection, domain = request.connection, request.domain
    if (path, token) in connection.watches:
        raise XenstoreError("EEXIST", path)
    if domain.exceeds("watches", domain.usage.watches + 1):
        raise XenstoreError("ENOSPC", "watches")
    new = StoreWatch(connection, argument.decode("latin-1"), path, token, depth)
    request.store.check_memory(domain, new.size)
    connection.add_watch(new)
    request.store.after_reply(new)
    return OK


def unwatch(request: Request) -> bytes:
    argument, token, *_ = request.arguments(2, 3)
    found = request.connection.watches.get((watched_path(request, argument), token))
    if found is None:
        raise XenstoreError("ENOENT", "watch")
    request.connection.remove_watch(found)
    return OK


def reset_watches(request: Request) -> bytes:
    request.connection.reset()
    return OK


def transaction_start(request: Request) -> bytes:
    if request.message.tx_id:
        raise XenstoreError("EBUSY", "transaction in transaction")
    domain = request.domain
    if domain.exceeds("transactions", domain.usage.transactions + 1):
        raise XenstoreError("ENOSPC", "transactions")
    transaction = StoreTransaction(request.store.view, domain)
    return b"%d\0" % request.connection.add_transaction(transaction)


def transaction_end(request: Request) -> bytes:
    transaction = request.connection.transactions.get(request.message.tx_id)
    if transaction is None:
        raise XenstoreError("ENOENT", "transaction")
    if request.message.payload not in (b"T\0", b"F\0"):
        raise XenstoreError("EINVAL", "neither T nor F")
    del request.connection.transactions[request.message.tx_id]
    transaction.drop()
    if request.message.payload == b"F\0":
        return OK
    if transaction.conflicts():
        raise XenstoreError("EAGAIN", "conflict")
    request.store.check_commit(request.domain, transaction)
    request.writes = transaction.writes
    transaction.commit(request.store.next_generation())
    return OK


def number(text: bytes, most: int = 0xFFFFFFFF) -> int:
    """A decimal number of a request. XenstoreError EINVAL when it is none or too large."""
    if not text.isdigit() or len(text) > 10 or int(text) > most:
        raise XenstoreError("EINVAL", f"number {text[:20]!r}")
    return int(text)

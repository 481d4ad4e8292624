"""The store: a sans-IO xenstore server.

    store = XenStore()
    connection = store.connect(domid)
    connection.receive(bytes_from_the_client)
    store.run()
    bytes_for_the_client = connection.data_to_send()

`run` does all the work, one request per connection and round, so that no client can hold up the
others (XSA-206). A request that meets a defect of the store is answered EIO; if even that fails,
its connection ends and the others go on. Without a clock nothing depends on time.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from pvdrivers.xenstore import domain_requests, requests
from pvdrivers.xenstore.connection import Connection
from pvdrivers.xenstore.domains import DOMID_FIRST_RESERVED, NodeCounts, StoreDomain
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.permissions import Permission, Permissions
from pvdrivers.xenstore.quotas import Quotas
from pvdrivers.xenstore.requests import Request
from pvdrivers.xenstore.rights import DOM0_ONLY, INTRODUCE_DOMAIN, RELEASE_DOMAIN, Rights
from pvdrivers.xenstore.transactions import StoreTransaction, View
from pvdrivers.xenstore.tree import Node, Tree, subtree
from pvdrivers.xenstore.watches import Change, StoreWatch, WatchTable
from pvdrivers.xenstore.wire import PAYLOAD_MAX, Message, joined
from pvdrivers.xenstore.wire import MessageType as M
from pvdrivers.xenstore.write_limit import WriteRateLimit

log = logging.getLogger(__name__)

# Server features (xenstore-ring.txt).
FEATURE_RECONNECTION = 1
FEATURE_ERROR = 2
FEATURE_WATCH_DEPTH = 4
FEATURE_DOMID_ANY = 8
FEATURES = FEATURE_RECONNECTION | FEATURE_ERROR | FEATURE_WATCH_DEPTH | FEATURE_DOMID_ANY

HANDLERS: Mapping[int, Callable[[Request], bytes]] = {
    M.CONTROL: domain_requests.control,
    M.DIRECTORY: requests.directory,
    M.READ: requests.read,
    M.GET_PERMS: requests.get_permissions,
    M.WATCH: requests.watch,
    M.UNWATCH: requests.unwatch,
    M.TRANSACTION_START: requests.transaction_start,
    M.TRANSACTION_END: requests.transaction_end,
    M.INTRODUCE: domain_requests.introduce,
    M.RELEASE: domain_requests.release,
    M.GET_DOMAIN_PATH: domain_requests.get_domain_path,
    M.WRITE: requests.write,
    M.MKDIR: requests.mkdir,
    M.RM: requests.remove,
    M.SET_PERMS: requests.set_permissions,
    M.IS_DOMAIN_INTRODUCED: domain_requests.is_domain_introduced,
    M.RESUME: domain_requests.resume,
    M.SET_TARGET: domain_requests.set_target,
    M.RESET_WATCHES: requests.reset_watches,
    M.DIRECTORY_PART: requests.directory_part,
    M.GET_FEATURE: domain_requests.get_feature,
    M.SET_FEATURE: domain_requests.set_feature,
    M.GET_QUOTA: domain_requests.get_quota,
    M.SET_QUOTA: domain_requests.set_quota,
}
# Requests that act inside the transaction they name; the others ignore its id.
TRANSACTIONAL = frozenset(
    {M.DIRECTORY, M.READ, M.GET_PERMS, M.WRITE, M.MKDIR, M.RM, M.SET_PERMS, M.DIRECTORY_PART}
)


class XenStore:
    """A xenstore and its connections.

    `exists` tells whether a domain exists at the hypervisor; without it, every domid that is
    mentioned does. `clock` gives seconds and turns on the write rate limit. `on_ready` is called
    when there is work for `run`; `on_introduce(domid, gfn, port)` when dom0 introduces a domain
    (XenstoreError refuses it) and `on_release(domid)` when one is released.
    """

    def __init__(
        self,
        *,
        quotas: Quotas | None = None,
        exists: Callable[[int], bool] | None = None,
        clock: Callable[[], float] | None = None,
        features: int = FEATURES,
    ) -> None:
        self.quotas = quotas or Quotas()
        self.features = features
        self.domains: dict[int, StoreDomain] = {}
        self.watches = WatchTable()
        self.connections: dict[Connection, None] = {}
        self.on_ready: Callable[[], None] | None = None
        self.on_introduce: Callable[[int, int, int], None] | None = None
        self.on_release: Callable[[int], None] | None = None
        self._exists = exists
        self._write_limit = WriteRateLimit(clock) if clock else None
        self._generation = 0
        self._queue: deque[Connection] = deque()
        self._running = False
        self._after_reply: StoreWatch | None = None
        self._defects: set[object] = set()  # logged
        self.rights = Rights(self.domains)
        counts = NodeCounts()
        tree = Tree(Node(b"", DOM0_ONLY, {}, 0))
        counts.add(tree.root)
        self.view = View(tree, counts, self._fire)
        self.domain(0).introduced = True

    def __str__(self) -> str:
        return (
            f"xenstore: {sum(self.view.counts.nodes.values())} nodes, {len(self.domains)} domains, "
            f"{len(self.connections)} connections, {len(self.watches)} watches"
        )

    # Connections, served in rounds.

    def connect(self, domid: int = 0) -> Connection:
        """A new connection for a domain. XenstoreError ENOENT when the domain does not exist."""
        connection = Connection(self, self.domain(domid))
        self.connections[connection] = None
        return connection

    def disconnected(self, connection: Connection) -> None:
        self.connections.pop(connection, None)

    def ready(self, connection: Connection) -> None:
        """Queues a connection that has a request to serve."""
        if connection.queued:
            return
        connection.queued = True
        self._queue.append(connection)
        if self.on_ready and not self._running:
            self.on_ready()

    def run(self, budget: int = 64) -> float | None:
        """Serves up to `budget` requests. Seconds until more can be done, None: no work is left."""
        limit = self._write_limit
        if limit and limit.waiting:
            self._queue += limit.take_due()
        self._running = True  # connections that get ready meanwhile need no call of on_ready
        try:
            while self._queue and budget:
                budget -= 1
                self._serve_next(self._queue.popleft())
        finally:
            self._running = False
        if self._queue:
            return 0.0
        return limit.seconds_left() if limit and limit.waiting else None

    def _serve_next(self, connection: Connection) -> None:
        if self._write_limit and self._write_limit.holds_back(connection):
            return
        connection.queued = False
        try:
            if (message := connection.next_request()) is not None:
                self._serve(connection, message)
                if connection.advance():
                    self.ready(connection)
        except Exception as error:
            self.report_defect(error, f"serving {connection}")
            connection.close()

    def report_defect(self, error: Exception, where: str) -> None:
        """Logs a defect of the store, once however often clients run into it."""
        traceback = error.__traceback__
        while traceback and traceback.tb_next:
            traceback = traceback.tb_next
        defect = (type(error), traceback and (traceback.tb_frame.f_code, traceback.tb_lineno))
        if defect not in self._defects:
            self._defects.add(defect)
            log.error("%s: %r", where, error, exc_info=error)

    def _serve(self, connection: Connection, message: Message) -> None:
        kind = message.type
        request = Request(self, connection, message, self.view)
        try:
            handler = HANDLERS.get(kind)
            if handler is None:
                raise XenstoreError("ENOSYS", f"request {kind}")
            if kind in TRANSACTIONAL and message.tx_id:
                request.view = self._transaction(connection, message.tx_id)
            payload = handler(request)
            if len(payload) > PAYLOAD_MAX:  # XSA-72
                raise XenstoreError("E2BIG", "reply")
        except XenstoreError as error:
            kind, payload = M.ERROR, joined(error.name.encode())
        except Exception as error:
            self.report_defect(error, f"request {kind} of {connection}")
            kind, payload = M.ERROR, joined(b"EIO")
        # What a transaction wrote costs when it is committed.
        if request.view is self.view:
            connection.domain.credit -= request.writes
        if not connection.closed:
            connection.reply(message, kind, payload)
        watch, self._after_reply = self._after_reply, None
        if watch:
            watch.fire(watch.path)

    def _transaction(self, connection: Connection, tx_id: int) -> StoreTransaction:
        transaction = connection.transactions.get(tx_id)
        if transaction is None:
            raise XenstoreError("ENOENT", "transaction")
        return transaction

    # For requests.

    def next_generation(self) -> int:
        self._generation += 1
        return self._generation

    def after_reply(self, watch: StoreWatch) -> None:
        """Fires a new watch once, behind the reply to the WATCH request."""
        self._after_reply = watch

    def memory_of(self, domain: StoreDomain) -> int:
        """Bytes held for the domain."""
        return self.view.counts.bytes.get(domain.domid, 0) + domain.usage.memory

    def check_memory(self, domain: StoreDomain, more: int) -> None:
        """XenstoreError ENOMEM when the domain may not hold `more` bytes."""
        if domain.privileged:
            return
        if more > 0 and domain.exceeds("memory", self.memory_of(domain) + more):
            raise XenstoreError("ENOMEM", "memory")
        self.check_soft_limit(domain)

    def check_soft_limit(self, domain: StoreDomain) -> None:
        if domain.privileged:
            return
        over = domain.exceeds("memory-soft", self.memory_of(domain))
        if over and not domain.over_soft_limit:
            log.warning("over the soft memory limit: %s", domain)
        domain.over_soft_limit = over

    def check_commit(self, domain: StoreDomain, transaction: StoreTransaction) -> None:
        """XenstoreError when a transaction may not be committed though nothing conflicts."""
        for owner, more in transaction.counts.nodes.items():
            if more <= 0:
                continue
            if owner not in self.domains and owner < DOMID_FIRST_RESERVED:
                raise XenstoreError("EAGAIN", "an owner has died")
            if domain.exceeds("nodes", self.view.nodes_of(owner) + more):
                raise XenstoreError("ENOSPC", "nodes")

    def _fire(self, change: Change) -> None:
        self.watches.fire(change, self._may_read)

    def _may_read(self, connection: Connection, permissions: Permissions) -> bool:
        return self.rights.may_read(connection.domain, permissions)

    def _fire_special(self, name: str, domid: int) -> None:
        def allowed(watch: StoreWatch) -> bool:
            permissions = self.rights.special_permissions(watch.path)
            return self.rights.may_read(watch.connection.domain, permissions)

        self.watches.fire_special(name, domid, allowed)

    # Domains.

    def domain(self, domid: int) -> StoreDomain:
        """The domain's record, made when it exists. XenstoreError ENOENT when it does not."""
        known = self.domains.get(domid)
        if known is not None:
            return known
        if not 0 <= domid < DOMID_FIRST_RESERVED:
            raise XenstoreError("EINVAL", f"domain {domid}")
        if domid and self._exists and not self._exists(domid):
            raise XenstoreError("ENOENT", f"domain {domid}")
        domain = StoreDomain(domid, self.next_generation(), Quotas(self.quotas), self.features)
        if self._write_limit:
            self._write_limit.begin(domain)
        self.domains[domid] = domain
        return domain

    def known_domain(self, domid: int) -> StoreDomain:
        """XenstoreError ENOENT when the store does not know the domain."""
        if domid not in self.domains:
            raise XenstoreError("ENOENT", f"domain {domid}")
        return self.domains[domid]

    def ensure_known(self, domain: StoreDomain, entries: Iterable[Permission]) -> None:
        """Makes records of the domains that permissions name, so that the entries are valid.

        Only dom0 can name domains that the store does not know yet; an entry by which another
        domain names one is void. XenstoreError ENOENT when the owner does not exist.
        """
        for position, entry in enumerate(entries):
            if entry.domid >= DOMID_FIRST_RESERVED or entry.domid in self.domains:
                continue
            try:
                if domain.privileged:
                    self.domain(entry.domid)
                elif position == 0:
                    raise XenstoreError("ENOENT", f"domain {entry.domid}")
            except XenstoreError:
                if position == 0:
                    raise

    def introduce(self, domid: int, gfn: int, port: int) -> None:
        """Makes a domain a client. Introduced again, it is told to start over (soft reset)."""
        domain = self.domain(domid)
        if domain.privileged:
            raise XenstoreError("EINVAL", "domain 0")
        if self.on_introduce:
            self.on_introduce(domid, gfn, port)
        domain.shutdown = False
        if not domain.introduced:
            domain.introduced = True
            self._fire_special(INTRODUCE_DOMAIN, domid)

    def domain_shutdown(self, domid: int) -> None:
        """The hypervisor says the domain has shut down or crashed; told once until RESUME."""
        domain = self.domains.get(domid)
        if domain and not domain.shutdown:
            domain.shutdown = True
            self._fire_special(RELEASE_DOMAIN, domid)

    def release(self, domid: int) -> None:
        """The domain is gone: its connections, its nodes with all below them, its rights.

        XenstoreError ENOENT when it is not known, EINVAL for domain 0.
        """
        domain = self.known_domain(domid)
        if domain.privileged:
            raise XenstoreError("EINVAL", "domain 0")
        for connection in [each for each in self.connections if each.domain is domain]:
            connection.close()
        del self.domains[domid]
        for other in self.domains.values():
            if other.target == domid:
                other.target = None
        self._remove_nodes_of(domid)
        if self.on_release:
            self.on_release(domid)
        self._fire_special(RELEASE_DOMAIN, domid)
        self.rights.forget_special(domid)

    def _remove_nodes_of(self, domid: int) -> None:
        """XSA-419: what a dead domain owned does not stay, wherever it is."""
        if not self.view.nodes_of(domid):
            return
        owned = [
            path
            for path, node in subtree("/", self.view.tree.root)
            if node.permissions.owner == domid and path != "/"
        ]
        for path in owned:
            node = self.view.peek(path)
            if node is not None:  # not gone with a node above it
                nodes = list(subtree(path, node))
                requests.remove_nodes(self.view, path, nodes, self.next_generation())

    def check(self) -> list[str]:
        """What is wrong inside the store, one sentence for each fault; empty when nothing is."""
        faults = []
        counts = NodeCounts()
        for path, node in subtree("/", self.view.tree.root):
            counts.add(node)
            if node.permissions.owner not in self.domains:
                faults.append(f"{path} is owned by domain {node.permissions.owner}, which is gone")
        for domid in counts.nodes.keys() | self.view.counts.nodes.keys():
            found, kept = counts.nodes.get(domid, 0), self.view.counts.nodes.get(domid, 0)
            if found != kept:
                faults.append(f"domain {domid} owns {found} nodes and is charged for {kept}")
            found, kept = counts.bytes.get(domid, 0), self.view.counts.bytes.get(domid, 0)
            if found != kept:
                faults.append(f"domain {domid} holds {found} bytes and is charged for {kept}")
        return faults

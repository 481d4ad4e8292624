"""The store against a plain model: a dict of nodes, copied whole for every transaction."""

import copy

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pvdrivers.testing.sync_store_client import SyncStoreClient
from pvdrivers.xenstore.errors import XenstoreError
from pvdrivers.xenstore.store import XenStore

DOMAINS = (0, 1, 2)
PATHS = ["/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f", "/e/f/g/h"]
paths = st.sampled_from(PATHS)
domains = st.sampled_from(DOMAINS)
entries = st.builds("{}{}".format, st.sampled_from("nrwb"), domains)


class Refused(Exception):
    pass


def parent(path):
    return path.rpartition("/")[0] or "/"


class Model:
    """Nodes as path -> [value, entries, stamp]; a stamp tells whether a node was changed."""

    def __init__(self):
        self.nodes = {"/": [b"", ["n0"], 0]}
        self.clock = 0
        self.events = []

    def tick(self):
        self.clock += 1
        return self.clock

    def children(self, nodes, path):
        return [name for name in nodes if name != "/" and parent(name) == path]

    def access(self, domid, entries_):
        if domid in (0, int(entries_[0][1:])):
            return "rwo"
        letter = next((e[0] for e in entries_[1:] if int(e[1:]) == domid), entries_[0][0])
        return {"n": "", "r": "r", "w": "w", "b": "rw"}[letter]

    def node(self, nodes, domid, path, wanted):
        nearest = path
        while nearest not in nodes:
            nearest = parent(nearest)
        if wanted not in self.access(domid, nodes[nearest][1]):
            raise Refused("EACCES")
        if nearest != path:
            raise Refused("ENOENT")
        return nodes[path]

    def changed(self, nodes, path, exact, *granting):
        return (path, exact, [list(entries_) for entries_ in granting])

    def put(self, nodes, domid, path, value):
        """Writes (or, value None, makes) a node; the events it causes."""
        try:
            node = self.node(nodes, domid, path, "w")
        except Refused as refused:
            if refused.args != ("ENOENT",):
                raise
            return self.create(nodes, domid, path, value or b"")
        if value is None:
            return []
        node[0], node[2] = value, self.tick()
        return [self.changed(nodes, path, False, node[1], nodes[parent(path)][1])]

    def create(self, nodes, domid, path, value):
        missing = [path]
        while parent(missing[0]) not in nodes:
            missing.insert(0, parent(missing[0]))
        above = parent(missing[0])
        inherited = list(nodes[above][1])
        if domid:
            inherited[0] = inherited[0][0] + str(domid)
        nodes[above][2] = self.tick()
        for name in missing:
            nodes[name] = [b"", list(inherited), self.tick()]
        nodes[path][0] = value
        return [self.changed(nodes, path, False, inherited, nodes[above][1])]

    def remove(self, nodes, domid, path):
        try:
            self.node(nodes, domid, path, "w")
        except Refused as refused:
            if refused.args == ("ENOENT",) and parent(path) in nodes:
                return []
            raise
        gone = [name for name in nodes if name == path or name.startswith(path + "/")]
        events = [
            self.changed(nodes, name, name != path, nodes[name][1], nodes[parent(name)][1])
            for name in gone
        ]
        for name in gone:
            del nodes[name]
        nodes[parent(path)][2] = self.tick()
        return events

    def set_permissions(self, nodes, domid, path, new):
        node = self.node(nodes, domid, path, "w")
        if "o" not in self.access(domid, node[1]):
            raise Refused("EACCES")
        if domid and int(new[0][1:]) != int(node[1][0][1:]):
            raise Refused("EPERM")
        before, node[1], node[2] = node[1], list(new), self.tick()
        return [self.changed(nodes, path, False, new, before, nodes[parent(path)][1])]


class Comparison(RuleBasedStateMachine):
    transactions = Bundle("transactions")

    def __init__(self):
        super().__init__()
        self.store = XenStore()
        self.peers = {domid: SyncStoreClient(self.store, domid) for domid in DOMAINS}
        self.model = Model()
        self.watches = []
        self.expected = {domid: {} for domid in DOMAINS}
        # Everybody starts with a place to play in.
        self.peers[0].write("/a")
        self.peers[0].set_permissions("/a", "b0")
        self.model.put(self.model.nodes, 0, "/a", b"")
        self.model.set_permissions(self.model.nodes, 0, "/a", ["b0"])
        for peer in self.peers.values():
            peer.take_events()

    def compare(self, act, predict):
        """Both do it; both refuse alike or both give the same."""
        try:
            expected = predict()
        except Refused as refused:
            expected = refused.args[0]
        try:
            actual = act()
        except XenstoreError as error:
            actual = error.name
        assert actual == expected

    def announce(self, events):
        for path, exact, granting in events:
            for domid, watched in self.watches:
                below = path == watched or (path + "/").startswith(watched.rstrip("/") + "/")
                if not (path == watched if exact else below):
                    continue
                if any("r" in self.model.access(domid, entries_) for entries_ in granting):
                    self.expected[domid][path, watched] = None

    def plain(self, change):
        def predict():
            self.announce(change(self.model.nodes))

        return predict

    def inside(self, tx, change, touches):
        """A prediction for a transaction: on its copy, noting what it depends on."""

        def predict():
            tx["touched"].update(touches(tx["nodes"]))
            tx["events"] += change(tx["nodes"])

        return predict

    # Plain requests.

    @rule(domid=domains, path=paths, value=st.binary(max_size=3))
    def write(self, domid, path, value):
        self.compare(
            lambda: self.peers[domid].write(path, value),
            self.plain(lambda nodes: self.model.put(nodes, domid, path, value)),
        )

    @rule(domid=domains, path=paths)
    def mkdir(self, domid, path):
        self.compare(
            lambda: self.peers[domid].mkdir(path),
            self.plain(lambda nodes: self.model.put(nodes, domid, path, None)),
        )

    @rule(domid=domains, path=paths)
    def remove(self, domid, path):
        self.compare(
            lambda: self.peers[domid].remove(path),
            self.plain(lambda nodes: self.model.remove(nodes, domid, path)),
        )

    @rule(domid=domains, path=paths, new=st.lists(entries, min_size=1, max_size=3))
    def set_permissions(self, domid, path, new):
        self.compare(
            lambda: self.peers[domid].set_permissions(path, *new),
            self.plain(lambda nodes: self.model.set_permissions(nodes, domid, path, new)),
        )

    @rule(domid=domains, path=paths)
    def read(self, domid, path):
        self.compare(
            lambda: self.peers[domid].read(path),
            lambda: self.model.node(self.model.nodes, domid, path, "r")[0],
        )

    @rule(domid=domains, path=paths)
    def directory(self, domid, path):
        def predict():
            self.model.node(self.model.nodes, domid, path, "r")
            names = self.model.children(self.model.nodes, path)
            return {name.rpartition("/")[2] for name in names}

        self.compare(lambda: set(self.peers[domid].directory(path)), predict)

    # Watches.

    @rule(domid=domains, path=paths | st.just("/"))
    def watch(self, domid, path):
        def predict():
            if (domid, path) in self.watches:
                raise Refused("EEXIST")
            self.watches.append((domid, path))
            self.expected[domid][path, path] = None

        self.compare(lambda: self.peers[domid].watch(path, path), predict)

    @rule(domid=domains, path=paths)
    def unwatch(self, domid, path):
        def predict():
            if (domid, path) not in self.watches:
                raise Refused("ENOENT")
            self.watches.remove((domid, path))

        self.compare(lambda: self.peers[domid].unwatch(path, path), predict)

    @rule(domid=domains)
    def take_events(self, domid):
        assert set(self.peers[domid].take_events()) == set(self.expected[domid])
        self.expected[domid].clear()

    # Transactions.

    @rule(target=transactions, domid=domains)
    def begin(self, domid):
        if self.store.domains[domid].usage.transactions >= 10:
            return {"domid": domid, "id": None}
        nodes = copy.deepcopy(self.model.nodes)
        return {
            "domid": domid,
            "id": self.peers[domid].begin(),
            "nodes": nodes,
            "base": copy.deepcopy(nodes),
            "touched": set(),
            "written": set(),
            "events": [],
        }

    def with_parents(self, path):
        """What creating the node depends on: it and all that are missing, and the one above."""

        def touches(nodes):
            touched = {path}
            while path != "/" and (missing := min(touched, key=len)) not in nodes:
                touched.add(parent(missing))
            return touched

        return touches

    @rule(tx=transactions, path=paths, value=st.binary(max_size=3))
    def write_inside(self, tx, path, value):
        if tx["id"] is None:
            return
        domid = tx["domid"]
        touches = self.with_parents(path)
        try:
            self.model.node(tx["nodes"], domid, path, "w")
        except Refused as refused:
            if refused.args != ("ENOENT",):
                touches = lambda nodes: {path}  # noqa: E731
        self.compare(
            lambda: self.peers[domid].write(path, value, tx["id"]),
            self.inside(tx, lambda nodes: self.model.put(nodes, domid, path, value), touches),
        )

    @rule(tx=transactions, path=paths)
    def remove_inside(self, tx, path):
        if tx["id"] is None:
            return
        domid = tx["domid"]

        def touches(nodes):
            below = {name for name in nodes if name.startswith(path + "/")}
            removable = path in nodes and "w" in self.model.access(domid, nodes[path][1])
            return {path, parent(path)} | below if removable else {path}

        self.compare(
            lambda: self.peers[domid].remove(path, tx["id"]),
            self.inside(tx, lambda nodes: self.model.remove(nodes, domid, path), touches),
        )

    @rule(tx=transactions, path=paths)
    def read_inside(self, tx, path):
        if tx["id"] is None:
            return
        tx["touched"].add(path)
        self.compare(
            lambda: self.peers[tx["domid"]].read(path, tx["id"]),
            lambda: self.model.node(tx["nodes"], tx["domid"], path, "r")[0],
        )

    @rule(tx=consumes(transactions), commit=st.booleans())
    def end(self, tx, commit):
        if tx["id"] is None:
            return
        peer = self.peers[tx["domid"]]
        if not commit:
            peer.abort(tx["id"])
            return

        def stamp(nodes, path):
            return nodes[path][2] if path in nodes else None

        def predict():
            now, then, mine = self.model.nodes, tx["base"], tx["nodes"]
            if any(stamp(now, path) != stamp(then, path) for path in tx["touched"]):
                raise Refused("EAGAIN")
            for path in then.keys() - mine.keys():
                now.pop(path, None)
            for path, node in mine.items():
                if path not in then or node[2] != then[path][2]:
                    now[path] = [node[0], node[1], self.model.tick()]
            self.announce(tx["events"])

        self.compare(lambda: peer.commit(tx["id"]), predict)

    @invariant()
    def trees_are_equal(self):
        found = {}
        waiting = ["/"]
        peer = self.peers[0]
        while waiting:
            path = waiting.pop()
            found[path] = (peer.read(path), list(map(str, peer.get_permissions(path))))
            waiting += [f"{path.rstrip('/')}/{name}" for name in peer.directory(path)]
        assert found == {path: (node[0], node[1]) for path, node in self.model.nodes.items()}
        assert self.store.check() == []


TestComparison = pytest.mark.slow(Comparison.TestCase)
TestComparison.settings = settings(max_examples=40, stateful_step_count=25)

"""The two tables against each other, under every order of events, and against plain rules."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pvdrivers.xenbus.states import (
    BACKEND,
    BACKEND_EVENTS,
    FRONTEND,
    FRONTEND_EVENTS,
    HOTPLUG_FRONTEND,
    Action,
    Event,
    Step,
    Table,
    XenbusMachine,
    XenbusState,
    parse_state,
)

S = XenbusState
TABLES = (
    (FRONTEND, FRONTEND_EVENTS),
    (BACKEND, BACKEND_EVENTS),
    (HOTPLUG_FRONTEND, FRONTEND_EVENTS),
)


@pytest.mark.parametrize(("table", "events"), TABLES)
def test_tables_are_total(table: dict, events: tuple) -> None:
    assert set(table) == set(itertools.product(S, events, S))


@pytest.mark.parametrize(("table", "events"), TABLES)
def test_an_end_comes_to_rest_while_the_other_stands_still(table: dict, events: tuple) -> None:
    """Looking again and again at the same peer state never runs in circles."""
    routine = [Event.PEER, Event.UNPLUG if Event.UNPLUG in events else Event.RESUME]
    for own, peer, event in itertools.product(S, S, routine):
        seen = [own]
        while (state := table[seen[-1], event, peer].state) is not seen[-1]:
            assert state not in seen, f"{event} with peer {peer}: {seen}"
            seen.append(state)


@pytest.mark.parametrize(("table", "events"), TABLES)
def test_connect_only_leads_to_states_that_hold_a_connection(table: dict, events: tuple) -> None:
    for step in table.values():
        if Action.CONNECT in step.actions:
            assert set(step.actions) <= {Action.DISCONNECT, Action.CONNECT}
            assert step.state is (S.INITIALISED if events is FRONTEND_EVENTS else S.CONNECTED)


def test_foreign_events_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="DRAINED"):
        XenbusMachine(BACKEND).step(Event.DRAINED, S.CONNECTED)
    with pytest.raises(ValueError, match="UNPLUG"):
        XenbusMachine(FRONTEND).step(Event.UNPLUG, S.CONNECTED)


@pytest.mark.parametrize(
    ("text", "state"),
    [(None, 0), ("", 0), ("4", 4), (" 4\n", 4), ("9", 0), ("-1", 0), ("4x", 0), ("9" * 4000, 0),
     ("٤", 0), ("²", 0), ("8", 8)],
)  # fmt: skip
def test_parse_state(text: str | None, state: int) -> None:
    assert parse_state(text) == state


class Pair:
    """Both ends, the states they publish, and how far each has seen the other's."""

    def __init__(self, front: Table = FRONTEND) -> None:
        self.front, self.back = XenbusMachine(front), XenbusMachine(BACKEND)
        self.published = {"front": S.INITIALISING, "back": S.INITIALISING}
        self.online = True
        self.draining = False
        self.resetting = False  # the frontend's, as the driver keeps it
        self.removed = {"front": False, "back": False}
        self.actions: list[tuple[str, Action]] = []

    def act(self, side: str, event: Event) -> bool:
        """One step of one end; whether anything changed."""
        if self.removed[side]:
            return False
        machine = self.front if side == "front" else self.back
        peer = self.published["back" if side == "front" else "front"]
        before = machine.state, machine.connected, self.draining
        step = machine.step(event, peer)
        if side == "front":
            start = self.resetting or event in (Event.START, Event.RESUME)
            end = event in (Event.CLOSE, Event.FATAL) or step.state is S.INITIALISING
            self.resetting = start and not end
        self.actions += [(side, action) for action in step.actions]
        if Action.DRAIN in step.actions:
            self.draining = True
        if Action.REMOVE in step.actions:
            self.removed[side] = True
        if event is not Event.GONE:
            self.published[side] = step.state
        return before != (machine.state, machine.connected, self.draining)

    def look(self, side: str) -> bool:
        if side == "back" and not self.online:
            return self.act("back", Event.UNPLUG)
        if side == "front" and self.resetting:
            return self.act("front", Event.RESUME)
        return self.act(side, Event.PEER)

    def drained(self) -> bool:
        self.draining = False
        return self.act("front", Event.DRAINED)

    def run_until_stable(self) -> None:
        """Both ends read their states until nothing changes; fails when that never happens."""
        for _ in range(200):
            moved = [self.look("front"), self.look("back")]
            if self.draining:
                moved.append(self.drained())
            if not any(moved):
                return
        raise AssertionError(f"no rest: {self.published}")


def connected(front: Table = FRONTEND) -> Pair:
    pair = Pair(front)
    pair.act("back", Event.START)
    pair.act("front", Event.START)
    pair.run_until_stable()
    return pair


def test_start_in_order() -> None:
    pair = connected()
    assert pair.published == {"front": S.CONNECTED, "back": S.CONNECTED}
    assert pair.actions[:4] == [
        ("back", Action.OFFER),
        ("front", Action.CONNECT),
        ("back", Action.CONNECT),
        ("front", Action.ATTACH),
    ]


@pytest.mark.parametrize("first", ["front", "back"])
def test_either_end_may_start_first(first: str) -> None:
    pair = Pair()
    pair.act(first, Event.START)
    pair.run_until_stable()
    pair.act("back" if first == "front" else "front", Event.START)
    pair.run_until_stable()
    assert set(pair.published.values()) == {S.CONNECTED}


def test_orderly_unplug_releases_the_backend_first() -> None:
    pair = connected()
    pair.actions.clear()
    pair.online = False
    pair.run_until_stable()
    assert pair.published == {"front": S.CLOSED, "back": S.CLOSED}
    named = [entry for entry in pair.actions if entry[1] is not Action.REREAD]
    assert named[0] == ("front", Action.DRAIN)
    assert named.index(("back", Action.DISCONNECT)) < named.index(("front", Action.DISCONNECT))
    assert pair.removed == {"front": False, "back": True}


def test_frontend_closes_and_comes_back() -> None:
    pair = connected()
    pair.act("front", Event.CLOSE)
    pair.run_until_stable()
    assert pair.published == {"front": S.CLOSED, "back": S.CLOSED}
    pair.act("front", Event.START)
    pair.run_until_stable()
    assert set(pair.published.values()) == {S.CONNECTED}


def test_backend_is_stopped_and_started_again() -> None:
    pair = connected()
    pair.act("back", Event.CLOSE)
    pair.run_until_stable()
    assert pair.published == {"front": S.CLOSED, "back": S.CLOSED}
    pair.back = XenbusMachine(BACKEND)
    pair.act("back", Event.START)
    pair.run_until_stable()
    assert set(pair.published.values()) == {S.CONNECTED}


@pytest.mark.parametrize("stale", list(S))
def test_backend_dies_and_is_started_again(stale: XenbusState) -> None:
    """Its last state stays in xenstore; the frontend was told nothing."""
    pair = connected()
    pair.published["back"] = stale
    if stale not in (S.CLOSING, S.INIT_WAIT):
        pair.look("front")
    pair.back = XenbusMachine(BACKEND)
    pair.act("back", Event.START)
    pair.run_until_stable()
    assert set(pair.published.values()) == {S.CONNECTED}
    front = [action for side, action in pair.actions if side == "front"]
    assert front.count(Action.CONNECT) == 2


def test_an_orderly_left_connection_is_adopted() -> None:
    """As long as the frontend is still there; it sees nothing of it."""
    for peer in S:
        pair = connected()
        pair.actions.clear()
        pair.back = XenbusMachine(BACKEND)
        pair.published["front"] = peer
        pair.act("back", Event.ADOPT)
        start = BACKEND[S.UNKNOWN, Event.START, peer]
        if peer is S.CONNECTED:
            assert pair.actions == [("back", Action.CONNECT)]
            assert set(pair.published.values()) == {S.CONNECTED}
        else:
            assert BACKEND[S.UNKNOWN, Event.ADOPT, peer] == start


def test_an_offer_that_is_answered_stands() -> None:
    """As long as the frontend is Connected; it sees the state it has answered, and nothing else."""
    for peer in S:
        pair = Pair()
        pair.published["front"] = peer
        pair.act("back", Event.OFFERED)
        if peer is S.CONNECTED:
            assert (pair.actions, pair.published["back"]) == ([], S.INIT_WAIT)
            pair.look("back")
            assert pair.actions == [("back", Action.CONNECT)]
            assert pair.published["back"] is S.CONNECTED
        else:
            step = BACKEND[S.UNKNOWN, Event.OFFERED, peer]
            assert step == BACKEND[S.UNKNOWN, Event.START, peer]


def test_guest_reboots_without_closing() -> None:
    pair = connected()
    pair.front = XenbusMachine(FRONTEND)
    pair.act("front", Event.START)
    pair.run_until_stable()
    assert set(pair.published.values()) == {S.CONNECTED}


def test_a_former_life_is_closed_before_the_frontend_starts() -> None:
    pair = connected()
    pair.front = XenbusMachine(FRONTEND)
    pair.act("front", Event.START)
    assert pair.published["front"] is S.CLOSED
    pair.actions.clear()
    pair.run_until_stable()
    assert pair.actions[0] == ("back", Action.DISCONNECT)
    assert set(pair.published.values()) == {S.CONNECTED}


def test_resume_drains_and_closes_before_it_starts_over() -> None:
    pair = connected()
    pair.actions.clear()
    pair.act("front", Event.RESUME)
    for _ in range(3):
        pair.look("back")
        pair.look("front")
        assert both(pair) == (S.CLOSING, S.CLOSING)
        assert pair.front.connected
        assert pair.back.connected
    pair.drained()
    assert pair.front.state is S.CLOSED
    pair.run_until_stable()
    order = [entry for entry in pair.actions if entry[1] is Action.DISCONNECT]
    assert order == [("back", Action.DISCONNECT), ("front", Action.DISCONNECT)]
    assert set(pair.published.values()) == {S.CONNECTED}


def test_resume_from_every_pair_of_states_connects() -> None:
    for pair in pairs():
        start = both(pair)
        pair.act("front", Event.RESUME)
        pair.run_until_stable()
        assert both(pair) == (S.CONNECTED, S.CONNECTED), start
        assert pair.front.connected, start
        assert pair.back.connected, start


def test_resume_elsewhere() -> None:
    pair = connected()
    pair.back, pair.published["back"] = XenbusMachine(BACKEND), S.INITIALISING
    pair.act("front", Event.RESUME)
    pair.act("back", Event.START)
    pair.run_until_stable()
    assert set(pair.published.values()) == {S.CONNECTED}


@pytest.mark.parametrize("side", ["front", "back"])
@pytest.mark.parametrize("steps", range(8))
def test_fatal_at_any_moment_closes_both_and_stays_closed(side: str, steps: int) -> None:
    pair = Pair()
    pair.act("back", Event.START)
    pair.act("front", Event.START)
    for _ in range(steps):
        pair.look("front")
        pair.look("back")
    pair.act(side, Event.FATAL)
    assert pair.published[side] is S.CLOSING
    pair.run_until_stable()
    assert pair.published == {"front": S.CLOSED, "back": S.CLOSED}
    assert not pair.front.connected
    assert not pair.back.connected


@pytest.mark.parametrize("side", ["front", "back"])
def test_reconfiguration_both_ways(side: str) -> None:
    pair = connected()
    pair.actions.clear()
    pair.act(side, Event.RECONFIGURE)
    assert pair.published[side] is S.RECONFIGURING
    pair.run_until_stable()
    assert set(pair.published.values()) == {S.CONNECTED}
    assert {s for s, action in pair.actions if action is Action.RECONFIGURE} == {"front", "back"}


def test_a_ring_is_published_without_waiting_for_the_backend() -> None:
    pair = Pair(HOTPLUG_FRONTEND)
    pair.act("front", Event.START)
    pair.look("front")
    assert pair.published == {"front": S.INITIALISED, "back": S.INITIALISING}
    pair.act("back", Event.START)
    pair.run_until_stable()
    assert set(pair.published.values()) == {S.CONNECTED}


def test_a_toolstack_asks_for_a_reconfiguration() -> None:
    """Each end does what the other did, as Linux' scsiback and scsifront do."""
    pair = connected(HOTPLUG_FRONTEND)
    pair.actions.clear()
    pair.published["back"] = S.RECONFIGURING
    states = []
    while any((pair.look("front"), pair.look("back"))):
        states.append(tuple(map(int, pair.published.values())))
    assert states == [(7, 8), (4, 4)]
    took = [side for side, action in pair.actions if action is Action.RECONFIGURE]
    assert took == ["front", "back", "front", "back"]


@pytest.mark.parametrize("looks", range(5))
def test_a_backend_that_is_adopted_ends_a_reconfiguration(looks: int) -> None:
    """Its predecessor was killed in the middle of one."""
    pair = connected(HOTPLUG_FRONTEND)
    pair.published["back"] = S.RECONFIGURING
    for side in ("front", "back", "front", "back")[:looks]:
        pair.look(side)
    pair.back = XenbusMachine(BACKEND, S.CONNECTED)
    pair.published["back"] = S.CONNECTED
    pair.run_until_stable()
    assert set(pair.published.values()) == {S.CONNECTED}


def test_rewritten_connected_means_look_again() -> None:
    pair = connected()
    pair.actions.clear()
    pair.act("back", Event.RESIZE)
    pair.look("front")
    assert pair.actions == [("back", Action.UPDATE_SIZE), ("front", Action.REREAD)]


def test_either_connected_end_looks_again_when_something_it_watches_changes() -> None:
    pair = connected()
    pair.actions.clear()
    pair.look("back")
    pair.look("front")
    assert pair.actions == [("back", Action.REREAD), ("front", Action.REREAD)]


def test_frontend_seen_connected_without_initialised() -> None:
    back = XenbusMachine(BACKEND)
    back.step(Event.START, S.INITIALISING)
    assert back.step(Event.PEER, S.CONNECTED) == Step((Action.CONNECT,), S.CONNECTED)


def test_xsa_350_rapid_flipping_of_the_frontend() -> None:
    """XSA-350: states 3 and 6 in turn, ten thousand times."""
    back = XenbusMachine(BACKEND)
    back.step(Event.START, S.INITIALISING)
    held = []
    for flip in range(10_000):
        peer = S.CLOSED if flip % 2 else S.INITIALISED
        state = None
        while state is not back.state:
            state = back.state
            step = back.step(Event.PEER, peer)
            held += [a for a in step.actions if a in (Action.CONNECT, Action.DISCONNECT)]
    assert held == [Action.CONNECT, Action.DISCONNECT] * 5_000


@pytest.mark.parametrize("table", [FRONTEND, BACKEND])
@given(data=st.data())
def test_connect_and_disconnect_alternate_whatever_the_peer_does(
    table: dict, data: st.DataObject
) -> None:
    events = FRONTEND_EVENTS if table is FRONTEND else BACKEND_EVENTS
    machine = XenbusMachine(table)
    history = []
    for event, peer in data.draw(
        st.lists(st.tuples(st.sampled_from(events), st.sampled_from(S)), max_size=60)
    ):
        step = machine.step(event, peer)
        for action in step.actions:
            if action in (Action.CONNECT, Action.DISCONNECT):
                history.append(action)
        assert machine.state in S
    assert history == ([Action.CONNECT, Action.DISCONNECT] * len(history))[: len(history)]
    assert machine.connected == (len(history) % 2 == 1)


def pairs() -> list[Pair]:
    """Both ends in every state, holding a connection where that can be."""
    holds = {"front": {3: [1], 4: [1], 5: [0, 1], 6: [0, 1], 7: [1], 8: [1]},
             "back": {4: [1], 5: [0, 1], 7: [1], 8: [1]}}  # fmt: skip
    found = []
    for own in itertools.product(list(S)[1:], repeat=2):
        choices = [holds[side].get(state, [0]) for side, state in zip(holds, own, strict=True)]
        for held in itertools.product(*choices):
            pair = Pair()
            for machine, state, holding in zip((pair.front, pair.back), own, held, strict=True):
                machine.state, machine.connected = state, bool(holding)
            pair.published = {"front": own[0], "back": own[1]}
            found.append(pair)
    return found


def both(pair: Pair) -> tuple[XenbusState, XenbusState]:
    return pair.front.state, pair.back.state


def test_no_pair_of_states_is_a_deadlock() -> None:
    """From every pair of states the two ends connect or close; neither waits forever."""
    for pair in pairs():
        start = both(pair)
        pair.run_until_stable()
        assert both(pair) in ((S.CONNECTED, S.CONNECTED), (S.CLOSED, S.CLOSED)), start
        connected = both(pair)[0] is S.CONNECTED
        assert pair.front.connected == pair.back.connected == connected, start


@pytest.mark.parametrize("event", [Event.CLOSE, Event.FATAL])
@pytest.mark.parametrize("side", ["front", "back"])
def test_closing_from_every_pair_of_states(side: str, event: Event) -> None:
    for pair in pairs():
        start = both(pair)
        pair.act(side, event)
        assert (pair.front if side == "front" else pair.back).state in (S.CLOSING, S.CLOSED)
        assert not [a for _, a in pair.actions if a in (Action.CONNECT, Action.OFFER)]
        pair.run_until_stable()
        # An end at Initialising had asked for a connection, and gets it as soon as it can.
        assert both(pair) in ((S.CLOSED, S.CLOSED), (S.CONNECTED, S.CONNECTED)), start


def test_unplugging_from_every_pair_of_states() -> None:
    for pair in pairs():
        start = both(pair)
        pair.online = False
        pair.run_until_stable()
        assert pair.removed["back"], start
        assert pair.back.state is S.CLOSED, start
        assert not pair.back.connected, start
        assert not pair.front.connected, start


@pytest.mark.parametrize(("own", "peer"), list(itertools.product(S, S)))
def test_a_backend_waits_only_for_a_frontend_that_uses_its_rings(own: int, peer: int) -> None:
    waits = own in (4, 5, 7, 8) and peer not in (0, 1, 6)
    for event in (Event.UNPLUG, Event.CLOSE):
        step = BACKEND[XenbusState(own), event, XenbusState(peer)]
        assert step.state == (5 if waits else 6)
        assert (Action.REMOVE in step.actions) == (event is Event.UNPLUG and not waits)
        assert (Action.DISCONNECT in step.actions) == (own in (4, 5, 7, 8) and not waits)


@pytest.mark.parametrize("last", [S.UNKNOWN, S.CLOSED])
def test_an_end_whose_peer_is_gone_holds_nothing(last: XenbusState) -> None:
    for pair in pairs():
        pair.published["back"] = last
        while pair.look("front"):
            pass
        assert not pair.front.connected
        assert pair.front.state in (S.INITIALISING, S.CLOSED)
    for pair in pairs():
        pair.published["front"] = last
        while pair.look("back"):
            pass
        assert not pair.back.connected
        assert pair.back.state in (S.INIT_WAIT, S.INITIALISED, S.CLOSED)


@pytest.mark.parametrize("peer", list(S))
def test_size_is_published_whenever_connected(peer: XenbusState) -> None:
    for own in S:
        step = BACKEND[own, Event.RESIZE, peer]
        assert step == Step((Action.UPDATE_SIZE,) if own is S.CONNECTED else (), own)


@pytest.mark.parametrize("peer", list(S))
def test_an_exchange_is_between_the_backend_and_its_queues(peer: XenbusState) -> None:
    """It happens wherever there are queues, and neither end publishes another state for it."""
    for own in S:
        step = BACKEND[own, Event.EXCHANGE, peer]
        live = own in (S.CONNECTED, S.RECONFIGURING, S.RECONFIGURED)
        assert step == Step((Action.EXCHANGE,) if live else (), own)


class TwoEnds(RuleBasedStateMachine):
    """Both ends with a model that knows only: who holds what, and how it must end."""

    table = FRONTEND

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair(self.table)
        self.hostile = {"front": False, "back": False}

    @rule(side=st.sampled_from(["front", "back"]))
    def look(self, side: str) -> None:
        self.pair.look(side)

    @rule(
        side=st.sampled_from(["front", "back"]),
        event=st.sampled_from([Event.START, Event.FATAL, Event.CLOSE, Event.RECONFIGURE]),
    )
    def own_event(self, side: str, event: Event) -> None:
        self.pair.act(side, event)

    @rule(event=st.sampled_from([Event.RESUME, Event.DRAINED]))
    def front_event(self, event: Event) -> None:
        self.pair.act("front", event)

    @rule()
    def resize(self) -> None:
        self.pair.act("back", Event.RESIZE)

    @rule()
    def exchange(self) -> None:
        self.pair.act("back", Event.EXCHANGE)

    @rule(side=st.sampled_from(["front", "back"]), state=st.sampled_from(S))
    def write_anything(self, side: str, state: XenbusState) -> None:
        """Somebody writes a state that its end did not come to."""
        self.pair.published[side] = state

    @precondition(lambda self: self.pair.online)
    @rule()
    def unplug(self) -> None:
        self.pair.online = False

    @invariant()
    def alternates(self) -> None:
        for side in ("front", "back"):
            held = [
                action
                for whose, action in self.pair.actions
                if whose == side and action in (Action.CONNECT, Action.DISCONNECT)
            ]
            assert held == ([Action.CONNECT, Action.DISCONNECT] * len(held))[: len(held)]

    def teardown(self) -> None:
        """From wherever they are, unplugging ends with both closed and nothing held."""
        pair = self.pair
        for side, machine in (("front", pair.front), ("back", pair.back)):
            if not pair.removed[side] and machine.state is S.UNKNOWN:
                pair.act(side, Event.START)
            pair.published[side] = machine.state
        pair.online = False
        pair.run_until_stable()
        assert pair.removed["back"]
        assert pair.back.state is S.CLOSED
        assert not pair.back.connected
        assert not pair.front.connected
        assert pair.front.state in (S.CLOSED, S.INITIALISING)
        pair.act("front", Event.GONE)
        assert pair.removed["front"]


TwoEnds.TestCase.settings = settings(max_examples=100, stateful_step_count=30)
TestTwoEnds = pytest.mark.slow(TwoEnds.TestCase)


class TwoHotplugEnds(TwoEnds):
    table = HOTPLUG_FRONTEND


TwoHotplugEnds.TestCase.settings = TwoEnds.TestCase.settings
TestTwoHotplugEnds = pytest.mark.slow(TwoHotplugEnds.TestCase)

"""Event channels of three domains against a plain model: every hypercall, both ABIs, all errors."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Machine

VCPUS = 2
MAX_PORTS = 8  # highest port + 1, so that running out is common
PER_VCPU = {0, 1, 7, 13, *range(16, 24)}
PER_DOMAIN = {11}
CONTROL_GFN, ARRAY_GFN = 20, 30  # the event array takes a fresh page each time
ABSENT_DOMID = 9

domids = st.sampled_from([0, 1, 2, ABSENT_DOMID])
ports = st.integers(0, MAX_PORTS)
vcpus = st.integers(0, VCPUS)
virqs = st.sampled_from([0, 1, 3, 8, 11, 16, 24])


@dataclass
class Port:
    """What a bound port is; `kind` is EVTCHNSTAT_'s name."""

    kind: str
    vcpu: int = 0
    remote: tuple[int, int] = (0, 0)  # domid, port
    virq: int = 0


@dataclass
class ModelDomain:
    domid: int
    abi: Abi
    ports: dict[int, Port] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)
    masked: set[int] = field(default_factory=set)
    masked_2l: set[int] = field(default_factory=set)  # set aside while FIFO is in use
    fifo: bool = False
    blocks: set[int] = field(default_factory=set)  # vcpus with a control block
    pages: int = 0
    waiting: set[int] = field(default_factory=set)  # raised before their word existed
    linked: set[int] = field(default_factory=set)  # in a FIFO queue

    def free_port(self) -> int | None:
        return next((p for p in range(1, MAX_PORTS) if p not in self.ports), None)

    def raise_port(self, port: int) -> None:
        if self.fifo and not self.pages:
            self.waiting.add(port)
            return
        self.pending.add(port)
        self.link(port)

    def link(self, port: int) -> None:
        entry = self.ports.get(port)
        if port not in self.masked and (entry.vcpu if entry else 0) in self.blocks:
            self.linked.add(port)

    def deliverable(self) -> set[int]:
        found = self.pending - self.masked
        return found & self.linked if self.fifo else found


class Refused(Exception):
    """The model's -errno."""


def refuse(code: int) -> NoReturn:
    raise Refused(code)


class Model:
    """Xen's rules, without any of its mechanism."""

    def __init__(self, abis: list[Abi]) -> None:
        self.domains = {domid: ModelDomain(domid, abi) for domid, abi in enumerate(abis)}

    def find(self, domid: int) -> ModelDomain:
        return self.domains.get(domid) or refuse(errno.ESRCH)

    def target(self, caller: int, domid: int) -> ModelDomain:
        d = self.find(domid)
        if caller not in (0, domid):
            refuse(errno.EPERM)
        return d

    def take(self, d: ModelDomain, entry: Port) -> int:
        port = d.free_port()
        if port is None:
            raise Refused(errno.ENOSPC)
        d.ports[port] = entry
        return port

    def alloc_unbound(self, caller: int, domid: int, remote: int) -> int:
        return self.take(self.target(caller, domid), Port("unbound", remote=(remote, 0)))

    def bind_interdomain(self, caller: int, domid: int, port: int) -> int:
        rd, d = self.find(domid), self.domains[caller]
        if d.free_port() is None:
            refuse(errno.ENOSPC)
        entry = rd.ports.get(port)
        if entry is None or entry.kind != "unbound" or entry.remote[0] != caller:
            raise Refused(errno.EINVAL)
        local = self.take(d, Port("interdomain", remote=(domid, port)))
        entry.kind, entry.remote = "interdomain", (caller, local)
        d.raise_port(local)
        return local

    def bind_virq(self, caller: int, virq: int, vcpu: int) -> int:
        if virq >= 24 or (virq not in PER_VCPU and vcpu):
            refuse(errno.EINVAL)
        if vcpu >= VCPUS:
            refuse(errno.ENOENT)
        if virq not in PER_VCPU | PER_DOMAIN and caller != 0:
            refuse(errno.EBUSY)
        d = self.domains[caller]
        if self.virq_port(d, virq, vcpu) is not None:
            refuse(errno.EEXIST)
        return self.take(d, Port("virq", vcpu, virq=virq))

    def virq_port(self, d: ModelDomain, virq: int, vcpu: int) -> int | None:
        for port, entry in d.ports.items():
            same_vcpu = virq not in PER_VCPU or entry.vcpu == vcpu
            if entry.kind == "virq" and entry.virq == virq and same_vcpu:
                return port
        return None

    def send_virq(self, domid: int, virq: int, vcpu: int) -> None:
        d = self.find(domid)
        if virq >= 24 or (virq not in PER_VCPU and vcpu):
            refuse(errno.EINVAL)
        if vcpu >= VCPUS:
            refuse(errno.ENOENT)
        port = self.virq_port(d, virq, vcpu)
        if port is not None:
            d.raise_port(port)

    def bind_ipi(self, caller: int, vcpu: int) -> int:
        if vcpu >= VCPUS:
            refuse(errno.ENOENT)
        return self.take(self.domains[caller], Port("ipi", vcpu))

    def bound(self, caller: int, port: int) -> Port:
        entry = self.domains[caller].ports.get(port)
        return entry or refuse(errno.EINVAL)

    def send(self, caller: int, port: int) -> None:
        entry = self.bound(caller, port)
        if entry.kind == "interdomain":
            self.domains[entry.remote[0]].raise_port(entry.remote[1])
        elif entry.kind == "ipi":
            self.domains[caller].raise_port(port)
        elif entry.kind == "virq":
            refuse(errno.EINVAL)

    def close(self, caller: int, port: int) -> None:
        d, entry = self.domains[caller], self.bound(caller, port)
        if entry.kind == "interdomain":
            peer = self.domains[entry.remote[0]].ports[entry.remote[1]]
            peer.kind, peer.remote = "unbound", (caller, 0)
        del d.ports[port]
        d.pending.discard(port)
        d.waiting.discard(port)

    def bind_vcpu(self, caller: int, port: int, vcpu: int) -> None:
        if vcpu >= VCPUS:
            refuse(errno.ENOENT)
        entry = self.bound(caller, port)
        fixed = entry.kind == "ipi" or (
            entry.kind == "virq" and entry.virq in PER_VCPU | PER_DOMAIN
        )
        if fixed:
            refuse(errno.EINVAL)
        entry.vcpu = vcpu

    def unmask(self, caller: int, port: int) -> None:
        if not 0 < port < MAX_PORTS:
            refuse(errno.EINVAL)
        d = self.domains[caller]
        d.masked.discard(port)
        if port in d.pending:
            d.link(port)

    def set_priority(self, caller: int, port: int, priority: int) -> None:
        if not 0 < port < MAX_PORTS:
            refuse(errno.EINVAL)
        if not self.domains[caller].fifo:
            refuse(errno.ENOSYS)
        if priority > 15:
            refuse(errno.EINVAL)

    def reset(self, caller: int, domid: int) -> None:
        d = self.target(caller, domid)
        for port in list(d.ports):
            self.close(domid, port)
        if d.fifo:
            d.masked = d.masked_2l  # the others were in the event words
        d.fifo, d.pages, d.blocks, d.linked = False, 0, set(), set()

    def init_control(self, caller: int, vcpu: int, offset: int) -> None:
        d = self.domains[caller]
        if d.abi == Abi.IA64:
            refuse(errno.ENOSYS)
        if vcpu >= VCPUS:
            refuse(errno.ENOENT)
        if offset > 4096 - 72 or offset % 8 or vcpu in d.blocks:
            refuse(errno.EINVAL)
        d.blocks.add(vcpu)
        if not d.fifo:
            d.fifo = True
            d.waiting, d.pending = d.pending, set()
            d.masked_2l = d.masked
            d.masked = set()

    def expand_array(self, caller: int) -> None:
        d = self.domains[caller]
        if not d.fifo:
            refuse(errno.EOPNOTSUPP)
        if d.pages == 128:
            refuse(errno.ENOSPC)
        d.pages += 1
        if d.pages == 1:
            for port in d.waiting:
                d.raise_port(port)
            d.waiting = set()


class EventChannels(RuleBasedStateMachine):
    machine: Machine | None = None

    @initialize(
        abis=st.lists(st.sampled_from(Abi), min_size=3, max_size=3),
        fifo=st.lists(st.integers(0, 2), min_size=3, max_size=3),
    )
    def create(self, abis: list[Abi], fifo: list[int]) -> None:
        self.machine = Machine("16M", max_domains=16)
        for domid, abi in enumerate(abis):
            self.machine.create_domain(
                abi=abi,
                memory="1M",
                vcpus=VCPUS,
                privileged=domid == 0,
                max_event_channels=MAX_PORTS,
            )
        self.model = Model(abis)
        self.heads = {
            (domid, vcpu): ffi.new("uint32_t[16]") for domid in range(3) for vcpu in range(VCPUS)
        }
        self.next_array_gfn = [ARRAY_GFN] * 3
        for domid in range(3):
            if fifo[domid]:
                self.init_control(domid, 0, 0)
                self.init_control(domid, 1, 0)
            if fifo[domid] > 1:
                self.expand_array(domid)

    def teardown(self) -> None:
        if self.machine is not None:
            self.machine.close()

    def compare(self, model: Callable[..., Any], call: Any, *args: int, port: bool = False) -> bool:
        """Makes the call on both; returns whether it went well. `port`: it returns a port."""
        assert self.machine is not None
        out = [ffi.new("evtchn_port_t *", 77)] if port else []
        result = call(self.machine.cdata, *args, *out)
        try:
            expected = model(*args)
        except Refused as refused:
            code = refused.args[0]
            assert errno.errorcode.get(-result) == errno.errorcode[code]
            assert not port or out[0][0] == 77
            return False
        assert result == 0
        assert not port or out[0][0] == expected
        return True

    def view(self, domid: int, vcpu: int = 0) -> Any:
        assert self.machine is not None
        view = ffi.new("struct pv_event_view *")
        heads = self.heads[domid, vcpu]
        assert lib.pv_machine_event_view(self.machine.cdata, domid, vcpu, heads, view) == 0
        return view

    callers = st.integers(0, 2)

    @rule(caller=callers, domid=domids, remote=domids)
    def alloc_unbound(self, caller: int, domid: int, remote: int) -> None:
        call = lib.pv_evtchn_op_alloc_unbound
        self.compare(self.model.alloc_unbound, call, caller, domid, remote, port=True)

    @rule(caller=callers, domid=domids, port=ports)
    def bind_interdomain(self, caller: int, domid: int, port: int) -> None:
        call = lib.pv_evtchn_op_bind_interdomain
        self.compare(self.model.bind_interdomain, call, caller, domid, port, port=True)

    @rule(caller=callers, remote=callers)
    def connect(self, caller: int, remote: int) -> None:
        """Two domains that agree."""
        port = self.model.domains[remote].free_port()
        call = lib.pv_evtchn_op_alloc_unbound
        self.compare(self.model.alloc_unbound, call, remote, remote, caller, port=True)
        if port is not None:
            self.bind_interdomain(caller, remote, port)

    @rule(caller=callers, virq=virqs, vcpu=vcpus)
    def bind_virq(self, caller: int, virq: int, vcpu: int) -> None:
        self.compare(
            self.model.bind_virq, lib.pv_evtchn_op_bind_virq, caller, virq, vcpu, port=True
        )

    @rule(domid=domids, virq=virqs, vcpu=vcpus)
    def send_virq(self, domid: int, virq: int, vcpu: int) -> None:
        self.compare(self.model.send_virq, lib.pv_machine_send_virq, domid, virq, vcpu)

    @rule(caller=callers, vcpu=vcpus)
    def bind_ipi(self, caller: int, vcpu: int) -> None:
        self.compare(self.model.bind_ipi, lib.pv_evtchn_op_bind_ipi, caller, vcpu, port=True)

    @rule(caller=callers, port=ports)
    def send(self, caller: int, port: int) -> None:
        self.compare(self.model.send, lib.pv_evtchn_op_send, caller, port)

    @rule(caller=callers, port=ports)
    def close(self, caller: int, port: int) -> None:
        self.compare(self.model.close, lib.pv_evtchn_op_close, caller, port)

    @rule(caller=callers, port=ports, vcpu=vcpus)
    def bind_vcpu(self, caller: int, port: int, vcpu: int) -> None:
        self.compare(self.model.bind_vcpu, lib.pv_evtchn_op_bind_vcpu, caller, port, vcpu)

    @rule(caller=callers, port=ports)
    def unmask(self, caller: int, port: int) -> None:
        self.compare(self.model.unmask, lib.pv_evtchn_op_unmask, caller, port)

    @rule(domid=callers, port=st.integers(1, MAX_PORTS - 1))
    def guest_masks(self, domid: int, port: int) -> None:
        d = self.model.domains[domid]
        was_masked = port in d.masked or (d.fifo and not d.pages)
        assert lib.pv_event_mask(self.view(domid), port) == was_masked
        if not was_masked:
            d.masked.add(port)

    @rule(domid=callers, data=st.data(), then=st.sampled_from(["unmask", "close", "wait"]))
    def event_behind_mask(self, domid: int, data: st.DataObject, then: str) -> None:
        d = self.model.domains[domid]
        entries = {p: e for p, e in d.ports.items() if e.kind in ("ipi", "interdomain")}
        if not entries:
            return
        port = data.draw(st.sampled_from(sorted(entries)))
        self.guest_masks(domid, port)
        self.send(*((domid, port) if entries[port].kind == "ipi" else entries[port].remote))
        if then != "wait":
            getattr(self, then)(domid, port)

    @rule(caller=callers, port=ports, priority=st.integers(0, 16))
    def set_priority(self, caller: int, port: int, priority: int) -> None:
        call = lib.pv_evtchn_op_set_priority
        self.compare(self.model.set_priority, call, caller, port, priority)

    @rule(caller=callers, domid=domids)
    def reset(self, caller: int, domid: int) -> None:
        self.compare(self.model.reset, lib.pv_evtchn_op_reset, caller, domid)

    @rule(caller=callers, vcpu=vcpus, offset=st.sampled_from([0, 0, 72, 4, 4024, 4032]))
    def init_control(self, caller: int, vcpu: int, offset: int) -> None:
        def call(machine: Any, caller: int, vcpu: int, offset: int) -> int:
            return lib.pv_evtchn_op_init_control(
                machine, caller, CONTROL_GFN + vcpu, offset, vcpu, ffi.new("uint8_t *")
            )

        if self.compare(self.model.init_control, call, caller, vcpu, offset):
            self.heads[caller, vcpu] = ffi.new("uint32_t[16]")

    @rule(caller=callers)
    def expand_array(self, caller: int) -> None:
        gfn = self.next_array_gfn[caller]

        def call(machine: Any, caller: int) -> int:
            return lib.pv_evtchn_op_expand_array(machine, caller, gfn)

        if self.compare(self.model.expand_array, call, caller):
            self.next_array_gfn[caller] += 1

    @rule(domid=callers)
    def guest_takes_events(self, domid: int) -> None:
        d = self.model.domains[domid]
        taken: list[int] = []
        found = ffi.new("evtchn_port_t[]", 64)
        for vcpu in range(VCPUS):
            view = self.view(domid, vcpu)
            while count := lib.pv_event_scan(view, found, 64):
                for port in found[0:count]:
                    assert lib.pv_event_clear_pending(view, port)
                    taken.append(port)
        assert sorted(taken) == sorted(d.deliverable())
        d.pending -= set(taken)
        d.linked.clear()

    @invariant()
    def every_port_agrees(self) -> None:
        if self.machine is None:
            return
        status = ffi.new("struct evtchn_status *")
        for domid, d in self.model.domains.items():
            view = self.view(domid)
            for port in range(MAX_PORTS):
                status.dom, status.port = domid, port
                assert lib.pv_evtchn_op_status(self.machine.cdata, 0, status) == 0
                entry = d.ports.get(port)
                kind = getattr(lib, f"EVTCHNSTAT_{entry.kind if entry else 'closed'}")
                assert status.status == kind
                if entry:
                    self.same_binding(entry, status)
                if port:
                    assert bool(lib.pv_event_is_pending(view, port)) == (port in d.pending)
                    no_word = d.fifo and not d.pages
                    assert lib.pv_event_is_masked(view, port) == (no_word or port in d.masked)

    def same_binding(self, entry: Port, status: Any) -> None:
        assert status.vcpu == entry.vcpu
        if entry.kind == "unbound":
            assert status.u.unbound.dom == entry.remote[0]
        elif entry.kind == "interdomain":
            assert (status.u.interdomain.dom, status.u.interdomain.port) == entry.remote
        elif entry.kind == "virq":
            assert status.u.virq == entry.virq


TestEventChannels = pytest.mark.slow(EventChannels.TestCase)
TestEventChannels.settings = settings(max_examples=80, stateful_step_count=60)

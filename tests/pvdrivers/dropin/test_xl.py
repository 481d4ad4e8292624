"""Debian's own xl and xentop ask the machine; what they print is what the machine knows."""

import os
import re
import sys
import time
from pathlib import Path

import pytest

from pvdrivers.ring.abi import Abi
from pvdrivers.sim import DomainState, Machine, MemoryExtent
from pvdrivers.sim.cpupool import SchedParams, SchedulerKind
from pvdrivers.sim.reservation import Reservation
from pvdrivers.sim.scheduler import FOR_EVER, Affinity, SchedDomain

from .conftest import PROGRAMS, XEN, World, finish, with_mounts

MS, S = 1_000_000, 1_000_000_000
CPUS = 4
pytestmark = pytest.mark.skipif(
    not (XEN / "xl").exists(), reason="needs xl (Debian package xen-utils-4.17)"
)


@pytest.fixture
def settings():
    """Of the machine."""
    return {"virtual_time": True, "cpus": CPUS, "threads_per_core": 2}


@pytest.fixture
def world(tmp_path, settings):
    """Domain 0, domain 1 with one vcpu, and domain 2 with two."""
    with Machine(settings.pop("memory", "128M"), **settings) as machine:
        machine.serve(tmp_path / "machine")
        made = World(machine, tmp_path)
        machine.create_domain(memory="32M", vcpus=2)
        yield made


@pytest.fixture
def named(world, xenstored):
    """What the toolstack has written to xenstore by the time that guests run."""
    names = {
        "/local/domain/0/name": "Domain-0",
        "/local/domain/1/name": "web",
        "/local/domain/2/name": "db",
        "/local/pool/0/name": "Pool-0",
    }
    words = [word for item in names.items() for word in item]
    world.run(0, "xenstore-write", *words)


@pytest.fixture
def xl(world, named):
    """Runs xl in domain 0, and complains of whatever it complains of."""

    def run(*arguments):
        process = world.start(0, XEN / "xl", *arguments)
        output = finish(process)
        assert process.stderr.closed or not process.stderr.read()
        return output

    return run


def rows(output: str) -> list[list[str]]:
    """The words of a table's lines, without its head."""
    return [line.split() for line in output.splitlines()[1:]]


def compute(machine: Machine, ns: int, *vcpus: tuple[int, int]) -> None:
    """So long, those vcpus want to run and nobody else does."""
    for domid, vcpu in vcpus:
        machine.scheduler.demand(domid, vcpu, FOR_EVER)
    machine.scheduler.run(machine.now + ns)


# ---- The machine -------------------------------------------------------------


def test_info(world, xl):
    pairs = (line.partition(":") for line in xl("info").splitlines())
    info = {key.strip(): value.strip() for key, _, value in pairs}
    machine = world.machine
    assert int(info["nr_cpus"]) == CPUS
    assert int(info["max_cpu_id"]) == CPUS - 1
    assert int(info["threads_per_core"]) == 2
    assert int(info["cores_per_socket"]) == 2
    assert int(info["nr_nodes"]) == 1
    assert int(info["total_memory"]) == machine.total_memory >> 20 == 128
    assert int(info["free_memory"]) == machine.free_memory >> 20 == 64
    assert info["xen_version"] == "4.17.0-pvdrivers"
    assert info["xen_scheduler"] == "credit"
    assert info["virt_caps"] == "pv gnttab-v1 gnttab-v2"
    assert info["xen_pagesize"] == "4096"
    assert info["free_cpus"] == "0"
    assert "xen-3.0-x86_64" in info["xen_caps"]


def test_topology(world, xl):
    lines = xl("info", "-n").splitlines()
    start = lines.index("cpu:    core    socket     node")
    table = [re.findall(r"\d+", line) for line in lines[start + 1 : start + 1 + CPUS]]
    assert table == [[str(cpu), str(cpu // 2), "0", "0"] for cpu in range(CPUS)]
    node = lines[lines.index("node:    memsize    memfree    distances") + 1]
    assert re.findall(r"\d+", node) == ["0", "128", "64", "10"]


@pytest.mark.parametrize(
    "settings", [{"virtual_time": True, "cpus": 8, "threads_per_core": 2, "cores_per_socket": 2}]
)
def test_sockets(world, xl):
    cpus = re.findall(r"^ +(\d+): +(\d+) +(\d+) +0$", xl("info", "-n"), re.MULTILINE)
    assert [(int(core), int(socket)) for _, core, socket in cpus] == [
        (cpu // 2 % 2, cpu // 4) for cpu in range(8)
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {
            "memory": [
                MemoryExtent(0, 64 << 20, 0),
                MemoryExtent(1 << 32, 32 << 20, 1),
            ],
            "cpus": 4,
        }
    ],
)
def test_nodes(world, xl):
    text = xl("info", "-n")
    assert "nr_nodes               : 2\n" in text
    cpus = re.findall(r"^ +(\d+): +\d+ +\d+ +(\d)$", text, re.MULTILINE)
    assert cpus == [("0", "0"), ("1", "0"), ("2", "1"), ("3", "1")]
    nodes = re.findall(r"^ +(\d+): +(\d+) +(\d+) +(\d+,\d+)$", text, re.MULTILINE)
    assert nodes == [
        (str(number), str(node.total >> 20), str(node.free >> 20), distances)
        for number, (node, distances) in enumerate(
            zip(world.machine.nodes, ("10,20", "20,10"), strict=True)
        )
    ]


@pytest.mark.parametrize(
    "settings",
    [{"memory": [MemoryExtent(0, 64 << 20), MemoryExtent(1 << 32, 32 << 20, 1, present=False)]}],
)
def test_a_node_that_is_plugged_in(world, xl):
    def nodes():
        pattern = r"^ +(\d+): +(\d+) +(\d+) +[\d,]+$"
        return re.findall(pattern, xl("info", "-n").split("memfree")[1], re.MULTILINE)

    assert [node[:2] for node in nodes()] == [("0", "64")]
    world.machine.add_memory(MemoryExtent(1 << 32, 32 << 20, 1))
    assert nodes()[1] == ("1", "32", "32")
    assert "nr_nodes               : 2\n" in xl("info")


def test_dmesg(world, xl):
    world.guest.crash()
    text = xl("dmesg")
    assert text == world.machine.console
    assert "(XEN) System RAM: 128MB (131072kB)\n" in text
    assert text.endswith("(XEN) d1 crashed\n")
    assert xl("dmesg", "-c") == text
    assert xl("dmesg") == ""


def test_debug_keys(world, xl):
    xl("dmesg", "-c")
    assert xl("debug-keys", "hqr") == ""
    lines = world.machine.console.splitlines()
    assert lines[0] == "(XEN) 'h' pressed -> showing installed handlers"
    assert "(XEN) 'q' pressed -> dump domain info" in lines
    assert "(XEN) General information for domain 1:" in lines
    assert "(XEN) CPU[03] idle runq=3 sibling={2-3} core={0-3} node=0" in lines
    assert xl("dmesg").splitlines() == lines


def test_a_guest_is_refused(world, xenstored):
    errors = world.run_failing(world.guest.domid, XEN / "xl", "debug-keys", "q")
    assert "Operation not permitted" in errors
    assert "pressed" not in world.machine.console


# ---- Domains -----------------------------------------------------------------


def test_list(world, xl):
    compute(world.machine, 1500 * MS, (2, 0), (2, 1))
    world.guest.pause()
    assert rows(xl("list")) == [
        ["Domain-0", "0", "16", "1", "-b----", "0.0"],
        ["web", "1", "16", "1", "--p---", "0.0"],
        ["db", "2", "32", "2", "r-----", "3.0"],
    ]


def test_list_of_domains_that_have_ended(world, xl):
    world.guest.crash()
    world.machine.domain(2).shutdown()
    assert [row[4] for row in rows(xl("list"))] == ["-b----", "---sc-", "---s--"]


def test_vcpus_that_are_not_up_are_not_counted(world, xl):
    world.machine.create_domain(memory="1M", vcpus=3, online_vcpus=2)
    assert rows(xl("list"))[3][1:4] == ["3", "1", "2"]
    assert [row[4][-1] for row in rows(xl("vcpu-list", "3"))] == ["-", "-", "p"]


def test_pages_of_16_kib_are_counted_as_what_they_are(world, xl):
    world.machine.create_domain(abi=Abi.IA64, memory="24M")
    assert rows(xl("list"))[3][1:3] == ["3", "24"]


def test_claims(world, xl):
    machine = world.machine
    machine.create_domain(memory="8M", max_memory="32M")
    Reservation(machine, 3, caller=0).claim(20 << 20 >> 12)
    assert machine.outstanding_claims == 12 << 20
    assert re.search(r"outstanding_claims +: 12\n", xl("info"))
    listed = {row[1]: (row[2], row[-1]) for row in rows(xl("claims"))}
    # Its memory in this list has what it will be given.
    assert listed == {"0": ("16", "0"), "1": ("16", "0"), "2": ("32", "0"), "3": ("20", "12")}


def test_pause_and_unpause(world, xl):
    xl("pause", "web")
    assert world.guest.info.state is DomainState.PAUSED
    xl("unpause", "web")
    assert world.guest.info.state is DomainState.RUNNING


# ---- vcpus -------------------------------------------------------------------


def test_vcpu_list(world, xl):
    scheduler = world.machine.scheduler
    scheduler.set_affinity(2, 1, [1, 3])
    compute(world.machine, 2 * S, (2, 1))
    listed = rows(xl("vcpu-list"))
    assert [row[:3] for row in listed] == [
        ["Domain-0", "0", "0"],
        ["web", "1", "0"],
        ["db", "2", "0"],
        ["db", "2", "1"],
    ]
    for _, domid, vcpu, cpu, state, seconds, *_ in listed:
        run_state = scheduler.run_state(int(domid), int(vcpu))
        assert int(cpu) == run_state.cpu
        assert state == ("r--" if (domid, vcpu) == ("2", "1") else "-b-")
        assert float(seconds) == run_state.running / S
    assert [" ".join(row[6:]) for row in listed] == ["all / all"] * 3 + ["1,3 / all"]


def test_vcpu_pin(world, xl):
    scheduler = world.machine.scheduler
    xl("vcpu-pin", "db", "1", "3")
    assert scheduler.affinity(2, 1).hard == (3,)
    xl("vcpu-pin", "db", "0", "0,2")
    assert scheduler.affinity(2, 0).hard == (0, 2)
    compute(world.machine, S, (2, 1), (1, 0), (0, 0))
    assert scheduler.run_state(2, 1).cpu == 3
    xl("vcpu-pin", "db", "all", "all")
    assert len(scheduler.affinity(2, 0).hard) >= CPUS


def test_vcpu_pin_softly(world, xl):
    scheduler = world.machine.scheduler
    xl("vcpu-pin", "db", "1", "1-3", "2")
    assert scheduler.affinity(2, 1) == Affinity((1, 2, 3), (2,))
    assert ["1-3", "/", "2"] in [row[6:] for row in rows(xl("vcpu-list", "db"))]
    xl("vcpu-pin", "db", "1", "-", "3")
    assert scheduler.affinity(2, 1) == Affinity((1, 2, 3), (3,))


def test_vcpu_pin_to_no_cpu_of_the_machine(world, xl):
    assert world.run_failing(0, XEN / "xl", "vcpu-pin", "db", "1", "7")
    assert len(world.machine.scheduler.affinity(2, 1).hard) >= CPUS


# ---- The scheduler -----------------------------------------------------------


def test_sched_credit_shows(world, xl):
    world.machine.scheduler.set_domain(2, SchedDomain(512, 150))
    world.machine.scheduler.pool(0).params = SchedParams(migration_delay_us=500)
    lines = xl("sched-credit").splitlines()
    assert lines[0] == "Cpupool Pool-0: tslice=30ms ratelimit=1000us migration-delay=500us"
    assert [line.split() for line in lines[2:]] == [
        ["Domain-0", "0", "256", "0"],
        ["web", "1", "256", "0"],
        ["db", "2", "512", "150"],
    ]
    assert rows(xl("sched-credit", "-d", "db")) == [["db", "2", "512", "150"]]


def test_sched_credit_sets_a_weight_that_shares_follow(world, xl):
    scheduler = world.machine.scheduler
    xl("sched-credit", "-d", "web", "-w", "768")
    assert scheduler.domain(1) == SchedDomain(768, 0)
    xl("cpupool-cpu-remove", "Pool-0", "1-3")
    compute(world.machine, 30 * S, (1, 0), (2, 0))
    shares = [scheduler.run_state(domid, 0).running / (30 * S) for domid in (1, 2)]
    assert shares == pytest.approx([0.75, 0.25], abs=0.01)


def test_sched_credit_sets_a_cap_and_leaves_the_weight(world, xl):
    scheduler = world.machine.scheduler
    scheduler.set_domain(1, SchedDomain(300, 0))
    xl("sched-credit", "-d", "web", "-c", "40")
    assert scheduler.domain(1) == SchedDomain(300, 40)
    compute(world.machine, 30 * S, (1, 0))
    assert scheduler.run_state(1, 0).running / (30 * S) == pytest.approx(0.4, abs=0.01)


def test_sched_credit_sets_the_time_slice(world, xl):
    xl("sched-credit", "-s", "-t", "10", "-r", "500")
    assert world.machine.scheduler.pool(0).params == SchedParams(10, 500)
    world.run_failing(0, XEN / "xl", "sched-credit", "-s", "-t", "10", "-r", "50")
    assert world.machine.scheduler.pool(0).params == SchedParams(10, 500)


# ---- cpupools ----------------------------------------------------------------


def test_cpupools(world, xl, tmp_path):
    scheduler = world.machine.scheduler
    assert rows(xl("cpupool-list")) == [["Pool-0", "4", "credit", "y", "3"]]
    xl("cpupool-cpu-remove", "Pool-0", "2-3")
    assert scheduler.free_cpus == (2, 3)
    (tmp_path / "pool").write_text('name = "fast"\nsched = "credit"\ncpus = ["2"]\n')
    xl("cpupool-create", tmp_path / "pool")
    (pool,) = (info for info in scheduler.pools if info.pool)
    assert pool.cpus == (2,)
    xl("cpupool-migrate", "web", "fast")
    assert scheduler.pool_of(1).pool == pool.pool
    assert rows(xl("cpupool-list", "-c")) == [["Pool-0", "0,1"], ["fast", "2"]]
    xl("cpupool-cpu-add", "fast", "3")
    assert rows(xl("cpupool-list"))[1] == ["fast", "2", "credit", "y", "1"]
    assert "Cpupool fast: tslice=30ms" in xl("sched-credit")
    xl("cpupool-migrate", "web", "Pool-0")
    xl("cpupool-destroy", "fast")
    assert [info.pool for info in scheduler.pools] == [0]
    assert scheduler.free_cpus == (2, 3)


def test_a_pool_that_has_a_domain_is_not_destroyed(world, xl):
    world.run_failing(0, XEN / "xl", "cpupool-destroy", "Pool-0")
    assert len(world.machine.scheduler.pools) == 1


@pytest.mark.parametrize(
    "settings", [{"virtual_time": True, "cpus": CPUS, "scheduler": SchedulerKind.CREDIT2}]
)
def test_sched_credit2(world, xl):
    scheduler = world.machine.scheduler
    xl("sched-credit2", "-d", "web", "-w", "512", "-c", "80")
    assert scheduler.domain(1) == SchedDomain(512, 80)
    xl("sched-credit2", "-s", "-r", "2000")
    assert scheduler.pool(0).params == SchedParams(0, 2000)
    lines = xl("sched-credit2").splitlines()
    assert lines[0] == "Cpupool Pool-0: ratelimit=2000us"
    assert ["web", "1", "512", "80"] in [line.split() for line in lines[2:]]


# ---- xentop ------------------------------------------------------------------

# xentop reads a folder that Linux makes when it runs on Xen.
XENTOP = "mount -t tmpfs none /sys/bus && mkdir -p /sys/bus/xen-backend/devices"


def xentop(world, *before):
    """The rows of its table."""
    output = world.run(0, *with_mounts(XENTOP), *before, XEN / "xentop", "-b", "-i", "1")
    head, *lines = (line.split() for line in output.splitlines())
    return [dict(zip(head, line, strict=False)) for line in lines]


def test_xentop(world, named):
    compute(world.machine, 2 * S, (2, 0), (2, 1))
    table = xentop(world)
    assert {row["NAME"]: row["STATE"] for row in table} == {
        "Domain-0": "--b---",
        "web": "--b---",
        "db": "-----r",
    }
    (db,) = (row for row in table if row["NAME"] == "db")
    assert (db["CPU(sec)"], db["MEM(k)"], db["MEM(%)"], db["VCPUS"]) == ("4", "32768", "25.0", "2")


def test_xentop_shows_the_traffic_of_a_tap_that_is_named_as_a_vif(world, named):
    if not Path("/dev/net/tun").exists():
        pytest.skip("needs /dev/net/tun")
    in_network = ["unshare", "--net", sys.executable, PROGRAMS / "tap_traffic.py", "vif2.0", 100]
    rows = {row["NAME"]: row for row in xentop(world, *in_network)}
    assert (rows["db"]["NETS"], rows["db"]["NETRX(k)"]) == ("1", "100")
    assert (rows["web"]["NETS"], rows["web"]["NETRX(k)"]) == ("0", "0")


# ---- Real time ---------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"cpus": CPUS}])
def test_in_real_time_settings_are_kept_and_processes_counted(world, xl):
    with world.machine.open_hypervisor(2):
        end = time.process_time_ns() + 400 * MS
        while time.process_time_ns() < end:
            pass
    xl("vcpu-pin", "web", "0", "2")
    xl("sched-credit", "-d", "web", "-w", "700", "-c", "40")
    assert rows(xl("sched-credit", "-d", "web")) == [["web", "1", "700", "40"]]
    listed = {tuple(row[:3]): row for row in rows(xl("vcpu-list"))}
    assert float(listed["db", "2", "0"][5]) >= 0.2
    assert listed["web", "1", "0"][6:] == ["2", "/", "all"]


# ---- A machine without CPUs --------------------------------------------------


@pytest.mark.parametrize("settings", [{}])
def test_a_machine_without_cpus_shows_those_of_the_host(world, xl):
    world.guest.pause()
    info = xl("info")
    assert f"nr_cpus                : {os.cpu_count()}\n" in info
    assert "xen_scheduler          : unknown\n" in info
    assert [row[4] for row in rows(xl("list"))] == ["r-----", "--p---", "r-----"]
    assert [row[4] for row in rows(xl("vcpu-list"))] == ["r--", "---", "r--", "r--"]
    world.run_failing(0, XEN / "xl", "sched-credit", "-d", "1")
